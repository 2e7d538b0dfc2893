//! The JSON of what there is much of, or what is asked for often.
//!
//! It is written by code that stands in this crate, which is built for speed; what the server writes itself is built for size
//! (docs/decisions/0024-size-of-the-program.md).

use serde::Serialize;
use tarpan_model::job::StoredJob;

use super::{AllocFull, AllocStub, JobStub, NodeStub, SummaryRow};
use crate::wire;

/// A value whose JSON is written here.
pub trait Written {
    /// Appends the JSON of this. Errors: none that are known; those of the JSON library.
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

macro_rules! written {
    ($($of:ty),* $(,)?) => {
        $(impl Written for $of {
            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                self.serialize(&mut serde_json::Serializer::new(out))
            }
        })*
    };
}

written! {
    [AllocStub<'_>],
    AllocFull<'_>,
    [AllocFull<'_>],
    [JobStub<'_>],
    SummaryRow<'_>,
    wire::Evaluation,
    wire::Deployment,
    [NodeStub<'_>],
    [wire::Evaluation],
    [wire::Deployment],
    wire::Node,
    StoredJob<'_>,
}
