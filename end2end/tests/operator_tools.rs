//! What operators look at and keep: the files of a stopped server, the state in a snapshot, snapshots at intervals.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tarpan_end2end::cluster::nowhere;
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Agent, Lab, eventually};

/// A server with a disk and some jobs.
fn server(lab: &Lab) -> Result<Agent> {
    let ports = free_ports(3)?;
    let text = format!(
        "name = \"one\"\ndata_dir = \"{}/data\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n\
         server {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n",
        lab.path().display(),
        ports[0],
        ports[1],
        ports[2]
    );
    let config = lab.file("one.hcl", &text)?.display().to_string();
    let server = Agent::start(lab, "one", ports[0], &["-config", &config])?;
    for job in ["web", "sums"] {
        let file = lab.file(&format!("{job}.hcl"), &nowhere(job))?.display().to_string();
        eventually("a write", PATIENCE, || {
            let done = server.run(&["job", "run", "-detach", &file])?;
            ensure!(done.code == 0, "{}", done.text());
            Ok(Some(()))
        })?;
    }
    Ok(server)
}

fn jobs(state: &Value) -> Result<Vec<&str>> {
    let jobs = state["Jobs"].as_array().context("a list of jobs")?;
    jobs.iter().map(|job| job["ID"].as_str().context("an id")).collect()
}

/// Checksums of all files below a folder.
fn sums(folder: &Path) -> Result<String> {
    let line = "find . -type f | sort | xargs sha256sum";
    let out = std::process::Command::new("sh").args(["-c", line]).current_dir(folder).output()?;
    Ok(String::from_utf8(out.stdout)?)
}

#[test]
fn a_stopped_server_is_looked_into() -> Result<()> {
    let lab = Lab::new()?;
    let mut server = server(&lab)?;
    let data = lab.path().join("data");
    let path = data.display().to_string();
    for command in ["info", "logs", "state"] {
        let refused = server.run(&["operator", "raft", command, &path])?;
        ensure!(refused.code == 1 && refused.stderr.contains("a server is running on"), "{refused:?}");
    }
    let (snapshot, peers) =
        (lab.path().join("one.snap").display().to_string(), server.ok(&["operator", "raft", "list-peers"])?);
    server.ok(&["operator", "snapshot", "save", &snapshot])?;
    server.kill9()?;
    let before = sums(&data)?;

    let info = server.ok(&["operator", "raft", "info", &path])?;
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).with_context(|| info.clone());
        line.map(str::trim)
    };
    let last: u64 = value("last index:")?.parse()?;
    ensure!(value("first index:")? == "0" && value("length:")?.parse() == Ok(last + 1), "{info}");
    ensure!(
        value("path:")? == data.join("server/server/raft").display().to_string()
            && peers.contains(value("server id:")?),
        "{info}"
    );

    let logs = server.ok(&["operator", "raft", "logs", &data.join("server/raft").display().to_string()])?;
    let entries: Vec<Value> = logs.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(entries.len() as u64 == last + 1 && entries[0]["Type"] == "Membership", "{logs}");
    let pretty = server.ok(&["operator", "raft", "logs", "-pretty", &path])?;
    let again: Vec<Value> = serde_json::Deserializer::from_str(&pretty).into_iter().collect::<Result<_, _>>()?;
    ensure!(again == entries && pretty.lines().count() > logs.lines().count());

    let state: Value = serde_json::from_str(&server.ok(&["operator", "raft", "state", &path])?)?;
    ensure!(jobs(&state)? == ["sums", "web"], "{state}");
    let web =
        entries.iter().find(|entry| entry["Commands"].to_string().contains("RegisterJob")).context("one registers")?;
    let index = web["Index"].to_string();
    let then: Value =
        serde_json::from_str(&server.ok(&["operator", "raft", "state", "-last-index", &index, &path])?)?;
    ensure!(jobs(&then)? == ["web"] && then["LatestIndex"] == web["Index"], "{then}");
    let refused = server.run(&["operator", "raft", "state", "-last-index=100000", &path])?;
    ensure!(refused.code == 1 && refused.text().contains("index 100000 is not there: the log goes to"), "{refused:?}");
    let refused = server.run(&["operator", "raft", "info", &lab.path().display().to_string()])?;
    ensure!(refused.code == 1 && refused.text().contains("is no data directory of a server"), "{refused:?}");
    ensure!(sums(&data)? == before, "nothing was changed");

    let kept: Value = serde_json::from_str(&server.ok(&["operator", "snapshot", "state", &snapshot])?)?;
    ensure!(jobs(&kept)? == ["sums", "web"], "{kept}");
    let web = server.ok(&["operator", "snapshot", "state", "-filter", "ID == \"web\"", &snapshot])?;
    ensure!(jobs(&serde_json::from_str(&web)?)? == ["web"], "{web}");
    let refused = server.run(&["operator", "snapshot", "state", &lab.file("text", "job")?.display().to_string()])?;
    ensure!(refused.code == 1 && refused.text().contains("it is no gzip file"), "{refused:?}");

    server.start_again()?;
    eventually("it goes on", PATIENCE, || Ok(server.knows_job("web")?.then_some(())))
}

