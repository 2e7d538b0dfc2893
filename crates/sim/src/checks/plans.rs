//! Promises about plans: each stop has its reason, updates keep to `max_parallel`, and who looks again finds nothing to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::ids::NamespacedId;
use tarpan_model::plan::AllocStop;
use tarpan_model::{
    AllocId, Allocation, ClientStatus, EvalId, EvalStatus, Evaluation, Job, JobType, NodeStatus, Plan, Trigger,
};
use tarpan_scheduler::reconcile::text;
use tarpan_scheduler::{Cache, Inputs};
use tarpan_state::{Command, State};
use uuid::Uuid;

use crate::server::{Entry, Payload};
use crate::world::World;

impl World {
    pub(super) fn check_plans(&mut self, s: usize, index: u64, entry: &Entry, before: &State) {
        let Payload::Commands { envelopes, .. } = &entry.payload else { return };
        for command in envelopes.iter().map(|envelope| &envelope.command) {
            match command {
                Command::ApplyPlan(apply) => {
                    self.checks.counts.plans += 1;
                    // What else shares the entry and concerns the job is news to whoever planned.
                    if !envelopes.iter().any(|other| touches(before, &other.command, &apply.plan.job)) {
                        self.checks.planned.entry(apply.plan.eval_id).or_default().push(index);
                    }
                    let after = &self.checks.truth;
                    let found = reasons(before, after, &apply.plan).and_then(|()| parallel(before, after, &apply.plan));
                    if let Err((promise, what)) = found {
                        self.checks.fail(s, promise, &what);
                    }
                }
                Command::UpsertEvals { evals, .. } => {
                    for eval in evals.iter().filter(|e| e.status == EvalStatus::Complete) {
                        self.check_again(s, eval);
                    }
                }
                _ => {}
            }
        }
    }

    /// An evaluation ended, and nothing of its job changed but by its plan: another look finds nothing to do.
    fn check_again(&mut self, s: usize, eval: &Evaluation) {
        let state = &self.checks.truth;
        let key = eval.job_key();
        let own = self.checks.planned.get(&eval.id).map(Vec::as_slice).unwrap_or_default();
        let quiet = |index: u64| index <= eval.snapshot_index || own.contains(&index);
        let open = state.evals_by_job(&key).any(|e| !e.terminal());
        let moved = state.allocs_by_job(&key).any(|a| !quiet(a.modify_index))
            || state.deployments_by_job(&key).any(|d| !quiet(d.modify_index))
            || state.nodes().any(|n| n.modify_index > eval.snapshot_index)
            || state.job(&key).is_none_or(|j| j.job_modify_index.unwrap_or(0) > eval.snapshot_index);
        // As in the field, what is stopped of a system job on a node that may have it comes again with the next look alone.
        let migrates = |a: &Allocation| a.transition.should_migrate() && own.contains(&a.modify_index);
        let comes_again = eval.type_ == JobType::System || eval.type_ == JobType::SysBatch;
        let comes_again = comes_again && state.allocs_by_job(&key).any(|a| migrates(a));
        // The end of a rollout gives back what failed during it: its watcher has it looked at then.
        let ends = state.deployments_by_job(&key).any(|d| !d.active() && own.contains(&d.modify_index));
        if open || moved || ends || comes_again || eval.snapshot_index == 0 {
            return;
        }
        self.checks.counts.plans_again += 1;
        let (state, now) = (state.clone(), eval.modify_time);
        let mut plan = look_again(&state, &key, now);
        // What failed is replaced even where enough others run, as the field does, and what is too much goes with the next look.
        if plan.stops.values().flatten().any(|stop| *stop.description == *text::NOT_NEEDED) {
            return;
        }
        // What a canary's rollout places of the version before may become one of the new version where it is.
        for placements in plan.placements.values_mut() {
            placements.retain(|a| state.alloc(a.id).is_none_or(|known| !own.contains(&known.create_index)));
        }
        plan.placements.retain(|_, placements| !placements.is_empty());
        // A rollout whose last piece this plan was is over with the next look: what waits for it brings that.
        if !own.is_empty() {
            plan.deployment_updates.clear();
        }
        if !plan.is_noop() {
            let text = format!("{key} after {}: {}", eval.id.short(), crate::says::plan(&state, &plan));
            self.checks.fail(s, "a plan after its plan was applied is empty", &text);
        }
    }

    /// What a look at each job would still change.
    pub fn unplanned(&self) -> Vec<String> {
        let state = self.checks.truth();
        let leader = self.servers.iter().find(|server| server.leads());
        let now = leader.map_or(tarpan_model::UnixNanos::ZERO, |server| server.clock.now(self.now));
        let given_up = |key: &NamespacedId, version| self.checks.given_up.contains(&(key.clone(), version));
        let jobs = state.jobs().filter(|(_, job)| !job.is_periodic() && !job.is_parameterized());
        let jobs = jobs.filter(|(key, job)| !given_up(key, job.version()));
        // As in the field, what fails for good of a system job comes again with the next look, and that is not brought by its failure.
        let everywhere = |job: &Job| matches!(job.job_type(), JobType::System | JobType::SysBatch);
        let jobs = jobs.filter(|(_, job)| !everywhere(job));
        let plans = jobs.map(|(key, _)| (key, look_again(state, key, now)));
        plans
            .filter(|(_, plan)| !plan.is_noop())
            .map(|(key, p)| format!("{key}: {}", crate::says::plan(state, &p)))
            .collect()
    }
}

