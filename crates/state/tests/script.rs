//! Properties over generated histories: apply order alone decides state; a snapshot is the state; usage is the sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::deployment::{Deployment, DeploymentGroup, DeploymentUpdate};
use tarpan_model::ids::{CountingIds, DeploymentId, EvalId, IdSource, NamespacedId};
use tarpan_model::plan::{AllocStop, PlanResult};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, ClientStatus, DeploymentStatus, Dur, EvalStatus, NodeStatus, Plan, UnixNanos};
use tarpan_state::command::{ApplyPlan, DeregisterJob, RegisterJob, UpdateDeployment};
use tarpan_state::{Command, CommandId, Envelope, NodeUsage, State};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};

const IDS: [&str; 3] = ["web", "nightly", "cache"];

/// One step of a history; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Node(u8),
    NodeStatus(u8, bool),
    NodeGone(u8),
    Register(u8, u8),
    Deregister(u8, bool),
    Place(u8, u8, u8),
    Stop(u8),
    Report(u8, u8),
    Transition(u8),
    FinishEval(u8, bool),
    Deployment(u8, u8),
    Service(u8),
    Reap(u8),
    Repeat,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(Step::Node),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(n, up)| Step::NodeStatus(n, up)),
        1 => any::<u8>().prop_map(Step::NodeGone),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(j, c)| Step::Register(j, c)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(j, p)| Step::Deregister(j, p)),
        6 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(j, n, c)| Step::Place(j, n, c)),
        2 => any::<u8>().prop_map(Step::Stop),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(a, s)| Step::Report(a, s)),
        1 => any::<u8>().prop_map(Step::Transition),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(e, ok)| Step::FinishEval(e, ok)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(d, what)| Step::Deployment(d, what)),
        1 => any::<u8>().prop_map(Step::Service),
        1 => any::<u8>().prop_map(Step::Reap),
        1 => Just(Step::Repeat),
    ]
}

fn pick<T>(mut items: impl Iterator<Item = T>, count: usize, by: u8) -> Option<T> {
    (count > 0).then(|| items.nth(usize::from(by) % count)).flatten()
}

fn key(job: u8) -> NamespacedId {
    NamespacedId::new("default", IDS[usize::from(job) % IDS.len()])
}

fn some_alloc(state: &State, by: u8) -> Option<Arc<Allocation>> {
    pick(state.allocs(), state.allocs().count(), by).cloned()
}

