//! Fixtures and generators for tests of any crate; knows the model only.
//!
//! [`jobs`] and [`nodes`] make one thing with what matters as arguments; [`any`] draws many for properties. Ids come from
//! [`tarpan_model::ids::CountingIds`], so that shrinking works on what matters.

pub mod allocs;
pub mod any;
pub mod evals;
pub mod fuzz;
pub mod jobs;
pub mod nodes;

use tarpan_model::UnixNanos;

/// 2026-01-01T00:00:00Z: when tests begin.
pub const START: UnixNanos = UnixNanos(1_767_225_600_000_000_000);

/// `START` and some seconds.
pub const fn at(secs: i64) -> UnixNanos {
    UnixNanos(START.0 + secs * 1_000_000_000)
}
