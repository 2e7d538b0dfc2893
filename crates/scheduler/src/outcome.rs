//! What a look at a job ends with.

use tarpan_model::{Evaluation, Plan};

/// What one look at a job asks for.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Follow-up evaluations that allocations of the plan refer to: written before the plan.
    pub evals_before: Vec<Evaluation>,
    pub plan: Plan,
    /// The plan is as large as one may be, and there is more to place: `eval` is to be looked at again, and not to be ended.
    pub more: bool,
    /// The evaluation as it ends if the whole plan is committed: status, failures with their metrics, queued counts.
    /// `Blocked` when a blocked evaluation still can't place everything and goes back to wait.
    pub eval: Evaluation,
    /// Blocked evaluations for what could not be placed: written with the end of `eval`. One for a job, or one a node
    /// for jobs that run on every node, with one that looks again later where replacements were held back.
    pub blocked: Vec<Evaluation>,
}
