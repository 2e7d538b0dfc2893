//! Due times of the servers' clocks, as the runtime's.

use std::time::Duration;

use tarpan_model::UnixNanos;
use tokio::time::Instant;

use crate::clock::now;

pub(super) const FAR: Duration = Duration::from_secs(86_400);

/// The runtime's clock at time `at`; a day ahead for none.
pub(super) fn instant(at: Option<UnixNanos>) -> Instant {
    instant_of(at, now())
}

/// The same by a clock that says `now`.
pub(super) fn instant_of(at: Option<UnixNanos>, now: UnixNanos) -> Instant {
    Instant::now() + at.map_or(FAR, |at| at.since(now).to_std())
}
