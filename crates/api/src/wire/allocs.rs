//! Allocations and their tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::duration::Dur;
use tarpan_model::job::DNSConfig;
use tarpan_model::job::Job;
use tarpan_model::job::Resources;
use tarpan_model::metric::AllocMetric;
use tarpan_model::wire::Wire;

use crate::is_default;
use crate::null_default;
use crate::timestamp::Timestamp;
use crate::wire::AllocatedResources;

/// `AllocListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct AllocListStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "NodeName", deserialize_with = "null_default")]
    pub node_name: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "JobType", deserialize_with = "null_default")]
    pub job_type: String,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "TaskGroup", deserialize_with = "null_default")]
    pub task_group: String,
    #[serde(rename = "AllocatedResources", skip_serializing_if = "is_default")]
    pub allocated_resources: Option<AllocatedResources>,
    #[serde(rename = "DesiredStatus", deserialize_with = "null_default")]
    pub desired_status: String,
    #[serde(rename = "DesiredDescription", deserialize_with = "null_default")]
    pub desired_description: String,
    #[serde(rename = "ClientStatus", deserialize_with = "null_default")]
    pub client_status: String,
    #[serde(rename = "ClientDescription", deserialize_with = "null_default")]
    pub client_description: String,
    #[serde(rename = "DesiredTransition", deserialize_with = "null_default")]
    pub desired_transition: DesiredTransition,
    #[serde(rename = "TaskStates", deserialize_with = "null_default")]
    pub task_states: BTreeMap<String, TaskState>,
    #[serde(rename = "DeploymentStatus")]
    pub deployment_status: Option<AllocDeploymentStatus>,
    #[serde(rename = "FollowupEvalID", deserialize_with = "null_default")]
    pub followup_eval_id: String,
    #[serde(rename = "NextAllocation", deserialize_with = "null_default")]
    pub next_allocation: String,
    #[serde(rename = "RescheduleTracker")]
    pub reschedule_tracker: Option<RescheduleTracker>,
    #[serde(rename = "PreemptedAllocations", deserialize_with = "null_default")]
    pub preempted_allocations: Vec<String>,
    #[serde(rename = "PreemptedByAllocation", deserialize_with = "null_default")]
    pub preempted_by_allocation: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// `Allocation` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct Allocation {
    #[serde(rename = "ID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub namespace: String,
    #[serde(rename = "EvalID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub eval_id: String,
    #[serde(rename = "Name", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub name: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub node_id: String,
    #[serde(rename = "NodeName", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub node_name: String,
    #[serde(rename = "JobID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub job_id: String,
    #[serde(rename = "Job", skip_serializing_if = "is_default")]
    pub job: Option<Job>,
    #[serde(rename = "TaskGroup", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub task_group: String,
    #[serde(rename = "Resources", skip_serializing_if = "is_default")]
    pub resources: Option<Resources>,
    #[serde(rename = "SharedResources", skip_serializing_if = "is_default")]
    pub shared_resources: Option<Resources>,
    #[serde(rename = "TaskResources", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub task_resources: BTreeMap<String, Resources>,
    #[serde(rename = "AllocatedResources", skip_serializing_if = "is_default")]
    pub allocated_resources: Option<AllocatedResources>,
    #[serde(rename = "Metrics", skip_serializing_if = "is_default")]
    pub metrics: Option<AllocMetric>,
    #[serde(rename = "DesiredStatus", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub desired_status: String,
    #[serde(rename = "DesiredDescription", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub desired_description: String,
    #[serde(rename = "DesiredTransition", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub desired_transition: DesiredTransition,
    #[serde(rename = "ClientStatus", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub client_status: String,
    #[serde(rename = "ClientDescription", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub client_description: String,
    #[serde(rename = "TaskStates", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub task_states: BTreeMap<String, TaskState>,
    #[serde(rename = "PreviousAllocation", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub previous_allocation: String,
    #[serde(rename = "NextAllocation", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub next_allocation: String,
    #[serde(rename = "DeploymentID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub deployment_id: String,
    #[serde(rename = "DeploymentStatus", skip_serializing_if = "is_default")]
    pub deployment_status: Option<AllocDeploymentStatus>,
    #[serde(rename = "RescheduleTracker", skip_serializing_if = "is_default")]
    pub reschedule_tracker: Option<RescheduleTracker>,
    #[serde(rename = "NetworkStatus", skip_serializing_if = "is_default")]
    pub network_status: Option<AllocNetworkStatus>,
    #[serde(rename = "FollowupEvalID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub followup_eval_id: String,
    #[serde(rename = "PreemptedAllocations", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub preempted_allocations: Vec<String>,
    #[serde(rename = "PreemptedByAllocation", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub preempted_by_allocation: String,
    #[serde(rename = "SigningKeyID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub signing_key_id: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub modify_index: u64,
    #[serde(rename = "AllocModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub alloc_modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub modify_time: i64,
}

