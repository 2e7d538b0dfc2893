//! Jobs that run on every node they may run on: system and sysbatch.
//!
//! [`compare`] says what is wanted node by node; here it becomes a plan. Nodes that can't run a group are left alone;
//! on nodes without room an evaluation waits for that node.

pub mod compare;
mod rollout;

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::ids::{AllocId, EvalId, IdSource};
use tarpan_model::plan::{DesiredUpdates, PlanAnnotations};
use tarpan_model::{AllocMetric, ClientStatus, Deployment, EvalStatus, Evaluation, JobType, Plan, Trigger};
use tarpan_state::State;

use self::compare::{Comparison, Missing, Wanted};
use self::rollout::Rollout;
use crate::columns::{NodeIndex, Nodes};
use crate::compile::{Compiled, Group};
use crate::differs::Differences;
use crate::explain::{add_closed, add_shortfall};
use crate::feasible::FilterCounts;
use crate::inputs::{Cache, Inputs};
use crate::outcome::Outcome;
use crate::pass::Closed;
use crate::place::Placer;
use crate::plan::{self, Rows, Texts};
use crate::reconcile::buckets::needs_reconnect;
use crate::reconcile::{AllocRef, Stop, text};
use crate::worker::blocked_eval;

/// One evaluation of a system or sysbatch job that is not stopped.
pub fn schedule(inputs: Inputs<'_>, eval: &Evaluation, type_: JobType) -> Outcome {
    let Inputs { state, now, seed, ids, most: _, cache } = inputs;
    let Cache { nodes, jobs } = cache;
    let key = eval.job_key();
    let job = state.job(&key).map(|job| jobs.get(job)).expect("only called for jobs that exist");
    let allocs: Vec<AllocRef<'_>> = state.allocs_by_job(&key).collect();
    let live = allocs.iter().filter(|a| !a.terminal()).copied();
    let mut placer = Placer::new(nodes, &job, state, seed, live);
    placer.candidates.nodes.sort_unstable();
    let candidates = placer.candidates.nodes.clone();
    let sysbatch = type_ == JobType::SysBatch;
    let parent = job.job.is_periodic() || job.job.is_parameterized();
    let reach: &[NodeIndex] = if parent { &[] } else { &candidates };
    let wanted = Comparison { job: &job, nodes, candidates: reach, sysbatch, now }.compare(&allocs);
    let deployment = if sysbatch { None } else { state.latest_deployment(&key) };
    let mut runnable = |group| reach.iter().filter(|node| placer.could_run(group, **node).is_ok()).count() as u64;
    let runnable: Vec<u64> = job.groups.iter().map(&mut runnable).collect();
    let mut turn = Turn {
        state,
        nodes,
        job: &job,
        eval,
        rows: Rows::new(eval, now),
        texts: Texts::default(),
        plan: Plan::new(eval.id, key, eval.priority, state.index()),
        placer,
        differences: Differences::default(),
        rollout: Rollout::new(&job, deployment, eval, now, &allocs, runnable),
        groups: job.groups.iter().map(|_| GroupResult::default()).collect(),
        exhausted: Vec::new(),
        preempts: if sysbatch {
            state.scheduler_config().preemption_sysbatch
        } else {
            state.scheduler_config().preemption_system
        },
    };
    turn.plan.all_at_once = job.all_at_once;
    turn.run(wanted, ids)
}

/// What came of one group.
#[derive(Default)]
struct GroupResult {
    desired: DesiredUpdates,
    filtered: FilterCounts,
    /// Nodes without room.
    metric: AllocMetric,
    queued: u64,
    /// Allocations that run or were placed.
    running: u64,
    /// To be replaced when the rollout lets more go.
    held_back: u64,
}

/// What came of one instance on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placing {
    Done,
    NoRoom,
    /// The node can't run the group.
    NotThere,
}

struct Turn<'a, 'i> {
    state: &'a State,
    nodes: &'i Nodes,
    job: &'i Compiled,
    eval: &'a Evaluation,
    rows: Rows<'a>,
    texts: Texts,
    plan: Plan,
    placer: Placer<'i>,
    differences: Differences,
    rollout: Rollout<'a>,
    groups: Vec<GroupResult>,
    exhausted: Vec<NodeIndex>,
    /// Less important jobs give way.
    preempts: bool,
}

