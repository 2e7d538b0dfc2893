//! What a node should have, as the difference to what its agent holds.
//!
//! Reads: state, and what was sent before. Gives: `Orders` messages of bounded size, job versions before the rows that
//! name them, once a session.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tarpan_model::ids::NamespacedId;
use tarpan_model::{AllocId, Allocation, Job, NodeId};
use tarpan_rpc::agent::Orders;
use tarpan_state::State;

use super::standing::{Astray, Have, told};

/// Allocations in one message. Each connection keeps room for the largest that went over it, and there are thousands: so they are
/// small, a dozen kilobytes.
const CHUNK: usize = 32;

/// What one agent holds, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct Sent {
    allocs: BTreeMap<AllocId, u64>,
    astray: BTreeMap<AllocId, Astray>,
    /// Start of the newest epoch that the agent knows.
    epoch: u64,
    jobs: HashSet<(NamespacedId, u64, u64)>,
}

impl Sent {
    /// The agent says what it holds.
    pub fn holds(&mut self, have: impl Iterator<Item = Have>) {
        (self.allocs, self.astray) = Default::default();
        for have in have {
            self.allocs.insert(have.id, have.index);
            self.astray.extend(have.astray.map(|astray| (have.id, astray)));
        }
    }

    /// The agent's indexes from `at` on are of another history: they say nothing about rows of this one.
    pub fn part(&mut self, at: u64) {
        for (id, index) in &mut self.allocs {
            if *index >= at || self.astray.contains_key(id) {
                *index = 0;
                self.astray.insert(*id, Astray { since: at, of: None });
            }
        }
    }

    /// Allocations that are kept although the state does not know them.
    pub fn astray(&self, state: &State) -> Vec<AllocId> {
        self.astray.keys().filter(|id| state.alloc(**id).is_none()).copied().collect()
    }

    /// The node was purged by a decision: it goes for what astrays it runs, too.
    pub fn purged(&mut self) -> Option<Orders> {
        let ids: Vec<AllocId> = std::mem::take(&mut self.astray).into_keys().collect();
        let forget = ids.iter().map(|id| Bytes::copy_from_slice(id.0.as_bytes())).collect();
        (!ids.is_empty()).then(|| Orders { forget, ..Orders::default() })
    }

    /// The agent knows the newest epoch of this state.
    pub fn told(&mut self, state: &State) {
        self.epoch = state.lineage().newest().last().map_or(0, |epoch| epoch.start);
    }

    /// Everything that the node should have and the agent does not hold.
    pub fn all(&mut self, state: &State, node: NodeId) -> Vec<Orders> {
        let mut ids: Vec<AllocId> = state.allocs_by_node(node).map(|a| a.id).collect();
        ids.extend(self.allocs.keys().filter(|id| state.alloc(**id).is_none_or(|a| a.node_id != node)));
        let mut orders = self.some(state, node, ids);
        if orders.is_empty() {
            orders.push(Orders::default());
        }
        orders.last_mut().expect("at least one").complete = true;
        orders
    }

    /// What is new of these allocations. Empty: nothing is.
    pub fn some(&mut self, state: &State, node: NodeId, ids: impl IntoIterator<Item = AllocId>) -> Vec<Orders> {
        let (mut rows, mut forget) = (Vec::new(), Vec::new());
        for id in ids {
            match state.alloc(id).filter(|a| a.node_id == node) {
                Some(row) if self.is_news(row) => rows.push(row.clone()),
                Some(_) => {}
                None if self.astray.get(&id).is_some_and(|astray| !astray.decided(state)) => {}
                None if self.allocs.remove(&id).is_some() => {
                    self.astray.remove(&id);
                    forget.push(Bytes::copy_from_slice(id.0.as_bytes()));
                }
                None => {}
            }
        }
        let mut orders: Vec<Orders> = rows.chunks(CHUNK).map(|rows| self.orders(state, rows)).collect();
        if !forget.is_empty() {
            // The agent forgets its jobs with this message, too: those of ended allocations would pile up on both sides.
            self.jobs.clear();
            match orders.last_mut() {
                Some(last) => last.forget = forget,
                None => orders.push(Orders { forget, ..Orders::default() }),
            }
        }
        if let (Some(first), Some(newest)) = (orders.first_mut(), state.lineage().newest().last())
            && newest.start > self.epoch
        {
            self.epoch = newest.start;
            first.epochs = told(state.lineage().newest());
        }
        orders
    }

    /// An allocation that ended and that the agent does not know is none of its business.
    fn is_news(&self, row: &Allocation) -> bool {
        match self.allocs.get(&row.id) {
            Some(index) => *index < row.alloc_modify_index,
            None => !row.client_terminal(),
        }
    }

    fn orders(&mut self, state: &State, rows: &[Arc<Allocation>]) -> Orders {
        let mut jobs: Vec<Arc<Job>> = Vec::new();
        for row in rows {
            self.allocs.insert(row.id, row.alloc_modify_index);
            self.astray.remove(&row.id);
            let key = (row.job_key(), row.job_version, row.job_create_index);
            if !self.jobs.contains(&key) {
                let linked = Some(&row.job).filter(|job| job.id.is_some());
                jobs.extend(linked.or_else(|| state.job_version(&key.0, key.1)).cloned());
                self.jobs.insert(key);
            }
        }
        // How a placement was decided stays with the servers.
        let rows: Vec<Allocation> = rows.iter().map(|row| Allocation { metrics: None, ..(**row).clone() }).collect();
        Orders {
            allocs: tarpan_rpc::pack(&rows).into(),
            jobs: if jobs.is_empty() { Bytes::new() } else { tarpan_rpc::pack(&jobs).into() },
            ..Orders::default()
        }
    }
}
