//! Scaling: counts of groups, their history, and policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::null_default;

/// The wish for another count of one group, or a note on why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingRequest {
    #[serde(rename = "Count")]
    pub count: Option<i64>,
    /// `Job` and `Group`.
    #[serde(rename = "Target", deserialize_with = "null_default")]
    pub target: BTreeMap<String, String>,
    #[serde(rename = "Message", deserialize_with = "null_default")]
    pub message: String,
    #[serde(rename = "Error", deserialize_with = "null_default")]
    pub error: bool,
    #[serde(rename = "Meta")]
    pub meta: Option<BTreeMap<String, Value>>,
    #[serde(rename = "PolicyOverride", deserialize_with = "null_default")]
    pub policy_override: bool,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobScaleStatus {
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "JobCreateIndex", deserialize_with = "null_default")]
    pub job_create_index: u64,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "JobStopped", deserialize_with = "null_default")]
    pub job_stopped: bool,
    #[serde(rename = "TaskGroups", deserialize_with = "null_default")]
    pub task_groups: BTreeMap<String, TaskGroupScaleStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskGroupScaleStatus {
    #[serde(rename = "Desired", deserialize_with = "null_default")]
    pub desired: i64,
    #[serde(rename = "Placed", deserialize_with = "null_default")]
    pub placed: i64,
    #[serde(rename = "Running", deserialize_with = "null_default")]
    pub running: i64,
    #[serde(rename = "Healthy", deserialize_with = "null_default")]
    pub healthy: i64,
    #[serde(rename = "Unhealthy", deserialize_with = "null_default")]
    pub unhealthy: i64,
    /// Newest first.
    #[serde(rename = "Events")]
    pub events: Option<Vec<ScalingEvent>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingEvent {
    #[serde(rename = "Time", deserialize_with = "null_default")]
    pub time: i64,
    #[serde(rename = "Count")]
    pub count: Option<i64>,
    #[serde(rename = "PreviousCount", deserialize_with = "null_default")]
    pub previous_count: i64,
    #[serde(rename = "Message", deserialize_with = "null_default")]
    pub message: String,
    #[serde(rename = "Error", deserialize_with = "null_default")]
    pub error: bool,
    #[serde(rename = "Meta")]
    pub meta: Option<BTreeMap<String, Value>>,
    #[serde(rename = "EvalID")]
    pub eval_id: Option<String>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
}

/// The `scaling` block of a group, as a thing of its own. Lists leave out `policy`, `min` and `max`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingPolicyListStub {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Enabled", deserialize_with = "null_default")]
    pub enabled: bool,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    /// `Namespace`, `Job`, `Group`.
    #[serde(rename = "Target", deserialize_with = "null_default")]
    pub target: BTreeMap<String, String>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingPolicy {
    #[serde(flatten)]
    pub stub: ScalingPolicyListStub,
    #[serde(rename = "Policy")]
    pub policy: Option<BTreeMap<String, Value>>,
    #[serde(rename = "Min", deserialize_with = "null_default")]
    pub min: i64,
    #[serde(rename = "Max", deserialize_with = "null_default")]
    pub max: i64,
}
