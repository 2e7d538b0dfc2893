//! Dynamic host volumes on two clients: made by the built-in plugin and by a script, held by a sticky group, deleted when nobody uses
//! them; and plugins that do not do what they should.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tarpan_api::wire::{HostVolume, HostVolumeStub};
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::pair::server_and_clients;
use tarpan_end2end::{Agent, Lab, eventually};

/// Writes a line into its volume each time that it starts.
const JOB: &str = r#"
job "db" {
  group "g" {
    reschedule {
      attempts  = 0
      unlimited = true
      delay     = "5s"
      delay_function = "constant"
    }
    volume "data" {
      type   = "host"
      source = "data"
      sticky = true
    }
    task "t" {
      driver = "exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo $NOMAD_ALLOC_ID >> /data/starts; while :; do sleep 1; done"]
      }
      volume_mount {
        volume      = "data"
        destination = "/data"
      }
    }
  }
}
"#;

/// Makes directories of its own, and does as it is told by the files beside them.
const PLUGIN: &str = r#"#!/bin/sh
case "$1" in
fingerprint) echo '{"version": "0.3.0"}' ;;
create)
  mkdir -p "$DHV_VOLUMES_DIR/script-$DHV_VOLUME_NAME"
  echo "$DHV_PARAMETERS" > "$DHV_VOLUMES_DIR/script-$DHV_VOLUME_NAME/parameters"
  printf '{"path": "%s", "bytes": %s}' "$DHV_VOLUMES_DIR/script-$DHV_VOLUME_NAME" "$DHV_CAPACITY_MIN_BYTES" ;;
delete) rm -rf "$DHV_VOLUMES_DIR/script-$DHV_VOLUME_NAME" ;;
esac
"#;

fn specification(name: &str, plugin: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\ntype = \"host\"\nplugin_id = \"{plugin}\"\n{more}\ncapability {{\n  access_mode = \"single-node-writer\"\n  \
         attachment_mode = \"file-system\"\n}}\nparameters {{\n  mode = \"0777\"\n}}\n"
    )
}

struct World {
    lab: Lab,
    server: Agent,
    clients: Vec<Agent>,
}

const NAMES: [&str; 2] = ["client", "client-2"];

impl World {
    fn new() -> Result<World> {
        let lab = Lab::new()?;
        for name in NAMES {
            std::fs::create_dir_all(lab.path().join(name).join("host_volume_plugins"))?;
        }
        plugin(&lab, 0, "script", PLUGIN)?;
        let (server, clients) = server_and_clients(&lab, &NAMES)?;
        Ok(World { lab, server, clients })
    }

    fn create(&self, name: &str, plugin: &str, more: &str) -> Result<tarpan_end2end::Output> {
        let file = self.lab.file(&format!("{name}.volume.hcl"), &specification(name, plugin, more))?;
        self.server.run(&["volume", "create", &file.display().to_string()])
    }

    /// A volume by its name, once it is as `state` says.
    fn wait(&self, name: &str, state: &str) -> Result<HostVolumeStub> {
        eventually(&format!("volume {name} to be {state}"), PATIENCE, || {
            let all = self.server.ask(&calls::host_volumes(&Query::new()))?;
            Ok(all.into_iter().find(|v| v.name == name && v.state == state))
        })
        .with_context(|| self.logs())
    }

    fn volume(&self, id: &str) -> Result<HostVolume> {
        self.server.ask(&calls::host_volume(&Query::new(), id))
    }

    fn logs(&self) -> String {
        self.clients.iter().chain([&self.server]).map(Agent::log_tail).collect::<Vec<_>>().join("\n")
    }

    /// The client that runs a node.
    fn client_of(&self, node: &str) -> Result<usize> {
        let node = self.server.ask(&calls::node(&Query::new(), node))?;
        let number = node.name.strip_prefix("client-").and_then(|n| n.parse::<usize>().ok());
        number.map(|n| n - 1).with_context(|| format!("a client is called {:?}", node.name))
    }

    fn running(&self) -> Result<Option<(String, String)>> {
        let allocs = self.server.allocs("db")?;
        let mut running = allocs.into_iter().filter(|a| a.client_status == "running" && a.desired_status == "run");
        Ok(running.next().map(|a| (a.id, a.node_id)))
    }
}

fn plugin(lab: &Lab, client: usize, name: &str, script: &str) -> Result<PathBuf> {
    let file = lab.path().join(NAMES[client]).join("host_volume_plugins").join(name);
    // In one step: the client looks at the folder at any time.
    let new = lab.file("plugin", script)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename(new, &file)?;
    Ok(file)
}