impl<'a> Turn<'a, '_> {
    fn run(&mut self, wanted: Wanted<'a>, ids: &mut dyn IdSource) -> Outcome {
        for (allocs, description, status) in [
            (&wanted.stop, text::NOT_NEEDED, None),
            (&wanted.migrate, text::TAINTED, None),
            (&wanted.lost, text::LOST, Some(ClientStatus::Lost)),
        ] {
            for alloc in allocs {
                self.stop(alloc, description, status);
            }
        }
        self.rewrite_unknown(&wanted);
        for alloc in &wanted.ignore {
            self.count(alloc, |desired| desired.ignore += 1);
            if let Some(group) = self.job.group(&alloc.task_group) {
                self.groups[group.index].running += 1;
            }
        }
        self.update(&wanted, ids);
        for alloc in &wanted.update {
            // Those updated in place belong to the new rollout too.
            self.join_in_place(alloc);
        }
        for missing in wanted.missing {
            // On a node that can't run it nothing is missing.
            if self.place(missing, ids) != Placing::NotThere {
                self.groups[missing.group].desired.place += 1;
            }
        }
        self.finish(ids)
    }

    fn count(&mut self, alloc: AllocRef<'_>, change: impl Fn(&mut DesiredUpdates)) {
        if let Some(group) = self.job.group(&alloc.task_group) {
            change(&mut self.groups[group.index].desired);
        }
    }

    fn stop(&mut self, alloc: AllocRef<'a>, description: &'static str, client_status: Option<ClientStatus>) {
        self.count(alloc, |desired| match description {
            text::TAINTED => desired.migrate += 1,
            _ => desired.stop += 1,
        });
        let stop = Stop { alloc, description, client_status, followup: None };
        plan::add_stop(&mut self.plan, &mut self.texts, &stop, None);
        self.placer.stop(alloc);
    }

    /// Nodes out of touch, and nodes that came back.
    fn rewrite_unknown(&mut self, wanted: &Wanted<'a>) {
        let changes = wanted.disconnecting.iter().map(|a| (a, ClientStatus::Unknown));
        for (alloc, status) in changes.chain(wanted.reconnecting.iter().map(|a| (a, a.client_status))) {
            let mut row = tarpan_model::Allocation::clone(alloc);
            row.client_states.push((status, self.rows.now));
            if status == ClientStatus::Unknown {
                row.client_status = status;
                row.client_description = self.texts.get(text::UNKNOWN);
                self.count(alloc, |desired| desired.disconnect += 1);
            } else {
                self.count(alloc, |desired| desired.reconnect += 1);
            }
            self.plan.placements.entry(row.node_id).or_default().push(row);
        }
    }

    /// Updates in place what can be; replaces others as fast as the rollout allows.
    fn update(&mut self, wanted: &Wanted<'a>, ids: &mut dyn IdSource) {
        let mut replace: Vec<(AllocRef<'a>, Missing<'a>)> = Vec::new();
        for &alloc in &wanted.update {
            let Some(group) = self.job.group(&alloc.task_group) else { continue };
            let Some(node) = self.nodes.find(alloc.node_id) else { continue };
            self.groups[group.index].running += 1;
            if self.differences.need_replacement(&alloc.job, &self.job.job, group)
                || self.placer.could_run(group, node).is_err()
            {
                let index = alloc.index().unwrap_or(0);
                replace.push((alloc, Missing { node, group: group.index, index, previous: Some(alloc) }));
            } else {
                self.groups[group.index].desired.in_place_update += 1;
                let mut row = self.rows.in_place(alloc, self.job);
                if needs_reconnect(alloc) {
                    self.groups[group.index].desired.reconnect += 1;
                    row.client_states.push((row.client_status, self.rows.now));
                }
                self.plan.placements.entry(row.node_id).or_default().push(row);
            }
        }
        self.rollout.begin(self.job, ids, &replace);
        let ignored = &wanted.ignore;
        for group in &self.job.groups {
            let mut left = self.rollout.limit(group, ignored);
            for (alloc, missing) in replace.iter().filter(|(_, m)| m.group == group.index) {
                if left == 0 {
                    self.groups[group.index].desired.ignore += 1;
                    self.groups[group.index].held_back += 1;
                    continue;
                }
                left -= 1;
                self.groups[group.index].desired.destructive_update += 1;
                self.groups[group.index].running -= 1;
                self.placer.stop(alloc);
                if self.place(*missing, ids) == Placing::Done {
                    let stop = Stop { alloc, description: text::UPDATING, client_status: None, followup: None };
                    plan::add_stop(&mut self.plan, &mut self.texts, &stop, None);
                } else {
                    self.placer.keep(alloc);
                }
            }
        }
    }

    fn join_in_place(&mut self, alloc: AllocRef<'a>) {
        let Some(deployment) = self.rollout.id_for(&alloc.task_group) else { return };
        let rows = self.plan.placements.get_mut(&alloc.node_id);
        if let Some(row) = rows.and_then(|rows| rows.iter_mut().find(|row| row.id == alloc.id))
            && row.deployment_id != Some(deployment)
        {
            row.deployment_id = Some(deployment);
            row.deployment_status = None;
        }
    }

    /// Places on the one node it is for.
    fn place(&mut self, missing: Missing<'a>, ids: &mut dyn IdSource) -> Placing {
        let group = &self.job.groups[missing.group];
        let row = self.nodes.row(missing.node);
        if let Err(filtered) = self.placer.could_run(group, missing.node) {
            self.groups[group.index].filtered.add(row, &filtered);
            return Placing::NotThere;
        }
        let mut answer = self.placer.place_on(group, missing.node, missing.index);
        if matches!(answer, Err(Closed::Exhausted(_)))
            && self.preempts
            && let Some(placed) = self.placer.preempt_on(self.state, group, missing.node, missing.index)
        {
            self.groups[group.index].desired.preemptions += placed.preempted.len() as u64;
            answer = Ok(placed);
        }
        match answer {
            Ok(placed) => {
                let job_name = self.job.job.name.as_deref().filter(|n| !n.is_empty()).unwrap_or(self.job.job.id());
                let id = AllocId(ids.next_uuid());
                let mut new = self.rows.fresh(id, self.nodes, self.job, group, (job_name, missing.index), &placed);
                new.previous = missing.previous.map(|p| p.id);
                new.deployment_id = self.rollout.id_for(&group.name);
                self.groups[group.index].running += 1;
                plan::add_placement(&mut self.plan, self.state, new);
                Placing::Done
            }
            Err(closed) => {
                let (free, result) = (self.placer.free[missing.node as usize], &mut self.groups[group.index]);
                add_closed(&mut result.metric, row, &closed);
                if let Closed::Exhausted(dimension) = &closed {
                    add_shortfall(&mut result.metric, group, dimension, &free, &row.total, row.core_mhz());
                    result.queued += 1;
                    self.exhausted.push(missing.node);
                }
                Placing::NoRoom
            }
        }
    }

    /// What could not be placed in a group: no room somewhere, or nowhere to run at all.
    fn failure(&self, index: usize) -> Option<AllocMetric> {
        let result = &self.groups[index];
        let nowhere = result.filtered.nodes > 0 && result.running == 0;
        let nobody = self.placer.candidates.nodes.is_empty() && result.running == 0 && self.job.groups[index].count > 0;
        if result.queued == 0 && !nowhere && !nobody {
            return None;
        }
        let (counts, filtered) = (self.placer.cluster_counts(), &result.filtered);
        let mut metric = AllocMetric {
            nodes_in_pool: counts.nodes_in_pool,
            node_pool: counts.node_pool,
            nodes_available: counts.nodes_available,
            ..result.metric.clone()
        };
        filtered.add_to(&mut metric);
        // Nodes that run it, or were given it, were looked at too.
        metric.nodes_evaluated =
            (metric.nodes_filtered + metric.nodes_exhausted).max(self.placer.candidates.nodes.len() as u64);
        metric.coalesced_failures = result.queued.saturating_sub(1);
        Some(metric)
    }

    fn finish(&mut self, ids: &mut dyn IdSource) -> Outcome {
        let (eval, now) = (self.eval, self.rows.now);
        let failures: BTreeMap<Arc<str>, Arc<AllocMetric>> =
            self.job.groups.iter().filter_map(|g| Some((g.name.clone(), Arc::new(self.failure(g.index)?)))).collect();
        let complete = self.groups.iter().all(|g| {
            let d = &g.desired;
            d.place + d.destructive_update + d.in_place_update + d.migrate == 0 && g.queued + g.held_back == 0
        });
        let next = self.next_replacements(ids);
        let (deployment, updates) = self.rollout.end(self.job, complete);
        self.plan.deployment = deployment;
        self.plan.deployment_updates = updates;
        let groups = self.job.groups.iter().map(|g| (g.name.clone(), self.groups[g.index].desired)).collect();
        let preempted = self.plan.preemptions.values().flatten().map(|p| p.id).collect();
        self.plan.annotations = Some(Arc::new(PlanAnnotations { groups, preempted }));
        let mut ended = eval.clone();
        ended.snapshot_index = self.plan.snapshot_index;
        ended.modify_time = now;
        ended.queued_allocations =
            self.job.groups.iter().map(|g| (g.name.clone(), self.groups[g.index].queued)).collect();
        ended.failed_tg_allocs = failures;
        plan::annotate(&mut ended, &mut self.plan);
        ended.deployment_id = self.plan.deployment.as_ref().map(|d: &Deployment| d.id).or(ended.deployment_id);
        let mut blocked = self.blocked(&mut ended, ids);
        blocked.extend(next);
        let empty = Plan::new(eval.id, self.plan.job.clone(), self.plan.priority, self.plan.snapshot_index);
        let plan = std::mem::replace(&mut self.plan, empty);
        Outcome { evals_before: Vec::new(), plan, more: false, eval: ended, blocked }
    }

    /// What comes back with an older version after the rollout is over has no watcher that goes on with it.
    fn next_replacements(&self, ids: &mut dyn IdSource) -> Option<Evaluation> {
        let goes_on = |g: &&Group| {
            let result = &self.groups[g.index];
            result.held_back > 0 && result.desired.destructive_update > 0
        };
        let update = self.job.groups.iter().find(goes_on)?.update.filter(|_| self.rollout.active().is_none())?;
        let eval = self.eval.following(EvalId(ids.next_uuid()), Trigger::RollingUpdate, self.rows.now);
        Some(Evaluation { wait_until: self.rows.now + update.stagger, ..eval })
    }

    /// One evaluation for each node without room; a blocked one whose node still has none goes back to wait. It adds those for nodes
    /// that nothing of the job waits for yet: they came up since.
    fn blocked(&mut self, ended: &mut Evaluation, ids: &mut dyn IdSource) -> Vec<Evaluation> {
        let eval = self.eval;
        self.exhausted.sort_unstable();
        self.exhausted.dedup();
        let nodes: Vec<_> = self.exhausted.iter().map(|node| self.nodes.row(*node).node.clone()).collect();
        let waited = eval.status == EvalStatus::Blocked;
        let goes_back = waited && nodes.iter().any(|node| eval.node_id.is_none_or(|id| id == node.id));
        if !goes_back {
            ended.status = EvalStatus::Complete;
            ended.status_description = Arc::from("");
        }
        let key = eval.job_key();
        let held = |id| {
            let blocked = self.state.evals_by_job(&key).filter(|e| e.status == EvalStatus::Blocked);
            blocked.map(|e| e.node_id).any(|node| node.is_none_or(|node| node == id))
        };
        let waits = nodes.iter().filter(|node| !waited || !held(node.id)).map(|node| {
            let mut blocked = blocked_eval(eval, EvalId(ids.next_uuid()), self.rows.now);
            blocked.node_id = Some(node.id);
            blocked.snapshot_index = ended.snapshot_index;
            blocked.failed_tg_allocs = ended.failed_tg_allocs.clone();
            blocked.queued_allocations = ended.queued_allocations.clone();
            if !node.computed_class.is_empty() {
                blocked.class_eligibility.insert(node.computed_class.clone(), true);
            }
            blocked
        });
        let waits: Vec<Evaluation> = waits.collect();
        if let [only] = waits.as_slice() {
            ended.blocked_eval = Some(only.id);
        }
        waits
    }
}
