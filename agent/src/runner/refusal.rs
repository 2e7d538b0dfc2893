//! Why an allocation does not do what a person asks of it.

/// As the person is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Could not find task named: {0}")]
    NoTask(String),
    #[error("Task not running")]
    NotRunning,
    #[error("Can't restart all tasks when a task name is given")]
    AllAndOne,
    /// It ends, or has ended.
    #[error("restart of an alloc that should not run")]
    Ending,
    /// Nobody is there any more who could do it.
    #[error("the allocation has ended")]
    Gone,
    /// What the drivers said, a line a task.
    #[error("{0}")]
    Signal(String),
}
