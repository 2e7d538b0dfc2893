//! What every runner of an agent shares.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use tarpan_model::node::NodeEvent;
use tarpan_model::{AllocId, Node};
use tokio::sync::{SetOnce, watch};

use crate::alloc_dir::AllocDir;
use crate::cores::Cores;
use crate::csi::Plugins;
use crate::devices::Devices;
use crate::driver::{Driver, Place};
use crate::kept_logs::KeptLogs;
use crate::neighbours::Neighbours;
use crate::network::Networks;
use crate::options::Options;
use crate::session::{Outbox, Session};
use crate::store::Store;
use crate::volumes::HostVolumes;

/// Events that are told: the servers keep no more of a node's own.
const TOLD: usize = 5;

/// Shared by an agent and its runners; cheap to clone as an `Arc`.
pub struct Context {
    pub options: Options,
    pub store: Store,
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
    pub outbox: Arc<Outbox>,
    /// Set right after the start; templates, which watch services over it, wait until it is.
    pub session: SetOnce<Session>,
    pub alloc_root: PathBuf,
    pub state_dir: PathBuf,
    pub cgroup_parent: String,
    pub node: RwLock<Arc<Node>>,
    pub(crate) neighbours: Neighbours,
    pub(crate) networks: Arc<Networks>,
    /// Plugins that run here, and what they have mounted.
    pub(crate) csi: Arc<Plugins>,
    pub(crate) volumes: Arc<HostVolumes>,
    pub(crate) devices: Devices,
    pub(crate) cores: Cores,
    /// Where tasks of bridge networks are told to ask for names; set right after the start.
    pub(crate) resolvers: OnceLock<Vec<IpAddr>>,
    /// The servers have told once what this node should have.
    pub contacted: watch::Sender<bool>,
    pub dynamic_meta: Mutex<BTreeMap<String, Option<String>>>,
    pub(crate) kept_logs: KeptLogs,
    /// What this agent has to tell of its node, the newest last.
    pub(crate) events: Mutex<Vec<NodeEvent>>,
    /// Somebody has ended, or come: what ended may take too much room now.
    pub(crate) crowd: tokio::sync::Notify,
    /// Artifacts that are fetched at the same time.
    pub downloads: tokio::sync::Semaphore,
}

impl Context {
    pub fn place(&self) -> Place {
        Place {
            alloc_root: self.alloc_root.clone(),
            tasks: self.state_dir.join("tasks"),
            cgroup_parent: self.cgroup_parent.clone(),
        }
    }

    pub fn node(&self) -> Arc<Node> {
        self.node.read().expect("no panic while held").clone()
    }

    /// Something happened here that an operator may want to know: it is told with the node, and shown as the node's.
    pub(crate) fn tell(&self, subsystem: &str, message: impl Into<String>) {
        let (message, subsystem) = (message.into(), subsystem.to_owned());
        tracing::warn!(subsystem, "{message}");
        {
            let mut events = self.events.lock().expect("no panic while held");
            events.push(NodeEvent { message, subsystem, timestamp: crate::wall(), ..NodeEvent::default() });
            let over = events.len().saturating_sub(TOLD);
            events.drain(..over);
        }
        self.set_node((*self.node()).clone());
    }

    /// The node changed: the session tells the servers. What it says of volumes and CSI plugins is what there is
    /// of them now: they come and go while others look at the node.
    pub fn set_node(&self, mut node: Node) {
        node.events.clone_from(&self.events.lock().expect("no panic while held"));
        let mut held = self.node.write().expect("no panic while held");
        self.volumes.describe(&mut node);
        self.csi.describe(&mut node);
        self.outbox.node_changed(&node);
        *held = Arc::new(node);
    }

    /// Tells the servers what there is of volumes, and of plugins that make and mount them, where that is other than it was.
    pub(crate) fn volumes_changed(&self) {
        let mut held = self.node.write().expect("no panic while held");
        let mut node = Node::clone(&held);
        let changed = self.volumes.describe(&mut node);
        if self.csi.describe(&mut node) || changed {
            self.outbox.node_changed(&node);
            *held = Arc::new(node);
        }
    }

    /// Metadata set through the API.
    pub fn node_meta(&self) -> BTreeMap<String, Option<String>> {
        self.dynamic_meta.lock().expect("no panic while held").clone()
    }

    /// Sets and takes away metadata; it outlives the agent and wins over the configuration.
    pub fn apply_node_meta(&self, changes: &BTreeMap<String, Option<String>>) {
        let all = {
            let mut dynamic = self.dynamic_meta.lock().expect("no panic while held");
            dynamic.extend(changes.clone());
            dynamic.clone()
        };
        self.store.put_node_meta(&all);
        let mut node = (*self.node()).clone();
        node.meta =
            self.options.static_meta().iter().map(|(k, v)| (Arc::from(k.as_str()), Arc::from(v.as_str()))).collect();
        apply_meta(&mut node, &all);
        self.set_node(node);
    }

    /// Removes the directories of an allocation of which nothing runs any more.
    #[allow(clippy::disallowed_methods, reason = "the directory of the allocation's runs, which no task sees")]
    pub(crate) async fn remove_files(&self, id: AllocId) {
        // A start that was given up half-way may have left some.
        for group in crate::cgroup::of_alloc(&self.cgroup_parent, &id.to_string()) {
            group.remove().await;
        }
        let dir = AllocDir::new(&self.alloc_root, id);
        let runs = self.state_dir.join("tasks").join(id.to_string());
        let removed = tokio::task::spawn_blocking(move || {
            let _ = std::fs::remove_dir_all(runs);
            dir.destroy()
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(alloc_id = %id, "removing the directory of an allocation: {error}");
        }
    }

    /// Removes the network of an allocation of which nothing runs any more. The error is a sentence.
    pub(crate) async fn remove_network(&self, id: AllocId) -> Result<(), String> {
        let netns = self.networks.namespace(id);
        for driver in self.drivers.values() {
            driver.leave(id, &netns).await;
        }
        let networks = self.networks.clone();
        crate::blocking(move || networks.remove(id)).await
    }

    pub fn env_denylist(&self) -> &str {
        self.options.options.get("env.denylist").map_or(crate::env::DENIED, String::as_str)
    }
}

/// Metadata set through the API wins over the configuration's; `None` takes a key away.
pub(crate) fn apply_meta(node: &mut Node, dynamic: &BTreeMap<String, Option<String>>) {
    for (key, value) in dynamic {
        match value {
            Some(value) => drop(node.meta.insert(Arc::from(key.as_str()), Arc::from(value.as_str()))),
            None => drop(node.meta.remove(key.as_str())),
        }
    }
}
