//! Drains played through state with the real scheduler: nodes report, time passes, allocations move.

use std::sync::Arc;

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::ids::{CountingIds, NamespacedId};
use tarpan_model::node::DrainStrategy;
use tarpan_model::plan::PlanResult;
use tarpan_model::{Allocation, ClientStatus, Eligibility, EvalStatus, Evaluation, Job, JobType, Node, Trigger};
use tarpan_scheduler::{Cache, Inputs, schedule};
use tarpan_state::command::{ApplyPlan, DeregisterJob, RegisterJob};
use tarpan_state::{CommandId, Envelope, Reply};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};

use super::*;
use crate::nodes::set_drain;

#[derive(Default)]
struct World {
    state: State,
    drainer: Drainer,
    cache: Cache,
    ids: CountingIds,
}

impl World {
    /// These jobs run, all on node 1; then nodes 2 to `nodes` join.
    fn running(nodes: u32, jobs: &[Job]) -> World {
        let mut world = World::default();
        world.add(1);
        for job in jobs {
            let eval = Some(evals::register(job, &mut world.ids));
            let job = job.clone();
            let register = RegisterJob::of(job, eval, at(0));
            world.apply(Command::RegisterJob(Box::new(register)), at(0));
        }
        world.schedule(at(0));
        world.report(at(0));
        world.healthy(at(0));
        (2..=nodes).for_each(|i| world.add(i));
        world
    }

    fn add(&mut self, number: u32) {
        let mut node = nodes::ready(number);
        node.computed_class = tarpan_scheduler::computed_class(&node);
        self.apply(Command::UpsertNode { node: Box::new(node), now: at(0), evals: Vec::new() }, at(0));
    }

    fn apply(&mut self, command: Command, now: UnixNanos) {
        let id = CommandId(self.ids.next_uuid().as_u128());
        let reply = self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0);
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
        let events = self.state.take_events();
        self.drainer.observe(&events, now);
    }

    fn drain(&mut self, node: u32, deadline_secs: i64, ignore_system_jobs: bool, now: UnixNanos) {
        let deadline = Dur::from_secs(deadline_secs);
        let strategy = DrainStrategy { deadline, ignore_system_jobs, ..DrainStrategy::default() };
        let command = set_drain(&self.state, nodes::id(node), Some(strategy), false, now, &mut self.ids);
        self.apply(command.expect("a node"), now);
    }

    /// The drainer looks at `now`; how many allocations it marks.
    fn step(&mut self, now: UnixNanos) -> usize {
        let commands = self.drainer.step(&self.state, now, &mut self.ids);
        let mut marks = 0;
        for command in commands {
            if let Command::SetTransitions { allocs, evals, .. } = &command {
                marks += allocs.len();
                let jobs: BTreeSet<_> =
                    allocs.keys().filter_map(|a| self.state.alloc(*a)).map(|a| a.job_key()).collect();
                let looked: Vec<_> = evals.iter().map(Evaluation::job_key).collect();
                assert_eq!(looked, Vec::from_iter(jobs), "one evaluation a job");
                assert!(evals.iter().all(|e| e.triggered_by == Trigger::NodeDrain));
            }
            self.apply(command, now);
        }
        marks
    }

    /// Workers do what is pending.
    fn schedule(&mut self, now: UnixNanos) {
        let pending: Vec<_> = self.state.evals().filter(|e| e.status == EvalStatus::Pending).cloned().collect();
        for eval in pending {
            let inputs = Inputs {
                state: &self.state,
                now,
                seed: 7,
                ids: &mut self.ids,
                most: usize::MAX,
                cache: &mut self.cache,
            };
            let outcome = schedule(inputs, &eval);
            if !outcome.plan.is_noop() {
                let result = PlanResult { progressed: true, ..PlanResult::default() };
                let apply = ApplyPlan { plan: outcome.plan, result, evals: Vec::new(), now };
                self.apply(Command::ApplyPlan(Box::new(apply)), now);
            }
            let ended = [outcome.eval].into_iter().chain(outcome.blocked).collect();
            self.apply(Command::UpsertEvals { evals: ended, now }, now);
        }
    }

    /// Nodes run what is to run and end what is to stop.
    fn report(&mut self, now: UnixNanos) {
        self.update(now, |alloc| match alloc.client_status {
            ClientStatus::Pending | ClientStatus::Running if alloc.server_terminal() => {
                Some(allocs::report(alloc, ClientStatus::Complete, now))
            }
            ClientStatus::Pending => Some(allocs::report(alloc, ClientStatus::Running, now)),
            _ => None,
        });
    }

    /// Nodes say that what runs is well.
    fn healthy(&mut self, now: UnixNanos) {
        self.update(now, |alloc| {
            let news = alloc.client_status == ClientStatus::Running
                && alloc.job.job_type() == JobType::Service
                && alloc.deployment_status.is_none_or(|s| s.healthy.is_none());
            news.then(|| AllocUpdate { healthy: Some(true), ..allocs::report(alloc, ClientStatus::Running, now) })
        });
    }

    fn update(&mut self, now: UnixNanos, report: impl Fn(&Allocation) -> Option<AllocUpdate>) {
        let updates: Vec<_> = self.state.allocs().filter_map(|alloc| report(alloc)).collect();
        self.apply(Command::UpdateAllocs { updates, evals: Vec::new(), now }, now);
    }

    fn node(&self, number: u32) -> &Arc<Node> {
        self.state.node(nodes::id(number)).expect("a node")
    }

    /// Allocations of `job` that run, or are to run, on a node.
    fn live(&self, job: &str, node: u32) -> usize {
        let key = NamespacedId::new("default", job);
        self.state.allocs_by_job(&key).filter(|a| a.node_id == nodes::id(node) && !a.terminal()).count()
    }

    #[track_caller]
    fn assert_complete(&self, number: u32, deadline_reached: bool) {
        let node = self.node(number);
        assert_eq!((&node.drain, node.eligibility), (&None, Eligibility::Ineligible));
        assert_eq!(node.last_drain.as_ref().map(|d| d.status.as_str()), Some("complete"));
        let event = node.events.last().expect("an event");
        assert_eq!((event.subsystem.as_str(), event.message.as_str()), ("Drain", "Node drain complete"));
        assert_eq!(event.details.contains_key("deadline_reached"), deadline_reached);
        assert_eq!(self.state.allocs_by_node(node.id).filter(|a| !a.client_terminal()).count(), 0);
    }
}

