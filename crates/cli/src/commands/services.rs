//! `service list`, `service info`, `service delete`.

use tarpan_api::wire::{NamespaceServices, ServiceRegistration};
use tarpan_api::{Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Format, Table, block, short};

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Only services of this name.
    #[arg(long, value_name = "name")]
    name: Option<String>,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "service list";
    const ABOUT: &'static str = "Lists services that jobs have registered.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        if self.format.asked() {
            let all = calls::services(&Query::new());
            return self.format.print_answer(&client, all, "Error listing service registrations").await;
        }
        let mut all = client.services(&Query::new()).await.doing("Error listing service registrations")?.value;
        if let Some(name) = &self.name {
            all.iter_mut().for_each(|namespace| namespace.services.retain(|s| s.service_name == *name));
        }
        match all.iter().all(|n| n.services.is_empty()) {
            true => println!("No service registrations found"),
            false => println!("{}", list(&all, self.client.namespace() == "*")),
        }
        Ok(0)
    }
}

fn list(all: &[NamespaceServices], namespaces: bool) -> String {
    let mut rows: Vec<(&str, &str, String)> = Vec::new();
    for namespace in all {
        rows.extend(
            namespace.services.iter().map(|s| (s.service_name.as_str(), namespace.namespace.as_str(), tags(&s.tags))),
        );
    }
    rows.sort();
    let mut table = match namespaces {
        true => Table::new(["Service Name", "Namespace", "Tags"]),
        false => Table::new(["Service Name", "Tags"]),
    };
    for (name, namespace, tags) in rows {
        match namespaces {
            true => table.row([name, namespace, &tags]),
            false => table.row([name, &tags]),
        }
    }
    table.render()
}

fn tags(tags: &[String]) -> String {
    format!("[{}]", tags.join(","))
}

#[derive(Debug, clap::Args)]
pub struct Info {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Everything of each instance, in blocks.
    #[arg(long)]
    verbose: bool,
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    /// How many instances a page has.
    #[arg(long, value_name = "number")]
    per_page: Option<u64>,
    /// Where the page starts.
    #[arg(long, value_name = "token")]
    page_token: Option<String>,
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "service info";
    const USAGE: &'static str = "<service_name>";
    const ABOUT: &'static str = "Shows where a service answers.";

    async fn run(self) -> Outcome {
        let [name] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <service_name>"));
        };
        let client = self.client.client()?;
        let mut query = Query::new().page(self.per_page.unwrap_or(0), self.page_token.clone());
        query.filter.clone_from(&self.filter);
        let doing = "Error listing service registrations";
        let instances = client.service(&query, name).await.doing(doing)?.value;
        if instances.is_empty() {
            let all = client.services(&Query::new()).await.doing(doing)?.value;
            if all.iter().all(|n| n.services.is_empty()) {
                return Err(Fail::new("No service registrations found"));
            }
            return Err(Fail::new(format!("Prefix matched multiple services\n\n{}", list(&all, false))));
        }
        if self.format.asked() {
            return self.format.print_answer(&client, calls::service(&query, name), doing).await;
        }
        match self.verbose {
            true => println!("{}", instances.iter().map(whole).collect::<Vec<_>>().join("\n\n")),
            false => println!("{}", table(&instances)),
        }
        Ok(0)
    }
}

fn address(s: &ServiceRegistration) -> String {
    if s.address.contains(':') { format!("[{}]:{}", s.address, s.port) } else { format!("{}:{}", s.address, s.port) }
}

fn table(instances: &[ServiceRegistration]) -> String {
    let mut table = Table::new(["Job ID", "Address", "Tags", "Node ID", "Alloc ID"]);
    for s in instances {
        let (node, alloc) = (s.node_id.to_string(), s.alloc_id.to_string());
        table.row([
            s.job_id.to_string(),
            address(s),
            tags(&s.tags),
            short(&node, false).to_owned(),
            short(&alloc, false).to_owned(),
        ]);
    }
    table.render()
}

fn whole(s: &ServiceRegistration) -> String {
    block(&[
        ("ID", s.id.to_string()),
        ("Service Name", s.service_name.to_string()),
        ("Namespace", s.namespace.to_string()),
        ("Job ID", s.job_id.to_string()),
        ("Alloc ID", s.alloc_id.to_string()),
        ("Node ID", s.node_id.to_string()),
        ("Datacenter", s.datacenter.to_string()),
        ("Address", address(s)),
        ("Tags", tags(&s.tags)),
    ])
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Delete {
    const PATH: &'static str = "service delete";
    const USAGE: &'static str = "<service_name> <service_id>";
    const ABOUT: &'static str = "Takes a registration away that nobody keeps up any more.";

    async fn run(self) -> Outcome {
        let [name, id] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes two arguments: <service_name> and <service_id>"));
        };
        let client = self.client.client()?;
        client.delete_service(&Query::new(), name, id).await.doing("Error deleting service registration")?;
        println!("Successfully deleted service registration");
        Ok(0)
    }
}
