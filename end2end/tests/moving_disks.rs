//! What an ephemeral disk keeps goes with its allocation to another node.

use anyhow::{Context, Result, ensure};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::pair::server_and_clients;
use tarpan_end2end::{Agent, Lab, eventually};

/// Its task writes once, where nothing was written before.
const JOB: &str = r#"
job "moving" {
  group "g" {
    ephemeral_disk {
      migrate = true
    }
    migrate {
      min_healthy_time = "1s"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "[ -e $NOMAD_ALLOC_DIR/data/first ] || { echo $NOMAD_ALLOC_ID > $NOMAD_ALLOC_DIR/data/first; echo $NOMAD_ALLOC_ID > $NOMAD_TASK_DIR/own; }; echo $NOMAD_ALLOC_ID > $NOMAD_SECRETS_DIR/key; while :; do sleep 1; done"]
      }
    }
  }
}
"#;

/// Id and node of the only allocation that runs.
fn running(server: &Agent) -> Result<Option<(String, String)>> {
    let allocs = server.allocs("moving")?;
    let mut running = allocs.into_iter().filter(|a| a.client_status == "running" && a.desired_status == "run");
    Ok(running.next().map(|a| (a.id, a.node_id)))
}

fn reads(server: &Agent, alloc: &str, path: &str) -> Result<Option<String>> {
    let read = server.run(&["alloc", "fs", alloc, path])?;
    Ok((read.code == 0).then(|| read.stdout.trim().to_owned()))
}

#[test]
fn a_drained_job_finds_its_files_on_another_node() -> Result<()> {
    let lab = Lab::new()?;
    let (server, clients) = server_and_clients(&lab, &["client", "client-2"])?;
    let job = lab.file("moving.nomad.hcl", JOB)?.display().to_string();
    server.ok(&["job", "run", "-detach", &job])?;
    let (old, node) = eventually("it to run", PATIENCE, || running(&server))?;
    for file in ["alloc/data/first", "t/local/own"] {
        eventually("its files", PATIENCE, || Ok((reads(&server, &old, file)? == Some(old.clone())).then_some(())))?;
    }
    server.ok(&["node", "drain", "-enable", "-yes", "-detach", &node])?;
    let (new, elsewhere) = eventually("it to run elsewhere", PATIENCE, || {
        Ok(running(&server)?.filter(|(id, on)| *id != old && *on != node))
    })
    .with_context(|| clients.iter().map(Agent::log_tail).collect::<Vec<_>>().join("\n"))?;
    ensure!(elsewhere != node, "another node");
    for file in ["alloc/data/first", "t/local/own"] {
        let is = reads(&server, &new, file)?;
        ensure!(is == Some(old.clone()), "{file} is {is:?} and was {old}");
    }
    let listed = server.ok(&["alloc", "fs", &new, "/"])?;
    ensure!(!listed.contains(".incoming"), "{listed}");
    // No caller of /v1 gets it: neither over a server nor from the node itself.
    for agent in clients.iter().chain([&server]) {
        for alloc in [&old, &new] {
            let answer = ureq::get(format!("{}/internal/disk/{alloc}", agent.addr)).call();
            ensure!(matches!(&answer, Err(ureq::Error::StatusCode(404))), "{} answers {answer:?}", agent.addr);
        }
    }
    server.ok(&["job", "stop", "-purge", "moving"])?;
    Ok(())
}
