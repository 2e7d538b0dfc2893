//! Who was heard of lately: a timer a node.
//!
//! A beat only notes the new deadline. Deadlines are looked at second by second; one that moved meanwhile is put further on.
//! Source: `reference/semantics.md` §11.2.

use std::collections::{BTreeMap, HashMap};

use tarpan_model::duration::SECOND;
use tarpan_model::ids::NodeId;
use tarpan_model::{Dur, NodeStatus, UnixNanos};
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
pub struct Heartbeats {
    options: HeartbeatOptions,
    deadlines: HashMap<NodeId, UnixNanos>,
    /// By second: nodes to look at when it is over. Each node is in one slot.
    slots: BTreeMap<i64, Vec<NodeId>>,
}

impl Heartbeats {
    pub fn new(options: HeartbeatOptions) -> Heartbeats {
        Heartbeats { options, ..Heartbeats::default() }
    }

    /// A new leader gives every node that is not down the failover time.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.deadlines.clear();
        self.slots.clear();
        for node in state.nodes().filter(|n| n.status != NodeStatus::Down) {
            self.set(node.id, now + self.options.failover_ttl);
        }
    }

    /// The node is alive; gives the time until its next beat. `chance` spreads the beats of many nodes.
    pub fn beat(&mut self, node: NodeId, now: UnixNanos, chance: u64) -> Dur {
        let shared = self.deadlines.len() as f64 / self.options.max_per_second.max(0.001);
        let ttl = self.options.min_ttl.0.max((shared * SECOND as f64) as i64).max(1);
        let ttl = Dur(ttl + (chance % ttl as u64) as i64);
        self.set(node, now + ttl + self.options.grace);
        ttl
    }

    fn set(&mut self, node: NodeId, deadline: UnixNanos) {
        if self.deadlines.insert(node, deadline).is_none_or(|known| deadline < known) {
            // A node that is in a later slot already is put in an earlier one too: the later one finds nothing to do.
            self.slots.entry(deadline.secs()).or_default().push(node);
        }
    }

    /// The server itself did not run for a while, and heard of nobody: every node gets a whole interval again.
    pub fn forgive(&mut self, now: UnixNanos) {
        let least = now + self.options.min_ttl + self.options.grace;
        let early: Vec<NodeId> = self.deadlines.iter().filter(|(_, at)| **at < least).map(|(id, _)| *id).collect();
        for node in early {
            self.set(node, least);
        }
    }

    /// The clock was set by `step`: deadlines go along.
    pub fn shift(&mut self, step: Dur) {
        self.slots.clear();
        for (node, deadline) in std::mem::take(&mut self.deadlines) {
            self.set(node, deadline + step);
        }
    }

    /// What followed from a missed beat could not be written: the node is told of again, unless it was heard of meanwhile.
    pub fn again(&mut self, node: NodeId, at: UnixNanos) {
        if !self.deadlines.contains_key(&node) {
            self.set(node, at);
        }
    }

    pub fn remove(&mut self, node: NodeId) {
        self.deadlines.remove(&node);
    }

    /// Nodes whose time is over, each told once. See [`crate::nodes::missed`].
    pub fn expired(&mut self, now: UnixNanos) -> Vec<NodeId> {
        let mut expired = Vec::new();
        while let Some(slot) = self.slots.first_entry().filter(|slot| *slot.key() < now.secs()) {
            let second = *slot.key();
            for node in slot.remove() {
                match self.deadlines.get(&node) {
                    Some(deadline) if *deadline <= now => {
                        self.deadlines.remove(&node);
                        expired.push(node);
                    }
                    Some(deadline) if deadline.secs() > second => {
                        let later = self.slots.entry(deadline.secs()).or_default();
                        later.push(node);
                    }
                    _ => {}
                }
            }
        }
        expired
    }

    /// When to look for expired nodes again.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.slots.first_key_value().map(|(second, _)| UnixNanos::from_secs(second + 1))
    }

    /// Nodes with a timer.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tarpan_testkit::{at, nodes};

    use super::*;

    #[test]
    fn a_silent_node_expires_once_after_ttl_and_grace() {
        let mut beats = Heartbeats::default();
        assert_eq!(beats.beat(nodes::id(1), at(0), 0), Dur::from_secs(10));
        assert_eq!(beats.beat(nodes::id(2), at(0), 3 * SECOND as u64), Dur::from_secs(13));
        assert_eq!(beats.expired(at(20)), []);
        beats.beat(nodes::id(2), at(15), 0);
        assert_eq!(beats.expired(at(21)), [nodes::id(1)]);
        assert_eq!(beats.expired(at(34)), []);
        assert_eq!(beats.expired(at(36)), [nodes::id(2)]);
        assert_eq!(beats.expired(at(1_000)), []);
        assert_eq!(beats.next_wake(), None);
    }

    #[test]
    fn a_server_that_did_not_run_gives_a_whole_interval_again() {
        let mut beats = Heartbeats::default();
        beats.beat(nodes::id(1), at(0), 0);
        beats.beat(nodes::id(2), at(15), 5 * SECOND as u64);
        beats.forgive(at(19));
        assert_eq!(beats.expired(at(38)), []);
        assert_eq!(beats.expired(at(41)), [nodes::id(1), nodes::id(2)]);
    }

    #[test]
    fn a_step_of_the_clock_takes_deadlines_along() {
        let mut beats = Heartbeats::default();
        beats.beat(nodes::id(1), at(0), 0);
        beats.shift(Dur::from_secs(3600));
        assert_eq!(beats.expired(at(3615)), []);
        assert_eq!(beats.expired(at(3621)), [nodes::id(1)]);
        beats.beat(nodes::id(1), at(3621), 0);
        beats.shift(Dur::from_secs(-3600));
        assert_eq!(beats.expired(at(42)), [nodes::id(1)]);
    }

    #[test]
    fn what_could_not_be_written_is_told_again() {
        let mut beats = Heartbeats::default();
        beats.beat(nodes::id(1), at(0), 0);
        assert_eq!(beats.expired(at(21)), [nodes::id(1)]);
        beats.again(nodes::id(1), at(26));
        assert_eq!(beats.expired(at(27)), [nodes::id(1)]);
        beats.beat(nodes::id(1), at(28), 0);
        beats.again(nodes::id(1), at(29));
        assert_eq!(beats.expired(at(40)), [], "it was heard of");
    }

    #[test]
    fn many_nodes_are_asked_to_beat_less_often() {
        let mut beats = Heartbeats::default();
        for i in 0..5_000 {
            beats.beat(nodes::id(i), at(0), 0);
        }
        assert_eq!(beats.beat(nodes::id(1), at(0), 0), Dur::from_secs(100));
        beats.remove(nodes::id(7));
        assert_eq!(beats.expired(at(10_000)).len(), 4_999);
    }

    #[test]
    fn steady_beats_keep_one_entry_a_node() {
        let mut beats = Heartbeats::default();
        for second in 0..500 {
            beats.beat(nodes::id(1), at(second), 0);
            assert_eq!(beats.expired(at(second)), []);
        }
        assert!(beats.slots.values().map(Vec::len).sum::<usize>() <= 2);
    }
}
