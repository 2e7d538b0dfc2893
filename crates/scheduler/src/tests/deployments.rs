//! Rolling updates and canaries.

use std::sync::Arc;

use insta::assert_snapshot;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::job::{DisconnectStrategy, Job};
use tarpan_model::{Allocation, ClientStatus, Dur, NodeStatus, Trigger};
use tarpan_state::Command;
use tarpan_state::command::UpdateDeployment;
use tarpan_testkit::jobs;

use crate::harness::Harness;

fn settled(cluster: &mut Harness, job: &Job) {
    cluster.run(job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
}

fn changed(job: &Job) -> Job {
    let mut job = job.clone();
    jobs::resources_mut(&mut job).cpu = Some(150);
    job
}

fn with_canaries(canaries: i64) -> Job {
    let mut job = jobs::service("web", 3);
    if let Some(update) = &mut jobs::group_mut(&mut job).update {
        update.canary = Some(canaries);
    }
    job
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

#[test]
fn canaries_come_again_after_all_others_went_with_their_node() {
    let mut cluster = Harness::new(1);
    let job = with_canaries(1);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    cluster.status(tarpan_testkit::nodes::id(0), NodeStatus::Down);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    assert!(cluster.live(&job.key()).is_empty());
    cluster.add(tarpan_testkit::nodes::ready(1));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"web.group[0] place node-1 canary");
}

#[test]
fn what_was_a_canary_of_an_earlier_rollout_is_moved_as_none() {
    let mut cluster = Harness::new(2);
    let job = with_canaries(1);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    cluster.all_running(&job.key());
    let canary = cluster.live(&job.key()).into_iter().find(|a| a.job_version == 1).expect("the canary");
    // The next rollout begins, but the plan that begins it loses the node where the canary is.
    let mut next = changed(&job);
    jobs::resources_mut(&mut next).cpu = Some(200);
    let key = cluster.register(&next);
    let eval = cluster.eval(&key, Trigger::JobRegister);
    let mut outcome = cluster.schedule(&eval);
    outcome.plan.stops.remove(&canary.node_id);
    cluster.commit(&outcome);
    cluster.transition(canary.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    let text = cluster.next_plan(&key, Trigger::NodeDrain);
    assert!(!text.contains("canary"), "{text}");
}

/// A canary on a node that is out of touch.
fn canary_out_of_touch() -> (Harness, Job, Arc<Allocation>) {
    let mut cluster = Harness::new(2);
    let mut job = with_canaries(1);
    jobs::group_mut(&mut job).disconnect =
        Some(DisconnectStrategy { lost_after: Some(Dur::from_secs(3600)), ..DisconnectStrategy::default() });
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    cluster.all_running(&job.key());
    let canary = cluster.live(&job.key()).into_iter().find(|a| a.job_version == 1).expect("the canary");
    cluster.status(canary.node_id, NodeStatus::Disconnected);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    (cluster, job, canary)
}

#[test]
fn a_canary_whose_node_stays_away_comes_again() {
    let (mut cluster, job, _) = canary_out_of_touch();
    cluster.wait(3601);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::MaxDisconnectTimeout), @r"
    web.group[0] place node-1 canary
    web.group[0] stop node-0 as lost (alloc is lost since its node is down)
    web.group[1] place node-1 after the last
    web.group[1] stop node-0 as lost (alloc is lost since its node is down)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_canary_that_failed_while_its_node_was_away_comes_again() {
    let (mut cluster, job, canary) = canary_out_of_touch();
    cluster.status(canary.node_id, NodeStatus::Ready);
    for alloc in cluster.live(&job.key()).into_iter().filter(|a| a.node_id == canary.node_id) {
        let status = if alloc.id == canary.id { ClientStatus::Failed } else { ClientStatus::Running };
        cluster.report_with(&alloc, status, None);
    }
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::Reconnect), @r"
    web.group[0] place node-0 canary
    web.group[0] stop node-0 as failed (alloc was rescheduled because it failed)
    web.group[1] stop node-0 (alloc not needed due to job update)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_change_rolls_out_one_by_one() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 3);
    settled(&mut cluster, &job);
    assert_snapshot!(cluster.run(&changed(&job)), @r"
    web.group[0] place node-0 after the last
    web.group[0] stop node-0 (alloc is being updated due to job update)
    deployment group total 3: Deployment is running
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @r"
    web.group[1] place node-0 after the last
    web.group[1] stop node-0 (alloc is being updated due to job update)
    ");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @r"
    web.group[2] place node-0 after the last
    web.group[2] stop node-0 (alloc is being updated due to job update)
    ");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
}

/// A change that running allocations take up as they are.
fn other_kill_timeout(job: &Job) -> Job {
    let mut job = job.clone();
    let tasks = jobs::group_mut(&mut job).tasks.as_mut().expect("tasks");
    tasks[0].kill_timeout = Some(Dur::from_secs(7));
    job
}

#[test]
fn an_update_in_place_asks_for_health_again_and_is_done_when_all_are_well() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    settled(&mut cluster, &job);
    let first = cluster.state.latest_deployment(&job.key()).expect("a deployment").id;
    assert_snapshot!(cluster.run(&other_kill_timeout(&job)), @r"
    web.group[0] update in place node-0
    web.group[1] update in place node-0
    deployment group total 2: Deployment is running
    ");
    let deployment = cluster.state.latest_deployment(&job.key()).expect("a deployment").clone();
    assert!(deployment.active() && deployment.id != first);
    for alloc in cluster.live(&job.key()) {
        assert_eq!((alloc.deployment_id, alloc.deployment_status), (Some(deployment.id), None));
    }
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
    cluster.all_running(&job.key());
    let group = &cluster.state.deployment(deployment.id).expect("there").groups["group"];
    assert_eq!((group.desired_total, group.healthy_allocs), (2, 2));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
}

#[test]
fn scaling_up_takes_the_running_ones_along() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    settled(&mut cluster, &job);
    let mut more = job.clone();
    jobs::group_mut(&mut more).count = Some(3);
    assert_snapshot!(cluster.run(&more), @r"
    web.group[0] update in place node-0
    web.group[1] update in place node-0
    web.group[2] place node-0
    deployment group total 3: Deployment is running
    ");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
}

#[test]
fn an_unhealthy_allocation_holds_the_rollout() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 3);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    let new = cluster.live(&job.key()).into_iter().find(|a| a.job_version == 1).expect("the new one");
    cluster.report_with(&new, ClientStatus::Running, Some(false));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
}

