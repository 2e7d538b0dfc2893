//! Turns one evaluation into a plan and an explanation. A pure function of a snapshot, the evaluation, `now` and a seed.
//!
//! Start at [`schedule`]. A worker keeps one [`Cache`] between evaluations: it holds what can be derived from rows that did
//! not change (the node table as columns, job versions in their dense form), and never changes an answer.

pub mod class;
pub mod columns;
pub mod compile;
pub mod constraint;
mod csi;
mod differs;
mod explain;
mod feasible;
pub mod fit;
mod generic;
mod glob;
#[cfg(test)]
mod harness;
mod inputs;
mod outcome;
mod pass;
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

use tarpan_model::{Evaluation, JobType};

pub use class::computed_class;
pub use fit::{Fit, what_would_fit};
pub use inputs::{Cache, Inputs};
pub use outcome::Outcome;
pub use verdict::{Check, Verdict, verdicts};

/// Looks at the job of `eval` and says what should change so that what runs is what was asked for.
///
/// Deterministic: equal inputs give equal outcomes. Errors: none; what can't be done is said in `eval`.
pub fn schedule(inputs: Inputs<'_>, eval: &Evaluation) -> Outcome {
    inputs.cache.nodes.refresh(inputs.state);
    match inputs.state.job(&eval.job_key()) {
        Some(job) if !job.stopped() => match job.job_type() {
            type_ @ (JobType::Service | JobType::Batch) => generic::schedule(inputs, eval, type_),
            type_ @ (JobType::System | JobType::SysBatch) => system::schedule(inputs, eval, type_),
        },
        // What a job leaves behind is stopped alike, whatever type it had: the evaluation may not say it right.
        _ => generic::schedule(inputs, eval, JobType::Service),
    }
}
