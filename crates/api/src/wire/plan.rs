//! Dry runs of a job and what they would change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
pub use tarpan_model::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use tarpan_model::job::Job;
use tarpan_model::metric::AllocMetric;
pub use tarpan_model::plan::DesiredUpdates;
use tarpan_model::wire::Wire;

use crate::null_default;
use crate::null_list;
use crate::timestamp::ZonedTime;
use crate::wire::{AllocListStub, Evaluation};

/// `JobPlanRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct JobPlanRequest {
    #[serde(rename = "Job")]
    pub job: Option<Job>,
    #[serde(rename = "Diff", deserialize_with = "null_default")]
    pub diff: bool,
    #[serde(rename = "PolicyOverride", deserialize_with = "null_default")]
    pub policy_override: bool,
    /// Say where allocations would go. Ours: the field has no such wish, so the answer has `Placements` only when asked.
    #[serde(rename = "Placements", deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub placements: bool,
}

/// `JobPlanResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPlanResponse {
    #[serde(rename = "Annotations")]
    pub annotations: Option<PlanAnnotations>,
    #[serde(
        rename = "FailedTGAllocs",
        deserialize_with = "null_default",
        serialize_with = "crate::convert::metric::by_group"
    )]
    pub failed_tg_allocs: BTreeMap<String, AllocMetric>,
    #[serde(rename = "JobModifyIndex", deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(rename = "CreatedEvals", deserialize_with = "null_default", serialize_with = "null_list")]
    pub created_evals: Vec<Evaluation>,
    #[serde(rename = "Diff")]
    pub diff: Option<JobDiff>,
    /// In the time zone of the job; `None` without one.
    #[serde(rename = "NextPeriodicLaunch")]
    pub next_periodic_launch: Option<ZonedTime>,
    #[serde(rename = "Warnings", deserialize_with = "null_default")]
    pub warnings: String,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    /// Clients to which something would go, the fullest first. `None` unless the request asks for it.
    #[serde(rename = "Placements", skip_serializing_if = "Option::is_none")]
    pub placements: Option<Vec<PlannedNode>>,
}

/// A client to which a dry run would place allocations, and what it would be like afterwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedNode {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    #[serde(rename = "NodeName")]
    pub node_name: String,
    #[serde(rename = "Datacenter")]
    pub datacenter: String,
    /// New and replaced allocations, by group.
    #[serde(rename = "Groups")]
    pub groups: BTreeMap<String, u64>,
    /// Of the first allocation that goes there, by scorer; empty where nothing was scored.
    #[serde(rename = "Scores")]
    pub scores: BTreeMap<String, f64>,
    /// The mean of the scores.
    #[serde(rename = "Score")]
    pub score: f64,
    /// MHz reserved after the plan, and in all.
    #[serde(rename = "CPUAfter")]
    pub cpu_after: i64,
    #[serde(rename = "CPUTotal")]
    pub cpu_total: i64,
    /// MB reserved before and after the plan, and in all.
    #[serde(rename = "MemoryMBBefore")]
    pub memory_mb_before: i64,
    #[serde(rename = "MemoryMBAfter")]
    pub memory_mb_after: i64,
    #[serde(rename = "MemoryMBTotal")]
    pub memory_mb_total: i64,
}

/// What a plan does to each group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanAnnotations {
    /// By group.
    #[serde(rename = "DesiredTGUpdates", deserialize_with = "null_default")]
    pub groups: BTreeMap<String, DesiredUpdates>,
    /// Allocations that would be evicted for the job.
    #[serde(rename = "PreemptedAllocs", deserialize_with = "null_default", serialize_with = "null_list")]
    pub preempted: Vec<AllocListStub>,
}