/// Lines of a task's output that hold a text; ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct LogMatches {
    #[serde(rename = "Lines", deserialize_with = "null_default")]
    pub lines: Vec<LogMatch>,
    /// Bytes that were looked through for this answer.
    #[serde(rename = "Scanned")]
    pub scanned: u64,
    /// Where it stopped; empty: there is no more.
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

impl LogMatches {
    /// The same, with where to go on: number of a file, bytes in it.
    pub fn going_on(self, (file, offset): (u64, u64)) -> LogMatches {
        LogMatches { next_token: format!("{file}:{offset}"), ..self }
    }
}

/// One line of [`LogMatches`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct LogMatch {
    /// Number of the rotated file, and where in it the line begins.
    #[serde(rename = "File")]
    pub file: u64,
    #[serde(rename = "Offset")]
    pub offset: u64,
    #[serde(rename = "Text", deserialize_with = "null_default")]
    pub text: String,
    /// The line goes on; so much of it is told.
    #[serde(rename = "Cut")]
    pub cut: bool,
}

/// `AllocNetworkStatus` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct AllocNetworkStatus {
    #[serde(rename = "InterfaceName", deserialize_with = "null_default")]
    pub interface_name: String,
    #[serde(rename = "Address", deserialize_with = "null_default")]
    pub address: String,
    #[serde(rename = "AddressIPv6", deserialize_with = "null_default")]
    pub address_ipv6: String,
    #[serde(rename = "DNS")]
    pub dns: Option<DNSConfig>,
}

/// `AllocDeploymentStatus` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct AllocDeploymentStatus {
    #[serde(rename = "Healthy")]
    pub healthy: Option<bool>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: Timestamp,
    #[serde(rename = "Canary", deserialize_with = "null_default")]
    pub canary: bool,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// `RescheduleTracker` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RescheduleTracker {
    #[serde(rename = "Events", deserialize_with = "null_default")]
    pub events: Vec<RescheduleEvent>,
}

/// `RescheduleEvent` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RescheduleEvent {
    #[serde(rename = "RescheduleTime", deserialize_with = "null_default")]
    pub reschedule_time: i64,
    #[serde(rename = "PrevAllocID", deserialize_with = "null_default")]
    pub prev_alloc_id: String,
    #[serde(rename = "PrevNodeID", deserialize_with = "null_default")]
    pub prev_node_id: String,
    #[serde(rename = "Delay", deserialize_with = "null_default")]
    pub delay: Dur,
}

/// `TaskState` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct TaskState {
    #[serde(rename = "State", deserialize_with = "null_default")]
    pub state: String,
    #[serde(rename = "Failed", deserialize_with = "null_default")]
    pub failed: bool,
    #[serde(rename = "Restarts", deserialize_with = "null_default")]
    pub restarts: u64,
    #[serde(rename = "LastRestart", deserialize_with = "null_default")]
    pub last_restart: Timestamp,
    #[serde(rename = "StartedAt", deserialize_with = "null_default")]
    pub started_at: Timestamp,
    #[serde(rename = "FinishedAt", deserialize_with = "null_default")]
    pub finished_at: Timestamp,
    #[serde(rename = "Events", deserialize_with = "null_default")]
    pub events: Vec<TaskEvent>,
    #[serde(rename = "Paused", deserialize_with = "null_default")]
    pub paused: String,
}

