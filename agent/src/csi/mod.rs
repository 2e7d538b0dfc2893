//! CSI plugins that run on this node, and the volumes that they mount for allocations.
//!
//! A task with a `csi_plugin` block is a plugin: the hook `setup/task/csi_plugin.rs` gives it the directory of its socket, and
//! [`supervisor`] asks it again and again how it is. What it says becomes a part of the node ([`Plugins::describe`]). [`mounts`] has volumes
//! mounted and unmounted, [`calls`] speaks to plugins. A plugin is a task like any other: what it says is bounded, what it makes is opened
//! through `ground`, and every call ends.
//! Source: `reference/semantics.md` §15.1, §17.6.

mod calls;
mod mounts;
mod supervisor;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tarpan_model::csi::CsiInfo;
use tarpan_model::{AllocId, Node, SortedMap};
use tarpan_rpc::csi::{Answer, Ask, Done};
use tonic::transport::Channel;

pub(crate) use self::mounts::{Mounts, Wanted};
pub(crate) use self::supervisor::{Supervised, Supervisor, supervise};
use crate::store::Store;

/// Which services of CSI a task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Controller,
    Node,
    Both,
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Kind> {
        match text {
            "controller" => Some(Kind::Controller),
            "node" => Some(Kind::Node),
            "monolith" => Some(Kind::Both),
            _ => None,
        }
    }

    fn controls(self) -> bool {
        self != Kind::Node
    }

    fn mounts(self) -> bool {
        self != Kind::Controller
    }
}

/// A task that is a plugin.
#[derive(Clone)]
struct Running {
    kind: Kind,
    channel: Channel,
    /// The directory of the plugin's volumes as the plugin sees it.
    seen: PathBuf,
    info: CsiInfo,
}

/// Whose task, and its name.
type Of = (AllocId, String);

/// The plugins of this node by id and task, and what they have mounted.
pub(crate) struct Plugins {
    /// Sockets, and below it what is mounted.
    root: PathBuf,
    running: Mutex<BTreeMap<String, BTreeMap<Of, Running>>>,
    pub(crate) mounts: Mounts,
}

impl Plugins {
    /// `root`: a directory of the agent's own.
    pub(crate) fn new(root: PathBuf, store: Store) -> Plugins {
        let mounts = Mounts::new(root.clone(), store);
        Plugins { root, running: Mutex::default(), mounts }
    }

    /// Where the socket of an allocation's task is.
    pub(crate) fn socket_dir(&self, alloc: AllocId, task: &str) -> PathBuf {
        self.root.join("plugins").join(alloc.to_string()).join(task)
    }

    /// Where the plugin's volumes are.
    pub(crate) fn volumes_dir(&self, plugin: &str) -> PathBuf {
        mounts::base(&self.root, plugin)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The newest healthy task of a plugin that has the services, or else the newest.
    fn find(&self, plugin: &str, has: impl Fn(Kind) -> bool) -> Option<Running> {
        let running = self.running.lock().expect("no panic while held");
        let tasks = running.get(plugin)?.values().filter(|task| has(task.kind));
        tasks.max_by_key(|task| (task.info.healthy, task.info.update_time)).cloned()
    }

    fn set(&self, plugin: &str, of: Of, task: Running) {
        let mut running = self.running.lock().expect("no panic while held");
        running.entry(plugin.to_owned()).or_default().insert(of, task);
    }

    fn forget(&self, plugin: &str, of: &Of) {
        let mut running = self.running.lock().expect("no panic while held");
        if let Some(tasks) = running.get_mut(plugin) {
            tasks.remove(of);
            if tasks.is_empty() {
                running.remove(plugin);
            }
        }
    }

    /// Says of the node which plugins it has; whether they are others than before.
    pub(crate) fn describe(&self, node: &mut Node) -> bool {
        let ids: Vec<String> = self.running.lock().expect("no panic while held").keys().cloned().collect();
        let of = |has: fn(Kind) -> bool, part: fn(CsiInfo) -> CsiInfo| -> SortedMap<Arc<str>, CsiInfo> {
            let info = |id: &String| Some((Arc::<str>::from(id.as_str()), part(self.find(id, has)?.info)));
            ids.iter().filter_map(info).collect()
        };
        let controllers = of(Kind::controls, |info| CsiInfo { node: None, ..info });
        let nodes = of(Kind::mounts, |info| CsiInfo { controller: None, ..info });
        let same = (&node.csi_controllers, &node.csi_nodes) == (&controllers, &nodes);
        (node.csi_controllers, node.csi_nodes) = (controllers, nodes);
        !same
    }

    /// Does what a server asks for.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Controller { plugin, call, request } => {
                let found = self.find(&plugin, Kind::controls).ok_or_else(|| calls::absent(&plugin))?;
                Ok(Done { answer: calls::controller(&found.channel, call, &request).await? })
            }
            Ask::Detach(detach) => {
                self.mounts.unpublish(self, &detach).await?;
                Ok(Done::default())
            }
        }
    }
}
