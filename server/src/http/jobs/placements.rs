//! Where a dry run would place allocations: per client what comes, what it scored, and how full the client would be.
//!
//! Reads: the state before the plan and the plan. Gives: a line a client, the fullest first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tarpan_api::wire::PlannedNode;
use tarpan_model::plan::Plan;
use tarpan_model::resources::Amount;
use tarpan_model::{Allocation, NodeId};
use tarpan_state::State;

/// Clients to which `plan` places something that is not there yet.
pub fn placements(state: &State, plan: &Plan) -> Vec<PlannedNode> {
    let mut nodes: Vec<PlannedNode> =
        plan.placements.iter().filter_map(|(id, allocs)| planned_node(state, plan, *id, allocs)).collect();
    nodes.sort_by_key(|n| (Reverse(n.memory_mb_after), n.node_name.clone()));
    nodes
}

fn planned_node(state: &State, plan: &Plan, id: NodeId, allocs: &[Allocation]) -> Option<PlannedNode> {
    let fresh: Vec<&Allocation> = allocs.iter().filter(|a| state.alloc(a.id).is_none()).collect();
    let node = state.node(id).filter(|_| !fresh.is_empty())?;
    let mut groups = BTreeMap::new();
    for alloc in &fresh {
        *groups.entry(alloc.task_group.to_string()).or_default() += 1;
    }
    let scored = fresh[0].metrics.as_ref().and_then(|m| m.scores.iter().find(|s| s.node_id == id));
    let before = state.usage(id).map_or_else(Amount::default, |u| u.used);
    let mut after = before;
    for alloc in allocs {
        after += alloc.demand();
        after -= state.alloc(alloc.id).map_or_else(Amount::default, |a| a.demand());
    }
    let stops = plan.stops.get(&id).into_iter().flatten().map(|s| s.id);
    let evicted = plan.preemptions.get(&id).into_iter().flatten().map(|p| p.id);
    for gone in stops.chain(evicted).filter_map(|id| state.alloc(id)).filter(|a| !a.terminal()) {
        after -= gone.demand();
    }
    Some(PlannedNode {
        node_id: id.to_string(),
        node_name: node.name.to_string(),
        datacenter: node.datacenter.to_string(),
        groups,
        scores: scored.map(|s| s.scores.iter().map(|(n, v)| (n.to_string(), *v)).collect()).unwrap_or_default(),
        score: scored.map_or(0.0, |s| s.norm_score),
        cpu_after: after.cpu_mhz,
        cpu_total: node.resources.cpu_mhz - node.reserved.cpu_mhz,
        memory_mb_before: before.memory_mb,
        memory_mb_after: after.memory_mb,
        memory_mb_total: node.resources.memory_mb - node.reserved.memory_mb,
    })
}
