//! Turns one evaluation into a plan and an explanation. A pure function of a snapshot, the evaluation, `now` and a seed.
//!
//! Start at [`schedule`]. A worker keeps one [`Cache`] between evaluations: it holds what can be derived from rows that did
//! not change (the node table as columns, job versions in their dense form), and never changes an answer.

pub mod class;
pub mod columns;
pub mod compile;
pub mod constraint;
mod differs;
mod explain;
mod feasible;
pub mod fit;
mod generic;
mod glob;
#[cfg(test)]
mod harness;
mod place;
mod plan;
mod ports;
mod preempt;
pub mod reconcile;
mod rng;
mod spread;
mod system;
#[cfg(test)]
mod tests;
mod verdict;
pub mod worker;

use tarpan_model::ids::IdSource;
use tarpan_model::{Evaluation, JobType, Plan, UnixNanos};
use tarpan_state::State;

pub use class::computed_class;
pub use fit::{Fit, what_would_fit};
pub use verdict::{Check, Verdict, verdicts};

/// What a scheduler may look at besides the evaluation.
pub struct Context<'a> {
    pub state: &'a State,
    pub now: UnixNanos,
    /// Seed of the order in which nodes are looked at.
    pub seed: u64,
    pub ids: &'a mut dyn IdSource,
    /// Kept by the caller between evaluations; a fresh one gives the same answers, slower.
    pub cache: &'a mut Cache,
}

/// What was derived from rows and is still good for the next evaluation. Not shared between threads: one a worker.
#[derive(Default)]
pub struct Cache {
    pub nodes: columns::Nodes,
    pub jobs: compile::Jobs,
}

/// What one look at a job asks for.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Follow-up evaluations that allocations of the plan refer to: written before the plan.
    pub evals_before: Vec<Evaluation>,
    pub plan: Plan,
    /// The evaluation as it ends if the whole plan is committed: status, failures with their metrics, queued counts.
    /// `Blocked` when a blocked evaluation still can't place everything and goes back to wait.
    pub eval: Evaluation,
    /// Blocked evaluations for what could not be placed: written with the end of `eval`. One for a job, or one a node
    /// for jobs that run on every node.
    pub blocked: Vec<Evaluation>,
}

/// Looks at the job of `eval` and says what should change so that what runs is what was asked for.
///
/// Deterministic: equal inputs give equal outcomes. Errors: none; what can't be done is said in `eval`.
pub fn schedule(context: Context<'_>, eval: &Evaluation) -> Outcome {
    context.cache.nodes.refresh(context.state);
    match context.state.job(&eval.job_key()) {
        Some(job) if !job.stopped() => match job.job_type() {
            type_ @ (JobType::Service | JobType::Batch) => generic::schedule(context, eval, type_),
            type_ @ (JobType::System | JobType::SysBatch) => system::schedule(context, eval, type_),
        },
        // What a job leaves behind is stopped alike, whatever type it had: the evaluation may not say it right.
        _ => generic::schedule(context, eval, JobType::Service),
    }
}
