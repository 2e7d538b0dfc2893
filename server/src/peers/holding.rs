//! Which server holds the session of which node: told to the leader by those that hold them, with every sign of life.
//!
//! Soft state. A leader begins with nothing and is told all: each server tells a new leader of all its sessions, and of changes since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tarpan_model::{Dur, NodeId};
use tarpan_rpc::server::{Ends, Held};
use tokio::sync::watch;

use crate::control::Control;
use crate::raft::{Consensus, ServerId};
use crate::sessions::Sessions;

/// How often the leader is told. Of a node's heartbeat interval, ten seconds at the least, it is nothing.
const TELL: Duration = Duration::from_millis(200);
const ID: usize = 16;

/// Clones are the same.
#[derive(Clone)]
pub(crate) struct Holding(Arc<Inner>);

struct Inner {
    control: Arc<Control>,
    consensus: Arc<Consensus>,
    /// Nodes that gave a sign of life here and of which the leader was not told yet.
    beats: Mutex<BTreeSet<NodeId>>,
    /// Of a leader: where the sessions are that other servers hold.
    elsewhere: Mutex<HashMap<NodeId, ServerId>>,
    /// Of a leader: sessions that other servers are to end.
    ending: Mutex<BTreeMap<ServerId, Vec<NodeId>>>,
}

impl Holding {
    pub fn new(control: Arc<Control>, consensus: Arc<Consensus>) -> Holding {
        let (beats, elsewhere, ending) = Default::default();
        Holding(Arc::new(Inner { control, consensus, beats, elsewhere, ending }))
    }

    /// A node gave a sign of life here: how long it may be silent now.
    pub fn beat(&self, node: NodeId) -> Dur {
        if !self.0.consensus.leadership().me {
            lock(&self.0.beats).insert(node);
        }
        self.0.control.beat(node)
    }

    /// As the leader: the server that holds the session of a node that this one has none of.
    pub fn elsewhere(&self, node: NodeId) -> Option<ServerId> {
        lock(&self.0.elsewhere).get(&node).copied()
    }

    /// As the leader: has whoever holds the node's session end it.
    pub fn end(&self, node: NodeId) {
        if let Some(server) = lock(&self.0.elsewhere).remove(&node) {
            lock(&self.0.ending).entry(server).or_default().push(node);
        }
    }

    /// As the leader: takes in what a server says; gives the sessions that it is to end.
    pub fn take_in(&self, held: &Held) -> Ends {
        if held.told {
            let mut elsewhere = lock(&self.0.elsewhere);
            elsewhere.retain(|_, server| *server != held.server);
            elsewhere.extend(nodes(&held.sessions).map(|node| (node, held.server)));
        }
        for node in nodes(&held.beats) {
            self.0.control.beat(node);
        }
        let ending = lock(&self.0.ending).remove(&held.server).unwrap_or_default();
        Ends { nodes: bytes(ending) }
    }

    /// Tells the leader, whoever it is, until `stop`.
    pub async fn tell(self, sessions: Arc<Sessions>, mut stop: watch::Receiver<bool>) {
        let mut told: Option<(ServerId, u64)> = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(TELL) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            let leadership = self.0.consensus.leadership();
            let Some(leader) = leadership.leader.filter(|_| !leadership.me) else {
                if leadership.me {
                    lock(&self.0.beats).clear();
                }
                told = None;
                continue;
            };
            if told.is_none_or(|(to, _)| to != leader) {
                // What it was told of others was another leader's.
                lock(&self.0.elsewhere).clear();
                lock(&self.0.ending).clear();
            }
            let version = sessions.version();
            let whole = told != Some((leader, version));
            let beats = std::mem::take(&mut *lock(&self.0.beats));
            if !whole && beats.is_empty() && sessions.len() == 0 {
                continue;
            }
            let held = Held {
                server: self.0.consensus.id(),
                told: whole,
                sessions: if whole { bytes(sessions.nodes()) } else { Bytes::new() },
                beats: bytes(beats.iter().copied()),
            };
            match self.0.consensus.hold(held).await {
                Ok(ends) => {
                    told = Some((leader, version));
                    for node in nodes(&ends.nodes) {
                        sessions.kick(node, "no heartbeat came in time");
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "telling the leader of sessions");
                    told = None;
                    lock(&self.0.beats).extend(beats);
                }
            }
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no panic while held")
}

fn bytes(nodes: impl IntoIterator<Item = NodeId>) -> Bytes {
    nodes.into_iter().flat_map(|node| *node.0.as_bytes()).collect()
}

fn nodes(bytes: &Bytes) -> impl Iterator<Item = NodeId> {
    bytes.chunks_exact(ID).map(|id| NodeId(uuid::Uuid::from_bytes(id.try_into().expect("as long as an id"))))
}
