//! Agents: one gRPC stream each, for orders down and reports up; bulk bytes beside it.
//!
//! A session sleeps until its agent speaks or one of its node's allocations changes. [`Sessions`] is the registry: it
//! turns the events of state into wake-ups of the named nodes' sessions and of nobody else.

mod bounds;
pub(crate) mod bulk;
mod claims;
mod disks;
mod drain;
pub(crate) mod grpc;
pub(crate) mod host;
mod identities;
mod orders;
mod register;
mod reports;
mod session;
mod standing;
mod streams;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tarpan_model::{AllocId, NodeId};
use tarpan_rpc::agent::FromServer;
use tarpan_state::event::{Change, Event};
use tokio::sync::{Notify, mpsc, watch};

use crate::publish::Published;

/// What goes down a session. Boxed: a queue keeps room for 32 of them from its first one on, a queue a node.
pub(crate) type Down = Box<Result<FromServer, tonic::Status>>;

/// The sessions this server holds.
#[derive(Default)]
pub(crate) struct Sessions {
    next: AtomicU64,
    /// Grows with each session that begins or ends.
    version: AtomicU64,
    held: Mutex<HashMap<NodeId, Arc<Held>>>,
}

/// One session, as others reach it.
pub(crate) struct Held {
    number: u64,
    down: mpsc::Sender<Down>,
    news: Mutex<News>,
    wake: Notify,
}

/// What a session has to look at when it wakes.
#[derive(Default)]
struct News {
    allocs: BTreeSet<AllocId>,
    /// Look at everything the node should have.
    all: bool,
    /// The node was purged: a decision about everything it runs.
    purged: bool,
    /// Ends the session, with what the agent is told.
    end: Option<tonic::Status>,
}

impl Held {
    fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().expect("no panic while held"));
        self.wake.notify_one();
    }

    fn take_news(&self) -> News {
        std::mem::take(&mut *self.news.lock().expect("no panic while held"))
    }
}

impl Sessions {
    /// A new session of a node; an older one ends.
    fn enter(&self, node: NodeId, down: mpsc::Sender<Down>) -> Arc<Held> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let held = Arc::new(Held { number, down, news: Mutex::default(), wake: Notify::new() });
        let older = self.lock().insert(node, held.clone());
        self.version.fetch_add(1, Ordering::Release);
        if let Some(older) = older {
            older.tell(|news| news.end = Some(tonic::Status::aborted("a newer session of this node took over")));
        }
        held
    }

    fn leave(&self, node: NodeId, number: u64) {
        let mut held = self.lock();
        if held.get(&node).is_some_and(|h| h.number == number) {
            held.remove(&node);
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes when sessions begin or end.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The nodes of all sessions.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.lock().keys().copied().collect()
    }

    pub fn get(&self, node: NodeId) -> Option<Arc<Held>> {
        self.lock().get(&node).cloned()
    }

    /// Number of agents connected here.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends a node's session: the agent has to introduce itself again.
    pub fn kick(&self, node: NodeId, why: &str) {
        if let Some(held) = self.get(node) {
            held.tell(|news| news.end = Some(tonic::Status::unavailable(why)));
        }
    }

    /// Follows state and wakes the sessions that its changes name. Ends with `stop`.
    pub async fn route(self: Arc<Self>, published: Arc<Published>, mut stop: watch::Receiver<bool>) {
        let mut feed = published.ring.subscribe(published.state().index());
        loop {
            let entry = tokio::select! {
                entry = feed.next() => entry,
                _ = stop.wait_for(|s| *s) => {
                    let leaving = || tonic::Status::unavailable("the server shuts down");
                    self.lock().values().for_each(|held| held.tell(|news| news.end = Some(leaving())));
                    return;
                }
            };
            match entry {
                Ok((_, events)) => self.tell(named(&events)),
                Err(_) => {
                    feed = published.ring.subscribe(published.state().index());
                    self.lock().values().for_each(|held| held.tell(|news| news.all = true));
                }
            }
        }
    }

    fn tell(&self, named: BTreeMap<NodeId, Named>) {
        for (node, named) in named {
            let Some(held) = self.get(node) else { continue };
            held.tell(|news| {
                news.allocs.extend(named.allocs);
                if named.gone {
                    news.purged = true;
                    news.end = Some(tonic::Status::not_found("node not found"));
                }
            });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Arc<Held>>> {
        self.held.lock().expect("no panic while held")
    }
}

/// What events say of one node.
#[derive(Default)]
struct Named {
    allocs: Vec<AllocId>,
    gone: bool,
}

/// The nodes that `events` name.
fn named(events: &[Event]) -> BTreeMap<NodeId, Named> {
    let mut named: BTreeMap<NodeId, Named> = BTreeMap::new();
    for event in events {
        match &event.change {
            Change::Allocation { row, gone }
                // A report of the node itself is no news to it.
                if *gone || row.alloc_modify_index == event.index => {
                    named.entry(row.node_id).or_default().allocs.push(row.id);
                }
            Change::Node { row, gone: true } => named.entry(row.id).or_default().gone = true,
            _ => {}
        }
    }
    named
}