fn service(count: i64, max_parallel: i64) -> Job {
    let mut job = jobs::service("web", count);
    jobs::group_mut(&mut job).migrate.as_mut().expect("a service has it").max_parallel = Some(max_parallel);
    job
}

#[test]
fn a_service_leaves_in_waves() {
    let mut world = World::running(2, &[service(5, 2)]);
    assert_eq!(world.drainer.next_wake(), None, "nothing drains");
    world.drain(1, 3600, false, at(0));
    assert_eq!(world.step(at(1)), 2);
    assert_eq!(world.step(at(10)), 0, "the scheduler has not acted yet");
    let mut second = 10;
    for (wave, left) in [(2, 3), (1, 1), (0, 0)] {
        second += 10;
        world.schedule(at(second));
        assert_eq!((world.live("web", 1), world.live("web", 2)), (left, 5 - left));
        world.report(at(second));
        assert_eq!(world.step(at(second + 1)), 0, "those that moved are not known to be well");
        world.healthy(at(second + 2));
        assert_eq!(world.step(at(second + 3)), wave);
    }
    world.assert_complete(1, false);
    assert_eq!(world.drainer.next_wake(), None);
}

#[test]
fn nodes_that_drain_together_share_the_limit() {
    let mut world = World::running(2, &[service(2, 1)]);
    world.drain(1, 3600, false, at(0));
    world.step(at(1));
    world.schedule(at(2));
    world.report(at(2));
    assert_eq!((world.live("web", 1), world.live("web", 2)), (1, 1));
    world.healthy(at(3));
    world.add(3);
    world.drain(2, 3600, false, at(3));
    assert_eq!(world.step(at(4)), 1);
    assert_eq!(world.step(at(20)), 0);
}

#[test]
fn what_no_node_judges_counts_after_its_healthy_deadline() {
    let mut world = World::running(2, &[service(2, 1)]);
    world.drain(1, 3600, false, at(10));
    assert_eq!(world.step(at(11)), 1);
    world.schedule(at(20));
    world.report(at(20));
    assert_eq!(world.step(at(30)), 0);
    assert_eq!(world.drainer.next_wake(), Some(at(320)), "placed at 20, five minutes to become well");
    assert_eq!(world.step(at(320)), 1);
}

#[test]
fn an_unhealthy_one_does_not_hold_the_drain() {
    let mut world = World::running(2, &[service(1, 1)]);
    let alloc = world.state.allocs().next().expect("one").clone();
    let update = AllocUpdate { healthy: Some(false), ..allocs::report(&alloc, ClientStatus::Running, at(5)) };
    world.apply(Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now: at(5) }, at(5));
    world.drain(1, 0, false, at(10));
    assert_eq!(world.step(at(11)), 1);
}

#[test]
fn a_batch_may_finish_until_the_deadline() {
    let mut world = World::running(2, &[jobs::batch("sum", 2)]);
    world.drain(1, 60, false, at(0));
    assert_eq!(world.step(at(1)), 0);
    let first = world.state.allocs().next().expect("one").clone();
    let done = allocs::report(&first, ClientStatus::Complete, at(30));
    world.apply(Command::UpdateAllocs { updates: vec![done], evals: Vec::new(), now: at(30) }, at(30));
    assert_eq!(world.step(at(31)), 0);
    assert_eq!(world.drainer.next_wake(), Some(at(60)));
    assert_eq!(world.step(at(60)), 1);
    world.schedule(at(61));
    assert_eq!((world.live("sum", 1), world.live("sum", 2)), (0, 0), "it is not placed again");
    assert_eq!(world.step(at(70)), 0);
    assert!(world.node(1).drain.is_some(), "its node has not stopped it yet");
    world.report(at(80));
    world.step(at(81));
    world.assert_complete(1, true);
}

