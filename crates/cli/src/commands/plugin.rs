//! `plugin status`: CSI plugins, and one of them.

use tarpan_api::wire::{CsiControllerInfo, CsiNodeInfo, CsiPlugin, CsiPluginListStub};
use tarpan_api::{Client, Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{Format, Table, allocs, block, paint, short, time, title};

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Only plugins of this type: csi.
    #[arg(long = "type", value_name = "type")]
    kind: Option<String>,
    /// Only the first block.
    #[arg(long)]
    short: bool,
    /// Show ids in full, and what each client says of the plugin.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

const LISTING: &str = "Error listing plugins";

impl Command for Status {
    const PATH: &'static str = "plugin status";
    const USAGE: &'static str = "[plugin]";
    const ABOUT: &'static str = "Lists CSI plugins, or shows one of them.";

    async fn run(self) -> Outcome {
        if let Some(kind) = self.kind.as_deref().filter(|kind| !kind.is_empty() && *kind != "csi") {
            return Err(Fail::new(format!("Error: {kind:?} is no type of plugins: there is \"csi\"")));
        }
        let client = self.client.client()?;
        match self.args.as_slice() {
            [] => self.list(&client).await,
            [word] => self.one(&client, word).await,
            _ => Err(Fail::usage("This command takes either no arguments or one: <plugin>")),
        }
    }
}

impl Status {
    async fn list(&self, client: &Client) -> Outcome {
        if self.format.asked() {
            return self.format.print_answer(client, calls::csi_plugins(&Query::new()), LISTING).await;
        }
        let all = client.csi_plugins(&Query::new()).await.doing(LISTING)?.value;
        let section = if all.is_empty() { "No CSI plugins".to_owned() } else { table(&all) };
        println!("{}\n{section}", paint("1", "Container Storage Interface"));
        Ok(0)
    }

    async fn one(&self, client: &Client, word: &str) -> Outcome {
        let mut found = client.csi_plugins(&Query::new()).await.doing(LISTING)?.value;
        found.retain(|plugin| plugin.id.starts_with(word));
        if found.iter().any(|plugin| plugin.id == word) {
            found.retain(|plugin| plugin.id == word);
        }
        let id = match found.as_slice() {
            [] => return Err(Fail::new(format!("{LISTING}: no plugins with prefix or ID {word:?} found"))),
            [one] => one.id.clone(),
            several => return Err(Fail::new(format!("Prefix matched multiple plugins\n\n{}", table(several)))),
        };
        let doing = "Error querying plugin";
        if self.format.asked() {
            return self.format.print_answer(client, calls::csi_plugin(&Query::new(), &id), doing).await;
        }
        let plugin = client.csi_plugin(&Query::new(), &id).await.doing(doing)?.value;
        println!("{}", self.text(&plugin));
        Ok(0)
    }

    fn text(&self, p: &CsiPlugin) -> String {
        let mut out = block(&[
            ("ID", p.id.clone()),
            ("Provider", p.provider.clone()),
            ("Version", p.version.clone()),
            ("Controllers Healthy", p.controllers_healthy.to_string()),
            ("Controllers Expected", p.controllers_expected.to_string()),
            ("Nodes Healthy", p.nodes_healthy.to_string()),
            ("Nodes Expected", p.nodes_expected.to_string()),
        ]);
        if self.short {
            return out;
        }
        let controller = p.controllers.values().find_map(|info| info.controller_info.as_ref()).map(of_controller);
        let node = p.nodes.values().find_map(|info| info.node_info.as_ref()).map(of_node);
        for (heading, all) in [("Controller Capabilities", controller), ("Node Capabilities", node)] {
            if let Some(all) = all.filter(|all| !all.is_empty()) {
                out.push_str(&format!("\n{}  {}\n", title(heading), all.join("\n  ")));
            }
        }
        let ill = self.unhealthy(p);
        if !ill.is_empty() {
            out.push_str(&format!("\n{}{}\n", title("Unhealthy"), ill.join("\n")));
        }
        let users = match p.allocations.as_slice() {
            [] => "No allocations placed".to_owned(),
            stubs => allocs::table(stubs, self.verbose, time::now()),
        };
        out.push_str(&format!("\n{}{users}", title("Allocations")));
        out
    }

    /// What is wrong, client by client.
    fn unhealthy(&self, p: &CsiPlugin) -> Vec<String> {
        let controllers = p.controllers.iter().map(|(node, info)| (node, "controller", info));
        let all = controllers.chain(p.nodes.iter().map(|(node, info)| (node, "node", info)));
        let ill = all.filter(|(.., info)| !info.healthy);
        ill.map(|(node, kind, info)| format!("{} ({kind}): {}", short(node, self.verbose), info.health_description))
            .collect()
    }
}

fn table(all: &[CsiPluginListStub]) -> String {
    let mut table = Table::new(["ID", "Provider", "Controllers Healthy/Expected", "Nodes Healthy/Expected"]);
    for p in all {
        let of = |healthy: u64, expected: u64| format!("{healthy}/{expected}");
        let controllers = of(p.controllers_healthy, p.controllers_expected);
        table.row([&p.id, &p.provider, &controllers, &of(p.nodes_healthy, p.nodes_expected)]);
    }
    table.render()
}

fn named(all: &[(bool, &'static str)]) -> Vec<&'static str> {
    all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect()
}

/// The names that CSI gives to what a controller can do.
fn of_controller(info: &CsiControllerInfo) -> Vec<&'static str> {
    named(&[
        (info.supports_create_delete, "CREATE_DELETE_VOLUME"),
        (info.supports_attach_detach, "CONTROLLER_ATTACH_DETACH"),
        (info.supports_list_volumes, "LIST_VOLUMES"),
        (info.supports_get_capacity, "GET_CAPACITY"),
        (info.supports_create_delete_snapshot, "CREATE_DELETE_SNAPSHOT"),
        (info.supports_list_snapshots, "LIST_SNAPSHOTS"),
        (info.supports_clone, "CLONE_VOLUME"),
        (info.supports_read_only_attach, "ATTACH_READONLY"),
        (info.supports_expand, "EXPAND_VOLUME"),
        (info.supports_list_volumes_attached_nodes, "LIST_VOLUMES_PUBLISHED_NODES"),
        (info.supports_condition, "VOLUME_CONDITION"),
        (info.supports_get, "GET_VOLUME"),
    ])
}

fn of_node(info: &CsiNodeInfo) -> Vec<&'static str> {
    named(&[
        (info.requires_node_stage_volume, "STAGE_UNSTAGE_VOLUME"),
        (info.supports_stats, "GET_VOLUME_STATS"),
        (info.supports_expand, "EXPAND_VOLUME"),
        (info.supports_condition, "VOLUME_CONDITION"),
    ])
}
