//! The task supervisor: a tiny process a task that outlives the agent.

/// Becomes the task supervisor when the process was started as one, and then never returns.
///
/// Call it first in `main`: before arguments are parsed and before any thread exists.
pub fn run_if_supervisor() {}