/// Does it change allocations or rollouts of the job otherwise than by a plan for it?
fn touches(state: &State, command: &Command, job: &NamespacedId) -> bool {
    let of_job = |id: AllocId| state.alloc(id).is_some_and(|a| a.job_key() == *job);
    match command {
        Command::Guarded { command, .. } => touches(state, command, job),
        Command::UpdateAllocs { updates, .. } => updates.iter().any(|update| of_job(update.id)),
        Command::SetTransitions { allocs, .. } => allocs.keys().any(|id| of_job(*id)),
        Command::UpdateDeployment(change) => state.deployment(change.id).is_some_and(|d| d.job_key() == *job),
        Command::ApplyPlan(apply) => apply.plan.preemptions.values().flatten().any(|preempted| of_job(preempted.id)),
        _ => false,
    }
}

fn look_again(state: &State, key: &NamespacedId, now: tarpan_model::UnixNanos) -> Plan {
    let mut next = 0;
    let mut ids = || {
        next += 1;
        Uuid::from_u128(0xA6A1 << 64 | next)
    };
    let eval = match state.job(key) {
        Some(job) => Evaluation::for_job(EvalId(Uuid::max()), job, Trigger::JobRegister, now),
        None => Evaluation::new(EvalId(Uuid::max()), key, JobType::Service, 50, Trigger::JobDeregister, now),
    };
    let mut cache = Cache::default();
    let inputs = Inputs { state, now, seed: 1, ids: &mut ids, most: usize::MAX, cache: &mut cache };
    tarpan_scheduler::schedule(inputs, &eval).plan
}

type Found = Result<(), (&'static str, String)>;

/// A stop says why, and state bears it out.
fn reasons(before: &State, after: &State, plan: &Plan) -> Found {
    for stop in plan.stops.values().flatten() {
        let Some(alloc) = before.alloc(stop.id).filter(|a| !a.terminal()) else { continue };
        if !has_reason(before, after, plan, alloc, stop) {
            let text = format!("{} {} is stopped: {:?}", alloc.name, alloc.id.short(), stop.description);
            return Err(("a stop has its reason in state", text));
        }
    }
    Ok(())
}

fn has_reason(before: &State, after: &State, plan: &Plan, alloc: &Allocation, stop: &AllocStop) -> bool {
    let job = before.job(&alloc.job_key()).filter(|job| !job.stopped());
    let Some(job) = job else { return true };
    let node = before.node(alloc.node_id);
    let updated = alloc.job_version != job.version() || Some(alloc.job_create_index) != job.create_index;
    match &*stop.description {
        text::UPDATING => updated,
        text::MIGRATING => alloc.transition.should_migrate(),
        text::LOST => {
            node.is_none_or(|node| {
                // Marked so when this was planned; it may have come back meanwhile.
                node.status != NodeStatus::Ready || node.modify_index > plan.snapshot_index
            }) || alloc.client_status == ClientStatus::Unknown
        }
        text::NOT_NEEDED => updated || enough_without(after, job.group(&alloc.task_group), alloc),
        _ => true,
    }
}

/// Its group has all it should have without it.
fn enough_without(after: &State, group: Option<&tarpan_model::TaskGroup>, alloc: &Allocation) -> bool {
    let Some(group) = group else { return true };
    let count = group.count();
    let key = alloc.job_key();
    let others = after.allocs_by_job(&key).filter(|a| a.task_group == alloc.task_group && !a.terminal());
    alloc.index().is_some_and(|index| u64::from(index) >= count)
        || alloc.deployment_status.is_some_and(|s| s.canary)
        || alloc.client_states.last().is_some_and(|(status, _)| *status == ClientStatus::Unknown)
        || others.count() as u64 >= count
        || matches!(alloc.job.job_type(), JobType::System | JobType::SysBatch | JobType::Batch)
}

/// A plan replaces no more for an update than its group allows beside those whose health is not known yet; none while canaries are on
/// trial.
fn parallel(before: &State, after: &State, plan: &Plan) -> Found {
    let mut updating: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
    for stop in plan.stops.values().flatten().filter(|stop| *stop.description == *text::UPDATING) {
        let Some(alloc) = before.alloc(stop.id).filter(|a| !a.terminal()) else { continue };
        *updating.entry(&alloc.task_group).or_default() += 1;
    }
    // A plan for the version before may be committed after the next one is written: its own version counts.
    let version = plan.placements.values().flatten().map(|a| a.job_version).max();
    let job = version.and_then(|version| after.job_version(&plan.job, version)).or_else(|| after.job(&plan.job));
    let Some(job) = job else { return Ok(()) };
    let stopped = |id: AllocId| plan.stops.values().flatten().any(|stop| stop.id == id);
    for (name, replaced) in updating {
        let Some(update) = job.group(name).and_then(|g| g.update.as_ref()) else { continue };
        let most = update.max_parallel.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let deployment = after.latest_deployment(&plan.job).filter(|d| d.active() && d.job_version == job.version());
        let trial = deployment.and_then(|d| d.groups.get(name)).is_some_and(|g| g.desired_canaries > 0 && !g.promoted);
        if trial {
            return Err(("nothing is replaced while canaries are on trial", format!("{}: {replaced}", plan.job)));
        }
        let waits = |a: &&Arc<Allocation>| {
            !a.terminal()
                && !stopped(a.id)
                && a.task_group == *name
                && deployment.is_some_and(|d| a.deployment_id == Some(d.id))
                && a.deployment_status.is_none_or(|s| s.healthy.is_none())
                && a.client_status != ClientStatus::Unknown
                && !a.transition.should_migrate()
                && before.node(a.node_id).is_some_and(|n| n.status == NodeStatus::Ready)
        };
        let open = before.allocs_by_job(&plan.job).filter(waits).count() as u64;
        if most > 0 && replaced + open > most {
            let text = format!("{} replaces {replaced} beside {open} of {most}", plan.job);
            return Err(("max_parallel is kept", text));
        }
    }
    Ok(())
}
