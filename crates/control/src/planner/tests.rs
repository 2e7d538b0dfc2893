//! Plans that fit, that don't, and generated rushes that must never overcommit a node.

use std::sync::Arc;

use proptest::prelude::*;
use tarpan_model::ids::{CountingIds, IdSource};
use tarpan_model::plan::{AllocPreemption, AllocStop};
use tarpan_model::{EvalStatus, Job, Node};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, CommandId, Envelope, Reply};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};

use super::*;

/// A state and what is needed to change it.
struct World {
    state: State,
    ids: CountingIds,
    planner: Planner,
}

impl World {
    fn new(nodes: impl IntoIterator<Item = Node>, jobs: impl IntoIterator<Item = Job>) -> World {
        let mut world = World { state: State::default(), ids: CountingIds::default(), planner: Planner::default() };
        for node in nodes {
            world.apply(Command::UpsertNode { node: Box::new(node), now: at(0), evals: Vec::new() });
        }
        for job in jobs {
            let eval = Some(evals::register(&job, &mut world.ids));
            world.apply(Command::RegisterJob(Box::new(RegisterJob {
                job,
                eval,
                submission: None,
                enforce_index: None,
                preserve_counts: false,
                now: at(0),
            })));
        }
        world
    }

    fn apply(&mut self, command: Command) -> Reply {
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0)
    }

    fn job(&self, id: &str) -> Arc<Job> {
        self.state.job(&tarpan_model::NamespacedId::new("default", id)).expect("registered").clone()
    }

    /// A plan of `counts` placements by node.
    fn plan(&mut self, job: &str, counts: &[(u32, usize)]) -> Plan {
        let job = self.job(job);
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), job.key(), 50, self.state.index());
        for (node, count) in counts {
            let node = self.state.node(nodes::id(*node)).expect("registered").clone();
            let rows = (0..*count).map(|i| allocs::place(&job, &node, plan.eval_id, i as u32, &mut self.ids)).collect();
            plan.placements.insert(node.id, rows);
        }
        plan
    }

    fn verify(&mut self) -> Vec<Verified> {
        self.planner.verify(&self.state, &mut self.ids, at(1), 100)
    }

    fn commit(&mut self, ticket: u64, apply: Box<ApplyPlan>) -> PlanResult {
        match self.apply(Command::ApplyPlan(apply)) {
            Reply::Planned(result) => {
                self.planner.committed(ticket, result.index);
                result
            }
            reply => panic!("{reply:?}"),
        }
    }

    fn commit_all(&mut self) -> Vec<PlanResult> {
        let verified = self.verify();
        verified
            .into_iter()
            .map(|v| match v.verdict {
                Verdict::Commit(apply) => self.commit(v.ticket, apply),
                Verdict::Answer(result) => result,
            })
            .collect()
    }
}

/// A job whose instances take 1,000 MHz: four fill a node of the fixtures.
fn large(id: &str) -> Job {
    let mut job = jobs::batch(id, 10);
    jobs::resources_mut(&mut job).cpu = Some(1_000);
    job
}

#[test]
fn the_second_of_two_plans_for_the_same_room_is_refused_in_part() {
    let mut world = World::new([nodes::ready(1), nodes::ready(2)], [large("a")]);
    let (first, second) = (world.plan("a", &[(1, 3)]), world.plan("a", &[(1, 2), (2, 2)]));
    world.planner.submit(first, 0);
    world.planner.submit(second, 0);
    let results = world.commit_all();
    assert_eq!((results[0].placed, results[0].refresh_index), (3, 0));
    assert_eq!(results[1].placed, 2);
    assert_eq!(results[1].rejected_nodes, [nodes::id(1)]);
    assert!(results[1].refresh_index > 0);
    assert_eq!(world.state.usage(nodes::id(1)).unwrap().used.cpu_mhz, 3_000);
}

#[test]
fn a_large_plan_is_divided_by_nodes_and_lets_others_pass() {
    let mut world = World::new((1..=4).map(nodes::ready).collect::<Vec<_>>(), [large("a"), large("b")]);
    let (plan, small) = (world.plan("a", &[(1, 3), (2, 1), (3, 1), (4, 3)]), world.plan("b", &[(2, 1)]));
    let divided = parts(plan.clone(), 3);
    let nodes_of = |part: &Plan| part.placements.keys().copied().collect::<Vec<_>>();
    let expected = [vec![nodes::id(1)], vec![nodes::id(2), nodes::id(3)], vec![nodes::id(4)]];
    assert_eq!(divided.iter().map(nodes_of).collect::<Vec<_>>(), expected);
    let first = world.planner.submit(divided[0].clone(), 0);
    world.planner.submit(divided[1].clone(), 1);
    let other = world.planner.submit(small, 0);
    let verified = world.planner.verify(&world.state, &mut world.ids, tarpan_testkit::START, 2);
    assert_eq!(verified.iter().map(|v| v.ticket).collect::<Vec<_>>(), [first, other]);

    assert_eq!(parts(plan.clone(), 8).len(), 1, "it is small enough");
    let whole = Plan { all_at_once: true, ..plan.clone() };
    assert_eq!(parts(whole, 1).len(), 1);
    let mut replaces = plan;
    replaces.placements.values_mut().flatten().take(1).for_each(|a| a.previous = Some(a.id));
    assert_eq!(parts(replaces, 1).len(), 1);
}