/// `TaskEvent` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskEvent {
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Time", deserialize_with = "null_default")]
    pub time: i64,
    #[serde(rename = "Message", deserialize_with = "null_default")]
    pub message: String,
    #[serde(rename = "DisplayMessage", deserialize_with = "null_default")]
    pub display_message: String,
    #[serde(rename = "Details", deserialize_with = "null_default")]
    pub details: BTreeMap<String, String>,
    #[serde(rename = "FailsTask", deserialize_with = "null_default")]
    pub fails_task: bool,
    #[serde(rename = "RestartReason", deserialize_with = "null_default")]
    pub restart_reason: String,
    #[serde(rename = "SetupError", deserialize_with = "null_default")]
    pub setup_error: String,
    #[serde(rename = "DriverError", deserialize_with = "null_default")]
    pub driver_error: String,
    #[serde(rename = "ExitCode", deserialize_with = "null_default")]
    pub exit_code: i64,
    #[serde(rename = "Signal", deserialize_with = "null_default")]
    pub signal: i64,
    #[serde(rename = "KillTimeout", deserialize_with = "null_default")]
    pub kill_timeout: Dur,
    #[serde(rename = "KillError", deserialize_with = "null_default")]
    pub kill_error: String,
    #[serde(rename = "KillReason", deserialize_with = "null_default")]
    pub kill_reason: String,
    #[serde(rename = "StartDelay", deserialize_with = "null_default")]
    pub start_delay: i64,
    #[serde(rename = "DownloadError", deserialize_with = "null_default")]
    pub download_error: String,
    #[serde(rename = "ValidationError", deserialize_with = "null_default")]
    pub validation_error: String,
    #[serde(rename = "DiskLimit", deserialize_with = "null_default")]
    pub disk_limit: i64,
    #[serde(rename = "FailedSibling", deserialize_with = "null_default")]
    pub failed_sibling: String,
    #[serde(rename = "VaultError", deserialize_with = "null_default")]
    pub vault_error: String,
    #[serde(rename = "TaskSignalReason", deserialize_with = "null_default")]
    pub task_signal_reason: String,
    #[serde(rename = "TaskSignal", deserialize_with = "null_default")]
    pub task_signal: String,
    #[serde(rename = "DriverMessage", deserialize_with = "null_default")]
    pub driver_message: String,
    #[serde(rename = "GenericSource", deserialize_with = "null_default")]
    pub generic_source: String,
}

/// `AllocStopResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocStopResponse {
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `AllocFileInfo` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocFileInfo {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "IsDir", deserialize_with = "null_default")]
    pub is_dir: bool,
    #[serde(rename = "Size", deserialize_with = "null_default")]
    pub size: i64,
    #[serde(rename = "FileMode", deserialize_with = "null_default")]
    pub file_mode: String,
    #[serde(rename = "ModTime", deserialize_with = "null_default")]
    pub mod_time: Timestamp,
    #[serde(rename = "ContentType", deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub content_type: String,
}

/// `CheckQueryResult` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckQueryResult {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Mode", deserialize_with = "null_default")]
    pub mode: String,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusCode", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub status_code: i64,
    #[serde(rename = "Output", deserialize_with = "null_default")]
    pub output: String,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
    #[serde(rename = "Group", deserialize_with = "null_default")]
    pub group: String,
    #[serde(rename = "Task", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub task: String,
    #[serde(rename = "Service", deserialize_with = "null_default")]
    pub service: String,
    #[serde(rename = "Check", deserialize_with = "null_default")]
    pub check: String,
    /// Earlier runs and this one, oldest first. Ours: only where `history=true` asks for it.
    #[serde(rename = "History", deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<CheckRun>,
}

/// One run of a check, in [`CheckQueryResult::history`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckRun {
    /// `success` or `failure`.
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusCode", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub status_code: i64,
    /// The begin of what was answered.
    #[serde(rename = "Output", deserialize_with = "null_default")]
    pub output: String,
    /// Seconds since 1970.
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
}
