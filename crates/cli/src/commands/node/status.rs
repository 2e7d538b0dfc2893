//! `node status`: the list of nodes, and the way to one of them.

use tarpan_api::wire::NodeListStub;
use tarpan_api::{Client, Query, calls};

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::history::Span;
use crate::output::{self, Format, Table, sdk, short};

#[derive(Debug, Default, clap::Args)]
pub struct NodeStatus {
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub format: Format,
    /// Only the first block and the allocations.
    #[arg(long)]
    pub short: bool,
    /// Show everything in full, attributes and metadata too.
    #[arg(long)]
    pub verbose: bool,
    /// Show how many allocations run on each node.
    #[arg(long)]
    pub allocs: bool,
    /// The node of the agent that is asked.
    #[arg(long = "self")]
    pub own: bool,
    /// Show what the node uses in detail.
    #[arg(long)]
    pub stats: bool,
    /// Show what the node used over time: hour or day.
    #[arg(long, value_name = "span")]
    pub history: Option<Span>,
    /// Only ids.
    #[arg(long)]
    pub quiet: bool,
    /// Show operating systems.
    #[arg(long)]
    pub os: bool,
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    pub filter: Option<String>,
    /// How many nodes a page has.
    #[arg(long, value_name = "number")]
    pub per_page: Option<u64>,
    /// Where the page starts.
    #[arg(long, value_name = "token")]
    pub page_token: Option<String>,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    pub ui: bool,
    pub args: Vec<String>,
}

impl Command for NodeStatus {
    const PATH: &'static str = "node status";
    const ALIASES: &'static [&'static str] = &["node-status"];
    const USAGE: &'static str = "<node>";
    const ABOUT: &'static str = "Lists nodes, or shows one of them.";

    async fn run(self) -> Outcome {
        let client = self.client.client()?;
        match (self.args.as_slice(), self.own) {
            ([], false) => self.list(&client).await,
            ([], true) => {
                let id = lookup::own_node(&client).await?;
                self.show(&client, &id).await
            }
            ([word], false) => {
                let stub = lookup::node(&client, word).await?;
                self.show(&client, &stub.id).await
            }
            _ => Err(Fail::usage("This command takes either one or no arguments")),
        }
    }
}

impl NodeStatus {
    async fn list(&self, client: &Client) -> Outcome {
        let mut query = Query::new().page(self.per_page.unwrap_or(0), self.page_token.clone());
        query.filter.clone_from(&self.filter);
        if self.os || self.verbose {
            query = query.with("os", true);
        }
        if self.format.asked() {
            let all = calls::nodes(&query);
            return self.format.print_shaped(client, all, sdk::node_stub, "Error querying nodes").await;
        }
        let answer = client.nodes(&query).await.doing("Error querying node status")?;
        if self.quiet {
            for node in &answer.value {
                println!("{}", short(&node.id, self.verbose));
            }
            return Ok(0);
        }
        let running = match self.allocs {
            true => Some(self.running(client, &answer.value).await?),
            false => None,
        };
        match answer.value.is_empty() {
            true => println!("No nodes registered"),
            false => println!("{}", list(&answer.value, self.os, self.verbose, running.as_deref())),
        }
        if let Some(token) = answer.next_token {
            println!(
                "\nResults have been paginated. To get the next page run:\n\n{} node status -page-token {token}",
                output::program()
            );
        }
        output::page(self.ui, "View and manage Nomad clients", &self.client.address(), "/ui/clients");
        Ok(0)
    }

    /// Running allocations of each node.
    async fn running(&self, client: &Client, nodes: &[NodeListStub]) -> Result<Vec<usize>, Fail> {
        let mut out = Vec::new();
        for node in nodes {
            let allocs =
                client.node_allocations(&Query::new(), &node.id).await.doing("Error querying node allocations")?;
            out.push(allocs.value.iter().filter(|a| a.client_status == "running").count());
        }
        Ok(out)
    }

    async fn show(&self, client: &Client, id: &str) -> Outcome {
        if self.format.asked() {
            let one = calls::node(&Query::new(), id);
            return self.format.print_answer(client, one, "Error querying node info").await;
        }
        let NodeStatus { short, verbose, stats, history, ui, .. } = *self;
        one::show(one::Flags { address: &self.client.address(), short, verbose, stats, history, ui }, client, id).await
    }
}

fn list(nodes: &[NodeListStub], os: bool, verbose: bool, running: Option<&[usize]>) -> String {
    let mut heading = vec!["ID", "Node Pool", "DC", "Name", "Class"];
    if os {
        heading.push("OS");
    }
    if verbose {
        heading.extend(["Address", "Version"]);
    }
    heading.extend(["Drain", "Eligibility", "Status"]);
    heading.extend(running.map(|_| "Running Allocs"));
    let mut table = Table::new(heading);
    for (i, node) in nodes.iter().enumerate() {
        let mut row = vec![
            short(&node.id, verbose).to_owned(),
            node.node_pool.clone(),
            node.datacenter.clone(),
            node.name.clone(),
            node.node_class.clone(),
        ];
        if os {
            row.push(node.attributes.get("os.name").cloned().unwrap_or_default());
        }
        if verbose {
            row.extend([node.address.clone(), node.version.clone()]);
        }
        row.extend([node.drain.to_string(), node.scheduling_eligibility.clone(), node.status.clone()]);
        row.extend(running.and_then(|r| r.get(i)).map(usize::to_string));
        table.row(row);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list() {
        let node = NodeListStub {
            id: "0a1b2c3d-0000-0000-0000-000000000000".to_owned(),
            node_pool: "default".to_owned(),
            datacenter: "dc1".to_owned(),
            name: "host".to_owned(),
            scheduling_eligibility: "eligible".to_owned(),
            status: "ready".to_owned(),
            ..NodeListStub::default()
        };
        insta::assert_snapshot!(list(&[node], false, false, Some(&[3])), @r"
        ID        Node Pool  DC   Name  Class   Drain  Eligibility  Status  Running Allocs
        0a1b2c3d  default    dc1  host  <none>  false  eligible     ready   3
        ");
    }
}
