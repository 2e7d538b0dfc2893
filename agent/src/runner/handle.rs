//! One allocation on this node, as everyone else sees it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};

use tarpan_api::wire::CheckQueryResult;
use tarpan_model::{AllocId, Allocation, UnixNanos};
use tokio::sync::{oneshot, watch};

use super::actor::{Actor, Left, Shared, TaskPart};
use super::birth::Birth;
use super::core::{AllocCore, Report};
use super::inbox::{Inbox, Message, inbox};
use super::plan::plan;
use super::refusal::Refusal;
use super::setup::{Beside, Hooks, Ledger, Setup};
use crate::alloc_dir::AllocDir;
use crate::checks::Checker;
use crate::context::Context;
use crate::driver::{Handle, Mark};
use crate::store::Record;

/// One allocation on this node: a handle for everyone else.
pub struct Runner {
    pub id: AllocId,
    pub dir: AllocDir,
    inbox: Inbox,
    shared: Arc<Shared>,
}

impl Runner {
    /// Runs a new allocation.
    pub(crate) fn start(context: Arc<Context>, hooks: &Hooks, alloc: Allocation) -> Arc<Runner> {
        let (now, birth) = (crate::now(), Birth::now());
        let core = AllocCore::new(plan(&context, &alloc, now), now);
        Runner::spawn(context, hooks, alloc, core, (birth, now), None)
    }

    /// Takes up an allocation of an earlier agent.
    pub(crate) fn restore(context: Arc<Context>, hooks: &Hooks, record: Record) -> Arc<Runner> {
        let birth = Birth::taken_up(record.born, &record.alloc);
        let (now, born) = (crate::now(), birth.measured());
        let plan = plan(&context, &record.alloc, born);
        let core = AllocCore::restored(plan, &record.states, record.healthy, now);
        let left = Left { made: record.made, tasks: record.handles };
        Runner::spawn(context, hooks, record.alloc, core, (birth, born), Some(left))
    }

    fn spawn(
        context: Arc<Context>,
        hooks: &Hooks,
        alloc: Allocation,
        core: AllocCore,
        (birth, born): (Birth, UnixNanos),
        restored: Option<Left>,
    ) -> Arc<Runner> {
        let (inbox, receiver) = inbox();
        let id = alloc.id;
        let dir = AllocDir::new(&context.alloc_root, id);
        let alloc = Arc::new(alloc);
        let shared = Arc::new(Shared {
            alloc: RwLock::new(alloc.clone()),
            handles: Mutex::default(),
            report: RwLock::new(None),
            checks: RwLock::new(None),
            finished: watch::Sender::new(false),
            ended_at: Mutex::new(UnixNanos::ZERO),
            marks: Mutex::default(),
        });
        context.neighbours.add(id, dir.clone(), shared.finished.subscribe());
        let names = core.tasks().iter().map(|t| t.settings.name.to_string());
        let part = |name| TaskPart::new(name, hooks.task.clone());
        let actor = Actor {
            tasks: names.map(part).collect(),
            setup: Setup::new(hooks.alloc.clone(), Ledger::default()),
            setting_up: None,
            ready: false,
            beside: Beside::default(),
            todo: VecDeque::new(),
            context,
            core,
            birth,
            born,
            alloc,
            dir: dir.clone(),
            inbox: inbox.clone(),
            shared: shared.clone(),
            last: None,
            group_services: Vec::new(),
        };
        tokio::spawn(actor.run(receiver, restored));
        Arc::new(Runner { id, dir, inbox, shared })
    }

    pub fn alloc(&self) -> Arc<Allocation> {
        self.shared.alloc.read().expect("no panic while held").clone()
    }

    /// The servers have news of it.
    pub fn update(&self, alloc: Allocation) {
        self.inbox.update(alloc);
    }

    /// Tells the servers everything once more, registrations included.
    pub fn report_again(&self) {
        self.inbox.report_again();
    }

    /// Ends everything, poststop tasks included.
    pub fn destroy(&self) {
        self.inbox.destroy();
    }

    pub fn stop(&self) {
        self.inbox.stop();
    }

    pub(crate) fn leave(&self) {
        self.inbox.leave();
    }

    /// Nothing is written down any more.
    pub(crate) async fn left(&self) {
        self.inbox.closed().await;
    }

    /// Removes everything of an ended allocation; `false`: the agent leaves, and the next one does.
    pub(crate) async fn remove(&self) -> bool {
        let (reply, removed) = oneshot::channel();
        self.inbox.tell(Message::Remove(reply)).await;
        removed.await.is_ok()
    }

    /// Leaves no room for a message.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        self.inbox.fill();
    }

    pub fn finished(&self) -> bool {
        *self.shared.finished.borrow()
    }

    pub async fn wait_finished(&self) {
        let _ = self.shared.finished.subscribe().wait_for(|f| *f).await;
    }

    /// Whether this start of a task is the current one: the driver's traces of any other are left over.
    pub fn runs(&self, mark: &Mark) -> bool {
        self.shared.marks.lock().expect("no panic while held").get(&mark.task) == Some(&mark.id)
    }

    pub fn ended_at(&self) -> UnixNanos {
        *self.shared.ended_at.lock().expect("no panic while held")
    }

    pub fn report(&self) -> Option<Report> {
        self.shared.report.read().expect("no panic while held").clone()
    }

    /// Handles on the tasks that run, by name.
    pub fn handles(&self) -> BTreeMap<String, Arc<dyn Handle>> {
        self.shared.handles.lock().expect("no panic while held").clone()
    }

    /// What the native checks last said, by check id.
    pub fn checks(&self) -> BTreeMap<String, CheckQueryResult> {
        let checks = self.shared.checks.read().expect("no panic while held");
        checks.as_ref().map(Checker::results).unwrap_or_default()
    }

    /// Restarts one task, the running ones, or all.
    pub async fn restart(&self, task: Option<String>, all: bool) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.inbox.tell(Message::Restart { task, all, reply }).await;
        answer.await.unwrap_or(Err(Refusal::Gone))
    }

    pub async fn signal(&self, task: Option<String>, signal: String) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.inbox.tell(Message::Signal { task, signal, reply }).await;
        answer.await.unwrap_or(Err(Refusal::Gone))
    }
}
