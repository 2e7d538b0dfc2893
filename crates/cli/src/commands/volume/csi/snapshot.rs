//! `volume snapshot …`: snapshots that plugins make of their volumes.

use tarpan_api::wire::{CsiSnapshot, CsiSnapshots};
use tarpan_api::{Client, Query};
use tarpan_model::UnixNanos;

use super::pairs;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Table, bytes, short, time};

fn table(all: &[CsiSnapshot], verbose: bool) -> String {
    let mut table = Table::new(["Snapshot ID", "Volume ID", "Size", "Create Time", "Ready?"]);
    for s in all {
        let size = bytes(u64::try_from(s.size_bytes).unwrap_or(0));
        let made = time::ago_or_stamp(UnixNanos::from_secs(s.create_time), time::now(), verbose);
        let of = short(&s.external_source_volume_id, verbose);
        table.row([s.id.as_str(), of, &size, &made, &s.is_ready.to_string()]);
    }
    table.render()
}

#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    client: ClientFlags,
    /// Show ids in full.
    #[arg(long)]
    verbose: bool,
    /// A parameter for the plugin, as key=value; may be given several times.
    #[arg(long, value_name = "key=value")]
    parameter: Vec<String>,
    /// A secret for the plugin, as key=value; may be given several times.
    #[arg(long, value_name = "key=value")]
    secret: Vec<String>,
    args: Vec<String>,
}

impl Command for Create {
    const PATH: &'static str = "volume snapshot create";
    const USAGE: &'static str = "<volume id> <snapshot_name>";
    const ABOUT: &'static str = "Has a plugin make a snapshot of a volume.";

    async fn run(self) -> Outcome {
        let (volume, name) = match self.args.as_slice() {
            [volume] => (volume, String::new()),
            [volume, name] => (volume, name.clone()),
            _ => return Err(Fail::usage("This command takes one or two arguments: <volume id> <snapshot_name>")),
        };
        let wanted = CsiSnapshot {
            source_volume_id: volume.clone(),
            name,
            parameters: pairs("parameter", &self.parameter)?,
            secrets: pairs("secret", &self.secret)?,
            ..CsiSnapshot::default()
        };
        let request = CsiSnapshots { snapshots: vec![wanted], next_token: String::new() };
        let client = self.client.client()?;
        let made = client.create_csi_snapshots(&Query::new(), &request).await.doing("Error snapshotting volume")?.value;
        println!("{}", table(&made.snapshots, self.verbose));
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    /// A secret for the plugin, as key=value; may be given several times.
    #[arg(long, value_name = "key=value")]
    secret: Vec<String>,
    args: Vec<String>,
}

impl Command for Delete {
    const PATH: &'static str = "volume snapshot delete";
    const USAGE: &'static str = "<plugin id> <snapshot id>";
    const ABOUT: &'static str = "Has a plugin delete a snapshot.";

    async fn run(self) -> Outcome {
        let [plugin, snapshot] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes two arguments: <plugin id> <snapshot id>"));
        };
        let (client, secrets) = (self.client.client()?, pairs("secret", &self.secret)?);
        let deleted = client.delete_csi_snapshot(&Query::new(), plugin, snapshot, &secrets).await;
        deleted.doing("Error deleting snapshot")?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    /// Only the snapshots of this plugin.
    #[arg(long, value_name = "plugin")]
    plugin: Option<String>,
    /// Show ids in full.
    #[arg(long)]
    verbose: bool,
    /// A secret for the plugin, as key=value: the field's; none is needed to list.
    #[arg(long, value_name = "key=value", hide = true)]
    secret: Vec<String>,
    /// How many a page has.
    #[arg(long, value_name = "number", default_value_t = 30)]
    per_page: u32,
    /// Where the page begins.
    #[arg(long, value_name = "token")]
    page_token: Option<String>,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "volume snapshot list";
    const USAGE: &'static str = "[-plugin plugin_id]";
    const ABOUT: &'static str = "Lists the snapshots that plugins have.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let plugins = match &self.plugin {
            Some(plugin) => vec![plugin.clone()],
            None => every_plugin(&client).await?,
        };
        let (mut all, mut next) = (Vec::new(), String::new());
        for plugin in &plugins {
            let mut query = Query::new().with("per_page", self.per_page);
            if let Some(token) = &self.page_token {
                query = query.with("next_token", token);
            }
            let page = client.csi_snapshots(&query, plugin).await.doing("Error querying CSI external snapshots")?.value;
            all.extend(page.snapshots);
            next = page.next_token;
        }
        match all.is_empty() {
            true => println!("No snapshots"),
            false => println!("{}", table(&all, self.verbose)),
        }
        if !next.is_empty() && plugins.len() == 1 {
            println!("\nThere are more: continue with -page-token {next}");
        }
        Ok(0)
    }
}

async fn every_plugin(client: &Client) -> Result<Vec<String>, Fail> {
    let plugins = client.csi_plugins(&Query::new()).await.doing("Error listing plugins")?.value;
    Ok(plugins.into_iter().map(|plugin| plugin.id).collect())
}
