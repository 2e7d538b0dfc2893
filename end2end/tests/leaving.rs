//! An agent that goes for good drains its node first, where its configuration says so.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tarpan_api::{Query, calls};
use tarpan_end2end::agent::Place;
use tarpan_end2end::cluster::{Cluster, config};
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Agent, Lab, eventually};

/// A client of the cluster; `lines` come into its block, `top` beside it.
fn client(lab: &Lab, cluster: &Cluster, name: &str, top: &str, lines: &str) -> Result<Agent> {
    let ports = free_ports(3)?;
    let text = config(lab, name, &ports)
        + &format!(
            "{top}\nclient {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n{lines}\n}}\n\
             plugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
            cluster.rpc()
        );
    let file = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
    Agent::start(lab, name, ports[0], &["-config", &file])
}

fn service(id: &str, pinned: &str) -> Value {
    let task = json!({ "Name": "t", "Driver": "raw_exec", "KillTimeout": 2_000_000_000u64, "Resources": { "CPU": 20, "MemoryMB": 20 },
        "Config": { "command": "/bin/sleep", "args": ["600"] } });
    let affinity = json!([{ "LTarget": "${node.unique.name}", "RTarget": pinned, "Operand": "=", "Weight": 100 }]);
    json!({ "ID": id, "Name": id, "Datacenters": ["dc1"], "Affinities": affinity,
        "TaskGroups": [{ "Name": "g", "Tasks": [task], "Migrate": { "MaxParallel": 1, "MinHealthyTime": 100_000_000u64,
            "HealthCheck": "task_states", "HealthyDeadline": 60_000_000_000u64 } }] })
}

#[test]
fn a_node_is_drained_before_its_agent_goes_and_a_second_signal_ends_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let cluster = Cluster::start(&lab, 1)?;
    let server = &cluster.servers[0];
    let drains = "  drain_on_shutdown {\n    deadline = \"10m\"\n  }";
    let mut goes = client(&lab, &cluster, "goes", "leave_on_terminate = true", drains)?;
    let mut stays = client(&lab, &cluster, "stays", "leave_on_interrupt = true", drains)?;
    server.wait_nodes(2)?;
    server.ask(&calls::register_json(&Query::new(), &service("web", "goes"), None))?;
    let before = server.wait_alloc("web", "running")?;
    ensure!(before.node_name == "goes", "it is where it likes to be: {before:?}");

    goes.signal(Signal::SIGTERM)?;
    goes.wait_dead().with_context(|| goes.log_tail())?;
    let said = goes.log_tail();
    ensure!(said.contains("draining this node") && said.contains("The node is drained"), "{said}");
    let moved = server.allocs("web")?;
    let at = |name: &str, status: &str| moved.iter().any(|a| a.node_name == name && a.client_status == status);
    ensure!(at("goes", "complete") && at("stays", "running"), "nothing is lost, nothing is left: {moved:?}");
    let nodes = server.ok(&["node", "status"])?;
    let line = nodes.lines().find(|line| line.contains("goes")).unwrap_or_default();
    ensure!(line.contains("ineligible"), "{nodes}");

    // Nowhere to go: the drain goes on until somebody is tired of it. Its own signal is the other one.
    stays.signal(Signal::SIGINT)?;
    let told = || Ok(stays.log_tail().contains("draining this node").then_some(()));
    eventually("it says that it is drained", PATIENCE, told)?;
    let begun = Instant::now();
    stays.signal(Signal::SIGINT)?;
    stays.wait_dead()?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let said = stays.log_tail();
    ensure!(said.contains("Second signal: the agent ends at once"), "{said}");
    Ok(())
}

#[test]
fn a_client_that_finds_no_server_ends_where_its_configuration_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let ports = free_ports(4)?;
    let text = config(&lab, "alone", &ports)
        + &format!(
            "client {{\n  enabled = true\n  server_join {{\n    retry_join = [\"127.0.0.1:{}\"]\n    retry_max = 2\n    \
             retry_interval = \"200ms\"\n  }}\n}}\n",
            ports[3]
        );
    let file = lab.file("alone.hcl", &text)?.display().to_string();
    let http = format!("127.0.0.1:{}", ports[0]);
    let mut alone = Agent::launch(&lab, "alone", Place::default(), &http, &["-config", &file])?;
    alone.wait_dead()?;
    let said = alone.log_tail();
    ensure!(said.contains("Error joining servers: no server answered in 3 tries"), "{said}");
    Ok(())
}
