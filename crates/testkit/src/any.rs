//! Strategies: clusters and jobs that a cluster might be asked to run.

use proptest::prelude::*;
use tarpan_model::job::{Affinity, Constraint, Job, Spread};
use tarpan_model::{Eligibility, Node, NodeStatus};

use crate::{jobs, nodes};

/// Up to `max` nodes of several sizes, datacenters and classes; most are ready.
pub fn cluster(max: usize) -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec((0..4_u8, 0..3_u8, 0..20_u8), 1..=max).prop_map(|shapes| {
        shapes.iter().enumerate().map(|(i, &(size, place, health))| node(i as u32, size, place, health)).collect()
    })
}

fn node(i: u32, size: u8, place: u8, health: u8) -> Node {
    let (cpu, memory) = [(1_000, 512), (2_000, 2_048), (4_000, 8_192), (16_000, 32_768)][usize::from(size)];
    let mut node = nodes::sized(i, cpu, memory);
    node.datacenter = format!("dc{}", place + 1).into();
    node.node_class = if size > 1 { "large".into() } else { "".into() };
    node.meta.insert("rack".into(), format!("r{}", i % 5).into());
    node.computed_class = format!("v1:{size}-{place}-{}", i % 5).into();
    match health {
        0 => node.status = NodeStatus::Down,
        1 => node.eligibility = Eligibility::Ineligible,
        _ => {}
    }
    node
}

/// A service or batch job called `id` of one or two groups, with constraints, affinities, spreads and ports at times.
pub fn job(id: &'static str) -> impl Strategy<Value = Job> {
    let group = (0..12_i64, prop::sample::select(vec![50_i64, 100, 500, 1_500]), 0..6_u8);
    (any::<bool>(), 1..100_i64, prop::collection::vec(group, 1..=2)).prop_map(move |(batch, priority, groups)| {
        let mut job = if batch { jobs::batch(id, 1) } else { jobs::service(id, 1) };
        job.priority = Some(priority);
        let template = jobs::group_mut(&mut job).clone();
        let groups = groups.into_iter().enumerate().map(|(i, (count, size, twist))| {
            let mut group = template.clone();
            group.name = Some(format!("group-{i}"));
            group.count = Some(count);
            group.tasks = Some(vec![jobs::task("task", size, size)]);
            match twist {
                0 => group.constraints = Some(vec![constraint("${node.datacenter}", "=", "dc1")]),
                1 => group.constraints = Some(vec![constraint("", "distinct_hosts", "")]),
                2 => group.affinities = Some(vec![affinity("${node.class}", "large", 50)]),
                3 => group.spreads = Some(vec![spread("${meta.rack}", 100)]),
                4 => group.networks = Some(vec![jobs::network(&[("http", 0), ("admin", 9_000 + i as i64)])]),
                _ => {}
            }
            group
        });
        job.task_groups = Some(groups.collect());
        job
    })
}

fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { l_target: Some(left.to_owned()), r_target: Some(right.to_owned()), operand: Some(operand.to_owned()) }
}

fn affinity(left: &str, right: &str, weight: i64) -> Affinity {
    Affinity {
        l_target: Some(left.to_owned()),
        r_target: Some(right.to_owned()),
        operand: Some("=".to_owned()),
        weight: Some(weight),
    }
}

fn spread(attribute: &str, weight: i64) -> Spread {
    Spread { attribute: Some(attribute.to_owned()), weight: Some(weight), spread_target: Some(Vec::new()) }
}
