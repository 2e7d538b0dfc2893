//! `tarpan-agent`, the client role in a program of its own, beside a server of the full program.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tarpan_api::{Query, calls};
use tarpan_end2end::agent::Place;
use tarpan_end2end::lab::{PATIENCE, eventually, free_ports};
use tarpan_end2end::{Agent, Lab};

/// A lab whose program is the light one.
fn light() -> Result<Lab> {
    let mut lab = Lab::new()?;
    lab.bin = lab.bin.with_file_name("tarpan-agent");
    ensure!(lab.bin.exists(), "{} is not built: cargo build -p tarpan-light", lab.bin.display());
    Ok(lab)
}

#[test]
fn a_light_node_runs_jobs_and_finds_them_again() -> Result<()> {
    let (lab, light) = (Lab::new()?, light()?);
    let ports = free_ports(4)?;
    let server = lab.file(
        "server.hcl",
        &format!(
            "data_dir = \"{}/data\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n",
            lab.path().display(), ports[0], ports[1], ports[2]
        ),
    )?;
    let server = Agent::start(&lab, "server", ports[0], &["-config", &server.display().to_string()])?;
    let client = light.file(
        "client.hcl",
        &format!(
            "data_dir = \"{}/data\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n}}\nclient {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
            light.path().display(), ports[3], ports[1]
        ),
    )?;
    let client = client.display().to_string();
    let http = format!("127.0.0.1:{}", ports[3]);
    let mut node = Agent::launch(&light, "client", Place::default(), &http, &["-config", &client])?;
    server.wait_nodes(1)?;

    let task = json!({ "Name": "t", "Driver": "raw_exec", "Resources": { "CPU": 20, "MemoryMB": 20 },
        "Config": { "command": "/bin/sh", "args": ["-c", "echo pid $$; exec sleep 600"] } });
    let job = json!({ "ID": "light", "Name": "light", "Datacenters": ["dc1"], "TaskGroups": [{ "Name": "g", "Tasks": [task] }] });
    server.ask(&calls::register_json(&Query::new(), &job, None))?;
    let alloc = server.wait_alloc("light", "running")?;
    let pid = || {
        let log = server.ok(&["alloc", "logs", &alloc.id])?;
        Ok(log.trim().strip_prefix("pid ").map(str::to_owned))
    };
    let pid = eventually("the task's first line", PATIENCE, pid)?;
    let runs = || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep");
    ensure!(runs(), "the task runs as {pid}");

    node.kill9()?;
    ensure!(runs(), "the task outlives its agent");
    node.launch_again()?;
    eventually("the node tells its client address again", PATIENCE, || {
        Ok(server.ok(&["alloc", "logs", &alloc.id]).is_ok().then_some(()))
    })
    .with_context(|| node.log_tail())?;
    let again = server.allocs("light")?;
    ensure!(again.len() == 1 && again[0].client_status == "running", "{again:?}");
    server.ok(&["job", "stop", "-purge", "light"])?;
    eventually("the task ends", PATIENCE, || Ok((!runs()).then_some(())))
}

#[test]
fn what_it_can_not_be_is_said() -> Result<()> {
    let light = light()?;
    let said = |args: &[&str]| -> Result<(i32, String)> {
        let out = std::process::Command::new(&light.bin).args(args).output()?;
        let text = [out.stdout, out.stderr].concat();
        Ok((out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    };
    let ports = free_ports(3)?;
    let file = light.file(
        "ports.hcl",
        &format!("ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n", ports[0], ports[1], ports[2]),
    )?;
    let (code, text) = said(&["-dev", "-config", &file.display().to_string()])?;
    ensure!(code == 1 && text.contains("this program runs the client role alone"), "{text}");
    let (code, text) = said(&["-no-such-flag"])?;
    ensure!(code == 1 && text.contains("flag provided but not defined: -no-such-flag"), "{text}");
    let (code, text) = said(&["something"])?;
    ensure!(code == 1 && text.contains("\"something\""), "{text}");
    let (code, text) = said(&["-help"])?;
    ensure!(code == 0 && text.contains("-servers"), "{text}");
    Ok(())
}
