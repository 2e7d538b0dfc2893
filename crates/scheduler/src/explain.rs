//! Turns what a pass found into the field's metric: who was filtered, who had too little, and of what.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::AllocMetric;
use tarpan_model::metric::{NodeScore, Shortfall};

use crate::columns::{Free, Nodes, Row};
use crate::compile::{Compiled, Group};
use crate::feasible::{Candidates, FilterCounts};
use crate::pass::{Closed, Parts, Pass};

impl FilterCounts {
    /// Adds these nodes to a metric that counted others.
    pub fn add_to(&self, metric: &mut AllocMetric) {
        metric.nodes_filtered += self.nodes;
        for (reason, nodes) in &self.by_reason {
            *metric.constraint_filtered.entry(reason.clone()).or_default() += nodes;
        }
        for (class, nodes) in &self.by_class {
            *metric.class_filtered.entry(class.clone()).or_default() += nodes;
        }
        for (thing, nodes) in &self.missing {
            let dimension = thing.clone();
            metric.shortfalls.push(Shortfall { dimension, asked: 1, nodes: *nodes, ..Shortfall::default() });
        }
    }
}

/// What is said of the cluster before any node is looked at.
pub fn cluster_counts(candidates: &Candidates, job: &Compiled) -> AllocMetric {
    AllocMetric {
        nodes_in_pool: candidates.in_pool,
        node_pool: job.node_pool.clone(),
        nodes_available: candidates.available.clone(),
        ..AllocMetric::default()
    }
}

/// Filtered and exhausted nodes so far, beside what is said of the cluster.
pub fn counts(cluster: AllocMetric, nodes: &Nodes, pass: &Pass) -> AllocMetric {
    let mut metric = AllocMetric {
        nodes_filtered: pass.filtered.nodes,
        constraint_filtered: pass.filtered.by_reason.clone(),
        class_filtered: pass.filtered.by_class.clone(),
        ..cluster
    };
    for (node, why) in &pass.closed {
        add_closed(&mut metric, nodes.row(*node), why);
    }
    metric
}

/// Counts one node that has no room, or may not have one more.
pub fn add_closed(metric: &mut AllocMetric, row: &Row, why: &Closed) {
    let class = &row.node.node_class;
    let by_class = match why {
        Closed::Exhausted(dimension) => {
            metric.nodes_exhausted += 1;
            *metric.dimension_exhausted.entry(dimension.clone()).or_default() += 1;
            &mut metric.class_exhausted
        }
        Closed::Filtered(reason) => {
            metric.nodes_filtered += 1;
            *metric.constraint_filtered.entry(reason.clone()).or_default() += 1;
            &mut metric.class_filtered
        }
    };
    if !class.is_empty() {
        *by_class.entry(class.clone()).or_default() += 1;
    }
}

/// Why nothing was found, with the amounts; `free`: of each node.
pub fn failure(cluster: AllocMetric, nodes: &Nodes, free: &[Free], pass: &Pass, group: &Group) -> AllocMetric {
    let mut metric = counts(cluster, nodes, pass);
    metric.nodes_evaluated = metric.nodes_filtered + metric.nodes_exhausted;
    for (thing, nodes) in &pass.filtered.missing {
        metric.shortfalls.push(Shortfall { dimension: thing.clone(), asked: 1, nodes: *nodes, ..Shortfall::default() });
    }
    for (node, why) in &pass.closed {
        if let Closed::Exhausted(dimension) = why {
            let row = nodes.row(*node);
            add_shortfall(&mut metric, group, dimension, &free[*node as usize], &row.total, row.core_mhz());
        }
    }
    metric
}

/// Adds one node to the shortfall of a divisible dimension; others say enough by their name.
pub fn add_shortfall(
    metric: &mut AllocMetric,
    group: &Group,
    dimension: &Arc<str>,
    free: &Free,
    total: &Free,
    core_mhz: i64,
) {
    let ask = &group.ask;
    let (asked, free, total) = match &**dimension {
        "cpu" => (ask.cpu_mhz + ask.cores * core_mhz, free.cpu_mhz, total.cpu_mhz),
        "memory" => (ask.memory_mb, free.memory_mb, total.memory_mb),
        "disk" => (ask.disk_mb, free.disk_mb, total.disk_mb),
        "cores" => (ask.cores, free.cores, total.cores),
        _ => return,
    };
    match metric.shortfalls.iter_mut().find(|s| s.dimension == *dimension) {
        Some(short) => {
            short.most_free = short.most_free.max(free);
            short.most_total = short.most_total.max(total);
            short.nodes += 1;
        }
        None => metric.shortfalls.push(Shortfall {
            dimension: dimension.clone(),
            asked,
            most_free: free,
            most_total: total,
            nodes: 1,
        }),
    }
}

/// One line of the score table.
pub fn node_score(row: &Row, parts: &Parts) -> NodeScore {
    let scores = [
        ("binpack", parts.packing),
        ("job-anti-affinity", parts.collisions),
        ("node-affinity", parts.affinity),
        ("node-reschedule-penalty", parts.penalty),
        ("allocation-spread", parts.spread),
        ("devices", parts.devices.unwrap_or(0.0)),
    ];
    NodeScore {
        node_id: row.node.id,
        // Where nothing is to be spread, or no device is wished for, nothing is said of it.
        scores: scores
            .into_iter()
            .filter(|(name, score)| match *name {
                "allocation-spread" => *score != 0.0,
                "devices" => parts.devices.is_some(),
                _ => true,
            })
            .map(|(name, score)| (name_of(name), score))
            .collect(),
        norm_score: parts.score,
    }
}

/// Scorer names are few and shared by every allocation.
fn name_of(name: &'static str) -> Arc<str> {
    use std::sync::OnceLock;
    static NAMES: OnceLock<BTreeMap<&'static str, Arc<str>>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        ["binpack", "job-anti-affinity", "node-affinity", "node-reschedule-penalty", "allocation-spread", "devices"]
            .into_iter()
            .map(|name| (name, Arc::from(name)))
            .collect()
    });
    names.get(name).cloned().unwrap_or_else(|| Arc::from(name))
}
