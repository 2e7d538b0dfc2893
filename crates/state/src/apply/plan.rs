//! Verified plans: stops, preemptions, placements, the deployment, all of one raft index.
//!
//! Source: `reference/semantics.md` §3.3, "State-side effect of a plan".

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::deployment::Deployment;
use tarpan_model::ids::{AllocId, NamespacedId, NodeId};
use tarpan_model::plan::{AllocPreemption, AllocStop, PlanResult};
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, Evaluation, Job, UnixNanos};

use super::txn::Txn;
use super::volumes;
use crate::command::{ApplyPlan, Rejection, Reply};
use crate::share::GroupParts;

pub(crate) fn apply(txn: &mut Txn<'_>, command: &ApplyPlan) -> Result<Reply, Rejection> {
    let plan = &command.plan;
    if plan.snapshot_index < txn.state.restored {
        // It was on its way when another state took the place of the one that it was made on.
        return Err(Rejection::Changed);
    }
    if let Some(deployment) = &plan.deployment {
        put_deployment(txn, deployment);
    }
    for update in &plan.deployment_updates {
        txn.deployment_status(update, command.now);
    }
    // Bumped so that whoever dequeues the job's next evaluation waits for this plan.
    if let Some(eval) = txn.state.eval(plan.eval_id).cloned() {
        let row = Evaluation { modify_index: txn.index, ..Evaluation::clone(&eval) };
        txn.write_eval(Arc::new(row), Some(&eval));
    }
    for stop in plan.stops.values().flatten() {
        apply_stop(txn, stop, command.now);
    }
    for preemption in plan.preemptions.values().flatten() {
        preempt(txn, preemption, command.now);
    }
    place_all(txn, command);
    txn.put_evals(&command.evals);
    let refresh_index = command.result.refresh_index;
    let refresh_index = if refresh_index == 0 { 0 } else { refresh_index.max(txn.index) };
    Ok(Reply::Planned(PlanResult { index: txn.index, refresh_index, ..command.result.clone() }))
}

/// Keeps what nodes reported into an existing row, and groups that the plan does not name.
fn put_deployment(txn: &mut Txn<'_>, planned: &Deployment) {
    let mut row = planned.clone();
    if let Some(old) = txn.state.deployment(planned.id) {
        row.create_index = old.create_index;
        row.modify_index = old.modify_index;
        row.create_time = old.create_time;
        for (name, known) in &old.groups {
            match row.groups.get_mut(name) {
                None => {
                    row.groups.insert(name.clone(), known.clone());
                }
                Some(group) => {
                    group.healthy_allocs = known.healthy_allocs;
                    group.unhealthy_allocs = known.unhealthy_allocs;
                    group.placed_allocs = known.placed_allocs;
                    group.require_progress_by = known.require_progress_by;
                    for canary in &known.placed_canaries {
                        if !group.placed_canaries.contains(canary) {
                            group.placed_canaries.push(*canary);
                        }
                    }
                }
            }
        }
    }
    txn.put_deployment(row);
}

fn apply_stop(txn: &mut Txn<'_>, stop: &AllocStop, now: UnixNanos) {
    let Some(old) = txn.state.alloc(stop.id).cloned() else { return };
    let mut row = Allocation::clone(&old);
    row.desired_status = DesiredStatus::Stop;
    row.desired_description = txn.state.text(&stop.description);
    if let Some(status) = stop.client_status {
        row.client_status = status;
    }
    if stop.followup_eval.is_some() {
        row.followup_eval = stop.followup_eval;
    }
    if stop.reschedule.is_some() {
        row.reschedule.clone_from(&stop.reschedule);
    }
    server_change(txn, row, &old, now);
}

fn preempt(txn: &mut Txn<'_>, preemption: &AllocPreemption, now: UnixNanos) {
    let Some(old) = txn.state.alloc(preemption.id).cloned() else { return };
    let row = Allocation {
        desired_status: DesiredStatus::Evict,
        desired_description: Arc::from(format!("Preempted by alloc ID {}", preemption.by)),
        preempted_by: Some(preemption.by),
        ..Allocation::clone(&old)
    };
    server_change(txn, row, &old, now);
}

fn server_change(txn: &mut Txn<'_>, mut row: Allocation, old: &Allocation, now: UnixNanos) {
    row.modify_index = txn.index;
    row.alloc_modify_index = txn.index;
    row.modify_time = now;
    txn.put_alloc(row, Some(old));
}

fn place_all(txn: &mut Txn<'_>, command: &ApplyPlan) {
    let mut shared = Shared::default();
    for (node, placements) in &command.plan.placements {
        for placement in placements {
            match txn.state.alloc(placement.id).cloned() {
                Some(old) => update_in_place(txn, placement, &old, &mut shared, command.now),
                None => place(txn, *node, placement, &mut shared, command.now),
            }
        }
    }
}

