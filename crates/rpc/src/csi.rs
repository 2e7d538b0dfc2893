//! CSI, version 1, as plugins speak it, and what servers ask of a node's plugins.

use serde::{Deserialize, Serialize};
use tarpan_model::csi::{AccessMode, AttachmentMode, Capability, MountOptions};
use tarpan_model::{AllocId, Namespace};

/// The messages and services, as compiled from `proto/csi.proto`.
pub mod v1 {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("csi.v1");
}

/// Where an agent answers its server, and nobody else, about the CSI plugins that run on its node: an [`Ask`] in, an [`Answer`]
/// out, both packed.
pub const PATH: &str = "/internal/csi";

/// What a server has a node do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// A call of the plugin's controller service: its request, as it goes to the plugin.
    Controller {
        plugin: String,
        call: Call,
        #[serde(with = "serde_bytes")]
        request: Vec<u8>,
    },
    /// The volume is not to be mounted for the allocation any more.
    Detach(Detach),
}

/// Which volume, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detach {
    pub plugin: String,
    pub namespace: Namespace,
    pub volume: String,
    /// What the plugin calls it.
    pub external_id: String,
    pub alloc: AllocId,
    pub write: bool,
    pub how: Capability,
}

/// A call of the controller service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    CreateVolume,
    DeleteVolume,
    Publish,
    Unpublish,
    Validate,
    ListVolumes,
    CreateSnapshot,
    DeleteSnapshot,
    ListSnapshots,
}

/// What came of it.
pub type Answer = Result<Done, Failed>;

/// The plugin's answer, empty of a [`Detach`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    #[serde(with = "serde_bytes")]
    pub answer: Vec<u8>,
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    pub message: String,
    pub kind: FailedKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailedKind {
    /// The plugin knows no such volume or snapshot.
    NotFound,
    /// The plugin says that something else has to happen first.
    NotYet,
    /// The plugin is not there, or does not answer.
    Unreachable,
    Other,
}

/// How a plugin is told what a volume is to be used for.
pub fn capability(how: Capability, options: Option<&MountOptions>) -> v1::VolumeCapability {
    use v1::volume_capability::{Access, AccessType, Block, Mount};
    let mode = match how.access {
        AccessMode::SingleWriter => 1,
        AccessMode::SingleReader => 2,
        AccessMode::MultiReader => 3,
        AccessMode::MultiOneWriter => 4,
        AccessMode::MultiWriter => 5,
    };
    let access_type = match how.attachment {
        AttachmentMode::BlockDevice => AccessType::Block(Block {}),
        AttachmentMode::FileSystem => {
            let options = options.cloned().unwrap_or_default();
            AccessType::Mount(Mount { fs_type: options.fs_type, mount_flags: options.flags })
        }
    };
    v1::VolumeCapability { access_mode: Some(Access { mode }), access_type: Some(access_type) }
}
