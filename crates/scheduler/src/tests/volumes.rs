//! Groups with dynamic host volumes: which ones fit, who writes alone, and where sticky groups come back to.

use std::sync::Arc;

use insta::assert_snapshot;
use tarpan_model::ids::{Namespace, VolumeId};
use tarpan_model::job::{Job, VolumeRequest};
use tarpan_model::node::HostVolume as OnNode;
use tarpan_model::volume::{AccessMode, AttachmentMode, Capability, HostVolume, HostVolumeState};
use tarpan_model::{ClientStatus, NodeStatus, Trigger, UnixNanos};
use tarpan_state::Command;
use tarpan_testkit::{jobs, nodes};

use crate::harness::Harness;

const SINGLE: AccessMode = AccessMode::SingleNodeSingleWriter;
const MULTI: AccessMode = AccessMode::SingleNodeMultiWriter;

/// A volume of a node, which reports it.
fn volume(cluster: &mut Harness, n: u32, name: &str, modes: &[AccessMode]) -> VolumeId {
    volume_in(cluster, n, name, modes, "default")
}

fn volume_in(cluster: &mut Harness, n: u32, name: &str, modes: &[AccessMode], namespace: &str) -> VolumeId {
    let id = VolumeId(uuid::Uuid::from_u128(u128::from(n) << 32 | name.bytes().map(u128::from).sum::<u128>()));
    let capability = |access_mode| Capability { access_mode, attachment_mode: AttachmentMode::FileSystem };
    let row = HostVolume {
        id,
        namespace: Namespace::new(namespace),
        name: Arc::from(name),
        plugin_id: Arc::from("mkdir"),
        node_pool: Arc::from("default"),
        node_id: nodes::id(n),
        constraints: Vec::new(),
        capacity_min_bytes: 0,
        capacity_max_bytes: 0,
        capacity_bytes: 0,
        capabilities: modes.iter().copied().map(capability).collect(),
        parameters: Default::default(),
        host_path: "/v".to_owned(),
        state: HostVolumeState::Pending,
        deleting: false,
        registered: false,
        create_index: 0,
        create_time: UnixNanos::ZERO,
        modify_index: 0,
        modify_time: UnixNanos::ZERO,
    };
    let now = cluster.now;
    cluster.apply(Command::UpsertHostVolume { volume: Box::new(row), now });
    let mut node = tarpan_model::Node::clone(cluster.state.node(nodes::id(n)).expect("there"));
    node.host_volumes.insert(name.into(), OnNode { path: "/v".to_owned(), read_only: false, id: id.to_string() });
    cluster.add(node);
    id
}

fn request(source: &str) -> VolumeRequest {
    let text = |text: &str| Some(text.to_owned());
    VolumeRequest { type_: text("host"), source: text(source), ..VolumeRequest::default() }
}

fn job(id: &str, count: i64, request: VolumeRequest) -> Job {
    let mut job = jobs::batch(id, count);
    jobs::group_mut(&mut job).volumes = Some([("data".to_owned(), request)].into());
    job
}

fn mode(source: &str, mode: AccessMode) -> VolumeRequest {
    VolumeRequest { access_mode: Some(mode.to_string()), ..request(source) }
}