fn saved(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".snap"));
    names.sort_unstable();
    names
}

#[test]
fn snapshots_are_saved_at_intervals_until_it_is_told_to_end_or_fails_too_often() -> Result<()> {
    let lab = Lab::new()?;
    let mut server = server(&lab)?;
    let folder = lab.path().join("backups");
    let text = |interval: &str| {
        format!(
            "snapshot {{\n  interval = \"{interval}\"\n  retain = 2\n  max_failures = 2\n}}\nlocal_storage {{\n  path = \"{}\"\n}}\n",
            folder.display()
        )
    };
    let config = lab.file("agent.hcl", &text("300ms"))?.display().to_string();
    let start = || -> Result<std::process::Child> {
        let mut command = server.command(&["operator", "snapshot", "agent", &config]);
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let agent = start()?;
        // Numbers grow: with two files kept, four new ones mean that older ones went.
        let number = |name: &String| name.split('-').nth(1).and_then(|n| n.parse::<u64>().ok());
        let begun = saved(&folder).last().and_then(number).unwrap_or(0);
        eventually("some files", PATIENCE, || {
            let now = saved(&folder);
            Ok((now.len() == 2 && now.last().and_then(number) >= Some(begun + 4)).then_some(()))
        })?;
        kill(Pid::from_raw(agent.id().cast_signed()), signal)?;
        let out = agent.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.code() == Some(0) && out.stderr.is_empty(), "{out:?}");
        ensure!(said.contains(" saved ") && said.contains("older file removed") && said.contains(" ended: "), "{said}");
    }
    // Files are whole, and nothing else is left.
    let names = saved(&folder);
    for name in &names {
        let shown = server.ok(&["operator", "snapshot", "inspect", &folder.join(name).display().to_string()])?;
        ensure!(shown.contains("jobs"), "{shown}");
    }
    let left = std::fs::read_dir(&folder)?.count();
    ensure!(left == names.len() + 1, "{left} files beside {names:?}: a lock, and no more");

    // Once, and end.
    let once = lab.file("once.hcl", &text("0s"))?.display().to_string();
    server.ok(&["operator", "snapshot", "agent", &once])?;
    ensure!(saved(&folder).last() > names.last());

    // The server goes: after two failures it ends, and what was saved stays.
    let names = saved(&folder);
    server.kill9()?;
    let config = lab.file("failing.hcl", &text("200ms"))?.display().to_string();
    let failed = server.run(&["operator", "snapshot", "agent", &config])?;
    ensure!(
        failed.code == 1
            && failed.stderr.contains("could not be saved to")
            && failed.stderr.contains("2 times in a row"),
        "{failed:?}"
    );
    ensure!(saved(&folder) == names);
    let refused = lab.file("bad.hcl", "nomad {\n  address = \"http://127.0.0.1:1\"\n}\n")?.display().to_string();
    let refused = server.run(&["operator", "snapshot", "agent", &refused])?;
    ensure!(refused.code == 1 && refused.text().contains("\"nomad\" has no effect here"), "{refused:?}");
    Ok(())
}
