//! Rollouts played through state: reports come in, time passes, commands come out.

use std::sync::Arc;

use tarpan_model::ids::{CountingIds, EvalId, NamespacedId};
use tarpan_model::plan::PlanResult;
use tarpan_model::{
    Allocation, ClientStatus, Deployment, DeploymentStatus, EvalStatus, Evaluation, Job, Plan, Trigger,
};
use tarpan_state::command::{ApplyPlan, RegisterJob};
use tarpan_state::{CommandId, Envelope, Reply};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};

use super::*;

struct World {
    state: State,
    watcher: Deployments,
    ids: CountingIds,
}

impl World {
    /// A job with a running deployment of `count` instances, all placed on one node.
    fn rollout(count: i64, change: impl Fn(&mut Job)) -> World {
        let mut world = World { state: State::default(), watcher: Deployments::default(), ids: CountingIds::default() };
        world.apply(Command::UpsertNode { node: Box::new(nodes::ready(1)), now: at(0), evals: Vec::new() }, at(0));
        let mut job = jobs::service("web", count);
        change(&mut job);
        world.register(job);
        world.deploy(count as u32);
        world
    }

    fn apply(&mut self, command: Command, now: UnixNanos) -> Reply {
        let id = CommandId(self.ids.next_uuid().as_u128());
        let reply = self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0);
        let events = self.state.take_events();
        self.watcher.observe(&events, now);
        reply
    }

    fn register(&mut self, job: Job) {
        let eval = Some(evals::register(&job, &mut self.ids));
        let command = RegisterJob::of(job, eval, at(0));
        self.apply(Command::RegisterJob(Box::new(command)), at(0));
    }

    /// What the scheduler does for a new version: a deployment and its first allocations; its evaluation is done.
    fn deploy(&mut self, placed: u32) {
        let job = self.state.job(&key()).unwrap().clone();
        let update = job.groups()[0].update.clone().unwrap();
        let node = self.state.node(nodes::id(1)).unwrap().clone();
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), key(), 50, self.state.index());
        let id = DeploymentId(self.ids.next_uuid());
        let canaries = update.canary.unwrap_or(0) as u64;
        let mut rows: Vec<Allocation> =
            (0..placed).map(|i| allocs::place(&job, &node, plan.eval_id, i, &mut self.ids)).collect();
        for row in &mut rows {
            row.deployment_id = Some(id);
            let status = tarpan_model::alloc::AllocDeploymentStatus { canary: canaries > 0, ..Default::default() };
            row.deployment_status = (canaries > 0).then_some(status);
        }
        let group = tarpan_model::deployment::DeploymentGroup {
            auto_revert: update.auto_revert == Some(true),
            auto_promote: update.auto_promote == Some(true),
            progress_deadline: update.progress_deadline.unwrap_or_default(),
            desired_canaries: canaries,
            desired_total: job.groups()[0].count(),
            ..Default::default()
        };
        plan.deployment = Some(Deployment {
            id,
            namespace: key().namespace,
            job_id: key().id,
            job_version: job.version(),
            job_modify_index: job.job_modify_index.unwrap(),
            job_spec_modify_index: job.job_modify_index.unwrap(),
            job_create_index: job.create_index.unwrap(),
            // One without canaries beside it.
            groups: [("group".into(), group), ("plain".into(), Default::default())].into(),
            status: DeploymentStatus::Running,
            status_description: "Deployment is running".into(),
            eval_priority: 0,
            create_index: 0,
            modify_index: 0,
            create_time: at(0),
            modify_time: at(0),
        });
        plan.placements.insert(node.id, rows);
        let apply = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(0) };
        self.apply(Command::ApplyPlan(Box::new(apply)), at(0));
        self.finish_evals();
    }

    /// A worker looked at everything there is.
    fn finish_evals(&mut self) {
        let open = self.state.evals().filter(|e| !e.terminal());
        let snapshot_index = self.state.index();
        let done = open.map(|e| Evaluation { status: EvalStatus::Complete, snapshot_index, ..(**e).clone() });
        let evals = done.collect();
        self.apply(Command::UpsertEvals { evals, now: at(0) }, at(0));
    }

    fn report(&mut self, index: usize, status: ClientStatus, healthy: Option<bool>, now: UnixNanos) {
        let alloc = self.newest().nth(index).unwrap().clone();
        let update = tarpan_model::alloc::AllocUpdate { healthy, ..allocs::report(&alloc, status, now) };
        self.apply(Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now }, now);
    }

    fn newest(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.state.allocs_by_deployment(self.deployment().id)
    }

    fn deployment(&self) -> &Deployment {
        self.state.latest_deployment(&key()).unwrap()
    }

    /// Looks at `now` and applies what comes of it; the number of commands.
    fn step(&mut self, now: UnixNanos) -> usize {
        let commands = self.watcher.step(&self.state, now, &mut self.ids);
        let count = commands.len();
        for command in commands {
            let reply = self.apply(command, now);
            assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
        }
        count
    }

    fn said(&self) -> (DeploymentStatus, String) {
        let deployment = self.deployment();
        (deployment.status, deployment.status_description.to_string())
    }
}

