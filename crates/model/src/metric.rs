//! How a placement was decided: counts of what was looked at, filtered and exhausted, and the best scores.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::duration::Dur;
use crate::ids::NodeId;

/// The field's placement metrics. Keys of the maps are the texts that users see, such as `missing drivers` or `memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocMetric {
    #[serde(rename = "NodesEvaluated")]
    pub nodes_evaluated: u64,
    #[serde(rename = "NodesFiltered")]
    pub nodes_filtered: u64,
    #[serde(rename = "NodesInPool", default)]
    pub nodes_in_pool: u64,
    #[serde(rename = "NodePool", default)]
    pub node_pool: Arc<str>,
    /// Ready nodes by datacenter.
    #[serde(rename = "NodesAvailable", default)]
    pub nodes_available: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "ClassFiltered", default)]
    pub class_filtered: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "ConstraintFiltered", default)]
    pub constraint_filtered: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "NodesExhausted", default)]
    pub nodes_exhausted: u64,
    #[serde(rename = "ClassExhausted", default)]
    pub class_exhausted: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "DimensionExhausted", default)]
    pub dimension_exhausted: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "QuotaExhausted", default)]
    pub quota_exhausted: Vec<String>,
    /// Largest free amount seen and the amount asked, for "3 of 5 clients have 200 MB of 512 MB asked". Ours.
    #[serde(rename = "Shortfalls", default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
    /// The best few nodes, best first.
    #[serde(rename = "ScoreMetaData", default)]
    pub scores: Vec<NodeScore>,
    #[serde(rename = "AllocationTime", default)]
    pub allocation_time: Dur,
    /// Further placements of the group that failed for the same reasons.
    #[serde(rename = "CoalescedFailures", default)]
    pub coalesced_failures: u64,
}

/// One dimension that nodes had too little of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// `cpu`, `memory`, `disk`, `cores`, `network: …`.
    #[serde(rename = "Dimension")]
    pub dimension: Arc<str>,
    /// MHz or MB.
    #[serde(rename = "Asked")]
    pub asked: i64,
    /// The most that any of these nodes has free.
    #[serde(rename = "MostFree")]
    pub most_free: i64,
    /// The most that any of these nodes has in all, after what is reserved.
    #[serde(rename = "MostTotal")]
    pub most_total: i64,
    #[serde(rename = "Nodes")]
    pub nodes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeScore {
    #[serde(rename = "NodeID")]
    pub node_id: NodeId,
    /// By scorer: binpack, job-anti-affinity, node-affinity, allocation-spread, node-reschedule-penalty.
    #[serde(rename = "Scores")]
    pub scores: BTreeMap<Arc<str>, f64>,
    #[serde(rename = "NormScore")]
    pub norm_score: f64,
}
