//! Evaluations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::duration::Dur;
use tarpan_model::metric::AllocMetric;
use tarpan_model::wire::Wire;

use crate::is_default;
use crate::null_default;
use crate::timestamp::Timestamp;
use crate::wire::PlanAnnotations;

/// `Evaluation` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
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
    #[serde(
        rename = "FailedTGAllocs",
        deserialize_with = "null_default",
        serialize_with = "crate::convert::metric::by_group",
        skip_serializing_if = "is_default"
    )]
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
    /// By group that could not be placed, what keeps each client out now, the nearest first; only where `clients=true` asks for it.
    /// Ours: the field's clients never see it.
    #[serde(rename = "Clients", skip_serializing_if = "is_default")]
    pub clients: Option<BTreeMap<String, Vec<ClientVerdict>>>,
}

/// The first check that keeps one client from taking one more allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct ClientVerdict {
    #[serde(rename = "NodeID")]
    pub node_id: String,
    #[serde(rename = "NodeName")]
    pub node_name: String,
    #[serde(rename = "Datacenter")]
    pub datacenter: String,
    /// `ready`, `pool`, `datacenter`, `constraints` or `resources`, in the order in which they are looked at; empty: none fails.
    #[serde(rename = "Fails")]
    pub fails: String,
    /// What the client has instead, the rule that it breaks, or the resource that is short.
    #[serde(rename = "Reason")]
    pub reason: String,
    /// MHz or MB of a resource that is short; zeros for others.
    #[serde(rename = "Asked")]
    pub asked: i64,
    #[serde(rename = "Free")]
    pub free: i64,
    #[serde(rename = "Total")]
    pub total: i64,
}

/// `EvaluationStub` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
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

/// `EvalDeleteRequest` on the wire: either the ids or the filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalDeleteRequest {
    #[serde(rename = "EvalIDs", deserialize_with = "null_default")]
    pub eval_ids: Vec<String>,
    #[serde(rename = "Filter", deserialize_with = "null_default")]
    pub filter: String,
}

/// `EvalDeleteResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalDeleteResponse {
    /// Evaluations that are gone.
    #[serde(rename = "Count", deserialize_with = "null_default")]
    pub count: u64,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
}
