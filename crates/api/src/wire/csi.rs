//! CSI: volumes, snapshots and plugins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AllocListStub, VolumeCapability};
use crate::timestamp::Timestamp;
use crate::{is_default, null_default, null_list};

/// `CSIVolume` on the wire. Secrets come in, and never go out as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolume {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "ExternalID", deserialize_with = "null_default")]
    pub external_id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "RequestedTopologies")]
    pub requested_topologies: Option<CsiTopologyRequest>,
    #[serde(rename = "Topologies", deserialize_with = "null_default", serialize_with = "null_list")]
    pub topologies: Vec<CsiTopology>,
    #[serde(rename = "AccessMode", deserialize_with = "null_default")]
    pub access_mode: String,
    #[serde(rename = "AttachmentMode", deserialize_with = "null_default")]
    pub attachment_mode: String,
    #[serde(rename = "MountOptions")]
    pub mount_options: Option<CsiMountOptions>,
    #[serde(rename = "Secrets", deserialize_with = "null_default")]
    pub secrets: BTreeMap<String, String>,
    #[serde(rename = "Parameters", deserialize_with = "null_default")]
    pub parameters: BTreeMap<String, String>,
    #[serde(rename = "Context", deserialize_with = "null_default")]
    pub context: BTreeMap<String, String>,
    #[serde(rename = "Capacity", deserialize_with = "null_default")]
    pub capacity: i64,
    #[serde(rename = "RequestedCapacityMin", deserialize_with = "null_default")]
    pub requested_capacity_min: i64,
    #[serde(rename = "RequestedCapacityMax", deserialize_with = "null_default")]
    pub requested_capacity_max: i64,
    #[serde(rename = "RequestedCapabilities", deserialize_with = "null_default", serialize_with = "null_list")]
    pub requested_capabilities: Vec<VolumeCapability>,
    #[serde(rename = "CloneID", deserialize_with = "null_default")]
    pub clone_id: String,
    #[serde(rename = "SnapshotID", deserialize_with = "null_default")]
    pub snapshot_id: String,
    #[serde(rename = "ReadAllocs", deserialize_with = "null_default")]
    pub read_allocs: BTreeMap<String, Option<AllocListStub>>,
    #[serde(rename = "WriteAllocs", deserialize_with = "null_default")]
    pub write_allocs: BTreeMap<String, Option<AllocListStub>>,
    #[serde(rename = "Allocations", deserialize_with = "null_default", serialize_with = "null_list")]
    pub allocations: Vec<AllocListStub>,
    #[serde(rename = "Schedulable", deserialize_with = "null_default")]
    pub schedulable: bool,
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "Provider", deserialize_with = "null_default")]
    pub provider: String,
    #[serde(rename = "ProviderVersion", deserialize_with = "null_default")]
    pub provider_version: String,
    #[serde(rename = "ControllerRequired", deserialize_with = "null_default")]
    pub controller_required: bool,
    #[serde(rename = "ControllersHealthy", deserialize_with = "null_default")]
    pub controllers_healthy: u64,
    #[serde(rename = "ControllersExpected", deserialize_with = "null_default")]
    pub controllers_expected: u64,
    #[serde(rename = "NodesHealthy", deserialize_with = "null_default")]
    pub nodes_healthy: u64,
    #[serde(rename = "NodesExpected", deserialize_with = "null_default")]
    pub nodes_expected: u64,
    #[serde(rename = "ResourceExhausted")]
    pub resource_exhausted: Timestamp,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
    /// Ours: who has it, and how far what is given back is. Only where it is asked for.
    #[serde(rename = "Claims", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub claims: Vec<CsiClaim>,
}

/// Ours: an allocation's claim on a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiClaim {
    #[serde(rename = "AllocID", deserialize_with = "null_default")]
    pub alloc_id: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "Write", deserialize_with = "null_default")]
    pub write: bool,
    /// `taken`, or how far it is given back.
    #[serde(rename = "State", deserialize_with = "null_default")]
    pub state: String,
    /// A sentence; empty: nothing is to be said.
    #[serde(rename = "Reason", deserialize_with = "null_default")]
    pub reason: String,
    /// Since when it is in that state, in nanoseconds.
    #[serde(rename = "Since", deserialize_with = "null_default")]
    pub since: i64,
}

