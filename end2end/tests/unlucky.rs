//! Unlucky machines: a process that stands still, a disk that fills up, a low limit of file descriptors.

#![allow(clippy::disallowed_methods, reason = "no test here is async")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tarpan_api::wire::AllocListStub;
use tarpan_api::{Query, calls};
use tarpan_end2end::disk::Disk;
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Agent, Lab, eventually};

const SLEEPER: &str = r#"
job "NAME" {
  group "g" {
    ephemeral_disk {
      size = 10
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo files $(ulimit -Sn); while true; do sleep 1; done"]
      }
      logs {
        max_files     = 2
        max_file_size = 2
      }
      resources {
        cpu    = 10
        memory = 10
      }
    }
  }
}
"#;

/// Both roles on `data_dir`, with further lines of the server's block.
fn agent(lab: &Lab, data_dir: &Path, server: &str) -> Result<Agent> {
    let p = free_ports(3)?;
    let config = format!(
        "name = \"one\"\ndata_dir = \"{}\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n{server}}}\nclient {{\n  enabled = true\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        data_dir.display(),
        p[0],
        p[1],
        p[2]
    );
    let config = lab.file("one.hcl", &config)?.display().to_string();
    let agent = Agent::start(lab, "one", p[0], &["-config", &config])?;
    agent.wait_nodes(1)?;
    Ok(agent)
}

fn run(lab: &Lab, agent: &Agent, name: &str) -> Result<AllocListStub> {
    let file = lab.file(&format!("{name}.nomad.hcl"), &SLEEPER.replace("NAME", name))?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    agent.wait_alloc(name, "running")
}

/// The status and body of an answer that may be no success.
fn get(agent: &Agent, path: &str) -> Result<(u16, String)> {
    let asked = ureq::get(format!("{}{path}", agent.addr)).config().http_status_as_error(false).build();
    let mut response = asked.call().with_context(|| format!("GET {path}"))?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

#[test]
fn a_process_that_stood_still_restarts_nothing_afterwards() -> Result<()> {
    let lab = Lab::new()?;
    let beats = "  min_heartbeat_ttl = \"1s\"\n  heartbeat_grace = \"1s\"\n";
    let agent = agent(&lab, &lab.path().join("data"), beats)?;
    let before = run(&lab, &agent, "steady")?;
    let pid = Pid::from_raw(agent.pid().cast_signed());
    kill(pid, Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_secs(9)); // several times what a node may be silent
    kill(pid, Signal::SIGCONT)?;
    eventually("the gap to be noticed", PATIENCE, || {
        Ok(std::fs::read_to_string(&agent.log)?.contains("did not run for a while").then_some(()))
    })?;
    // As long again as a late clock would take to call the node silent.
    std::thread::sleep(Duration::from_secs(4));
    let node = agent.only_node()?;
    ensure!(node.status == "ready", "{node:?}");
    let missed = node.events.iter().any(|event| event.message.contains("heartbeat missed"));
    ensure!(!missed, "{:?}", node.events);
    let after = agent.allocs("steady")?;
    ensure!(after.len() == 1 && after[0].id == before.id, "{after:?}");
    let alloc = agent.ask(&calls::allocation(&Query::new(), &before.id))?;
    let task = alloc.task_states.get("t").context("the task's state")?;
    ensure!(task.restarts == 0, "{task:?}");
    Ok(())
}

#[test]
fn a_full_disk_is_said_everywhere_and_freeing_it_is_enough() -> Result<()> {
    let lab = Lab::new()?;
    let Some(disk) = Disk::mount(lab.path().join("disk"), "64m")? else {
        eprintln!("skipped: this process may not mount a file system");
        return Ok(());
    };
    let agent = agent(&lab, &disk.path().join("data"), "")?;
    let before = run(&lab, &agent, "before")?;
    ensure!(get(&agent, "/v1/agent/health")?.0 == 200, "well before");
    disk.fill()?;
    let (_, health) = eventually("health to say it", PATIENCE, || {
        let answer = get(&agent, "/v1/agent/health?type=server")?;
        Ok((answer.0 == 500).then_some(answer))
    })?;
    ensure!(health.contains("no room") && health.contains("\"ok\":false"), "{health}");
    let file = lab.file("refused.nomad.hcl", &SLEEPER.replace("NAME", "refused"))?.display().to_string();
    let refused = agent.run(&["job", "run", "-detach", &file])?;
    ensure!(refused.code != 0 && refused.text().contains("no room"), "{}", refused.text());
    ensure!(get(&agent, "/v1/status/trouble")?.1.contains("no room"), "a route of its own");
    ensure!(agent.ask(&calls::counts())?.trouble.contains("no room"), "what pages ask for");
    ensure!(get(&agent, "/ui/jobs")?.1.contains("no room"), "the page says it");
    ensure!(get(&agent, "/v1/metrics?format=prometheus")?.1.contains("tarpan_server_no_room"), "a metric");
    ensure!(agent.knows_job("before")?, "reading goes on");
    disk.free()?;
    eventually("it to go on by itself", PATIENCE, || {
        Ok((get(&agent, "/v1/agent/health?type=server")?.0 == 200).then_some(()))
    })?;
    run(&lab, &agent, "after")?;
    let allocs = agent.allocs("before")?;
    ensure!(allocs.len() == 1 && allocs[0].id == before.id, "{allocs:?}");
    ensure!(!agent.knows_job("refused")?, "what was refused is not there");
    drop(agent);
    Ok(())
}

#[test]
fn the_agent_takes_the_file_descriptors_it_may_have_and_tasks_get_what_it_was_started_with() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let soft = (hard - 1).min(1000);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?; // of this test and what it starts
    let lab = Lab::new()?;
    let agent = agent(&lab, &lab.path().join("data"), "")?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid()))?;
    let line = limits.lines().find(|l| l.starts_with("Max open files")).context("a line")?;
    let raised = hard.min(1 << 20).to_string();
    ensure!(line.split_whitespace().nth(3) == Some(&raised), "{line}");
    let id = &run(&lab, &agent, "limits")?.id;
    eventually("the task's limit", PATIENCE, || {
        Ok(agent.run(&["alloc", "logs", id])?.stdout.contains(&format!("files {soft}\n")).then_some(()))
    })
    .with_context(|| agent.run(&["alloc", "logs", id]).map(|o| o.text()).unwrap_or_default())?;
    Ok(())
}
