//! Verifies plans, node by node, against the newest state and the plans that are on their way into it.
//!
//! Reads: waiting plans, a snapshot of state, what the plans in flight change on their nodes. Gives: commands that commit
//! all or part of a plan, or the answer when nothing is left of it. What a node has left comes from the sums that state
//! keeps, corrected by what changes: a node's allocations are never added up again.
//! Source: `reference/semantics.md` §3.3.

mod fit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tarpan_model::ids::{AllocId, EvalId, IdSource, NodeId};
use tarpan_model::plan::PlanResult;
use tarpan_model::{Allocation, ClientStatus, Eligibility, Evaluation, NodeStatus, Plan, Trigger, UnixNanos};
use tarpan_state::State;
use tarpan_state::command::ApplyPlan;

use self::fit::{Balance, Taken};

/// New allocations in one entry of the log. Others are committed between the parts of a larger plan.
pub const MOST_PLACEMENTS: usize = 5_000;

/// Higher priority first; first parts before second ones; then first come, first served.
type QueueKey = (Reverse<i64>, usize, u64);

/// What becomes of one submitted plan.
#[derive(Clone, Debug)]
pub struct Verified {
    /// As [`Planner::submit`] gave it.
    pub ticket: u64,
    pub verdict: Verdict,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    /// To be committed; tell [`Planner::committed`] or [`Planner::failed`] how it went.
    Commit(Box<ApplyPlan>),
    /// Nothing to write: the answer is known.
    Answer(PlanResult),
}

/// What became of a plan, or of all its parts.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    pub result: PlanResult,
    /// The evaluation's end was committed with it.
    pub finished: bool,
}

impl Planned {
    /// With what became of another part.
    pub fn join(mut self, part: Planned) -> Planned {
        self.result.join(part.result);
        self.finished |= part.finished;
        self
    }
}

/// A plan that was handed to raft.
#[derive(Debug)]
struct Flight {
    nodes: Vec<NodeId>,
    /// The raft index from which state has it.
    committed: Option<u64>,
}

/// What a plan in flight does to one allocation of a node.
#[derive(Clone, Debug)]
struct Change {
    ticket: u64,
    alloc: AllocId,
    /// `None`: it takes nothing any more.
    taken: Option<Taken>,
}

/// Plans that wait, and plans in flight.
#[derive(Debug, Default)]
pub struct Planner {
    next: u64,
    queue: BTreeMap<QueueKey, Plan>,
    flights: BTreeMap<u64, Flight>,
    /// By node, in order of commitment.
    changes: HashMap<NodeId, Vec<Change>>,
}

impl Planner {
    /// Queues a plan, or the `turn`th part of one, from 0: higher priority first, then earlier parts, then first come first served.
    pub fn submit(&mut self, plan: Plan, turn: usize) -> u64 {
        self.next += 1;
        self.queue.insert((Reverse(plan.priority), turn, self.next), plan);
        self.next
    }

    /// Number of plans that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Number of plans in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Verifies up to `max` waiting plans, each against `state` with all plans in flight.
    pub fn verify(&mut self, state: &State, ids: &mut dyn IdSource, now: UnixNanos, max: usize) -> Vec<Verified> {
        self.land(state.index());
        let mut verified = Vec::new();
        while verified.len() < max {
            let Some(((.., ticket), plan)) = self.queue.pop_first() else { break };
            let verdict = self.verify_one(state, ticket, plan, ids, now);
            verified.push(Verified { ticket, verdict });
        }
        verified
    }

    /// The plan is in state from raft `index` on.
    pub fn committed(&mut self, ticket: u64, index: u64) {
        if let Some(flight) = self.flights.get_mut(&ticket) {
            flight.committed = Some(index);
        }
    }

    /// The plan will not be committed.
    pub fn failed(&mut self, ticket: u64) {
        self.forget(ticket);
    }

    /// Not the leader any more: gives the tickets of the plans that waited.
    pub fn reset(&mut self) -> Vec<u64> {
        let waiting = self.queue.keys().map(|(.., ticket)| *ticket).collect();
        *self = Planner { next: self.next, ..Planner::default() };
        waiting
    }

