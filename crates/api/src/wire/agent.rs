//! The agents themselves: members and raft.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::null_default;

/// `AgentMember` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentMember {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Addr", deserialize_with = "null_default")]
    pub addr: String,
    #[serde(rename = "Port", deserialize_with = "null_default")]
    pub port: u64,
    #[serde(rename = "Tags", deserialize_with = "null_default")]
    pub tags: BTreeMap<String, String>,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "ProtocolMin", deserialize_with = "null_default")]
    pub protocol_min: u64,
    #[serde(rename = "ProtocolMax", deserialize_with = "null_default")]
    pub protocol_max: u64,
    #[serde(rename = "ProtocolCur", deserialize_with = "null_default")]
    pub protocol_cur: u64,
    #[serde(rename = "DelegateMin", deserialize_with = "null_default")]
    pub delegate_min: u64,
    #[serde(rename = "DelegateMax", deserialize_with = "null_default")]
    pub delegate_max: u64,
    #[serde(rename = "DelegateCur", deserialize_with = "null_default")]
    pub delegate_cur: u64,
}

/// `ServerMembers` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerMembers {
    #[serde(rename = "ServerName", deserialize_with = "null_default")]
    pub server_name: String,
    #[serde(rename = "ServerRegion", deserialize_with = "null_default")]
    pub server_region: String,
    #[serde(rename = "ServerDC", deserialize_with = "null_default")]
    pub server_dc: String,
    #[serde(rename = "Members", deserialize_with = "null_default")]
    pub members: Vec<AgentMember>,
}

/// `RaftServer` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaftServer {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Node", deserialize_with = "null_default")]
    pub node: String,
    #[serde(rename = "Address", deserialize_with = "null_default")]
    pub address: String,
    #[serde(rename = "Leader", deserialize_with = "null_default")]
    pub leader: bool,
    #[serde(rename = "Voter", deserialize_with = "null_default")]
    pub voter: bool,
    #[serde(rename = "RaftProtocol", deserialize_with = "null_default")]
    pub raft_protocol: String,
}

/// `RaftConfigurationResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaftConfigurationResponse {
    #[serde(rename = "Servers", deserialize_with = "null_default")]
    pub servers: Vec<RaftServer>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// A server as raft names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaftPeer {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Address")]
    pub address: String,
}

/// `LeadershipTransferResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeadershipTransferResponse {
    #[serde(rename = "From")]
    pub from: RaftPeer,
    #[serde(rename = "To")]
    pub to: RaftPeer,
    /// It led already.
    #[serde(rename = "Noop")]
    pub noop: bool,
    #[serde(rename = "Err")]
    pub err: Option<String>,
}

/// How joining others went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinResponse {
    pub num_joined: u64,
    pub error: String,
    pub warning: String,
}

/// How the servers of a region are, as their leader finds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotHealth {
    pub healthy: bool,
    /// Voters that may fail before nothing can be written.
    pub failure_tolerance: u64,
    pub servers: Vec<ServerHealth>,
    /// The id of the one that leads; empty: nobody.
    pub leader: String,
    /// Ids.
    pub voters: Vec<String>,
}

/// How a server is, as the leader finds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServerHealth {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// `host:port` of its RPC.
    pub address: String,
    /// What gossip says: `alive`, `failed`, `left`.
    pub serf_status: String,
    pub version: String,
    pub leader: bool,
    /// Since it last answered the leader, as `12ms`.
    pub last_contact: String,
    pub last_term: u64,
    /// The last entry of its log.
    pub last_index: u64,
    pub healthy: bool,
    pub voter: bool,
    /// RFC 3339.
    pub stable_since: String,
    /// Ours: why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A key of gossip, as base64.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyringRequest {
    pub key: String,
}

/// What became of a question about gossip's keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyringResponse {
    /// By server, why it did not do it.
    pub messages: BTreeMap<String, String>,
    /// By key, how many servers have it.
    pub keys: BTreeMap<String, u64>,
    /// Servers that were asked.
    pub num_nodes: u64,
}

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSelf {
    /// Its configuration, secrets left out.
    pub config: serde_json::Value,
    pub member: AgentMember,
    /// Statistics by subsystem.
    pub stats: BTreeMap<String, BTreeMap<String, String>>,
}

/// Health of the roles of an agent; a role that it was not asked about is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentHealth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<RoleHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<RoleHealth>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleHealth {
    pub ok: bool,
    pub message: String,
}

/// Cluster-wide settings of the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfiguration {
    /// `binpack` or `spread`.
    #[serde(rename = "SchedulerAlgorithm", deserialize_with = "null_default")]
    pub scheduler_algorithm: String,
    #[serde(rename = "PreemptionConfig", deserialize_with = "null_default")]
    pub preemption: PreemptionConfig,
    #[serde(rename = "MemoryOversubscriptionEnabled", deserialize_with = "null_default")]
    pub memory_oversubscription: bool,
    #[serde(rename = "RejectJobRegistration", deserialize_with = "null_default")]
    pub reject_job_registration: bool,
    #[serde(rename = "PauseEvalBroker", deserialize_with = "null_default")]
    pub pause_eval_broker: bool,
    #[serde(rename = "NodeLimitForFeasibilityChecks", deserialize_with = "null_default")]
    pub node_limit: u64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// For which kinds of job others may be evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreemptionConfig {
    #[serde(rename = "SystemSchedulerEnabled")]
    pub system: bool,
    #[serde(rename = "SysBatchSchedulerEnabled")]
    pub sysbatch: bool,
    #[serde(rename = "BatchSchedulerEnabled")]
    pub batch: bool,
    #[serde(rename = "ServiceSchedulerEnabled")]
    pub service: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfigurationResponse {
    #[serde(rename = "SchedulerConfig", deserialize_with = "null_default")]
    pub config: SchedulerConfiguration,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// Measurements of the agent that answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsSummary {
    #[serde(rename = "Timestamp")]
    pub timestamp: String,
    #[serde(rename = "Gauges")]
    pub gauges: Vec<GaugeValue>,
    #[serde(rename = "PrecisionGauges")]
    pub precision_gauges: Vec<GaugeValue>,
    #[serde(rename = "Points")]
    pub points: Vec<serde_json::Value>,
    #[serde(rename = "Counters")]
    pub counters: Vec<SampledValue>,
    #[serde(rename = "Samples")]
    pub samples: Vec<SampledValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GaugeValue {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Value")]
    pub value: f64,
    #[serde(rename = "Labels")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SampledValue {
    pub name: String,
    pub count: u64,
    pub rate: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub stddev: f64,
    pub labels: BTreeMap<String, String>,
}
