//! Nodes: registration, status, eligibility, drain, removal.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::ids::NodeId;
use tarpan_model::node::{DrainMetadata, DrainStrategy, NodeEvent};
use tarpan_model::{Eligibility, Evaluation, Node, NodeStatus, UnixNanos};

use super::txn::Txn;
use super::volumes;
use crate::command::{Rejection, Reply};
use crate::tables::table;

/// Events kept a node.
const EVENTS: usize = 10;
/// Events that a node may tell of itself at a time, and how long a message of it may be: it is not the servers' own.
const TOLD: usize = 5;
const MESSAGE: usize = 1000;

/// A new node keeps the status it comes with; one that is known keeps what the servers hold of it.
pub(crate) fn upsert(txn: &mut Txn<'_>, node: &Node, now: UnixNanos, evals: &[Evaluation]) -> Result<Reply, Rejection> {
    let mut row = node.clone();
    let known = txn.state.node(node.id).cloned();
    let message = match &known {
        Some(old) if old.secret_id != node.secret_id => {
            return Err(Rejection::Other("node secret ID does not match".to_owned()));
        }
        Some(old) => {
            row.status = old.status;
            row.status_description.clone_from(&old.status_description);
            row.status_updated_at = old.status_updated_at;
            row.eligibility = old.eligibility;
            row.drain.clone_from(&old.drain);
            row.last_drain.clone_from(&old.last_drain);
            row.events = with_told(&old.events, &node.events);
            row.last_missed_heartbeat_index = old.last_missed_heartbeat_index;
            row.last_alloc_update_index = old.last_alloc_update_index;
            row.create_index = old.create_index;
            "Node re-registered"
        }
        None => {
            row.events = with_told(&[], &node.events);
            row.status_updated_at = now;
            row.create_index = txn.index;
            "Node registered"
        }
    };
    share_texts(txn, &mut row);
    let event = NodeEvent {
        message: message.to_owned(),
        subsystem: "Cluster".to_owned(),
        timestamp: now,
        ..Default::default()
    };
    txn.csi_of_node(node.id, known.as_deref(), Some(node), now);
    put(txn, row, Some(&event), evals);
    Ok(txn.done())
}

/// What is known of a node, and what it tells of itself besides. It tells the same until its agent ends: what was dropped since, as
/// too old, does not come back.
fn with_told(known: &[NodeEvent], told: &[NodeEvent]) -> Vec<NodeEvent> {
    let oldest = known.first().filter(|_| known.len() >= EVENTS).map(|event| event.timestamp);
    let short = |event: &NodeEvent| NodeEvent {
        message: event.message.chars().take(MESSAGE).collect(),
        subsystem: event.subsystem.chars().take(MESSAGE).collect(),
        details: BTreeMap::new(),
        ..*event
    };
    let mut all = known.to_vec();
    for event in told.iter().skip(told.len().saturating_sub(TOLD)).map(short) {
        let is_known = known.iter().any(|k| k.timestamp == event.timestamp && k.message == event.message);
        if !is_known && oldest.is_none_or(|oldest| event.timestamp > oldest) {
            all.push(event);
        }
    }
    all.drain(..all.len().saturating_sub(EVENTS));
    all
}

/// Attribute names and most values are the same on every node.
fn share_texts(txn: &mut Txn<'_>, node: &mut Node) {
    for map in [&mut node.attributes, &mut node.meta] {
        let entries = std::mem::take(map).into_iter();
        *map = entries
            .map(|(k, v)| {
                let unique = k.starts_with("unique.");
                (txn.state.text(&k), if unique { v } else { txn.state.text(&v) })
            })
            .collect();
    }
    let drivers = std::mem::take(&mut node.drivers).into_iter();
    node.drivers = drivers
        .map(|(name, mut info)| {
            let entries = std::mem::take(&mut info.attributes).into_iter();
            info.attributes = entries.map(|(k, v)| (txn.state.text(&k), txn.state.text(&v))).collect();
            (txn.state.text(&name), info)
        })
        .collect();
    for text in [&mut node.datacenter, &mut node.node_class, &mut node.node_pool, &mut node.computed_class] {
        *text = txn.state.text(text);
    }
}

fn change(
    txn: &mut Txn<'_>,
    node: NodeId,
    event: Option<&NodeEvent>,
    evals: &[Evaluation],
    change: impl FnOnce(&mut Node),
) -> Result<Reply, Rejection> {
    let Some(old) = txn.state.node(node) else { return Err(Rejection::NodeNotFound) };
    let mut row = Node::clone(old);
    change(&mut row);
    put(txn, row, event, evals);
    Ok(txn.done())
}

fn put(txn: &mut Txn<'_>, mut row: Node, event: Option<&NodeEvent>, evals: &[Evaluation]) {
    if let Some(event) = event {
        if row.events.len() >= EVENTS {
            row.events.drain(..=row.events.len() - EVENTS);
        }
        row.events.push(NodeEvent { create_index: txn.index, ..event.clone() });
    }
    txn.put_node_row(row);
    put_evals(txn, evals);
}

