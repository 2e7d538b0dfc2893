//! The evaluation of a job that was changed.

use tarpan_model::ids::IdSource;
use tarpan_model::{EvalId, Evaluation, Job, Trigger, UnixNanos};

use super::error::JobError;

/// The priority that a request asks for its evaluation; 0: the job's.
pub(super) fn eval_priority(asked: i64) -> Result<Option<i64>, JobError> {
    match asked {
        0 => Ok(None),
        1..=100 => Ok(Some(asked)),
        _ => Err(JobError::EvalPriority),
    }
}

/// The evaluation of a job that was changed.
pub(super) fn eval_of(
    job: &Job,
    priority: Option<i64>,
    by: Trigger,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Option<Evaluation> {
    if job.is_periodic() || job.is_parameterized() {
        return None;
    }
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, by, now);
    Some(Evaluation { priority: priority.unwrap_or(eval.priority), ..eval })
}
