//! Devices: who gets which, what is wished for, and what is said when there are none.

use tarpan_model::job::{Affinity, Job, RequestedDevice};
use tarpan_model::resources::{AllocatedDevice, NodeDevice, NodeDeviceGroup};
use tarpan_testkit::{jobs, nodes};

use super::placing::constraint;
use crate::harness::Harness;

/// `count` GPUs of a model with so much memory.
fn gpus(model: &str, memory: &str, count: usize) -> NodeDeviceGroup {
    let instance = |n| NodeDevice { id: format!("{model}-{n}"), healthy: true, ..NodeDevice::default() };
    NodeDeviceGroup {
        vendor: "acme".to_owned(),
        type_: "gpu".to_owned(),
        name: model.to_owned(),
        instances: (0..count).map(instance).collect(),
        attributes: [("memory".to_owned(), memory.to_owned())].into(),
    }
}

/// Node 0 has none, node 1 two small ones, node 2 one small and one large one.
fn cluster() -> Harness {
    let mut cluster = Harness::new(1);
    for (number, groups) in
        [(1, vec![gpus("s1", "900 MB", 2)]), (2, vec![gpus("s1", "900 MB", 1), gpus("l2", "16 GiB", 1)])]
    {
        let mut node = nodes::ready(number);
        node.resources.devices = groups;
        cluster.add(node);
    }
    cluster
}

fn asking(count: usize, device: RequestedDevice) -> Job {
    let mut job = jobs::service("web", count as i64);
    jobs::resources_mut(&mut job).devices = Some(vec![device]);
    job
}

fn device(name: &str) -> RequestedDevice {
    RequestedDevice { name: Some(name.to_owned()), ..RequestedDevice::default() }
}

fn given(cluster: &Harness, job: &Job) -> Vec<(String, Vec<AllocatedDevice>)> {
    let of =
        |alloc: &tarpan_model::Allocation| (alloc.node_name.to_string(), alloc.resources.tasks["task"].devices.clone());
    let mut all: Vec<_> = cluster.live(&job.key()).iter().map(|alloc| of(alloc)).collect();
    all.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    all
}

fn ids(cluster: &Harness, job: &Job) -> Vec<String> {
    let all = given(cluster, job);
    all.into_iter()
        .map(|(node, devices)| {
            format!("{node} {}", devices.iter().flat_map(|d| d.ids.clone()).collect::<Vec<_>>().join(","))
        })
        .collect()
}

#[test]
fn each_instance_is_given_once() {
    let mut cluster = cluster();
    let job = asking(5, device("gpu"));
    let said = cluster.run(&job);
    assert_eq!(ids(&cluster, &job), ["node-1 s1-0", "node-1 s1-1", "node-2 l2-0", "node-2 s1-0"]);
    assert!(said.contains("2 of 3 clients have no device of the kind asked for free"), "{said}");
    let all = given(&cluster, &job);
    assert_eq!(
        (all[0].1[0].vendor.as_str(), all[0].1[0].type_.as_str(), all[0].1[0].name.as_str()),
        ("acme", "gpu", "s1")
    );
}

#[test]
fn kind_count_and_constraints_decide_where() {
    for (name, count, memory, expected) in [
        ("acme/gpu/l2", 1, None, vec!["node-2 l2-0"]),
        ("acme/gpu", 2, None, vec!["node-1 s1-0,s1-1"]),
        ("gpu", 1, Some((">", "1 GiB")), vec!["node-2 l2-0"]),
        ("gpu", 1, Some(("<", "0.9 GiB")), vec!["node-1 s1-0"]),
        ("gpu", 3, None, vec![]),
        ("other/gpu", 1, None, vec![]),
        ("fpga", 1, None, vec![]),
    ] {
        let mut cluster = cluster();
        let constraints = memory.map(|(operand, amount)| vec![constraint("${device.attr.memory}", operand, amount)]);
        let job = asking(1, RequestedDevice { count: Some(count), constraints, ..device(name) });
        let said = cluster.run(&job);
        let found = ids(&cluster, &job);
        assert!(
            found == expected || (name == "gpu" && found.len() == 1 && found[0].ends_with("s1-0")),
            "{name} {count}: {found:?}"
        );
        if expected.is_empty() {
            assert!(said.contains("lack the devices asked for"), "{said}");
        }
    }
}

#[test]
fn what_is_wished_for_is_taken_first() {
    let wish = |operand: &str, weight| Affinity {
        l_target: Some("${device.attr.memory}".to_owned()),
        operand: Some(operand.to_owned()),
        r_target: Some("10 GB".to_owned()),
        weight: Some(weight),
    };
    let mut cluster = cluster();
    let job = asking(1, RequestedDevice { affinities: Some(vec![wish(">", 60)]), ..device("gpu") });
    cluster.run(&job);
    assert_eq!(ids(&cluster, &job), ["node-2 l2-0"]);
    let metric = cluster.live(&job.key())[0].metrics.clone().expect("explained");
    let best = metric.scores.iter().find(|score| score.node_id == nodes::id(2)).expect("scored");
    assert_eq!(best.scores.iter().find(|(name, _)| &***name == "devices").map(|(_, score)| *score), Some(1.0));
    // What is not wished for is passed over.
    let mut cluster = self::cluster();
    let job = asking(1, RequestedDevice { affinities: Some(vec![wish(">", -60)]), ..device("gpu") });
    cluster.run(&job);
    assert!(ids(&cluster, &job)[0].ends_with("s1-0"), "{:?}", ids(&cluster, &job));
}
