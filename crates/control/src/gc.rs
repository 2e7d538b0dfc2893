//! Removes what nobody needs any more: old evaluations with their allocations, jobs, deployments, nodes, CSI plugins.
//!
//! Source: `reference/semantics.md` §12.1.

use std::sync::Arc;

use tarpan_model::duration::{HOUR, MINUTE};
use tarpan_model::ids::{AllocId, EvalId, IdSource};
use tarpan_model::{
    Allocation, ClientStatus, DesiredStatus, Dur, Evaluation, Job, JobType, Node, NodeStatus, UnixNanos,
};
use tarpan_state::command::DeregisterJob;
use tarpan_state::{Command, Guard, State};

use crate::{csi, follow_ups, nodes};

/// Ids in one command.
const CHUNK: usize = 7_281;

/// How old things must be.
#[derive(Clone, Debug)]
pub struct GcOptions {
    pub interval: Dur,
    pub eval: Dur,
    pub batch_eval: Dur,
    pub job: Dur,
    pub deployment: Dur,
    pub node: Dur,
    pub csi_plugin: Dur,
}

impl Default for GcOptions {
    fn default() -> Self {
        GcOptions {
            interval: Dur(5 * MINUTE),
            eval: Dur(HOUR),
            batch_eval: Dur(24 * HOUR),
            job: Dur(4 * HOUR),
            deployment: Dur(HOUR),
            node: Dur(24 * HOUR),
            csi_plugin: Dur(HOUR),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gc {
    pub options: GcOptions,
}

/// Rows to be removed together.
#[derive(Default)]
struct Found {
    evals: Vec<EvalId>,
    allocs: Vec<AllocId>,
}

impl Gc {
    /// What may go at `now`; `force`: whatever its age.
    pub fn collect(&self, state: &State, now: UnixNanos, force: bool, ids: &mut dyn IdSource) -> Vec<Command> {
        let before = |age: Dur| if force { now } else { now - age };
        let mut commands = jobs(state, before(self.options.job), now);
        let found = evals(state, before(self.options.eval), before(self.options.batch_eval));
        commands.extend(reaps(found, state.index()));
        commands.extend(deployments(state, before(self.options.deployment)));
        let silent = state.nodes().filter(|n| {
            n.status == NodeStatus::Down
                && n.status_updated_at <= before(self.options.node)
                && state.allocs_by_node(n.id).all(|a| a.terminal())
        });
        // A node that answers again before this is applied stays.
        let guarded = |n: &Arc<Node>, command: Command| command.guarded(vec![Guard::Silent { node: n.id }]);
        let gone = silent.filter_map(|n| Some(guarded(n, nodes::deregister(state, n.id, now, ids).ok()?)));
        commands.extend(gone);
        commands.extend(csi::unused_plugins(state, before(self.options.csi_plugin)));
        commands
    }
}

fn reaps(found: Found, seen: u64) -> impl Iterator<Item = Command> {
    let reap =
        |evals: &[EvalId], allocs: &[AllocId]| Command::Reap { evals: evals.into(), allocs: allocs.into(), seen };
    let allocs: Vec<Command> = found.allocs.chunks(CHUNK).map(|chunk| reap(&[], chunk)).collect();
    let evals: Vec<Command> = found.evals.chunks(CHUNK).map(|chunk| reap(chunk, &[])).collect();
    allocs.into_iter().chain(evals)
}

/// Ended evaluations whose allocations may all go, with them.
///
/// Allocations of a batch job say what was run already: as long as the job lives only those of older versions go.
fn evals(state: &State, before: UnixNanos, batch_before: UnixNanos) -> Found {
    let mut found = Found::default();
    for eval in state.evals() {
        let batch = matches!(eval.type_, JobType::Batch | JobType::SysBatch);
        collect(state, eval, if batch { batch_before } else { before }, batch, &mut found);
    }
    found
}

/// Adds what of one evaluation may go; `false` when something has to stay.
fn collect(state: &State, eval: &Evaluation, before: UnixNanos, keep_batch: bool, found: &mut Found) -> bool {
    if !eval.terminal() || eval.modify_time > before {
        return false;
    }
    let job = state.job(&eval.job_key());
    let only_older = keep_batch && job.is_some_and(|j| !(dead(j) && j.stopped()));
    let may_go = |alloc: &Arc<Allocation>| {
        let older = !only_older || job.is_some_and(|j| alloc.job.job_modify_index < j.job_modify_index);
        older && collectable(alloc, job.map(|j| &**j), before)
    };
    let (go, stay): (Vec<_>, Vec<_>) = state.allocs_by_eval(eval.id).partition(|a| may_go(a));
    if stay.is_empty() && (!only_older || !go.is_empty() || state.allocs_by_eval(eval.id).next().is_none()) {
        found.evals.push(eval.id);
    } else if !only_older {
        return false;
    }
    found.allocs.extend(go.iter().map(|a| a.id));
    stay.is_empty()
}

fn dead(job: &Job) -> bool {
    job.status.as_deref() == Some("dead")
}

/// Nothing will ask for this allocation again.
fn collectable(alloc: &Allocation, job: Option<&Job>, before: UnixNanos) -> bool {
    if !alloc.terminal() || alloc.client_status == ClientStatus::Running || alloc.modify_time > before {
        return false;
    }
    let job_over = job.is_none_or(|j| j.stopped() || dead(j));
    if job_over || alloc.desired_status == DesiredStatus::Stop || alloc.client_status != ClientStatus::Failed {
        return true;
    }
    let Some(policy) = alloc.group().and_then(|g| g.reschedule_policy.as_ref()) else { return true };
    let unlimited = policy.unlimited == Some(true);
    if alloc.next.is_some() || (!unlimited && policy.attempts.unwrap_or(0) == 0) {
        return true;
    }
    !unlimited && !follow_ups::eligible(alloc, alloc.modify_time)
}

/// Dead jobs that nothing will bring back, with all their evaluations and allocations.
fn jobs(state: &State, before: UnixNanos, now: UnixNanos) -> Vec<Command> {
    let mut commands = Vec::new();
    for (key, job) in state.jobs() {
        if !over(job) || job.submit_time.unwrap_or(0) > before.0 || tagged(state, job) {
            continue;
        }
        let mut found = Found::default();
        if !state.evals_by_job(key).all(|eval| collect(state, eval, before, false, &mut found)) {
            continue;
        }
        let evaluated = |a: &Allocation| found.allocs.contains(&a.id);
        if state.allocs_by_job(key).any(|a| !a.terminal() || (!evaluated(a) && state.eval(a.eval_id).is_some())) {
            continue;
        }
        // Registered again before one of these is applied, the job stays with what is left of it.
        let guards = || vec![Guard::job(state, key), Guard::Over { job: key.clone() }];
        commands.extend(reaps(found, state.index()).map(|reap| reap.guarded(guards())));
        let purge = DeregisterJob { job: key.clone(), purge: true, eval: None, no_shutdown_delay: false, now };
        commands.push(Command::DeregisterJob(purge).guarded(guards()));
    }
    commands
}

fn over(job: &Job) -> bool {
    let launches_others = job.is_parameterized() || job.periodic.as_ref().is_some_and(|p| p.enabled != Some(false));
    let batch = matches!(job.job_type(), JobType::Batch | JobType::SysBatch);
    dead(job) && (job.stopped() || (batch && !launches_others))
}

fn tagged(state: &State, job: &Job) -> bool {
    state.job_versions(&job.key()).any(|version| version.version_tag.is_some())
}

fn deployments(state: &State, before: UnixNanos) -> Option<Command> {
    let old = state
        .deployments()
        .filter(|d| !d.active() && d.modify_time <= before && state.allocs_by_deployment(d.id).all(|a| a.terminal()));
    let deployments: Vec<_> = old.map(|d| d.id).collect();
    (!deployments.is_empty()).then_some(Command::ReapDeployments { deployments })
}

#[cfg(test)]
mod tests {
    use tarpan_model::ids::{CountingIds, NamespacedId};
    use tarpan_model::plan::PlanResult;
    use tarpan_model::{EvalStatus, Plan};
    use tarpan_state::command::{ApplyPlan, RegisterJob};
    use tarpan_state::{CommandId, Envelope};
    use tarpan_testkit::{allocs, at, evals, jobs, nodes as fixtures};

    use super::*;

    struct World(State, CountingIds);

    impl World {
        fn apply(&mut self, command: Command) {
            let id = CommandId(self.1.next_uuid().as_u128());
            self.0.apply(self.0.index() + 1, &[Envelope { id, command }]);
        }

        /// A job that ran one allocation to its end at `START`.
        fn ran(job: Job, end: ClientStatus) -> World {
            let mut world = World(State::default(), CountingIds::default());
            world.apply(Command::UpsertNode { node: Box::new(fixtures::ready(1)), now: at(0), evals: Vec::new() });
            let eval = evals::register(&job, &mut world.1);
            let key = job.key();
            world.apply(Command::RegisterJob(Box::new(RegisterJob {
                job,
                eval: Some(eval.clone()),
                submission: None,
                enforce_index: None,
                preserve_counts: false,
                now: at(0),
            })));
            let (job, node) = (world.0.job(&key).unwrap().clone(), world.0.node(fixtures::id(1)).unwrap().clone());
            let mut plan = Plan::new(eval.id, key, 50, world.0.index());
            let alloc = allocs::place(&job, &node, eval.id, 0, &mut world.1);
            plan.placements.insert(node.id, vec![alloc.clone()]);
            let apply = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(0) };
            world.apply(Command::ApplyPlan(Box::new(apply)));
            let updates = vec![allocs::report(&alloc, end, at(0))];
            world.apply(Command::UpdateAllocs { updates, evals: Vec::new(), now: at(0) });
            let done = Evaluation { status: EvalStatus::Complete, modify_time: at(0), ..eval };
            world.apply(Command::UpsertEvals { evals: vec![done], now: at(0) });
            world
        }

        fn collect(&mut self, now: UnixNanos, force: bool) {
            for command in Gc::default().collect(&self.0, now, force, &mut self.1) {
                self.apply(command);
            }
        }

        /// Jobs, evaluations, allocations.
        fn counts(&self) -> (usize, usize, usize) {
            (self.0.jobs().count(), self.0.evals().count(), self.0.allocs().count())
        }
    }

    #[test]
    fn a_finished_batch_job_goes_after_hours_or_when_forced() {
        let mut world = World::ran(jobs::batch("nightly", 1), ClientStatus::Complete);
        world.collect(at(3 * 3600), false);
        assert_eq!(world.counts(), (1, 1, 1));
        world.collect(at(4 * 3600 + 1), false);
        assert_eq!(world.counts(), (0, 0, 0));
        let mut world = World::ran(jobs::batch("nightly", 1), ClientStatus::Complete);
        world.collect(at(1), true);
        assert_eq!(world.counts(), (0, 0, 0));
    }

    #[test]
    fn what_runs_or_may_run_again_stays() {
        for (job, end) in [
            (jobs::service("web", 1), ClientStatus::Running),
            (jobs::service("web", 1), ClientStatus::Failed),
            (jobs::batch("nightly", 1), ClientStatus::Running),
        ] {
            let mut world = World::ran(job, end);
            let job = world.0.jobs().next().map(|(_, job)| job.clone()).unwrap();
            let evals = vec![evals::register(&job, &mut world.1)];
            world.apply(Command::UpsertEvals { evals, now: at(0) });
            world.collect(at(1_000_000), true);
            assert_eq!(world.counts(), (1, 2, 1), "{end}");
        }
    }

    #[test]
    fn a_stopped_service_goes_and_a_down_node_without_allocations() {
        let mut world = World::ran(jobs::service("web", 1), ClientStatus::Complete);
        let key = NamespacedId::new("default", "web");
        world.apply(Command::DeregisterJob(DeregisterJob {
            job: key,
            purge: false,
            eval: None,
            no_shutdown_delay: false,
            now: at(0),
        }));
        world.apply(Command::UpdateNodeStatus {
            node: fixtures::id(1),
            status: NodeStatus::Down,
            event: None,
            now: at(0),
            evals: Vec::new(),
        });
        world.collect(at(5 * 3600), false);
        assert_eq!(world.counts(), (0, 0, 0));
        assert_eq!(world.0.nodes().count(), 1);
        world.collect(at(25 * 3600), false);
        assert_eq!(world.0.nodes().count(), 0);
    }
}