    /// Forgets flights that arrived: what they changed is in state.
    fn land(&mut self, index: u64) {
        let landed: Vec<u64> =
            self.flights.iter().filter(|(_, f)| f.committed.is_some_and(|at| at <= index)).map(|(t, _)| *t).collect();
        for ticket in landed {
            self.forget(ticket);
        }
    }

    fn forget(&mut self, ticket: u64) {
        let Some(flight) = self.flights.remove(&ticket) else { return };
        for node in flight.nodes {
            let Some(changes) = self.changes.get_mut(&node) else { continue };
            changes.retain(|change| change.ticket != ticket);
            if changes.is_empty() {
                self.changes.remove(&node);
            }
        }
    }

    fn verify_one(
        &mut self,
        state: &State,
        ticket: u64,
        mut plan: Plan,
        ids: &mut dyn IdSource,
        now: UnixNanos,
    ) -> Verdict {
        for preempted in plan.preemptions.values_mut() {
            preempted.retain(|p| state.alloc(p.id).is_some_and(|a| !a.terminal()));
        }
        plan.preemptions.retain(|_, preempted| !preempted.is_empty());
        let nodes: BTreeSet<NodeId> = plan.stops.keys().chain(plan.placements.keys()).copied().collect();
        let rejected: Vec<NodeId> = nodes.into_iter().filter(|node| !self.accepts(state, *node, &plan)).collect();
        if !rejected.is_empty() {
            drop_nodes(&mut plan, &rejected);
            prune_canaries(state, &mut plan);
        }
        let contested = rejected.iter().any(|node| self.changes.contains_key(node));
        let result = PlanResult {
            index: 0,
            refresh_index: match rejected.is_empty() {
                true => 0,
                // Plans in flight took the room: what took it is seen one entry later at the earliest.
                false => (state.index() + u64::from(contested)).max(1),
            },
            rejected_nodes: rejected,
            placed: plan.placements.values().map(|p| p.len() as u64).sum(),
            progressed: !plan.is_noop(),
        };
        if plan.is_noop() {
            return Verdict::Answer(result);
        }
        let evals = preemption_evals(state, &plan, now, ids);
        self.take_off(state, ticket, &plan);
        Verdict::Commit(Box::new(ApplyPlan { plan, result, evals, now }))
    }

    /// Can this node carry its part of the plan?
    fn accepts(&self, state: &State, id: NodeId, plan: &Plan) -> bool {
        let placements = plan.placements.get(&id).map(Vec::as_slice).unwrap_or_default();
        if placements.is_empty() {
            return true;
        }
        // A note on an allocation that ended takes nothing, whatever became of its node.
        if placements.iter().all(|a| a.terminal() && state.alloc(a.id).is_some_and(|known| known.terminal())) {
            return true;
        }
        let Some(node) = state.node(id) else { return false };
        match node.status {
            NodeStatus::Ready => {}
            NodeStatus::Disconnected => return placements.iter().all(|a| a.client_status == ClientStatus::Unknown),
            NodeStatus::Down => return placements.iter().all(|a| ends_with_node(state, a)),
            // It came back: what runs there is taken up again, and nothing new comes to it.
            NodeStatus::Initializing => return placements.iter().all(|a| is_there(state, a)),
        }
        if placements.iter().all(|a| is_there(state, a)) {
            return true;
        }
        if node.eligibility != Eligibility::Eligible || node.drain.is_some() {
            return false;
        }
        let mut balance = Balance::new(state, id);
        for change in self.changes.get(&id).into_iter().flatten() {
            balance.set(change.alloc, change.taken.clone());
        }
        for stop in plan.stops.get(&id).into_iter().flatten() {
            balance.set(stop.id, None);
        }
        for preempted in plan.preemptions.get(&id).into_iter().flatten() {
            balance.set(preempted.id, None);
        }
        for alloc in placements {
            balance.set(alloc.id, (!alloc.terminal()).then(|| Taken::of(state, id, alloc)));
        }
        balance.fits(node)
    }

