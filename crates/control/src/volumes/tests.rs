//! Volumes from their creation to their deletion, and what nodes, jobs and plans do to them and to their claims.

use tarpan_model::ids::{AllocId, CountingIds, NamespacedId};
use tarpan_model::job::VolumeRequest;
use tarpan_model::node::HostVolume as OnNode;
use tarpan_model::plan::{Plan, PlanResult};
use tarpan_model::volume::AttachmentMode;
use tarpan_model::{ClientStatus, Job};
use tarpan_state::command::{ApplyPlan, DeregisterJob, RegisterJob};
use tarpan_state::{CommandId, Envelope, Reply};
use tarpan_testkit::{allocs, at, jobs, nodes};

use super::*;

struct World {
    state: State,
    ids: CountingIds,
}

const WRITER: Capability =
    Capability { access_mode: AccessMode::SingleNodeWriter, attachment_mode: AttachmentMode::FileSystem };

fn wanted(name: &str) -> Wanted {
    let plugin_id = "mkdir".to_owned();
    Wanted { name: name.to_owned(), plugin_id, capabilities: vec![WRITER], ..Wanted::default() }
}

fn with_plugin(i: u32) -> Node {
    let mut node = nodes::ready(i);
    node.attributes.insert("plugins.host_volume.mkdir.version".into(), "0.0.1".into());
    node
}

impl World {
    fn new(nodes: impl IntoIterator<Item = Node>) -> World {
        let mut world = World { state: State::default(), ids: CountingIds(1 << 64) };
        nodes.into_iter().for_each(|node| world.register(node));
        world
    }

    fn apply(&mut self, command: Command) -> Reply {
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0)
    }

    fn done(&mut self, command: Command) {
        let reply = self.apply(command);
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
    }

    fn register(&mut self, node: Node) {
        self.done(Command::UpsertNode { node: Box::new(node), now: at(0), evals: Vec::new() });
    }

    /// A volume as far as its node made it; it does not report it yet.
    fn create(&mut self, wanted: Wanted) -> HostVolume {
        let begun = create(&self.state, wanted, at(1), &mut self.ids).expect("a node can");
        self.done(begun.command);
        let id = begun.volume.id;
        let made = made(&self.state, id, &Made { path: format!("/vols/{id}"), bytes: 0 }, at(2)).expect("there");
        self.done(made);
        HostVolume::clone(self.state.host_volume(id).expect("written"))
    }

    /// Its node reports it, or everything but it.
    fn report(&mut self, volume: &HostVolume, has: bool) {
        let mut node = Node::clone(self.state.node(volume.node_id).expect("there"));
        node.host_volumes.remove(&*volume.name);
        if has {
            let id = volume.id.to_string();
            node.host_volumes.insert(volume.name.clone(), OnNode { path: "/v".to_owned(), read_only: false, id });
        }
        self.register(node);
    }

    fn ready(&mut self, name: &str) -> HostVolume {
        let volume = self.create(wanted(name));
        self.report(&volume, true);
        volume
    }

    fn of(&self, volume: &HostVolume) -> HostVolumeState {
        self.state.host_volume(volume.id).expect("there").state
    }

    fn job(&mut self, id: &str, request: VolumeRequest) -> Job {
        let mut job = jobs::service(id, 1);
        jobs::group_mut(&mut job).volumes = Some([("data".to_owned(), request)].into());
        self.done(Command::RegisterJob(Box::new(RegisterJob::of(job.clone(), None, at(3)))));
        Job::clone(self.state.job(&job.key()).expect("registered"))
    }

    /// One more allocation of the job on a node.
    fn place(&mut self, job: &Job, node: NodeId) -> AllocId {
        let node = self.state.node(node).expect("there").clone();
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), job.key(), 50, self.state.index());
        let alloc = allocs::place(&Arc::new(job.clone()), &node, plan.eval_id, 0, &mut self.ids);
        let id = alloc.id;
        plan.placements.insert(node.id, vec![alloc]);
        let command = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(4) };
        self.done(Command::ApplyPlan(Box::new(command)));
        id
    }

    fn ends(&mut self, alloc: AllocId) {
        let update = allocs::report(self.state.alloc(alloc).expect("there"), ClientStatus::Failed, at(5));
        self.done(Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now: at(5) });
    }

    fn claims(&self) -> Vec<(AllocId, VolumeId)> {
        self.state.host_volume_claims().map(|claim| (claim.alloc_id, claim.volume_id)).collect()
    }
}

