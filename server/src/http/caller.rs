//! Who asks, as all of [`super`] knows it: see [`tarpan_api::routes::caller`]. What stands there and in [`super::Api`] is all that
//! asks; handlers ask [`super::context::Context`] about the namespaces of what they find.

pub use tarpan_api::routes::caller::{Caller, Grant, Identify, Token, everybody};
pub use tarpan_api::routes::{Access, Capability};

/// What jobs' rows, and those of all that belongs to them, need to be seen.
pub const READ_JOB: Capability = Capability::Namespace(&["read-job"]);
pub const LIST_JOBS: Capability = Capability::Namespace(&["list-jobs"]);
