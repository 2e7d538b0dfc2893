//! CSI volumes over the real protocol: a plugin of ours as a job, volumes of it in other jobs, and what becomes of them when agents, nodes
//! and the plugin itself die.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tarpan_api::wire::CsiVolume;
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::{PATIENCE, kill_all_of};
use tarpan_end2end::pair::server_and_clients;
use tarpan_end2end::{Agent, Lab, eventually};

/// The plugin: controller and node on every client, over one folder of volumes.
fn plugin(lab: &Lab) -> Result<String> {
    let program = lab.bin.parent().context("the programs have a folder")?.join("examples/csi-hostpath");
    let build = "cargo build -p tarpan-agent --example csi-hostpath";
    ensure!(program.exists(), "{} is not built: {build}", program.display());
    let job = format!(
        r#"
job "disks" {{
  type = "system"
  group "g" {{
    restart {{
      attempts = 10
      delay    = "100ms"
    }}
    task "plugin" {{
      driver = "raw_exec"
      csi_plugin {{
        id   = "disks"
        type = "monolith"
      }}
      config {{
        command = "{}"
        args    = ["{}", "${{node.unique.name}}"]
      }}
    }}
  }}
}}
"#,
        program.display(),
        folder(lab).display()
    );
    Ok(lab.file("disks.nomad.hcl", &job)?.display().to_string())
}

fn folder(lab: &Lab) -> PathBuf {
    lab.path().join("folder")
}

/// A job whose task writes its pid and then goes on writing, to the volume `data`.
fn writer(lab: &Lab, name: &str, volume: &str) -> Result<String> {
    let job = format!(
        r#"
job "{name}" {{
  group "g" {{
    volume "v" {{
      type            = "csi"
      source          = "{volume}"
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }}
    task "t" {{
      driver = "exec"
      volume_mount {{
        volume      = "v"
        destination = "/data"
      }}
      config {{
        command = "/bin/sh"
        args    = ["-c", "echo {name} >> /data/who; while :; do echo x >> /data/ticks; sleep 0.1; done"]
      }}
      resources {{
        memory = 32
      }}
    }}
  }}
}}
"#
    );
    Ok(lab.file(&format!("{name}.nomad.hcl"), &job)?.display().to_string())
}

fn specification(lab: &Lab, id: &str, more: &str) -> Result<String> {
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\ntype = \"csi\"\nplugin_id = \"disks\"\ncapacity_min = \"1MiB\"\n\
         capability {{\n  access_mode = \"single-node-writer\"\n  attachment_mode = \"file-system\"\n}}\n\
         secrets {{\n  key = \"hunter2\"\n}}\n{more}\n"
    );
    Ok(lab.file(&format!("{id}.volume.hcl"), &text)?.display().to_string())
}

struct World {
    lab: Lab,
    server: Agent,
    clients: Vec<Agent>,
}

impl World {
    /// A server, two clients, and the plugin healthy on both.
    fn new() -> Result<World> {
        let lab = Lab::new()?;
        let (server, clients) = server_and_clients(&lab, &["one", "two"])?;
        let world = World { lab, server, clients };
        world.server.ok(&["job", "run", "-detach", &plugin(&world.lab)?])?;
        world.healthy(2)?;
        Ok(world)
    }

    fn healthy(&self, count: u64) -> Result<()> {
        eventually(&format!("the plugin to be healthy on {count} clients"), PATIENCE, || {
            let plugin = self.server.ask(&calls::csi_plugin(&Query::new(), "disks"))?;
            Ok((plugin.nodes_healthy == count && plugin.controllers_healthy == count).then_some(()))
        })
        .with_context(|| self.tails())
    }

    fn tails(&self) -> String {
        let logs = self.clients.iter().chain([&self.server]).map(Agent::log_tail);
        logs.chain([self.server.tasks_tail()]).collect::<Vec<_>>().join("\n")
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(folder(&self.lab).join("volumes").join(name)).unwrap_or_default()
    }

