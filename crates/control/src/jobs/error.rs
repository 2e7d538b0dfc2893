//! Why something is not done for a job.

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
