//! One allocation on this node, as everyone else sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use tarpan_api::wire::CheckQueryResult;
use tarpan_model::{AllocId, Allocation, UnixNanos};
use tokio::sync::{mpsc, oneshot, watch};

use super::actor::{Actor, Message, TaskPart};
use super::birth::Birth;
use super::core::{AllocCore, Input, Report};
use super::plan::plan;
use crate::alloc_dir::AllocDir;
use crate::checks::Checker;
use crate::context::Context;
use crate::driver::{Handle, Mark};
use crate::store::{Record, TaskRecord};

/// One allocation on this node: a handle for everyone else.
pub struct Runner {
    pub id: AllocId,
    pub dir: AllocDir,
    messages: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) alloc: RwLock<Arc<Allocation>>,
    pub(super) handles: Mutex<BTreeMap<String, Arc<dyn Handle>>>,
    pub(super) report: RwLock<Option<Report>>,
    pub(super) checks: RwLock<Option<Checker>>,
    /// Every task is dead and everything given back.
    pub(super) finished: watch::Sender<bool>,
    pub(super) ended_at: Mutex<UnixNanos>,
    /// The starts that are under way or run, by task.
    pub(super) marks: Mutex<BTreeMap<String, String>>,
}

impl Runner {
    /// Runs a new allocation.
    pub fn start(context: Arc<Context>, alloc: Allocation) -> Arc<Runner> {
        let (now, birth) = (crate::now(), Birth::now());
        let core = AllocCore::new(plan(&context, &alloc, now), now);
        Runner::spawn(context, alloc, core, (birth, now), None)
    }

    /// Takes up an allocation of an earlier agent.
    pub fn restore(context: Arc<Context>, record: Record) -> Arc<Runner> {
        let birth = Birth::taken_up(record.born, &record.alloc);
        let (now, born) = (crate::now(), birth.measured());
        let plan = plan(&context, &record.alloc, born);
        let core = AllocCore::restored(plan, &record.states, record.healthy, now);
        Runner::spawn(context, record.alloc, core, (birth, born), Some(record.handles))
    }

    fn spawn(
        context: Arc<Context>,
        alloc: Allocation,
        core: AllocCore,
        (birth, born): (Birth, UnixNanos),
        restored: Option<BTreeMap<String, TaskRecord>>,
    ) -> Arc<Runner> {
        let (messages, receiver) = mpsc::unbounded_channel();
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
        let names: Vec<String> = core.tasks().iter().map(|t| t.settings.name.to_string()).collect();
        let actor = Actor {
            tasks: names.into_iter().map(|name| TaskPart { name, ..TaskPart::default() }).collect(),
            context,
            core,
            birth,
            born,
            alloc,
            dir: dir.clone(),
            messages: messages.clone(),
            shared: shared.clone(),
            last: None,
            group_services: Vec::new(),
        };
        tokio::spawn(actor.run(receiver, restored));
        Arc::new(Runner { id, dir, messages, shared })
    }

    pub fn alloc(&self) -> Arc<Allocation> {
        self.shared.alloc.read().expect("no panic while held").clone()
    }

    /// The servers have news of it.
    pub fn update(&self, alloc: Allocation) {
        let _ = self.messages.send(Message::Update(Box::new(alloc)));
    }

    /// Tells the servers everything once more, registrations included.
    pub fn report_again(&self) {
        let _ = self.messages.send(Message::ReportAgain);
    }

    /// Ends everything, poststop tasks included.
    pub fn destroy(&self) {
        let _ = self.messages.send(Message::Core(Input::Destroy));
    }

    pub fn stop(&self) {
        let _ = self.messages.send(Message::Core(Input::Stop { no_shutdown_delay: true }));
    }

    pub(crate) fn leave(&self) {
        let _ = self.messages.send(Message::Leave);
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

    /// Restarts one task, the running ones, or all. The error is a sentence for the caller.
    pub async fn restart(&self, task: Option<String>, all: bool) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.messages.send(Message::Restart { task, all, reply });
        answer.await.unwrap_or_else(|_| Err("the allocation has ended".to_owned()))
    }

    pub async fn signal(&self, task: Option<String>, signal: String) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.messages.send(Message::Signal { task, signal, reply });
        answer.await.unwrap_or_else(|_| Err("the allocation has ended".to_owned()))
    }
}