fn key() -> NamespacedId {
    NamespacedId::new("default", "web")
}

fn update(job: &mut Job) -> &mut tarpan_model::job::UpdateStrategy {
    jobs::group_mut(job).update.as_mut().unwrap()
}

#[test]
fn a_healthy_allocation_has_the_job_looked_at_once() {
    let mut world = World::rollout(2, |_| {});
    assert_eq!(world.step(at(1)), 0);
    world.report(0, ClientStatus::Running, Some(true), at(10));
    assert_eq!(world.deployment().groups["group"].healthy_allocs, 1);
    assert_eq!(world.step(at(11)), 1);
    let eval = world.state.evals().find(|e| !e.terminal()).unwrap();
    assert_eq!((eval.triggered_by, eval.deployment_id), (Trigger::DeploymentWatcher, Some(world.deployment().id)));
    assert_eq!(world.step(at(20)), 0, "an evaluation of the job is pending already");
    world.finish_evals();
    assert_eq!(world.step(at(30)), 0);
}

#[test]
fn the_progress_deadline_moves_with_each_healthy_allocation() {
    let mut world = World::rollout(2, |_| {});
    assert_eq!(world.deployment().groups["group"].require_progress_by, at(600));
    world.report(0, ClientStatus::Running, Some(true), at(100));
    world.step(at(101));
    world.finish_evals();
    assert_eq!(world.step(at(650)), 0);
    assert_eq!(world.watcher.next_wake(), Some(at(700)));
    assert_eq!(world.step(at(700)), 1);
    assert_eq!(world.said(), (DeploymentStatus::Failed, "Failed due to progress deadline".to_owned()));
    assert_eq!(world.watcher.next_wake(), None);
}

#[test]
fn a_new_leader_gives_nothing_up_before_it_heard_from_agents() {
    let mut world = World::rollout(2, |_| {});
    world.watcher.restore(&world.state.clone(), at(3_000));
    assert_eq!(world.step(at(3_001)), 0);
    assert_eq!(world.watcher.next_wake(), Some(at(3_060)));
    assert_eq!(world.step(at(3_060)), 1);
    assert_eq!(world.said(), (DeploymentStatus::Failed, "Failed due to progress deadline".to_owned()));
}

#[test]
fn an_unhealthy_allocation_is_replaced_if_it_may_be() {
    let mut world = World::rollout(1, |_| {});
    world.report(0, ClientStatus::Failed, Some(false), at(10));
    assert_eq!(world.step(at(11)), 1);
    assert_eq!(world.newest().next().unwrap().transition.reschedule, Some(true));
    assert_eq!(world.said().0, DeploymentStatus::Running);
    world.finish_evals();
    assert_eq!(world.step(at(20)), 0);
}

#[test]
fn without_a_policy_it_fails_the_deployment() {
    let mut world = World::rollout(1, |job| jobs::group_mut(job).reschedule_policy = None);
    world.report(0, ClientStatus::Failed, Some(false), at(10));
    world.step(at(11));
    assert_eq!(world.said(), (DeploymentStatus::Failed, "Failed due to unhealthy allocations".to_owned()));
}

#[test]
fn a_failed_rollout_goes_back_to_the_stable_version() {
    let with_revert = |job: &mut Job| {
        update(job).auto_revert = Some(true);
        update(job).progress_deadline = Some(Dur::ZERO);
    };
    let mut world = World::rollout(1, with_revert);
    world.apply(Command::SetJobStability { job: key(), version: 0, stable: true }, at(1));
    let mut job = jobs::service("web", 1);
    with_revert(&mut job);
    jobs::resources_mut(&mut job).memory_mb = Some(99);
    world.register(job);
    world.deploy(1);
    world.report(0, ClientStatus::Failed, Some(false), at(10));
    world.step(at(11));
    let text = "Failed due to unhealthy allocations - rolling back to job version 0";
    assert_eq!(world.said(), (DeploymentStatus::Failed, text.to_owned()));
    let job = world.state.job(&key()).unwrap();
    assert_eq!((job.version(), job.stable, job.submit_time), (2, Some(false), Some(at(11).0)));
    assert_eq!(job.groups()[0].tasks()[0].resources.as_ref().unwrap().memory_mb, Some(64));
    let eval = world.state.evals().find(|e| !e.terminal()).unwrap();
    assert_eq!(eval.job_modify_index, job.job_modify_index.unwrap());
}

