//! What happens to nodes, turned into commands with the evaluations they ask for.

use tarpan_model::ids::{IdSource, NodeId};
use tarpan_model::node::DrainStrategy;
use tarpan_model::{Eligibility, Evaluation, Node, UnixNanos};
use tarpan_state::{Command, State};

/// One evaluation for each job that has something on the node, and for each system job that could.
pub fn node_evals(_state: &State, _node: NodeId, _now: UnixNanos, _ids: &mut dyn IdSource) -> Vec<Evaluation> {
    Vec::new()
}

/// A node (re-)registers. A new one, or one that was not ready, becomes ready with it.
pub fn register(_state: &State, node: Node, now: UnixNanos, _ids: &mut dyn IdSource) -> Command {
    Command::UpsertNode { node: Box::new(node), now, evals: Vec::new() }
}

/// A heartbeat: the command that makes the node ready again, if it is not.
pub fn heartbeat(_state: &State, _node: NodeId, _now: UnixNanos, _ids: &mut dyn IdSource) -> Option<Command> {
    None
}

/// A node was silent too long: down, or disconnected when an allocation may wait for it.
pub fn missed(_state: &State, _node: NodeId, _now: UnixNanos, _ids: &mut dyn IdSource) -> Option<Command> {
    None
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
    _state: &State,
    _node: NodeId,
    _eligibility: Eligibility,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Option<Command>, NodeError> {
    Ok(None)
}

/// Starts, changes or (with `None`) ends a drain.
pub fn set_drain(
    _state: &State,
    _node: NodeId,
    _strategy: Option<DrainStrategy>,
    _mark_eligible: bool,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, NodeError> {
    Err(NodeError::NotFound)
}

pub fn deregister(
    _state: &State,
    _node: NodeId,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, NodeError> {
    Err(NodeError::NotFound)
}
