//! First placements, counts, updates, stops: and where things go.

use insta::assert_snapshot;
use tarpan_model::job::{Affinity, Constraint, Job, Spread, SpreadTarget, VolumeRequest};
use tarpan_model::node::HostVolume;
use tarpan_model::{ClientStatus, Trigger};
use tarpan_state::{Command, SchedulerConfig};
use tarpan_testkit::{jobs, nodes};

use crate::harness::Harness;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { l_target: text(left), operand: text(operand), r_target: text(right) }
}

#[test]
fn first_placement_then_nothing() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    assert_snapshot!(cluster.run(&job), @r"
    web.group[0] place node-0
    web.group[1] place node-0
    deployment group total 2: Deployment is running
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
    cluster.all_running(&job.key());
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"deployment successful: Deployment completed successfully");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::DeploymentWatcher), @"nothing to do");
}

#[test]
fn count_up_and_down() {
    let mut cluster = Harness::new(1);
    let mut job = jobs::batch("sum", 2);
    cluster.run(&job);
    jobs::group_mut(&mut job).count = Some(4);
    assert_snapshot!(cluster.run(&job), @r"
    sum.group[0] update in place node-0
    sum.group[1] update in place node-0
    sum.group[2] place node-0
    sum.group[3] place node-0
    ");
    jobs::group_mut(&mut job).count = Some(1);
    assert_snapshot!(cluster.run(&job), @r"
    sum.group[0] update in place node-0
    sum.group[1] stop node-0 (alloc not needed due to job update)
    sum.group[2] stop node-0 (alloc not needed due to job update)
    sum.group[3] stop node-0 (alloc not needed due to job update)
    ");
    jobs::group_mut(&mut job).count = Some(0);
    assert_snapshot!(cluster.run(&job), @"sum.group[0] stop node-0 (alloc not needed due to job update)");
}

/// Looks until nothing is left, as workers do; gives how many were placed at each look.
fn in_parts(cluster: &mut Harness, job: &Job) -> Vec<u64> {
    let key = cluster.register(job);
    let eval = cluster.eval(&key, Trigger::JobRegister);
    let mut parts = Vec::new();
    loop {
        let outcome = cluster.schedule(&eval);
        parts.push(outcome.plan.placements.values().map(|rows| rows.len() as u64).sum());
        cluster.commit(&outcome);
        if !outcome.more {
            return parts;
        }
    }
}

#[test]
fn a_large_job_is_placed_in_parts() {
    for job in [jobs::batch("sum", 7), jobs::service("web", 7)] {
        let mut cluster = Harness::new(3);
        cluster.most = 3;
        assert_eq!(in_parts(&mut cluster, &job), [3, 3, 1]);
        let names: Vec<_> = cluster.live(&job.key()).iter().map(|a| a.index()).collect();
        assert_eq!(names, (0..7).map(Some).collect::<Vec<_>>());
        if let Some(deployment) = cluster.state.latest_deployment(&job.key()) {
            assert!(cluster.live(&job.key()).iter().all(|a| a.deployment_id == Some(deployment.id)));
        }
        cluster.all_running(&job.key());
        cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
        assert_eq!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), "nothing to do");
    }
}

#[test]
fn a_job_that_is_placed_all_at_once_is_not_divided() {
    let mut cluster = Harness::new(3);
    cluster.most = 3;
    let job = Job { all_at_once: Some(true), ..jobs::batch("sum", 7) };
    assert_eq!(in_parts(&mut cluster, &job), [7]);
}

#[test]
fn what_finds_no_room_is_said_after_the_last_part() {
    let mut cluster = Harness::new(1);
    cluster.most = 3;
    let job = jobs::batch("sum", 10_000);
    let parts = in_parts(&mut cluster, &job);
    assert!(parts.len() > 1 && parts[..parts.len() - 1].iter().all(|n| *n == 3), "{parts:?}");
    let key = job.key();
    let blocked = cluster.state.evals_by_job(&key).filter(|e| e.status == tarpan_model::EvalStatus::Blocked);
    assert_eq!(blocked.count(), 1);
}

