//! The shapes of `/v1` besides the Job tree: list stubs, objects, requests and responses, with the wire's names.
//!
//! Source: `reference/http-api.md`, "JSON shapes". Unknown fields are ignored, `null` reads as the default.

pub use tarpan_model::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::duration::Dur;
use tarpan_model::job::{CNIConfig, DNSConfig, Job, Multiregion, Resources, TaskLifecycle};
use tarpan_model::metric::AllocMetric;
use tarpan_model::plan::PlanAnnotations;

use crate::timestamp::Timestamp;
use crate::{is_default, null_default};

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

/// `JobPlanRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPlanRequest {
    #[serde(rename = "Job")]
    pub job: Option<Job>,
    #[serde(rename = "Diff", deserialize_with = "null_default")]
    pub diff: bool,
    #[serde(rename = "PolicyOverride", deserialize_with = "null_default")]
    pub policy_override: bool,
}

/// `JobPlanResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPlanResponse {
    #[serde(rename = "Annotations")]
    pub annotations: Option<PlanAnnotations>,
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null_default")]
    pub failed_tg_allocs: BTreeMap<String, AllocMetric>,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "CreatedEvals", deserialize_with = "null_default")]
    pub created_evals: Vec<Evaluation>,
    #[serde(rename = "Diff")]
    pub diff: Option<JobDiff>,
    #[serde(rename = "NextPeriodicLaunch", deserialize_with = "null_default")]
    pub next_periodic_launch: Timestamp,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
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
    #[serde(rename = "Allocs", deserialize_with = "null_default")]
    pub allocs: Vec<JobStatusesAlloc>,
    #[serde(rename = "GroupCountSum", deserialize_with = "null_default")]
    pub group_count_sum: i64,
    #[serde(rename = "ChildStatuses", deserialize_with = "null_default")]
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

/// `AllocListStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// `AllocatedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedResources {
    #[serde(rename = "Tasks", deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, AllocatedTaskResources>,
    #[serde(rename = "TaskLifecycles", deserialize_with = "null_default")]
    pub task_lifecycles: BTreeMap<String, TaskLifecycle>,
    #[serde(rename = "Shared", deserialize_with = "null_default")]
    pub shared: AllocatedSharedResources,
}

/// `AllocatedTaskResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedTaskResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: AllocatedCpuResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: AllocatedMemoryResources,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "Devices", deserialize_with = "null_default")]
    pub devices: Vec<AllocatedDeviceResource>,
}

/// `AllocatedSharedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedSharedResources {
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "DiskMB", deserialize_with = "null_default")]
    pub disk_mb: i64,
    #[serde(rename = "Ports", deserialize_with = "null_default")]
    pub ports: Vec<AllocatedPortMapping>,
}

/// `AllocatedCpuResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "ReservedCores", deserialize_with = "null_default")]
    pub reserved_cores: Vec<u64>,
}

/// `AllocatedMemoryResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedMemoryResources {
    #[serde(rename = "MemoryMB", deserialize_with = "null_default")]
    pub memory_mb: i64,
    #[serde(rename = "MemoryMaxMB", deserialize_with = "null_default")]
    pub memory_max_mb: i64,
}

/// `AllocatedDeviceResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedDeviceResource {
    #[serde(rename = "Vendor", deserialize_with = "null_default")]
    pub vendor: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "DeviceIDs", deserialize_with = "null_default")]
    pub device_ids: Vec<String>,
}

/// `NetworkResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkResource {
    #[serde(rename = "Mode", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub mode: String,
    #[serde(rename = "Device", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub device: String,
    #[serde(rename = "CIDR", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub cidr: String,
    #[serde(rename = "IP", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ip: String,
    #[serde(rename = "Hostname", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub hostname: String,
    #[serde(rename = "MBits", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub mbits: i64,
    #[serde(rename = "DNS", skip_serializing_if = "is_default")]
    pub dns: Option<DNSConfig>,
    #[serde(rename = "ReservedPorts", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub reserved_ports: Vec<Port>,
    #[serde(rename = "DynamicPorts", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub dynamic_ports: Vec<Port>,
    #[serde(rename = "CNI", skip_serializing_if = "is_default")]
    pub cni: Option<CNIConfig>,
}

/// `Port` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    #[serde(rename = "Label", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub label: String,
    #[serde(rename = "Value", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub value: i64,
    #[serde(rename = "To", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub to: i64,
    #[serde(rename = "HostNetwork", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub host_network: String,
    #[serde(rename = "IgnoreCollision", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ignore_collision: bool,
}