#[test]
fn all_at_once_is_all_or_nothing() {
    let mut world = World::new([nodes::ready(1), nodes::ready(2)], [large("a")]);
    let mut plan = world.plan("a", &[(1, 5), (2, 1)]);
    plan.all_at_once = true;
    world.planner.submit(plan, 0);
    let results = world.commit_all();
    assert_eq!((results[0].placed, results[0].progressed, results[0].index), (0, false, 0));
}

#[test]
fn a_stop_in_flight_makes_room_once() {
    let mut world = World::new([nodes::ready(1)], [large("a")]);
    let plan = world.plan("a", &[(1, 4)]);
    world.planner.submit(plan, 0);
    world.commit_all();
    let old = world.state.allocs().next().unwrap().id;
    let mut stop = world.plan("a", &[(1, 1)]);
    let wish = AllocStop {
        id: old,
        description: "alloc is being updated due to job update".into(),
        client_status: None,
        followup_eval: None,
        reschedule: None,
    };
    stop.stops.insert(nodes::id(1), vec![wish.clone()]);
    let mut again = world.plan("a", &[(1, 1)]);
    again.stops.insert(nodes::id(1), vec![wish]);
    world.planner.submit(stop, 0);
    world.planner.submit(again, 0);
    let results = world.commit_all();
    assert_eq!(results.iter().map(|r| r.placed).collect::<Vec<_>>(), [1, 0]);
    // What arrived in state is not counted a second time.
    let third = world.plan("a", &[(1, 1)]);
    world.planner.submit(third, 0);
    assert_eq!(world.commit_all()[0].placed, 0);
    assert_eq!(world.planner.in_flight(), 0);
}

#[test]
fn a_plan_that_was_not_committed_gives_its_room_back() {
    let mut world = World::new([nodes::ready(1)], [large("a")]);
    let (lost, next) = (world.plan("a", &[(1, 4)]), world.plan("a", &[(1, 4)]));
    world.planner.submit(lost, 0);
    let verified = world.verify();
    world.planner.failed(verified[0].ticket);
    world.planner.submit(next, 0);
    assert_eq!(world.commit_all()[0].placed, 4);
}

#[test]
fn ports_belong_to_one() {
    let mut world = World::new([nodes::ready(1), nodes::ready(2)], [jobs::service("web", 2)]);
    for (ports, placed) in [([5000, 20_000], 1), ([5000, 20_001], 0), ([5001, 20_001], 1)] {
        let mut plan = world.plan("web", &[(1, 1)]);
        for row in plan.placements.values_mut().flatten() {
            *row = allocs::with_ports(row.clone(), &[("http", ports[0]), ("x", ports[1])]);
        }
        world.planner.submit(plan, 0);
        assert_eq!(world.commit_all()[0].placed, placed, "{ports:?}");
    }
}

#[test]
fn only_ready_eligible_nodes_take_new_ones() {
    use tarpan_model::Eligibility::Ineligible;
    let down = Node { status: NodeStatus::Down, ..nodes::ready(1) };
    let closed = Node { eligibility: Ineligible, ..nodes::ready(2) };
    let mut world = World::new([down, closed, nodes::ready(3)], [large("a")]);
    let plan = world.plan("a", &[(1, 1), (2, 1), (3, 1)]);
    world.planner.submit(plan, 0);
    let result = world.commit_all().remove(0);
    assert_eq!(result.rejected_nodes, [nodes::id(1), nodes::id(2)]);
    assert_eq!(result.placed, 1);
}

#[test]
fn what_runs_on_a_node_that_came_back_is_taken_up_again_and_nothing_new_comes() {
    let mut world = World::new([nodes::ready(1)], [large("a")]);
    let plan = world.plan("a", &[(1, 1)]);
    let mut again = plan.clone();
    world.planner.submit(plan, 0);
    world.commit_all();
    let (node, status) = (nodes::id(1), NodeStatus::Initializing);
    world.apply(Command::UpdateNodeStatus { node, status, event: None, now: at(2), evals: Vec::new() });
    again.snapshot_index = world.state.index();
    world.planner.submit(again, 0);
    assert!(world.commit_all()[0].rejected_nodes.is_empty());
    let new = world.plan("a", &[(1, 1)]);
    world.planner.submit(new, 0);
    assert_eq!(world.commit_all()[0].rejected_nodes, [node]);
}

