//! Deployments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::duration::Dur;

use crate::null_default;
use crate::null_list;
use crate::timestamp::Timestamp;

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
    #[serde(rename = "PlacedCanaries", deserialize_with = "null_default", serialize_with = "null_list")]
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
    pub healthy_allocation_ids: Vec<String>,
    #[serde(rename = "UnhealthyAllocationIDs", deserialize_with = "null_default")]
    pub unhealthy_allocation_ids: Vec<String>,
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
