//! How much an agent may say at once. A message beyond it ends the session with a sentence; texts of tasks are cut.
//!
//! Real agents stay far below: they report 32 allocations at a time and keep ten events a task.

use std::sync::Arc;

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::csi::CsiInfo;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Node, TaskEvent};
use tarpan_rpc::agent::{AllocVersion, from_agent};
use tonic::Status;

/// One message of a session. Forwarded requests are larger, and come another way.
const MESSAGE_BYTES: usize = 16 << 20;
const UPDATES: usize = 8192;
const SERVICES: usize = 8192;
/// Allocations that one node may hold.
const HELD: usize = 100_000;
/// Attributes, metadata, drivers, volumes: each.
const FACTS: usize = 4096;
/// Bytes of one fact, a name or an address.
const TEXT: usize = 16 << 10;
const TAGS: usize = 256;
const TASKS: usize = 1024;
/// Of one task; the newest are kept.
const EVENTS: usize = 32;
/// Bytes of an event's text or detail.
const EVENT_TEXT: usize = 4 << 10;

fn within(what: &str, count: usize, limit: usize) -> Result<(), Status> {
    if count <= limit {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("{what}: {count}, at most {limit} are taken")))
}

pub(super) fn message(body: &from_agent::Body) -> Result<(), Status> {
    let bytes = match body {
        from_agent::Body::Report(report) => report.updates.len(),
        from_agent::Body::Node(changed) => changed.node.len(),
        from_agent::Body::Services(services) => {
            within("registrations taken back in one message", services.delete.len(), SERVICES)?;
            services.upsert.len() + services.delete.iter().map(String::len).sum::<usize>()
        }
        from_agent::Body::StreamFailed(failed) => failed.message.len(),
        from_agent::Body::Hello(_) | from_agent::Body::Inventory(_) | from_agent::Body::Heartbeat(_) => 0,
    };
    within("bytes of a message", bytes, MESSAGE_BYTES)
}

pub(super) fn have(have: &[AllocVersion]) -> Result<(), Status> {
    within("allocations of one node", have.len(), HELD)
}

pub(super) fn node(node: &Node) -> Result<(), Status> {
    for (what, count) in [
        ("node attributes", node.attributes.len()),
        ("node metadata", node.meta.len()),
        ("node drivers", node.drivers.len()),
        ("node volumes", node.host_volumes.len()),
        ("node CSI plugins", node.csi_controllers.len() + node.csi_nodes.len()),
        ("node networks", node.host_networks.len()),
        ("node events", node.events.len()),
    ] {
        within(what, count, FACTS)?;
    }
    let names = [&node.name, &node.datacenter, &node.node_class, &node.node_pool];
    let facts = node.attributes.iter().chain(node.meta.iter()).flat_map(|(key, value)| [key, value]);
    let longest = names.into_iter().chain(facts).map(|text| text.len()).max().unwrap_or(0);
    let plugins = node.csi_controllers.iter().chain(node.csi_nodes.iter()).map(|(id, info)| id.len() + said(info));
    let longest = longest.max(plugins.max().unwrap_or(0));
    within("bytes of a fact about the node", longest.max(node.http_addr.len()), TEXT)
}

/// Bytes of what a plugin says of itself.
fn said(info: &CsiInfo) -> usize {
    let node = info.node.as_ref();
    let places = node.and_then(|node| node.topology.as_ref()).into_iter().flatten();
    let places: usize = places.map(|(name, value)| name.len() + value.len()).sum();
    let texts = [&info.provider, &info.version, &info.health_description].map(|text| text.len());
    texts.into_iter().sum::<usize>() + places + node.map_or(0, |node| node.id.len())
}

pub(super) fn services(rows: &[ServiceRegistration]) -> Result<(), Status> {
    within("registrations in one message", rows.len(), SERVICES)?;
    for row in rows {
        within("tags of a registration", row.tags.len(), TAGS)?;
        let texts = [&row.id, &row.service_name, &row.datacenter, &row.address].map(|text| text.len());
        let longest = texts.into_iter().chain(row.tags.iter().map(String::len)).max().unwrap_or(0);
        within("bytes of a registration's text", longest, TEXT)?;
    }
    Ok(())
}