/// `AllocatedPortMapping` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedPortMapping {
    #[serde(rename = "Label", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub label: String,
    #[serde(rename = "Value", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub value: i64,
    #[serde(rename = "To", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub to: i64,
    #[serde(rename = "HostIP", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub host_ip: String,
    #[serde(rename = "IgnoreCollision", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ignore_collision: bool,
}

/// `AllocNetworkStatus` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// `AllocResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocResourceUsage {
    #[serde(rename = "ResourceUsage")]
    pub resource_usage: Option<ResourceUsage>,
    #[serde(rename = "Tasks", deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, TaskResourceUsage>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
}

/// `TaskResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskResourceUsage {
    #[serde(rename = "ResourceUsage")]
    pub resource_usage: Option<ResourceUsage>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
    #[serde(rename = "Pids", deserialize_with = "null_default")]
    pub pids: BTreeMap<String, ResourceUsage>,
}

/// `ResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceUsage {
    #[serde(rename = "MemoryStats")]
    pub memory_stats: Option<MemoryStats>,
    #[serde(rename = "CpuStats")]
    pub cpu_stats: Option<CpuStats>,
}

/// `MemoryStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    #[serde(rename = "RSS", deserialize_with = "null_default")]
    pub rss: u64,
    #[serde(rename = "Cache", deserialize_with = "null_default")]
    pub cache: u64,
    #[serde(rename = "Swap", deserialize_with = "null_default")]
    pub swap: u64,
    #[serde(rename = "Usage", deserialize_with = "null_default")]
    pub usage: u64,
    #[serde(rename = "MaxUsage", deserialize_with = "null_default")]
    pub max_usage: u64,
    #[serde(rename = "KernelUsage", deserialize_with = "null_default")]
    pub kernel_usage: u64,
    #[serde(rename = "KernelMaxUsage", deserialize_with = "null_default")]
    pub kernel_max_usage: u64,
    #[serde(rename = "Measured", deserialize_with = "null_default")]
    pub measured: Vec<String>,
}

/// `CpuStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    #[serde(rename = "SystemMode", deserialize_with = "null_default")]
    pub system_mode: f64,
    #[serde(rename = "UserMode", deserialize_with = "null_default")]
    pub user_mode: f64,
    #[serde(rename = "TotalTicks", deserialize_with = "null_default")]
    pub total_ticks: f64,
    #[serde(rename = "ThrottledPeriods", deserialize_with = "null_default")]
    pub throttled_periods: u64,
    #[serde(rename = "ThrottledTime", deserialize_with = "null_default")]
    pub throttled_time: u64,
    #[serde(rename = "Percent", deserialize_with = "null_default")]
    pub percent: f64,
    #[serde(rename = "Measured", deserialize_with = "null_default")]
    pub measured: Vec<String>,
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
}

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
    #[serde(rename = "GCVolumesOnNodeGC", deserialize_with = "null_default")]
    pub gc_volumes_on_node_gc: bool,
    #[serde(rename = "HostNetworks", deserialize_with = "null_default")]
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
}

/// `NodeResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: NodeCpuResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: NodeMemoryResources,
    #[serde(rename = "Disk", deserialize_with = "null_default")]
    pub disk: NodeDiskResources,
    #[serde(rename = "Devices", deserialize_with = "null_default")]
    pub devices: Vec<NodeDeviceResource>,
    #[serde(rename = "NodeNetworks", deserialize_with = "null_default")]
    pub node_networks: Vec<NodeNetworkResource>,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "MinDynamicPort", deserialize_with = "null_default")]
    pub min_dynamic_port: i64,
    #[serde(rename = "MaxDynamicPort", deserialize_with = "null_default")]
    pub max_dynamic_port: i64,
}

/// `NodeCpuResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "TotalCpuCores", deserialize_with = "null_default")]
    pub total_cpu_cores: u64,
    #[serde(rename = "ReservableCpuCores", deserialize_with = "null_default")]
    pub reservable_cpu_cores: Vec<u64>,
}

/// `NodeMemoryResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMemoryResources {
    #[serde(rename = "MemoryMB", deserialize_with = "null_default")]
    pub memory_mb: i64,
}

/// `NodeDiskResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDiskResources {
    #[serde(rename = "DiskMB", deserialize_with = "null_default")]
    pub disk_mb: i64,
}

