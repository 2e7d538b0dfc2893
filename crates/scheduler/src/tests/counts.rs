//! How many there are while some are out of touch, have failed or are to move: none too many, and none of those that run goes instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use insta::assert_snapshot;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::job::{DisconnectStrategy, Job};
use tarpan_model::{Allocation, ClientStatus, Dur, Eligibility, EvalStatus, Evaluation, NodeId, NodeStatus, Trigger};
use tarpan_state::Command;
use tarpan_state::command::UpdateDeployment;
use tarpan_testkit::{jobs, nodes};

use crate::harness::Harness;

/// A service whose allocations may be out of touch for an hour; `delay`: until they are replaced.
fn service(count: i64, canaries: i64, delay: i64) -> Job {
    let mut job = jobs::service("web", count);
    let group = jobs::group_mut(&mut job);
    let lost_after = Some(Dur::from_secs(3600));
    group.disconnect = Some(DisconnectStrategy { lost_after, ..DisconnectStrategy::default() });
    if let Some(policy) = &mut group.reschedule_policy {
        policy.delay = Some(Dur::from_secs(delay));
    }
    if let Some(update) = &mut group.update {
        update.canary = Some(canaries);
    }
    job
}

fn changed(job: &Job) -> Job {
    let mut job = job.clone();
    jobs::resources_mut(&mut job).cpu = Some(150);
    job
}

fn look(cluster: &mut Harness, job: &Job) -> String {
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher)
}

fn settled(cluster: &mut Harness, job: &Job) {
    cluster.run(job);
    cluster.all_running(&job.key());
    look(cluster, job);
}

/// All of `job` on the only node; others come when it is to be left.
fn on_one_node(job: &Job) -> Harness {
    let mut cluster = Harness::new(1);
    settled(&mut cluster, job);
    cluster.add(nodes::ready(1));
    cluster
}

fn ineligible(cluster: &mut Harness, node: NodeId) {
    let mut node = (**cluster.state.node(node).expect("it is there")).clone();
    node.eligibility = Eligibility::Ineligible;
    cluster.add(node);
}

fn promote(cluster: &mut Harness, job: &Job) {
    let id = cluster.state.latest_deployment(&job.key()).expect("a deployment").id;
    let now = cluster.now;
    cluster.apply(Command::UpdateDeployment(Box::new(UpdateDeployment {
        id,
        status: None,
        promote: Some(Vec::new()),
        healthy: Vec::new(),
        unhealthy: Vec::new(),
        revert_to: None,
        eval: None,
        now,
    })));
}

/// The change with its canaries, which run and are promoted.
fn promoted(cluster: &mut Harness, job: &Job) -> Job {
    let next = changed(job);
    cluster.run(&next);
    for canary in of_version(cluster, &next, 1) {
        cluster.report_with(&canary, ClientStatus::Running, Some(true));
    }
    promote(cluster, &next);
    next
}

fn of_version(cluster: &Harness, job: &Job, version: u64) -> Vec<Arc<Allocation>> {
    cluster.live(&job.key()).into_iter().filter(|a| a.job_version == version).collect()
}

/// Those that run, as far as anybody knows.
fn in_touch(cluster: &Harness, job: &Job) -> Vec<Arc<Allocation>> {
    cluster.live(&job.key()).into_iter().filter(|a| a.client_status != ClientStatus::Unknown).collect()
}

fn numbers(allocs: &[Arc<Allocation>]) -> Vec<u32> {
    allocs.iter().filter_map(|a| a.index()).collect()
}

/// Looks until nothing is left, as workers do, one new allocation at a time.
fn one_by_one(cluster: &mut Harness, eval: &Evaluation) -> usize {
    cluster.most = 1;
    let mut looks = 0;
    loop {
        let outcome = cluster.schedule(eval);
        cluster.commit(&outcome);
        looks += 1;
        assert!(looks < 20, "no end of it: {}", cluster.text(&outcome));
        if !outcome.more {
            cluster.most = usize::MAX;
            return looks;
        }
    }
}

fn waiting(cluster: &Harness, by: &Trigger) -> Evaluation {
    let mut waiting = cluster.state.evals().filter(|e| e.status == EvalStatus::Pending && e.triggered_by == *by);
    waiting.next_back().map(|e| (**e).clone()).expect("a follow-up")
}