fn sticky(source: &str) -> VolumeRequest {
    let text = |text: &str| Some(text.to_owned());
    VolumeRequest { type_: text("host"), source: text(source), sticky: Some(true), ..VolumeRequest::default() }
}

#[test]
fn a_volume_is_placed_where_it_can_be_made() {
    let mut other = with_plugin(3);
    other.node_pool = "other".into();
    let mut world = World::new([nodes::ready(1), with_plugin(2), other]);
    let one = world.create(wanted("a"));
    assert_eq!((one.node_id, one.state), (nodes::id(2), HostVolumeState::Pending));
    // The name is taken there; no other node of the pool has the plugin.
    let why = create(&world.state, wanted("a"), at(1), &mut world.ids).expect_err("taken").to_string();
    assert!(why.contains("of 2 that were looked at"), "{why}");
    assert!(why.contains("1 has a volume \"a\" already") && why.contains("1 has no host volume plugin"), "{why}");
    world.register(with_plugin(1));
    assert_eq!(world.create(wanted("b")).node_id, nodes::id(1), "the one with fewer");
    let elsewhere = Wanted { node_pool: "other".to_owned(), ..wanted("c") };
    assert_eq!(world.create(elsewhere).node_id, nodes::id(3));
    let here = Wanted { node_id: Some(nodes::id(3)), ..wanted("d") };
    assert_eq!(&*world.create(here.clone()).node_pool, "other");
    let both = Wanted { node_pool: "default".to_owned(), ..here };
    let why = create(&world.state, both, at(1), &mut world.ids).expect_err("not in that pool").to_string();
    assert!(why.contains("is in pool \"other\""), "{why}");
}

#[test]
fn constraints_and_down_nodes_keep_volumes_away() {
    let mut world = World::new([with_plugin(1)]);
    let rule = |left: &str, right: &str| Constraint {
        l_target: Some(left.to_owned()),
        r_target: Some(right.to_owned()),
        operand: Some("=".to_owned()),
    };
    let asked = Wanted { constraints: vec![rule("${attr.kernel.name}", "plan9")], ..wanted("a") };
    let why = create(&world.state, asked, at(1), &mut world.ids).expect_err("no plan9").to_string();
    assert!(why.contains("1 does not meet \"${attr.kernel.name} = plan9\""), "{why}");
    let (node, status) = (nodes::id(1), NodeStatus::Down);
    world.done(Command::UpdateNodeStatus { node, status, event: None, now: at(2), evals: Vec::new() });
    let why = create(&world.state, wanted("a"), at(1), &mut world.ids).expect_err("down").to_string();
    assert!(why.contains("1 is down"), "{why}");
}

