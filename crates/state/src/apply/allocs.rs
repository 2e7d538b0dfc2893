//! Allocation rows: indexes, node usage, summaries, deployment counters and services follow every change of a row.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tarpan_model::alloc::{AllocDeploymentStatus, AllocUpdate, DesiredTransition, TaskStates};
use tarpan_model::ids::{AllocId, EvalId, NamespacedId};
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, EvalStatus, Evaluation, UnixNanos};

use super::txn::Txn;
use crate::command::Reply;
use crate::rows::GroupSummary;
use crate::tables::table;

static NO_TASKS: LazyLock<Arc<TaskStates>> = LazyLock::new(Arc::default);

/// Applies what nodes report. Reports of unknown allocations are dropped.
pub(crate) fn client_updates(
    txn: &mut Txn<'_>,
    updates: &[AllocUpdate],
    evals: &[Evaluation],
    now: UnixNanos,
) -> Reply {
    for update in updates {
        client_update(txn, update, now);
    }
    txn.put_evals(evals);
    txn.done()
}

fn client_update(txn: &mut Txn<'_>, update: &AllocUpdate, now: UnixNanos) {
    let Some(old) = txn.state.alloc(update.id).cloned() else { return };
    synced(txn, &old);
    // Said earlier and written later: a report that was on its way through another server when the agent connected anew.
    if ended(old.client_status) && !ended(update.client_status) {
        return;
    }
    let health = changed_health(&old, update, txn.index);
    let network_changed = update.network_status.is_some() && update.network_status != old.network_status;
    if health.is_none()
        && !network_changed
        && old.client_status == update.client_status
        && old.client_description == update.client_description
        && old.task_states == update.task_states
    {
        return;
    }
    let mut row = Allocation::clone(&old);
    row.client_status = update.client_status;
    row.client_description = txn.state.text(&update.client_description);
    row.task_states = txn.state.task_states(&old.task_states, &update.task_states);
    if network_changed {
        row.network_status = update.network_status.clone();
    }
    if let Some(status) = health {
        row.deployment_status = Some(status);
    }
    let reconnected = old.client_status == ClientStatus::Unknown && row.client_status != ClientStatus::Unknown;
    let followup = if reconnected { row.followup_eval.take() } else { None };
    let key = row.job_key();
    if row.client_terminal() && txn.state.job(&key).is_none() {
        row.desired_status = DesiredStatus::Stop;
    }
    row.modify_index = txn.index;
    row.modify_time = if update.modify_time.is_zero() { now } else { update.modify_time };
    txn.put_alloc(row, Some(&old));
    if let Some(eval) = followup {
        cancel_followup(txn, &key, eval, now);
    }
}

/// By its node's word. A node that was given up for lost may know better.
fn ended(status: ClientStatus) -> bool {
    matches!(status, ClientStatus::Complete | ClientStatus::Failed)
}

/// A node that waits to be ready again until its allocations are reported: this is such a report.
fn synced(txn: &mut Txn<'_>, alloc: &Allocation) {
    let Some(node) = txn.state.node(alloc.node_id) else { return };
    if node.last_alloc_update_index > node.last_missed_heartbeat_index || node.last_missed_heartbeat_index == 0 {
        return;
    }
    let mut node = tarpan_model::Node::clone(node);
    node.last_alloc_update_index = txn.index;
    txn.put_node_row(node);
}

/// The new health, when the report says something new of it. A verdict for an earlier deployment, on its way while the
/// allocation was updated in place, is none for this one.
fn changed_health(old: &Allocation, update: &AllocUpdate, index: u64) -> Option<AllocDeploymentStatus> {
    let healthy = update.healthy?;
    if update.health_of.is_some_and(|id| id != old.deployment_id.unwrap_or_default()) {
        return None;
    }
    let known = old.deployment_status.unwrap_or_default();
    (known.healthy != Some(healthy)).then_some(AllocDeploymentStatus {
        healthy: Some(healthy),
        timestamp: update.modify_time,
        canary: known.canary,
        modify_index: index,
    })
}

/// The evaluation that would have given an allocation up, once the allocation answered and nobody else waits for it.
fn cancel_followup(txn: &mut Txn<'_>, job: &NamespacedId, id: EvalId, now: UnixNanos) {
    if txn.state.allocs_by_job(job).any(|a| a.followup_eval == Some(id) && !a.terminal()) {
        return;
    }
    let Some(old) = txn.state.eval(id).filter(|e| !e.terminal()).cloned() else { return };
    let row = Evaluation {
        status: EvalStatus::Canceled,
        status_description: Arc::from("allocs reconnected"),
        modify_index: txn.index,
        modify_time: now,
        ..Evaluation::clone(&old)
    };
    txn.write_eval(Arc::new(row), Some(&old));
}

/// Merges wishes field by field: what is not said stays as it is.
pub(crate) fn transitions(
    txn: &mut Txn<'_>,
    wishes: &BTreeMap<AllocId, DesiredTransition>,
    evals: &[Evaluation],
    now: UnixNanos,
) -> Reply {
    for (id, wish) in wishes {
        txn.transition(*id, wish, now);
    }
    txn.put_evals(evals);
    txn.done()
}

