//! What happens to an allocation while something else of it is under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::json;
use tarpan_model::job::{RestartPolicy, Service, ServiceCheck, TaskArtifact, TaskLifecycle};
use tarpan_model::{Allocation, ClientStatus, Dur};
use tokio::sync::Notify;

use super::Runner;
use super::setup::alloc::AllocScope;
use super::setup::task::TaskScope;
use super::setup::{Hook, Hooks, Making, Notes, Scope};
use crate::Agent;
use crate::agent_tests::{Fake, Home, alloc_of, options, script, stopped};
use crate::store::Store;
use crate::test_support::{job, task};

type Log = Arc<Mutex<Vec<&'static str>>>;

fn add(log: &Log, line: &'static str) {
    log.lock().expect("held").push(line);
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Its first `make` waits for somebody to let it go on; later ones do not.
struct Waits {
    log: Log,
    go: Arc<Notify>,
    waited: AtomicBool,
}

impl Waits {
    fn new(log: &Log) -> Waits {
        Waits { log: log.clone(), go: Arc::default(), waited: AtomicBool::new(false) }
    }
}

/// Says so when what it is held by ends before it is through.
struct Dropped(Option<Log>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.iter().for_each(|log| add(log, "dropped"));
    }
}

impl<S: Scope> Hook<S> for Waits {
    fn name(&self) -> &'static str {
        "waits"
    }

    fn make<'a>(&'a self, _: &'a S, _: Notes<'a>) -> Making<'a, S> {
        Box::pin(async move {
            if self.waited.swap(true, Ordering::SeqCst) {
                add(&self.log, "made");
                return Ok(());
            }
            add(&self.log, "waiting");
            let mut dropped = Dropped(Some(self.log.clone()));
            self.go.notified().await;
            dropped.0 = None;
            add(&self.log, "gone on");
            Ok(())
        })
    }

    fn undo<'a>(&'a self, _: &'a S, _: Notes<'a>) -> BoxFuture<'a, ()> {
        add(&self.log, "undone");
        Box::pin(std::future::ready(()))
    }
}

fn of_task(hook: impl Hook<TaskScope> + 'static) -> Hooks {
    Hooks { task: Arc::new(vec![Box::new(hook)]), alloc: Arc::default() }
}

