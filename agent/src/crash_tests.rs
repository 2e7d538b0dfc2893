//! An agent that comes back after any kind of death: every task runs once, and none is left behind.
//!
//! What the dead agent left is made by hand: the record as it was on disk, and the processes as they were. So each moment
//! of a start and of an end is met without luck.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tarpan_model::alloc::{TaskStateKind, TaskStates};
use tarpan_model::job::Template;
use tarpan_model::{Allocation, ClientStatus, TaskState};
use tarpan_rpc::agent::{Orders, from_server};

use crate::Agent;
use crate::agent_tests::{Fake, Home, PATIENCE, alloc_of, options, script, stopped};
use crate::driver::{Exit, Mark};
use crate::store::{Record, Store, TaskRecord};
use crate::supervisor::{Process, Spec};
use crate::test_support::job;

const SUFFIX: &str = "0badcafe";

/// A job that writes a line for every time it runs.
struct Witness {
    file: PathBuf,
    alloc: Allocation,
    script: String,
}

impl Witness {
    fn new(home: &Home, type_: &str, then: &str) -> Witness {
        let file = home.path().join("ran");
        let script_text = format!("echo ran >> {}; {then}", file.display());
        let alloc = alloc_of(job("witness", type_, vec![script("t", &script_text)]));
        Witness { file, alloc, script: script_text }
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(&self.file).unwrap_or_default().lines().count()
    }

    async fn ran(&self, times: usize) {
        wait("the task to run", || self.runs() >= times).await;
        assert_eq!(self.runs(), times);
    }

    fn mark(&self, home: &Home) -> Mark {
        let id = self.alloc.id;
        Mark {
            driver: "raw_exec".to_owned(),
            alloc_id: id,
            task: "t".to_owned(),
            id: format!("{id}/t/{SUFFIX}"),
            run_dir: state_dir(home).join("tasks").join(id.to_string()).join(format!("t-{SUFFIX}")),
            logs: None,
            cgroup_parent: String::new(),
        }
    }

    fn spec(&self, home: &Home) -> Spec {
        Spec {
            run_dir: self.mark(home).run_dir,
            command: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), self.script.clone()],
            work_dir: home.path().to_owned(),
            ..Spec::default()
        }
    }

    /// The start happens, and nobody hears of it.
    async fn start(&self, home: &Home) -> Process {
        std::fs::create_dir_all(self.mark(home).run_dir).expect("made");
        Process::spawn(&self.spec(home)).await.expect("starts")
    }

    async fn leave(&self, home: &Home, state: TaskStateKind, task: TaskRecord) {
        let state = TaskState { state, ..TaskState::default() };
        let states: TaskStates = [("t".into(), state)].into_iter().collect();
        let handles = BTreeMap::from([("t".to_owned(), task)]);
        let record = Record { alloc: self.alloc.clone(), states, healthy: None, handles, born: None, made: Vec::new() };
        let store = Store::open(&state_dir(home).join("state")).expect("opens").store;
        store.put(&record, true).await;
    }
}

fn state_dir(home: &Home) -> PathBuf {
    let dir = home.path().join("client");
    std::fs::create_dir_all(&dir).expect("made");
    dir.canonicalize().expect("there")
}