    /// Notes what a plan that goes to raft changes.
    fn take_off(&mut self, state: &State, ticket: u64, plan: &Plan) {
        let stops = plan.stops.iter().flat_map(|(n, stops)| stops.iter().map(|s| (*n, s.id, None)));
        let preempted = plan.preemptions.iter().flat_map(|(n, list)| list.iter().map(|p| (*n, p.id, None)));
        let placed = plan
            .placements
            .iter()
            .flat_map(|(n, list)| list.iter().map(|a| (*n, a.id, (!a.terminal()).then(|| Taken::of(state, *n, a)))));
        let mut nodes: Vec<NodeId> = Vec::new();
        for (node, alloc, taken) in stops.chain(preempted).chain(placed) {
            if nodes.last() != Some(&node) {
                nodes.push(node);
            }
            self.changes.entry(node).or_default().push(Change { ticket, alloc, taken });
        }
        nodes.sort_unstable();
        nodes.dedup();
        self.flights.insert(ticket, Flight { nodes, committed: None });
    }
}

/// A plan of more than `most` new allocations as several, each with all that concerns its nodes. Divided is what only places, replaces
/// nothing and tries nothing: no part of it depends on another one.
pub fn parts(mut plan: Plan, most: usize) -> Vec<Plan> {
    let placed: usize = plan.placements.values().map(Vec::len).sum();
    let new = |a: &Allocation| a.create_index == 0 && a.previous.is_none() && a.deployment_status.is_none();
    let only_places =
        plan.stops.is_empty() && plan.preemptions.is_empty() && plan.placements.values().flatten().all(new);
    if placed <= most || plan.all_at_once || !only_places {
        return vec![plan];
    }
    let placements = std::mem::take(&mut plan.placements);
    let next = || Plan::new(plan.eval_id, plan.job.clone(), plan.priority, plan.snapshot_index);
    let mut others: Vec<Plan> = Vec::new();
    let mut room = 0;
    for (node, placed) in placements {
        if others.is_empty() || room < placed.len() {
            others.push(next());
            room = most.max(placed.len());
        }
        room -= placed.len();
        if let Some(part) = others.last_mut() {
            part.placements.insert(node, placed);
        }
    }
    // The first one has what is not of a node.
    if let Some(first) = others.first_mut() {
        plan.placements = std::mem::take(&mut first.placements);
        *first = plan;
    }
    others
}

/// Allowed on a node that is down: it is said to be lost, or to be unknown and not replaced.
fn ends_with_node(state: &State, alloc: &Allocation) -> bool {
    let kept = || {
        let job = state.job_version(&alloc.job_key(), alloc.job_version);
        let group = job.and_then(|job| job.group(&alloc.task_group));
        group.and_then(|g| g.disconnect.as_ref()).is_some_and(|d| d.replace == Some(false))
    };
    alloc.client_status == ClientStatus::Lost || (alloc.client_status == ClientStatus::Unknown && kept())
}

/// It runs there already: an update in place.
fn is_there(state: &State, alloc: &Allocation) -> bool {
    state.alloc(alloc.id).is_some_and(|known| !known.terminal() && known.node_id == alloc.node_id)
}

fn drop_nodes(plan: &mut Plan, rejected: &[NodeId]) {
    if plan.all_at_once {
        plan.stops.clear();
        plan.placements.clear();
        plan.preemptions.clear();
        plan.deployment = None;
        plan.deployment_updates.clear();
        return;
    }
    for node in rejected {
        plan.stops.remove(node);
        plan.placements.remove(node);
        plan.preemptions.remove(node);
    }
}

/// Canaries that were not placed are no canaries.
fn prune_canaries(state: &State, plan: &mut Plan) {
    let placed: BTreeSet<AllocId> = plan.placements.values().flatten().map(|a| a.id).collect();
    for group in plan.deployment.iter_mut().flat_map(|d| d.groups.values_mut()) {
        group.placed_canaries.retain(|id| placed.contains(id) || state.alloc(*id).is_some());
    }
}

/// One evaluation for each job that loses allocations.
fn preemption_evals(state: &State, plan: &Plan, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Evaluation> {
    let lost = plan.preemptions.values().flatten().filter_map(|p| state.alloc(p.id));
    let jobs: BTreeSet<_> = lost.map(|alloc| alloc.job_key()).collect();
    jobs.iter()
        .filter_map(|key| state.job(key))
        .map(|job| Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::Preemption, now))
        .collect()
}

#[cfg(test)]
mod tests;
