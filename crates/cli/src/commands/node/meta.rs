//! `node meta read`, `node meta apply`: metadata that changes while a node runs.

use std::collections::BTreeMap;

use tarpan_api::wire::NodeMetaApplyRequest;
use tarpan_api::{Client, Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::{Format, block, paint};

#[derive(Debug, clap::Args)]
pub struct Read {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// The node; that of the agent asked when not given.
    #[arg(long, value_name = "id")]
    node_id: Option<String>,
    args: Vec<String>,
}

impl Command for Read {
    const PATH: &'static str = "node meta read";
    const USAGE: &'static str = "[-node-id ...]";
    const ABOUT: &'static str = "Prints the metadata of a node.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let id = node_named(&client, self.node_id.as_deref()).await?;
        let call = calls::node_metadata(&Query::new(), id.as_deref());
        let doing = "Error reading dynamic node metadata";
        if self.format.asked() {
            return self.format.print_answer(&client, call, doing).await;
        }
        let meta = client.call(&call).await.doing(doing)?.value;
        let dynamic: BTreeMap<String, String> =
            meta.dynamic.iter().map(|(k, v)| (k.clone(), v.clone().unwrap_or_else(|| "<unset>".to_owned()))).collect();
        let sections = [("All Meta", &meta.meta), ("Dynamic Meta", &dynamic), ("Static Meta", &meta.static_)];
        let texts = sections.map(|(name, map)| {
            let pairs: Vec<(&String, &String)> = map.iter().collect();
            format!("{}\n{}", paint("1", name), block(&pairs))
        });
        println!("{}", texts.join("\n\n"));
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Apply {
    #[command(flatten)]
    client: ClientFlags,
    /// The node; that of the agent asked when not given.
    #[arg(long, value_name = "id")]
    node_id: Option<String>,
    /// Keys to take away, "key1,key2".
    #[arg(long, value_name = "keys")]
    unset: Option<String>,
    args: Vec<String>,
}

impl Command for Apply {
    const PATH: &'static str = "node meta apply";
    const USAGE: &'static str = "[-node-id ...] [-unset ...] key1=value1 ... kN=vN";
    const ABOUT: &'static str = "Changes the metadata of a node.";

    async fn run(self) -> Outcome {
        let mut meta: BTreeMap<String, Option<String>> = BTreeMap::new();
        for key in self.unset.iter().flat_map(|keys| keys.split(',')).filter(|k| !k.is_empty()) {
            meta.insert(key.to_owned(), None);
        }
        for pair in &self.args {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            meta.insert(key.to_owned(), Some(value.to_owned()));
        }
        if meta.is_empty() {
            return Err(Fail::usage("Must specify -unset or at least 1 key=value pair"));
        }
        let client = self.client.client()?;
        let id = node_named(&client, self.node_id.as_deref()).await?;
        let request = NodeMetaApplyRequest { node_id: id.clone().unwrap_or_default(), meta };
        let doing = "Error applying dynamic node metadata";
        client.apply_node_metadata(&Query::new(), id.as_deref(), &request).await.doing(doing)?;
        Ok(0)
    }
}

/// The id of the node that `word` names; `None`: the node of the agent asked.
async fn node_named(client: &Client, word: Option<&str>) -> Result<Option<String>, Fail> {
    match word {
        Some(word) => Ok(Some(lookup::node(client, word).await?.id)),
        None => Ok(None),
    }
}
