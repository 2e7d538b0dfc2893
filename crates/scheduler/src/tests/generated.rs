//! What holds for every cluster and every job.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tarpan_model::job::Job;
use tarpan_model::{ClientStatus, Node, NodeStatus, Trigger};
use tarpan_testkit::any;

use crate::harness::Harness;

/// Nothing that the plan did breaks what the cluster and the job promise.
fn check(cluster: &Harness, job: &Job) {
    for node in cluster.state.nodes() {
        let Some(usage) = cluster.state.usage(node.id) else { continue };
        let (has, kept) = (&node.resources, &node.reserved);
        assert!(usage.used.cpu_mhz <= has.cpu_mhz - kept.cpu_mhz, "{} cpu {:?}", node.name, usage.used);
        assert!(usage.used.memory_mb <= has.memory_mb - kept.memory_mb, "{} memory {:?}", node.name, usage.used);
        assert!(usage.used.disk_mb <= has.disk_mb - kept.disk_mb, "{} disk {:?}", node.name, usage.used);
        assert!(usage.ports.values().all(|users| *users == 1), "{} ports {:?}", node.name, usage.ports);
    }
    // Allocations of an older version may stay until their turn comes.
    let version = cluster.state.job(&job.key()).map_or(0, |j| j.version());
    for group in job.groups() {
        let mut names = BTreeSet::new();
        let mut hosts: BTreeMap<_, usize> = BTreeMap::new();
        for alloc in
            cluster.live(&job.key()).iter().filter(|a| &*a.task_group == group.name() && a.job_version == version)
        {
            assert!(names.insert(alloc.name.clone()), "{} twice", alloc.name);
            *hosts.entry(alloc.node_id).or_default() += 1;
            let node = cluster.state.node(alloc.node_id).expect("its node");
            for constraint in group.constraints.iter().flatten() {
                match constraint.operand.as_deref() {
                    Some("distinct_hosts") => assert!(hosts.values().all(|n| *n == 1), "{hosts:?}"),
                    _ => assert_eq!(&*node.datacenter, "dc1"),
                }
            }
        }
        assert!(names.len() <= group.count() as usize);
    }
}

fn cluster(nodes: &[Node]) -> Harness {
    let mut cluster = Harness::new(0);
    nodes.iter().for_each(|node| cluster.add(node.clone()));
    cluster
}

/// Looks again until nothing changes; health is reported, so that deployments move on.
fn settle(cluster: &mut Harness, job: &Job) {
    for _ in 0..60 {
        cluster.all_running(&job.key());
        let eval = cluster.eval(&job.key(), Trigger::DeploymentWatcher);
        let outcome = cluster.schedule(&eval);
        check(cluster, job);
        if outcome.plan.is_noop() {
            return;
        }
        cluster.commit(&outcome);
    }
    panic!("still not settled: {}", cluster.next_plan(&job.key(), Trigger::DeploymentWatcher));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn plans_keep_promises(nodes in any::cluster(12), first in any::job("web"), second in any::job("web")) {
        let mut cluster = cluster(&nodes);
        cluster.run(&first);
        check(&cluster, &first);
        settle(&mut cluster, &first);
        let first_type = first.job_type();
        if second.job_type() == first_type {
            cluster.run(&second);
            settle(&mut cluster, &second);
        }
        cluster.stop_job(&first.key(), false);
        prop_assert!(cluster.live(&first.key()).is_empty());
    }

    #[test]
    fn planning_again_changes_nothing(nodes in any::cluster(12), job in any::job("web")) {
        let mut cluster = cluster(&nodes);
        let key = cluster.register(&job);
        let eval = cluster.eval(&key, Trigger::JobRegister);
        let outcome = cluster.schedule(&eval);
        cluster.commit(&outcome);
        let eval = cluster.eval(&key, Trigger::NodeUpdate);
        let again = cluster.schedule(&eval);
        prop_assert!(again.plan.is_noop(), "{}", cluster.text(&again));
    }

    #[test]
    fn equal_inputs_give_equal_plans(nodes in any::cluster(12), job in any::job("web")) {
        let plan = || {
            let mut cluster = cluster(&nodes);
            let key = cluster.register(&job);
            let eval = cluster.eval(&key, Trigger::JobRegister);
            cluster.schedule(&eval).plan
        };
        prop_assert_eq!(plan(), plan());
    }

    #[test]
    fn lost_nodes_and_failures_heal(
        nodes in any::cluster(8),
        job in any::job("web"),
        events in prop::collection::vec((0..4_u8, any::<prop::sample::Index>()), 0..12),
    ) {
        let mut cluster = cluster(&nodes);
        cluster.run(&job);
        for (kind, pick) in events {
            let node = pick.get(&nodes).id;
            match kind {
                0 => cluster.status(node, NodeStatus::Down),
                1 => cluster.status(node, NodeStatus::Ready),
                _ => {
                    let live = cluster.live(&job.key());
                    if !live.is_empty() {
                        let status = if kind == 2 { ClientStatus::Failed } else { ClientStatus::Complete };
                        cluster.report_with(&live[pick.index(live.len())], status, None);
                    }
                }
            }
            cluster.wait(7);
            cluster.next_plan(&job.key(), Trigger::NodeUpdate);
            check(&cluster, &job);
        }
        cluster.wait(10_000);
        settle(&mut cluster, &job);
    }
}