#[test]
fn wishes_that_can_not_be_are_refused_with_the_reason() {
    let mut world = World::new([with_plugin(1)]);
    let multi = Capability { access_mode: AccessMode::MultiNodeMultiWriter, ..WRITER };
    for (asked, why) in [
        (Wanted { name: String::new(), ..wanted("") }, "is missing"),
        (wanted("a/b"), "cannot include slashes"),
        (Wanted { capabilities: Vec::new(), ..wanted("a") }, "at least one capability"),
        (Wanted { capabilities: vec![multi], ..wanted("a") }, "none of a host volume"),
        (Wanted { capacity_min_bytes: 2, capacity_max_bytes: 1, ..wanted("a") }, "at least capacity_min"),
        (Wanted { namespace: "shop".to_owned(), ..wanted("a") }, "nonexistent namespace \"shop\""),
        (Wanted { node_pool: "none".to_owned(), ..wanted("a") }, "node pool \"none\" does not exist"),
        (Wanted { host_path: "/srv".to_owned(), ..wanted("a") }, "for volumes that are registered"),
        (Wanted { plugin_id: "../x".to_owned(), ..wanted("a") }, "cannot include slashes"),
        (Wanted { parameters: [("k".to_owned(), "v".repeat(40_000))].into(), ..wanted("a") }, "are the most"),
    ] {
        let said = create(&world.state, asked, at(1), &mut world.ids).expect_err(why).to_string();
        assert!(said.contains(why), "{said}");
    }
    let relative = Wanted { node_id: Some(nodes::id(1)), host_path: "srv".to_owned(), ..wanted("a") };
    let said = register(&world.state, relative, at(1), &mut world.ids).expect_err("relative").to_string();
    assert!(said.contains("absolute path"), "{said}");
    let nowhere = Wanted { host_path: "/srv".to_owned(), ..wanted("a") };
    let said = register(&world.state, nowhere, at(1), &mut world.ids).expect_err("nowhere").to_string();
    assert!(said.contains("node_id and host_path are needed"), "{said}");
}

#[test]
fn the_state_follows_from_the_node() {
    let mut world = World::new([with_plugin(1)]);
    let volume = world.create(wanted("a"));
    assert_eq!(world.of(&volume), HostVolumeState::Pending, "made, and not reported");
    world.report(&volume, true);
    assert_eq!(world.of(&volume), HostVolumeState::Ready);
    world.report(&volume, false);
    assert_eq!(world.of(&volume), HostVolumeState::Unavailable, "its node lost it");
    world.report(&volume, true);
    let (node, evals) = (volume.node_id, Vec::new());
    let down =
        Command::UpdateNodeStatus { node, status: NodeStatus::Down, event: None, now: at(3), evals: evals.clone() };
    world.done(down);
    assert_eq!(world.of(&volume), HostVolumeState::Unavailable);
    world.done(Command::UpdateNodeStatus {
        node,
        status: NodeStatus::Ready,
        event: None,
        now: at(4),
        evals: evals.clone(),
    });
    assert_eq!(world.of(&volume), HostVolumeState::Ready);
    world.done(Command::DeregisterNode { node, now: at(5), evals });
    assert_eq!(world.of(&volume), HostVolumeState::Unavailable, "it may come back");
    let copy = State::restore(&world.state.snapshot()).expect("a snapshot");
    assert_eq!(copy.host_volume(volume.id), world.state.host_volume(volume.id));
    assert_eq!(copy.host_volumes_by_node(volume.node_id).count(), 1);
}

#[test]
fn volumes_go_with_their_node_where_it_is_configured_so() {
    let mut world = World::new([Node { gc_volumes_on_node_gc: true, ..with_plugin(1) }]);
    let volume = world.ready("a");
    world.done(Command::DeregisterNode { node: volume.node_id, now: at(5), evals: Vec::new() });
    assert!(world.state.host_volume(volume.id).is_none());
}

#[test]
fn two_that_want_one_name_on_one_node() {
    let mut world = World::new([with_plugin(1)]);
    let first = create(&world.state, wanted("a"), at(1), &mut world.ids).expect("free");
    let second = create(&world.state, wanted("a"), at(1), &mut world.ids).expect("free as well");
    world.done(first.command);
    let refused = world.apply(second.command);
    assert_eq!(refused, Reply::Refused(tarpan_state::Rejection::Changed), "and it is decided anew");
}

