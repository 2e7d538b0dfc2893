//! How a placement was decided: counts of what was looked at, filtered and exhausted, and the best scores.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::Dur;
use crate::ids::NodeId;
use crate::wire::Wire;

/// The field's placement metrics. Keys of the maps are the texts that users see, such as `missing drivers` or `memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
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
    #[serde(
        rename = "NodesAvailable",
        deserialize_with = "or_null",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub nodes_available: BTreeMap<Arc<str>, u64>,
    #[serde(
        rename = "ClassFiltered",
        deserialize_with = "or_null",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub class_filtered: BTreeMap<Arc<str>, u64>,
    #[serde(
        rename = "ConstraintFiltered",
        deserialize_with = "or_null",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub constraint_filtered: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "NodesExhausted", default)]
    pub nodes_exhausted: u64,
    #[serde(
        rename = "ClassExhausted",
        deserialize_with = "or_null",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub class_exhausted: BTreeMap<Arc<str>, u64>,
    #[serde(
        rename = "DimensionExhausted",
        deserialize_with = "or_null",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub dimension_exhausted: BTreeMap<Arc<str>, u64>,
    #[serde(rename = "QuotaExhausted", deserialize_with = "or_null", default, skip_serializing_if = "Vec::is_empty")]
    pub quota_exhausted: Vec<String>,
    /// Largest free amount seen and the amount asked, for "3 of 5 clients have 200 MB of 512 MB asked". Ours.
    #[serde(rename = "Shortfalls", default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
    /// The best few nodes, best first.
    #[serde(rename = "ScoreMetaData", deserialize_with = "or_null", default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<NodeScore>,
    #[serde(rename = "AllocationTime", default)]
    pub allocation_time: Dur,
    /// Further placements of the group that failed for the same reasons.
    #[serde(rename = "CoalescedFailures", default)]
    pub coalesced_failures: u64,
}

/// Empty collections are left out of rows, and `null` on the wire.
fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// One dimension that nodes had too little of, or one thing that they lack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// `cpu`, `memory`, `disk`, `cores`, `network: …`; `driver NAME` and `host volume NAME` for things that are missing.
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

impl AllocMetric {
    /// Nodes that were looked at, whatever was found.
    pub fn nodes_looked_at(&self) -> u64 {
        self.nodes_evaluated.max(self.nodes_filtered + self.nodes_exhausted)
    }

    /// Why no node could take the allocation, as sentences without a full stop, the commonest reason first.
    ///
    /// Empty when nothing was filtered or exhausted. Read by command line, pages and `job plan` alike, so that all say the same.
    pub fn sentences(&self) -> Vec<String> {
        if self.nodes_looked_at() == 0 {
            return vec![self.nobody_looked_at()];
        }
        let mut said: Vec<(u64, String)> = Vec::new();
        let named = |prefix: &str| self.shortfalls.iter().any(|s| s.dimension.starts_with(prefix));
        for short in &self.shortfalls {
            said.push((short.nodes, self.shortfall_sentence(short)));
        }
        for (reason, &nodes) in &self.constraint_filtered {
            let told = (&**reason == "missing drivers" && named("driver "))
                || (&**reason == "missing compatible host volumes" && named("host volume "));
            if !told {
                said.push((nodes, format!("{} {}", self.clients(nodes), filter_words(reason, nodes))));
            }
        }
        for (dimension, &nodes) in &self.dimension_exhausted {
            if !self.shortfalls.iter().any(|s| s.dimension == *dimension) {
                said.push((nodes, format!("{} {}", self.clients(nodes), exhausted_words(dimension, nodes))));
            }
        }
        for quota in &self.quota_exhausted {
            said.push((0, format!("the quota {quota} is used up")));
        }
        said.sort_by_key(|(nodes, _)| std::cmp::Reverse(*nodes));
        said.into_iter().map(|(_, text)| text).collect()
    }

    /// [`AllocMetric::sentences`] as one, or `None` when there is nothing to say.
    pub fn sentence(&self) -> Option<String> {
        let parts = self.sentences();
        if parts.is_empty() { None } else { Some(parts.join("; ")) }
    }

    fn nobody_looked_at(&self) -> String {
        let pool = if self.node_pool.is_empty() { "default" } else { &self.node_pool };
        match (self.nodes_in_pool, self.nodes_available.values().sum::<u64>()) {
            (0, _) => format!("no client is ready in node pool {pool:?}"),
            (1, 0) => format!("the 1 ready client of node pool {pool:?} is not in a datacenter of the job"),
            (n, 0) => format!("none of the {n} ready clients of node pool {pool:?} is in a datacenter of the job"),
            _ => "no client was looked at".to_owned(),
        }
    }

    fn clients(&self, nodes: u64) -> String {
        match (nodes, self.nodes_looked_at()) {
            (1, 1) => "the only client".to_owned(),
            (n, all) if n == all => format!("all {n} clients"),
            (n, all) => format!("{n} of {all} clients"),
        }
    }