impl Txn<'_> {
    pub(crate) fn transition(&mut self, id: AllocId, wish: &DesiredTransition, now: UnixNanos) {
        let Some(old) = self.state.alloc(id).cloned() else { return };
        let known = old.transition;
        let row = Allocation {
            transition: DesiredTransition {
                migrate: wish.migrate.or(known.migrate),
                reschedule: wish.reschedule.or(known.reschedule),
                force_reschedule: wish.force_reschedule.or(known.force_reschedule),
                no_shutdown_delay: wish.no_shutdown_delay.or(known.no_shutdown_delay),
                migrate_disable_placement: wish.migrate_disable_placement.or(known.migrate_disable_placement),
            },
            modify_index: self.index,
            alloc_modify_index: self.index,
            modify_time: now,
            ..Allocation::clone(&old)
        };
        self.put_alloc(row, Some(&old));
    }

    /// Writes a row that is complete but for shared texts; everything derived from it follows.
    pub(crate) fn put_alloc(&mut self, mut row: Allocation, old: Option<&Allocation>) {
        let key = row.job_key();
        if row.task_states.is_empty() {
            row.task_states = NO_TASKS.clone();
        }
        self.state.use_node(&row, old);
        self.count_alloc(&key, &row, old);
        self.count_in_deployment(&row, old);
        if row.terminal() && !old.is_some_and(Allocation::terminal) {
            self.remove_services_of(row.id);
        }
        self.put(table::Allocs, row.id, Arc::new(row));
    }

    /// Keeps the job's summary and its number of live allocations.
    fn count_alloc(&mut self, key: &NamespacedId, row: &Allocation, old: Option<&Allocation>) {
        let work = self.work(key);
        work.live.allocs -= u32::from(old.is_some_and(|o| !o.terminal()));
        work.live.allocs += u32::from(!row.terminal());
        let Some(summary) = work.summary.as_mut().filter(|s| s.create_index == row.job_create_index) else { return };
        let was = old.map(|o| o.client_status);
        if was == Some(row.client_status) {
            return;
        }
        let counts = match summary.groups.get_mut(&row.task_group) {
            Some(counts) => counts,
            None => summary.groups.entry(row.task_group.clone()).or_default(),
        };
        if was.is_none() && row.client_status == ClientStatus::Pending {
            counts.queued = counts.queued.saturating_sub(1);
        }
        // Complete and failed ones are counted for good.
        if let Some(was) = was.filter(|s| !matches!(s, ClientStatus::Complete | ClientStatus::Failed)) {
            let count = bucket(counts, was);
            *count = count.saturating_sub(1);
        }
        *bucket(counts, row.client_status) += 1;
        work.summary_changed = true;
    }

    /// Keeps a deployment's counters, canaries and progress deadline.
    ///
    /// Source: `reference/semantics.md` §10, "State counters".
    fn count_in_deployment(&mut self, row: &Allocation, old: Option<&Allocation>) {
        let Some(id) = row.deployment_id else { return };
        let old = old.filter(|o| o.deployment_id == row.deployment_id);
        let status = row.deployment_status.unwrap_or_default();
        let was = old.and_then(|o| o.deployment_status).unwrap_or_default();
        if old.is_some() && status == was {
            return;
        }
        let group = self.deployment(id).and_then(|d| d.groups.get_mut(&row.task_group));
        let Some(group) = group else { return };
        if old.is_none() {
            group.placed_allocs += 1;
            if group.require_progress_by.is_zero() && group.progress_deadline.0 > 0 {
                group.require_progress_by = row.modify_time + group.progress_deadline;
            }
        }
        match (was.healthy, status.healthy) {
            (None, Some(true)) => group.healthy_allocs += 1,
            (None, Some(false)) => group.unhealthy_allocs += 1,
            (Some(true), Some(false)) => {
                group.healthy_allocs = group.healthy_allocs.saturating_sub(1);
                group.unhealthy_allocs += 1;
            }
            _ => {}
        }
        if status.healthy == Some(true) && was.healthy.is_none() && group.progress_deadline.0 > 0 {
            group.require_progress_by = group.require_progress_by.max(status.timestamp + group.progress_deadline);
        }
        if status.canary && !group.placed_canaries.contains(&row.id) {
            group.placed_canaries.push(row.id);
        }
    }

    /// Removes a row with all that points to it; `false` when there was none.
    pub(crate) fn remove_alloc(&mut self, id: AllocId) -> bool {
        let Some(old) = self.state.alloc(id).cloned() else { return false };
        self.state.leave_node(&old);
        self.work(&old.job_key()).live.allocs -= u32::from(!old.terminal());
        self.remove_services_of(id);
        self.take(table::Allocs, &id);
        true
    }
}

fn bucket(counts: &mut GroupSummary, status: ClientStatus) -> &mut u64 {
    match status {
        ClientStatus::Pending => &mut counts.starting,
        ClientStatus::Running => &mut counts.running,
        ClientStatus::Complete => &mut counts.complete,
        ClientStatus::Failed => &mut counts.failed,
        ClientStatus::Lost => &mut counts.lost,
        ClientStatus::Unknown => &mut counts.unknown,
    }
}
