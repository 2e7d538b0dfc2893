//! Dry runs of a job and what they would change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
pub use tarpan_model::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use tarpan_model::job::Job;
use tarpan_model::metric::AllocMetric;
use tarpan_model::plan::PlanAnnotations;

use crate::null_default;
use crate::timestamp::Timestamp;
use crate::wire::Evaluation;

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
