//! Hooks that fail, hang, and meet the death of their agent.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use tarpan_model::alloc::{TaskStateKind, TaskStates};
use tarpan_model::{Allocation, ClientStatus, TaskState};

use super::alloc::AllocScope;
use super::*;
use crate::Agent;
use crate::agent_tests::{Fake, Home, alloc_of, options, script, stopped};
use crate::runner::{Refusal, Runner};
use crate::store::{Made, Record, Stage, Store};
use crate::test_support::{job, task};

/// What hooks did, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().expect("held").push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("held"))
    }

    fn has(&self, line: &str) -> bool {
        self.0.lock().expect("held").iter().any(|l| l == line)
    }

    async fn wait(&self, line: &str) {
        let begun = Instant::now();
        while !self.has(line) {
            assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {line:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// How a hook behaves; it gives its own name.
enum Way<S: Scope> {
    Works,
    /// Until it is dropped.
    Hangs,
    Fails(fn() -> S::Failure),
}

struct Played<S: Scope> {
    name: &'static str,
    log: Log,
    way: Way<S>,
    until: Until,
    once: bool,
}

impl<S: Scope> Played<S> {
    fn new(log: &Log, name: &'static str, way: Way<S>) -> Played<S> {
        Played { name, log: log.clone(), way, until: Until::End, once: false }
    }
}

impl<S: Scope> Hook<S> for Played<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn once(&self) -> bool {
        self.once
    }

    fn until(&self) -> Until {
        self.until
    }

    fn make<'a>(&'a self, _: &'a S, notes: Notes<'a>) -> Making<'a, S> {
        let name = self.name;
        self.log.add(notes.kept().map_or_else(|| format!("make {name}"), |was| format!("make {name}, was {was}")));
        Box::pin(async move {
            match &self.way {
                Way::Works => {
                    notes.keep(json!(name));
                    Ok(())
                }
                Way::Hangs => std::future::pending().await,
                Way::Fails(failure) => Err(failure()),
            }
        })
    }

    fn undo<'a>(&'a self, _: &'a S, notes: Notes<'a>) -> BoxFuture<'a, ()> {
        let name = self.name;
        self.log.add(notes.kept().map_or_else(|| format!("undo {name}"), |made| format!("undo {name}, made {made}")));
        Box::pin(std::future::ready(()))
    }
}

fn list<S: Scope>(hooks: Vec<Played<S>>) -> List<S> {
    Arc::new(hooks.into_iter().map(|h| Box::new(h) as Box<dyn Hook<S>>).collect())
}

struct Nothing(Log);

impl Scope for Nothing {
    type Failure = &'static str;