/// A new allocation; dropped when its job is gone or stopped, or the version it runs is not known any more.
fn place(txn: &mut Txn<'_>, node: NodeId, placement: &Allocation, shared: &mut Shared, now: UnixNanos) {
    let Some((stored, job)) = shared.job(txn, placement) else { return };
    let mut row = placement.clone();
    row.namespace = stored.namespace;
    row.job_id = stored.id;
    row.node_id = node;
    if let Some(node) = txn.state.node(node) {
        row.node_name = node.name.clone();
    }
    row.job_create_index = job.create_index.unwrap_or(0);
    row.job = job;
    shared.share(txn, &mut row);
    row.create_index = txn.index;
    row.modify_index = txn.index;
    row.alloc_modify_index = txn.index;
    if row.create_time.is_zero() {
        row.create_time = now;
    }
    row.modify_time = now;
    let (id, previous) = (row.id, row.previous);
    txn.put_alloc(row, None);
    volumes::claim(txn, id);
    if let Some(previous) = previous {
        link_next(txn, previous, id);
    }
}

/// The version that a placement runs; what a purge or pruning took away is found in the allocation it replaces.
fn job_of(txn: &Txn<'_>, placement: &Allocation, current: &Arc<Job>) -> Option<Arc<Job>> {
    let version = placement.job_version;
    let key = placement.job_key();
    let stored = txn.state.job_version(&key, version).cloned();
    let replaced = || {
        let previous = placement.previous.and_then(|id| txn.state.alloc(id))?;
        (previous.job_version == version && previous.job_create_index == current.create_index.unwrap_or(0))
            .then(|| previous.job.clone())
    };
    stored.or_else(replaced)
}

/// The allocation that `next` replaces learns of it.
fn link_next(txn: &mut Txn<'_>, previous: AllocId, next: AllocId) {
    let Some(old) = txn.state.alloc(previous).cloned() else { return };
    let row = Allocation { next: Some(next), modify_index: txn.index, ..Allocation::clone(&old) };
    txn.put_alloc(row, Some(&old));
}

/// A change of a running allocation. What nodes report stays, unless the plan says `lost` or `unknown` for them.
fn update_in_place(
    txn: &mut Txn<'_>,
    placement: &Allocation,
    old: &Arc<Allocation>,
    shared: &mut Shared,
    now: UnixNanos,
) {
    let mut row = placement.clone();
    row.namespace = old.namespace.clone();
    row.job_id = old.job_id.clone();
    row.name = old.name.clone();
    row.node_id = old.node_id;
    row.node_name = old.node_name.clone();
    row.task_group = old.task_group.clone();
    let version = txn.state.job_version(&old.job_key(), row.job_version).cloned();
    row.job =
        if row.job_version == old.job_version { old.job.clone() } else { version.unwrap_or_else(|| old.job.clone()) };
    row.job_version = row.job.version.unwrap_or(row.job_version);
    row.job_create_index = old.job_create_index;
    row.task_states = old.task_states.clone();
    row.network_status = old.network_status.clone();
    row.next = old.next;
    row.preempted_by = old.preempted_by;
    if !matches!(row.client_status, ClientStatus::Lost | ClientStatus::Unknown) {
        row.client_status = old.client_status;
        row.client_description = old.client_description.clone();
    }
    // Health that was reported after the plan was made is not taken back.
    if row.deployment_id == old.deployment_id && row.deployment_status.is_none_or(|s| s.healthy.is_none()) {
        row.deployment_status = old.deployment_status;
    }
    let same = *row.resources == *old.resources;
    shared.share(txn, &mut row);
    if same {
        row.resources = old.resources.clone();
    }
    row.create_index = old.create_index;
    row.create_time = old.create_time;
    server_change(txn, row, old, now);
}

/// Parts that are equal in many placements of a plan.
#[derive(Default)]
struct Shared {
    /// The key as the table has it and the version, of the last new placement.
    job: Option<(NamespacedId, Arc<Job>)>,
    /// What the last placement of each group and version had.
    groups: BTreeMap<(Arc<str>, u64), GroupParts>,
    /// The few texts of a plan: group names, descriptions.
    texts: Vec<Arc<str>>,
}

impl Shared {
    /// `None`: the job is gone or stopped, or the version is not known.
    fn job(&mut self, txn: &Txn<'_>, placement: &Allocation) -> Option<(NamespacedId, Arc<Job>)> {
        let same = |(key, job): &&(NamespacedId, Arc<Job>)| {
            job.version == Some(placement.job_version)
                && key.id == placement.job_id
                && key.namespace == placement.namespace
        };
        if let Some(last) = self.job.as_ref().filter(same) {
            return Some(last.clone());
        }
        let (key, current) =
            txn.state.tables.jobs.get_key_value(&placement.job_key()).filter(|(_, job)| !job.stopped())?;
        self.job = Some((key.clone(), job_of(txn, placement, current)?));
        self.job.clone()
    }

    fn text(&mut self, txn: &mut Txn<'_>, text: &mut Arc<str>) {
        if let Some(known) = self.texts.iter().find(|known| *known == text) {
            *text = known.clone();
            return;
        }
        *text = txn.state.text(text);
        if self.texts.len() < 8 {
            self.texts.push(text.clone());
        }
    }

    fn share(&mut self, txn: &mut Txn<'_>, row: &mut Allocation) {
        self.text(txn, &mut row.task_group);
        self.text(txn, &mut row.desired_description);
        self.text(txn, &mut row.client_description);
        let key = (row.task_group.clone(), row.job_version);
        self.groups.entry(key).or_insert_with(|| GroupParts::of(row)).share_with(row);
    }
}
