//! What happens when nodes and tasks fail.

use insta::assert_snapshot;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::job::{DisconnectStrategy, Job};
use tarpan_model::{ClientStatus, Dur, EvalStatus, Evaluation, NodeStatus, Trigger};
use tarpan_state::Command;
use tarpan_testkit::{jobs, nodes};

use crate::harness::Harness;

/// A service that runs, its deployment over.
fn settled(cluster: &mut Harness, job: &Job) {
    cluster.run(job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
}

fn followup(cluster: &Harness) -> Evaluation {
    let mut waiting = cluster.state.evals().filter(|e| !e.wait_until.is_zero() && e.status == EvalStatus::Pending);
    waiting.next_back().map(|e| (**e).clone()).expect("a follow-up")
}

#[test]
fn a_lost_node_is_replaced() {
    let mut cluster = Harness::new(2);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.status(alloc.node_id, NodeStatus::Down);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @r"
    web.group[0] place node-0 after the last
    web.group[0] stop node-1 as lost (alloc is lost since its node is down)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_stopped_allocation_on_a_lost_node_is_lost() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    cluster.stop_job(&job.key(), false);
    cluster.status(nodes::id(0), NodeStatus::Down);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"web.group[0] stop node-0 as lost (alloc is lost since its node is down)");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_drained_allocation_moves() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.add(nodes::ready(5));
    let mut node = (**cluster.state.node(nodes::id(0)).expect("it is there")).clone();
    node.eligibility = tarpan_model::Eligibility::Ineligible;
    cluster.add(node);
    cluster.transition(alloc.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeDrain), @r"
    web.group[0] place node-5 after the last
    web.group[0] stop node-0 (alloc is being migrated)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeDrain), @"nothing to do");
}

#[test]
fn a_failed_batch_allocation_is_tried_again_once() {
    let mut cluster = Harness::new(1);
    let job = jobs::batch("sum", 1);
    cluster.run(&job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @r"
    sum.group[0] annotate node-0
    later alloc-reschedule in 5s
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @"nothing to do");
    cluster.wait(5);
    let later = followup(&cluster);
    assert_snapshot!(cluster.commit_eval(&later), @r"
    sum.group[0] place node-0 after the last
    sum.group[0] stop node-0 (alloc was rescheduled because it failed)
    ");
    let second = cluster.live(&job.key())[0].clone();
    assert_eq!(second.reschedule.as_ref().map(|r| r.events.len()), Some(1));
    assert_eq!(second.previous, Some(alloc.id));
    cluster.wait(1);
    cluster.report_with(&second, ClientStatus::Failed, None);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @"nothing to do");
}

#[test]
fn a_failed_service_waits_longer_each_time() {
    let mut cluster = Harness::new(2);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let alloc = cluster.live(&job.key())[0].clone();
        cluster.report_with(&alloc, ClientStatus::Failed, None);
        waits.push(cluster.next_plan(&job.key(), Trigger::AllocFailure));
        let later = followup(&cluster);
        cluster.now = later.wait_until;
        cluster.commit_eval(&later);
    }
    assert_snapshot!(waits.join("\n"), @r"
    web.group[0] annotate node-1
    later alloc-reschedule in 30s
    web.group[0] annotate node-0
    later alloc-reschedule in 1m0s
    web.group[0] annotate node-0
    later alloc-reschedule in 2m0s
    ");
}

#[test]
fn a_failed_allocation_avoids_its_node() {
    let mut cluster = Harness::new(4);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.wait(60);
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    cluster.wait(60);
    cluster.next_plan(&job.key(), Trigger::AllocFailure);
    assert_ne!(cluster.live(&job.key())[0].node_id, alloc.node_id);
}

#[test]
fn without_room_a_failed_allocation_waits_and_is_not_stopped() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    cluster.wait(60);
    let mut node = (**cluster.state.node(nodes::id(0)).expect("it is there")).clone();
    node.resources.memory_mb = 10;
    cluster.add(node);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @r"
    web.group[0] annotate node-0
    failed group 1: the only client has too little memory: 64 MB asked, 10 MB free of 10 MB in all
    blocked created to place remaining allocations
    ");
    cluster.add(nodes::ready(0));
    let blocked = cluster.state.evals().find(|e| e.status == EvalStatus::Blocked).cloned().expect("a blocked one");
    assert_snapshot!(cluster.commit_eval(&blocked), @r"
    web.group[0] place node-0 after the last
    web.group[0] stop node-0 (alloc was rescheduled because it failed)
    ");
}

