//! What is asked for a job, as commands: taking it in, ending it, looking at it again, an earlier version, another count.
//!
//! Reads: state, the request, `now`. Gives: a [`Command`] guarded by what was looked at, so that it is decided anew when
//! others were faster. Periodic and parameterized jobs get no evaluations; their children do.
//! Start at [`register`]; [`admission`] has the rules that every job goes through. Texts of refusals are the wire's.

pub mod admission;
mod change;
mod register;
mod scale;

use tarpan_model::ids::IdSource;
use tarpan_model::{EvalId, Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::{Guard, State};

pub use change::{Deregister, Reevaluated, Revert, deregister, evaluate, revert};
pub use register::{Accepted, Registration, register};
pub use scale::{Scale, scale};

/// Why something is not done for a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("job not found")]
    NotFound,
    /// The same where it is said with the name.
    #[error("job {0:?} not found")]
    NoSuchJob(String),
    #[error("Job registration, dispatch, and scale are disabled by the scheduler configuration")]
    RegistrationOff,
    #[error("Eval priority must be between 1 and 100 inclusively")]
    EvalPriority,
    /// The request asks for what can't be, whatever the state.
    #[error("{0}")]
    Asked(String),
    /// The job as it is, or as it would be, does not allow it.
    #[error("{0}")]
    Refused(String),
}

/// Refused while an operator has switched registration off, but for whoever `manages` the cluster. Gives what has to hold still
/// where the change is applied.
pub fn registration_on(state: &State, manages: bool) -> Result<Vec<Guard>, JobError> {
    match state.scheduler_config().reject_job_registration {
        _ if manages => Ok(Vec::new()),
        true => Err(JobError::RegistrationOff),
        false => Ok(vec![Guard::RegistrationOn]),
    }
}

/// The priority that a request asks for its evaluation; 0: the job's.
fn eval_priority(asked: i64) -> Result<Option<i64>, JobError> {
    match asked {
        0 => Ok(None),
        1..=100 => Ok(Some(asked)),
        _ => Err(JobError::EvalPriority),
    }
}

/// The evaluation of a job that was changed.
fn eval_of(
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

#[cfg(test)]
mod tests;