/// The command of a step in this state; `None` when there is nothing it could be about.
fn command(state: &State, step: &Step, ids: &mut CountingIds, now: UnixNanos) -> Option<Command> {
    Some(match step {
        Step::Node(n) => Command::UpsertNode { node: Box::new(nodes::ready(u32::from(n % 4))), now, evals: Vec::new() },
        Step::NodeStatus(n, up) => Command::UpdateNodeStatus {
            node: nodes::id(u32::from(n % 4)),
            status: if *up { NodeStatus::Ready } else { NodeStatus::Down },
            event: None,
            now,
            evals: Vec::new(),
        },
        Step::NodeGone(n) => Command::DeregisterNode { node: nodes::id(u32::from(n % 4)), now, evals: Vec::new() },
        Step::Register(j, count) => {
            let id = IDS[usize::from(*j) % IDS.len()];
            let count = i64::from(count % 4);
            let job = if id == "nightly" { jobs::batch(id, count) } else { jobs::service(id, count) };
            let eval = evals::register(&job, ids);
            Command::RegisterJob(Box::new(RegisterJob {
                job,
                eval: Some(eval),
                submission: None,
                enforce_index: None,
                preserve_counts: false,
                now,
            }))
        }
        Step::Deregister(j, purge) => Command::DeregisterJob(DeregisterJob {
            job: key(*j),
            purge: *purge,
            eval: None,
            no_shutdown_delay: *purge,
            now,
        }),
        Step::Place(j, n, count) => return place(state, *j, *n, count % 5, ids, now),
        Step::Stop(a) => {
            let alloc = some_alloc(state, *a)?;
            let mut plan = Plan::new(alloc.eval_id, alloc.job_key(), 50, state.index());
            let stop = AllocStop {
                id: alloc.id,
                description: "alloc not needed due to job update".into(),
                client_status: (a % 3 == 0).then_some(ClientStatus::Lost),
                followup_eval: None,
                reschedule: None,
            };
            plan.stops.insert(alloc.node_id, vec![stop]);
            apply_plan(plan, now)
        }
        Step::Report(a, s) => {
            let alloc = some_alloc(state, *a)?;
            let mut update = allocs::report(&alloc, ClientStatus::ALL[usize::from(*s) % 4], now);
            update.healthy = [None, Some(true), Some(false)][usize::from(*s) % 3];
            Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now }
        }
        Step::Transition(a) => {
            let wish = DesiredTransition { migrate: Some(true), ..DesiredTransition::default() };
            Command::SetTransitions { allocs: [(some_alloc(state, *a)?.id, wish)].into(), evals: Vec::new(), now }
        }
        Step::FinishEval(e, ok) => {
            let mut eval = (**pick(state.evals(), state.evals().count(), *e)?).clone();
            eval.status = if *ok { EvalStatus::Complete } else { EvalStatus::Blocked };
            eval.queued_allocations.insert("group".into(), u64::from(*e % 3));
            Command::UpsertEvals { evals: vec![eval], now }
        }
        Step::Deployment(d, what) => {
            let id = pick(state.deployments(), state.deployments().count(), *d)?.id;
            let status = [DeploymentStatus::Successful, DeploymentStatus::Failed, DeploymentStatus::Paused];
            let status = DeploymentUpdate { id, status: status[usize::from(*what) % 3], description: "…".into() };
            Command::UpdateDeployment(Box::new(UpdateDeployment {
                id,
                status: Some(status),
                promote: None,
                healthy: Vec::new(),
                unhealthy: Vec::new(),
                revert_to: None,
                eval: None,
                now,
            }))
        }
        Step::Service(a) => {
            let alloc = some_alloc(state, *a)?;
            Command::UpsertServices {
                services: vec![ServiceRegistration {
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
                }],
            }
        }
        Step::Reap(n) => {
            let keep = |id: u128| id % 7 == u128::from(n % 7);
            Command::Reap {
                evals: state.evals().map(|e| e.id).filter(|id| keep(id.0.as_u128())).collect(),
                allocs: state.allocs().map(|a| a.id).filter(|id| keep(id.0.as_u128())).collect(),
                seen: 0,
            }
        }
        Step::Repeat => return None,
    })
}

fn place(state: &State, j: u8, n: u8, count: u8, ids: &mut CountingIds, now: UnixNanos) -> Option<Command> {
    let job = state.job(&key(j))?;
    let node = pick(state.nodes(), state.nodes().count(), n)?;
    let mut plan = Plan::new(EvalId(ids.next_uuid()), job.key(), 50, state.index());
    let known = state.latest_deployment(&job.key()).filter(|d| d.active() && d.job_version == job.version());
    let deployment = known.map(|d| d.id).unwrap_or_else(|| DeploymentId(ids.next_uuid()));
    if known.is_none() && n.is_multiple_of(2) {
        plan.deployment = Some(deployment_of(job, deployment, now));
    }
    let rows = (0..count).map(|i| {
        let mut alloc = allocs::place(job, node, plan.eval_id, u32::from(i), ids);
        alloc.deployment_id = (known.is_some() || plan.deployment.is_some()).then_some(deployment);
        allocs::with_ports(alloc, &[("http", 20_000 + u16::from(n % 8) * 8 + u16::from(i))])
    });
    let rows: Vec<Allocation> = rows.collect();
    plan.placements.insert(node.id, rows);
    Some(apply_plan(plan, now))
}

fn deployment_of(job: &Arc<tarpan_model::Job>, id: DeploymentId, now: UnixNanos) -> Deployment {
    let group = DeploymentGroup { desired_total: 2, progress_deadline: Dur::from_secs(600), ..Default::default() };
    Deployment {
        id,
        namespace: job.key().namespace,
        job_id: job.key().id,
        job_version: job.version(),
        job_modify_index: job.job_modify_index.unwrap_or(0),
        job_spec_modify_index: job.job_modify_index.unwrap_or(0),
        job_create_index: job.create_index.unwrap_or(0),
        groups: BTreeMap::from([("group".into(), group)]),
        status: DeploymentStatus::Running,
        status_description: "Deployment is running".into(),
        eval_priority: 50,
        create_index: 0,
        modify_index: 0,
        create_time: now,
        modify_time: now,
    }
}

fn apply_plan(plan: Plan, now: UnixNanos) -> Command {
    Command::ApplyPlan(Box::new(ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now }))
}

