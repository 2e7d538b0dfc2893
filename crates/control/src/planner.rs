//! Verifies plans, node by node, against the newest state and the plans that are on their way into it.

use tarpan_model::ids::IdSource;
use tarpan_model::plan::PlanResult;
use tarpan_model::{Plan, UnixNanos};
use tarpan_state::State;
use tarpan_state::command::ApplyPlan;

/// What becomes of one submitted plan.
#[derive(Clone, Debug)]
pub struct Verified {
    /// As [`Planner::submit`] gave it.
    pub ticket: u64,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    /// To be committed; tell [`Planner::committed`] or [`Planner::failed`] how it went.
    Commit(Box<ApplyPlan>),
    /// Nothing to write: the answer is known.
    Answer(PlanResult),
}

/// Plans that wait, and plans in flight.
#[derive(Debug, Default)]
pub struct Planner {}

impl Planner {
    /// Queues a plan: higher priority first, then first come first served.
    pub fn submit(&mut self, _plan: Plan) -> u64 {
        0
    }
    /// Number of plans that wait.
    pub fn waiting(&self) -> usize {
        0
    }
    /// Verifies up to `max` waiting plans, each against `state` with all plans in flight.
    pub fn verify(&mut self, _state: &State, _ids: &mut dyn IdSource, _now: UnixNanos, _max: usize) -> Vec<Verified> {
        Vec::new()
    }
    /// The plan is in state from raft `index` on.
    pub fn committed(&mut self, _ticket: u64, _index: u64) {}
    /// The plan will not be committed.
    pub fn failed(&mut self, _ticket: u64) {}
    /// Not the leader any more: gives the tickets of the plans that waited.
    pub fn reset(&mut self) -> Vec<u64> {
        Vec::new()
    }
}