#[test]
fn what_is_mounted_is_neither_changed_nor_deleted() {
    let mut world = World::new([with_plugin(1)]);
    let volume = world.ready("a");
    let job = world.job("writer", VolumeRequest { sticky: None, ..sticky("a") });
    let alloc = world.place(&job, volume.node_id);
    let why = delete(&world.state, volume.id, at(5)).expect_err("in use").to_string();
    assert_eq!(why, format!("volume {} in use by allocations: {alloc}", volume.id));
    let asked = Wanted { id: Some(volume.id), ..wanted("") };
    assert!(create(&world.state, asked.clone(), at(5), &mut world.ids).is_err());
    // The plan may come between the look and the command.
    world.ends(alloc);
    let deletion = delete(&world.state, volume.id, at(6)).expect("nobody's");
    let change = create(&world.state, asked, at(6), &mut world.ids).expect("nobody's");
    world.place(&job, volume.node_id);
    for command in [deletion.command, change.command] {
        assert_eq!(world.apply(command), Reply::Refused(tarpan_state::Rejection::Changed));
    }
}

#[test]
fn a_deletion_is_marked_first_and_may_be_taken_back() {
    let mut world = World::new([with_plugin(1)]);
    let volume = world.ready("a");
    let deletion = delete(&world.state, volume.id, at(5)).expect("nobody's");
    assert!(deletion.reachable);
    world.done(deletion.command);
    assert_eq!(world.of(&volume), HostVolumeState::Unavailable);
    world.report(&volume, true);
    assert_eq!(world.of(&volume), HostVolumeState::Unavailable, "whatever its node says");
    let taken_back = kept(&world.state, volume.id, at(6)).expect("there");
    world.done(taken_back);
    assert_eq!(world.of(&volume), HostVolumeState::Ready);
    let again = delete(&world.state, volume.id, at(7)).expect("nobody's").command;
    world.done(again);
    world.done(deleted(volume.id));
    assert_eq!(delete(&world.state, volume.id, at(8)), Err(VolumeError::NotFound));
    assert!(kept(&world.state, volume.id, at(8)).is_none());
}

#[test]
fn a_change_keeps_what_is_where() {
    let mut world = World::new([with_plugin(1)]);
    let volume = world.ready("a");
    let reader = Capability { access_mode: AccessMode::SingleNodeReaderOnly, ..WRITER };
    let asked = Wanted { id: Some(volume.id), capabilities: vec![reader], ..wanted("a") };
    let begun = create(&world.state, asked, at(5), &mut world.ids).expect("allowed");
    world.done(begun.command);
    let now = world.state.host_volume(volume.id).expect("there");
    assert_eq!((&now.capabilities, &now.host_path), (&vec![reader], &volume.host_path));
    assert_eq!((now.create_index, now.state), (volume.create_index, HostVolumeState::Ready));
    for (moved, what) in [
        (Wanted { name: "b".to_owned(), ..wanted("b") }, "name"),
        (Wanted { node_id: Some(nodes::id(9)), ..wanted("a") }, "node_id"),
        (Wanted { plugin_id: "other".to_owned(), ..wanted("a") }, "plugin_id"),
    ] {
        let asked = Wanted { id: Some(volume.id), ..moved };
        let said = create(&world.state, asked, at(6), &mut world.ids).expect_err(what).to_string();
        assert!(said.starts_with(what) && said.contains("can't be changed"), "{said}");
    }
    let back = not_made(&begun.volume, Some(&volume), at(7));
    world.done(back);
    assert_eq!(world.state.host_volume(volume.id).expect("there").capabilities, vec![WRITER]);
}

#[test]
fn sizes_that_differ_are_told() {
    let asked = |min, max| {
        let mut world = World::new([with_plugin(1)]);
        world.create(Wanted { capacity_min_bytes: min, capacity_max_bytes: max, ..wanted("a") })
    };
    let made = |bytes| Made { path: "/v".to_owned(), bytes };
    assert_eq!(warning(&asked(0, 0), &made(0)), None);
    assert!(warning(&asked(10, 0), &made(0)).expect("not held to").contains("does not say how large"));
    assert!(warning(&asked(10, 0), &made(5)).expect("small").contains("fewer than the 10"));
    assert!(warning(&asked(0, 10), &made(15)).expect("large").contains("more than the 10"));
    assert_eq!(warning(&asked(5, 10), &made(7)), None);
}

