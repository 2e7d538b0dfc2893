//! Jobs: list stubs, registration, dispatch, status and history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::job::Job;
use tarpan_model::job::Multiregion;

use crate::is_default;
use crate::null_default;
use crate::null_list;
use crate::wire::JobDiff;

/// A job as it was submitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSubmission {
    #[serde(rename = "Source", deserialize_with = "null_default")]
    pub source: String,
    /// `hcl2`, `json` or `hcl1`.
    #[serde(rename = "Format", deserialize_with = "null_default")]
    pub format: String,
    #[serde(rename = "VariableFlags")]
    pub variable_flags: Option<BTreeMap<String, String>>,
    #[serde(rename = "Variables", deserialize_with = "null_default")]
    pub variables: String,
    /// Written from the job rather than submitted. Ours; only where it was asked for.
    #[serde(rename = "Printed", skip_serializing_if = "is_default")]
    pub printed: bool,
}

/// Allocations of one group, by state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TaskGroupSummary {
    pub queued: u64,
    pub complete: u64,
    pub failed: u64,
    pub running: u64,
    pub starting: u64,
    pub lost: u64,
    pub unknown: u64,
}

/// Children of a periodic or parameterized job, by status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct JobChildrenSummary {
    pub pending: u64,
    pub running: u64,
    pub dead: u64,
}

/// `JobListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobListStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "ParentID", deserialize_with = "null_default")]
    pub parent_id: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub namespace: String,
    #[serde(rename = "Datacenters", deserialize_with = "null_default")]
    pub datacenters: Vec<String>,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "Multiregion")]
    pub multiregion: Option<Multiregion>,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Priority", deserialize_with = "null_default")]
    pub priority: i64,
    #[serde(rename = "Periodic", deserialize_with = "null_default")]
    pub periodic: bool,
    #[serde(rename = "ParameterizedJob", deserialize_with = "null_default")]
    pub parameterized_job: bool,
    #[serde(rename = "Stop", deserialize_with = "null_default")]
    pub stop: bool,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "JobSummary")]
    pub job_summary: Option<JobSummary>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "SubmitTime", deserialize_with = "null_default")]
    pub submit_time: i64,
    #[serde(rename = "Meta", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
}

/// `JobRegisterRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRegisterRequest {
    #[serde(rename = "Submission")]
    pub submission: Option<JobSubmission>,
    #[serde(rename = "Job")]
    pub job: Option<Job>,
    #[serde(rename = "EnforceIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub enforce_index: bool,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub job_modify_index: u64,
    #[serde(rename = "PolicyOverride", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub policy_override: bool,
    #[serde(rename = "PreserveCounts", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub preserve_counts: bool,
    #[serde(rename = "PreserveResources", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub preserve_resources: bool,
    #[serde(rename = "EvalPriority", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub eval_priority: i64,
}

/// `JobRegisterResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRegisterResponse {
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `JobDeregisterResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDeregisterResponse {
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "VolumeEvalID", deserialize_with = "null_default")]
    pub volume_eval_id: String,
    #[serde(rename = "VolumeEvalIndex", deserialize_with = "null_default")]
    pub volume_eval_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `JobValidateRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobValidateRequest {
    #[serde(rename = "Job")]
    pub job: Option<Job>,
}

/// `JobValidateResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobValidateResponse {
    #[serde(rename = "DriverConfigValidated", deserialize_with = "null_default")]
    pub driver_config_validated: bool,
    #[serde(rename = "ValidationErrors", deserialize_with = "null_default")]
    pub validation_errors: Vec<String>,
    #[serde(rename = "Error", deserialize_with = "null_default")]
    pub error: String,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
}

/// `TagVersionRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagVersionRequest {
    #[serde(rename = "Version", deserialize_with = "null_default")]
    pub version: u64,
    #[serde(rename = "Latest", deserialize_with = "null_default")]
    pub latest: bool,
    #[serde(rename = "Description", deserialize_with = "null_default")]
    pub description: String,
}

/// `JobTagResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobTagResponse {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Description", deserialize_with = "null_default")]
    pub description: String,
    #[serde(rename = "TaggedTime", deserialize_with = "null_default")]
    pub tagged_time: i64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `JobRevertRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobRevertRequest {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "EnforcePriorVersion")]
    pub enforce_prior_version: Option<u64>,
}

/// `JobStabilityRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStabilityRequest {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "Stable", deserialize_with = "null_default")]
    pub stable: bool,
}

/// `JobStabilityResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStabilityResponse {
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// A command that a job's text names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobAction {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Command", deserialize_with = "null_default")]
    pub command: String,
    #[serde(rename = "Args", deserialize_with = "null_default")]
    pub args: Vec<String>,
    #[serde(rename = "TaskName", deserialize_with = "null_default")]
    pub task: String,
    #[serde(rename = "TaskGroupName", deserialize_with = "null_default")]
    pub group: String,
}

