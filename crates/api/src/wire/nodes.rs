//! Nodes, node pools and drains.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::duration::Dur;

use crate::is_default;
use crate::null_default;
use crate::null_list;
use crate::null_map;
use crate::timestamp::Timestamp;
use crate::wire::CsiInfo;
use crate::wire::NodeReservedResources;
use crate::wire::NodeResources;

/// `Node` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "SecretID", deserialize_with = "null_default")]
    pub secret_id: String,
    #[serde(rename = "Datacenter", deserialize_with = "null_default")]
    pub datacenter: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "CgroupParent", deserialize_with = "null_default")]
    pub cgroup_parent: String,
    #[serde(rename = "HTTPAddr", deserialize_with = "null_default")]
    pub http_addr: String,
    #[serde(rename = "TLSEnabled", deserialize_with = "null_default")]
    pub tls_enabled: bool,
    #[serde(rename = "Attributes", deserialize_with = "null_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(rename = "NodeResources")]
    pub node_resources: Option<NodeResources>,
    #[serde(rename = "ReservedResources")]
    pub reserved_resources: Option<NodeReservedResources>,
    #[serde(rename = "Links", deserialize_with = "null_default")]
    pub links: BTreeMap<String, String>,
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(rename = "NodeClass", deserialize_with = "null_default")]
    pub node_class: String,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "ComputedClass", deserialize_with = "null_default")]
    pub computed_class: String,
    /// A drain goes on.
    #[serde(rename = "Drain", deserialize_with = "null_default")]
    pub drain: bool,
    #[serde(rename = "DrainStrategy")]
    pub drain_strategy: Option<DrainStrategy>,
    #[serde(rename = "SchedulingEligibility", deserialize_with = "null_default")]
    pub scheduling_eligibility: String,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "IdentitySigningKeyID", deserialize_with = "null_default")]
    pub identity_signing_key_id: String,
    #[serde(rename = "StatusUpdatedAt", deserialize_with = "null_default")]
    pub status_updated_at: i64,
    #[serde(rename = "Events", deserialize_with = "null_default")]
    pub events: Vec<NodeEvent>,
    #[serde(rename = "Drivers", deserialize_with = "null_default")]
    pub drivers: BTreeMap<String, DriverInfo>,
    #[serde(rename = "HostVolumes", deserialize_with = "null_default")]
    pub host_volumes: BTreeMap<String, ClientHostVolumeConfig>,
    #[serde(rename = "CSIControllerPlugins", deserialize_with = "null_default")]
    pub csi_controller_plugins: BTreeMap<String, CsiInfo>,
    #[serde(rename = "CSINodePlugins", deserialize_with = "null_default")]
    pub csi_node_plugins: BTreeMap<String, CsiInfo>,
    #[serde(rename = "GCVolumesOnNodeGC", deserialize_with = "null_default")]
    pub gc_volumes_on_node_gc: bool,
    #[serde(rename = "HostNetworks", deserialize_with = "null_default", serialize_with = "null_map")]
    pub host_networks: BTreeMap<String, ClientHostNetworkConfig>,
    #[serde(rename = "LastDrain")]
    pub last_drain: Option<DrainMetadata>,
    #[serde(rename = "NodeMaxAllocs", deserialize_with = "null_default")]
    pub node_max_allocs: i64,
    #[serde(rename = "LastMissedHeartbeatIndex", deserialize_with = "null_default")]
    pub last_missed_heartbeat_index: u64,
    #[serde(rename = "LastAllocUpdateIndex", deserialize_with = "null_default")]
    pub last_alloc_update_index: u64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// `NodeListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeListStub {
    #[serde(rename = "Address", deserialize_with = "null_default")]
    pub address: String,
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Attributes", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(rename = "Datacenter", deserialize_with = "null_default")]
    pub datacenter: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "NodeClass", deserialize_with = "null_default")]
    pub node_class: String,
    #[serde(rename = "Version", deserialize_with = "null_default")]
    pub version: String,
    #[serde(rename = "Drain", deserialize_with = "null_default")]
    pub drain: bool,
    #[serde(rename = "SchedulingEligibility", deserialize_with = "null_default")]
    pub scheduling_eligibility: String,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "Drivers", deserialize_with = "null_default")]
    pub drivers: BTreeMap<String, DriverInfo>,
    #[serde(rename = "HostVolumes", deserialize_with = "null_default")]
    pub host_volumes: BTreeMap<String, ClientHostVolumeConfig>,
    #[serde(rename = "NodeResources", skip_serializing_if = "is_default")]
    pub node_resources: Option<NodeResources>,
    #[serde(rename = "ReservedResources", skip_serializing_if = "is_default")]
    pub reserved_resources: Option<NodeReservedResources>,
    #[serde(rename = "LastDrain")]
    pub last_drain: Option<DrainMetadata>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    /// Ours; only where `usage=true` asks for it.
    #[serde(rename = "Usage", skip_serializing_if = "is_default")]
    pub usage: Option<NodeUse>,
}