    fn volume(&self, id: &str) -> Result<CsiVolume> {
        self.server.ask(&calls::csi_volume(&Query::new(), id, true))
    }

    /// Waits for the running allocation of a job: its id, and the number of its client.
    fn runs(&self, job: &str) -> Result<(String, usize)> {
        let alloc = eventually(&format!("{job} to run"), 3 * PATIENCE, || {
            let mut all = self.server.allocs(job)?.into_iter();
            Ok(all.find(|a| a.client_status == "running" && a.desired_status == "run"))
        })
        .with_context(|| self.tails())?;
        let at = if alloc.node_name == "client-1" { 0 } else { 1 };
        Ok((alloc.id, at))
    }

    fn written_by(&self, job: &str, file: &str) -> Result<()> {
        eventually(&format!("{job} to write"), PATIENCE, || Ok(self.file(file).lines().any(|l| l == job).then_some(())))
            .with_context(|| self.tails())
    }
}

/// The processes of one job that write ticks, as the machine sees them.
fn writers(job: &str) -> Vec<String> {
    tarpan_end2end::lab::pids(&format!("echo {job} >> /data/who"))
}

#[test]
fn a_volume_lives_through_agents_and_nodes_that_die() -> Result<()> {
    let mut world = World::new()?;
    let made = world.server.ok(&["volume", "create", &specification(&world.lab, "data", "")?])?;
    ensure!(made == "Created external volume data with ID data\n", "{made}");
    let shown = world.server.ok(&["volume", "status", "-type", "csi", "data"])?;
    ensure!(shown.contains("Schedulable          = true") && !shown.contains("hunter2"), "{shown}");
    world.server.ok(&["job", "run", "-detach", &writer(&world.lab, "first", "data")?])?;
    let (alloc, at) = world.runs("first")?;
    world.written_by("first", "data/who")?;
    let volume = world.volume("data")?;
    ensure!(volume.claims.len() == 1 && volume.claims[0].alloc_id == alloc, "{:?}", volume.claims);
    ensure!(volume.write_allocs.contains_key(&alloc) && volume.access_mode == "single-node-writer");

    // The agent dies and comes back: the same process goes on writing to the same mount.
    let before = writers("first");
    world.clients[at].kill9()?;
    let ticks = world.file("data/ticks").len();
    world.clients[at].start_again()?;
    world.healthy(2)?;
    eventually("it to go on writing", PATIENCE, || Ok((world.file("data/ticks").len() > ticks + 20).then_some(())))?;
    ensure!(writers("first") == before, "{:?} was {before:?}", writers("first"));
    ensure!(world.file("data/who") == "first\n", "it was started once");

    // Another job waits for it, and says for what.
    world.server.ok(&["job", "run", "-detach", &writer(&world.lab, "second", "data")?])?;
    eventually("the reason", PATIENCE, || {
        let status = world.server.ok(&["job", "status", "second"])?;
        Ok(status.contains("CSI volume data has exhausted its available writer claims").then_some(()))
    })
    .with_context(|| world.server.ok(&["job", "status", "second"]).unwrap_or_default())?;

    // The first one ends: its claim is given back, and the second starts by itself.
    world.server.ok(&["job", "stop", "-detach", "first"])?;
    let (second, at) = world.runs("second")?;
    world.written_by("second", "data/who")?;
    let volume = world.volume("data")?;
    ensure!(volume.claims.len() == 1 && volume.claims[0].alloc_id == second, "{:?}", volume.claims);
    let refused = world.server.run(&["volume", "delete", "data"])?;
    ensure!(refused.code == 1 && refused.text().contains("volume in use: data"), "{}", refused.text());

    // Its node is lost with all that runs there: the claim is given back without it, and the job runs on the other node.
    world.clients[at].kill9()?;
    kill_all_of(&world.lab.path().join(["one", "two"][at]));
    eventually("another allocation to have it", 3 * PATIENCE, || {
        let claims = world.volume("data")?.claims;
        Ok(claims.iter().any(|c| c.alloc_id != second && c.state == "taken").then_some(()))
    })
    .with_context(|| format!("{:?}\n{}", world.volume("data").map(|v| v.claims), world.tails()))?;
    let (third, elsewhere) = world.runs("second")?;
    ensure!(third != second && elsewhere != at);
    world.server.ok(&["job", "stop", "-detach", "-purge", "second"])?;
    eventually("the claim to be given back", PATIENCE, || Ok(world.volume("data")?.claims.is_empty().then_some(())))
        .with_context(|| format!("{:?}", world.volume("data").map(|v| v.claims)))?;

    // Snapshots, a volume of one, and the end.
    let made = world.server.ok(&["volume", "snapshot", "create", "data", "monday"])?;
    ensure!(made.contains("monday") && made.contains("true"), "{made}");
    world.server.ok(&["volume", "create", &specification(&world.lab, "copy", "snapshot_id = \"monday\"")?])?;
    ensure!(world.file("copy/who") == world.file("data/who") && !world.file("copy/who").is_empty());
    let listed = world.server.ok(&["volume", "snapshot", "list", "-plugin", "disks"])?;
    ensure!(listed.contains("monday"), "{listed}");
    world.server.ok(&["volume", "snapshot", "delete", "disks", "monday"])?;
    ensure!(world.server.ok(&["volume", "snapshot", "list"])?.contains("No snapshots"));
    world.server.ok(&["volume", "deregister", "copy"])?;
    ensure!(folder(&world.lab).join("volumes/copy").exists(), "the plugin keeps it");
    let gone = world.server.ok(&["volume", "delete", "data"])?;
    ensure!(
        gone == "Successfully deleted volume \"data\"!\n" && !folder(&world.lab).join("volumes/data").exists(),
        "{gone}"
    );
    Ok(())
}