/// `JobEvaluateRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobEvaluateRequest {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "EvalOptions", deserialize_with = "null_default")]
    pub eval_options: EvalOptions,
}

/// `EvalOptions` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalOptions {
    #[serde(rename = "ForceReschedule", deserialize_with = "null_default")]
    pub force_reschedule: bool,
}

/// `JobDispatchRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDispatchRequest {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "Payload")]
    pub payload: Option<String>,
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(rename = "IdPrefixTemplate", deserialize_with = "null_default")]
    pub id_prefix_template: String,
    #[serde(rename = "Priority", deserialize_with = "null_default")]
    pub priority: i64,
}

/// `JobDispatchResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobDispatchResponse {
    #[serde(rename = "DispatchedJobID", deserialize_with = "null_default")]
    pub dispatched_job_id: String,
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "JobCreateIndex", deserialize_with = "null_default")]
    pub job_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `PeriodicForceResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeriodicForceResponse {
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `JobsParseRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobsParseRequest {
    #[serde(rename = "JobHCL", deserialize_with = "null_default")]
    pub job_hcl: String,
    #[serde(rename = "Variables", deserialize_with = "null_default")]
    pub variables: String,
    #[serde(rename = "Canonicalize", deserialize_with = "null_default")]
    pub canonicalize: bool,
}

/// `JobSummary` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSummary {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Summary", deserialize_with = "null_default")]
    pub summary: BTreeMap<String, TaskGroupSummary>,
    #[serde(rename = "Children")]
    pub children: Option<JobChildrenSummary>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

/// `JobStatusesRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatusesRequest {
    #[serde(rename = "Jobs", deserialize_with = "null_default")]
    pub jobs: Vec<tarpan_model::NamespacedId>,
    #[serde(rename = "IncludeChildren", deserialize_with = "null_default")]
    pub include_children: bool,
}

/// `JobStatusesJob` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatusesJob {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "NodePool", deserialize_with = "null_default")]
    pub node_pool: String,
    #[serde(rename = "Datacenters", deserialize_with = "null_default")]
    pub datacenters: Vec<String>,
    #[serde(rename = "Priority", deserialize_with = "null_default")]
    pub priority: i64,
    #[serde(rename = "Version", deserialize_with = "null_default")]
    pub version: u64,
    #[serde(rename = "SubmitTime", deserialize_with = "null_default")]
    pub submit_time: i64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "Allocs", deserialize_with = "null_default", serialize_with = "null_list")]
    pub allocs: Vec<JobStatusesAlloc>,
    #[serde(rename = "GroupCountSum", deserialize_with = "null_default")]
    pub group_count_sum: i64,
    #[serde(rename = "ChildStatuses", deserialize_with = "null_default", serialize_with = "null_list")]
    pub child_statuses: Vec<String>,
    #[serde(rename = "ParentID", deserialize_with = "null_default")]
    pub parent_id: String,
    #[serde(rename = "LatestDeployment")]
    pub latest_deployment: Option<JobStatusesLatestDeployment>,
    #[serde(rename = "Stop", deserialize_with = "null_default")]
    pub stop: bool,
    #[serde(rename = "IsPack", deserialize_with = "null_default")]
    pub is_pack: bool,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
}

/// `JobStatusesAlloc` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatusesAlloc {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Group", deserialize_with = "null_default")]
    pub group: String,
    #[serde(rename = "ClientStatus", deserialize_with = "null_default")]
    pub client_status: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "DeploymentStatus", deserialize_with = "null_default")]
    pub deployment_status: JobStatusesDeployment,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "FollowupEvalID", deserialize_with = "null_default")]
    pub followup_eval_id: String,
    #[serde(rename = "HasPausedTask", deserialize_with = "null_default")]
    pub has_paused_task: bool,
}

/// `JobStatusesDeployment` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatusesDeployment {
    #[serde(rename = "Canary", deserialize_with = "null_default")]
    pub canary: bool,
    #[serde(rename = "Healthy")]
    pub healthy: Option<bool>,
}

/// `JobStatusesLatestDeployment` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatusesLatestDeployment {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "IsActive", deserialize_with = "null_default")]
    pub is_active: bool,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "AllAutoPromote", deserialize_with = "null_default")]
    pub all_auto_promote: bool,
    #[serde(rename = "RequiresPromotion", deserialize_with = "null_default")]
    pub requires_promotion: bool,
}

/// The versions of a job, newest first, and what each changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobVersions {
    #[serde(rename = "Versions", deserialize_with = "null_default")]
    pub versions: Vec<Job>,
    /// `diffs[i]` compares `versions[i]` with the version before it; `None` when not asked for.
    #[serde(rename = "Diffs")]
    pub diffs: Option<Vec<JobDiff>>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}