    fn shortfall_sentence(&self, short: &Shortfall) -> String {
        let who = self.clients(short.nodes);
        let one = short.nodes == 1;
        let has = if one { "has" } else { "have" };
        let dimension = &*short.dimension;
        let unit = match dimension {
            "cpu" => " MHz",
            "memory" | "disk" => " MB",
            _ => "",
        };
        if let Some(driver) = dimension.strip_prefix("driver ") {
            return format!("{who} {} driver {driver}", if one { "lacks" } else { "lack" });
        }
        if let Some(volume) = dimension.strip_prefix("host volume ") {
            return format!("{who} {} a host volume {volume:?} that fits", if one { "lacks" } else { "lack" });
        }
        if unit.is_empty() && dimension != "cores" {
            return format!("{who} {}", exhausted_words(dimension, short.nodes));
        }
        let (asked, free, total) = (short.asked, short.most_free.max(0), short.most_total.max(0));
        let at_most = if one { "" } else { "at most " };
        format!(
            "{who} {has} too little {dimension}: {asked}{unit} asked, {at_most}{free}{unit} free of {total}{unit} in all"
        )
    }
}

fn filter_words(reason: &str, nodes: u64) -> String {
    let (do_not, lack, run) = if nodes == 1 { ("does not", "lacks", "runs") } else { ("do not", "lack", "run") };
    match reason {
        "missing drivers" => format!("{lack} a driver of the tasks"),
        "missing devices" => format!("{lack} the devices asked for"),
        "missing network" => format!("{lack} the network mode asked for"),
        "missing compatible host volumes" => format!("{lack} the host volumes asked for"),
        "distinct_hosts" => format!("already {run} an allocation of this job (distinct_hosts)"),
        "computed class ineligible" => format!("{do_not} meet the constraints (class looked at before)"),
        other => match other.strip_prefix("missing ") {
            Some(thing) => format!("{lack} the {thing}"),
            None if other.starts_with("distinct_property") => format!("{do_not} meet {other}"),
            None => format!("{do_not} meet the constraint {other}"),
        },
    }
}

fn exhausted_words(dimension: &str, nodes: u64) -> String {
    let (has, is) = if nodes == 1 { ("has", "is") } else { ("have", "are") };
    if let Some(port) = dimension.strip_prefix("network: reserved port collision ") {
        let number = port.rsplit_once('=').map_or(port, |(_, number)| number);
        return format!("{has} port {number} already in use");
    }
    if let Some(network) = dimension.strip_prefix("network: no addresses available for ") {
        return format!("{has} no address for the {network}");
    }
    match dimension {
        "network: dynamic port selection failed" => format!("{has} no free dynamic port"),
        "max allocation exceeded" => format!("{is} at the most allocations allowed"),
        "devices: no devices available" => format!("{has} no device of the kind asked for free"),
        other => match other.strip_prefix("network: ") {
            Some(rest) => format!("can't give the network asked for ({rest})"),
            None => format!("{has} too little {other}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(dimension: &str, asked: i64, most_free: i64, most_total: i64, nodes: u64) -> Shortfall {
        Shortfall { dimension: dimension.into(), asked, most_free, most_total, nodes }
    }

    #[test]
    fn says_who_lacks_what() {
        let metric = AllocMetric {
            nodes_evaluated: 5,
            nodes_filtered: 3,
            nodes_exhausted: 2,
            constraint_filtered: [("missing drivers".into(), 3)].into(),
            dimension_exhausted: [("memory".into(), 2)].into(),
            shortfalls: vec![short("memory", 512, 200, 3900, 2), short("driver docker", 1, 0, 0, 3)],
            ..AllocMetric::default()
        };
        assert_eq!(
            metric.sentence().as_deref(),
            Some(
                "3 of 5 clients lack driver docker; \
                 2 of 5 clients have too little memory: 512 MB asked, at most 200 MB free of 3900 MB in all"
            )
        );
    }

    #[test]
    fn says_other_reasons() {
        let filtered = |reason: &str| AllocMetric {
            nodes_evaluated: 1,
            nodes_filtered: 1,
            constraint_filtered: [(reason.into(), 1)].into(),
            ..AllocMetric::default()
        };
        let exhausted = |reason: &str| AllocMetric {
            nodes_evaluated: 3,
            nodes_exhausted: 3,
            dimension_exhausted: [(reason.into(), 3)].into(),
            ..AllocMetric::default()
        };
        for (metric, text) in [
            (
                filtered("${attr.kernel.name} = windows"),
                "the only client does not meet the constraint ${attr.kernel.name} = windows",
            ),
            (filtered("missing drivers"), "the only client lacks a driver of the tasks"),
            (
                filtered("missing host network \"x\" for port \"y\""),
                "the only client lacks the host network \"x\" for port \"y\"",
            ),
            (exhausted("network: reserved port collision web=5000"), "all 3 clients have port 5000 already in use"),
            (exhausted("cpu"), "all 3 clients have too little cpu"),
            (AllocMetric::default(), "no client is ready in node pool \"default\""),
            (
                AllocMetric { nodes_in_pool: 2, ..AllocMetric::default() },
                "none of the 2 ready clients of node pool \"default\" is in a datacenter of the job",
            ),
        ] {
            assert_eq!(metric.sentence().as_deref(), Some(text));
        }
    }
}