fn put_evals(txn: &mut Txn<'_>, evals: &[Evaluation]) {
    for eval in evals {
        let node_modify_index = if eval.node_id.is_some() { txn.index } else { eval.node_modify_index };
        txn.put_eval(Evaluation { node_modify_index, ..eval.clone() });
    }
}

pub(crate) fn set_status(
    txn: &mut Txn<'_>,
    node: NodeId,
    status: NodeStatus,
    event: Option<&NodeEvent>,
    now: UnixNanos,
    evals: &[Evaluation],
) -> Result<Reply, Rejection> {
    let index = txn.index;
    change(txn, node, event, evals, |row| {
        let lost = matches!(status, NodeStatus::Down | NodeStatus::Disconnected);
        if lost && row.status == NodeStatus::Ready {
            row.last_missed_heartbeat_index = index;
        }
        row.status = status;
        row.status_updated_at = now;
    })
}

pub(crate) fn set_eligibility(
    txn: &mut Txn<'_>,
    node: NodeId,
    eligibility: Eligibility,
    event: Option<&NodeEvent>,
    evals: &[Evaluation],
) -> Result<Reply, Rejection> {
    let draining = txn.state.node(node).is_some_and(|n| n.drain.is_some());
    if draining && eligibility == Eligibility::Eligible {
        let text = "can not set node's scheduling eligibility to eligible while it is draining";
        return Err(Rejection::Other(text.to_owned()));
    }
    change(txn, node, event, evals, |row| row.eligibility = eligibility)
}

/// A drain as it is wished: to start, to change or, without a strategy, to end.
pub(crate) struct Drain<'a> {
    pub strategy: Option<&'a DrainStrategy>,
    pub mark_eligible: bool,
    pub meta: &'a BTreeMap<String, String>,
}

/// Starting makes the node ineligible; ending leaves it so unless `mark_eligible`. A new drain begins with its own metadata;
/// later wishes keep it, unless they bring some.
pub(crate) fn set_drain(
    txn: &mut Txn<'_>,
    node: NodeId,
    wish: &Drain<'_>,
    event: Option<&NodeEvent>,
    now: UnixNanos,
    evals: &[Evaluation],
) -> Result<Reply, Rejection> {
    let Drain { strategy, mark_eligible, meta } = *wish;
    change(txn, node, event, evals, |row| {
        let begins = row.drain.is_none();
        let started = row.last_drain.as_ref().filter(|_| row.drain.is_some()).map_or(now, |d| d.started_at);
        let status = match strategy {
            Some(_) => "draining",
            None if event.is_some_and(|e| e.message == "Node drain complete") => "complete",
            None => "canceled",
        };
        if strategy.is_some() || row.drain.is_some() {
            let last = row.last_drain.take().unwrap_or_default();
            let meta = if begins || !meta.is_empty() { meta.clone() } else { last.meta };
            let status = status.to_owned();
            row.last_drain = Some(DrainMetadata { started_at: started, updated_at: now, status, meta, ..last });
        }
        row.drain = strategy.cloned();
        if strategy.is_some() {
            row.eligibility = Eligibility::Ineligible;
        } else if mark_eligible {
            row.eligibility = Eligibility::Eligible;
        }
    })
}

pub(crate) fn deregister(
    txn: &mut Txn<'_>,
    node: NodeId,
    now: UnixNanos,
    evals: &[Evaluation],
) -> Result<Reply, Rejection> {
    let Some(row) = txn.take(table::Nodes, &node) else { return Err(Rejection::NodeNotFound) };
    txn.csi_of_node(node, Some(&row), None, now);
    let allocs: Vec<_> = txn.state.allocs_by_node(node).map(|a| a.id).collect();
    for alloc in allocs {
        txn.remove_services_of(alloc);
    }
    volumes::node_gone(txn, &row);
    put_evals(txn, evals);
    Ok(txn.done())
}

impl Txn<'_> {
    pub(crate) fn put_node_row(&mut self, mut row: Node) {
        row.modify_index = self.index;
        let id = row.id;
        self.put(table::Nodes, id, Arc::new(row));
        volumes::node_changed(self, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, message: &str) -> NodeEvent {
        NodeEvent { message: message.to_owned(), timestamp: UnixNanos::from_secs(second), ..NodeEvent::default() }
    }

    #[test]
    fn what_a_node_tells_of_itself_comes_once_and_within_bounds() {
        let messages = |events: &[NodeEvent]| events.iter().map(|e| e.message.clone()).collect::<Vec<_>>();
        let known = [event(1, "a")];
        let told = [event(2, "b"), event(3, "c")];
        let once = with_told(&known, &told);
        assert_eq!(messages(&once), ["a", "b", "c"]);
        assert_eq!(with_told(&once, &told), once);
        // Ten others came since: the node says the same, and it stays forgotten.
        let others: Vec<NodeEvent> = (10..20).map(|second| event(second, "other")).collect();
        assert_eq!(with_told(&others, &told), others);
        let many: Vec<NodeEvent> = (30..60).map(|second| event(second, &"x".repeat(5000))).collect();
        let bounded = with_told(&others, &many);
        assert_eq!((bounded.len(), bounded[5].timestamp.secs(), bounded[5].message.len()), (10, 55, MESSAGE));
    }
}
