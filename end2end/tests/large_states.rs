//! A state of many allocations, saved in one cluster and restored in another.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tarpan_api::{Query, calls};
use tarpan_end2end::cluster::Cluster;
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::simulated::Nodes;
use tarpan_end2end::{Agent, Lab, eventually};

/// Of each job. `TARPAN_LONG` makes a hundred thousand of two jobs.
const FEW: usize = 2_000;
const MANY: usize = 50_000;
const JOBS: [&str; 2] = ["many-0", "many-1"];

fn register(server: &Agent, id: &str, count: usize) -> Result<()> {
    let task = json!({ "Name": "t", "Driver": "mock_driver", "Config": { "run_for": "24h" },
        "Resources": { "CPU": 20, "MemoryMB": 20 }, "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 } });
    let group = json!({ "Name": "g", "Count": count, "Tasks": [task], "EphemeralDisk": { "SizeMB": 10 } });
    let job = json!({ "ID": id, "Name": id, "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group] });
    server.ask(&calls::register_json(&Query::new(), &job, None))?;
    Ok(())
}

/// How many of the jobs' allocations run.
fn running(server: &Agent) -> Result<u64> {
    let jobs = server.ask(&calls::jobs_overview("q=many-", 1, JOBS.len()))?;
    Ok(jobs.rows.iter().map(|row| row.counts.running).sum())
}

/// The rows of a snapshot as text, without the indexes that the state and its tables have by now, and at which allocations changed: they
/// count as changed by the restore, so that their nodes hear of it.
fn rows(server: &Agent, file: &Path) -> Result<Vec<String>> {
    let state = server.ok(&["operator", "snapshot", "state", &file.display().to_string()])?;
    let mut lines = state.lines().map(str::to_owned).collect::<Vec<_>>();
    let at = |lines: &[String], what: &str| lines.iter().position(|line| line == what).context(what.to_owned());
    let indexes = at(&lines, "  \"Indexes\": {")?;
    let end = indexes + at(&lines[indexes..], "  },")?;
    lines.drain(indexes..=end);
    const GO_ON: [&str; 3] = ["\"LatestIndex\"", "\"ModifyIndex\"", "\"AllocModifyIndex\""];
    lines.retain(|line| !GO_ON.iter().any(|name| line.trim_start().starts_with(name)));
    Ok(lines)
}

#[test]
fn a_large_state_is_the_same_in_another_cluster() -> Result<()> {
    let (count, patience) = match std::env::var_os("TARPAN_LONG") {
        Some(_) => (MANY, Duration::from_secs(300)),
        None => (FEW, PATIENCE),
    };
    let lab = Lab::new()?;
    let here = Cluster::start(&lab, 1)?;
    let server = &here.servers[0];
    here.leader(0)?;
    let nodes = Nodes::start(&lab, 40, here.rpc())?;
    server.wait_nodes(40)?;
    JOBS.iter().try_for_each(|id| register(server, id, count))?;
    let all = (JOBS.len() * count) as u64;
    eventually("all run", patience, || Ok((running(server)? == all).then_some(())))?;
    let file = lab.path().join("here.snap");
    server.ok(&["operator", "snapshot", "save", &file.display().to_string()])?;
    let saved = rows(server, &file)?;
    drop(nodes);
    drop(here);

    let there_lab = Lab::new()?;
    let there = Cluster::start(&there_lab, 3)?;
    let follower = (there.leader(0)? + 1) % 3;
    there.servers[follower].ok(&["operator", "snapshot", "restore", &file.display().to_string()])?;
    let own = |n: usize| there_lab.path().join(format!("{n}.snap"));
    // All before any is looked at, which takes long: the nodes are not there, and the cluster goes on to find that out.
    for (n, server) in there.servers.iter().enumerate() {
        eventually("this server has it", patience, || {
            let jobs = server.ask(&calls::jobs(&Query { stale: true, ..Query::new() }))?;
            Ok((jobs.len() == JOBS.len()).then_some(()))
        })?;
        server.ok(&["operator", "snapshot", "save", "-stale", &own(n).display().to_string()])?;
    }
    for (n, server) in there.servers.iter().enumerate() {
        let rows = rows(server, &own(n))?;
        let other = saved.iter().zip(&rows).position(|(a, b)| a != b);
        let around = other.map(|at| &rows[at.saturating_sub(40)..(at + 2).min(rows.len())]);
        ensure!(around.is_none() && saved.len() == rows.len(), "server {n}: {around:#?}, {} lines", rows.len());
    }
    let one = there.servers[follower].ask(&calls::allocations(&Query::new().page(1, None)))?;
    one.first().context("an allocation")?;
    Ok(())
}
