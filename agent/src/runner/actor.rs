//! Carries out what the cores decide, one async task an allocation.
//!
//! Everything that happens arrives as a [`Message`]; everything slow runs beside the loop and sends a message when done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tarpan_model::alloc::NetworkStatus;
use tarpan_model::job::Task;
use tarpan_model::{Allocation, ClientStatus, Dur, UnixNanos};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::birth::Birth;
use super::core::{AllocCore, Effect, Input, Report};
use super::inbox::{Inbox, Message, Receiver};
use super::plan::plan;
use super::refusal::Refusal;
use super::setup::alloc::AllocScope;
use super::setup::task::{Live, TaskScope};
use super::setup::{Beside, Ledger, List, Setup};
use super::{event, task};
use crate::alloc_dir::AllocDir;
use crate::checks::Checker;
use crate::context::Context;
use crate::driver::{Handle, TaskRequest};
use crate::store::{Made, TaskRecord};
use crate::template;

/// What the handle on an allocation shows of it.
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

/// What an earlier agent left of an allocation.
pub(super) struct Left {
    pub(super) made: Vec<Made>,
    pub(super) tasks: BTreeMap<String, TaskRecord>,
}

/// One task's part of the actor.
pub(super) struct TaskPart {
    pub(super) name: String,
    pub(super) setup: Setup<TaskScope>,
    pub(super) live: Arc<Live>,
    pub(super) beside: Beside,
    /// What is under way for a start.
    pub(super) work: Option<JoinHandle<()>>,
    /// To be set up as soon as the allocation is. `true`: it runs.
    pub(super) waits: Option<bool>,
    /// What was set up for an earlier run is given back.
    pub(super) undoing: Option<JoinHandle<()>>,
    pub(super) request: Arc<Mutex<Option<TaskRequest>>>,
    pub(super) handle: Option<Arc<dyn Handle>>,
    pub(super) record: TaskRecord,
    pub(super) waiter: Option<JoinHandle<()>>,
    pub(super) services: Vec<String>,
}

impl TaskPart {
    pub(super) fn new(name: String, hooks: List<TaskScope>) -> TaskPart {
        TaskPart {
            name,
            setup: Setup::new(hooks, Ledger::default()),
            live: Arc::default(),
            beside: Beside::default(),
            work: None,
            waits: None,
            undoing: None,
            request: Arc::default(),
            handle: None,
            record: TaskRecord::default(),
            waiter: None,
            services: Vec::new(),
        }
    }
}

pub(super) struct Actor {
    pub(super) context: Arc<Context>,
    pub(super) core: AllocCore,
    pub(super) birth: Birth,
    /// The same in measured time, looked up once.
    pub(super) born: UnixNanos,
    pub(super) alloc: Arc<Allocation>,
    pub(super) dir: AllocDir,
    pub(super) tasks: Vec<TaskPart>,
    pub(super) setup: Setup<AllocScope>,
    pub(super) setting_up: Option<JoinHandle<()>>,
    /// The allocation is set up.
    pub(super) ready: bool,
    pub(super) beside: Beside,
    pub(super) inbox: Inbox,
    /// What follows from what was done just now, and orders that were taken up.
    pub(super) todo: VecDeque<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) last: Option<Report>,
    pub(super) group_services: Vec<String>,
}

impl Actor {
    pub(super) async fn run(mut self, mut receiver: Receiver, restored: Option<Left>) {
        let fresh = restored.is_none();
        match restored {
            None => self.begin().await,
            Some(left) => self.resume(left).await,
        }
        self.publish(fresh).await;
        while !self.core.finished() {
            match self.next(&mut receiver).await {
                Message::Leave => return self.abandon(),
                message => self.take(message).await,
            }
        }
        self.give_back();
        // From here on only questions come, and newer rows of the same allocation.
        loop {
            match self.next(&mut receiver).await {
                Message::Leave => return self.abandon(),
                Message::Undone => self.finish().await,
                message => self.answer(message).await,
            }
        }
    }