#[test]
fn without_a_stable_version_there_is_no_way_back() {
    let mut world = World::rollout(1, |job| {
        update(job).auto_revert = Some(true);
        update(job).progress_deadline = Some(Dur::ZERO);
    });
    world.report(0, ClientStatus::Failed, Some(false), at(10));
    world.step(at(11));
    let text = "Failed due to unhealthy allocations - no stable job version to auto revert to";
    assert_eq!(world.said().1, text);
}

#[test]
fn canaries_promote_themselves_when_all_are_well() {
    let mut world = World::rollout(2, |job| {
        update(job).canary = Some(2);
        update(job).auto_promote = Some(true);
    });
    world.report(0, ClientStatus::Running, Some(true), at(10));
    world.step(at(11));
    assert!(!world.deployment().groups["group"].promoted);
    world.finish_evals();
    world.report(1, ClientStatus::Running, Some(true), at(12));
    assert_eq!(world.step(at(13)), 1);
    assert!(world.deployment().groups.values().all(|group| group.promoted), "the group without canaries too");
    assert!(world.newest().all(|a| !a.deployment_status.unwrap().canary));
}

#[test]
fn people_promote_pause_and_fail() {
    let mut world = World::rollout(1, |job| update(job).canary = Some(1));
    let id = world.deployment().id;
    let refused = promote(&world.state, id, None, at(1), &mut world.ids).unwrap_err();
    assert_eq!(refused.to_string(), "Task group \"group\" has 0/1 healthy allocations");
    world.report(0, ClientStatus::Running, Some(true), at(10));
    let command = promote(&world.state, id, None, at(11), &mut world.ids).unwrap();
    world.apply(command, at(11));
    assert!(world.deployment().groups["group"].promoted);
    let command = pause(&world.state, id, true, at(12), &mut world.ids).unwrap();
    world.apply(command, at(12));
    assert_eq!(world.said(), (DeploymentStatus::Paused, "Deployment is paused".to_owned()));
    assert_eq!(world.step(at(5_000)), 0, "a paused one has no deadline");
    let command = fail(&world.state, id, at(13), &mut world.ids).unwrap();
    world.apply(command, at(13));
    assert_eq!(world.said(), (DeploymentStatus::Failed, "Deployment marked as failed".to_owned()));
    let refused = fail(&world.state, id, at(14), &mut world.ids).unwrap_err();
    assert_eq!(refused.to_string(), "can't fail terminal deployment");
}

#[test]
fn what_was_well_and_failed_is_replaced_while_the_rollout_goes_on() {
    let mut world = World::rollout(2, |_| {});
    world.report(0, ClientStatus::Running, Some(true), at(5));
    world.step(at(6));
    world.finish_evals();
    world.report(0, ClientStatus::Failed, None, at(7));
    world.step(at(8));
    let failed = world.newest().find(|a| a.client_status == ClientStatus::Failed).expect("one failed");
    assert_eq!(failed.transition.reschedule, Some(true));
}

#[test]
fn what_failed_in_the_last_moment_of_a_rollout_is_looked_at() {
    let mut world = World::rollout(1, |_| {});
    world.report(0, ClientStatus::Running, Some(true), at(5));
    world.step(at(6));
    world.finish_evals();
    world.report(0, ClientStatus::Failed, None, at(7));
    let id = world.deployment().id;
    let update = tarpan_model::deployment::DeploymentUpdate {
        id,
        status: DeploymentStatus::Successful,
        description: "Deployment completed successfully".into(),
    };
    let mut plan = Plan::new(EvalId(world.ids.next_uuid()), key(), 50, world.state.index());
    plan.deployment_updates.push(update);
    let apply = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(7) };
    world.apply(Command::ApplyPlan(Box::new(apply)), at(7));
    world.step(at(8));
    assert!(world.state.evals().any(|e| !e.terminal()), "its job is looked at");
}
