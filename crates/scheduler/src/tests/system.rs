//! Jobs that run on every node.

use insta::assert_snapshot;
use tarpan_model::job::{DisconnectStrategy, Job};
use tarpan_model::{ClientStatus, Dur, NodeStatus, Trigger};
use tarpan_testkit::{jobs, nodes};

use super::placing::constraint;
use crate::harness::Harness;

#[test]
fn runs_on_every_node_and_on_those_that_join() {
    let mut cluster = Harness::new(2);
    let job = jobs::system("agent");
    assert_snapshot!(cluster.run(&job), @r"
    agent.group[0] place node-0
    agent.group[0] place node-1
    deployment group total 2: Deployment is running
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
    cluster.add(nodes::ready(2));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"agent.group[0] place node-2");
    cluster.status(nodes::id(0), NodeStatus::Down);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"agent.group[0] stop node-0 as lost (alloc is lost since its node is down)");
    cluster.status(nodes::id(0), NodeStatus::Ready);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"agent.group[0] place node-0 after the last");
    assert_snapshot!(cluster.stop_job(&job.key(), false), @r"
    agent.group[0] stop node-0 (alloc not needed due to job update)
    agent.group[0] stop node-1 (alloc not needed due to job update)
    agent.group[0] stop node-2 (alloc not needed due to job update)
    ");
}

