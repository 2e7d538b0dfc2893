//! A task that puts links and pipes where the agent reads and writes: the host stays as it was, and the agent goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Agent, Lab, eventually};

/// Replaces its logs, its `tmp` and files that others may ask for; then speaks on both of its outputs.
fn job(host: &Path) -> String {
    // As a stranger would be run. Without root the agent can only run tasks as itself.
    let user = if nix::unistd::geteuid().is_root() { "user = \"nobody\"" } else { "" };
    let host = host.display();
    let script = [
        "cd $NOMAD_ALLOC_DIR && echo before",
        "rm logs/bad.stdout.0 logs/bad.stderr.0",
        &format!("ln -s {host}/victim logs/bad.stdout.0"),
        &format!("ln -s {host}/planted logs/bad.stdout.1"),
        "mkfifo logs/bad.stderr.0 data/pipe",
        &format!("mv tmp away && ln -s {host} tmp"),
        &format!("ln -s {host}/victim data/leak && ln -s here data/inside && echo inside > data/here"),
        "i=0; while true; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.2; done",
    ]
    .join("; ");
    format!(
        "job \"bad\" {{\n  group \"g\" {{\n    task \"bad\" {{\n      driver = \"raw_exec\"\n      {user}\n      config {{\n        command = \"/bin/sh\"\n        args    = [\"-c\", {script:?}]\n      }}\n    }}\n  }}\n}}\n"
    )
}

fn agent(lab: &Lab) -> Result<Agent> {
    let (p, dir) = (free_ports(3)?, lab.path().display());
    let config = format!(
        "name = \"one\"\ndata_dir = \"{dir}/data\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\nclient {{\n  enabled = true\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        p[0], p[1], p[2]
    );
    let config = lab.file("one.hcl", &config)?.display().to_string();
    let agent = Agent::start(lab, "one", p[0], &["-config", &config])?;
    agent.wait_nodes(1)?;
    Ok(agent)
}

fn get(agent: &Agent, path: &str) -> Result<(u16, String)> {
    let request = ureq::get(format!("{}{path}", agent.addr)).config().http_status_as_error(false);
    let mut response = request.timeout_global(Some(Duration::from_secs(20))).build().call()?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

fn threads(agent: &Agent) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/task", agent.pid()))?.count())
}

#[test]
fn a_task_cannot_turn_the_agents_files_against_the_host() -> Result<()> {
    let lab = Lab::new()?;
    // The task's user must come to its own directories.
    std::fs::set_permissions(lab.path(), std::fs::Permissions::from_mode(0o711))?;
    let host = lab.path().join("host");
    std::fs::create_dir(&host)?;
    std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(host.join("victim"), "the host's\n")?;
    let untouched = || -> Result<()> {
        ensure!(std::fs::read_to_string(host.join("victim"))? == "the host's\n", "the host's file was written");
        ensure!(std::fs::read_dir(&host)?.count() == 1, "something was planted on the host");
        let mode = std::fs::metadata(&host)?.permissions().mode() & 0o7777;
        ensure!(mode == 0o755, "the host's directory became {mode:o}");
        Ok(())
    };
    let mut agent = agent(&lab)?;
    let file = lab.file("bad.nomad.hcl", &job(&host))?.display().to_string();
    agent.ok(&["job", "run", "-detach", &file])?;
    let id = agent.wait_alloc("bad", "running")?.id;
    let log = |agent: &Agent, kind: &str| {
        get(agent, &format!("/v1/client/fs/logs/{id}?task=bad&type={kind}&plain=true")).map(|(_, text)| text)
    };
    for kind in ["stdout", "stderr"] {
        eventually(&format!("{kind} to go on in a fresh file"), PATIENCE, || {
            let text = log(&agent, kind)?;
            ensure!(!text.contains("the host's"), "the log shows the host's file");
            Ok((text.contains("it goes on here") && text.lines().count() > 3).then_some(()))
        })?;
    }
    untouched()?;

    let file = |path: &str| format!("/v1/client/fs/cat/{id}?path=alloc/data/{path}");
    ensure!(get(&agent, &file("inside"))? == (200, "inside\n".to_owned()), "a link that stays inside is followed");
    let (status, text) = get(&agent, &file("leak"))?;
    ensure!(status == 400 && text.contains("Path escapes the alloc directory"), "{status} {text}");
    let before = threads(&agent)?;
    for _ in 0..100 {
        let (status, text) = get(&agent, &file("pipe"))?;
        ensure!(status == 400 && text.contains("named pipe"), "{status} {text}");
    }
    let after = threads(&agent)?;
    ensure!(after < before + 40, "{before} threads became {after}");

    agent.kill9()?;
    agent.start_again()?;
    agent.wait_nodes(1)?;
    let lines = log(&agent, "stdout")?.lines().count();
    eventually("the output to go on", PATIENCE, || Ok((log(&agent, "stdout")?.lines().count() > lines).then_some(())))?;
    untouched()?;

    agent.ok(&["job", "stop", "-purge", "-detach", "bad"])?;
    agent.ok(&["system", "gc"])?;
    let dir = lab.path().join("data").join("client").join("alloc").join(&id);
    let dir = if dir.exists() { dir } else { lab.path().join("data").join("alloc").join(&id) };
    eventually("the allocation's directory to go", Duration::from_secs(60), || {
        let _ = agent.run(&["system", "gc"]);
        Ok((!dir.exists()).then_some(()))
    })?;
    untouched()
}