/// `CSIVolListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolListStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "ExternalID", deserialize_with = "null_default")]
    pub external_id: String,
    #[serde(rename = "Topologies", deserialize_with = "null_default", serialize_with = "null_list")]
    pub topologies: Vec<CsiTopology>,
    #[serde(rename = "AccessMode", deserialize_with = "null_default")]
    pub access_mode: String,
    #[serde(rename = "AttachmentMode", deserialize_with = "null_default")]
    pub attachment_mode: String,
    #[serde(rename = "CurrentReaders", deserialize_with = "null_default")]
    pub current_readers: u64,
    #[serde(rename = "CurrentWriters", deserialize_with = "null_default")]
    pub current_writers: u64,
    #[serde(rename = "Schedulable", deserialize_with = "null_default")]
    pub schedulable: bool,
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "Provider", deserialize_with = "null_default")]
    pub provider: String,
    #[serde(rename = "ControllerRequired", deserialize_with = "null_default")]
    pub controller_required: bool,
    #[serde(rename = "ControllersHealthy", deserialize_with = "null_default")]
    pub controllers_healthy: u64,
    #[serde(rename = "ControllersExpected", deserialize_with = "null_default")]
    pub controllers_expected: u64,
    #[serde(rename = "NodesHealthy", deserialize_with = "null_default")]
    pub nodes_healthy: u64,
    #[serde(rename = "NodesExpected", deserialize_with = "null_default")]
    pub nodes_expected: u64,
    #[serde(rename = "ResourceExhausted")]
    pub resource_exhausted: Timestamp,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// `CSIMountOptions` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiMountOptions {
    #[serde(rename = "FSType", deserialize_with = "null_default")]
    pub fs_type: String,
    #[serde(rename = "MountFlags", deserialize_with = "null_default", serialize_with = "null_list")]
    pub mount_flags: Vec<String>,
}

/// `CSITopology` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiTopology {
    #[serde(rename = "Segments", deserialize_with = "null_default")]
    pub segments: BTreeMap<String, String>,
}

/// `CSITopologyRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiTopologyRequest {
    #[serde(rename = "Required", deserialize_with = "null_default", serialize_with = "null_list")]
    pub required: Vec<CsiTopology>,
    #[serde(rename = "Preferred", deserialize_with = "null_default", serialize_with = "null_list")]
    pub preferred: Vec<CsiTopology>,
}

/// What registers and creates volumes, and what is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolumesRequest {
    #[serde(rename = "Volumes", deserialize_with = "null_default", serialize_with = "null_list")]
    pub volumes: Vec<CsiVolume>,
}

/// What became of volumes that were registered or created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolumesResponse {
    #[serde(rename = "Volumes", deserialize_with = "null_default", serialize_with = "null_list")]
    pub volumes: Vec<CsiVolume>,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
}

/// A volume as its plugin tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolumeExternalStub {
    #[serde(rename = "ExternalID", deserialize_with = "null_default")]
    pub external_id: String,
    #[serde(rename = "CapacityBytes", deserialize_with = "null_default")]
    pub capacity_bytes: i64,
    #[serde(rename = "VolumeContext", deserialize_with = "null_default")]
    pub volume_context: BTreeMap<String, String>,
    #[serde(rename = "CloneID", deserialize_with = "null_default")]
    pub clone_id: String,
    #[serde(rename = "SnapshotID", deserialize_with = "null_default")]
    pub snapshot_id: String,
    #[serde(rename = "PublishedExternalNodeIDs", deserialize_with = "null_default", serialize_with = "null_list")]
    pub published_external_node_ids: Vec<String>,
    #[serde(rename = "IsAbnormal", deserialize_with = "null_default")]
    pub is_abnormal: bool,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
}

/// `CSIVolumesExternal` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiVolumesExternal {
    #[serde(rename = "Volumes", deserialize_with = "null_default", serialize_with = "null_list")]
    pub volumes: Vec<CsiVolumeExternalStub>,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `CSISnapshot` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiSnapshot {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "ExternalSourceVolumeID", deserialize_with = "null_default")]
    pub external_source_volume_id: String,
    #[serde(rename = "SizeBytes", deserialize_with = "null_default")]
    pub size_bytes: i64,
    /// Unix seconds.
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "IsReady", deserialize_with = "null_default")]
    pub is_ready: bool,
    #[serde(rename = "SourceVolumeID", deserialize_with = "null_default")]
    pub source_volume_id: String,
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Secrets", deserialize_with = "null_default")]
    pub secrets: BTreeMap<String, String>,
    #[serde(rename = "Parameters", deserialize_with = "null_default")]
    pub parameters: BTreeMap<String, String>,
}

/// Snapshots to be made, or as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiSnapshots {
    #[serde(rename = "Snapshots", deserialize_with = "null_default", serialize_with = "null_list")]
    pub snapshots: Vec<CsiSnapshot>,
    #[serde(rename = "NextToken", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub next_token: String,
}

/// `CSIPlugin` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiPlugin {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Provider", deserialize_with = "null_default")]
    pub provider: String,
    #[serde(rename = "Version", deserialize_with = "null_default")]
    pub version: String,
    #[serde(rename = "ControllerRequired", deserialize_with = "null_default")]
    pub controller_required: bool,
    #[serde(rename = "Controllers", deserialize_with = "null_default")]
    pub controllers: BTreeMap<String, CsiInfo>,
    #[serde(rename = "Nodes", deserialize_with = "null_default")]
    pub nodes: BTreeMap<String, CsiInfo>,
    #[serde(rename = "Allocations", deserialize_with = "null_default", serialize_with = "null_list")]
    pub allocations: Vec<AllocListStub>,
    #[serde(rename = "ControllerJobs", deserialize_with = "null_default")]
    pub controller_jobs: BTreeMap<String, BTreeMap<String, CsiJobDescription>>,
    #[serde(rename = "NodeJobs", deserialize_with = "null_default")]
    pub node_jobs: BTreeMap<String, BTreeMap<String, CsiJobDescription>>,
    #[serde(rename = "ControllersHealthy", deserialize_with = "null_default")]
    pub controllers_healthy: u64,
    #[serde(rename = "ControllersExpected", deserialize_with = "null_default")]
    pub controllers_expected: u64,
    #[serde(rename = "NodesHealthy", deserialize_with = "null_default")]
    pub nodes_healthy: u64,
    #[serde(rename = "NodesExpected", deserialize_with = "null_default")]
    pub nodes_expected: u64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// A job of which tasks are a plugin, and how many are expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiJobDescription {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Expected", deserialize_with = "null_default")]
    pub expected: u64,
}