#[test]
fn what_is_asked_is_among_what_the_volume_may() {
    let mut cluster = Harness::new(3);
    volume(&mut cluster, 1, "data", &[AccessMode::SingleNodeWriter]);
    assert_snapshot!(cluster.run(&job("writer", 1, request("data"))), @"writer.group[0] place node-1");
    let reader = VolumeRequest { read_only: Some(true), ..request("data") };
    assert_snapshot!(cluster.run(&job("reader", 1, reader)), @r#"
    failed group 1: 2 of 3 clients lack a host volume "data" that fits; 1 of 3 clients does not meet the constraint host volume "data" may not be read as single-node-reader-only, file-system
    blocked created to place remaining allocations
    "#);
    assert_snapshot!(cluster.run(&job("block", 1, VolumeRequest { attachment_mode: Some("block-device".to_owned()), ..request("data") })), @r#"
    failed group 1: 2 of 3 clients lack a host volume "data" that fits; 1 of 3 clients does not meet the constraint host volume "data" may not be written as single-node-writer, block-device
    blocked created to place remaining allocations
    "#);
    assert_snapshot!(cluster.run(&job("multi", 1, mode("data", MULTI))), @r#"
    failed group 1: 2 of 3 clients lack a host volume "data" that fits; 1 of 3 clients does not meet the constraint host volume "data" may not be written as single-node-multi-writer, file-system
    blocked created to place remaining allocations
    "#);
}

#[test]
fn a_volume_of_another_namespace_is_nobodys() {
    let mut cluster = Harness::new(2);
    volume_in(&mut cluster, 1, "data", &[AccessMode::SingleNodeWriter], "shop");
    assert_snapshot!(cluster.run(&job("writer", 1, request("data"))), @r#"
    failed group 1: 1 of 2 clients lacks a host volume "data" that fits; 1 of 2 clients does not meet the constraint host volume "data" is not one of the job's namespace
    blocked created to place remaining allocations
    "#);
}

#[test]
fn a_volume_that_is_being_deleted_takes_nobody() {
    let mut cluster = Harness::new(2);
    let id = volume(&mut cluster, 1, "data", &[AccessMode::SingleNodeWriter]);
    let row = HostVolume::clone(cluster.state.host_volume(id).expect("there"));
    let now = cluster.now;
    cluster.apply(Command::UpsertHostVolume { volume: Box::new(HostVolume { deleting: true, ..row }), now });
    assert_snapshot!(cluster.run(&job("writer", 1, request("data"))), @r#"
    failed group 1: 1 of 2 clients lacks a host volume "data" that fits; 1 of 2 clients does not meet the constraint host volume "data" is not ready
    blocked created to place remaining allocations
    "#);
}

#[test]
fn one_writes_alone_and_several_together() {
    let mut cluster = Harness::new(2);
    volume(&mut cluster, 1, "data", &[SINGLE, MULTI]);
    assert_snapshot!(cluster.run(&job("alone", 2, mode("data", SINGLE))), @r#"
    alone.group[0] place node-1
    failed group 1: 1 of 2 clients lacks a host volume "data" that fits; 1 of 2 clients does not meet the constraint host volume "data" has a writer already
    blocked created to place remaining allocations
    "#);
    let first = cluster.live(&jobs::batch("alone", 1).key()).remove(0);
    assert_snapshot!(cluster.run(&job("other", 1, mode("data", SINGLE))), @r#"
    failed group 1: 1 of 2 clients lacks a host volume "data" that fits; 1 of 2 clients does not meet the constraint host volume "data" has a writer already
    blocked created to place remaining allocations
    "#);
    assert_snapshot!(cluster.run(&job("many", 2, mode("data", MULTI))), @r#"
    many.group[0] place node-1
    many.group[1] place node-1
    "#);
    // The writer ends, but those who write together go on.
    cluster.report_with(&first, ClientStatus::Complete, None);
    assert_snapshot!(cluster.next_plan(&jobs::batch("other", 1).key(), Trigger::QueuedAllocs), @r#"
    failed group 1: 1 of 2 clients lacks a host volume "data" that fits; 1 of 2 clients does not meet the constraint host volume "data" has a writer already
    blocked created to place remaining allocations
    "#);
    for alloc in cluster.live(&jobs::batch("many", 1).key()) {
        cluster.report_with(&alloc, ClientStatus::Complete, None);
    }
    assert_snapshot!(cluster.next_plan(&jobs::batch("other", 1).key(), Trigger::QueuedAllocs), @"other.group[0] place node-1");
}

#[test]
fn each_instance_has_its_own() {
    let mut cluster = Harness::new(4);
    let modes = [AccessMode::SingleNodeWriter];
    volume(&mut cluster, 2, "data[0]", &modes);
    volume(&mut cluster, 1, "data[1]", &modes);
    let own = VolumeRequest { per_alloc: Some(true), ..request("data") };
    assert_snapshot!(cluster.run(&job("db", 3, own)), @r#"
    db.group[0] place node-2
    db.group[1] place node-1
    failed group 1: all 2 clients lack a host volume "data" that fits
    blocked created to place remaining allocations
    "#);
}

/// The data of a sticky group is where it wrote it: whichever other volumes of the name there are.
#[test]
fn a_sticky_group_comes_back_to_what_it_holds() {
    let mut cluster = Harness::new(4);
    let modes = [AccessMode::SingleNodeWriter];
    volume(&mut cluster, 1, "data", &modes);
    let sticky = VolumeRequest { sticky: Some(true), ..request("data") };
    let mut service = jobs::service("db", 1);
    jobs::group_mut(&mut service).volumes = Some([("data".to_owned(), sticky)].into());
    assert_snapshot!(cluster.run(&service), @r#"
    db.group[0] place node-1
    deployment group total 1: Deployment is running
    "#);
    let key = service.key();
    for n in [0, 2, 3] {
        volume(&mut cluster, n, "data", &modes);
    }
    cluster.all_running(&key);
    cluster.stop_job(&key, false);
    for seed in 0..8 {
        cluster.seed = seed;
        cluster.run(&service);
        let live = cluster.live(&key);
        assert_eq!(live.iter().map(|a| a.node_id).collect::<Vec<_>>(), [nodes::id(1)], "seed {seed}");
        cluster.stop_job(&key, false);
    }
    // Its node is lost: it waits for it, and says why.
    cluster.status(nodes::id(1), NodeStatus::Down);
    let waits = cluster.run(&service);
    assert!(waits.contains("host volume \"data\" is not the one that the group holds"), "{waits}");
    // Somebody lets it go.
    let claim = cluster.state.host_volume_claims().next().expect("held").id;
    cluster.apply(Command::DeleteHostVolumeClaim { id: claim, evals: Vec::new() });
    cluster.next_plan(&key, Trigger::QueuedAllocs);
    assert_eq!(cluster.live(&key).len(), 1);
    assert_ne!(cluster.live(&key)[0].node_id, nodes::id(1));
}

/// A second instance takes another volume than the first, and each comes back to its own.
#[test]
fn sticky_instances_do_not_take_each_others_volumes() {
    let mut cluster = Harness::new(2);
    for n in [0, 1] {
        volume(&mut cluster, n, "data", &[SINGLE]);
    }
    let sticky = VolumeRequest { sticky: Some(true), ..mode("data", SINGLE) };
    let mut service = jobs::service("db", 2);
    jobs::group_mut(&mut service).volumes = Some([("data".to_owned(), sticky)].into());
    cluster.run(&service);
    let key = service.key();
    let on = |cluster: &Harness| cluster.live(&key).iter().map(|a| a.node_id).collect::<Vec<_>>();
    let mut first = on(&cluster);
    first.sort();
    assert_eq!(first, [nodes::id(0), nodes::id(1)]);
    assert_eq!(cluster.state.host_volume_claims().count(), 2);
    cluster.all_running(&key);
    cluster.stop_job(&key, false);
    cluster.run(&service);
    let mut again = on(&cluster);
    again.sort();
    assert_eq!(again, first);
    assert_eq!(cluster.state.host_volume_claims().count(), 2, "the same claims go on");
}
