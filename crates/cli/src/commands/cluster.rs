//! `server members`, `agent-info`, `system gc`, `system reconcile summaries`, `operator raft list-peers`.

use serde_json::Value;
use tarpan_api::wire::{AgentMember, RaftConfigurationResponse};
use tarpan_api::{Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, Format, Table, json};

#[derive(Debug, clap::Args)]
pub struct Members {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Show protocol and tags.
    #[arg(long)]
    verbose: bool,
    /// The same as -verbose.
    #[arg(long)]
    detailed: bool,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    ui: bool,
    args: Vec<String>,
}

impl Command for Members {
    const PATH: &'static str = "server members";
    const ALIASES: &'static [&'static str] = &["server-members"];
    const ABOUT: &'static str = "Lists the servers.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        if self.format.asked() {
            let value = json::answer(&client, calls::members(), "Error querying servers").await?;
            let mut members = value.get("Members").cloned().unwrap_or_default();
            let leader = client.leader().await.doing("Error determining leaders")?.value;
            name_leader(&mut members, &leader);
            return self.format.print(&members);
        }
        let mut members = client.members().await.doing("Error querying servers")?.value.members;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let leader = client.leader().await.map(|a| a.value);
        println!("{}", table(&members, leader.as_deref().unwrap_or_default(), self.verbose || self.detailed));
        output::page(self.ui, "View and manage Nomad servers", &self.client.address(), "/ui/servers");
        match leader {
            Ok(leader) if !leader.is_empty() => Ok(0),
            Ok(_) => Err(Fail::new("\nError determining leaders: no server of the region leads")),
            Err(e) => Err(Fail::new(format!("\nError determining leaders: {}", output::api_error(&e)))),
        }
    }
}

/// Says of each member, as a tag, whether it leads: that is known by asking, not from the member.
fn name_leader(members: &mut Value, leader: &str) {
    for value in members.as_array_mut().into_iter().flatten() {
        let Ok(member) = serde_json::from_value::<AgentMember>(value.clone()) else { continue };
        if let Some(tags) = value["Tags"].as_object_mut() {
            tags.insert("Leader".to_owned(), is_leader(&member, leader).to_string().into());
        }
    }
}

fn table(members: &[AgentMember], leader: &str, detailed: bool) -> String {
    let mut heading = vec!["Name", "Address", "Port", "Status", "Leader"];
    if detailed {
        heading.push("Protocol");
    }
    heading.extend(["Raft Version", "Build", "Datacenter", "Region"]);
    if detailed {
        heading.push("Tags");
    }
    let mut table = Table::new(heading);
    for m in members {
        let tag = |name: &str| m.tags.get(name).cloned().unwrap_or_default();
        let mut row = vec![
            m.name.clone(),
            m.addr.clone(),
            m.port.to_string(),
            m.status.clone(),
            is_leader(m, leader).to_string(),
        ];
        if detailed {
            row.push(m.protocol_cur.to_string());
        }
        row.extend([tag("raft_vsn"), tag("build"), tag("dc"), tag("region")]);
        if detailed {
            let tags: Vec<String> = m.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            row.push(tags.join(","));
        }
        table.row(row);
    }
    table.render()
}

/// The server at the leader's RPC address.
fn is_leader(m: &AgentMember, leader: &str) -> bool {
    let port = m.tags.get("port").map(String::as_str).unwrap_or_default();
    let host = m.tags.get("rpc_addr").filter(|a| !a.is_empty() && *a != "0.0.0.0").unwrap_or(&m.addr);
    leader == format!("{host}:{port}") || leader == format!("{}:{port}", m.addr)
}

#[derive(Debug, clap::Args)]
pub struct AgentInfo {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for AgentInfo {
    const PATH: &'static str = "agent-info";
    const ABOUT: &'static str = "Prints figures of the agent that is asked.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        if self.format.asked() {
            return self.format.print_answer(&client, calls::agent_self(), "Error querying agent info").await;
        }
        let me = client.agent_self().await.doing("Error querying agent info")?.value;
        for (section, values) in &me.stats {
            println!("{section}");
            for (key, value) in values {
                println!("  {key} = {value}");
            }
        }
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct SystemGc {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for SystemGc {
    const PATH: &'static str = "system gc";
    const ABOUT: &'static str = "Removes what has ended: jobs, evaluations, allocations, deployments, nodes.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        self.client.client()?.system_gc().await.doing("Error running system garbage-collection")?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct ReconcileSummaries {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for ReconcileSummaries {
    const PATH: &'static str = "system reconcile summaries";
    const ABOUT: &'static str = "Counts the allocations of all jobs again.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let doing = "Error running system summary reconciliation";
        self.client.client()?.reconcile_summaries().await.doing(doing)?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct RaftPeers {
    #[command(flatten)]
    client: ClientFlags,
    /// Take the answer of any server, even where there is no leader.
    #[arg(long)]
    stale: bool,
    args: Vec<String>,
}

impl Command for RaftPeers {
    const PATH: &'static str = "operator raft list-peers";
    const ABOUT: &'static str = "Lists the servers that agree on the log.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let peers: RaftConfigurationResponse = client
            .raft_configuration(&Query { stale: self.stale, ..Query::new() })
            .await
            .doing("Error getting peers: failed to retrieve raft configuration")?
            .value;
        let mut table = Table::new(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]);
        for p in &peers.servers {
            let state = if p.leader { "leader" } else { "follower" };
            let voter = p.voter.to_string();
            table.row([p.node.as_str(), &p.id, &p.address, state, &voter, &p.raft_protocol]);
        }
        println!("{}", table.render());
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_found_by_address() {
        let mut m = AgentMember { name: "a.global".to_owned(), addr: "10.0.0.1".to_owned(), ..AgentMember::default() };
        m.tags.insert("port".to_owned(), "4647".to_owned());
        m.tags.insert("build".to_owned(), "1.0".to_owned());
        assert!(is_leader(&m, "10.0.0.1:4647"));
        assert!(!is_leader(&m, "10.0.0.2:4647"));
    }
}
