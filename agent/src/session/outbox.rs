//! What waits to be sent: reports, registrations, changes of the node. Numbered, and kept until acknowledged.
//!
//! A changed client status leaves at once; what is only news for readers (events, descriptions) waits up to a second for
//! company. While reports are unanswered, later ones collect, so a busy node sends fewer and larger ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{AllocId, Node};
use tarpan_rpc::agent::{self as rpc, from_agent};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Reports sent and not yet acknowledged; more wait until one is answered.
const IN_FLIGHT: usize = 4;
/// Updates in one report. Servers keep room for the largest of each agent, and take reports one by one: so they are small, a dozen
/// kilobytes.
const REPORT_UPDATES: usize = 32;

/// How long news may wait for company.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    pub urgent: Duration,
    pub typical: Duration,
}

impl Default for Batching {
    fn default() -> Batching {
        Batching { urgent: Duration::ZERO, typical: Duration::from_secs(1) }
    }
}

#[derive(Clone, Debug)]
enum Sent {
    Report(Vec<AllocUpdate>),
    Services { upsert: Vec<ServiceRegistration>, delete: Vec<String> },
}

#[derive(Default)]
struct Waiting {
    seq: u64,
    updates: BTreeMap<AllocId, AllocUpdate>,
    /// The servers do not know these: what is said of them waits until they do.
    held_back: BTreeSet<AllocId>,
    upsert: BTreeMap<String, ServiceRegistration>,
    delete: BTreeSet<String>,
    node: Option<Vec<u8>>,
    due: Option<Instant>,
    sent: BTreeMap<u64, Sent>,
}

pub struct Outbox {
    batching: Batching,
    waiting: Mutex<Waiting>,
    notify: Notify,
}

impl Outbox {
    pub fn new(batching: Batching) -> Outbox {
        Outbox { batching, waiting: Mutex::default(), notify: Notify::new() }
    }

    fn change(&self, within: Duration, f: impl FnOnce(&mut Waiting)) {
        let at = Instant::now() + within;
        let earlier = {
            let mut waiting = self.waiting.lock().expect("no panic while held");
            f(&mut waiting);
            let earlier = waiting.due.is_none_or(|due| at < due);
            if earlier {
                waiting.due = Some(at);
            }
            earlier
        };
        if earlier {
            self.notify.notify_one();
        }
    }

    /// The newest state of an allocation; an older one that still waits is replaced.
    pub fn report(&self, update: AllocUpdate, urgent: bool) {
        let within = if urgent { self.batching.urgent } else { self.batching.typical };
        self.change(within, |w| {
            let (id, older) = (update.id, w.updates.remove(&update.id));
            let slot = w.updates.entry(id).insert_entry(update).into_mut();
            // A verdict that still waits goes along; of an earlier deployment the servers know what to think.
            if let Some(older) = older.filter(|_| slot.healthy.is_none()) {
                (slot.healthy, slot.health_of) = (older.healthy, older.health_of);
            }
        });
    }

    /// Keeps reports of these allocations here.
    pub fn hold_back(&self, ids: impl IntoIterator<Item = AllocId>) {
        self.waiting.lock().expect("no panic while held").held_back.extend(ids);
    }

