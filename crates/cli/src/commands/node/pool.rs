//! `node pool list`, `node pool info`, `node pool nodes`.

use tarpan_api::Query;
use tarpan_api::wire::NodeListStub;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, Format, Table, block, short, title};

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
}

impl Command for List {
    const PATH: &'static str = "node pool list";
    const ABOUT: &'static str = "Lists node pools.";

    async fn run(self) -> Outcome {
        let client = self.client.client()?;
        let mut query = Query::new();
        query.filter.clone_from(&self.filter);
        if self.format.asked() {
            return self.format.print_path(&client, &query.on("/v1/node/pools"), "Error querying node pools").await;
        }
        let pools = client.node_pools(&query).await.doing("Error querying node pools")?.value;
        let mut table = Table::new(["Name", "Description"]);
        for pool in &pools {
            table.row([&pool.name, &pool.description]);
        }
        println!("{}", table.render());
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Info {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "node pool info";
    const USAGE: &'static str = "<node-pool>";
    const ABOUT: &'static str = "Shows a node pool.";

    async fn run(self) -> Outcome {
        let name = one(&self.args)?;
        let client = self.client.client()?;
        if self.format.asked() {
            let path = format!("/v1/node/pool/{}", output::encode(name));
            return self.format.print_path(&client, &path, "Error retrieving node pool").await;
        }
        let pool = client.node_pool(&Query::new(), name).await.doing("Error retrieving node pool")?.value;
        println!(
            "{}",
            block(&[
                ("Name", pool.name.clone()),
                ("Description", pool.description.clone()),
                ("Node Identity TTL", pool.node_identity_ttl.to_string()),
            ])
        );
        let meta: Vec<(&String, &String)> = pool.meta.iter().collect();
        let meta = if meta.is_empty() { "No metadata".to_owned() } else { block(&meta) };
        println!("{}{meta}", title("Metadata"));
        let scheduler = match &pool.scheduler_configuration {
            Some(value) if !value.is_null() => output::json::pretty(value, 4),
            _ => "No scheduler configuration".to_owned(),
        };
        println!("{}{scheduler}", title("Scheduler Configuration"));
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Nodes {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Nodes {
    const PATH: &'static str = "node pool nodes";
    const USAGE: &'static str = "<node-pool>";
    const ABOUT: &'static str = "Lists the nodes of a pool.";

    async fn run(self) -> Outcome {
        let name = one(&self.args)?;
        let client = self.client.client()?;
        let path = format!("/v1/node/pool/{}/nodes", output::encode(name));
        if self.format.asked() {
            return self.format.print_path(&client, &path, "Error querying nodes").await;
        }
        let nodes: Vec<NodeListStub> = client.get(&path).await.doing("Error querying nodes")?.value;
        if nodes.is_empty() {
            println!("No nodes");
            return Ok(0);
        }
        let mut table = Table::new(["ID", "DC", "Name", "Class", "Drain", "Eligibility", "Status"]);
        for n in &nodes {
            let drain = n.drain.to_string();
            let id = short(&n.id, self.verbose);
            table.row([id, &n.datacenter, &n.name, &n.node_class, &drain, &n.scheduling_eligibility, &n.status]);
        }
        println!("{}", table.render());
        Ok(0)
    }
}

fn one(args: &[String]) -> Result<&str, Fail> {
    match args {
        [name] => Ok(name),
        _ => Err(Fail::usage("This command takes one argument: <node-pool>")),
    }
}
