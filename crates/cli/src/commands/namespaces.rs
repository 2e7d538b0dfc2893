//! `namespace list`, `status`, `inspect`, `apply`, `delete`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use tarpan_api::wire::Namespace;
use tarpan_api::{Client, Query, calls};
use tarpan_config::hcl1;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Format, Table, block, title};

fn one<'a>(args: &'a [String], what: &str) -> Result<&'a str, Fail> {
    match args {
        [name] => Ok(name),
        _ => Err(Fail::usage(format!("This command takes one argument: {what}"))),
    }
}

/// The namespace of that name or of the only name that begins so.
async fn find(client: &Client, word: &str) -> Result<Namespace, Fail> {
    let doing = "Error retrieving namespaces";
    let mut all = client.namespaces(&Query::new().prefix(word)).await.doing(doing)?.value;
    if all.iter().any(|n| n.name == word) {
        all.retain(|n| n.name == word);
    }
    match all.len() {
        0 => Err(Fail::new(format!("{doing}: Namespace {word:?} matched no namespaces"))),
        1 => Ok(all.remove(0)),
        _ => Err(Fail::new(format!("Prefix matched multiple namespaces\n\n{}", table(&all)))),
    }
}

fn table(all: &[Namespace]) -> String {
    let mut table = Table::new(["Name", "Description"]);
    for n in all {
        table.row([&n.name, &n.description]);
    }
    table.render()
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "namespace list";
    const ABOUT: &'static str = "Lists namespaces.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        if self.format.asked() {
            let all = calls::namespaces(&Query::new());
            return self.format.print_answer(&client, all, "Error retrieving namespaces").await;
        }
        let all = client.namespaces(&Query::new()).await.doing("Error retrieving namespaces")?.value;
        println!("{}", table(&all));
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    args: Vec<String>,
}

impl Command for Status {
    const PATH: &'static str = "namespace status";
    const USAGE: &'static str = "<namespace>";
    const ABOUT: &'static str = "Shows a namespace.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<namespace>")?;
        let client = self.client.client()?;
        let found = find(&client, word).await?;
        if self.format.asked() {
            let one = calls::namespace(&found.name);
            return self.format.print_answer(&client, one, "Error retrieving namespace").await;
        }
        println!("{}", text(&found));
        Ok(0)
    }
}

fn text(n: &Namespace) -> String {
    let c = n.capabilities.clone().unwrap_or_default();
    let list = |names: Option<Vec<String>>, none: &str| match names {
        Some(names) if !names.is_empty() => names.join(","),
        _ => none.to_owned(),
    };
    let mut out = block(&[
        ("Name", n.name.clone()),
        ("Description", n.description.clone()),
        ("Quota", n.quota.clone()),
        ("Enabled Drivers", list(c.enabled_task_drivers, "*")),
        ("Disabled Drivers", list(c.disabled_task_drivers, "")),
        ("Enabled Network Modes", list(c.enabled_network_modes, "*")),
        ("Disabled Network Modes", list(c.disabled_network_modes, "")),
    ]);
    if let Some(meta) = n.meta.as_ref().filter(|m| !m.is_empty()) {
        let pairs: Vec<(&String, &String)> = meta.iter().collect();
        out.push_str(&format!("\n{}{}", title("Metadata"), block(&pairs)));
    }
    out
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the answer of the API through a Go template.
    #[arg(long = "t", value_name = "template")]
    template: Option<String>,
    args: Vec<String>,
}

impl Command for Inspect {
    const PATH: &'static str = "namespace inspect";
    const USAGE: &'static str = "<namespace>";
    const ABOUT: &'static str = "Prints a namespace as JSON.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<namespace>")?;
        let client = self.client.client()?;
        let found = find(&client, word).await?;
        let format = Format { json: self.template.is_none(), template: self.template };
        format.print_answer(&client, calls::namespace(&found.name), "Error retrieving namespace").await
    }
}

#[derive(Debug, clap::Args)]
pub struct Apply {
    #[command(flatten)]
    client: ClientFlags,
    /// What the namespace is for.
    #[arg(long, value_name = "text")]
    description: Option<String>,
    /// A quota for the namespace. There are none in this version.
    #[arg(long, hide = true)]
    quota: Option<String>,
    /// The input is JSON.
    #[arg(long)]
    json: bool,
    args: Vec<String>,
}

impl Command for Apply {
    const PATH: &'static str = "namespace apply";
    const USAGE: &'static str = "<input>";
    const ABOUT: &'static str = "Creates or changes a namespace, by name, from a file or from standard input (\"-\").";