    /// What happens next.
    async fn next(&mut self, receiver: &mut Receiver) -> Message {
        loop {
            if let Some(message) = self.todo.pop_front() {
                return message;
            }
            self.todo.extend(receiver.orders());
            if !self.todo.is_empty() {
                continue;
            }
            let wake = self.core.wake_at().filter(|_| !self.core.finished()).map(|at| at.since(crate::now()).to_std());
            tokio::select! {
                message = receiver.message() => if let Some(message) = message { return message },
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX / 4)), if wake.is_some() => {
                    return Message::Core(Input::Tick);
                }
            }
        }
    }

    pub(super) fn hold(&mut self, index: usize, handle: Arc<dyn Handle>) {
        let task = &mut self.tasks[index];
        task.record.handle = handle.save();
        task.record.adopted = false;
        self.shared.handles.lock().expect("no panic while held").insert(task.name.clone(), handle.clone());
        task.handle = Some(handle);
        task.live.set_started(true);
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Core(input) => {
                if matches!(input, Input::Ready) {
                    self.ready();
                }
                self.step(input).await;
            }
            Message::Task(index, input) => {
                if matches!(input, task::Input::Exited(_) | task::Input::StartFailed(_) | task::Input::Canceled) {
                    self.let_go(index);
                }
                self.step(Input::Task(index, input)).await;
            }
            Message::RegisterGroup if !self.core.ending() => self.register_group(),
            Message::WithdrawGroup => self.withdraw_group(),
            Message::Network(status) => self.networked(status),
            Message::Made => self.context.store.write(&self.record()),
            Message::SetUp(index, running) if self.wants_set_up(index, running) => self.set_up_task(index, running),
            Message::Prepared(index) => {
                self.tasks[index].record.prepared = true;
                self.step(Input::Task(index, task::Input::Prepared)).await;
            }
            Message::Started(index, handle) => self.started(index, handle).await,
            Message::Ended(index, handle, exit) => self.ended(index, handle, exit),
            Message::Contacted(index) => self.contacted(index).await,
            Message::Template(index, change) => self.template_changed(index, change).await,
            Message::Update(alloc) => {
                self.adopt(*alloc).await;
            }
            Message::Restart { task, all, reply } => {
                let result = self.restart(task, all).await;
                let _ = reply.send(result);
            }
            Message::Signal { task, signal, reply } => {
                let result = self.signal(task, &signal).await;
                let _ = reply.send(result);
            }
            Message::ReportAgain => self.report_again().await,
            Message::RegisterGroup | Message::SetUp(..) | Message::Undone | Message::Remove(_) | Message::Leave => {}
        }
    }

    /// What is still said to an allocation of which nothing runs any more.
    async fn answer(&mut self, message: Message) {
        match message {
            Message::Update(alloc) => self.adopt(*alloc).await,
            Message::ReportAgain => self.report_again().await,
            Message::Restart { reply, .. } => {
                drop(reply.send(Err(Refusal::Ending)));
            }
            Message::Signal { reply, .. } => drop(reply.send(Err(Refusal::NotRunning))),
            Message::WithdrawGroup => self.withdraw_group(),
            Message::Remove(reply) => self.remove(reply),
            _ => {}
        }
    }

    /// One step of the core, with everything that follows.
    pub(super) async fn step(&mut self, input: Input) {
        self.core.set_offset(crate::clock::offset());
        let effects = self.core.step(input, crate::now());
        let started = effects.iter().any(|e| matches!(e, Effect::Task(_, task::Effect::RegisterServices)));
        for effect in effects {
            self.carry_out(effect);
        }
        self.publish(started).await;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::DeregisterGroup => self.withdraw_group(),
            Effect::Finish => {}
            Effect::Task(index, effect) => match effect {
                task::Effect::Prepare => self.set_up_task(index, false),
                task::Effect::Start => self.launch(index),
                task::Effect::Cancel => self.cancel(index),
                task::Effect::RegisterServices => self.register(index),
                task::Effect::DeregisterServices => self.deregister(index),
                task::Effect::Stop { grace } => self.stop(index, grace),
                task::Effect::Ended => {
                    self.deregister(index);
                    self.undo_task(index);
                }
            },
        }
    }

    pub(super) fn task(&self, index: usize) -> Option<Task> {
        self.alloc.group().and_then(|g| g.task(&self.tasks[index].name)).cloned()
    }

    fn stop(&mut self, index: usize, grace: Dur) {
        let signal = self.task(index).and_then(|t| t.kill_signal).unwrap_or_default();
        let Some(handle) = self.tasks[index].handle.clone() else { return };
        let alloc_id = self.alloc.id;
        tokio::spawn(async move {
            let mut wait = Duration::from_secs(5);
            for _ in 0..5 {
                match handle.stop(&signal, grace.to_std()).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%alloc_id, "stopping a task: {error}"),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 4).min(Duration::from_secs(120));
            }
        });
    }

    async fn template_changed(&mut self, index: usize, change: template::Change) {
        match change {
            template::Change::Notice(event) => self.step(Input::Task(index, task::Input::Notice(event))).await,
            template::Change::Failed(text) => {
                self.step(Input::Task(index, task::Input::Fail(event::template(&text)))).await;
            }
            template::Change::Rendered { env, restart, signals } => {
                self.tasks[index].live.set_env(env);
                if restart {
                    let event = event::restart_signaled("Template with change_mode restart re-rendered");
                    self.step(Input::Task(index, task::Input::Restart { event, failure: false })).await;
                    return;
                }
                for signal in signals {
                    let notice = event::signaling(&signal, "Template re-rendered");
                    self.step(Input::Task(index, task::Input::Notice(notice))).await;
                    let Some(handle) = self.tasks[index].handle.clone() else { continue };
                    if let Err(error) = handle.signal(&signal).await {
                        let text = format!("Template failed to send signals {signal}: {error}");
                        self.step(Input::Task(index, task::Input::Fail(event::template(&text)))).await;
                    }
                }
            }
        }
    }

    /// The network is this node's to tell: it goes with the next report.
    fn networked(&mut self, status: NetworkStatus) {
        if self.alloc.network_status.as_deref() == Some(&status) {
            return;
        }
        self.alloc = Arc::new(Allocation { network_status: Some(Arc::new(status)), ..(*self.alloc).clone() });
        *self.shared.alloc.write().expect("no panic while held") = self.alloc.clone();
        self.last = None;
        self.context.store.write(&self.record());
    }

    /// A newer row of this allocation. It may not know yet what this node said of the network.
    async fn adopt(&mut self, mut alloc: Allocation) {
        if self.alloc.network_status.is_some() {
            alloc.network_status = self.alloc.network_status.clone();
        }
        let old = std::mem::replace(&mut self.alloc, Arc::new(alloc));
        *self.shared.alloc.write().expect("no panic while held") = self.alloc.clone();
        if self.core.finished() {
            self.context.store.put(&self.record(), false).await;
            return;
        }
        let plan = Box::new(plan(&self.context, &self.alloc, self.born));
        let new_deployment = old.deployment_id != self.alloc.deployment_id;
        self.step(Input::Update { plan, new_deployment }).await;
        if self.alloc.server_terminal() {
            let no_shutdown_delay = self.alloc.transition.no_shutdown_delay == Some(true);
            self.step(Input::Stop { no_shutdown_delay }).await;
        } else if old.job_version != self.alloc.job_version {
            self.refresh_services();
        }
        // Whatever the servers believed before: they hear of it once, and forgot that they did.
        if self.alloc.client_status == ClientStatus::Unknown {
            for index in 0..self.tasks.len() {
                self.step(Input::Task(index, task::Input::Notice(event::reconnected()))).await;
            }
            self.last = None;
        }
        self.context.store.put(&self.record(), false).await;
        self.publish(false).await;
    }

    async fn finish(&mut self) {
        self.withdraw_group();
        self.context.store.write(&self.record());
        *self.shared.ended_at.lock().expect("no panic while held") = crate::now();
        self.publish(true).await;
        self.shared.finished.send_replace(true);
        self.context.crowd.notify_one();
    }

    /// The agent goes; tasks stay.
    fn abandon(&mut self) {
        let of_tasks = self.tasks.iter_mut().flat_map(|t| [t.work.take(), t.waiter.take(), t.undoing.take()]);
        of_tasks.chain([self.setting_up.take()]).flatten().for_each(|work| work.abort());
    }
}
