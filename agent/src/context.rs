//! What every runner of an agent shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, RwLock};

use tarpan_model::{AllocId, Node};

use crate::driver::Driver;
use crate::options::Options;
use crate::runner::Runner;
use crate::session::{Outbox, Session};
use crate::store::Store;

/// Shared by an agent and its runners; cheap to clone as an `Arc`.
pub struct Context {
    pub options: Options,
    pub store: Store,
    pub drivers: BTreeMap<String, Arc<dyn Driver>>,
    pub outbox: Arc<Outbox>,
    /// Set right after the start: templates watch services over it.
    pub session: OnceLock<Session>,
    pub alloc_root: PathBuf,
    pub state_dir: PathBuf,
    pub cgroup_parent: String,
    /// Made with the first artifact: trusted certificates take memory.
    pub http: OnceLock<reqwest::Client>,
    pub node: RwLock<Arc<Node>>,
    pub runners: RwLock<BTreeMap<AllocId, Arc<Runner>>>,
    /// Artifacts that are fetched at the same time.
    pub downloads: tokio::sync::Semaphore,
}

impl Context {
    pub fn node(&self) -> Arc<Node> {
        self.node.read().expect("no panic while held").clone()
    }

    /// The node changed: the session tells the servers.
    pub fn set_node(&self, node: Node) {
        self.outbox.node_changed(&node);
        *self.node.write().expect("no panic while held") = Arc::new(node);
    }

    pub fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| reqwest::Client::builder().user_agent("tarpan").build().unwrap_or_default())
    }

    pub fn runner(&self, id: AllocId) -> Option<Arc<Runner>> {
        self.runners.read().expect("no panic while held").get(&id).cloned()
    }

    pub fn all_runners(&self) -> Vec<Arc<Runner>> {
        self.runners.read().expect("no panic while held").values().cloned().collect()
    }

    pub fn env_denylist(&self) -> &str {
        self.options.options.get("env.denylist").map_or(crate::env::DENIED, String::as_str)
    }
}
