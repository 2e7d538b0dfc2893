//! What single commands do: versions, summaries, job status, services, tags, idempotence, events.

use std::sync::Arc;

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::ids::{CountingIds, DeploymentId, EvalId, IdSource, KeyId, NamespacedId};
use tarpan_model::plan::{AllocStop, PlanResult};
use tarpan_model::root_key::{Bytes, RootKey, RootKeyState, RsaPublicKey, WrappedKey};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, ClientStatus, EvalStatus, Evaluation, Job, NodeStatus, Plan, ScalingEvent};
use tarpan_state::command::{ApplyPlan, DeregisterJob, RegisterJob, ScaleJob};
use tarpan_state::{Command, CommandId, Envelope, GroupSummary, JobSubmission, Rejection, Reply, State, Table};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};

#[derive(Default)]
struct World {
    state: State,
    ids: CountingIds,
}

fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

impl World {
    fn new() -> World {
        let mut world = World::default();
        world.apply(Command::UpsertNode { node: Box::new(nodes::ready(1)), now: at(0), evals: Vec::new() });
        world
    }

    fn apply(&mut self, command: Command) -> Reply {
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0)
    }

    fn register(&mut self, job: Job) -> Reply {
        self.register_if(job, None)
    }

    fn register_if(&mut self, job: Job, enforce_index: Option<u64>) -> Reply {
        let eval = (!job.is_periodic() && !job.is_parameterized()).then(|| evals::register(&job, &mut self.ids));
        let submission = JobSubmission { source: format!("job {:?}", job.id()), ..JobSubmission::default() };
        self.apply(Command::RegisterJob(Box::new(RegisterJob {
            job,
            eval,
            submission: Some(submission),
            enforce_index,
            preserve_counts: false,
            now: at(0),
        })))
    }

    fn deregister(&mut self, id: &str, purge: bool) -> Reply {
        self.apply(Command::DeregisterJob(DeregisterJob {
            job: key(id),
            purge,
            eval: None,
            no_shutdown_delay: false,
            now: at(9),
        }))
    }

    fn job(&self, id: &str) -> Arc<Job> {
        self.state.job(&key(id)).expect("registered").clone()
    }

    /// Places `count` instances on node 1.
    fn place(&mut self, id: &str, count: u32) -> Vec<Allocation> {
        let (job, node) = (self.job(id), self.state.node(nodes::id(1)).unwrap().clone());
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), job.key(), 50, self.state.index());
        let rows: Vec<Allocation> =
            (0..count).map(|i| allocs::place(&job, &node, plan.eval_id, i, &mut self.ids)).collect();
        plan.placements.insert(node.id, rows.clone());
        self.plan(plan);
        rows
    }

    fn plan(&mut self, plan: Plan) {
        let apply = ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(1) };
        let reply = self.apply(Command::ApplyPlan(Box::new(apply)));
        assert!(matches!(reply, Reply::Planned(_)), "{reply:?}");
    }

    fn report(&mut self, alloc: &Allocation, status: ClientStatus) {
        let updates = vec![allocs::report(alloc, status, at(2))];
        self.apply(Command::UpdateAllocs { updates, evals: Vec::new(), now: at(2) });
    }

    fn stop(&mut self, alloc: &Allocation) {
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), alloc.job_key(), 50, self.state.index());
        let stop = AllocStop {
            id: alloc.id,
            description: "alloc not needed due to job update".into(),
            client_status: None,
            followup_eval: None,
            reschedule: None,
        };
        plan.stops.insert(alloc.node_id, vec![stop]);
        self.plan(plan);
    }

    fn finish_evals(&mut self) {
        let done = self.state.evals().filter(|e| !e.terminal());
        let evals = done.map(|e| Evaluation { status: EvalStatus::Complete, ..(**e).clone() }).collect();
        self.apply(Command::UpsertEvals { evals, now: at(3) });
    }

    fn status(&self, id: &str) -> String {
        self.job(id).status.clone().unwrap_or_default()
    }

    fn summary(&self, id: &str) -> GroupSummary {
        self.state.job_summary(&key(id)).unwrap().groups["group"]
    }
}

fn with_memory(mb: i64) -> Job {
    let mut job = jobs::service("web", 2);
    jobs::resources_mut(&mut job).memory_mb = Some(mb);
    job
}

