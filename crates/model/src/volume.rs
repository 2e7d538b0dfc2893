//! Volumes: how they may be reached, dynamic host volumes, and what sticky groups hold of them.
//!
//! Source: `reference/semantics.md` §15, §6.5; `reference/http-api.md`, "JSON shapes".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alloc::Allocation;
use crate::ids::{AllocId, ClaimId, JobId, Namespace, NamespacedId, NodeId, VolumeId};
use crate::job::{Constraint, TaskGroup, VolumeRequest};
use crate::node::{Node, NodeStatus};
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// How many may read and write a volume at a time. Host volumes know those of a single node, CSI those without
    /// `single-node-single-writer` and `single-node-multi-writer`.
    AccessMode {
        SingleNodeReaderOnly = "single-node-reader-only",
        SingleNodeWriter = "single-node-writer",
        SingleNodeSingleWriter = "single-node-single-writer",
        SingleNodeMultiWriter = "single-node-multi-writer",
        MultiNodeReaderOnly = "multi-node-reader-only",
        MultiNodeSingleWriter = "multi-node-single-writer",
        MultiNodeMultiWriter = "multi-node-multi-writer",
    }
);

impl AccessMode {
    /// Those that a host volume may have.
    pub const OF_HOST: [AccessMode; 4] = [
        AccessMode::SingleNodeReaderOnly,
        AccessMode::SingleNodeWriter,
        AccessMode::SingleNodeSingleWriter,
        AccessMode::SingleNodeMultiWriter,
    ];
}

text_enum!(
    /// What a volume looks like to a task.
    AttachmentMode {
        FileSystem = "file-system",
        BlockDevice = "block-device",
    }
);

/// One way in which a volume may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capability {
    pub attachment_mode: AttachmentMode,
    pub access_mode: AccessMode,
}

impl Capability {
    /// What a group asks of a host volume, with the defaults for what it does not say. The error is a sentence.
    pub fn asked(request: &VolumeRequest) -> Result<Capability, String> {
        let read_only = request.read_only == Some(true);
        let by_default = if read_only { AccessMode::SingleNodeReaderOnly } else { AccessMode::SingleNodeWriter };
        let text = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let access_mode = text(&request.access_mode).map_or(Ok(by_default), |t| {
            AccessMode::parse(&t).ok_or_else(|| format!("the access mode {t:?} is none that host volumes have"))
        })?;
        let attachment_mode = text(&request.attachment_mode).map_or(Ok(AttachmentMode::FileSystem), |t| {
            AttachmentMode::parse(&t).ok_or_else(|| format!("the attachment mode {t:?} is none that there is"))
        })?;
        Ok(Capability { attachment_mode, access_mode })
    }
}

text_enum!(
    /// How far a host volume is.
    HostVolumeState {
        /// Its node has not said yet that it is there.
        Pending = "pending",
        Ready = "ready",
        /// Its node is down, gone, or does not have it any more; or it is being deleted.
        Unavailable = "unavailable",
    }
);

/// A directory of one node, made by a plugin or registered by an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostVolume {
    pub id: VolumeId,
    pub namespace: Namespace,
    /// Unique on its node.
    pub name: Arc<str>,
    pub plugin_id: Arc<str>,
    pub node_pool: Arc<str>,
    pub node_id: NodeId,
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// 0: nothing was asked.
    #[serde(default)]
    pub capacity_min_bytes: u64,
    #[serde(default)]
    pub capacity_max_bytes: u64,
    /// What the plugin says it has.
    #[serde(default)]
    pub capacity_bytes: u64,
    pub capabilities: Vec<Capability>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Empty until its node made it.
    #[serde(default)]
    pub host_path: String,
    pub state: HostVolumeState,
    /// Its node was told to delete it: nothing is placed on it, whatever the node still reports.
    #[serde(default)]
    pub deleting: bool,
    /// An operator made the directory; no plugin is asked for it.
    #[serde(default)]
    pub registered: bool,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub create_time: UnixNanos,
    #[serde(default)]
    pub modify_index: u64,
    #[serde(default)]
    pub modify_time: UnixNanos,
}

impl HostVolume {
    /// The state that follows from its node, which is `None` where there is no such node any more.
    pub fn state_on(&self, node: Option<&Node>) -> HostVolumeState {
        let Some(node) = node.filter(|node| node.status != NodeStatus::Down) else {
            return HostVolumeState::Unavailable;
        };
        let has = node.host_volumes.get(&self.name).is_some_and(|v| v.id == self.id.to_string());
        match (self.deleting, has, self.state) {
            (true, ..) => HostVolumeState::Unavailable,
            (false, true, _) => HostVolumeState::Ready,
            (false, false, HostVolumeState::Pending) => HostVolumeState::Pending,
            (false, false, _) => HostVolumeState::Unavailable,
        }
    }

    /// Does an allocation of this node, whose group is given, mount it?
    pub fn is_of(&self, alloc: &Allocation) -> bool {
        alloc.node_id == self.node_id && self.namespace == alloc.namespace && self.requests(alloc).next().is_some()
    }

    /// What the allocation's group asks of it.
    pub fn requests<'a>(&self, alloc: &'a Allocation) -> impl Iterator<Item = &'a VolumeRequest> {
        let (name, index) = (self.name.clone(), alloc.index());
        let requests = alloc.group().into_iter().flat_map(host_requests);
        requests.filter(move |request| source(request, index) == *name)
    }

    /// Does an allocation mount it to write?
    pub fn written_by(&self, alloc: &Allocation) -> bool {
        self.is_of(alloc) && self.requests(alloc).any(|request| request.read_only != Some(true))
    }
}

/// The host volumes that a group asks for.
pub fn host_requests(group: &TaskGroup) -> impl Iterator<Item = &VolumeRequest> {
    let all = group.volumes.iter().flat_map(|volumes| volumes.values());
    all.filter(|request| request.type_.as_deref().is_none_or(|t| t.is_empty() || t == "host"))
}

/// The name that a request of instance `index` asks for: its label where it names no source.
pub fn source(request: &VolumeRequest, index: Option<u32>) -> String {
    let source = request.source.clone().filter(|s| !s.is_empty()).or_else(|| request.name.clone()).unwrap_or_default();
    match request.per_alloc {
        Some(true) => format!("{source}[{}]", index.unwrap_or(0)),
        _ => source,
    }
}

/// What a group with a sticky volume holds: its next allocation comes to this volume again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostVolumeClaim {
    pub id: ClaimId,
    pub namespace: Namespace,
    pub job_id: JobId,
    pub task_group: Arc<str>,
    /// The allocation that has it, or had it last.
    pub alloc_id: AllocId,
    pub volume_id: VolumeId,
    pub volume_name: Arc<str>,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub modify_index: u64,
}

impl HostVolumeClaim {
    pub fn job_key(&self) -> NamespacedId {
        NamespacedId { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }
}