/// `NodeNetworkResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeNetworkResource {
    #[serde(rename = "Mode", deserialize_with = "null_default")]
    pub mode: String,
    #[serde(rename = "Device", deserialize_with = "null_default")]
    pub device: String,
    #[serde(rename = "MacAddress", deserialize_with = "null_default")]
    pub mac_address: String,
    #[serde(rename = "Speed", deserialize_with = "null_default")]
    pub speed: i64,
    #[serde(rename = "Addresses", deserialize_with = "null_default")]
    pub addresses: Vec<NodeNetworkAddress>,
}

/// `NodeNetworkAddress` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeNetworkAddress {
    #[serde(rename = "Family", deserialize_with = "null_default")]
    pub family: String,
    #[serde(rename = "Alias", deserialize_with = "null_default")]
    pub alias: String,
    #[serde(rename = "Address", deserialize_with = "null_default")]
    pub address: String,
    #[serde(rename = "ReservedPorts", deserialize_with = "null_default")]
    pub reserved_ports: String,
    #[serde(rename = "Gateway", deserialize_with = "null_default")]
    pub gateway: String,
}

/// `NodeDeviceResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDeviceResource {
    #[serde(rename = "Vendor", deserialize_with = "null_default")]
    pub vendor: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Instances", deserialize_with = "null_default")]
    pub instances: Vec<NodeDevice>,
}

/// `NodeDevice` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDevice {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Healthy", deserialize_with = "null_default")]
    pub healthy: bool,
    #[serde(rename = "HealthDescription", deserialize_with = "null_default")]
    pub health_description: String,
}

/// `NodeReservedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: NodeReservedCpuResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: NodeMemoryResources,
    #[serde(rename = "Disk", deserialize_with = "null_default")]
    pub disk: NodeDiskResources,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: NodeReservedNetworkResources,
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
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
}

/// `NodeEvent` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeEvent {
    #[serde(rename = "Message", deserialize_with = "null_default")]
    pub message: String,
    #[serde(rename = "Subsystem", deserialize_with = "null_default")]
    pub subsystem: String,
    #[serde(rename = "Details", deserialize_with = "null_default")]
    pub details: BTreeMap<String, String>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: Timestamp,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
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
    #[serde(rename = "EvalIDs", deserialize_with = "null_default")]
    pub eval_i_ds: Vec<String>,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `NodeEligibilityUpdateResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeEligibilityUpdateResponse {
    #[serde(rename = "NodeModifyIndex", deserialize_with = "null_default")]
    pub node_modify_index: u64,
    #[serde(rename = "EvalIDs", deserialize_with = "null_default")]
    pub eval_i_ds: Vec<String>,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `HostStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStats {
    #[serde(rename = "Memory")]
    pub memory: Option<HostMemoryStats>,
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: Vec<HostCPUStats>,
    #[serde(rename = "DiskStats", deserialize_with = "null_default")]
    pub disk_stats: Vec<HostDiskStats>,
    #[serde(rename = "AllocDirStats")]
    pub alloc_dir_stats: Option<HostDiskStats>,
    #[serde(rename = "Uptime", deserialize_with = "null_default")]
    pub uptime: u64,
    #[serde(rename = "CPUTicksConsumed", deserialize_with = "null_default")]
    pub cpu_ticks_consumed: f64,
}

/// `HostMemoryStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostMemoryStats {
    #[serde(rename = "Total", deserialize_with = "null_default")]
    pub total: u64,
    #[serde(rename = "Available", deserialize_with = "null_default")]
    pub available: u64,
    #[serde(rename = "Used", deserialize_with = "null_default")]
    pub used: u64,
    #[serde(rename = "Free", deserialize_with = "null_default")]
    pub free: u64,
}

/// `HostCPUStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostCPUStats {
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: String,
    #[serde(rename = "User", deserialize_with = "null_default")]
    pub user: f64,
    #[serde(rename = "System", deserialize_with = "null_default")]
    pub system: f64,
    #[serde(rename = "Idle", deserialize_with = "null_default")]
    pub idle: f64,
    #[serde(rename = "TotalPercent", deserialize_with = "null_default")]
    pub total_percent: f64,
    #[serde(rename = "TotalTicks", deserialize_with = "null_default")]
    pub total_ticks: f64,
}

