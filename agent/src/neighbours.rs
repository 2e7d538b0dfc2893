//! What allocations of one node know of each other: one that takes another's place waits for its end, and takes over its files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use tarpan_model::AllocId;
use tokio::sync::watch;

use crate::alloc_dir::AllocDir;

/// An allocation as others on its node see it.
#[derive(Clone)]
pub(crate) struct Neighbour {
    pub(crate) id: AllocId,
    pub(crate) dir: AllocDir,
    ended: watch::Receiver<bool>,
    /// Another node has what its disk kept.
    taken: Arc<AtomicBool>,
}

impl Neighbour {
    pub(crate) fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until nothing of it runs and everything is given back. Never comes back where the agent leaves before.
    pub(crate) async fn ended(&mut self) {
        if self.ended.wait_for(|ended| *ended).await.is_err() {
            std::future::pending().await
        }
    }
}

/// The allocations of a node by id.
#[derive(Default)]
pub(crate) struct Neighbours(RwLock<BTreeMap<AllocId, Neighbour>>);

impl Neighbours {
    /// `ended`: true once nothing of it runs.
    pub(crate) fn add(&self, id: AllocId, dir: AllocDir, ended: watch::Receiver<bool>) {
        self.0.write().expect("no panic while held").insert(id, Neighbour { id, dir, ended, taken: Arc::default() });
    }

    pub(crate) fn remove(&self, id: AllocId) {
        self.0.write().expect("no panic while held").remove(&id);
    }

    pub(crate) fn get(&self, id: AllocId) -> Option<Neighbour> {
        self.0.read().expect("no panic while held").get(&id).cloned()
    }
}
