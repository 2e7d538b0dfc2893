//! Important jobs make room; and what would fit at all.

use std::sync::Arc;

use insta::assert_snapshot;
use tarpan_model::Trigger;
use tarpan_state::{Command, SchedulerConfig};
use tarpan_testkit::{jobs, nodes};

use crate::harness::Harness;
use crate::{verdicts, what_would_fit};

fn filler(id: &str, priority: i64, count: i64, memory: i64) -> tarpan_model::Job {
    let mut job = jobs::batch(id, count);
    job.priority = Some(priority);
    jobs::resources_mut(&mut job).memory_mb = Some(memory);
    job
}

#[test]
fn a_system_job_evicts_the_least_important() {
    let mut cluster = Harness::new(1);
    cluster.run(&filler("low", 20, 2, 2_000));
    cluster.run(&filler("middle", 45, 2, 2_000));
    let mut system = jobs::system("agent");
    system.priority = Some(60);
    jobs::resources_mut(&mut system).memory_mb = Some(2_000);
    assert_snapshot!(cluster.run(&system), @r"
    agent.group[0] place node-0
    low.group[0] preempt node-0
    deployment group total 1: Deployment is running
    ");
    let victim = cluster.state.allocs().find(|a| a.preempted_by.is_some()).cloned().expect("a victim");
    assert_eq!(victim.desired_status, tarpan_model::DesiredStatus::Evict);
    assert_snapshot!(cluster.next_plan(&system.key(), Trigger::NodeUpdate), @"nothing to do");
}

#[test]
fn nobody_gives_way_to_an_equal() {
    let mut cluster = Harness::new(1);
    cluster.run(&filler("low", 55, 4, 2_000));
    let mut system = jobs::system("agent");
    system.priority = Some(60);
    jobs::resources_mut(&mut system).memory_mb = Some(2_000);
    assert_snapshot!(cluster.run(&system), @r"
    deployment group total 1: Deployment is running
    failed group 1: the only client has too little memory: 2000 MB asked, 192 MB free of 8192 MB in all
    blocked created to place remaining allocations
    ");
}

#[test]
fn a_service_evicts_where_that_is_switched_on() {
    let mut cluster = Harness::new(2);
    let config = SchedulerConfig { preemption_service: true, ..SchedulerConfig::default() };
    cluster.apply(Command::SetSchedulerConfig { config, check_index: None });
    cluster.run(&filler("low", 20, 2, 8_000));
    let mut job = jobs::service("web", 1);
    job.priority = Some(70);
    jobs::resources_mut(&mut job).memory_mb = Some(1_000);
    let plan = cluster.run(&job);
    assert!(plan.contains("preempt") && plan.contains("web.group[0] place"), "{plan}");
    assert_eq!(cluster.state.allocs().filter(|a| a.preempted_by.is_some()).count(), 1);
}

#[test]
fn a_held_port_is_freed() {
    let mut cluster = Harness::new(1);
    let mut low = filler("low", 20, 1, 64);
    jobs::group_mut(&mut low).networks = Some(vec![jobs::network(&[("http", 5000)])]);
    cluster.run(&low);
    let mut system = jobs::system("agent");
    jobs::group_mut(&mut system).networks = Some(vec![jobs::network(&[("http", 5000)])]);
    assert_snapshot!(cluster.run(&system), @r"
    agent.group[0] place node-0 http=5000
    low.group[0] preempt node-0
    deployment group total 1: Deployment is running
    ");
}

#[test]
fn says_why_not_there() {
    let mut cluster = Harness::new(2);
    let mut bare = nodes::ready(5);
    bare.drivers.clear();
    bare.attributes.remove("driver.mock");
    cluster.add(bare);
    let mut away = nodes::ready(6);
    away.datacenter = "elsewhere".into();
    cluster.add(away);
    let mut closed = nodes::ready(7);
    closed.eligibility = tarpan_model::Eligibility::Ineligible;
    cluster.add(closed);
    let said = |memory_mb: i64| {
        let mut job = jobs::service("web", 1);
        jobs::resources_mut(&mut job).memory_mb = Some(memory_mb);
        job.datacenters = Some(vec!["dc1".to_owned()]);
        let group = job.groups()[0].name().to_owned();
        let all = verdicts(&cluster.state, &Arc::new(job), &group);
        all.iter().map(|v| format!("{:?} {} {:?}", v.fails, v.reason, v.amounts)).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(said(40), @r"
    None  [0, 0, 0]
    None  [0, 0, 0]
    Some(Constraints) missing drivers [0, 0, 0]
    Some(Datacenter) elsewhere [0, 0, 0]
    Some(Ready) ineligible [0, 0, 0]
    ");
    assert_snapshot!(said(40_000), @r"
    Some(Resources) memory [40000, 8192, 8192]
    Some(Resources) memory [40000, 8192, 8192]
    Some(Constraints) missing drivers [0, 0, 0]
    Some(Datacenter) elsewhere [0, 0, 0]
    Some(Ready) ineligible [0, 0, 0]
    ");
}

#[test]
fn says_what_would_fit() {
    let mut cluster = Harness::new(2);
    let mut bare = nodes::ready(5);
    bare.drivers.clear();
    bare.attributes.remove("driver.mock");
    cluster.add(bare);
    let mut job = jobs::service("web", 5);
    jobs::resources_mut(&mut job).memory_mb = Some(4_000);
    let sentence = |job: &tarpan_model::Job| what_would_fit(&cluster.state, &Arc::new(job.clone()))[0].sentence();
    assert_snapshot!(sentence(&job), @r#"4 of 5 allocations of group "group" would fit: 2 of 3 clients have too little memory: 4000 MB asked, at most 192 MB free of 8192 MB in all; 1 of 3 clients lacks driver mock"#);
    jobs::resources_mut(&mut job).memory_mb = Some(40);
    assert_snapshot!(sentence(&job), @r#"all 5 allocations of group "group" would fit"#);
    assert_snapshot!(sentence(&jobs::system("agent")), @r#"all 2 allocations of group "group" would fit"#);
}
