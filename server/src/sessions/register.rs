//! An agent introduces itself: its secret is checked, its node written where it is news.

use tarpan_control::nodes;
use tarpan_model::name::{self, MAX_KEY, MAX_LABEL};
use tarpan_model::{Node, NodeId, NodeStatus};
use tarpan_state::{Reply, State};
use tonic::Status;

use super::host::Host;
use crate::chance::ids;
use crate::clock::now;

/// Checks the node's secret against what the first registration said.
pub(super) fn check_secret(state: &State, id: NodeId, secret: uuid::Uuid) -> Result<(), Status> {
    match state.node(id) {
        Some(known) if known.secret_id != secret => Err(Status::permission_denied("node secret ID does not match")),
        _ => Ok(()),
    }
}

/// Names that an agent gives itself, and those of what it has: they become labels, variables and parts of pages.
fn check_names(node: &Node) -> Result<(), String> {
    if let Err(wrong) = name::address(&node.node_pool, MAX_LABEL) {
        return Err(format!("the node's pool {} {wrong}", name::quoted(&node.node_pool)));
    }
    let own = [("name", &node.name), ("datacenter", &node.datacenter), ("class", &node.node_class)];
    let own = own.into_iter().map(|(what, name)| (what, &**name, MAX_LABEL));
    let address = [("HTTP address", &*node.http_addr, MAX_LABEL), ("cgroup", &*node.cgroup_parent, MAX_KEY)];
    let attributes = node.attributes.keys().map(|key| ("attribute", &**key, MAX_KEY));
    let meta = node.meta.keys().map(|key| ("meta key", &**key, MAX_KEY));
    let drivers = node.drivers.keys().map(|name| ("driver", &**name, MAX_LABEL));
    let volumes = node.host_volumes.keys().map(|name| ("host volume", &**name, MAX_LABEL));
    let plugins = node.csi_controllers.keys().chain(node.csi_nodes.keys());
    let plugins = plugins.map(|id| ("CSI plugin", &**id, MAX_LABEL));
    let networks = node.host_networks.keys().map(|name| ("host network", &**name, MAX_LABEL));
    let mut all =
        own.chain(address).chain(attributes).chain(meta).chain(drivers).chain(volumes).chain(plugins).chain(networks);
    let wrong = all.find_map(|(what, text, max)| Some((what, text, name::text(text, max).err()?)));
    wrong.map_or(Ok(()), |(what, text, wrong)| Err(format!("the node's {what} {} {wrong}", name::quoted(text))))
}

/// Is the caller a node that state knows?
pub(super) fn check_caller(state: &State, id: NodeId, secret: uuid::Uuid) -> Result<(), Status> {
    match state.node(id) {
        Some(known) if known.secret_id == secret && !secret.is_nil() => Ok(()),
        // One answer for both: strangers are not told which nodes there are.
        _ => Err(Status::permission_denied("no node with this id and secret")),
    }
}

/// Writes the node, unless state already holds it just so.
pub(super) async fn register(host: &Host, mut node: Node) -> Result<(), Status> {
    if node.id.is_nil() || node.name.is_empty() || node.datacenter.is_empty() || node.secret_id.is_nil() {
        return Err(Status::invalid_argument("a node needs an id, a name, a datacenter and a secret"));
    }
    check_names(&node).map_err(Status::invalid_argument)?;
    let state = host.state();
    check_secret(&state, node.id, node.secret_id)?;
    node.computed_class = tarpan_scheduler::computed_class(&node);
    if state.node(node.id).is_some_and(|known| is_known(known, &node)) {
        return Ok(());
    }
    let command = nodes::register(&state, node, now(), &mut ids());
    match host.propose(command).await {
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
    fn names_are_bounded_and_free_of_control_characters() {
        let node = |change: &dyn Fn(&mut Node)| {
            let mut node = Node::new(NodeId(uuid::Uuid::from_u128(1)), "größe 1", "dc1");
            change(&mut node);
            check_names(&node)
        };
        assert_eq!(node(&|_| {}), Ok(()));
        let wrong = node(&|n| n.name = "a\u{1b}[2J".into()).expect_err("refused");
        assert_eq!(wrong, "the node's name \"a\\u{1b}[2J\" cannot include the control character U+001B");
        let wrong = node(&|n| n.node_class = "c".repeat(256).into()).expect_err("refused");
        assert!(wrong.ends_with("is 256 bytes long; 255 are the most"), "{wrong}");
        let wrong = node(&|n| drop(n.meta.insert("a\0".into(), "x".into()))).expect_err("refused");
        assert_eq!(wrong, "the node's meta key \"a\\0\" cannot include the control character U+0000");
    }

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
