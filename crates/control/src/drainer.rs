//! Empties draining nodes: marks allocations to move, wave by wave, and ends the drain when nothing is left.
//!
//! Reads: draining nodes, their allocations, the other allocations of these jobs, `now`. Gives: commands. A nudge (an event)
//! says "look again"; looking ([`look::look`]) reads everything anew. Nothing is due while no node drains.
//! Source: `reference/semantics.md` §11.4. Differs: a drain is complete once its allocations have stopped, system ones (unless
//! ignored) and those marked at the deadline included; the field calls it complete when they are marked.

mod look;

use std::collections::BTreeSet;

use tarpan_model::duration::MILLISECOND;
use tarpan_model::ids::{IdSource, NamespacedId, NodeId};
use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{Change, Command, Event, State};

/// Changes within this time are looked at together.
const GATHER: Dur = Dur(200 * MILLISECOND);
/// Commands may fail to be written: look again after this.
const RETRY: Dur = Dur::from_secs(5);

/// The nodes that drain, on the leader.
#[derive(Debug, Default)]
pub struct Drainer {
    draining: BTreeSet<NodeId>,
    /// Jobs with something on these nodes: what happens to them elsewhere may let the next wave go.
    jobs: BTreeSet<NamespacedId>,
    due: Option<UnixNanos>,
}

impl Drainer {
    /// For a new leader.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.disable();
        self.draining = state.nodes().filter(|n| n.drain.is_some()).map(|n| n.id).collect();
        self.due = (!self.draining.is_empty()).then_some(now);
    }

    /// Not the leader any more.
    pub fn disable(&mut self) {
        *self = Drainer::default();
    }

    /// Notes whether to look again.
    pub fn observe(&mut self, events: &[Event], now: UnixNanos) {
        for event in events {
            let matters = match &event.change {
                Change::Node { row, gone: false } if row.drain.is_some() => {
                    self.draining.insert(row.id);
                    true
                }
                Change::Node { row, .. } => {
                    self.draining.remove(&row.id);
                    false
                }
                Change::Allocation { row, .. } => {
                    self.draining.contains(&row.node_id) || self.jobs.contains(&row.job_key())
                }
                Change::Job { row, .. } => self.jobs.contains(&row.key()),
                _ => false,
            };
            if matters {
                self.wake(now + GATHER);
            }
        }
        if self.draining.is_empty() {
            self.disable();
        }
    }

    fn wake(&mut self, at: UnixNanos) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Commands due at `now`.
    pub fn step(&mut self, state: &State, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Command> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let draining = self.draining.iter().filter_map(|id| state.node(*id));
        let seen = look::look(state, draining, now, ids);
        self.jobs = seen.jobs;
        self.due = seen.again;
        if !seen.commands.is_empty() {
            self.wake(now + RETRY);
        }
        seen.commands
    }

    /// When [`Drainer::step`] has something to look at; `None` while no node drains.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.due
    }
}

#[cfg(test)]
mod tests;
