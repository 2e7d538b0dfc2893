//! Evaluations that could not place everything, until something changes that could help them.

use std::sync::Arc;

use tarpan_model::ids::{NamespacedId, NodeId};
use tarpan_model::{Evaluation, UnixNanos};

/// An evaluation that may try again: to be enqueued in the broker with its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    pub eval: Arc<Evaluation>,
    pub token: Option<u64>,
}

/// Blocked evaluations, one a job.
#[derive(Debug, Default)]
pub struct Blocked {}

impl Blocked {
    pub fn set_enabled(&mut self, _enabled: bool) {}
    /// Keeps `eval`, or releases it at once when it missed what it waits for.
    pub fn block(&mut self, _eval: Arc<Evaluation>, _token: Option<u64>, _now: UnixNanos) -> Vec<Released> {
        Vec::new()
    }
    /// Room appeared on nodes of `class` at raft `index`.
    pub fn unblock_class(&mut self, _class: &Arc<str>, _index: u64, _now: UnixNanos) -> Vec<Released> {
        Vec::new()
    }
    /// For system jobs: room appeared on this node.
    pub fn unblock_node(&mut self, _node: NodeId, _index: u64, _now: UnixNanos) -> Vec<Released> {
        Vec::new()
    }
    /// Those that gave up on conflicting plans; every minute.
    pub fn unblock_failed(&mut self) -> Vec<Released> {
        Vec::new()
    }
    /// The job has nothing left to place.
    pub fn untrack(&mut self, _job: &NamespacedId) {}
    /// Older blocked evaluations of jobs that have a newer one: to be written as canceled.
    pub fn take_duplicates(&mut self) -> Vec<Arc<Evaluation>> {
        Vec::new()
    }
    /// Number kept.
    pub fn len(&self) -> usize {
        0
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