#[test]
fn stop_a_job() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    cluster.run(&job);
    assert_snapshot!(cluster.stop_job(&job.key(), false), @r"
    web.group[0] stop node-0 (alloc not needed due to job update)
    web.group[1] stop node-0 (alloc not needed due to job update)
    deployment cancelled: Cancelled because job is stopped
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::JobDeregister), @"nothing to do");
}

#[test]
fn purge_a_job() {
    let mut cluster = Harness::new(1);
    let job = jobs::batch("sum", 1);
    cluster.run(&job);
    assert_snapshot!(cluster.stop_job(&job.key(), true), @"sum.group[0] stop node-0 (alloc not needed due to job update)");
}

#[test]
fn changes_that_need_no_new_allocation_happen_in_place() {
    let mut cluster = Harness::new(1);
    let mut job = jobs::service("web", 2);
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    job.priority = Some(70);
    assert_snapshot!(cluster.run(&job), @r"
    web.group[0] update in place node-0
    web.group[1] update in place node-0
    deployment group total 2: Deployment is running
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn a_constraint_that_its_node_breaks_moves_an_allocation() {
    let mut cluster = Harness::new(2);
    let mut job = jobs::batch("sum", 1);
    cluster.run(&job);
    let here = cluster.live(&job.key())[0].node_name.clone();
    job.constraints = Some(vec![constraint("${node.unique.name}", "!=", &here)]);
    let plan = cluster.run(&job);
    assert!(plan.contains(&format!("stop {here}")) && plan.contains("place"), "{plan}");
}

#[test]
fn a_finished_batch_is_not_run_again() {
    let mut cluster = Harness::new(1);
    let job = jobs::batch("sum", 2);
    cluster.run(&job);
    let done = cluster.live(&job.key())[1].clone();
    cluster.report_with(&done, ClientStatus::Complete, None);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
    assert_snapshot!(cluster.run(&job), @"nothing to do");
}

#[test]
fn a_finished_service_is_run_again() {
    let mut cluster = Harness::new(1);
    let job = jobs::service("web", 2);
    cluster.run(&job);
    cluster.all_running(&job.key());
    cluster.next_plan(&job.key(), Trigger::DeploymentWatcher);
    let done = cluster.live(&job.key())[1].clone();
    cluster.report_with(&done, ClientStatus::Complete, None);
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"web.group[1] place node-0");
}

#[test]
fn datacenters_are_globs() {
    let mut cluster = Harness::new(0);
    for (i, dc) in ["us-east", "us-west", "eu-west"].into_iter().enumerate() {
        let mut node = nodes::ready(i as u32);
        node.datacenter = dc.into();
        cluster.add(node);
    }
    let mut job = jobs::batch("sum", 1);
    job.datacenters = Some(vec!["*-east".to_owned()]);
    assert_snapshot!(cluster.run(&job), @"sum.group[0] place node-0");
    job.id = text("other");
    job.datacenters = Some(vec!["asia*".to_owned()]);
    assert_snapshot!(cluster.run(&job), @r#"
    failed group 1: none of the 3 ready clients of node pool "default" is in a datacenter of the job
    blocked created to place remaining allocations
    "#);
}

#[test]
fn static_ports_do_not_collide() {
    let mut cluster = Harness::new(2);
    let mut job = jobs::batch("web", 3);
    jobs::group_mut(&mut job).networks = Some(vec![jobs::network(&[("http", 5000), ("admin", 0)])]);
    assert_snapshot!(cluster.run(&job), @r"
    web.group[0] place node-1 http=5000 admin=dynamic
    web.group[1] place node-0 http=5000 admin=dynamic
    failed group 1: all 2 clients have port 5000 already in use
    blocked created to place remaining allocations
    ");
}

#[test]
fn distinct_hosts() {
    let mut cluster = Harness::new(2);
    let mut job = jobs::batch("web", 3);
    job.constraints = Some(vec![constraint("", "distinct_hosts", "true")]);
    assert_snapshot!(cluster.run(&job), @r"
    web.group[0] place node-1
    web.group[1] place node-0
    failed group 1: all 2 clients already run an allocation of this job (distinct_hosts)
    blocked created to place remaining allocations
    ");
}

#[test]
fn distinct_property() {
    let mut cluster = Harness::new(0);
    for i in 0..4 {
        let mut node = nodes::ready(i);
        node.meta.insert("rack".into(), format!("r{}", i / 2).into());
        cluster.add(node);
    }
    let mut job = jobs::batch("web", 3);
    job.constraints = Some(vec![constraint("${meta.rack}", "distinct_property", "1")]);
    let plan = cluster.run(&job);
    assert_eq!(cluster.live(&job.key()).len(), 2, "{plan}");
    assert!(plan.contains("distinct_property: ${meta.rack}=r0 used by 1 allocs"), "{plan}");
}

/// A job with an affinity to the class of a node that is added as number `n`.
fn drawn_to_large(cluster: &mut Harness, n: u32) -> Job {
    let mut large = nodes::ready(n);
    large.node_class = "large".into();
    cluster.add(large);
    let mut job = jobs::batch("sum", 1);
    job.affinities = Some(vec![Affinity {
        l_target: text("${node.class}"),
        r_target: text("large"),
        operand: text("="),
        weight: Some(100),
    }]);
    job
}

#[test]
fn affinity_draws_to_a_class() {
    let mut cluster = Harness::new(6);
    let job = drawn_to_large(&mut cluster, 9);
    assert_snapshot!(cluster.run(&job), @"sum.group[0] place node-9");
}

#[test]
fn an_operator_bounds_how_many_clients_are_scored() {
    let placed = |node_limit| {
        let mut cluster = Harness::new(30);
        let job = drawn_to_large(&mut cluster, 99);
        let config = SchedulerConfig { node_limit, ..SchedulerConfig::default() };
        cluster.apply(Command::SetSchedulerConfig { config, check_index: None });
        cluster.run(&job)
    };
    assert_eq!(placed(0), "sum.group[0] place node-99", "all of them");
    assert_eq!(placed(1000), "sum.group[0] place node-99");
    assert_ne!(placed(1), "sum.group[0] place node-99", "the first that fits");
}

fn count_by_dc(cluster: &Harness, job: &Job) -> Vec<usize> {
    let in_dc = |dc: &str| {
        let of = |a: &std::sync::Arc<tarpan_model::Allocation>| {
            cluster.state.node(a.node_id).is_some_and(|n| &*n.datacenter == dc)
        };
        cluster.live(&job.key()).iter().filter(|a| of(a)).count()
    };
    vec![in_dc("dc1"), in_dc("dc2")]
}

#[test]
fn spread_shares_out() {
    let mut cluster = Harness::new(0);
    for i in 0..6 {
        let mut node = nodes::ready(i);
        node.datacenter = if i < 5 { "dc1" } else { "dc2" }.into();
        cluster.add(node);
    }
    let mut job = jobs::service("web", 10);
    job.spreads = Some(vec![Spread { attribute: text("${node.datacenter}"), weight: Some(100), spread_target: None }]);
    cluster.run(&job);
    assert_eq!(count_by_dc(&cluster, &job), [5, 5]);
    let mut other = jobs::service("other", 10);
    let target = |value: &str, percent| SpreadTarget { value: text(value), percent: Some(percent) };
    other.spreads = Some(vec![Spread {
        attribute: text("${node.datacenter}"),
        weight: Some(100),
        spread_target: Some(vec![target("dc1", 70), target("dc2", 30)]),
    }]);
    cluster.run(&other);
    assert_eq!(count_by_dc(&cluster, &other), [7, 3]);
}

#[test]
fn too_little_memory_blocks_with_the_reason() {
    let mut cluster = Harness::new(2);
    let mut job = jobs::service("big", 2);
    jobs::resources_mut(&mut job).memory_mb = Some(100_000);
    assert_snapshot!(cluster.run(&job), @r"
    deployment group total 2: Deployment is running
    failed group 2: all 2 clients have too little memory: 100000 MB asked, at most 8192 MB free of 8192 MB in all
    blocked created to place remaining allocations
    ");
    let blocked =
        cluster.state.evals().find(|e| e.status == tarpan_model::EvalStatus::Blocked).cloned().expect("a blocked one");
    assert_eq!(blocked.class_eligibility.values().collect::<Vec<_>>(), [&true]);
    assert!(!blocked.escaped_computed_class);
    assert_eq!(blocked.queued_allocations.get("group"), Some(&2));
    // Still no room: it goes back to wait. With room it ends.
    let again = cluster.schedule(&blocked);
    assert_eq!(again.eval.status, tarpan_model::EvalStatus::Blocked);
    let mut large = nodes::sized(9, 4_000, 250_000);
    large.name = "large".into();
    cluster.add(large);
    assert_snapshot!(cluster.commit_eval(&blocked), @r"
    big.group[0] place large
    big.group[1] place large
    ");
    assert_snapshot!(cluster.next_plan(&job.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn missing_driver_is_named() {
    let mut cluster = Harness::new(3);
    let mut job = jobs::batch("sum", 1);
    jobs::group_mut(&mut job).tasks.as_mut().expect("tasks")[0].driver = text("podman");
    assert_snapshot!(cluster.run(&job), @r"
    failed group 1: all 3 clients lack driver podman
    blocked created to place remaining allocations
    ");
    let blocked =
        cluster.state.evals().find(|e| e.status == tarpan_model::EvalStatus::Blocked).cloned().expect("a blocked one");
    assert_eq!(blocked.class_eligibility.values().collect::<Vec<_>>(), [&false]);
}

#[test]
fn host_volumes() {
    let mut cluster = Harness::new(2);
    let mut node = nodes::ready(7);
    node.host_volumes
        .insert("mysql".into(), HostVolume { path: "/srv".to_owned(), read_only: true, id: String::new() });
    cluster.add(node);
    let mut job = jobs::batch("db", 1);
    let volume = |read_only| VolumeRequest {
        type_: text("host"),
        source: text("mysql"),
        read_only: Some(read_only),
        ..VolumeRequest::default()
    };
    jobs::group_mut(&mut job).volumes = Some([("data".to_owned(), volume(true))].into());
    assert_snapshot!(cluster.run(&job), @"db.group[0] place node-7");
    job.id = text("writer");
    jobs::group_mut(&mut job).volumes = Some([("data".to_owned(), volume(false))].into());
    assert_snapshot!(cluster.run(&job), @r#"
    failed group 1: all 3 clients lack a host volume "mysql" that fits
    blocked created to place remaining allocations
    "#);
}

#[test]
fn cores_are_given_once() {
    let mut cluster = Harness::new(1);
    let mut job = jobs::batch("sum", 3);
    jobs::resources_mut(&mut job).cores = Some(2);
    assert_snapshot!(cluster.run(&job), @r"
    sum.group[0] place node-0
    sum.group[1] place node-0
    failed group 1: the only client has too little cores: 2 asked, 0 free of 4 in all
    blocked created to place remaining allocations
    ");
    let cores: Vec<Vec<u16>> =
        cluster.live(&job.key()).iter().map(|a| a.resources.tasks["task"].cores.clone()).collect();
    assert_eq!(cores, [[0, 1], [2, 3]]);
    assert_eq!(cluster.live(&job.key())[0].resources.tasks["task"].cpu_mhz, 2_000);
}

#[test]
fn an_ineligible_or_draining_node_gets_nothing() {
    let mut cluster = Harness::new(0);
    let mut node = nodes::ready(0);
    node.eligibility = tarpan_model::Eligibility::Ineligible;
    cluster.add(node);
    assert_snapshot!(cluster.run(&jobs::batch("sum", 1)), @r#"
    failed group 1: no client is ready in node pool "default"
    blocked created to place remaining allocations
    "#);
}
