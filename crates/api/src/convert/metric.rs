//! Placement metrics with the wire's `null`s and the fields it keeps for older readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use tarpan_model::AllocMetric;
use tarpan_model::metric::{NodeScore, Shortfall};

use super::null_if_empty;
use crate::null_map;

/// One row's metrics.
pub struct Metric<'a>(pub &'a AllocMetric);

impl Serialize for Metric<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        type Counts = BTreeMap<Arc<str>, u64>;
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a> {
            nodes_evaluated: u64,
            nodes_filtered: u64,
            nodes_in_pool: u64,
            node_pool: &'a str,
            #[serde(serialize_with = "null_map")]
            nodes_available: &'a Counts,
            #[serde(serialize_with = "null_map")]
            class_filtered: &'a Counts,
            #[serde(serialize_with = "null_map")]
            constraint_filtered: &'a Counts,
            nodes_exhausted: u64,
            #[serde(serialize_with = "null_map")]
            class_exhausted: &'a Counts,
            #[serde(serialize_with = "null_map")]
            dimension_exhausted: &'a Counts,
            #[serde(serialize_with = "null_if_empty")]
            quota_exhausted: &'a [String],
            resources_exhausted: Option<()>,
            scores: Option<()>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            shortfalls: &'a [Shortfall],
            #[serde(serialize_with = "null_if_empty")]
            score_meta_data: &'a [NodeScore],
            allocation_time: i64,
            coalesced_failures: u64,
        }
        let row = self.0;
        Fields {
            nodes_evaluated: row.nodes_evaluated,
            nodes_filtered: row.nodes_filtered,
            nodes_in_pool: row.nodes_in_pool,
            node_pool: &row.node_pool,
            nodes_available: &row.nodes_available,
            class_filtered: &row.class_filtered,
            constraint_filtered: &row.constraint_filtered,
            nodes_exhausted: row.nodes_exhausted,
            class_exhausted: &row.class_exhausted,
            dimension_exhausted: &row.dimension_exhausted,
            quota_exhausted: &row.quota_exhausted,
            resources_exhausted: None,
            scores: None,
            shortfalls: &row.shortfalls,
            score_meta_data: &row.scores,
            allocation_time: row.allocation_time.0,
            coalesced_failures: row.coalesced_failures,
        }
        .serialize(s)
    }
}

/// Metrics by group; `null` when no group failed.
pub(crate) fn by_group<S: Serializer>(groups: &BTreeMap<String, AllocMetric>, s: S) -> Result<S::Ok, S::Error> {
    if groups.is_empty() {
        return s.serialize_none();
    }
    s.collect_map(groups.iter().map(|(group, metric)| (group, Metric(metric))))
}