#[test]
fn what_is_out_of_touch_is_replaced_once_by_several_looks() {
    let job = service(3, 0, 30);
    let mut cluster = on_one_node(&job);
    cluster.status(nodes::id(0), NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    let later = waiting(&cluster, &Trigger::AllocReschedule);
    cluster.now = later.wait_until;
    assert_eq!(one_by_one(&mut cluster, &later), 3);
    let there = in_touch(&cluster, &job);
    assert_eq!(numbers(&there), [0, 1, 2]);
    let replaced: BTreeSet<_> = there.iter().filter_map(|a| a.previous).collect();
    assert_eq!(replaced.len(), 3);
    assert_eq!(look(&mut cluster, &job), "nothing to do");
}

#[test]
fn canaries_out_of_touch_are_replaced_once_by_several_looks() {
    let job = service(2, 2, 30);
    let mut cluster = on_one_node(&job);
    let next = changed(&job);
    ineligible(&mut cluster, nodes::id(0));
    cluster.run(&next);
    cluster.all_running(&job.key());
    cluster.add(nodes::ready(2));
    for canary in of_version(&cluster, &next, 1) {
        cluster.transition(canary.id, DesiredTransition { reschedule: Some(true), ..DesiredTransition::default() });
    }
    cluster.status(nodes::id(1), NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    let later = waiting(&cluster, &Trigger::AllocReschedule);
    cluster.now = later.wait_until;
    one_by_one(&mut cluster, &later);
    let canaries: Vec<_> = in_touch(&cluster, &job).into_iter().filter(|a| a.job_version == 1).collect();
    assert_eq!(numbers(&canaries), [0, 1]);
}

#[test]
fn what_goes_out_of_touch_or_is_lost_waits_for_the_look_that_replaces_it() {
    for status in [NodeStatus::Disconnected, NodeStatus::Down] {
        let job = service(3, 0, 0);
        let mut cluster = on_one_node(&job);
        cluster.status(nodes::id(0), status);
        let eval = cluster.eval(&job.key(), Trigger::NodeUpdate);
        assert_eq!(one_by_one(&mut cluster, &eval), 3, "{status}");
        let there = in_touch(&cluster, &job);
        assert_eq!(numbers(&there), [0, 1, 2], "{status}");
        assert!(there.iter().all(|a| a.previous.is_some()), "{status}");
    }
}

#[test]
fn what_moves_does_so_in_one_look() {
    let job = service(3, 0, 0);
    let mut cluster = on_one_node(&job);
    for alloc in cluster.live(&job.key()) {
        cluster.transition(alloc.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    }
    let eval = cluster.eval(&job.key(), Trigger::NodeDrain);
    assert_eq!(one_by_one(&mut cluster, &eval), 1);
    let there = cluster.live(&job.key());
    assert!(there.len() == 3 && there.iter().all(|a| a.previous.is_some()));
}

#[test]
fn an_update_replaces_nothing_that_another_one_stands_in_for() {
    let job = service(2, 0, 0);
    let mut cluster = Harness::new(2);
    settled(&mut cluster, &job);
    let away = cluster.live(&job.key())[1].clone();
    cluster.add(nodes::ready(2));
    cluster.status(away.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    let next = changed(&job);
    cluster.run(&next);
    for _ in 0..4 {
        for alloc in in_touch(&cluster, &job) {
            cluster.report_with(&alloc, ClientStatus::Running, alloc.deployment_id.map(|_| true));
        }
        look(&mut cluster, &job);
    }
    let there = in_touch(&cluster, &job);
    assert_eq!(numbers(&there), [0, 1]);
    assert!(there.iter().all(|a| a.job_version == 1));
    let deployment = cluster.state.latest_deployment(&job.key()).expect("a deployment");
    assert!(!deployment.active());
    // Back in touch it is of a version that nobody wants.
    cluster.status(away.node_id, NodeStatus::Ready);
    cluster.report_with(&away, ClientStatus::Running, None);
    cluster.next_plan(&job.key(), Trigger::Reconnect);
    assert_eq!(numbers(&cluster.live(&job.key())), [0, 1]);
}

#[test]
fn what_failed_beside_one_out_of_touch_that_was_replaced_is_replaced() {
    let job = service(2, 0, 0);
    let mut cluster = Harness::new(2);
    settled(&mut cluster, &job);
    let (fails, away) = (cluster.live(&job.key())[0].clone(), cluster.live(&job.key())[1].clone());
    cluster.add(nodes::ready(2));
    cluster.status(away.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    cluster.report_with(&fails, ClientStatus::Failed, None);
    cluster.next_plan(&job.key(), Trigger::AllocFailure);
    assert_eq!(numbers(&in_touch(&cluster, &job)), [0, 1]);
}

#[test]
fn a_promoted_canary_takes_the_place_of_what_is_out_of_touch() {
    let job = service(1, 1, 30);
    let mut cluster = on_one_node(&job);
    cluster.status(nodes::id(0), NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    promoted(&mut cluster, &job);
    assert_snapshot!(look(&mut cluster, &job), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    deployment successful: Deployment completed successfully
    ");
}

#[test]
fn promoted_canaries_take_the_place_of_all_that_had_their_numbers() {
    let job = service(2, 2, 0);
    let mut cluster = Harness::new(2);
    settled(&mut cluster, &job);
    let away = cluster.live(&job.key())[0].clone();
    cluster.add(nodes::ready(2));
    cluster.status(away.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    promoted(&mut cluster, &job);
    let plan = look(&mut cluster, &job);
    assert!(!plan.contains("place") && plan.matches("stop").count() == 3, "{plan}");
    assert_eq!(numbers(&cluster.live(&job.key())), [0, 1]);
}

/// A promoted canary of number 0, then the new ones of 0 and 1: one more than wanted.
///
/// What was out of touch is no surplus, so the old one of number 0 did not go, but was replaced.
fn one_beside_a_promoted_canary() -> (Harness, Job, Vec<Arc<Allocation>>) {
    let job = service(2, 1, 30);
    let mut cluster = Harness::new(2);
    settled(&mut cluster, &job);
    let away = cluster.live(&job.key())[1].clone();
    cluster.add(nodes::ready(2));
    cluster.status(away.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    let next = promoted(&mut cluster, &job);
    for _ in 0..2 {
        look(&mut cluster, &job);
        for alloc in of_version(&cluster, &next, 1) {
            cluster.report_with(&alloc, ClientStatus::Running, Some(true));
        }
    }
    let there = in_touch(&cluster, &job);
    assert_eq!(numbers(&there), [0, 0, 1]);
    (cluster, job, there)
}

#[test]
fn a_promoted_canary_that_failed_displaces_none_that_runs() {
    let (mut cluster, job, there) = one_beside_a_promoted_canary();
    cluster.report_with(&there[0], ClientStatus::Failed, None);
    let plan = look(&mut cluster, &job);
    assert!(!plan.contains("stop"), "{plan}");
    assert_eq!(numbers(&in_touch(&cluster, &job)), [0, 1]);
}

#[test]
fn one_that_failed_goes_before_one_of_a_doubled_number() {
    let (mut cluster, job, there) = one_beside_a_promoted_canary();
    cluster.report_with(&there[2], ClientStatus::Failed, None);
    let plan = look(&mut cluster, &job);
    assert!(!plan.contains("stop"), "{plan}");
    assert_eq!(numbers(&in_touch(&cluster, &job)), [0, 0]);
}

#[test]
fn one_that_failed_goes_before_one_that_moves() {
    let job = service(1, 1, 300);
    let mut cluster = on_one_node(&job);
    let old = cluster.live(&job.key())[0].clone();
    promoted(&mut cluster, &job);
    cluster.report_with(&old, ClientStatus::Failed, None);
    look(&mut cluster, &job);
    let canary = cluster.live(&job.key())[0].clone();
    cluster.transition(canary.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    let plan = cluster.next_plan(&job.key(), Trigger::NodeDrain);
    assert!(plan.contains("alloc is being migrated") && !plan.contains("not needed"), "{plan}");
    assert_eq!(numbers(&cluster.live(&job.key())), [0]);
}

#[test]
fn what_moves_goes_before_what_stays_of_its_number() {
    let mut job = service(2, 0, 0);
    let mut cluster = on_one_node(&job);
    let moves = cluster.live(&job.key());
    ineligible(&mut cluster, nodes::id(0));
    jobs::group_mut(&mut job).count = Some(3);
    cluster.run(&job);
    cluster.all_running(&job.key());
    look(&mut cluster, &job);
    cluster.status(nodes::id(0), NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    assert_eq!(numbers(&in_touch(&cluster, &job)), [0, 1, 2]);
    for alloc in &moves {
        cluster.transition(alloc.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    }
    cluster.status(nodes::id(0), NodeStatus::Ready);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeDrain), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    web.group[1] stop node-0 (alloc not needed due to job update)
    ");
    assert_eq!(numbers(&in_touch(&cluster, &job)), [0, 1, 2]);
}

#[test]
fn fewer_are_wanted_and_those_of_numbers_beyond_go() {
    let mut job = service(3, 0, 300);
    let mut cluster = Harness::new(1);
    settled(&mut cluster, &job);
    let fails = cluster.live(&job.key())[0].clone();
    cluster.report_with(&fails, ClientStatus::Failed, None);
    cluster.next_plan(&job.key(), Trigger::AllocFailure);
    jobs::group_mut(&mut job).count = Some(2);
    let plan = cluster.run(&job);
    assert!(plan.contains("web.group[2] stop node-0 (alloc not needed due to job update)"), "{plan}");
}
