//! Volumes: what lists of every type share, dynamic host volumes, and claims of sticky groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::job::Constraint;

use super::AllocListStub;
use crate::{is_default, null_default, null_list};

/// `HostVolume` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolume {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "Constraints", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub constraints: Vec<Constraint>,
    #[serde(rename = "RequestedCapacityMinBytes", deserialize_with = "null_default")]
    pub capacity_min_bytes: i64,
    #[serde(rename = "RequestedCapacityMaxBytes", deserialize_with = "null_default")]
    pub capacity_max_bytes: i64,
    #[serde(rename = "CapacityBytes", deserialize_with = "null_default")]
    pub capacity_bytes: i64,
    #[serde(rename = "RequestedCapabilities", deserialize_with = "null_default", serialize_with = "null_list")]
    pub capabilities: Vec<VolumeCapability>,
    #[serde(rename = "Parameters", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub parameters: BTreeMap<String, String>,
    #[serde(rename = "HostPath", deserialize_with = "null_default")]
    pub host_path: String,
    /// `pending`, `ready` or `unavailable`.
    #[serde(rename = "State", deserialize_with = "null_default")]
    pub state: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    /// Nanoseconds.
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
    /// Those that are not over and mount it; only where one volume is asked for.
    #[serde(rename = "Allocations", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub allocations: Vec<AllocListStub>,
}

/// A host volume in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolumeStub {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "PluginID", deserialize_with = "null_default")]
    pub plugin_id: String,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "CapacityBytes", deserialize_with = "null_default")]
    pub capacity_bytes: i64,
    #[serde(rename = "State", deserialize_with = "null_default")]
    pub state: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// One way in which a volume may be used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeCapability {
    #[serde(rename = "AttachmentMode", deserialize_with = "null_default")]
    pub attachment_mode: String,
    #[serde(rename = "AccessMode", deserialize_with = "null_default")]
    pub access_mode: String,
}

/// The body of a create and of a register.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolumeRequest {
    #[serde(rename = "Volume")]
    pub volume: Option<HostVolume>,
    /// Of an edition that has policies; means nothing here.
    #[serde(rename = "PolicyOverride", deserialize_with = "null_default")]
    pub policy_override: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolumeResponse {
    #[serde(rename = "Volume")]
    pub volume: Option<HostVolume>,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// What is answered to a deletion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolumeDeleteResponse {
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// What a group with a sticky volume holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskGroupHostVolumeClaim {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "TaskGroupName", deserialize_with = "null_default")]
    pub task_group_name: String,
    #[serde(rename = "AllocID", deserialize_with = "null_default")]
    pub alloc_id: String,
    #[serde(rename = "VolumeID", deserialize_with = "null_default")]
    pub volume_id: String,
    #[serde(rename = "VolumeName", deserialize_with = "null_default")]
    pub volume_name: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}
