//! What happens to nodes, turned into commands with the evaluations they ask for.
//!
//! Source: `reference/semantics.md` §11.

use std::collections::BTreeMap;

use tarpan_model::ids::{EvalId, IdSource, NamespacedId, NodeId};
use tarpan_model::node::{DrainStrategy, NodeEvent};
use tarpan_model::{
    Allocation, ClientStatus, Dur, Eligibility, Evaluation, Job, JobType, Node, NodeStatus, Trigger, UnixNanos, glob,
};
use tarpan_state::{Command, State};

/// One evaluation for each job that has something on the node, and for each system job that could.
pub fn node_evals(state: &State, node: NodeId, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Evaluation> {
    match state.node(node) {
        Some(row) => evals_for(state, row, now, ids),
        None => Vec::new(),
    }
}

fn evals_for(state: &State, node: &Node, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Evaluation> {
    let mut jobs: BTreeMap<NamespacedId, &Job> = BTreeMap::new();
    for alloc in state.allocs_by_node(node.id).filter(|a| !a.client_terminal()) {
        let key = alloc.job_key();
        let job = state.job(&key).unwrap_or(&alloc.job);
        jobs.entry(key).or_insert(job);
    }
    for (key, job) in state.jobs() {
        if job.job_type() == JobType::System && !job.stopped() && could_run(job, node) {
            jobs.entry(key.clone()).or_insert(job);
        }
    }
    let of_job = |job: &Job| {
        let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::NodeUpdate, now);
        Evaluation { node_id: Some(node.id), node_modify_index: node.modify_index, ..eval }
    };
    jobs.into_values().map(of_job).collect()
}

/// The job's pool and datacenters include the node.
fn could_run(job: &Job, node: &Node) -> bool {
    let pool = job.node_pool.as_deref().unwrap_or("default");
    let in_pool = matches!(pool, "" | "all") || pool == &*node.node_pool;
    let globs = job.datacenters.as_deref().unwrap_or_default();
    in_pool && (globs.is_empty() || globs.iter().any(|glob| glob::matches(glob, &node.datacenter)))
}

/// A node (re-)registers. A new one, or one that was not ready, becomes ready with it.
///
/// A known node keeps what the servers hold of it: [`heartbeat`] makes it ready again. Evaluations come with a new node,
/// and with changes that could matter to a job.
pub fn register(state: &State, node: Node, now: UnixNanos, ids: &mut dyn IdSource) -> Command {
    let evals = match state.node(node.id) {
        Some(old) if !matters(old, &node) => Vec::new(),
        _ if node.status == NodeStatus::Ready => evals_for(state, &node, now, ids),
        _ => Vec::new(),
    };
    Command::UpsertNode { node: Box::new(node), now, evals }
}

/// Something changed that scheduling looks at.
fn matters(old: &Node, new: &Node) -> bool {
    old.datacenter != new.datacenter
        || old.name != new.name
        || old.node_class != new.node_class
        || old.node_pool != new.node_pool
        || old.attributes != new.attributes
        || old.meta != new.meta
        || old.host_volumes != new.host_volumes
        || old.csi_controllers != new.csi_controllers
        || old.csi_nodes != new.csi_nodes
        || old.resources != new.resources
        || old.drivers.len() != new.drivers.len()
        || old.drivers.iter().any(|(name, info)| {
            new.drivers.get(name).is_none_or(|n| (n.detected, n.healthy) != (info.detected, info.healthy))
        })
}

/// A heartbeat: the command that makes the node ready again, if it is not.
///
/// A node that was disconnected is `initializing` until it reported the allocations that were believed unknown.
pub fn heartbeat(state: &State, node: NodeId, now: UnixNanos, ids: &mut dyn IdSource) -> Option<Command> {
    let row = state.node(node)?;
    let status = next_status(state, row)?;
    let evals = evals_for(state, row, now, ids);
    let event = (row.status == NodeStatus::Down).then(|| event("Cluster", "Node reregistered by heartbeat", now));
    Some(Command::UpdateNodeStatus { node, status, event, now, evals })
}

/// Notes on the node that its agent holds allocations of another history than `state`: an older copy of it was put back.
pub fn astray(state: &State, node: NodeId, allocs: usize, now: UnixNanos) -> Option<Command> {
    let status = state.node(node)?.status;
    let text = format!(
        "The servers' state is not the one this node was told of; {allocs} allocations that are not in it are kept"
    );
    Some(Command::UpdateNodeStatus { node, status, event: Some(event("Cluster", &text, now)), now, evals: Vec::new() })
}

fn next_status(state: &State, row: &Node) -> Option<NodeStatus> {
    let unsynced = || {
        row.last_alloc_update_index <= row.last_missed_heartbeat_index
            && row.last_missed_heartbeat_index > 0
            && state.allocs_by_node(row.id).any(|a| !a.terminal() && a.client_status == ClientStatus::Unknown)
    };
    match row.status {
        NodeStatus::Ready => None,
        NodeStatus::Disconnected => Some(NodeStatus::Initializing),
        NodeStatus::Initializing if unsynced() => None,
        NodeStatus::Initializing | NodeStatus::Down => Some(NodeStatus::Ready),
    }
}

/// A node was silent too long: down, or disconnected when an allocation may wait for it.
pub fn missed(state: &State, node: NodeId, now: UnixNanos, ids: &mut dyn IdSource) -> Option<Command> {
    let row = state.node(node)?;
    if row.status == NodeStatus::Down {
        return None;
    }
    let may_wait = row.status != NodeStatus::Initializing
        && state.allocs_by_node(node).any(|a| !a.terminal() && waits_for_node(a, now));
    let status = if may_wait { NodeStatus::Disconnected } else { NodeStatus::Down };
    if row.status == status {
        return None;
    }
    let event = Some(event("Cluster", "Node heartbeat missed", now));
    let evals = evals_for(state, row, now, ids);
    Some(Command::UpdateNodeStatus { node, status, event, now, evals })
}

/// The allocation is given time to come back, and that time is not over.
fn waits_for_node(alloc: &Allocation, now: UnixNanos) -> bool {
    let lost_after = alloc.group().and_then(|g| g.disconnect.as_ref()).and_then(|d| d.lost_after).unwrap_or(Dur::ZERO);
    let unknown_since = alloc.client_states.last().filter(|(s, _)| *s == ClientStatus::Unknown);
    lost_after.0 > 0 && unknown_since.is_none_or(|(_, since)| now < *since + lost_after)
}

fn event(subsystem: &str, message: &str, now: UnixNanos) -> NodeEvent {
    NodeEvent { message: message.to_owned(), subsystem: subsystem.to_owned(), timestamp: now, ..NodeEvent::default() }
}

/// Why a wish about a node was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    #[error("node not found")]
    NotFound,
    #[error("can not set node's scheduling eligibility to eligible while it is draining")]
    Draining,
}

