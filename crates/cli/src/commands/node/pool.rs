//! `node pool list`, `node pool info`, `node pool nodes`, `node pool jobs`.

use tarpan_api::{Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::commands::job;
use crate::output::{self, Format, Table, block, short, title};

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    page: Page,
}

/// Which rows of a list.
#[derive(Debug, clap::Args)]
struct Page {
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    /// How many rows a page has.
    #[arg(long, value_name = "number")]
    per_page: Option<u64>,
    /// Where the page starts.
    #[arg(long, value_name = "token")]
    page_token: Option<String>,
}

impl Page {
    fn query(&self) -> Query {
        let mut query = Query::new().page(self.per_page.unwrap_or(0), self.page_token.clone());
        query.filter.clone_from(&self.filter);
        query
    }
}

/// How to get the rows after these.
fn next_page(command: &str, token: Option<String>) {
    if let Some(token) = token {
        println!(
            "\nResults have been paginated. To get the next page run:\n\n{} {command} -page-token {token}",
            output::program()
        );
    }
}

impl Command for List {
    const PATH: &'static str = "node pool list";
    const ABOUT: &'static str = "Lists node pools.";

    async fn run(self) -> Outcome {
        let client = self.client.client()?;
        let query = self.page.query();
        if self.format.asked() {
            let all = calls::node_pools(&query);
            return self.format.print_answer(&client, all, "Error querying node pools").await;
        }
        let pools = client.node_pools(&query).await.doing("Error querying node pools")?;
        let mut table = Table::new(["Name", "Description"]);
        for pool in &pools.value {
            table.row([&pool.name, &pool.description]);
        }
        println!("{}", table.render());
        next_page(Self::PATH, pools.next_token);
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
            let one = calls::node_pool(&Query::new(), name);
            return self.format.print_answer(&client, one, "Error retrieving node pool").await;
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
    #[command(flatten)]
    page: Page,
    args: Vec<String>,
}

impl Command for Nodes {
    const PATH: &'static str = "node pool nodes";
    const USAGE: &'static str = "<node-pool>";
    const ABOUT: &'static str = "Lists the nodes of a pool.";

    async fn run(self) -> Outcome {
        let name = one(&self.args)?;
        let client = self.client.client()?;
        let call = calls::node_pool_nodes(&self.page.query(), name);
        if self.format.asked() {
            return self.format.print_answer(&client, call, "Error querying nodes").await;
        }
        let answer = client.call(&call).await.doing("Error querying nodes")?;
        let nodes = answer.value;
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
        next_page(&format!("{} {name}", Self::PATH), answer.next_token);
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Jobs {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    page: Page,
    args: Vec<String>,
}

impl Command for Jobs {
    const PATH: &'static str = "node pool jobs";
    const USAGE: &'static str = "<node-pool>";
    const ABOUT: &'static str = "Lists the jobs of a pool.";

    async fn run(self) -> Outcome {
        let name = one(&self.args)?;
        let client = self.client.client()?;
        let call = calls::node_pool_jobs(&self.page.query(), name);
        if self.format.asked() {
            return self.format.print_answer(&client, call, "Error querying jobs").await;
        }
        let answer = client.call(&call).await.doing("Error querying jobs")?;
        match answer.value.is_empty() {
            true => println!("No jobs"),
            false => println!("{}", job::status::list(&answer.value, self.client.namespace() == "*")),
        }
        next_page(&format!("{} {name}", Self::PATH), answer.next_token);
        Ok(0)
    }
}

fn one(args: &[String]) -> Result<&str, Fail> {
    match args {
        [name] => Ok(name),
        _ => Err(Fail::usage("This command takes one argument: <node-pool>")),
    }
}