#[test]
fn a_drained_batch_allocation_runs_again_in_a_newer_version_alone() {
    let mut cluster = Harness::new(1);
    let mut job = jobs::batch("sum", 2);
    cluster.run(&job);
    cluster.all_running(&job.key());
    let transition = DesiredTransition {
        migrate: Some(true),
        migrate_disable_placement: Some(true),
        ..DesiredTransition::default()
    };
    let live = cluster.live(&job.key());
    cluster.transition(live[0].id, transition);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeDrain), @"sum.group[0] stop node-0 (alloc is being migrated)");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeDrain), @"nothing to do");
    cluster.transition(live[1].id, transition);
    jobs::resources_mut(&mut job).cpu = Some(150);
    assert_snapshot!(cluster.run(&job), @r"
    sum.group[0] place node-0
    sum.group[1] place node-0 after the last
    sum.group[1] stop node-0 (alloc is being migrated)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn what_found_no_room_is_placed_by_a_leader_whose_clock_is_behind() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    cluster.next_plan(&job.key(), Trigger::AllocFailure);
    let mut node = (**cluster.state.node(nodes::id(0)).expect("it is there")).clone();
    node.resources.memory_mb = 10;
    cluster.add(node);
    let later = followup(&cluster);
    cluster.now = later.wait_until;
    cluster.commit_eval(&later);
    cluster.wait(-300);
    cluster.add(nodes::ready(0));
    let blocked = cluster.state.evals().find(|e| e.status == EvalStatus::Blocked).cloned().expect("a blocked one");
    assert_snapshot!(cluster.commit_eval(&blocked), @r"
    web.group[0] place node-0 after the last
    web.group[0] stop node-0 (alloc was rescheduled because it failed)
    ");
}

#[test]
fn a_follow_up_that_is_over_is_not_waited_for() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 1);
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    cluster.next_plan(&job.key(), Trigger::AllocFailure);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @"nothing to do");
    let canceled = Evaluation { status: EvalStatus::Canceled, ..followup(&cluster) };
    cluster.apply(Command::UpsertEvals { evals: vec![canceled], now: cluster.now });
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocFailure), @r"
    web.group[0] annotate node-0
    later alloc-reschedule in 30s
    ");
}

#[test]
fn an_operator_stops_a_batch_allocation_and_it_runs_again() {
    let mut cluster = Harness::new(1);
    let job = jobs::batch("sum", 1);
    cluster.run(&job);
    cluster.all_running(&job.key());
    let alloc = cluster.live(&job.key())[0].clone();
    let transition = DesiredTransition { migrate: Some(true), reschedule: Some(true), ..DesiredTransition::default() };
    cluster.transition(alloc.id, transition);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocStop), @r"
    sum.group[0] place node-0 after the last
    sum.group[0] stop node-0 (alloc was rescheduled because it failed)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::AllocStop), @"nothing to do");
}

fn disconnecting() -> Job {
    let mut job = jobs::service("web", 1);
    let group = jobs::group_mut(&mut job);
    group.disconnect =
        Some(DisconnectStrategy { lost_after: Some(Dur::from_secs(3600)), ..DisconnectStrategy::default() });
    if let Some(policy) = &mut group.reschedule_policy {
        policy.delay = Some(Dur(0));
    }
    job
}

#[test]
fn a_node_goes_out_of_touch_and_comes_back() {
    let mut cluster = Harness::new(2);
    let job = disconnecting();
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.status(alloc.node_id, NodeStatus::Disconnected);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @r"
    web.group[0] place node-0 after the last
    web.group[0] unknown node-1
    later max-disconnect-timeout in 1h0m0s
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
    cluster.wait(60);
    cluster.all_running(&job.key());
    cluster.status(alloc.node_id, NodeStatus::Ready);
    let plan = cluster.next_plan(&job.key(), Trigger::Reconnect);
    assert_eq!(cluster.live(&job.key()).len(), 1, "{plan}");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_node_stays_out_of_touch_for_too_long() {
    let mut cluster = Harness::new(2);
    let job = disconnecting();
    settled(&mut cluster, &job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.status(alloc.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    cluster.wait(3601);
    let later = followup(&cluster);
    assert_snapshot!(cluster.commit_eval(&later), @"web.group[0] stop node-1 as lost (alloc is lost since its node is down)");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn what_ended_under_a_purged_job_is_not_counted_for_its_name() {
    let mut cluster = Harness::new(1);
    let job = jobs::batch("sum", 1);
    for _ in 0..3 {
        cluster.run(&job);
        let alloc = cluster.live(&job.key())[0].clone();
        cluster.report_with(&alloc, ClientStatus::Complete, None);
        cluster.stop_job(&job.key(), true);
    }
    cluster.run(&job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Complete, None);
    let eval = Evaluation { annotate_plan: true, ..cluster.eval(&job.key(), Trigger::JobRegister) };
    let outcome = cluster.schedule(&eval);
    let counts = outcome.plan.annotations.expect("asked for").groups["group"];
    assert_eq!((counts.ignore, counts.place), (1, 0));
}