/// `None`: nothing changes.
pub fn set_eligibility(
    state: &State,
    node: NodeId,
    eligibility: Eligibility,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Option<Command>, NodeError> {
    let row = state.node(node).ok_or(NodeError::NotFound)?;
    if row.drain.is_some() && eligibility == Eligibility::Eligible {
        return Err(NodeError::Draining);
    }
    if row.eligibility == eligibility {
        return Ok(None);
    }
    let evals = match eligibility {
        Eligibility::Eligible => evals_for(state, row, now, ids),
        Eligibility::Ineligible => Vec::new(),
    };
    let event = Some(event("Cluster", &format!("Node marked as {eligibility} for scheduling"), now));
    Ok(Some(Command::UpdateNodeEligibility { node, eligibility, event, now, evals }))
}

/// Starts, changes or (with `None`) ends a drain. The deadline is turned into a time.
pub fn set_drain(
    state: &State,
    node: NodeId,
    strategy: Option<DrainStrategy>,
    mark_eligible: bool,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, NodeError> {
    let row = state.node(node).ok_or(NodeError::NotFound)?;
    let message = match (&strategy, &row.drain) {
        (Some(_), None) => "Node drain strategy set",
        (Some(_), Some(_)) => "Node drain strategy updated",
        (None, _) => "Node drain disabled",
    };
    let started_at = row.drain.as_ref().map_or(now, |d| d.started_at);
    let strategy = strategy.map(|s| DrainStrategy {
        started_at,
        force_deadline: if s.deadline.0 > 0 { now + s.deadline } else { UnixNanos::ZERO },
        ..s
    });
    let evals = if mark_eligible || strategy.is_some() { evals_for(state, row, now, ids) } else { Vec::new() };
    let event = Some(event("Drain", message, now));
    Ok(Command::UpdateNodeDrain { node, strategy, mark_eligible, event, now, evals, meta: BTreeMap::new() })
}

/// Removes a node; its allocations are lost.
pub fn deregister(state: &State, node: NodeId, now: UnixNanos, ids: &mut dyn IdSource) -> Result<Command, NodeError> {
    let row = state.node(node).ok_or(NodeError::NotFound)?;
    Ok(Command::DeregisterNode { node, now, evals: evals_for(state, row, now, ids) })
}
