//! Snapshots that people have: those of earlier releases are read as what they were, those of later ones as far as they are known.

use std::collections::BTreeMap;

use serde::Serialize;
use tarpan_model::ids::NamespacedId;
use tarpan_model::{ClientStatus, NodeStatus};
use tarpan_state::{State, Table};
use tarpan_testkit::{at, nodes};

/// Two nodes, a job in two versions with a rollout and a service, a periodic job with a child, and an allocation of a job
/// that was purged. Written before tables were declared in one place.
const EARLIER: &[u8] = include_bytes!("kept/before-declared-tables.msgpack");

fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

#[test]
fn every_table_of_an_earlier_release_is_read() {
    let state = State::restore(EARLIER).expect("readable for ever");
    assert_eq!(state.index(), 17);
    assert!(state.lineage().settled());
    let counts = state.counts();
    assert_eq!((counts.jobs, counts.evals, counts.allocs, counts.deployments, counts.nodes), (3, 4, 4, 1, 2));
    let changed = [
        (Table::Jobs, 16),
        (Table::JobSummaries, 16),
        (Table::Evals, 16),
        (Table::Allocs, 12),
        (Table::Deployments, 9),
        (Table::Nodes, 4),
        (Table::Services, 13),
        (Table::PeriodicLaunches, 16),
        (Table::SchedulerConfig, 17),
        (Table::ScalingEvents, 0),
    ];
    assert_eq!(changed.map(|(table, _)| (table, state.table_index(table))), changed);

    let web = key("web");
    assert_eq!(state.job_versions(&web).map(|job| job.version()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(state.job_submission(&web, 0).map(|text| text.source.as_str()), Some("job \"web\" {}"));
    let summary = state.job_summary(&web).expect("kept").groups["group"];
    assert_eq!((summary.running, summary.starting), (1, 1));
    let rollout = state.latest_deployment(&web).expect("kept");
    assert_eq!(state.allocs_by_deployment(rollout.id).count(), 2);
    assert_eq!((state.job_live(&web).allocs, state.job_live(&web).deployments), (2, 1));
    let service = state.services().next().expect("kept");
    let answers = state.alloc(service.alloc_id).expect("what it belongs to");
    assert_eq!((answers.client_status, state.services_by_alloc(answers.id).count()), (ClientStatus::Running, 1));

    assert_eq!(state.job_children(&key("nightly")).count(), 1);
    assert_eq!(state.periodic_launch(&key("nightly")).map(|l| (l.launch, l.create_index)), Some((at(3), 7)));
    let gone = state.allocs_by_job(&key("gone")).next().expect("it outlives its job");
    assert_eq!((state.job(&key("gone")), gone.job.id()), (None, "gone"));
    assert_eq!(state.node(nodes::id(2)).map(|node| node.status), Some(NodeStatus::Ready));
    assert_eq!(state.usage(nodes::id(1)).map(|usage| (usage.allocs, usage.ports.len())), Some((4, 2)));
    assert_eq!(state.scheduler_config().algorithm, "spread");

    let bytes = state.snapshot();
    assert_eq!(State::restore(&bytes).expect("its own bytes").snapshot(), bytes);
}

#[test]
fn parts_of_a_later_release_are_passed_over() {
    #[derive(Serialize)]
    struct Later {
        index: u64,
        table_indexes: BTreeMap<&'static str, u64>,
        of_a_later_release: Vec<(u64, &'static str)>,
    }
    let table_indexes = BTreeMap::from([("Nodes", 3), ("OfALaterRelease", 4)]);
    let later = Later { index: 5, table_indexes, of_a_later_release: vec![(1, "a"), (2, "b")] };
    let bytes = rmp_serde::to_vec_named(&later).expect("plain values");
    let state = State::restore(&bytes).expect("what is known of it");
    assert_eq!((state.index(), state.table_index(Table::Nodes)), (5, 3));
}
