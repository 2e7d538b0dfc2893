//! Watches rollouts: health, deadlines, promotion, roll-back; and what operators ask of them.
//!
//! Reads: active deployments, their allocations, the evaluations of their jobs, `now`. Gives: commands. A nudge (an event) says
//! "look again"; looking reads everything anew.
//! Source: `reference/semantics.md` §10.

mod asked;
mod change;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use tarpan_model::duration::MILLISECOND;
use tarpan_model::ids::{DeploymentId, IdSource};
use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{Change, Command, Event, State};

pub use self::asked::{DeploymentError, fail, pause, promote, set_health};

/// Changes of one deployment within this time are looked at together.
const GATHER: Dur = Dur(200 * MILLISECOND);

/// How long agents have to report after a new leader began. Source: what they take to connect again, twice.
const SETTLE: Dur = Dur::from_secs(60);

/// Active deployments, on the leader.
#[derive(Debug, Default)]
pub struct Deployments {
    /// When to look at each again.
    due: BTreeMap<DeploymentId, UnixNanos>,
    /// Not given up for its deadline before this: a new leader has yet to hear what became of the allocations.
    spared: BTreeMap<DeploymentId, UnixNanos>,
    /// Over since the last look.
    ended: BTreeSet<DeploymentId>,
}

impl Deployments {
    /// For a new leader.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.due = state.deployments().filter(|d| d.active()).map(|d| (d.id, now)).collect();
        self.spared = self.due.keys().map(|id| (*id, now + SETTLE)).collect();
    }

    /// Not the leader any more.
    pub fn disable(&mut self) {
        *self = Deployments::default();
    }

    /// Notes which deployments to look at again.
    pub fn observe(&mut self, events: &[Event], now: UnixNanos) {
        for event in events {
            match &event.change {
                Change::Deployment { row, gone: false } if row.active() => self.look(row.id, now + GATHER),
                Change::Deployment { row, .. } => {
                    self.ended.insert(row.id);
                    self.due.remove(&row.id);
                    self.spared.remove(&row.id);
                }
                Change::Allocation { row, gone: false } => {
                    if let Some(id) = row.deployment_id {
                        self.look(id, now + GATHER);
                    }
                }
                _ => {}
            }
        }
    }

    fn look(&mut self, id: DeploymentId, at: UnixNanos) {
        let due = self.due.entry(id).or_insert(at);
        *due = (*due).min(at);
    }

    /// Commands due at `now`.
    pub fn step(&mut self, state: &State, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Command> {
        let due: Vec<DeploymentId> = self.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        let ended = std::mem::take(&mut self.ended).into_iter().filter_map(|id| state.deployment(id));
        let mut commands: Vec<Command> = ended.filter_map(|d| watch::leave(state, d, now, ids)).collect();
        for id in due {
            self.due.remove(&id);
            let Some(deployment) = state.deployment(id).filter(|d| d.active()) else { continue };
            let spared = self.spared.get(&id).copied().filter(|until| *until > now);
            match watch::look(state, deployment, now, spared.is_none(), ids) {
                Some(command) => {
                    // What the command changes comes back as events; it may also fail to be written.
                    self.look(id, now + Dur::from_secs(5));
                    commands.push(command);
                }
                None => {
                    if let Some(at) = watch::deadline(state, deployment) {
                        self.look(id, at.max(now + GATHER).max(spared.unwrap_or(at)));
                    }
                }
            }
        }
        commands
    }

    /// When [`Deployments::step`] has something to look at.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
mod tests;
