//! Broker and blocked evaluations together, kept in step with state by its events.

use tarpan_model::UnixNanos;
use tarpan_state::{Event, State};

use crate::blocked::Blocked;
use crate::broker::Broker;

/// All evaluations that are not finished, on the leader.
#[derive(Debug, Default)]
pub struct Evals {
    pub broker: Broker,
    pub blocked: Blocked,
}

impl Evals {
    /// Starts (or starts again) from what is written: for a new leader.
    pub fn restore(&mut self, _state: &State, _now: UnixNanos) {}
    /// Not the leader any more.
    pub fn disable(&mut self) {}
    /// Follows what applying changed: new evaluations come in, finished ones go, room that appears releases blocked ones.
    pub fn observe(&mut self, _events: &[Event], _state: &State, _now: UnixNanos) {}
}
