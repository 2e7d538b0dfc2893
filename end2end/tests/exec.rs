//! Commands that people run in tasks: when the caller is gone, however it left, nothing of the command is left.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

const JOB: &str = r#"
job "host" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
    }
  }
}
"#;

/// Processes whose command line has this word; the callers' own have it as well and are left out.
fn running(word: &str, callers: &[u32]) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    pids.filter(|pid| !callers.contains(pid)).filter(has).count()
}

fn begin(server: &Agent, alloc: &str, word: &str) -> Result<Child> {
    let script = format!("trap '' HUP; : {word}; sleep 600 & wait");
    server
        .command(&["alloc", "exec", "-i=false", "-t=false", alloc, "/bin/sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("running the command line")
}

#[test]
fn a_command_ends_with_its_caller() -> Result<()> {
    let lab = Lab::new()?;
    let (mut server, client) = server_and_client(&lab)?;
    let job = lab.file("host.nomad.hcl", JOB)?.display().to_string();
    server.ok(&["job", "run", "-detach", &job])?;
    let alloc = server.wait_alloc("host", "running")?["ID"].as_str().context("an id")?.to_owned();
    let word = format!("left-behind-{}", std::process::id());

    let mut callers = (0..5).map(|_| begin(&server, &alloc, &word)).collect::<Result<Vec<Child>>>()?;
    let pids: Vec<u32> = callers.iter().map(Child::id).collect();
    eventually("the commands to run", Duration::from_secs(60), || Ok((running(&word, &pids) == 5).then_some(())))?;
    // Killed: the connection breaks off without a word.
    for caller in &mut callers {
        caller.kill()?;
        caller.wait()?;
    }
    eventually("the commands to end", Duration::from_secs(60), || Ok((running(&word, &pids) == 0).then_some(())))
        .with_context(|| client.log_tail())?;

    // The server between caller and node is killed.
    let mut caller = begin(&server, &alloc, &word)?;
    let pids = [caller.id()];
    eventually("the command to run", Duration::from_secs(60), || Ok((running(&word, &pids) == 1).then_some(())))?;
    server.kill9()?;
    eventually("the command to end", Duration::from_secs(60), || Ok((running(&word, &pids) == 0).then_some(())))
        .with_context(|| client.log_tail())?;
    let _ = caller.kill();
    caller.wait()?;
    server.start_again()?;
    server.wait_nodes(1)?;
    let after = server.wait_alloc("host", "running")?;
    ensure!(after["ID"] == alloc.as_str(), "the task itself goes on");
    Ok(())
}