    /// Nobody will ever want the report that is kept here.
    pub fn drop_report(&self, id: AllocId) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.updates.remove(&id);
        waiting.held_back.remove(&id);
    }

    /// The servers know the allocation again.
    pub fn release(&self, id: AllocId) {
        self.change(Duration::ZERO, |w| w.held_back.retain(|held| *held != id));
    }

    pub fn register(&self, services: Vec<ServiceRegistration>) {
        self.change(Duration::ZERO, |w| {
            for service in services {
                w.delete.remove(&*service.id);
                w.upsert.insert(service.id.to_string(), service);
            }
        });
    }

    pub fn deregister(&self, ids: Vec<String>) {
        self.change(Duration::ZERO, |w| {
            for id in ids {
                w.upsert.remove(&id);
                w.delete.insert(id);
            }
        });
    }

    pub fn node_changed(&self, node: &Node) {
        let packed = tarpan_rpc::pack(node);
        self.change(Duration::from_millis(200), |w| w.node = Some(packed));
    }

    /// Something new is due earlier than before.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }

    pub(super) fn flush_at(&self) -> Option<Instant> {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.due.filter(|_| waiting.sent.len() < IN_FLIGHT)
    }

    /// What was sent over a broken session and not acknowledged goes first again, unless something newer waits.
    pub(super) fn reconnected(&self) {
        self.change(Duration::ZERO, |w| {
            for (_, sent) in std::mem::take(&mut w.sent).into_iter().rev() {
                match sent {
                    Sent::Report(updates) => {
                        for update in updates {
                            w.updates.entry(update.id).or_insert(update);
                        }
                    }
                    Sent::Services { upsert, delete } => {
                        for service in upsert {
                            if !w.delete.contains(&*service.id) {
                                w.upsert.entry(service.id.to_string()).or_insert(service);
                            }
                        }
                        for id in delete {
                            if !w.upsert.contains_key(&id) {
                                w.delete.insert(id);
                            }
                        }
                    }
                }
            }
        });
    }

    pub(super) fn acknowledged(&self, seq: u64) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.sent.remove(&seq);
        if waiting.due.is_some() {
            self.notify.notify_one();
        }
    }

    /// Everything that waits, as messages.
    pub(super) fn take(&self) -> Vec<from_agent::Body> {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        let w = &mut *waiting;
        w.due = None;
        let mut bodies = Vec::new();
        if let Some(node) = w.node.take() {
            bodies.push(from_agent::Body::Node(rpc::NodeChanged { node: node.into() }));
        }
        if !w.upsert.is_empty() || !w.delete.is_empty() {
            w.seq += 1;
            let upsert: Vec<ServiceRegistration> = std::mem::take(&mut w.upsert).into_values().collect();
            let delete: Vec<String> = std::mem::take(&mut w.delete).into_iter().collect();
            bodies.push(from_agent::Body::Services(rpc::Services {
                seq: w.seq,
                upsert: tarpan_rpc::pack(&upsert).into(),
                delete: delete.clone(),
            }));
            w.sent.insert(w.seq, Sent::Services { upsert, delete });
        }
        let (kept, going) = std::mem::take(&mut w.updates).into_iter().partition(|(id, _)| w.held_back.contains(id));
        w.updates = kept;
        let updates: Vec<AllocUpdate> = BTreeMap::into_values(going).collect();
        for part in updates.chunks(REPORT_UPDATES) {
            w.seq += 1;
            bodies.push(from_agent::Body::Report(rpc::Report { seq: w.seq, updates: tarpan_rpc::pack(&part).into() }));
            w.sent.insert(w.seq, Sent::Report(part.to_vec()));
        }
        bodies
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tarpan_model::{ClientStatus, UnixNanos};

    use super::*;

    fn update(id: u128, status: ClientStatus) -> AllocUpdate {
        AllocUpdate {
            id: AllocId(uuid::Uuid::from_u128(id)),
            client_status: status,
            client_description: Arc::from(""),
            task_states: Arc::default(),
            healthy: None,
            health_of: None,
            network_status: None,
            modify_time: UnixNanos::ZERO,
        }
    }

    fn reports(outbox: &Outbox) -> Vec<(u64, Vec<(u128, ClientStatus)>)> {
        let of = |body| match body {
            from_agent::Body::Report(r) => {
                let updates: Vec<AllocUpdate> = tarpan_rpc::unpack(&r.updates).expect("readable");
                Some((r.seq, updates.iter().map(|u| (u.id.0.as_u128(), u.client_status)).collect()))
            }
            _ => None,
        };
        outbox.take().into_iter().filter_map(of).collect()
    }

    #[test]
    fn urgent_news_leave_at_once_and_take_the_rest_with_them() {
        let outbox = Outbox::new(Batching::default());
        let (begun, wait) = (Instant::now(), Duration::from_secs(1));
        outbox.report(update(1, ClientStatus::Pending), false);
        let due = outbox.flush_at().expect("something waits");
        assert!((begun + wait..=Instant::now() + wait).contains(&due), "{:?}", due - begun);
        outbox.report(update(2, ClientStatus::Running), true);
        assert!(outbox.flush_at().is_some_and(|due| due <= Instant::now()));
        assert_eq!(reports(&outbox), [(1, vec![(1, ClientStatus::Pending), (2, ClientStatus::Running)])]);
        assert_eq!(outbox.flush_at(), None);
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_unless_it_is_old() {
        let outbox = Outbox::new(Batching::default());
        for (id, status) in [(1, ClientStatus::Pending), (2, ClientStatus::Running), (1, ClientStatus::Running)] {
            outbox.report(update(id, status), true);
            outbox.take();
        }
        outbox.acknowledged(2);
        outbox.reconnected();
        assert_eq!(reports(&outbox), [(4, vec![(1, ClientStatus::Running)])]);
    }
}
