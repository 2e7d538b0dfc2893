//! Who was heard of lately: a timer a node.

use tarpan_model::duration::SECOND;
use tarpan_model::ids::NodeId;
use tarpan_model::{Dur, UnixNanos};
use tarpan_state::State;

#[derive(Clone, Debug)]
pub struct HeartbeatOptions {
    pub min_ttl: Dur,
    /// Beats a second that servers are asked to take in all.
    pub max_per_second: f64,
    /// Added to what a node was told.
    pub grace: Dur,
    /// Given to every node by a new leader.
    pub failover_ttl: Dur,
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        HeartbeatOptions {
            min_ttl: Dur(10 * SECOND),
            max_per_second: 50.0,
            grace: Dur(10 * SECOND),
            failover_ttl: Dur(300 * SECOND),
        }
    }
}

/// The nodes' timers.
#[derive(Debug, Default)]
pub struct Heartbeats {}

impl Heartbeats {
    pub fn new(_options: HeartbeatOptions) -> Heartbeats {
        Heartbeats::default()
    }
    /// A new leader gives every node that is not down the failover time.
    pub fn restore(&mut self, _state: &State, _now: UnixNanos) {}
    /// The node is alive; gives the time until its next beat. `chance` spreads the beats of many nodes.
    pub fn beat(&mut self, _node: NodeId, _now: UnixNanos, _chance: u64) -> Dur {
        Dur::from_secs(10)
    }
    pub fn remove(&mut self, _node: NodeId) {}
    /// Nodes whose time is over, each told once. See [`crate::nodes::missed`].
    pub fn expired(&mut self, _now: UnixNanos) -> Vec<NodeId> {
        Vec::new()
    }
    pub fn next_wake(&self) -> Option<UnixNanos> {
        None
    }
}