#[test]
fn the_preempted_job_is_looked_at_again() {
    let mut world = World::new([nodes::ready(1)], [large("low"), large("high")]);
    let plan = world.plan("low", &[(1, 4)]);
    world.planner.submit(plan, 0);
    world.commit_all();
    let mut plan = world.plan("high", &[(1, 1)]);
    let (victim, by) = (world.state.allocs().next().unwrap().id, plan.placements[&nodes::id(1)][0].id);
    plan.preemptions.insert(nodes::id(1), vec![AllocPreemption { id: victim, by }]);
    world.planner.submit(plan, 0);
    assert_eq!(world.commit_all()[0].placed, 1);
    let victim = world.state.alloc(victim).unwrap();
    assert_eq!((victim.preempted_by, victim.desired_status.as_str()), (Some(by), "evict"));
    let eval = world.state.evals().find(|e| e.triggered_by == Trigger::Preemption).unwrap();
    assert_eq!((eval.job_id.as_str(), eval.status), ("low", EvalStatus::Pending));
}

proptest! {
    #[test]
    fn no_node_is_ever_overcommitted(
        cpus in prop::collection::vec(500..5_000_i64, 1..5),
        plans in prop::collection::vec((prop::collection::vec((0..5_u32, 1..4_usize), 1..4), 0..8_usize, 0..4_u8), 1..25),
    ) {
        let count = cpus.len() as u32;
        let cluster = cpus.iter().enumerate().map(|(i, cpu)| nodes::sized(i as u32, *cpu, 8_192));
        let mut job = jobs::batch("a", 10);
        jobs::resources_mut(&mut job).cpu = Some(400);
        let mut world = World::new(cluster, [job]);
        let mut flying: Vec<(u64, Box<ApplyPlan>)> = Vec::new();
        for (counts, stop, then) in plans {
            let counts: Vec<(u32, usize)> = counts.into_iter().map(|(n, c)| (n % count, c)).collect();
            let mut plan = world.plan("a", &counts);
            if let Some(alloc) = world.state.allocs().nth(stop) {
                let wish = AllocStop {
                    id: alloc.id,
                    description: "…".into(),
                    client_status: None,
                    followup_eval: None,
                    reschedule: None,
                };
                plan.stops.entry(alloc.node_id).or_default().push(wish);
            }
            world.planner.submit(plan, 0);
            if then == 0 {
                continue; // more plans wait for the same turn
            }
            for verified in world.verify() {
                if let Verdict::Commit(apply) = verified.verdict {
                    flying.push((verified.ticket, apply));
                }
            }
            // Entries arrive in order, some a turn later.
            let arrive = if then == 1 { flying.len() / 2 } else { flying.len() };
            for (ticket, apply) in flying.drain(..arrive) {
                world.commit(ticket, apply);
            }
            for (i, cpu) in cpus.iter().enumerate() {
                let used = world.state.usage(nodes::id(i as u32)).map_or(0, |u| u.used.cpu_mhz);
                prop_assert!(used <= *cpu, "node {i}: {used} of {cpu}");
            }
        }
    }
}

#[test]
fn a_device_is_given_once_and_only_where_it_works() {
    use tarpan_model::resources::{AllocatedDevice, NodeDevice, NodeDeviceGroup};
    let instance = |id: &str, healthy| NodeDevice { id: id.to_owned(), healthy, ..NodeDevice::default() };
    let named = |vendor: &str, type_: &str, name: &str| (vendor.to_owned(), type_.to_owned(), name.to_owned());
    let (vendor, type_, name) = named("acme", "gpu", "x1");
    let mut node = nodes::ready(1);
    node.resources.devices = vec![NodeDeviceGroup {
        vendor,
        type_,
        name,
        instances: vec![instance("a", true), instance("b", false)],
        ..NodeDeviceGroup::default()
    }];
    let mut world = World::new([node], [jobs::batch("a", 9)]);
    let placed = |world: &mut World, id: &str| {
        let mut plan = world.plan("a", &[(1, 1)]);
        let row = &mut plan.placements.get_mut(&nodes::id(1)).expect("planned")[0];
        let mut resources = (*row.resources).clone();
        let (vendor, type_, name) = named("acme", "gpu", "x1");
        let device = AllocatedDevice { vendor, type_, name, ids: vec![id.to_owned()] };
        Arc::make_mut(&mut resources.tasks).values_mut().next().expect("a task").devices = vec![device];
        row.resources = Arc::new(resources);
        world.planner.submit(plan, 0);
        world.commit_all()[0].placed
    };
    assert_eq!(placed(&mut world, "a"), 1);
    assert_eq!(placed(&mut world, "a"), 0, "it is given already");
    assert_eq!(placed(&mut world, "b"), 0, "it does not work");
    assert_eq!(placed(&mut world, "c"), 0, "it is not there");
}
