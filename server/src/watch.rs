//! Who waits for what: blocking queries sleep here and only those whose things changed wake.
//!
//! A wait registers first and then looks at the recent events for what it may have missed, so no change falls between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub use tarpan_state::Watch;
use tarpan_state::{State, Table};
use tokio::sync::Notify;

/// The tables that changed in `state` after raft index `past`.
pub(crate) fn tables_changed(state: &State, past: u64) -> impl Iterator<Item = Watch> + '_ {
    Table::ALL.into_iter().filter(move |t| state.table_index(*t) > past).map(Watch::Table)
}

/// The sleepers, by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Sleepers>);

#[derive(Debug, Default)]
struct Sleepers {
    next: u64,
    by_watch: HashMap<Watch, HashMap<u64, Arc<Notify>>>,
}

impl Registry {
    /// Sleeps in the registry until dropped.
    pub fn register(self: &Arc<Self>, watches: &[Watch]) -> Registration {
        let wake = Arc::new(Notify::new());
        let mut sleepers = self.0.lock().expect("no panic while held");
        sleepers.next += 1;
        let id = sleepers.next;
        for watch in watches {
            sleepers.by_watch.entry(watch.clone()).or_default().insert(id, wake.clone());
        }
        Registration { registry: self.clone(), id, watches: watches.to_vec(), wake }
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("no panic while held").by_watch.is_empty()
    }

    /// Wakes whoever waits for one of `watches`.
    pub fn wake(&self, watches: impl IntoIterator<Item = Watch>) {
        let sleepers = self.0.lock().expect("no panic while held");
        for watch in watches {
            for sleeper in sleepers.by_watch.get(&watch).into_iter().flatten() {
                sleeper.1.notify_one();
            }
        }
    }
}

impl Registry {
    pub fn wake_all(&self) {
        let sleepers = self.0.lock().expect("no panic while held");
        for sleeper in sleepers.by_watch.values().flat_map(HashMap::values) {
            sleeper.notify_one();
        }
    }
}

/// One sleeper; dropping it takes it out of the registry.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    id: u64,
    watches: Vec<Watch>,
    wake: Arc<Notify>,
}

impl Registration {
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sleepers = self.registry.0.lock().expect("no panic while held");
        for watch in &self.watches {
            if let Some(set) = sleepers.by_watch.get_mut(watch) {
                set.remove(&self.id);
                if set.is_empty() {
                    sleepers.by_watch.remove(watch);
                }
            }
        }
    }
}