/// Refuses what no agent sends, and cuts what a task can make long.
pub(super) fn report(updates: &mut [AllocUpdate]) -> Result<(), Status> {
    within("allocations in one report", updates.len(), UPDATES)?;
    for update in updates {
        within("tasks of a reported allocation", update.task_states.len(), TASKS)?;
        cut(&mut update.client_description);
        let long = |events: &[TaskEvent]| events.len() > EVENTS || events.iter().any(is_long);
        if update.task_states.values().any(|state| long(&state.events)) {
            for (_, state) in Arc::make_mut(&mut update.task_states).iter_mut() {
                state.events.drain(..state.events.len().saturating_sub(EVENTS));
                state.events.iter_mut().filter(|event| is_long(event)).for_each(shorten);
            }
        }
    }
    Ok(())
}

fn is_long(event: &TaskEvent) -> bool {
    let details = event.details.iter().flat_map(|(key, value)| [key.len(), value.len()]);
    details.chain([event.kind.len(), event.message.len()]).any(|len| len > EVENT_TEXT) || event.details.len() > TAGS
}

fn shorten(event: &mut TaskEvent) {
    cut(&mut event.kind);
    cut(&mut event.message);
    let details = std::mem::take(&mut event.details).into_iter().take(TAGS);
    event.details = details
        .map(|(mut key, mut value)| {
            cut(&mut key);
            cut(&mut value);
            (key, value)
        })
        .collect();
}

fn cut(text: &mut Arc<str>) {
    if text.len() > EVENT_TEXT {
        *text = Arc::from(format!("{}…", &text[..text.floor_char_boundary(EVENT_TEXT)]));
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::{ClientStatus, NodeId};
    use tarpan_testkit::{allocs, jobs, nodes};

    use super::*;

    fn update(text: &str, events: usize) -> AllocUpdate {
        let job = Arc::new(jobs::service("web", 1));
        let mut ids = tarpan_model::ids::CountingIds::default();
        let alloc = allocs::place(&job, &nodes::ready(1), tarpan_model::EvalId::NIL, 0, &mut ids);
        let mut update = allocs::report(&alloc, ClientStatus::Running, tarpan_testkit::at(1));
        let event = TaskEvent { message: Arc::from(text), ..TaskEvent::default() };
        for (_, state) in Arc::make_mut(&mut update.task_states).iter_mut() {
            state.events = vec![event.clone(); events];
        }
        update
    }

    #[test]
    fn texts_of_tasks_are_cut_and_the_newest_events_kept() {
        let mut long = [update(&"é".repeat(1 << 20), 100), update("short", 3)];
        report(&mut long).expect("taken");
        for state in long[0].task_states.values() {
            assert_eq!(state.events.len(), EVENTS);
            assert!(state.events.iter().all(|event| event.message.len() <= EVENT_TEXT + 4));
        }
        assert!(long[1].task_states.values().all(|state| state.events.len() == 3));
    }

    #[test]
    fn what_no_agent_sends_is_refused_with_the_limit() {
        let says = |refused: Result<(), Status>| refused.expect_err("too much").message().to_owned();
        let mut many = vec![update("x", 1); UPDATES + 1];
        assert_eq!(says(report(&mut many)), "allocations in one report: 8193, at most 8192 are taken");
        let mut crowded = Node::new(NodeId::NIL, "n", "dc1");
        assert!(node(&crowded).is_ok());
        crowded.attributes = (0..=FACTS).map(|i| (Arc::from(i.to_string()), Arc::from("x"))).collect();
        assert_eq!(says(node(&crowded)), "node attributes: 4097, at most 4096 are taken");
        let mut wordy = Node::new(NodeId::NIL, "n", "dc1");
        wordy.meta = [(Arc::from("k"), Arc::from("x".repeat(TEXT + 1)))].into_iter().collect();
        assert!(says(node(&wordy)).starts_with("bytes of a fact about the node"));
        let body =
            from_agent::Body::Report(tarpan_rpc::agent::Report { seq: 1, updates: vec![0; MESSAGE_BYTES + 1].into() });
        assert!(says(message(&body)).starts_with("bytes of a message"));
        let all = vec![AllocVersion::default(); HELD + 1];
        assert!(says(have(&all)).starts_with("allocations of one node"));
    }
}