#[test]
fn without_a_deadline_a_batch_is_waited_for() {
    let mut world = World::running(2, &[jobs::batch("sum", 1)]);
    world.drain(1, 0, false, at(0));
    assert_eq!(world.step(at(1)), 0);
    assert_eq!(world.drainer.next_wake(), None);
    let alloc = world.state.allocs().next().expect("one").clone();
    let done = allocs::report(&alloc, ClientStatus::Complete, at(9_000));
    world.apply(Command::UpdateAllocs { updates: vec![done], evals: Vec::new(), now: at(9_000) }, at(9_000));
    world.step(at(9_001));
    world.assert_complete(1, false);
}

#[test]
fn system_jobs_go_last() {
    let mut world = World::running(2, &[service(1, 1), jobs::system("agent"), jobs::job("once", "sysbatch", 1)]);
    world.drain(1, 3600, false, at(0));
    assert_eq!(world.step(at(1)), 1);
    world.schedule(at(2));
    assert_eq!((world.live("web", 1), world.live("agent", 1)), (0, 1));
    assert_eq!(world.step(at(3)), 0, "the service has not ended yet");
    world.report(at(4));
    assert_eq!(world.step(at(5)), 2);
    assert_eq!(world.step(at(11)), 0);
    world.schedule(at(12));
    world.report(at(12));
    world.step(at(13));
    world.assert_complete(1, false);
}

#[test]
fn csi_plugins_go_after_those_whose_volumes_they_unmount() {
    let mut plugin = jobs::service("disks", 1);
    let task = &mut plugin.task_groups.as_mut().expect("groups")[0].tasks.as_mut().expect("tasks")[0];
    task.csi_plugin_config = Some(tarpan_model::job::TaskCSIPluginConfig {
        id: Some("disks".to_owned()),
        type_: Some("node".to_owned()),
        ..Default::default()
    });
    let mut world = World::running(1, &[service(1, 1), plugin]);
    world.drain(1, 3600, true, at(0));
    assert_eq!(world.step(at(1)), 1, "the service alone");
    assert_eq!(world.live("disks", 1), 1);
}

#[test]
fn system_jobs_stay_where_they_are_ignored() {
    let mut world = World::running(2, &[service(1, 1), jobs::system("agent")]);
    world.drain(1, -1, true, at(0));
    assert_eq!(world.step(at(1)), 1);
    world.schedule(at(2));
    world.report(at(2));
    assert_eq!(world.step(at(3)), 0);
    assert_eq!((&world.node(1).drain, world.live("agent", 1)), (&None, 1));
}

#[test]
fn a_forced_drain_marks_everything_at_once() {
    let mut world = World::running(2, &[service(3, 1), jobs::batch("sum", 2), jobs::system("agent")]);
    world.drain(1, -1, false, at(0));
    assert_eq!(world.step(at(1)), 6);
    assert_eq!(world.step(at(10)), 0);
    world.schedule(at(11));
    world.report(at(11));
    world.step(at(12));
    world.assert_complete(1, true);
    assert_eq!((world.live("web", 2), world.live("sum", 2)), (3, 0));
}

#[test]
fn a_new_deadline_counts_at_once() {
    let mut world = World::running(2, &[service(3, 1)]);
    world.drain(1, 3600, false, at(0));
    assert_eq!(world.step(at(1)), 1);
    world.drain(1, -1, false, at(2));
    assert_eq!(world.step(at(3)), 2, "the first is marked already");
}

#[test]
fn a_stopped_job_is_only_waited_for() {
    let mut world = World::running(2, &[service(2, 1)]);
    let key = NamespacedId::new("default", "web");
    let eval = Evaluation { triggered_by: Trigger::JobDeregister, ..evals::register(&service(2, 1), &mut world.ids) };
    let stop = DeregisterJob { job: key, purge: false, eval: Some(eval), no_shutdown_delay: false, now: at(1) };
    world.apply(Command::DeregisterJob(stop), at(1));
    world.schedule(at(1));
    world.drain(1, 3600, false, at(2));
    assert_eq!(world.step(at(3)), 0);
    assert!(world.node(1).drain.is_some());
    world.report(at(4));
    world.step(at(5));
    world.assert_complete(1, false);
}

#[test]
fn an_empty_node_is_done_and_a_new_leader_goes_on() {
    let mut world = World::running(2, &[service(2, 1)]);
    world.drain(2, 3600, false, at(0));
    world.step(at(1));
    world.assert_complete(2, false);
    world.drain(1, 3600, false, at(2));
    world.drainer = Drainer::default();
    world.drainer.restore(&world.state, at(3));
    assert_eq!(world.step(at(3)), 1);
}

#[test]
fn a_drain_that_was_ended_marks_nothing_more() {
    let mut world = World::running(2, &[service(2, 1)]);
    world.drain(1, 3600, false, at(0));
    let command = set_drain(&world.state, nodes::id(1), None, true, at(0), &mut world.ids).expect("a node");
    world.apply(command, at(0));
    assert_eq!(world.drainer.next_wake(), None);
    assert_eq!(world.step(at(1)), 0);
    assert_eq!(world.node(1).eligibility, Eligibility::Eligible);
}
