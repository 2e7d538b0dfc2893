//! Evaluations that follow from what nodes report and from evaluations that failed.

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::ids::IdSource;
use tarpan_model::{Dur, Evaluation, UnixNanos};
use tarpan_state::State;

/// The evaluations that these reports ask for: at most one a job. For `Command::UpdateAllocs`.
pub fn client_updates(
    _state: &State,
    _updates: &[AllocUpdate],
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Vec<Evaluation> {
    Vec::new()
}

/// `eval` reached the delivery limit: the failed row and the one that tries again after `wait`.
pub fn delivery_failed(
    _state: &State,
    _eval: &Evaluation,
    _wait: Dur,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Vec<Evaluation> {
    Vec::new()
}

/// Rows for [`crate::Broker::take_cancelable`].
pub fn canceled(_evals: &[std::sync::Arc<Evaluation>], _now: UnixNanos) -> Vec<Evaluation> {
    Vec::new()
}

/// Rows for [`crate::Blocked::take_duplicates`].
pub fn duplicates(_evals: &[std::sync::Arc<Evaluation>], _now: UnixNanos) -> Vec<Evaluation> {
    Vec::new()
}