    fn made(&self) -> BoxFuture<'_, ()> {
        self.0.add("written".to_owned());
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn what_was_made_before_a_failure_is_undone_last_first() {
    let log = Log::default();
    let scope = Nothing(log.clone());
    let hook = |name, way| Played::new(&log, name, way);
    let setup = Setup::new(
        list(vec![
            Played { until: Until::Removed, ..hook("files", Way::Works) },
            hook("network", Way::Works),
            hook("volumes", Way::Works),
            hook("identity", Way::Fails(|| "no")),
            hook("templates", Way::Works),
        ]),
        Ledger::default(),
    );
    assert!(setup.plan(&scope));
    assert_eq!(setup.make(&scope).await, Err("no"));
    let made = ["make files", "written", "make network", "written", "make volumes", "written", "make identity"];
    assert_eq!(log.take(), made);
    setup.undo(&scope, Until::End).await;
    assert_eq!(log.take(), ["undo identity", "undo volumes, made \"volumes\"", "undo network, made \"network\""]);
    setup.undo(&scope, Until::End).await;
    assert_eq!(log.take(), Vec::<String>::new(), "once is enough");
    setup.undo(&scope, Until::Removed).await;
    assert_eq!(log.take(), ["undo files, made \"files\""]);
    assert_eq!(setup.ledger.rows(), []);
}

#[tokio::test]
async fn what_is_made_once_is_not_made_again() {
    let log = Log::default();
    let scope = Nothing(log.clone());
    let once = Played { once: true, ..Played::new(&log, "artifacts", Way::Works) };
    let setup = Setup::new(list(vec![once, Played::new(&log, "templates", Way::Works)]), Ledger::default());
    for expected in [
        vec!["make artifacts", "written", "make templates", "written"],
        vec!["make templates, was \"templates\"", "written"],
    ] {
        setup.make(&scope).await.expect("made");
        assert_eq!(log.take(), expected);
    }
}

#[tokio::test]
async fn an_undo_waits_for_calls_that_nobody_waits_for() {
    let beside = Beside::default();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let call = beside.run(move || gone.recv().map_err(|e| e.to_string()));
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err(), "it blocks, and is dropped");
    let idle = tokio::spawn({
        let beside = beside.clone();
        async move { beside.idle().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!idle.is_finished());
    go.send(()).expect("it goes on");
    tokio::time::timeout(Duration::from_secs(30), idle).await.expect("in time").expect("idle");
    assert_eq!(beside.run(|| Ok(1)).await, Ok(1), "another may begin");
}

/// A pretended task needs no directory: hooks of the test are all that its allocation is set up by.
fn with(hooks: Vec<Played<AllocScope>>) -> Hooks {
    Hooks { alloc: list(hooks), task: list(Vec::new()) }
}

fn pretended(name: &str) -> Allocation {
    alloc_of(job(name, "service", vec![task("t", "mock_driver", json!({}))]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocation_that_can_not_be_set_up_fails_and_leaves_nothing() {
    let (fake, home, log) = (Fake::start().await, Home::new(), Log::default());
    let hooks = with(vec![
        Played::new(&log, "first", Way::Works),
        Played::new(&log, "second", Way::Works),
        Played::new(&log, "third", Way::Fails(|| "there is no network".to_owned())),
    ]);
    let agent = Agent::start_with(options(&fake, home.path()), hooks).await.expect("starts");
    let alloc = pretended("broken");
    fake.order(&alloc).await;
    let update = fake.status(&alloc, ClientStatus::Failed).await;
    let told = update.task_states["t"].events.iter().find(|e| &*e.kind == "Setup Failure").expect("told");
    assert!(told.message.contains("there is no network"), "{}", told.message);
    log.wait("undo first, made \"first\"").await;
    let undone = ["undo third", "undo second, made \"second\"", "undo first, made \"first\""];
    assert_eq!(log.take(), [&["make first", "make second", "make third"][..], &undone].concat());
    agent.shutdown().await;
}

/// What an agent wrote down that died between the first hook and the second.
async fn died(home: &Home, alloc: &Allocation, state: TaskStateKind) {
    let dir = home.path().join("client");
    std::fs::create_dir_all(&dir).expect("made");
    let store = Store::open(&dir.canonicalize().expect("there").join("state")).expect("opens").store;
    let states: TaskStates = [("t".into(), TaskState { state, ..TaskState::default() })].into_iter().collect();
    let row = |hook: &str, stage| Made { hook: hook.to_owned(), stage };
    let made = vec![row("first", Stage::Made(json!(7))), row("second", Stage::Planned), row("third", Stage::Planned)];
    let record = Record { alloc: alloc.clone(), states, healthy: None, handles: Default::default(), born: None, made };
    store.put(&record, true).await;
}

fn three(log: &Log) -> Hooks {
    with(["first", "second", "third"].map(|name| Played::new(log, name, Way::Works)).into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_died_between_two_hooks_goes_on() {
    let (fake, home, log) = (Fake::start().await, Home::new(), Log::default());
    let alloc = pretended("resumed");
    died(&home, &alloc, TaskStateKind::Pending).await;
    let agent = Agent::start_with(options(&fake, home.path()), three(&log)).await.expect("starts");
    fake.status(&alloc, ClientStatus::Running).await;
    assert_eq!(log.take(), ["make first, was 7", "make second", "make third"]);
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    log.wait("undo first, made \"first\"").await;
    assert_eq!(
        log.take(),
        ["undo third, made \"third\"", "undo second, made \"second\"", "undo first, made \"first\""]
    );
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_undoes_what_a_dead_one_made_for_what_has_ended() {
    let (fake, home, log) = (Fake::start().await, Home::new(), Log::default());
    let alloc = pretended("over");
    died(&home, &alloc, TaskStateKind::Dead).await;
    let agent = Agent::start_with(options(&fake, home.path()), three(&log)).await.expect("starts");
    // Nobody knows how far the second and third had come.
    log.wait("undo first, made 7").await;
    assert_eq!(log.take(), ["undo third", "undo second", "undo first, made 7"]);
    let runner = agent.allocs().get(alloc.id).expect("known");
    tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("in time");
    agent.shutdown().await;
    drop((agent, runner));
    let begun = Instant::now();
    let records = loop {
        match Store::open(&home.path().join("client/state")) {
            Ok(opened) => break opened.records,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(records[0].made, [], "the next agent has nothing to undo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_long_hook_is_answered_at_once() {
    let log = Log::default();
    let of_alloc = Hooks {
        alloc: list(vec![Played::new(&log, "before", Way::Works), Played::new(&log, "long", Way::Hangs)]),
        task: list(Vec::new()),
    };
    let of_task = Hooks {
        task: list(vec![Played::new(&log, "before", Way::Works), Played::new(&log, "long", Way::Hangs)]),
        ..Hooks::default()
    };
    for hooks in [of_alloc, of_task] {
        let (fake, home) = (Fake::start().await, Home::new());
        let agent = Agent::start_with(options(&fake, home.path()), hooks).await.expect("starts");
        let alloc = pretended("long");
        fake.order(&alloc).await;
        log.wait("make long").await;
        let runner = agent.allocs().get(alloc.id).expect("known");
        // Other things are answered meanwhile.
        let answer = tokio::time::timeout(Duration::from_secs(20), runner.restart(Some("t".to_owned()), false)).await;
        assert_eq!(answer.expect("in time"), Err(Refusal::NotRunning));
        fake.order(&stopped(&alloc)).await;
        fake.status(&alloc, ClientStatus::Complete).await;
        tokio::time::timeout(Duration::from_secs(20), runner.wait_finished()).await.expect("in time");
        let expected = ["make before", "make long", "undo long", "undo before, made \"before\""];
        assert_eq!(log.take(), expected);
        agent.shutdown().await;
    }
}

/// On one thread, where the actor does nothing unless this test waits.
#[tokio::test]
async fn a_full_inbox_loses_no_order() {
    let (fake, home) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
    let alloc = alloc_of(job("full", "service", vec![script("t", "exec sleep 60")]));
    let runner = Runner::start(agent.allocs().context.clone(), &Hooks::default(), alloc.clone());
    let running = || runner.report().is_some_and(|r| r.status == ClientStatus::Running);
    let begun = Instant::now();
    while !running() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not run");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    runner.fill();
    runner.update(stopped(&alloc));
    runner.report_again();
    let asked = runner.clone();
    let restart = tokio::spawn(async move { asked.restart(None, true).await });
    tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("the stop was heard");
    assert_eq!(runner.report().expect("told").status, ClientStatus::Complete);
    // Who waited for room was heard, too.
    let answered = tokio::time::timeout(Duration::from_secs(30), restart).await.expect("in time");
    assert_eq!(answered.expect("answered"), Err(Refusal::Ending));
    agent.shutdown().await;
}