#[test]
fn an_update_in_place_is_a_rollout_of_its_own() {
    let mut cluster = Harness::new(2);
    let mut job = jobs::system("agent");
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    let tasks = jobs::group_mut(&mut job).tasks.as_mut().expect("tasks");
    tasks[0].kill_timeout = Some(Dur::from_secs(7));
    assert_snapshot!(cluster.run(&job), @r"
    agent.group[0] update in place node-0
    agent.group[0] update in place node-1
    deployment group total 2: Deployment is running
    ");
    let deployment = cluster.state.latest_deployment(&job.key()).expect("a deployment").id;
    for alloc in cluster.live(&job.key()) {
        assert_eq!((alloc.deployment_id, alloc.deployment_status), (Some(deployment), None));
    }
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
}

#[test]
fn a_change_rolls_out_node_by_node() {
    let mut cluster = Harness::new(3);
    let mut job = jobs::system("agent");
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    jobs::resources_mut(&mut job).cpu = Some(150);
    assert_snapshot!(cluster.run(&job), @r"
    agent.group[0] place node-0 after the last
    agent.group[0] stop node-0 (alloc is being updated due to job update)
    deployment group total 3: Deployment is running
    ");
    let mut rounds = Vec::new();
    for _ in 0..4 {
        cluster.all_running(&job.key());
        rounds.push(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher));
    }
    assert_snapshot!(rounds.join("\n-\n"), @r"
    agent.group[0] place node-1 after the last
    agent.group[0] stop node-1 (alloc is being updated due to job update)
    -
    agent.group[0] place node-2 after the last
    agent.group[0] stop node-2 (alloc is being updated due to job update)
    -
    deployment successful: Deployment completed successfully
    -
    nothing to do
    ");
}

#[test]
fn a_rollout_goes_on_for_what_is_held_back_although_enough_are_well() {
    let mut cluster = Harness::new(3);
    let mut job = jobs::system("agent");
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    jobs::resources_mut(&mut job).cpu = Some(150);
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    cluster.all_running(&job.key());
    cluster.add(nodes::ready(3));
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    for _ in 0..3 {
        cluster.all_running(&job.key());
        cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    }
    let version = cluster.state.job(&job.key()).map(|j| j.version());
    assert!(cluster.live(&job.key()).iter().all(|a| Some(a.job_version) == version));
}

/// Three nodes, some of which are out of touch while the others get a new version.
fn returns_to_a_new_version(away: u32, change: impl Fn(&mut Job)) -> (Harness, Job) {
    let mut cluster = Harness::new(3);
    let mut job = jobs::system("agent");
    jobs::group_mut(&mut job).disconnect =
        Some(DisconnectStrategy { lost_after: Some(Dur::from_secs(3600)), ..DisconnectStrategy::default() });
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    (0..away).for_each(|n| cluster.status(nodes::id(n), NodeStatus::Disconnected));
    cluster.next_plan(&job.key(), Trigger::NodeUpdate);
    change(&mut job);
    cluster.run(&job);
    for _ in away..3 {
        for alloc in cluster.live(&job.key()).iter().filter(|a| a.client_status != ClientStatus::Unknown) {
            cluster.report_with(alloc, ClientStatus::Running, Some(true));
        }
        cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    }
    assert!(!cluster.state.latest_deployment(&job.key()).expect("a rollout").active());
    (0..away).for_each(|n| cluster.status(nodes::id(n), NodeStatus::Ready));
    for alloc in cluster.live(&job.key()).iter().filter(|a| a.client_status == ClientStatus::Unknown) {
        cluster.report_with(alloc, ClientStatus::Running, None);
    }
    (cluster, job)
}

#[test]
fn what_comes_back_after_the_rollout_is_replaced_one_by_one() {
    let (mut cluster, job) = returns_to_a_new_version(2, |job| jobs::resources_mut(job).cpu = Some(150));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::Reconnect), @r"
    agent.group[0] place node-0 after the last
    agent.group[0] stop node-0 (alloc is being updated due to job update)
    later rolling-update in 30s
    ");
    let later =
        cluster.state.evals().find(|e| e.triggered_by == Trigger::RollingUpdate).cloned().expect("another look");
    assert_eq!(later.wait_until, cluster.now + Dur::from_secs(30));
    assert_snapshot!(cluster.commit_eval(&later), @r"
    agent.group[0] place node-1 after the last
    agent.group[0] stop node-1 (alloc is being updated due to job update)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn what_comes_back_with_an_older_version_is_replaced_at_once() {
    let (mut cluster, job) = returns_to_a_new_version(1, |job| jobs::resources_mut(job).cpu = Some(150));
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::Reconnect), @r"
    agent.group[0] place node-0 after the last
    agent.group[0] stop node-0 (alloc is being updated due to job update)
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn what_comes_back_with_an_older_version_is_updated_in_place() {
    let (mut cluster, job) = returns_to_a_new_version(1, |job| {
        jobs::group_mut(job).tasks.as_mut().expect("tasks")[0].kill_timeout = Some(Dur::from_secs(7));
    });
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::Reconnect), @"agent.group[0] update in place node-0");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_failed_one_is_started_again_a_finished_sysbatch_is_not() {
    let mut cluster = Harness::new(1);
    let job = jobs::system("agent");
    cluster.run(&job);
    let alloc = cluster.live(&job.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Failed, None);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"agent.group[0] place node-0 after the last");
    let once = jobs::job("once", "sysbatch", 1);
    assert_snapshot!(cluster.run(&once), @"once.group[0] place node-0");
    let alloc = cluster.live(&once.key())[0].clone();
    cluster.report_with(&alloc, ClientStatus::Complete, None);
    assert_snapshot!(cluster.next_plan(&once.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn waits_for_room_on_each_node() {
    let mut cluster = Harness::new(1);
    cluster.add(nodes::sized(1, 4_000, 32));
    let job = jobs::system("agent");
    assert_snapshot!(cluster.run(&job), @r"
    agent.group[0] place node-0
    deployment group total 2: Deployment is running
    failed group 1: 1 of 2 clients has too little memory: 64 MB asked, 32 MB free of 32 MB in all
    blocked created to place remaining allocations
    ");
    let blocked =
        cluster.state.evals().find(|e| e.status == tarpan_model::EvalStatus::Blocked).cloned().expect("a blocked one");
    assert_eq!(blocked.node_id, Some(nodes::id(1)));
    cluster.add(nodes::ready(1));
    assert_snapshot!(cluster.commit_eval(&blocked), @"agent.group[0] place node-1");
}

#[test]
fn who_waits_for_one_node_has_room_on_another_waited_for() {
    let mut cluster = Harness::new(1);
    cluster.add(nodes::sized(1, 4_000, 32));
    cluster.run(&jobs::system("agent"));
    let waiting = |cluster: &Harness| -> Vec<_> {
        let blocked = cluster.state.evals().filter(|e| e.status == tarpan_model::EvalStatus::Blocked);
        blocked.map(|e| (**e).clone()).collect()
    };
    let first = waiting(&cluster).remove(0);
    cluster.add(nodes::sized(2, 4_000, 32));
    for _ in 0..2 {
        cluster.commit_eval(&first);
        let mut nodes_waited_for: Vec<_> = waiting(&cluster).iter().map(|e| e.node_id).collect();
        nodes_waited_for.sort();
        assert_eq!(nodes_waited_for, [Some(nodes::id(1)), Some(nodes::id(2))]);
    }
    cluster.add(nodes::ready(1));
    cluster.add(nodes::sized(3, 4_000, 32));
    cluster.commit_eval(&first);
    let mut nodes_waited_for: Vec<_> = waiting(&cluster).iter().map(|e| e.node_id).collect();
    nodes_waited_for.sort();
    assert_eq!(nodes_waited_for, [Some(nodes::id(2)), Some(nodes::id(3))]);
}

#[test]
fn leaves_nodes_alone_that_do_not_fit() {
    let mut cluster = Harness::new(2);
    let mut other = nodes::ready(2);
    other.attributes.insert("kernel.name".into(), "plan9".into());
    cluster.add(other);
    let mut job = jobs::system("agent");
    job.constraints = Some(vec![constraint("${attr.kernel.name}", "=", "plan9")]);
    assert_snapshot!(cluster.run(&job), @r"
    agent.group[0] place node-2
    deployment group total 1: Deployment is running
    ");
    job.id = Some("nowhere".to_owned());
    job.constraints = Some(vec![constraint("${attr.kernel.name}", "=", "hurd")]);
    assert_snapshot!(cluster.run(&job), @r"
    deployment group total 0: Deployment completed successfully
    failed group 1: all 3 clients do not meet the constraint ${attr.kernel.name} = hurd
    ");
}