/// What allocations that are not over take of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeUse {
    pub allocs: u64,
    /// MHz.
    pub cpu: i64,
    #[serde(rename = "MemoryMB")]
    pub memory_mb: i64,
    #[serde(rename = "DiskMB")]
    pub disk_mb: i64,
}

/// `NodeEvent` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeEvent {
    #[serde(rename = "Message", deserialize_with = "null_default")]
    pub message: String,
    #[serde(rename = "Subsystem", deserialize_with = "null_default")]
    pub subsystem: String,
    #[serde(rename = "Details", deserialize_with = "null_default", serialize_with = "null_map")]
    pub details: BTreeMap<String, String>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: Timestamp,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
}

/// `DriverInfo` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverInfo {
    #[serde(rename = "Attributes", deserialize_with = "null_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(rename = "Detected", deserialize_with = "null_default")]
    pub detected: bool,
    #[serde(rename = "Healthy", deserialize_with = "null_default")]
    pub healthy: bool,
    #[serde(rename = "HealthDescription", deserialize_with = "null_default")]
    pub health_description: String,
    #[serde(rename = "UpdateTime", deserialize_with = "null_default")]
    pub update_time: Timestamp,
}

/// `ClientHostVolumeConfig` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientHostVolumeConfig {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Path", deserialize_with = "null_default")]
    pub path: String,
    #[serde(rename = "ReadOnly", deserialize_with = "null_default")]
    pub read_only: bool,
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
}

/// `ClientHostNetworkConfig` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientHostNetworkConfig {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "CIDR", deserialize_with = "null_default")]
    pub cidr: String,
    #[serde(rename = "Interface", deserialize_with = "null_default")]
    pub interface: String,
    #[serde(rename = "ReservedPorts", deserialize_with = "null_default")]
    pub reserved_ports: String,
}

/// `DrainSpec` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainSpec {
    #[serde(rename = "Deadline", deserialize_with = "null_default")]
    pub deadline: Dur,
    #[serde(rename = "IgnoreSystemJobs", deserialize_with = "null_default")]
    pub ignore_system_jobs: bool,
}

/// `DrainStrategy` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainStrategy {
    #[serde(rename = "Deadline", deserialize_with = "null_default")]
    pub deadline: Dur,
    #[serde(rename = "IgnoreSystemJobs", deserialize_with = "null_default")]
    pub ignore_system_jobs: bool,
    #[serde(rename = "ForceDeadline", deserialize_with = "null_default")]
    pub force_deadline: Timestamp,
    #[serde(rename = "StartedAt", deserialize_with = "null_default")]
    pub started_at: Timestamp,
}

/// `DrainMetadata` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainMetadata {
    #[serde(rename = "StartedAt", deserialize_with = "null_default")]
    pub started_at: Timestamp,
    #[serde(rename = "UpdatedAt", deserialize_with = "null_default")]
    pub updated_at: Timestamp,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "AccessorID", deserialize_with = "null_default")]
    pub accessor_id: String,
    #[serde(rename = "Meta", deserialize_with = "null_default", serialize_with = "null_map")]
    pub meta: BTreeMap<String, String>,
}

