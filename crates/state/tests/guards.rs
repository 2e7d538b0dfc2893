//! Commands that are applied only while what their proposer looked at is as it was.

use tarpan_model::ids::{CountingIds, DeploymentId, IdSource, NamespacedId};
use tarpan_model::{AllocId, EvalStatus, Evaluation, Job, NodeStatus};
use tarpan_state::command::{DeregisterJob, RegisterJob};
use tarpan_state::{Command, CommandId, Envelope, Guard, Rejection, Reply, SchedulerConfig, State};
use tarpan_testkit::{at, evals, jobs, nodes};

#[derive(Default)]
struct World {
    state: State,
    ids: CountingIds,
}

impl World {
    fn apply(&mut self, command: Command) -> Reply {
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.state.index() + 1, &[Envelope { id, command }]).remove(0)
    }

    fn registration(&mut self, job: Job) -> Command {
        let eval = Some(evals::register(&job, &mut self.ids));
        Command::RegisterJob(Box::new(RegisterJob::of(job, eval, at(0))))
    }

    fn register(&mut self, job: Job) {
        let command = self.registration(job);
        self.apply(command);
    }

    /// Whether a command with this guard is applied.
    fn passes(&mut self, guard: Guard) -> bool {
        let command = self.registration(jobs::service("other", 1)).guarded(vec![guard]);
        let before = self.state.job(&key("other")).and_then(|j| j.modify_index);
        let evals = self.state.evals().count();
        match self.apply(command) {
            Reply::Refused(Rejection::Changed) => {
                let after = self.state.job(&key("other")).and_then(|j| j.modify_index);
                assert_eq!((after, self.state.evals().count()), (before, evals), "a refused command changes nothing");
                false
            }
            reply => {
                assert!(matches!(reply, Reply::Registered { .. }), "{reply:?}");
                true
            }
        }
    }
}

fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

fn stop(id: &str, purge: bool) -> Command {
    let job = key(id);
    Command::DeregisterJob(DeregisterJob { job, purge, eval: None, no_shutdown_delay: false, now: at(9) })
}

#[test]
fn a_job_as_it_was() {
    let mut world = World::default();
    let absent = Guard::job(&world.state, &key("web"));
    assert!(world.passes(absent.clone()));
    world.register(jobs::service("web", 1));
    assert!(!world.passes(absent), "it is there now");
    let first = Guard::job(&world.state, &key("web"));
    assert!(world.passes(first.clone()));
    let mut changed = jobs::service("web", 1);
    jobs::resources_mut(&mut changed).cpu = Some(150);
    world.register(changed);
    assert!(!world.passes(first));
    let second = Guard::job(&world.state, &key("web"));
    world.apply(stop("web", true));
    assert!(!world.passes(second), "it was purged");
}

#[test]
fn a_token_is_used_once() {
    let mut world = World::default();
    let token = |token: &str| Guard::Token { parent: key("prm"), token: token.to_owned() };
    world.register(jobs::parameterized("prm", &[]));
    assert!(world.passes(token("a")));
    let child = Job {
        parent_id: Some("prm".to_owned()),
        dispatch_idempotency_token: Some("a".to_owned()),
        ..jobs::batch("prm/dispatch-1", 1)
    };
    world.register(child);
    assert!(!world.passes(token("a")));
    assert!(world.passes(token("b")) && world.passes(token("")));
}

#[test]
fn launches_and_registration() {
    let mut world = World::default();
    let launches = || Guard::Launches { job: key("tick") };
    assert!(!world.passes(launches()));
    world.register(jobs::periodic("tick", "* * * * *"));
    assert!(world.passes(launches()));
    world.apply(stop("tick", false));
    assert!(!world.passes(launches()));

    assert!(world.passes(Guard::RegistrationOn));
    let config = SchedulerConfig { reject_job_registration: true, ..SchedulerConfig::default() };
    world.apply(Command::SetSchedulerConfig { config, check_index: None });
    assert!(!world.passes(Guard::RegistrationOn));
}

#[test]
fn rows_that_are_not_there() {
    let mut world = World::default();
    let deployment = DeploymentId(world.ids.next_uuid());
    let alloc = AllocId(world.ids.next_uuid());
    assert!(!world.passes(Guard::Deployment { id: deployment, modify_index: 1 }));
    assert!(!world.passes(Guard::Members { deployment, allocs: vec![alloc] }));
    assert!(world.passes(Guard::Members { deployment, allocs: Vec::new() }));
    assert!(!world.passes(Guard::Alloc { id: alloc }));
    assert!(world.passes(Guard::NoRollout { job: key("web") }));
}

#[test]
fn a_job_is_over_when_nothing_of_it_lives() {
    let mut world = World::default();
    let over = || Guard::Over { job: key("web") };
    world.register(jobs::service("web", 1));
    assert!(!world.passes(over()), "its evaluation waits");
    world.apply(stop("web", false));
    let done = world.state.evals().filter(|e| !e.terminal());
    let evals = done.map(|e| Evaluation { status: EvalStatus::Complete, ..(**e).clone() }).collect();
    world.apply(Command::UpsertEvals { evals, now: at(3) });
    assert!(world.passes(over()));
    let guards = vec![Guard::job(&world.state, &key("web")), over()];
    world.register(jobs::service("web", 1));
    let purge = stop("web", true).guarded(guards);
    assert_eq!(world.apply(purge), Reply::Refused(Rejection::Changed), "it was registered again meanwhile");
    assert!(world.state.job(&key("web")).is_some_and(|j| !j.stopped()));
}

#[test]
fn a_node_that_answers_again_is_not_silent() {
    let mut world = World::default();
    let node = nodes::id(1);
    world.apply(Command::UpsertNode { node: Box::new(nodes::ready(1)), now: at(0), evals: Vec::new() });
    let status = |status| Command::UpdateNodeStatus { node, status, event: None, now: at(0), evals: Vec::new() };
    assert!(!world.passes(Guard::Silent { node }));
    world.apply(status(NodeStatus::Down));
    assert!(world.passes(Guard::Silent { node }));
    world.apply(status(NodeStatus::Ready));
    assert!(!world.passes(Guard::Silent { node }));
}

#[test]
fn what_was_written_since_it_was_chosen_is_not_collected() {
    let mut world = World::default();
    world.register(jobs::service("web", 1));
    let chosen = world.state.evals().next().expect("one").clone();
    let seen = world.state.index();
    let reap = |seen| Command::Reap { evals: vec![chosen.id], allocs: Vec::new(), seen };
    world.apply(reap(seen));
    assert!(world.state.eval(chosen.id).is_some(), "it is not over");
    let done = Evaluation { status: EvalStatus::Complete, ..(*chosen).clone() };
    world.apply(Command::UpsertEvals { evals: vec![done], now: at(3) });
    world.apply(reap(seen));
    assert!(world.state.eval(chosen.id).is_some(), "it was written since");
    world.apply(reap(world.state.index()));
    assert!(world.state.eval(chosen.id).is_none());
}
