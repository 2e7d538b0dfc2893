//! An agent introduces itself: its secret is checked, its node written where it is news.

use tarpan_control::nodes;
use tarpan_model::{Node, NodeId, NodeStatus};
use tarpan_state::{Reply, State};
use tonic::Status;

use crate::control::{ids, now};
use crate::server::Server;

/// Checks the node's secret against what the first registration said.
pub(super) fn check_secret(state: &State, id: NodeId, secret: uuid::Uuid) -> Result<(), Status> {
    match state.node(id) {
        Some(known) if known.secret_id != secret => Err(Status::permission_denied("node secret ID does not match")),
        _ => Ok(()),
    }
}

/// Writes the node, unless state already holds it just so.
pub(super) async fn register(server: &Server, mut node: Node) -> Result<(), Status> {
    if node.id.is_nil() || node.name.is_empty() || node.datacenter.is_empty() || node.secret_id.is_nil() {
        return Err(Status::invalid_argument("a node needs an id, a name, a datacenter and a secret"));
    }
    let state = server.state();
    check_secret(&state, node.id, node.secret_id)?;
    node.computed_class = tarpan_scheduler::computed_class(&node);
    if state.node(node.id).is_some_and(|known| is_known(known, &node)) {
        return Ok(());
    }
    let command = nodes::register(&state, node, now(), &mut ids());
    match server.propose(command).await {
        Ok((_, Reply::Refused(rejection))) => Err(Status::failed_precondition(rejection.to_string())),
        Ok(_) => Ok(()),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}

/// The agent says nothing that state does not hold, and the node is well.
fn is_known(known: &Node, node: &Node) -> bool {
    let said = Node {
        status: known.status,
        status_description: known.status_description.clone(),
        eligibility: known.eligibility,
        drain: known.drain.clone(),
        last_drain: known.last_drain.clone(),
        events: known.events.clone(),
        status_updated_at: known.status_updated_at,
        last_missed_heartbeat_index: known.last_missed_heartbeat_index,
        last_alloc_update_index: known.last_alloc_update_index,
        create_index: known.create_index,
        modify_index: known.modify_index,
        ..node.clone()
    };
    known.status == NodeStatus::Ready && said == *known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_ready_node_is_not_written_again() {
        let mut known = Node::new(NodeId(uuid::Uuid::from_u128(1)), "a", "dc1");
        known.modify_index = 7;
        let said = Node { modify_index: 0, ..known.clone() };
        assert!(is_known(&known, &said));
        assert!(!is_known(&known, &Node { http_addr: "10.0.0.1:4646".to_owned(), ..said.clone() }));
        known.status = NodeStatus::Down;
        assert!(!is_known(&known, &said));
    }
}