/// Plays a history, in entries of one to three commands; gives the state and the entries as bytes.
fn play(steps: &[Step]) -> (State, Vec<(u64, Vec<u8>)>) {
    let (mut state, mut ids, mut log) = (State::default(), CountingIds::default(), Vec::new());
    let mut last: Option<Envelope> = None;
    for (i, step) in steps.iter().enumerate() {
        let now = at(i as i64);
        let envelope = match step {
            Step::Repeat => last.clone(),
            _ => command(&state, step, &mut ids, now)
                .map(|command| Envelope { id: CommandId(ids.next_uuid().as_u128()), command }),
        };
        let Some(envelope) = envelope else { continue };
        let batch = vec![envelope.clone(), Envelope { id: CommandId(u128::MAX), command: Command::Noop }];
        last = Some(envelope);
        let index = i as u64 + 10;
        log.push((index, rmp_serde::to_vec_named(&batch).unwrap()));
        state.apply(index, &batch);
        state.take_events();
    }
    (state, log)
}

fn recomputed_usage(state: &State) -> BTreeMap<tarpan_model::NodeId, NodeUsage> {
    let mut usage: BTreeMap<_, NodeUsage> = BTreeMap::new();
    for alloc in state.allocs().filter(|a| !a.terminal()) {
        usage.entry(alloc.node_id).or_default().add(alloc);
    }
    usage
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn order_alone_decides(steps in prop::collection::vec(step(), 1..80)) {
        let (state, log) = play(&steps);
        let mut replayed = State::default();
        for (index, bytes) in &log {
            let batch: Vec<Envelope> = rmp_serde::from_slice(bytes).unwrap();
            replayed.apply(*index, &batch);
        }
        prop_assert!(replayed.snapshot() == state.snapshot());
    }

    #[test]
    fn restoring_is_identity(steps in prop::collection::vec(step(), 1..80), later in prop::collection::vec(step(), 0..20)) {
        let (mut state, _) = play(&steps);
        let bytes = state.snapshot();
        let mut restored = State::restore(&bytes).unwrap();
        prop_assert!(restored.snapshot() == bytes);
        let made: Vec<_> = restored.allocs_made(None, false).map(|row| (row.create_index, row.id)).collect();
        prop_assert!(made.is_sorted() && made.len() == restored.allocs().count(), "{:?}", made);
        let back: Vec<_> = state.allocs_made(None, true).map(|row| (row.create_index, row.id)).collect();
        prop_assert!(made.iter().rev().eq(&back));
        // Indexes and counts too: both go on alike.
        let mut ids = CountingIds(1 << 64);
        for (i, step) in later.iter().enumerate() {
            let Some(command) = command(&state, step, &mut ids, at(1_000)) else { continue };
            let batch = [Envelope { id: CommandId(ids.next_uuid().as_u128()), command }];
            let index = 10_000 + i as u64;
            prop_assert_eq!(state.apply(index, &batch), restored.apply(index, &batch));
            prop_assert_eq!(state.take_events().len(), restored.take_events().len());
        }
        prop_assert!(restored.snapshot() == state.snapshot());
    }

    #[test]
    fn usage_is_the_sum(steps in prop::collection::vec(step(), 1..80)) {
        let (state, _) = play(&steps);
        let kept: BTreeMap<_, NodeUsage> =
            (0..4).filter_map(|i| state.usage(nodes::id(i)).map(|u| (nodes::id(i), (**u).clone()))).collect();
        prop_assert_eq!(kept, recomputed_usage(&state));
    }

    #[test]
    fn counts_of_jobs_are_the_sums(steps in prop::collection::vec(step(), 1..80)) {
        let (state, _) = play(&steps);
        for j in 0..3 {
            let key = key(j);
            let live = state.job_live(&key);
            prop_assert_eq!(live.allocs as usize, state.allocs_by_job(&key).filter(|a| !a.terminal()).count());
            prop_assert_eq!(live.evals as usize, state.evals_by_job(&key).filter(|e| !e.terminal()).count());
            prop_assert_eq!(live.evals_total as usize, state.evals_by_job(&key).count());
            prop_assert_eq!(live.deployments as usize, state.deployments_by_job(&key).filter(|d| d.active()).count());
            prop_assert!(state.job_versions(&key).count() <= 7);
        }
        let open: Vec<_> = state.evals().filter(|e| !e.terminal()).map(|e| e.id).collect();
        prop_assert_eq!(state.open_evals().map(|e| e.id).collect::<Vec<_>>(), open);
        for service in state.services() {
            prop_assert!(state.alloc(service.alloc_id).is_some_and(|a| !a.terminal() || a.server_terminal()));
        }
    }
}