async fn wait(what: &str, f: impl Fn() -> bool) {
    let begun = Instant::now();
    while !f() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn begun(mark: Mark) -> TaskRecord {
    TaskRecord { driver: "raw_exec".to_owned(), prepared: true, mark: Some(mark), ..TaskRecord::default() }
}

fn gone(process: &Process) -> bool {
    !process.alive()
}

pub(crate) async fn agent(fake: &Fake, dir: &Path) -> Agent {
    let begun = Instant::now();
    loop {
        match Agent::start(options(fake, dir)).await {
            Ok(agent) => return agent,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn complete(fake: &Fake) {
    fake.tell(from_server::Body::Orders(Orders { complete: true, ..Orders::default() })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_was_only_written_down_happens_once() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "service", "exec sleep 60");
    witness.leave(&home, TaskStateKind::Pending, begun(witness.mark(&home))).await;
    let agent = agent(&fake, home.path()).await;
    fake.status(&witness.alloc, ClientStatus::Running).await;
    witness.ran(1).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_nobody_heard_of_is_taken_up() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "service", "exec sleep 60");
    let process = witness.start(&home).await;
    witness.leave(&home, TaskStateKind::Pending, begun(witness.mark(&home))).await;
    let agent = agent(&fake, home.path()).await;
    let update = fake.status(&witness.alloc, ClientStatus::Running).await;
    let kinds: Vec<&str> = update.task_states["t"].events.iter().map(|e| &*e.kind).collect();
    assert_eq!(kinds, ["Started"]);
    witness.ran(1).await;
    fake.order(&stopped(&witness.alloc)).await;
    fake.status(&witness.alloc, ClientStatus::Complete).await;
    assert!(gone(&process));
    agent.shutdown().await;
}

/// Its templates may ask for what is not there any more: the task runs, and ends when it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_templates_can_not_be_taken_up_is_still_the_agents() {
    let (fake, home) = (Fake::start().await, Home::new());
    let mut witness = Witness::new(&home, "service", "exec sleep 60");
    let mut task = script("t", &witness.script);
    let broken = Some("{{ nothing }}".to_owned());
    let dest_path = Some("local/x".to_owned());
    task.templates = Some(vec![Template { embedded_tmpl: broken, dest_path, ..Template::default() }]);
    witness.alloc = alloc_of(job("witness", "service", vec![task]));
    let process = witness.start(&home).await;
    witness.leave(&home, TaskStateKind::Pending, begun(witness.mark(&home))).await;
    let agent = agent(&fake, home.path()).await;
    let id = witness.alloc.id;
    fake.until("the template's failure to be told", |h| {
        let events = h.updates.iter().filter(|(_, u)| u.id == id).flat_map(|(_, u)| u.task_states["t"].events.clone());
        events.into_iter().find(|e| e.message.contains("Template failed"))
    })
    .await;
    assert!(!gone(&process), "it runs on");
    fake.order(&stopped(&witness.alloc)).await;
    fake.status(&witness.alloc, ClientStatus::Complete).await;
    assert!(gone(&process));
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_ended_while_the_agent_was_dead_has_ended() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "batch", "exit 0");
    assert!(witness.start(&home).await.wait().await.success());
    witness.leave(&home, TaskStateKind::Pending, begun(witness.mark(&home))).await;
    let agent = agent(&fake, home.path()).await;
    fake.status(&witness.alloc, ClientStatus::Complete).await;
    witness.ran(1).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_written_down_needs_no_traces() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "batch", "exit 0");
    let task =
        TaskRecord { exit: Some(Exit::default()), handle: json!({"run_dir": "/gone"}), ..begun(witness.mark(&home)) };
    witness.leave(&home, TaskStateKind::Running, task).await;
    let agent = agent(&fake, home.path()).await;
    fake.status(&witness.alloc, ClientStatus::Complete).await;
    assert_eq!(witness.runs(), 0, "it had run");
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_can_not_be_found_again_waits_for_the_servers() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "service", "exec sleep 60");
    let task =
        TaskRecord { driver: "raw_exec".to_owned(), handle: json!({"run_dir": "/gone"}), ..TaskRecord::default() };
    witness.leave(&home, TaskStateKind::Running, task).await;
    let agent = agent(&fake, home.path()).await;
    let update = fake.status(&witness.alloc, ClientStatus::Pending).await;
    let last = update.task_states["t"].events.last().expect("told").clone();
    assert!(last.message.starts_with("failed to restore task; will not run until server is contacted: "), "{last:?}");
    // It does what it says.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(witness.runs(), 0);
    complete(&fake).await;
    fake.status(&witness.alloc, ClientStatus::Running).await;
    witness.ran(1).await;
    agent.shutdown().await;
}