/// `CSIPluginListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiPluginListStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Provider", deserialize_with = "null_default")]
    pub provider: String,
    #[serde(rename = "ControllerRequired", deserialize_with = "null_default")]
    pub controller_required: bool,
    #[serde(rename = "ControllersHealthy", deserialize_with = "null_default")]
    pub controllers_healthy: u64,
    #[serde(rename = "ControllersExpected", deserialize_with = "null_default")]
    pub controllers_expected: u64,
    #[serde(rename = "NodesHealthy", deserialize_with = "null_default")]
    pub nodes_healthy: u64,
    #[serde(rename = "NodesExpected", deserialize_with = "null_default")]
    pub nodes_expected: u64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// `CSIInfo` on the wire: what a node says of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiInfo {
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "AllocID", deserialize_with = "null_default")]
    pub alloc_id: String,
    #[serde(rename = "Healthy", deserialize_with = "null_default")]
    pub healthy: bool,
    #[serde(rename = "HealthDescription", deserialize_with = "null_default")]
    pub health_description: String,
    #[serde(rename = "UpdateTime")]
    pub update_time: Timestamp,
    #[serde(rename = "Provider", deserialize_with = "null_default")]
    pub provider: String,
    #[serde(rename = "ProviderVersion", deserialize_with = "null_default")]
    pub provider_version: String,
    #[serde(rename = "RequiresControllerPlugin", deserialize_with = "null_default")]
    pub requires_controller_plugin: bool,
    #[serde(rename = "RequiresTopologies", deserialize_with = "null_default")]
    pub requires_topologies: bool,
    #[serde(rename = "ControllerInfo", skip_serializing_if = "is_default")]
    pub controller_info: Option<CsiControllerInfo>,
    #[serde(rename = "NodeInfo", skip_serializing_if = "is_default")]
    pub node_info: Option<CsiNodeInfo>,
}

/// `CSIControllerInfo` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiControllerInfo {
    #[serde(rename = "SupportsCreateDelete", deserialize_with = "null_default")]
    pub supports_create_delete: bool,
    #[serde(rename = "SupportsAttachDetach", deserialize_with = "null_default")]
    pub supports_attach_detach: bool,
    #[serde(rename = "SupportsListVolumes", deserialize_with = "null_default")]
    pub supports_list_volumes: bool,
    #[serde(rename = "SupportsGetCapacity", deserialize_with = "null_default")]
    pub supports_get_capacity: bool,
    #[serde(rename = "SupportsCreateDeleteSnapshot", deserialize_with = "null_default")]
    pub supports_create_delete_snapshot: bool,
    #[serde(rename = "SupportsListSnapshots", deserialize_with = "null_default")]
    pub supports_list_snapshots: bool,
    #[serde(rename = "SupportsClone", deserialize_with = "null_default")]
    pub supports_clone: bool,
    #[serde(rename = "SupportsReadOnlyAttach", deserialize_with = "null_default")]
    pub supports_read_only_attach: bool,
    #[serde(rename = "SupportsExpand", deserialize_with = "null_default")]
    pub supports_expand: bool,
    #[serde(rename = "SupportsListVolumesAttachedNodes", deserialize_with = "null_default")]
    pub supports_list_volumes_attached_nodes: bool,
    #[serde(rename = "SupportsCondition", deserialize_with = "null_default")]
    pub supports_condition: bool,
    #[serde(rename = "SupportsGet", deserialize_with = "null_default")]
    pub supports_get: bool,
}

/// `CSINodeInfo` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiNodeInfo {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "MaxVolumes", deserialize_with = "null_default")]
    pub max_volumes: i64,
    #[serde(rename = "AccessibleTopology")]
    pub accessible_topology: Option<CsiTopology>,
    #[serde(rename = "RequiresNodeStageVolume", deserialize_with = "null_default")]
    pub requires_node_stage_volume: bool,
    #[serde(rename = "SupportsStats", deserialize_with = "null_default")]
    pub supports_stats: bool,
    #[serde(rename = "SupportsExpand", deserialize_with = "null_default")]
    pub supports_expand: bool,
    #[serde(rename = "SupportsCondition", deserialize_with = "null_default")]
    pub supports_condition: bool,
}

/// Secrets for a plugin, as the body of what deletes: ours, beside the header that others send.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CsiSecrets {
    #[serde(rename = "Secrets", deserialize_with = "null_default")]
    pub secrets: BTreeMap<String, String>,
}