fn starts(volume: &HostVolume) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(&volume.host_path).join("starts")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_sticky_group_finds_its_data_again() -> Result<()> {
    let mut world = World::new()?;
    let made = world.create("data", "mkdir", "")?;
    ensure!(made.code == 0 && made.stdout.contains("Created host volume data with ID "), "{}", made.text());
    let stub = world.wait("data", "ready")?;
    let volume = world.volume(&stub.id)?;
    ensure!(Path::new(&volume.host_path).is_dir(), "{volume:?}");
    // No caller of /v1 makes a node do it without the servers.
    for agent in world.clients.iter().chain([&world.server]) {
        let answer = ureq::post(format!("{}/internal/host-volume/delete", agent.addr)).send("{}");
        ensure!(matches!(&answer, Err(ureq::Error::StatusCode(404))), "{} answers {answer:?}", agent.addr);
    }
    // The other client gets one of the name too: where the data is has to matter.
    let other = world.create("data", "mkdir", "")?;
    ensure!(other.code == 0, "{}", other.text());
    let both = world.server.ask(&calls::host_volumes(&Query::new()))?;
    ensure!(both.len() == 2 && both[0].node_id != both[1].node_id, "{both:?}");
    let third = world.create("data", "mkdir", "")?;
    ensure!(third.code == 1 && third.stderr.contains("2 has a volume \"data\" already"), "{}", third.text());

    let job = world.lab.file("db.nomad.hcl", JOB)?.display().to_string();
    world.server.ok(&["job", "run", "-detach", &job])?;
    let (first, node) = eventually("it to run", PATIENCE, || world.running()).with_context(|| world.logs())?;
    let used = both.iter().find(|v| v.node_id == node).context("its node has one of the two")?;
    let volume = world.volume(&used.id)?;
    eventually("its line", PATIENCE, || Ok((starts(&volume) == [first.clone()]).then_some(())))?;
    let refused = world.server.run(&["volume", "delete", "-type", "host", &used.id])?;
    ensure!(
        refused.code == 1 && refused.stderr.contains(&format!("in use by allocations: {first}")),
        "{}",
        refused.text()
    );
    let shown = world.server.ok(&["volume", "status", "-type", "host", &used.id])?;
    ensure!(shown.contains(&first[..8]) && shown.contains("single-node-writer"), "{shown}");

    world.server.ok(&["job", "stop", "-detach", "db"])?;
    eventually("it to end", PATIENCE, || Ok(world.server.allocs("db")?[0].client_status.eq("complete").then_some(())))?;
    let claims = world.server.ok(&["volume", "claim", "list", "-job", "db"])?;
    ensure!(claims.contains(&used.id[..8]), "{claims}");
    world.server.ok(&["job", "run", "-detach", &job])?;
    let (second, again) =
        eventually("it to run again", PATIENCE, || Ok(world.running()?.filter(|(id, _)| *id != first)))?;
    ensure!(again == node, "it runs on {again}, and its data is on {node}");
    eventually("its second line", PATIENCE, || Ok((starts(&volume) == [first.clone(), second.clone()]).then_some(())))?;

    // Its client is killed with everything on it. The data is there, so the group waits for it.
    let at = world.client_of(&node)?;
    world.clients[at].kill9()?;
    world.wait("data", "unavailable")?;
    eventually("it to be lost, and to wait", PATIENCE, || {
        let waits = world.server.run(&["job", "status", "db"])?.stdout.contains("not the one that the group holds");
        Ok((world.running()?.is_none() && waits).then_some(()))
    })
    .with_context(|| world.server.run(&["job", "status", "db"]).map(|o| o.text()).unwrap_or_default())?;
    // Somebody decides that it is to go on without it.
    let claim = world.server.ask(&calls::host_volume_claims(&Query::new()))?.remove(0);
    world.server.ok(&["volume", "claim", "delete", "-y", &claim.id])?;
    let (_, elsewhere) =
        eventually("it to run elsewhere", PATIENCE, || Ok(world.running()?.filter(|(_, on)| *on != node)))?;
    ensure!(elsewhere != node, "elsewhere");

    // What can't be asked is only forgotten by force, and its client makes it known again when it is back.
    let refused = world.server.run(&["volume", "delete", "-type", "host", &used.id])?;
    ensure!(refused.code == 1 && refused.stderr.contains("force"), "{}", refused.text());
    world.clients[at].start_again()?;
    world.wait("data", "ready")?;
    eventually("the volume to be ready again", PATIENCE, || {
        Ok((world.volume(&used.id)?.state == "ready").then_some(()))
    })?;
    let kept = starts(&volume);
    ensure!(kept.starts_with(&[first, second]), "{kept:?}");
    eventually("the lost allocation's volume to be free", PATIENCE, || {
        let deleted = world.server.run(&["volume", "delete", "-type", "host", &used.id])?;
        Ok((deleted.code == 0).then_some(()))
    })?;
    ensure!(!Path::new(&volume.host_path).exists(), "it is gone");
    world.server.ok(&["job", "stop", "-purge", "db"])?;
    ensure!(world.server.ask(&calls::host_volume_claims(&Query::new()))?.is_empty(), "claims end with their job");
    Ok(())
}

