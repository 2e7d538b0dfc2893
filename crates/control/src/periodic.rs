//! Launches of periodic jobs: when, and as which child.

use tarpan_model::ids::{IdSource, NamespacedId};
use tarpan_model::job::PeriodicConfig;
use tarpan_model::{Job, UnixNanos};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Event, State};

/// Why a periodic block gives no times, or a launch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodicError {
    #[error("failed parsing cron expression {expression:?}: {reason}")]
    Cron { expression: String, reason: String },
    #[error("unknown time zone {0}")]
    TimeZone(String),
    #[error("can't force launch non-periodic job")]
    NotPeriodic,
    #[error("job not found")]
    NotFound,
}

/// The first launch after `after`; `None` when there is none.
pub fn next_launch(_periodic: &PeriodicConfig, _after: UnixNanos) -> Result<Option<UnixNanos>, PeriodicError> {
    Ok(None)
}

/// The child of `parent` for the launch at `at`, with its evaluation.
pub fn child(_parent: &Job, _at: UnixNanos, _now: UnixNanos, _ids: &mut dyn IdSource) -> RegisterJob {
    unimplemented!()
}

/// A launch by hand, overlap or not.
pub fn force(
    _state: &State,
    _job: &NamespacedId,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<RegisterJob, PeriodicError> {
    Err(PeriodicError::NotFound)
}

/// The next launch of every periodic job, on the leader.
#[derive(Debug, Default)]
pub struct Periodic {}

impl Periodic {
    /// For a new leader; what was missed is launched once.
    pub fn restore(&mut self, _state: &State, _now: UnixNanos) {}
    pub fn disable(&mut self) {}
    /// Follows registered, changed and removed jobs.
    pub fn observe(&mut self, _events: &[Event], _now: UnixNanos) {}
    /// Children due at `now`; the next launches are set.
    pub fn step(&mut self, _state: &State, _now: UnixNanos, _ids: &mut dyn IdSource) -> Vec<RegisterJob> {
        Vec::new()
    }
    pub fn next_wake(&self) -> Option<UnixNanos> {
        None
    }
}
