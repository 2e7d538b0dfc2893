//! A server and simulated nodes, as processes of their own, and what they cost.

use anyhow::{Context, Result};
use tarpan_end2end::lab::free_ports;
use tarpan_end2end::simulated::Nodes;
use tarpan_end2end::{Agent, Lab};

pub struct Crew {
    pub server: Agent,
    _nodes: Nodes,
}

impl Crew {
    /// Ready when all nodes are.
    pub fn start(lab: &Lab, nodes: usize) -> Result<Crew> {
        let ports = free_ports(3)?;
        let config = format!(
            "data_dir = \"{}\"\nbind_addr = \"127.0.0.1\"\nlog_level = \"WARN\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n\
             server {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n\
             limits {{\n  rpc_max_conns_per_client = 0\n}}\n",
            lab.path().join("data").display(),
            ports[0],
            ports[1],
            ports[2]
        );
        let config = lab.file("server.hcl", &config)?.display().to_string();
        let server = Agent::start(lab, "server", ports[0], &["-config", &config])?;
        let crew = Crew { server, _nodes: Nodes::start(lab, nodes, ports[1])? };
        crew.server.wait_nodes(nodes)?;
        Ok(crew)
    }

    /// Processor time of the server until now, in seconds.
    pub fn processor(&self) -> Result<f64> {
        processor(&self.server)
    }

    /// Resident memory of the server, in MiB.
    pub fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

/// Processor time of an agent until now, in seconds: a hundred ticks are one, wherever this runs.
pub fn processor(agent: &Agent) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.pid()))?;
    let after = stat.rsplit_once(')').context("a name")?.1;
    let field = |n: usize| after.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((field(11) + field(12)) / 100.0)
}