#[test]
fn a_changed_job_is_a_new_version_and_an_unchanged_one_is_not() {
    let mut world = World::new();
    let Reply::Registered { version, job_modify_index: created, index, .. } = world.register(with_memory(64)) else {
        panic!("refused")
    };
    assert_eq!((version, created), (0, index));
    let Reply::Registered { version, job_modify_index, eval_id, .. } = world.register(with_memory(64)) else {
        panic!("refused")
    };
    assert_eq!((version, job_modify_index), (0, created));
    assert_eq!(world.state.eval(eval_id.unwrap()).unwrap().job_modify_index, created, "it is looked at all the same");
    world.register(with_memory(65));
    let job = world.job("web");
    assert_eq!((job.version(), job.create_index), (1, Some(created)));
    assert_eq!(world.state.job_versions(&key("web")).map(|j| j.version()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn six_versions_are_kept_and_tagged_ones_beyond() {
    let mut world = World::new();
    world.register(with_memory(100));
    let tag = |name: &str, version, remove| Command::TagJobVersion {
        job: key("web"),
        version,
        name: name.to_owned(),
        description: String::new(),
        now: at(1),
        remove,
    };
    world.apply(tag("golden", 0, false));
    for mb in 1..=8 {
        world.register(with_memory(100 + mb));
    }
    let versions = |world: &World| world.state.job_versions(&key("web")).map(|j| j.version()).collect::<Vec<_>>();
    assert_eq!(versions(&world), [8, 7, 6, 5, 4, 3, 0]);
    assert!(world.state.job_submission(&key("web"), 3).is_some());
    assert!(world.state.job_submission(&key("web"), 2).is_none());
    let Reply::Refused(refused) = world.apply(tag("golden", 8, false)) else { panic!("not refused") };
    assert_eq!(refused.to_string(), "tag \"golden\" already exists on a different version of job \"web\"");
    world.apply(tag("golden", 0, true));
    world.register(with_memory(200));
    assert_eq!(versions(&world), [9, 8, 7, 6, 5, 4, 0]);
}

#[test]
fn the_newest_stable_version_survives_a_round() {
    let mut world = World::new();
    world.register(with_memory(100));
    world.apply(Command::SetJobStability { job: key("web"), version: 0, stable: true });
    for mb in 1..=6 {
        world.register(with_memory(100 + mb));
    }
    let versions: Vec<u64> = world.state.job_versions(&key("web")).map(|j| j.version()).collect();
    assert_eq!(versions, [6, 5, 4, 3, 2, 0]);
}

#[test]
fn an_enforced_index_has_the_fields_texts() {
    let mut world = World::new();
    let refused = |reply: Reply| match reply {
        Reply::Refused(refused) => refused.to_string(),
        reply => panic!("{reply:?}"),
    };
    let text = refused(world.register_if(with_memory(64), Some(7)));
    assert_eq!(text, "Enforcing job modify index 7: job does not exist");
    world.register_if(with_memory(64), Some(0));
    let index = world.job("web").job_modify_index.unwrap();
    let text = refused(world.register_if(with_memory(65), Some(0)));
    assert_eq!(text, "Enforcing job modify index 0: job already exists");
    let text = refused(world.register_if(with_memory(65), Some(index + 5)));
    let expected = format!("job exists with conflicting job modify index: {index}");
    assert_eq!(text, format!("Enforcing job modify index {}: {expected}", index + 5));
    assert!(matches!(world.register_if(with_memory(65), Some(index)), Reply::Registered { version: 1, .. }));
}

#[test]
fn status_and_summary_follow_allocations_and_evaluations() {
    let mut world = World::new();
    world.register(jobs::batch("nightly", 2));
    assert_eq!(world.status("nightly"), "pending");
    let rows = world.place("nightly", 2);
    assert_eq!((world.status("nightly").as_str(), world.summary("nightly").starting), ("running", 2));
    world.finish_evals();
    world.report(&rows[0], ClientStatus::Running);
    world.report(&rows[0], ClientStatus::Complete);
    world.report(&rows[1], ClientStatus::Failed);
    assert_eq!(world.status("nightly"), "dead");
    assert_eq!(world.summary("nightly"), GroupSummary { complete: 1, failed: 1, ..GroupSummary::default() });
    assert!(world.state.usage(nodes::id(1)).is_none());
}

#[test]
fn a_successful_evaluation_cancels_the_blocked_ones_of_its_job() {
    let mut world = World::new();
    world.register(jobs::service("web", 1));
    let mut blocked = evals::register(&world.job("web"), &mut world.ids);
    blocked.status = EvalStatus::Blocked;
    blocked.queued_allocations.insert("group".into(), 3);
    world.apply(Command::UpsertEvals { evals: vec![blocked.clone()], now: at(1) });
    assert_eq!(world.summary("web").queued, 3);
    let done = world.state.evals().find(|e| e.status == EvalStatus::Pending).unwrap().clone();
    let done = Evaluation { status: EvalStatus::Complete, ..(*done).clone() };
    world.apply(Command::UpsertEvals { evals: vec![done.clone()], now: at(2) });
    let row = world.state.eval(blocked.id).unwrap();
    assert_eq!(row.status, EvalStatus::Canceled);
    assert_eq!(&*row.status_description, format!("evaluation \"{}\" successful", done.id));
}

#[test]
fn stopping_keeps_the_job_and_purging_does_not() {
    let mut world = World::new();
    world.register(jobs::service("web", 1));
    let rows = world.place("web", 1);
    world.deregister("web", false);
    assert_eq!((world.job("web").stopped(), world.job("web").version()), (true, 1));
    world.stop(&rows[0]);
    world.finish_evals();
    assert_eq!(world.status("web"), "dead");
    world.deregister("web", true);
    assert!(world.state.job(&key("web")).is_none());
    assert!(world.state.job_summary(&key("web")).is_none());
    assert_eq!(world.state.job_versions(&key("web")).count(), 0);
    assert_eq!(world.state.alloc(rows[0].id).unwrap().job.id(), "web", "what ran still knows what it ran");
    assert_eq!(world.deregister("web", true), Reply::Done { index: world.state.index() });
}

#[test]
fn a_late_placement_of_a_stopped_job_is_dropped() {
    let mut world = World::new();
    world.register(jobs::service("web", 1));
    let job = world.job("web");
    let mut plan = Plan::new(EvalId(world.ids.next_uuid()), job.key(), 50, world.state.index());
    let node = world.state.node(nodes::id(1)).unwrap().clone();
    plan.placements.insert(node.id, vec![allocs::place(&job, &node, plan.eval_id, 0, &mut world.ids)]);
    world.deregister("web", false);
    world.plan(plan);
    assert_eq!(world.state.allocs().count(), 0);
}

#[test]
fn a_replacement_is_linked_and_reports_do_not_wake_agents() {
    let mut world = World::new();
    world.register(jobs::service("web", 1));
    let old = world.place("web", 1).remove(0);
    let before = world.state.alloc(old.id).unwrap().alloc_modify_index;
    world.report(&old, ClientStatus::Failed);
    assert_eq!(world.state.alloc(old.id).unwrap().alloc_modify_index, before);
    let (job, node) = (world.job("web"), world.state.node(nodes::id(1)).unwrap().clone());
    let mut plan = Plan::new(EvalId(world.ids.next_uuid()), job.key(), 50, world.state.index());
    let mut new = allocs::place(&job, &node, plan.eval_id, 0, &mut world.ids);
    new.previous = Some(old.id);
    plan.placements.insert(node.id, vec![new.clone()]);
    world.plan(plan);
    assert_eq!(world.state.alloc(old.id).unwrap().next, Some(new.id));
}

#[test]
fn services_go_with_their_allocation() {
    let mut world = World::new();
    world.register(jobs::service("redis", 1));
    let alloc = world.place("redis", 1).remove(0);
    let service = |alloc: &Allocation| ServiceRegistration {
        id: format!("_nomad-task-{}-group-group-redis-svc-redis", alloc.id).into(),
        service_name: "redis-svc".into(),
        namespace: alloc.namespace.clone(),
        node_id: alloc.node_id,
        datacenter: "dc1".into(),
        job_id: alloc.job_id.clone(),
        alloc_id: alloc.id,
        tags: Vec::new(),
        address: "10.0.0.1".into(),
        port: 6379,
        create_index: 0,
        modify_index: 0,
    };
    let count = |world: &World| world.state.service(&"default".into(), "redis-svc").count();
    world.apply(Command::UpsertServices { services: vec![service(&alloc)] });
    assert_eq!(count(&world), 1);
    world.apply(Command::DeleteServices { ids: vec![service(&alloc).id, "unknown".into()], node: None });
    assert_eq!(count(&world), 0);
    world.apply(Command::UpsertServices { services: vec![service(&alloc)] });
    world.report(&alloc, ClientStatus::Complete);
    assert_eq!(count(&world), 0);
    world.apply(Command::UpsertServices { services: vec![service(&alloc)] });
    assert_eq!(count(&world), 0, "too late: nobody would remove it");
}

#[test]
fn children_are_counted_by_their_parent() {
    let mut world = World::new();
    world.register(jobs::periodic("employee", "0/3 * * * * * *"));
    assert_eq!(world.status("employee"), "running");
    let child = Job { parent_id: Some("employee".to_owned()), ..jobs::batch("employee/periodic-1767225603", 1) };
    world.register(child);
    let children = |world: &World| world.state.job_summary(&key("employee")).unwrap().children.unwrap();
    assert_eq!((children(&world).pending, children(&world).running), (1, 0));
    assert_eq!(world.state.periodic_launch(&key("employee")).unwrap().launch, at(3));
    let row = world.place("employee/periodic-1767225603", 1).remove(0);
    assert_eq!((children(&world).pending, children(&world).running), (0, 1));
    world.finish_evals();
    world.report(&row, ClientStatus::Complete);
    assert_eq!((children(&world).running, children(&world).dead), (0, 1));
    assert_eq!(world.state.job_children(&key("employee")).count(), 1);
    world.deregister("employee/periodic-1767225603", true);
    assert_eq!((children(&world).dead, world.state.job_children(&key("employee")).count()), (1, 0));
}

#[test]
fn a_repeated_command_answers_as_before_and_a_refused_one_harms_nobody() {
    let mut world = World::new();
    let command = |n: u128, command| Envelope { id: CommandId(n), command };
    let gone = Command::UpdateNodeStatus {
        node: nodes::id(9),
        status: NodeStatus::Ready,
        event: None,
        now: at(0),
        evals: Vec::new(),
    };
    let node = Command::UpsertNode { node: Box::new(nodes::ready(2)), now: at(0), evals: Vec::new() };
    let batch = [command(1 << 64, gone), command(2 << 64, node), command(3 << 64, Command::Noop)];
    let first = world.state.apply(50, &batch);
    assert_eq!(first, [Reply::Refused(Rejection::NodeNotFound), Reply::Done { index: 50 }, Reply::Done { index: 50 }]);
    let events = world.state.take_events();
    assert_eq!(world.state.apply(51, &batch), first);
    assert_eq!(world.state.take_events(), []);
    assert_eq!(events.last().unwrap().kind, "NodeRegistration");
    let mut restored = State::restore(&world.state.snapshot()).unwrap();
    assert_eq!(restored.apply(52, &batch), first, "a restored server remembers too");
}

#[test]
fn a_report_that_comes_late_does_not_take_an_end_back() {
    let mut world = World::new();
    world.register(with_memory(64));
    let row = world.place("web", 1).remove(0);
    for status in [ClientStatus::Complete, ClientStatus::Running, ClientStatus::Pending] {
        let updates = vec![allocs::report(&row, status, at(2))];
        world.apply(Command::UpdateAllocs { updates, evals: Vec::new(), now: at(2) });
        assert_eq!(world.state.alloc(row.id).expect("there").client_status, ClientStatus::Complete);
    }
}

#[test]
fn health_watched_for_one_deployment_is_not_that_of_the_next() {
    let mut world = World::new();
    world.register(with_memory(64));
    let row = world.place("web", 1).remove(0);
    let (first, second) = (DeploymentId(world.ids.next_uuid()), DeploymentId(world.ids.next_uuid()));
    let move_to = |world: &mut World, deployment| {
        let mut plan = Plan::new(EvalId(world.ids.next_uuid()), key("web"), 50, world.state.index());
        let moved = Allocation { deployment_id: Some(deployment), deployment_status: None, ..row.clone() };
        plan.placements.insert(row.node_id, vec![moved]);
        world.plan(plan);
    };
    let report = |world: &mut World, health_of| {
        let update =
            AllocUpdate { healthy: Some(true), health_of, ..allocs::report(&row, ClientStatus::Running, at(2)) };
        world.apply(Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now: at(2) });
        world.state.alloc(row.id).expect("there").deployment_status.and_then(|s| s.healthy)
    };
    move_to(&mut world, first);
    assert_eq!(report(&mut world, Some(first)), Some(true));
    move_to(&mut world, second);
    assert_eq!(report(&mut world, Some(first)), None, "that was on its way while the row changed");
    assert_eq!(report(&mut world, Some(DeploymentId::NIL)), None, "of a time without any deployment");
    assert_eq!(report(&mut world, Some(second)), Some(true));
    move_to(&mut world, first);
    assert_eq!(report(&mut world, None), Some(true), "agents of earlier releases do not say");
}

fn root_key(n: u128) -> RootKey {
    let bytes = |text: &str| Bytes(text.as_bytes().to_vec());
    let wrapped = WrappedKey {
        provider: "aead".to_owned(),
        data_key: bytes("sealed"),
        signing_key: bytes("sealed"),
        wrapping_key: bytes("key"),
    };
    RootKey {
        id: KeyId(uuid::Uuid::from_u128(n)),
        state: RootKeyState::Active,
        create_time: at(1),
        public: RsaPublicKey { modulus: bytes("n"), exponent: bytes("e") },
        wrapped,
        active_since: 0,
        create_index: 0,
        modify_index: 0,
    }
}

#[test]
fn there_is_one_first_root_key() {
    let mut world = World::new();
    let placed_before = world.state.index();
    assert!(matches!(world.apply(Command::InitRootKey(Box::new(root_key(1)))), Reply::Done { .. }));
    let index = world.state.index();
    let second = world.apply(Command::InitRootKey(Box::new(root_key(2))));
    assert_eq!(second, Reply::Refused(Rejection::Changed), "another leader was faster");
    let key = world.state.active_root_key().expect("one").clone();
    assert_eq!((key.id, key.create_index, key.active_since), (root_key(1).id, index, index));
    assert_eq!(world.state.table_index(Table::RootKeys), index);
    // What was placed before there was a key is signed for by the first one.
    for placed in [placed_before, index, index + 9] {
        assert_eq!(world.state.signing_key(placed).map(|k| k.id), Some(key.id));
    }
    let restored = State::restore(&world.state.snapshot()).expect("a snapshot");
    assert_eq!(restored.active_root_key(), Some(&key));
}

#[test]
fn twenty_scaling_events_a_group_are_kept_as_long_as_the_job_is() {
    let mut world = World::new();
    let scale = |world: &mut World, group: &str, register, message: String| {
        let event = ScalingEvent { time: at(1), message, ..ScalingEvent::default() };
        world.apply(Command::ScaleJob(Box::new(ScaleJob { job: key("web"), group: group.into(), register, event })))
    };
    assert_eq!(scale(&mut world, "group", None, String::new()), Reply::Refused(Rejection::JobNotFound));
    world.register(with_memory(64));
    for n in 0..25 {
        scale(&mut world, "group", None, n.to_string());
    }
    let more = RegisterJob::of(jobs::service("web", 5), None, at(2));
    let reply = scale(&mut world, "other", Some(more), "more".to_owned());
    assert!(matches!(reply, Reply::Registered { version: 1, .. }), "{reply:?}");
    let refused = RegisterJob { enforce_index: Some(1), ..RegisterJob::of(jobs::service("web", 6), None, at(2)) };
    let reply = scale(&mut world, "other", Some(refused), "refused".to_owned());
    assert!(matches!(reply, Reply::Refused(Rejection::JobModifyIndex { .. })), "{reply:?}");

    let restored = State::restore(&world.state.snapshot()).expect("its own bytes");
    let events = restored.scaling_events(&key("web")).expect("kept").clone();
    assert_eq!(&events, world.state.scaling_events(&key("web")).expect("kept"));
    let said = |group: &str| events.groups[group].iter().map(|e| e.message.as_str()).collect::<Vec<_>>();
    assert_eq!(said("other"), ["more"]);
    assert_eq!((said("group").len(), said("group")[0], said("group")[19]), (20, "24", "5"));
    let newest = &events.groups["other"][0];
    assert_eq!(
        (newest.create_index, events.modify_index),
        (world.job("web").job_modify_index.unwrap(), newest.create_index)
    );
    assert_eq!(world.state.table_index(Table::ScalingEvents), newest.create_index);

    world.deregister("web", false);
    assert!(world.state.scaling_events(&key("web")).is_some());
    world.deregister("web", true);
    assert!(world.state.scaling_events(&key("web")).is_none());
}

#[test]
fn a_version_that_nobody_has_looked_at_waits() {
    let mut world = World::new();
    world.register(jobs::service("web", 1));
    world.register(jobs::parameterized("setup", &[]));
    let status = |id: &str| world.state.job_version(&key(id), 0).and_then(|job| job.status.clone());
    assert_eq!((status("web").as_deref(), status("setup").as_deref()), (Some("pending"), Some("running")));
}
