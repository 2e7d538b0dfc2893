//! Several servers of one region, from configuration files as guides show them.

use anyhow::Result;
use tarpan_api::{Query, calls};

use crate::lab::{PATIENCE, free_ports};
use crate::{Agent, Lab, eventually};

pub struct Cluster {
    pub servers: Vec<Agent>,
    /// Where the first ones gossip: `HOST:PORT`.
    known: Vec<String>,
    /// RPC of the first one.
    rpc: u16,
    /// The `bootstrap_expect` of all.
    expected: usize,
}

/// The head of a configuration file; `ports` are those of HTTP, RPC and gossip.
pub fn config(lab: &Lab, name: &str, ports: &[u16]) -> String {
    format!(
        "name = \"{name}\"\ndata_dir = \"{}/{name}\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  \
         serf = {}\n}}\n",
        lab.path().display(),
        ports[0],
        ports[1],
        ports[2]
    )
}

/// The file of a job that servers keep and no node is to run.
pub fn nowhere(name: &str) -> String {
    format!(
        "job \"{name}\" {{\n  datacenters = [\"nowhere\"]\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"raw_exec\"\n      \
         config {{\n        command = \"/bin/true\"\n      }}\n    }}\n  }}\n}}\n"
    )
}

impl Cluster {
    /// Starts `count` servers that know each other's gossip: `server-1`, `server-2`, …
    pub fn start(lab: &Lab, count: usize) -> Result<Cluster> {
        Cluster::start_with(lab, count, "")
    }

    /// The same with lines in the configuration's block of the server.
    pub fn start_with(lab: &Lab, count: usize, lines: &str) -> Result<Cluster> {
        let ports = free_ports(3 * count)?;
        let known = (0..count).map(|i| format!("{}:{}", host(i), ports[3 * i + 2])).collect();
        let mut cluster = Cluster { servers: Vec::new(), known, rpc: ports[1], expected: count };
        let started: Vec<Result<Agent>> = std::thread::scope(|scope| {
            let cluster = &cluster;
            let ports = ports.chunks(3).enumerate();
            let started: Vec<_> =
                ports.map(|(i, ports)| scope.spawn(move || cluster.server(lab, i, ports, lines))).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        cluster.servers = started.into_iter().collect::<Result<_>>()?;
        Ok(cluster)
    }

    fn server(&self, lab: &Lab, index: usize, ports: &[u16], lines: &str) -> Result<Agent> {
        let name = format!("server-{}", index + 1);
        let known: Vec<String> = self.known.iter().map(|address| format!("\"{address}\"")).collect();
        let text = config(lab, &name, ports)
            .replace("bind_addr = \"127.0.0.1\"", &format!("bind_addr = \"{}\"", host(index)))
            + &format!(
                "addresses {{\n  http = \"127.0.0.1\"\n}}\nleave_on_terminate = true\nserver {{\n  enabled = true\n  bootstrap_expect = {}\n  failover_heartbeat_ttl = \"20s\"\n  \
                 encrypt = \"MDEyMzQ1Njc4OWFiY2RlZg==\"\n{lines}  server_join {{\n    retry_join = [{}]\n    retry_interval = \"500ms\"\n  }}\n}}\n\
                 autopilot {{\n  server_stabilization_time = \"1s\"\n}}\n",
                self.expected,
                known.join(", ")
            );
        let file = lab.file(&format!("{name}.hcl"), &text)?;
        Agent::start(lab, &name, ports[0], &["-config", &file.display().to_string()])
    }

    /// One more server, which joins by the gossip of the first ones.
    pub fn add(&mut self, lab: &Lab) -> Result<usize> {
        let added = self.server(lab, self.servers.len(), &free_ports(3)?, "")?;
        self.servers.push(added);
        Ok(self.servers.len() - 1)
    }

    /// A client that knows the first server and may run raw processes.
    pub fn client(&self, lab: &Lab) -> Result<Agent> {
        let ports = free_ports(3)?;
        let text = config(lab, "client", &ports)
            + &format!(
                "client {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
                self.rpc
            );
        let file = lab.file("client.hcl", &text)?.display().to_string();
        Agent::start(lab, "client", ports[0], &["-config", &file])
    }

    /// The port on which the first one hears nodes.
    pub fn rpc(&self) -> u16 {
        self.rpc
    }

    /// Which of the servers leads, as one that lives sees it.
    pub fn leader(&self, seen_by: usize) -> Result<usize> {
        eventually("a leader", PATIENCE, || {
            let members = self.servers[seen_by].ask(&calls::members())?.members;
            let leader = self.servers[seen_by].ask(&calls::leader())?;
            let found = members.iter().find(|m| {
                m.status == "alive" && !leader.is_empty() && leader.ends_with(&format!(":{}", m.tags["port"]))
            });
            Ok(found.and_then(|m| index(&m.name)))
        })
    }

    /// Those that vote, as one that lives sees it: their places in `servers`.
    pub fn voters(&self, seen_by: usize) -> Result<Vec<usize>> {
        let raft = self.servers[seen_by].ask(&calls::raft_configuration(&Query::new()))?;
        let mut voters: Vec<usize> = raft.servers.iter().filter(|s| s.voter).filter_map(|s| index(&s.node)).collect();
        voters.sort_unstable();
        Ok(voters)
    }
}

/// Each has an address of its own, as on machines of their own; HTTP is on the first one for all.
fn host(index: usize) -> String {
    format!("127.0.0.{}", index + 1)
}

/// The place in [`Cluster::servers`] of the server of this name, with or without its region.
pub fn index(name: &str) -> Option<usize> {
    name.strip_prefix("server-")?.split('.').next()?.parse::<usize>().ok()?.checked_sub(1)
}
