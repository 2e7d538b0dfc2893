//! A server that comes back with an older copy of its data: what it does not know goes on running until somebody decides.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

fn copy(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().context("running cp")?;
    ensure!(done.success(), "copying {}: {done}", from.display());
    Ok(())
}

/// Runs a job that writes a line into its task directory for ever, and gives its allocation.
fn run(lab: &Lab, server: &Agent, job: &str) -> Result<String> {
    let text = format!(
        "job \"{job}\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"raw_exec\"\n      config {{\n        command = \"/bin/sh\"\n        args = [\"-c\", \"while true; do echo x >> $NOMAD_TASK_DIR/lines; sleep 0.1; done\"]\n      }}\n      resources {{\n        cpu = 20\n        memory = 20\n      }}\n    }}\n  }}\n}}\n"
    );
    let file = lab.file(&format!("{job}.nomad.hcl"), &text)?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    Ok(server.wait_alloc(job, "running")?.id)
}

/// The allocation's task writes, and has its directory.
fn goes_on(lab: &Lab, alloc: &str) -> Result<()> {
    let lines = lab.path().join(format!("client/alloc/{alloc}/t/local/lines"));
    let length = || std::fs::metadata(&lines).map(|m| m.len()).with_context(|| lines.display().to_string());
    let before = length()?;
    eventually(&format!("{alloc} to go on"), PATIENCE, || Ok((length()? > before).then_some(())))
}

#[test]
fn an_older_copy_of_the_servers_data_ends_no_task() -> Result<()> {
    let lab = Lab::new()?;
    let (mut server, mut client) = server_and_client(&lab)?;
    let old = run(&lab, &server, "old")?;
    let (data, kept) = (lab.path().join("server"), lab.path().join("copy"));
    server.stop()?;
    copy(&data, &kept)?;
    server.start_again()?;
    let newer = run(&lab, &server, "newer")?;
    let other = run(&lab, &server, "other")?;

    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    copy(&kept, &data)?;
    server.start_again()?;
    let node = eventually("the node to say so", PATIENCE, || {
        let node = server.only_node()?;
        let said = node.events.iter().any(|event| event.message.contains("2 allocations that are not in it"));
        Ok((said && node.status == "ready").then_some(node.id))
    })?;
    ensure!(!server.knows_job("newer")?, "the older copy does not know the job");
    // The index grows past everything that the agent was told: that alone decides nothing.
    let last = run(&lab, &server, "filler")?;
    for alloc in [&old, &newer, &other, &last] {
        goes_on(&lab, alloc)?;
    }
    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    eventually("the session", PATIENCE, || {
        server.ask(&calls::node_stats(&Query::new(), Some(&node))).map(|_| Some(()))
    })?;
    for alloc in [&old, &newer, &other] {
        goes_on(&lab, alloc)?;
    }
    ensure!(server.wait_alloc("old", "running")?.id == old, "what both know runs on as it was");

    // Registering the job again is a decision: what ran of it before ends, and nothing else does.
    let again = run(&lab, &server, "newer")?;
    let dir = lab.path().join(format!("client/alloc/{newer}"));
    eventually("the earlier one to end", PATIENCE, || Ok((!dir.exists()).then_some(())))
        .with_context(|| client.log_tail())?;
    for alloc in [&old, &other, &again] {
        goes_on(&lab, alloc)?;
    }
    Ok(())
}