/// `HostDiskStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostDiskStats {
    #[serde(rename = "Device", deserialize_with = "null_default")]
    pub device: String,
    #[serde(rename = "Mountpoint", deserialize_with = "null_default")]
    pub mountpoint: String,
    #[serde(rename = "Size", deserialize_with = "null_default")]
    pub size: u64,
    #[serde(rename = "Used", deserialize_with = "null_default")]
    pub used: u64,
    #[serde(rename = "Available", deserialize_with = "null_default")]
    pub available: u64,
    #[serde(rename = "UsedPercent", deserialize_with = "null_default")]
    pub used_percent: f64,
    #[serde(rename = "InodesUsedPercent", deserialize_with = "null_default")]
    pub inodes_used_percent: f64,
}

/// `NodePool` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodePool {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Description", deserialize_with = "null_default")]
    pub description: String,
    #[serde(rename = "Meta", deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(rename = "NodeIdentityTTL", deserialize_with = "null_default")]
    pub node_identity_ttl: Dur,
    #[serde(rename = "Hash")]
    pub hash: Option<String>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
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

/// `Evaluation` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    #[serde(rename = "ID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub namespace: String,
    #[serde(rename = "Priority", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub priority: i64,
    #[serde(rename = "Type", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub type_: String,
    #[serde(rename = "TriggeredBy", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub triggered_by: String,
    #[serde(rename = "JobID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub job_id: String,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub job_modify_index: u64,
    #[serde(rename = "NodeID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub node_id: String,
    #[serde(rename = "NodeModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub node_modify_index: u64,
    #[serde(rename = "DeploymentID", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub deployment_id: String,
    #[serde(rename = "Status", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub status_description: String,
    #[serde(rename = "Wait", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub wait: Dur,
    #[serde(rename = "WaitUntil", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub wait_until: Timestamp,
    #[serde(rename = "NextEval", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub next_eval: String,
    #[serde(rename = "PreviousEval", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub previous_eval: String,
    #[serde(rename = "BlockedEval", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub blocked_eval: String,
    #[serde(rename = "RelatedEvals", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub related_evals: Vec<EvaluationStub>,
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub failed_tg_allocs: BTreeMap<String, AllocMetric>,
    #[serde(rename = "PlanAnnotations", skip_serializing_if = "is_default")]
    pub plan_annotations: Option<PlanAnnotations>,
    #[serde(rename = "ClassEligibility", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub class_eligibility: BTreeMap<String, bool>,
    #[serde(rename = "QuotaLimitReached", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub quota_limit_reached: String,
    #[serde(rename = "MissingNonNodeResources", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub missing_non_node_resources: Vec<String>,
    #[serde(rename = "EscapedComputedClass", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub escaped_computed_class: bool,
    #[serde(rename = "AnnotatePlan", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub annotate_plan: bool,
    #[serde(rename = "QueuedAllocations", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub queued_allocations: BTreeMap<String, i64>,
    #[serde(rename = "LeaderACL", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub leader_acl: String,
    #[serde(rename = "SnapshotIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub snapshot_index: u64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub modify_time: i64,
}

/// `EvaluationStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluationStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Priority", deserialize_with = "null_default")]
    pub priority: i64,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "TriggeredBy", deserialize_with = "null_default")]
    pub triggered_by: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: String,
    #[serde(rename = "DeploymentID", deserialize_with = "null_default")]
    pub deployment_id: String,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "WaitUntil", deserialize_with = "null_default")]
    pub wait_until: Timestamp,
    #[serde(rename = "NextEval", deserialize_with = "null_default")]
    pub next_eval: String,
    #[serde(rename = "PreviousEval", deserialize_with = "null_default")]
    pub previous_eval: String,
    #[serde(rename = "BlockedEval", deserialize_with = "null_default")]
    pub blocked_eval: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// `Deployment` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployment {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "JobVersion", deserialize_with = "null_default")]
    pub job_version: u64,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "JobSpecModifyIndex", deserialize_with = "null_default")]
    pub job_spec_modify_index: u64,
    #[serde(rename = "JobCreateIndex", deserialize_with = "null_default")]
    pub job_create_index: u64,
    #[serde(rename = "IsMultiregion", deserialize_with = "null_default")]
    pub is_multiregion: bool,
    #[serde(rename = "TaskGroups", deserialize_with = "null_default")]
    pub task_groups: BTreeMap<String, DeploymentState>,
    #[serde(rename = "Status", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "StatusDescription", deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "EvalPriority", deserialize_with = "null_default")]
    pub eval_priority: i64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
}

