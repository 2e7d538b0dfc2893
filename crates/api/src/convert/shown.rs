//! What servers show by the thousand, as JSON.

use serde_json::{Result, Serializer};
use tarpan_model::job::StoredJob;
use tarpan_model::service::ServiceRegistration;

use super::{AllocFull, AllocStub, JobStub, NodeStub, SummaryRow};
use crate::wire;

/// A shape whose JSON is written in this crate, which is built for speed, and not in the one that answers, which is built small
/// (docs/decisions/0024-size-of-the-program.md).
pub trait Shown {
    /// Appends the JSON to `out`.
    fn show(&self, out: &mut Vec<u8>) -> Result<()>;
}

macro_rules! shown {
    ($($of:ty),* $(,)?) => {
        $(impl Shown for $of {
            fn show(&self, out: &mut Vec<u8>) -> Result<()> {
                serde::Serialize::serialize(self, &mut Serializer::new(out))
            }
        })*
    };
}

shown! {
    [AllocFull<'_>],
    [AllocStub<'_>],
    [JobStub<'_>],
    [NodeStub<'_>],
    [&ServiceRegistration],
    [wire::CsiPluginListStub],
    [wire::CsiVolListStub],
    [wire::Deployment],
    [wire::Evaluation],
    [wire::JobStatusesJob],
    [wire::HostVolumeStub],
    [wire::NodePool],
    [wire::TaskGroupHostVolumeClaim],
    AllocFull<'_>,
    StoredJob<'_>,
    SummaryRow<'_>,
    wire::CsiPlugin,
    wire::CsiVolume,
    wire::Deployment,
    wire::Evaluation,
    wire::JobScaleStatus,
    wire::JobSubmission,
    wire::JobsPage,
    wire::Namespace,
    wire::Node,
    wire::NodePool,
    wire::HostVolume,
    wire::ScalingPolicy,
}