/// The server's row of an allocation whose task was last seen in `state`, as a new session brings it.
fn as_known(alloc: &Allocation, state: TaskStateKind) -> Allocation {
    let client_status = match state {
        TaskStateKind::Pending => ClientStatus::Pending,
        TaskStateKind::Running => ClientStatus::Running,
        TaskStateKind::Dead => ClientStatus::Complete,
    };
    let state = TaskState { state, ..TaskState::default() };
    Allocation {
        client_status,
        task_states: [("t".into(), state)].into_iter().collect::<TaskStates>().into(),
        alloc_modify_index: alloc.alloc_modify_index + 1,
        ..alloc.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_costs_no_task() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "service", "exec sleep 60");
    let first = agent(&fake, home.path()).await;
    fake.order(&witness.alloc).await;
    fake.status(&witness.alloc, ClientStatus::Running).await;
    witness.ran(1).await;
    let node = first.node_id();
    first.shutdown().await;
    drop(first);
    // Everything that the agent knew is gone, also where its runs are.
    let state = state_dir(&home);
    wait("the store to be closed", || Store::open(&state.join("state")).is_ok()).await;
    for gone in ["state", "tasks"] {
        std::fs::remove_dir_all(state.join(gone)).expect("removed");
    }
    fake.heard.lock().expect("held").updates.clear();
    fake.heard.lock().expect("held").have.clear();

    let second = agent(&fake, home.path()).await;
    assert_eq!(second.node_id(), node);
    // It says that it has found something, older than whatever the servers know.
    let damage = second.node().attributes.get("unique.agent.state_damage").map(ToString::to_string);
    assert!(damage.is_some_and(|d| d.contains("is empty although this node ran before")));
    let have = fake.until("the second session", |h| Some(h.have.clone()).filter(|h| !h.is_empty())).await;
    assert_eq!(have, [(witness.alloc.id.0, 0)]);
    fake.order(&as_known(&witness.alloc, TaskStateKind::Running)).await;
    let update = fake.status(&witness.alloc, ClientStatus::Running).await;
    let told = update.task_states["t"].events.iter().map(|e| e.message.to_string()).collect::<Vec<_>>();
    assert!(told.iter().any(|m| m.contains("found running after this node had lost")), "{told:?}");
    witness.ran(1).await;
    fake.order(&Allocation { alloc_modify_index: 9, ..stopped(&witness.alloc) }).await;
    fake.status(&witness.alloc, ClientStatus::Complete).await;
    assert_eq!(witness.runs(), 1);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_is_ended_when_the_servers_say_so() {
    let (fake, home) = (Fake::start().await, Home::new());
    let witness = Witness::new(&home, "service", "exec sleep 60");
    let process = witness.start(&home).await;
    let agent = agent(&fake, home.path()).await;
    fake.until("the session", |h| h.down.clone().map(drop)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!gone(&process), "nothing is decided yet");
    let forget = Orders { forget: vec![witness.alloc.id.0.as_bytes().to_vec().into()], ..Orders::default() };
    fake.tell(from_server::Body::Orders(forget)).await;
    wait("the process to end", || gone(&process)).await;
    wait("its directory to go", || !witness.mark(&home).run_dir.exists()).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_said_on_the_node() {
    let (fake, home) = (Fake::start().await, Home::new());
    std::fs::create_dir_all(state_dir(&home).join("state")).expect("made");
    std::fs::write(state_dir(&home).join("state/conf"), b"no configuration").expect("written");
    let agent = agent(&fake, home.path()).await;
    let node = fake.until("the node", |h| h.node.clone()).await;
    let told = node.attributes.get("unique.agent.state_damage").map(ToString::to_string).unwrap_or_default();
    assert!(told.contains("state.damaged-"), "{told}");
    agent.shutdown().await;
}

/// What a start may have left in the directory of its run when neither its task nor its supervisor lives.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    Directory,
    /// Whose pid is nobody's any more.
    SupervisorsClaim,
    VoidClaim,
}

impl Left {
    fn make(self, run_dir: &Path) {
        let claim = match self {
            Left::Nothing => return,
            Left::Directory => None,
            Left::SupervisorsClaim => Some(json!({"Supervisor": {"pid": 1, "start": 1}})),
            Left::VoidClaim => Some(json!("Void")),
        };
        std::fs::create_dir_all(run_dir).expect("made");
        if let Some(claim) = claim {
            std::fs::write(run_dir.join("claim.json"), claim.to_string()).expect("written");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_start_has_left_the_task_runs_once() {
    for left in [Left::Nothing, Left::Directory, Left::SupervisorsClaim, Left::VoidClaim] {
        for known in [true, false] {
            println!("{left:?}, its record is there: {known}");
            let (fake, home) = (Fake::start().await, Home::new());
            let witness = Witness::new(&home, "service", "exec sleep 60");
            left.make(&witness.mark(&home).run_dir);
            if known {
                witness.leave(&home, TaskStateKind::Pending, begun(witness.mark(&home))).await;
            }
            let agent = agent(&fake, home.path()).await;
            fake.order(&as_known(&witness.alloc, TaskStateKind::Pending)).await;
            fake.status(&witness.alloc, ClientStatus::Running).await;
            witness.ran(1).await;
            agent.shutdown().await;
        }
    }
}

/// A machine full of tasks: many come back at once, another is started, and the agent goes when it is told to, server or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_full_of_tasks_comes_back_and_goes() {
    let (fake, home) = (Fake::start().await, Home::new());
    let sleeper = |n: usize| alloc_of(job(&format!("s{n}"), "service", vec![script("t", "exec sleep 300")]));
    let allocs: Vec<Allocation> = (0..40).map(sleeper).collect();
    let first = agent(&fake, home.path()).await;
    for alloc in &allocs {
        fake.order(alloc).await;
    }
    for alloc in &allocs {
        fake.status(alloc, ClientStatus::Running).await;
    }
    first.shutdown().await;
    drop(first);
    fake.heard.lock().expect("held").updates.clear();

    let second = agent(&fake, home.path()).await;
    for alloc in &allocs {
        fake.status(alloc, ClientStatus::Running).await;
    }
    let more = sleeper(40);
    fake.order(&more).await;
    fake.status(&more, ClientStatus::Running).await;
    fake.vanish();
    let begun = Instant::now();
    second.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?} to go", begun.elapsed());
}

/// Templates that ask the servers before there is a session: they are taken up before it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn templates_that_are_taken_up_find_their_session() {
    let (fake, home) = (Fake::start().await, Home::new());
    let mut task = crate::test_support::task("t", "mock_driver", json!({}));
    task.templates = Some(vec![Template {
        embedded_tmpl: Some("{{ range nomadService \"x\" }}{{ .Port }}{{ end }}".to_owned()),
        dest_path: Some("local/x".to_owned()),
        ..Template::default()
    }]);
    let allocs: Vec<Allocation> =
        (0..150).map(|n| alloc_of(job(&format!("j{n}"), "service", vec![task.clone()]))).collect();
    {
        let store = Store::open(&state_dir(&home).join("state")).expect("opens").store;
        for alloc in &allocs {
            let record = Record {
                alloc: alloc.clone(),
                states: TaskStates::default(),
                healthy: None,
                handles: BTreeMap::new(),
                born: None,
                made: Vec::new(),
            };
            store.put(&record, false).await;
        }
        store.flush().await;
    }
    let agent = agent(&fake, home.path()).await;
    for alloc in &allocs {
        fake.status(alloc, ClientStatus::Running).await;
    }
    agent.shutdown().await;
}