#[test]
fn a_newer_version_cancels_the_rollout() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    let mut newer = changed(&job);
    jobs::resources_mut(&mut newer).cpu = Some(200);
    assert_snapshot!(cluster.run(&newer), @r"
    web.group[0] place node-0 after the last
    web.group[0] stop node-0 (alloc is being updated due to job update)
    deployment group total 2: Deployment is running
    deployment cancelled: Cancelled due to newer version of job
    ");
    assert_snapshot!(cluster.stop_job(&job.key(), false), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    web.group[1] stop node-0 (alloc not needed due to job update)
    deployment cancelled: Cancelled because job is stopped
    ");
}

#[test]
fn canaries_are_placed_and_promoted() {
    let mut cluster = Harness::new(1);
    let job = with_canaries(1);
    settled(&mut cluster, &job);
    assert_snapshot!(cluster.run(&changed(&job)), @r"
    web.group[0] place node-0 canary
    deployment group total 3 canaries 1: Deployment is running but requires manual promotion
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
    promote(&mut cluster, &job);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    web.group[1] place node-0 after the last
    web.group[1] stop node-0 (alloc is being updated due to job update)
    ");
    let mut rounds = Vec::new();
    for _ in 0..4 {
        cluster.all_running(&job.key());
        rounds.push(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher));
    }
    assert_snapshot!(rounds.join("\n-\n"), @r"
    web.group[2] place node-0 after the last
    web.group[2] stop node-0 (alloc is being updated due to job update)
    -
    deployment successful: Deployment completed successfully
    -
    nothing to do
    -
    nothing to do
    ");
    assert_eq!(cluster.live(&job.key()).len(), 3);
}

#[test]
fn canaries_of_an_abandoned_version_stop() {
    let mut cluster = Harness::new(1);
    let job = with_canaries(1);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    assert_snapshot!(cluster.run(&job), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    web.group[0] update in place node-0
    web.group[1] update in place node-0
    web.group[2] update in place node-0
    deployment group total 3: Deployment is running
    deployment cancelled: Cancelled due to newer version of job
    ");
}

#[test]
fn while_canaries_are_on_trial_what_is_missing_runs_the_old_version() {
    let mut cluster = Harness::new(2);
    let job = with_canaries(1);
    settled(&mut cluster, &job);
    cluster.run(&changed(&job));
    let old =
        cluster.live(&job.key()).into_iter().find(|a| a.job_version == 0 && a.index() == Some(2)).expect("an old one");
    cluster.report_with(&old, ClientStatus::Lost, None);
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    let back = cluster.live(&job.key()).into_iter().find(|a| a.index() == Some(2)).map(|a| a.job_version);
    // Lost by report alone: the missing one waits for the promotion, or comes back as the old version.
    assert!(back.is_none_or(|version| version == 0), "{back:?}");
}