    async fn run(self) -> Outcome {
        let input = one(&self.args, "<input>")?;
        if self.quota.as_ref().is_some_and(|quota| !quota.is_empty()) {
            return Err(Fail::new("-quota would limit what the namespace uses; this version has no quotas"));
        }
        let mut body = match input {
            "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(Fail::new)?;
                specification("stdin", &text)?
            }
            file if Path::new(file).is_file() => {
                let text =
                    std::fs::read_to_string(file).map_err(|e| Fail::new(format!("Error reading {file}: {e}")))?;
                specification(file, &text)?
            }
            name => json!({ "Name": name }),
        };
        if let Some(description) = &self.description {
            body["Description"] = json!(description);
        }
        let client = self.client.client()?;
        let name = body["Name"].as_str().unwrap_or_default().to_owned();
        client.apply_namespace(&body).await.doing("Error applying namespace")?;
        println!("Successfully applied namespace {name:?}!");
        Ok(0)
    }
}

/// The API's body for a namespace file.
fn specification(file: &str, text: &str) -> Result<Value, Fail> {
    let body = hcl1::parse(text).map_err(|e| Fail::new(format!("Error parsing {file}:{e}")))?;
    let mut out = BTreeMap::new();
    for item in &body {
        let (name, value) = match item.key.to_ascii_lowercase().as_str() {
            "name" => ("Name", plain(&item.value)),
            "description" => ("Description", plain(&item.value)),
            "quota" => ("Quota", plain(&item.value)),
            "meta" => ("Meta", plain(&item.value)),
            "capabilities" => (
                "Capabilities",
                renamed(
                    &item.value,
                    &[
                        ("enabled_task_drivers", "EnabledTaskDrivers"),
                        ("disabled_task_drivers", "DisabledTaskDrivers"),
                        ("enabled_network_modes", "EnabledNetworkModes"),
                        ("disabled_network_modes", "DisabledNetworkModes"),
                    ],
                ),
            ),
            "node_pool_config" => ("NodePoolConfiguration", renamed(&item.value, LISTS)),
            "vault" => ("VaultConfiguration", renamed(&item.value, LISTS)),
            "consul" => ("ConsulConfiguration", renamed(&item.value, LISTS)),
            _ => return Err(Fail::new(format!("Error parsing {file}:{}: unknown key {:?}", item.at, item.key))),
        };
        out.insert(name, value);
    }
    Ok(json!(out))
}

const LISTS: &[(&str, &str)] = &[("default", "Default"), ("allowed", "Allowed"), ("denied", "Denied")];

/// A block with the wire's names for its keys.
fn renamed(value: &hcl1::Value, names: &[(&str, &str)]) -> Value {
    let hcl1::Value::Object(body) = value else { return plain(value) };
    let pairs = body.iter().map(|item| {
        let wire = names.iter().find(|(hcl, _)| *hcl == item.key).map_or(item.key.as_str(), |(_, wire)| *wire);
        (wire.to_owned(), plain(&item.value))
    });
    Value::Object(pairs.collect())
}

fn plain(value: &hcl1::Value) -> Value {
    match value {
        hcl1::Value::Null => Value::Null,
        hcl1::Value::Bool(b) => json!(b),
        hcl1::Value::Number(n) => n.parse::<i64>().map(|n| json!(n)).unwrap_or_else(|_| json!(n)),
        hcl1::Value::Text(t) => json!(t),
        hcl1::Value::List(items) => items.iter().map(|(_, v)| plain(v)).collect(),
        hcl1::Value::Object(body) => body.iter().map(|i| (i.key.clone(), plain(&i.value))).collect(),
    }
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Delete {
    const PATH: &'static str = "namespace delete";
    const USAGE: &'static str = "<namespace>";
    const ABOUT: &'static str = "Deletes a namespace without jobs.";

    async fn run(self) -> Outcome {
        let name = one(&self.args, "<namespace>")?;
        let client = self.client.client()?;
        client.delete_namespace(name).await.doing("Error deleting namespace")?;
        println!("Successfully deleted namespace {name:?}!");
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let text = "name = \"two\"\ndescription = \"d\"\ncapabilities { disabled_task_drivers = [\"docker\"] }\n";
        let expected = json!({"Name": "two", "Description": "d", "Capabilities": {"DisabledTaskDrivers": ["docker"]}});
        assert_eq!(specification("ns.hcl", text).expect("a good file"), expected);
        assert!(specification("ns.hcl", "nam = 1").is_err());
    }
}