#[test]
fn a_sticky_group_holds_its_volume_until_it_is_let_go() {
    let mut world = World::new([with_plugin(1), with_plugin(2)]);
    let volume = world.ready("a");
    let job = world.job("db", sticky("a"));
    let first = world.place(&job, volume.node_id);
    assert_eq!(world.claims(), [(first, volume.id)]);
    world.ends(first);
    let second = world.place(&job, volume.node_id);
    assert_eq!(world.claims(), [(second, volume.id)], "the same claim goes on");
    let third = world.place(&job, volume.node_id);
    assert_eq!(world.claims().len(), 2, "one that runs beside it has its own");
    world.ends(third);
    let copy = State::restore(&world.state.snapshot()).expect("a snapshot");
    assert_eq!(copy.host_volume_claims().count(), 2);
    let claim = world.state.host_volume_claims().find(|c| c.alloc_id == third).expect("there").id;
    let command = delete_claim(&world.state, claim, at(6), &mut world.ids).expect("there");
    let Command::DeleteHostVolumeClaim { evals, .. } = &command else { panic!("{command:?}") };
    assert_eq!(evals.len(), 1, "its job is looked at");
    world.done(command);
    assert_eq!(world.claims(), [(second, volume.id)]);
    assert_eq!(delete_claim(&world.state, claim, at(7), &mut world.ids), Err(VolumeError::NoClaim));
}

/// No claim outlives what it is of: the volume, the job, or the node.
#[test]
fn claims_end_with_what_they_are_of() {
    let begin = || {
        let mut world = World::new([with_plugin(1)]);
        let volume = world.ready("a");
        let job = world.job("db", sticky("a"));
        let alloc = world.place(&job, volume.node_id);
        world.ends(alloc);
        assert_eq!(world.claims().len(), 1);
        (world, volume)
    };
    let (mut world, volume) = begin();
    world.done(deleted(volume.id));
    assert!(world.claims().is_empty(), "the volume");
    let (mut world, _) = begin();
    let job = NamespacedId::new("default", "db");
    let purge = DeregisterJob { job, purge: true, eval: None, no_shutdown_delay: false, now: at(6) };
    world.done(Command::DeregisterJob(purge));
    assert!(world.claims().is_empty(), "the job");
    let (mut world, volume) = begin();
    world.done(Command::DeregisterNode { node: volume.node_id, now: at(6), evals: Vec::new() });
    assert!(world.claims().is_empty(), "the node");
}

#[test]
fn a_volume_that_may_be_used_releases_who_waits_for_it() {
    let mut world = World::new([Node { computed_class: "c1".into(), ..with_plugin(1) }]);
    let volume = world.ready("a");
    let job = world.job("reader", VolumeRequest { sticky: None, read_only: Some(true), ..sticky("a") });
    let mut evals = crate::Evals::default();
    evals.restore(&world.state, at(2));
    world.state.take_events();
    let eval = Evaluation::for_job(EvalId(world.ids.next_uuid()), &job, Trigger::QueuedAllocs, at(3));
    let (status, snapshot_index) = (tarpan_model::EvalStatus::Blocked, world.state.index());
    let class_eligibility = [("c1".into(), true)].into_iter().collect();
    let eval = Evaluation { status, snapshot_index, class_eligibility, ..eval };
    world.done(Command::UpsertEvals { evals: vec![eval], now: at(3) });
    evals.observe(&world.state.take_events(), &world.state, at(3));
    assert_eq!(evals.blocked.len(), 1);
    let reader = Capability { access_mode: AccessMode::SingleNodeReaderOnly, ..WRITER };
    let asked = Wanted { id: Some(volume.id), capabilities: vec![WRITER, reader], ..wanted("a") };
    let begun = create(&world.state, asked, at(5), &mut world.ids).expect("allowed");
    world.done(begun.command);
    evals.observe(&world.state.take_events(), &world.state, at(5));
    assert!(evals.blocked.is_empty());
}
