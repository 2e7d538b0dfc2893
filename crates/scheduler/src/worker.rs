//! What a worker needs around [`crate::schedule`]: how often to try, and how an evaluation ends when trying did not help.
//!
//! A worker's turn: `schedule`; write `evals_before`; submit the plan; when all of it was committed (or it is a no-op),
//! write `eval` and `blocked`, or give the evaluation back to be looked at again where there is `more`; else count an attempt (from 0 again when [`tarpan_model::PlanResult::progressed`]), wait for
//! `refresh_index`, and go round; out of attempts, write what [`give_up`] says.

use std::sync::Arc;

use tarpan_model::ids::IdSource;
use tarpan_model::{EvalId, EvalStatus, Evaluation, JobType, Trigger, UnixNanos};

use crate::outcome::Outcome;

/// New allocations that the first look at a job places at most: who has more to place takes turns with those who have little.
pub const FIRST_PLACEMENTS: usize = 1_000;
/// The same of further looks.
pub const MOST_PLACEMENTS: usize = 50_000;

/// How often a plan may be refused in a row before the evaluation fails.
pub fn max_attempts(type_: JobType) -> u32 {
    match type_ {
        JobType::Service | JobType::System => 5,
        JobType::Batch | JobType::SysBatch => 2,
    }
}

/// How an evaluation ends when its plans were refused too often: failed, and for service and batch jobs a blocked
/// evaluation that tries again later.
///
/// Gives the evaluations to write, the failed one first.
pub fn give_up(eval: &Evaluation, outcome: &Outcome, ids: &mut dyn IdSource, now: UnixNanos) -> Vec<Evaluation> {
    let attempts = max_attempts(eval.type_);
    let mut failed = outcome.eval.clone();
    failed.status = EvalStatus::Failed;
    failed.status_description = Arc::from(format!("maximum attempts reached ({attempts})"));
    failed.modify_time = now;
    if !matches!(eval.type_, JobType::Service | JobType::Batch) {
        return vec![failed];
    }
    let mut blocked = blocked_eval(eval, EvalId(ids.next_uuid()), now);
    blocked.triggered_by = Trigger::MaxPlans;
    blocked.status_description = Arc::from("created due to placement conflicts");
    blocked.snapshot_index = outcome.plan.snapshot_index;
    failed.blocked_eval = Some(blocked.id);
    vec![failed, blocked]
}

/// An evaluation that waits until something changes for its job.
pub(crate) fn blocked_eval(eval: &Evaluation, id: EvalId, now: UnixNanos) -> Evaluation {
    let mut blocked = eval.following(id, Trigger::QueuedAllocs, now);
    blocked.status = EvalStatus::Blocked;
    blocked.status_description = Arc::from("created to place remaining allocations");
    blocked
}
