//! Answers "why not there?" client by client: the first check that keeps each one out.

use std::sync::Arc;

use tarpan_model::job::Job;
use tarpan_model::{Node, NodeStatus};
use tarpan_state::State;

use crate::columns::{Nodes, Row};
use crate::compile::Compiled;
use crate::explain::add_shortfall;
use crate::feasible::in_pool;
use crate::pass::Closed;
use crate::place::Placer;

/// The checks in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Ready,
    Pool,
    Datacenter,
    /// Constraints, drivers, devices, volumes, rules about neighbours.
    Constraints,
    /// CPU, memory, disk, ports, cores, devices.
    Resources,
}

/// What keeps one client from taking one more allocation of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub node: Arc<Node>,
    /// The first check that fails; `None`: it could take one now.
    pub fails: Option<Check>,
    /// What the client has instead, or the rule that it breaks, or the resource that is short.
    pub reason: Arc<str>,
    /// Asked, free and total of a resource that divides (MHz, MB); zeros for others.
    pub amounts: [i64; 3],
}

/// Every client's verdict on a group of a job, in id order, on a snapshot where the job's allocations run on. Empty for an unknown group.
pub fn verdicts(state: &State, job: &Arc<Job>, group: &str) -> Vec<Verdict> {
    let mut nodes = Nodes::default();
    nodes.refresh(state);
    let compiled = Compiled::new(job);
    let Some(group) = compiled.group(group) else { return Vec::new() };
    let key = job.key();
    let live: Vec<_> = state.allocs_by_job(&key).filter(|a| !a.terminal()).collect();
    let mut placer = Placer::new(&nodes, &compiled, state, 0, live.iter().copied());
    let mut found = Vec::with_capacity(nodes.len());
    for (index, row) in nodes.rows().iter().enumerate() {
        let early = early(row, &compiled);
        let (fails, reason, amounts) = match early {
            Some((check, reason)) => (Some(check), reason, [0; 3]),
            None => match placer.try_on(group, index as u32, 0) {
                Ok(_) => (None, Arc::from(""), [0; 3]),
                Err(Closed::Filtered(reason)) => (Some(Check::Constraints), reason, [0; 3]),
                Err(Closed::Exhausted(dimension)) => {
                    let mut metric = tarpan_model::AllocMetric::default();
                    add_shortfall(&mut metric, group, &dimension, &placer.free[index], &row.total, row.core_mhz());
                    let amounts = metric.shortfalls.first().map_or([0; 3], |s| [s.asked, s.most_free, s.most_total]);
                    (Some(Check::Resources), dimension, amounts)
                }
            },
        };
        found.push(Verdict { node: row.node.clone(), fails, reason, amounts });
    }
    found
}

/// What is looked at before anything of the group.
fn early(row: &Row, job: &Compiled) -> Option<(Check, Arc<str>)> {
    let node = &row.node;
    if !row.schedulable {
        let reason = match node.status {
            NodeStatus::Ready if node.drain.is_some() => "draining",
            NodeStatus::Ready => "ineligible",
            status => status.as_str(),
        };
        return Some((Check::Ready, Arc::from(reason)));
    }
    if !in_pool(node, job) {
        return Some((Check::Pool, node.node_pool.clone()));
    }
    (!job.datacenters.matches(&node.datacenter)).then(|| (Check::Datacenter, node.datacenter.clone()))
}
