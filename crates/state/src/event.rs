//! What a command changed, for whoever watches: blocking queries, pages, the event stream, the control loops.

pub use crate::tables::{Change, Topic};

/// The kind of what agents report of their allocations.
pub(crate) const REPORTED: &str = "AllocationUpdated";

/// One changed row. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub index: u64,
    /// The wire's type, such as `JobRegistered` or `AllocationUpdated`.
    pub kind: &'static str,
    pub change: Change,
}

impl Event {
    /// Did an agent report it of an allocation of its own?
    pub fn reported(&self) -> bool {
        self.kind == REPORTED
    }

    pub fn topic(&self) -> Topic {
        self.change.topic()
    }
}