#[test]
fn a_plugin_makes_and_deletes_where_it_is() -> Result<()> {
    let mut world = World::new()?;
    let made = world.create("scratch", "script", "capacity_min = \"1MiB\"")?;
    ensure!(made.code == 0, "{}\n{}", made.text(), world.logs());
    let volume = world.volume(&world.wait("scratch", "ready")?.id)?;
    ensure!(world.client_of(&volume.node_id)? == 0, "only the first client has the plugin");
    ensure!(volume.capacity_bytes == 1 << 20, "{volume:?}");
    let told = std::fs::read_to_string(Path::new(&volume.host_path).join("parameters"))?;
    ensure!(told.trim() == r#"{"mode":"0777"}"#, "{told}");
    let node = world.server.ok(&["node", "status", "-verbose", &volume.node_id])?;
    ensure!(node.contains("scratch") && node.contains("plugins.host_volume.script.version"), "{node}");

    // A client that starts anew makes it again: what was mounted is mounted, what was lost is there.
    world.clients[0].kill9()?;
    std::fs::remove_dir_all(&volume.host_path)?;
    world.clients[0].start_again()?;
    eventually("the directory to be there again", PATIENCE, || {
        Ok(Path::new(&volume.host_path).is_dir().then_some(()))
    })?;
    world.wait("scratch", "ready")?;
    world.server.ok(&["volume", "delete", "-type", "host", "scratch"])?;
    ensure!(!Path::new(&volume.host_path).exists(), "it is gone");

    // One that an operator made is taken in, and left where it is.
    let theirs = world.lab.path().join("theirs");
    std::fs::create_dir(&theirs)?;
    let text = format!("node_id = \"{}\"\nhost_path = \"{}\"", volume.node_id, theirs.display());
    let file = world.lab.file("theirs.hcl", &specification("theirs", "", &text))?;
    world.server.ok(&["volume", "register", &file.display().to_string()])?;
    world.wait("theirs", "ready")?;
    world.server.ok(&["volume", "delete", "-type", "host", "theirs"])?;
    ensure!(theirs.is_dir(), "it is the operator's");
    Ok(())
}

#[test]
fn plugins_that_hang_lie_flood_or_die() -> Result<()> {
    let world = World::new()?;
    let bad = |body: &str| {
        format!("#!/bin/sh\n[ \"$1\" = fingerprint ] && {{ echo '{{\"version\": \"1\"}}'; exit; }}\n{body}\n")
    };
    let node = world.server.ask(&calls::nodes(&Query::new()))?;
    let node = node.iter().find(|n| n.name == "client-2").context("the second client")?.id.clone();
    for (name, body, why) in [
        ("lies", "echo '{\"path\": \"/etc/passwd\", \"bytes\": 1}'", "that is no directory"),
        ("babbles", "echo all is well", "does not answer JSON"),
        ("floods", "head -c 1000000000 /dev/zero", "more than can be read"),
        ("dies", "kill -9 $$", "signal: 9"),
        ("refuses", "echo '{\"error\": \"the array is degraded\"}'; exit 4", "the array is degraded"),
    ] {
        plugin(&world.lab, 1, name, &bad(body))?;
        eventually(&format!("plugin {name}"), PATIENCE, || {
            let node = world.server.ask(&calls::node(&Query::new(), &node))?;
            Ok(node.attributes.contains_key(&format!("plugins.host_volume.{name}.version")).then_some(()))
        })?;
        let said = world.create(name, name, "")?;
        ensure!(said.code == 1 && said.stderr.contains(why), "{name}: {}", said.text());
    }
    // One that does not even say what it is, is none.
    plugin(&world.lab, 1, "hangs", "#!/bin/sh\nexec sleep 600\n")?;
    plugin(&world.lab, 1, "after", &bad("exit 1"))?;
    eventually("the plugin beside it", PATIENCE, || {
        let node = world.server.ask(&calls::node(&Query::new(), &node))?;
        ensure!(!node.attributes.contains_key("plugins.host_volume.hangs.version"), "it hangs, and counts");
        Ok(node.attributes.contains_key("plugins.host_volume.after.version").then_some(()))
    })?;
    let said = world.create("hangs", "hangs", "")?;
    ensure!(said.code == 1 && said.stderr.contains("2 has no host volume plugin \"hangs\""), "{}", said.text());
    // Nothing of all that is left.
    let left = world.server.ask(&calls::host_volumes(&Query::new()))?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(world.create("fine", "mkdir", "")?.code == 0, "the others go on");
    Ok(())
}
