//! Rows to the shapes of `/v1`.
//!
//! What there are many of (allocations, node and job stubs) borrows from its row and serialises straight from it: listing
//! ten thousand costs no copies. The rest becomes the owned type of [`crate::wire`]. A test holds both to one shape.

mod allocs;
mod csi;
mod deployments;
mod evals;
mod jobs;
pub(crate) mod metric;
mod node_resources;
mod nodes;
mod resources;
mod scaling;
mod shown;
mod task_states;
#[cfg(test)]
mod tests;
mod volumes;

use serde::{Serialize, Serializer};
use tarpan_model::UnixNanos;
use tarpan_model::time::rfc3339;

pub(crate) use crate::null_list as null_if_empty;

pub use allocs::{AllocFull, AllocStub, StubOptions, alloc_stub, allocation};
pub use csi::{csi_info, csi_volume, csi_volume_stub};
pub use deployments::deployment;
pub use evals::{evaluation, evaluation_stub, plan_annotations};
pub use jobs::{JobStub, SummaryRow, job_stub};
pub use metric::Metric;
pub use node_resources::{node_reserved, node_resources};
pub use nodes::{NodeStub, NodeStubOptions, node, node_stub};
pub use scaling::scaling_event;
pub use shown::Shown;
pub use task_states::task_states;
pub use volumes::{capability, host_volume, host_volume_claim, host_volume_stub};

/// An id that is the empty text when there is none.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct OrEmpty<T>(pub Option<T>);

impl<T: Serialize> Serialize for OrEmpty<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(id) => id.serialize(s),
            None => s.serialize_str(""),
        }
    }
}

impl<T> OrEmpty<T> {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

/// The text of an id, empty when there is none.
pub(crate) fn text<T: std::fmt::Display>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A time that is `null` when it is not set.
pub(crate) fn time_or_null<S: Serializer>(time: &UnixNanos, s: S) -> Result<S::Ok, S::Error> {
    if time.is_zero() { s.serialize_none() } else { s.serialize_str(&rfc3339(*time)) }
}

/// A map whose keys and values are text.
pub(crate) fn texts<'a, K: AsRef<str> + 'a, V: AsRef<str> + 'a>(
    map: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> std::collections::BTreeMap<String, String> {
    map.into_iter().map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned())).collect()
}