#[test]
fn a_plugin_that_lies_or_dies_harms_the_jobs_of_its_volumes_alone() -> Result<()> {
    let world = World::new()?;
    for fault in ["lie", "die"] {
        let more = format!("parameters {{\n  fault = \"{fault}\"\n}}");
        world.server.ok(&["volume", "create", &specification(&world.lab, fault, &more)?])?;
        world.server.ok(&["job", "run", "-detach", &writer(&world.lab, &format!("job-{fault}"), fault)?])?;
    }
    // It said that it mounted the volume: nobody writes to the node's own disk instead.
    eventually("the sentence", PATIENCE, || {
        let said = world.server.tasks_tail() + &world.server.ok(&["job", "status", "job-lie"])?;
        let failed = world.server.allocs("job-lie")?.into_iter().find(|a| a.client_status == "failed");
        Ok(failed.filter(|a| (a.client_description.clone() + &said).contains("nothing is mounted where it should be")))
    })
    .with_context(|| world.tails())?;
    world.server.ok(&["job", "stop", "-detach", "-purge", "job-lie"])?;
    // It died while it was asked, was started again, and was asked again.
    world.runs("job-die")?;
    world.written_by("job-die", "die/who")?;
    ensure!(folder(&world.lab).join("died").exists());
    world.server.ok(&["job", "stop", "-detach", "-purge", "job-die"])?;
    eventually("all claims to be given back", PATIENCE, || {
        Ok((world.volume("lie")?.claims.is_empty() && world.volume("die")?.claims.is_empty()).then_some(()))
    })
    .with_context(|| world.tails())?;
    // What a person asks of a plugin that is not there is answered.
    world.server.ok(&["job", "stop", "-detach", "disks"])?;
    eventually("no plugin", PATIENCE, || {
        Ok((world.server.ask(&calls::csi_plugin(&Query::new(), "disks"))?.nodes_healthy == 0).then_some(()))
    })?;
    let refused = world.server.run(&["volume", "snapshot", "create", "die", "x"])?;
    ensure!(refused.code == 1 && refused.text().contains("plugin has no controller"), "{}", refused.text());
    Ok(())
}