/// A task that runs under an agent which came back, and is set up by these hooks.
async fn taken_up(fake: &Fake, home: &Home, hooks: Hooks) -> (Agent, Allocation, Arc<Runner>) {
    let first = Agent::start(options(fake, home.path())).await.expect("starts");
    let alloc = alloc_of(job("taken-up", "service", vec![script("t", "exec sleep 300")]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    first.shutdown().await;
    drop(first);
    fake.heard.lock().expect("held").updates.clear();
    let agent = loop {
        match Agent::start_with(options(fake, home.path()), hooks.clone()).await {
            Ok(agent) => break agent,
            // The lock of the first agent's store may be there for a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let runner = agent.allocs().get(alloc.id).expect("taken up");
    (agent, alloc, runner)
}

/// Whoever ran it twice at a time would take the end of the first for the end of the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_up_for_a_task_that_runs_ends_with_that_run() {
    for (restart, expected) in [(true, ["waiting", "dropped", "made"]), (false, ["waiting", "dropped", "undone"])] {
        let (fake, home, log) = (Fake::start().await, Home::new(), Log::default());
        let (agent, alloc, runner) = taken_up(&fake, &home, of_task(Waits::new(&log))).await;
        let lines = || log.lock().expect("held").clone();
        until("the set-up to begin", || lines().len() == 1).await;
        if restart {
            runner.restart(Some("t".to_owned()), false).await.expect("told");
        } else {
            fake.order(&stopped(&alloc)).await;
        }
        until("what follows", || lines().len() >= 3).await;
        assert_eq!(lines(), expected);
        fake.order(&stopped(&alloc)).await;
        tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("in time");
        agent.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_starts_anew_waits_for_its_allocation() {
    let (fake, home, log) = (Fake::start().await, Home::new(), Log::default());
    let (of_alloc, of_task) = (Waits::new(&log), Waits::new(&log));
    let go = of_alloc.go.clone();
    of_task.waited.store(true, Ordering::SeqCst);
    let alloc_hooks: Vec<Box<dyn Hook<AllocScope>>> = vec![Box::new(of_alloc)];
    let task_hooks: Vec<Box<dyn Hook<TaskScope>>> = vec![Box::new(of_task)];
    let hooks = Hooks { alloc: Arc::new(alloc_hooks), task: Arc::new(task_hooks) };
    let (agent, alloc, runner) = taken_up(&fake, &home, hooks).await;
    let lines = || log.lock().expect("held").clone();
    until("the set-up to begin", || lines().len() == 1).await;
    runner.restart(Some("t".to_owned()), false).await.expect("told");
    fake.until("the restart", |h| {
        let (_, update) = h.updates.iter().rev().find(|(_, u)| u.id == alloc.id)?;
        update.task_states["t"].events.iter().find(|e| &*e.kind == "Restarting").map(drop)
    })
    .await;
    go.notify_one();
    until("both to be made", || lines().len() >= 3).await;
    assert_eq!(lines(), ["waiting", "gone on", "made"]);
    fake.order(&stopped(&alloc)).await;
    tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("in time");
    agent.shutdown().await;
}

/// Checks of what has ended would fail, and have the poststop task start anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_runs_beside_a_poststop_task() {
    let (fake, home) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
    let mut clean = script("clean", "exec sleep 300");
    clean.lifecycle = Some(TaskLifecycle { hook: Some("poststop".to_owned()), ..TaskLifecycle::default() });
    let mut job = job("checked", "service", vec![script("main", "exec sleep 300"), clean]);
    let check = ServiceCheck {
        type_: Some("tcp".to_owned()),
        port_label: Some("1".to_owned()),
        interval: Some(Dur::from_secs(3600)),
        ..ServiceCheck::default()
    };
    let service = Service {
        name: Some("svc".to_owned()),
        provider: Some("nomad".to_owned()),
        checks: Some(vec![check]),
        ..Service::default()
    };
    job.task_groups.as_mut().expect("one")[0].services = Some(vec![service]);
    let alloc = alloc_of(job);
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    let runner = agent.allocs().get(alloc.id).expect("known");
    until("the check", || runner.checks().len() == 1).await;
    fake.order(&stopped(&alloc)).await;
    until("the poststop task", || runner.handles().contains_key("clean")).await;
    fake.until("it to be told", |h| {
        let (_, update) = h.updates.iter().rev().find(|(_, u)| u.id == alloc.id)?;
        (!update.task_states["clean"].started_at.is_zero()).then_some(())
    })
    .await;
    assert_eq!(runner.checks().len(), 0);
    runner.destroy();
    tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("in time");
    agent.shutdown().await;
}

/// Somebody who tells it something all the time, also between any two steps of the collection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_while_an_allocation_is_collected_brings_no_record_back() {
    let (fake, home) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
    for n in 0..10 {
        let brief = task("t", "mock_driver", json!({"run_for": "1ms"}));
        let alloc = alloc_of(job(&format!("collected-{n}"), "batch", vec![brief]));
        fake.order(&alloc).await;
        fake.status(&alloc, ClientStatus::Complete).await;
        let runner = agent.allocs().get(alloc.id).expect("known");
        tokio::time::timeout(Duration::from_secs(30), runner.wait_finished()).await.expect("in time");
        let collected = Arc::new(AtomicBool::new(false));
        let telling = std::thread::spawn({
            let (collected, runner) = (collected.clone(), runner.clone());
            move || {
                while !collected.load(Ordering::SeqCst) {
                    runner.update(stopped(&alloc));
                }
            }
        });
        crate::gc::collect(agent.allocs().clone(), runner.id).await;
        collected.store(true, Ordering::SeqCst);
        telling.join().expect("no panic");
        // Whatever was still to be written is.
        runner.left().await;
    }
    agent.shutdown().await;
    drop(agent);
    let begun = Instant::now();
    let records = loop {
        match Store::open(&home.path().join("client/state")) {
            Ok(opened) => break opened.records,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(records.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_that_is_there_is_not_fetched_again_when_a_later_one_fails() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answer = {
        let asked = asked.clone();
        move |uri: http::Uri| {
            let first = {
                let mut asked = asked.lock().expect("held");
                asked.push(uri.path().to_owned());
                asked.iter().filter(|path| *path == uri.path()).count() == 1
            };
            let broken = uri.path() == "/second.txt" && first;
            let status = if broken { http::StatusCode::BAD_GATEWAY } else { http::StatusCode::OK };
            std::future::ready((status, "x"))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let (fake, home) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
    let mut fetching = script("t", "exec sleep 300");
    let artifact = |name: &str| TaskArtifact {
        getter_source: Some(format!("http://{address}/{name}")),
        relative_dest: Some("local/".to_owned()),
        ..TaskArtifact::default()
    };
    fetching.artifacts = Some(vec![artifact("first.txt"), artifact("second.txt")]);
    let soon = RestartPolicy { attempts: Some(1), delay: Some(Dur(1)), ..RestartPolicy::default() };
    fetching.restart_policy = Some(soon);
    let alloc = alloc_of(job("fetching", "service", vec![fetching]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    assert_eq!(*asked.lock().expect("held"), ["/first.txt", "/second.txt", "/second.txt"]);
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    agent.shutdown().await;
}
