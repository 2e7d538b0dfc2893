//! Makes room for important jobs: which allocations of less important ones to evict from a node.
//!
//! Source: the field's rules: only jobs at least ten priorities below give way; the lowest priority first, of these the
//! ones closest to what is missing; and no more than needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tarpan_model::Allocation;
use tarpan_model::ids::{AllocId, NamespacedId};
use tarpan_model::resources::Amount;
use tarpan_state::State;

use crate::columns::Free;
use crate::compile::Group;

/// How far below a job's priority must be to give way.
const MARGIN: i64 = 10;
/// Added for each allocation of a group beyond those that may move at once.
const CROWD_PENALTY: f64 = 50.0;

/// Allocations that the plan evicts, for counting by group.
#[derive(Debug, Default)]
pub struct Evicted {
    ids: HashMap<AllocId, ()>,
    by_group: BTreeMap<(NamespacedId, Arc<str>), u32>,
}

impl Evicted {
    pub fn add(&mut self, alloc: &Allocation) {
        self.ids.insert(alloc.id, ());
        *self.by_group.entry((alloc.job_key(), alloc.task_group.clone())).or_default() += 1;
    }
}

/// What is looked for on one node.
pub struct Search<'s> {
    pub state: &'s State,
    pub job: &'s NamespacedId,
    pub priority: i64,
    pub evicted: &'s Evicted,
}

struct Candidate<'s> {
    alloc: &'s Arc<Allocation>,
    priority: i64,
    takes: Amount,
    penalty: f64,
}

impl<'s> Search<'s> {
    /// Allocations of a node whose eviction makes room for `group`; `None`: even all of them would not do.
    ///
    /// `free` is what the node has left, `ask` what is wanted of it.
    pub fn victims(
        &self,
        node: tarpan_model::NodeId,
        group: &Group,
        ask: &Amount,
        free: &Free,
    ) -> Option<Vec<Arc<Allocation>>> {
        let mut candidates = self.candidates(node);
        let mut chosen: Vec<Candidate<'s>> = Vec::new();
        let mut room = *free;
        // Static ports leave no choice.
        let ports = group.network.iter().flat_map(|n| &n.ports).filter(|p| p.value != 0 && !p.ignore_collision);
        for port in ports {
            let holds = |c: &Candidate<'_>| c.alloc.resources.ports.iter().any(|p| p.value == port.value);
            while let Some(at) = candidates.iter().position(holds) {
                let holder = candidates.swap_remove(at);
                room.give(&holder.takes);
                chosen.push(holder);
            }
        }
        let forced = chosen.len();
        candidates.sort_by_key(|c| (c.priority, c.alloc.id));
        while !suffices(&room, ask) {
            let lowest = candidates.first()?.priority;
            let level = candidates.iter().take_while(|c| c.priority == lowest);
            let nearest =
                level.enumerate().min_by(|(_, a), (_, b)| distance(a, ask, &room).total_cmp(&distance(b, ask, &room)));
            let next = candidates.remove(nearest?.0);
            room.give(&next.takes);
            chosen.push(next);
        }
        Some(self.trimmed(chosen, forced, ask, free))
    }

    fn candidates(&self, node: tarpan_model::NodeId) -> Vec<Candidate<'s>> {
        let fits =
            |a: &&Arc<Allocation>| !a.terminal() && a.job_key() != *self.job && !self.evicted.ids.contains_key(&a.id);
        let candidate = |alloc: &'s Arc<Allocation>| {
            let priority = alloc.job.priority();
            (self.priority - priority >= MARGIN).then(|| {
                let moves = alloc.group().and_then(|g| g.migrate.as_ref()).and_then(|m| m.max_parallel).unwrap_or(0);
                let key = (alloc.job_key(), alloc.task_group.clone());
                let gone = i64::from(self.evicted.by_group.get(&key).copied().unwrap_or(0));
                let beyond = if moves > 0 && gone >= moves { (gone + 1 - moves) as f64 } else { 0.0 };
                Candidate { alloc, priority, takes: alloc.demand(), penalty: beyond * CROWD_PENALTY }
            })
        };
        self.state.allocs_by_node(node).filter(fits).filter_map(candidate).collect()
    }

    /// Largest first, only as many as are needed; the first `forced` stay.
    fn trimmed(
        &self,
        mut chosen: Vec<Candidate<'s>>,
        forced: usize,
        ask: &Amount,
        free: &Free,
    ) -> Vec<Arc<Allocation>> {
        let mut optional = chosen.split_off(forced);
        optional.sort_by(|a, b| distance(a, ask, free).total_cmp(&distance(b, ask, free)));
        let mut room = *free;
        chosen.iter().for_each(|c| room.give(&c.takes));
        for candidate in optional {
            if suffices(&room, ask) {
                break;
            }
            room.give(&candidate.takes);
            chosen.push(candidate);
        }
        chosen.into_iter().map(|c| c.alloc.clone()).collect()
    }
}

/// Sum of the priorities that give way, weighted so that one high priority counts more than many low ones.
pub fn net_priority(victims: &[Arc<Allocation>]) -> f64 {
    let priorities = || victims.iter().map(|v| v.job.priority() as f64);
    let max = priorities().fold(0.0, f64::max);
    if max == 0.0 { 0.0 } else { max + priorities().sum::<f64>() / max }
}

fn suffices(room: &Free, ask: &Amount) -> bool {
    room.cpu_mhz >= ask.cpu_mhz
        && room.memory_mb >= ask.memory_mb
        && room.disk_mb >= ask.disk_mb
        && room.cores >= ask.cores
}

/// How far an allocation is from what is missing: 0 is just right.
fn distance(candidate: &Candidate<'_>, ask: &Amount, room: &Free) -> f64 {
    let part = |ask: i64, room: i64, takes: i64| {
        let need = (ask - room.max(0)) as f64;
        if need > 0.0 { ((need - takes as f64) / need).powi(2) } else { 0.0 }
    };
    let takes = &candidate.takes;
    let sum = part(ask.memory_mb, room.memory_mb, takes.memory_mb)
        + part(ask.cpu_mhz, room.cpu_mhz, takes.cpu_mhz)
        + part(ask.disk_mb, room.disk_mb, takes.disk_mb);
    sum.sqrt() + candidate.penalty
}