/// `DeploymentState` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentState {
    #[serde(rename = "AutoRevert", deserialize_with = "null_default")]
    pub auto_revert: bool,
    #[serde(rename = "AutoPromote", deserialize_with = "null_default")]
    pub auto_promote: bool,
    #[serde(rename = "ProgressDeadline", deserialize_with = "null_default")]
    pub progress_deadline: Dur,
    #[serde(rename = "RequireProgressBy", deserialize_with = "null_default")]
    pub require_progress_by: Timestamp,
    #[serde(rename = "Promoted", deserialize_with = "null_default")]
    pub promoted: bool,
    #[serde(rename = "PlacedCanaries", deserialize_with = "null_default")]
    pub placed_canaries: Vec<String>,
    #[serde(rename = "DesiredCanaries", deserialize_with = "null_default")]
    pub desired_canaries: i64,
    #[serde(rename = "DesiredTotal", deserialize_with = "null_default")]
    pub desired_total: i64,
    #[serde(rename = "PlacedAllocs", deserialize_with = "null_default")]
    pub placed_allocs: i64,
    #[serde(rename = "HealthyAllocs", deserialize_with = "null_default")]
    pub healthy_allocs: i64,
    #[serde(rename = "UnhealthyAllocs", deserialize_with = "null_default")]
    pub unhealthy_allocs: i64,
}

/// `DeploymentPromoteRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentPromoteRequest {
    #[serde(rename = "DeploymentID", deserialize_with = "null_default")]
    pub deployment_id: String,
    #[serde(rename = "All", deserialize_with = "null_default")]
    pub all: bool,
    #[serde(rename = "Groups", deserialize_with = "null_default")]
    pub groups: Vec<String>,
    #[serde(rename = "PromotedAt", deserialize_with = "null_default")]
    pub promoted_at: i64,
}

/// `DeploymentPauseRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentPauseRequest {
    #[serde(rename = "DeploymentID", deserialize_with = "null_default")]
    pub deployment_id: String,
    #[serde(rename = "Pause", deserialize_with = "null_default")]
    pub pause: bool,
}

/// `DeploymentAllocHealthRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentAllocHealthRequest {
    #[serde(rename = "DeploymentID", deserialize_with = "null_default")]
    pub deployment_id: String,
    #[serde(rename = "HealthyAllocationIDs", deserialize_with = "null_default")]
    pub healthy_allocation_i_ds: Vec<String>,
    #[serde(rename = "UnhealthyAllocationIDs", deserialize_with = "null_default")]
    pub unhealthy_allocation_i_ds: Vec<String>,
}

/// `DeploymentUpdateResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentUpdateResponse {
    #[serde(rename = "EvalID", deserialize_with = "null_default")]
    pub eval_id: String,
    #[serde(rename = "EvalCreateIndex", deserialize_with = "null_default")]
    pub eval_create_index: u64,
    #[serde(rename = "DeploymentModifyIndex", deserialize_with = "null_default")]
    pub deployment_modify_index: u64,
    #[serde(rename = "RevertedJobVersion")]
    pub reverted_job_version: Option<u64>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}

/// `JobACL` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobACL {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "Group", deserialize_with = "null_default")]
    pub group: String,
    #[serde(rename = "Task", deserialize_with = "null_default")]
    pub task: String,
}

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

/// `SearchResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResponse {
    #[serde(rename = "Matches", deserialize_with = "null_default")]
    pub matches: BTreeMap<String, Vec<String>>,
    #[serde(rename = "Truncations", deserialize_with = "null_default")]
    pub truncations: BTreeMap<String, bool>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `FuzzySearchResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FuzzySearchResponse {
    #[serde(rename = "Matches", deserialize_with = "null_default")]
    pub matches: BTreeMap<String, Vec<FuzzyMatch>>,
    #[serde(rename = "Truncations", deserialize_with = "null_default")]
    pub truncations: BTreeMap<String, bool>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `FuzzyMatch` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FuzzyMatch {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Scope", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub scope: Vec<String>,
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
    #[serde(rename = "ContentType", deserialize_with = "null_default")]
    pub content_type: String,
}

/// Compute that tasks may not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "ReservedCpuCores", deserialize_with = "null_default")]
    pub reserved_cpu_cores: Vec<u64>,
}

/// Ports that tasks may not have, as `22,80,8500-8600`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedNetworkResources {
    #[serde(rename = "ReservedHostPorts", deserialize_with = "null_default")]
    pub reserved_host_ports: String,
}