/// `NodeUpdateDrainRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeUpdateDrainRequest {
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "DrainSpec")]
    pub drain_spec: Option<DrainSpec>,
    #[serde(rename = "MarkEligible", deserialize_with = "null_default")]
    pub mark_eligible: bool,
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
}

/// `NodeDrainUpdateResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDrainUpdateResponse {
    #[serde(rename = "NodeModifyIndex", deserialize_with = "null_default")]
    pub node_modify_index: u64,
    #[serde(rename = "EvalIDs", deserialize_with = "null_default", serialize_with = "null_list")]
    pub eval_ids: Vec<String>,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `NodeUpdateEligibilityRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeEligibilityRequest {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// `eligible` or `ineligible`.
    #[serde(rename = "Eligibility")]
    pub eligibility: String,
}

/// `NodeEligibilityUpdateResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeEligibilityUpdateResponse {
    #[serde(rename = "NodeModifyIndex", deserialize_with = "null_default")]
    pub node_modify_index: u64,
    #[serde(rename = "EvalIDs", deserialize_with = "null_default", serialize_with = "null_list")]
    pub eval_ids: Vec<String>,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `NodePool` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodePool {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Description", deserialize_with = "null_default")]
    pub description: String,
    #[serde(rename = "Meta", deserialize_with = "null_default", serialize_with = "null_map")]
    pub meta: BTreeMap<String, String>,
    #[serde(rename = "SchedulerConfiguration")]
    pub scheduler_configuration: Option<serde_json::Value>,
    #[serde(rename = "NodeIdentityTTL", deserialize_with = "null_default")]
    pub node_identity_ttl: Dur,
    #[serde(rename = "Hash")]
    pub hash: Option<String>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// The node that a body names, whatever else it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeInBody {
    #[serde(rename = "NodeID")]
    pub node_id: Option<String>,
}

/// `NodeMetaApplyRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMetaApplyRequest {
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, Option<String>>,
}

/// `NodeMetaResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMetaResponse {
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(rename = "Dynamic", deserialize_with = "null_default")]
    pub dynamic: BTreeMap<String, Option<String>>,
    #[serde(rename = "Static", deserialize_with = "null_default")]
    pub static_: BTreeMap<String, String>,
}

/// What a node is answered when it, or an operator for it, changed something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeUpdateResponse {
    #[serde(rename = "HeartbeatTTL", deserialize_with = "null_default")]
    pub heartbeat_ttl: Dur,
    #[serde(rename = "EvalIDs")]
    pub eval_ids: Option<Vec<String>>,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "NodeModifyIndex", deserialize_with = "null_default")]
    pub node_modify_index: u64,
    #[serde(rename = "Features", deserialize_with = "null_default")]
    pub features: u64,
    #[serde(rename = "LeaderRPCAddr", deserialize_with = "null_default")]
    pub leader_rpc_addr: String,
    #[serde(rename = "NumNodes", deserialize_with = "null_default")]
    pub num_nodes: i64,
    #[serde(rename = "Servers", deserialize_with = "null_default")]
    pub servers: Vec<NodeServerInfo>,
    #[serde(rename = "SchedulingEligibility", deserialize_with = "null_default")]
    pub scheduling_eligibility: String,
    #[serde(rename = "SignedIdentity")]
    pub signed_identity: Option<String>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeServerInfo {
    #[serde(rename = "RPCAdvertiseAddr", deserialize_with = "null_default")]
    pub rpc_advertise_addr: String,
    #[serde(rename = "RPCMajorVersion", deserialize_with = "null_default")]
    pub rpc_major_version: i64,
    #[serde(rename = "RPCMinorVersion", deserialize_with = "null_default")]
    pub rpc_minor_version: i64,
    #[serde(rename = "Datacenter", deserialize_with = "null_default")]
    pub datacenter: String,
}
