//! Carries out what the cores decide, one async task an allocation.
//!
//! Everything that happens arrives as a [`Message`]; everything slow runs beside the loop and sends a message when done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tarpan_model::alloc::{AllocUpdate, TaskStates};
use tarpan_model::job::Task;
use tarpan_model::{AllocId, Allocation, ClientStatus, Dur, UnixNanos};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::birth::Birth;
use super::core::{AllocCore, Effect, Input, Plan, Report};
use super::event;
use super::health::Rules;
use super::prepare::{self, Prepared};
use super::restart::Policy;
use super::task::{self, Hook, Settings};
use crate::alloc_dir::AllocDir;
use crate::context::Context;
use crate::driver::{Exit, Handle, Mark, TaskRequest};
use crate::services;
use crate::store::{Record, TaskRecord};
use crate::template;

/// What a runner can be told.
pub(super) enum Message {
    Core(Input),
    Task(usize, task::Input),
    Prepared(usize, Box<Prepared>),
    Started(usize, Arc<dyn Handle>),
    /// A start is over; its traces are still there.
    Ended(usize, Arc<dyn Handle>, Exit),
    /// The servers were heard of: a task that could not be found again may run anew.
    Contacted(usize),
    Template(usize, template::Change),
    Update(Box<Allocation>),
    Restart {
        task: Option<String>,
        all: bool,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Signal {
        task: Option<String>,
        signal: String,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// What was reported so far is not known any more.
    ReportAgain,
    /// The agent ends; what runs goes on.
    Leave,
}

/// One allocation on this node: a handle for everyone else.
pub struct Runner {
    pub id: AllocId,
    pub dir: AllocDir,
    messages: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    alloc: RwLock<Arc<Allocation>>,
    pub(super) handles: Mutex<BTreeMap<String, Arc<dyn Handle>>>,
    report: RwLock<Option<Report>>,
    checks: RwLock<Option<crate::checks::Checker>>,
    /// Every task is dead and everything given back.
    finished: watch::Sender<bool>,
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
        let shell = Shell {
            tasks: names.into_iter().map(|name| TaskShell { name, ..TaskShell::default() }).collect(),
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
        tokio::spawn(shell.run(receiver, restored));
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
    pub fn checks(&self) -> BTreeMap<String, tarpan_api::wire::CheckQueryResult> {
        let checks = self.shared.checks.read().expect("no panic while held");
        checks.as_ref().map(crate::checks::Checker::results).unwrap_or_default()
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

/// What the core must know, from the allocation's job.
fn plan(context: &Context, alloc: &Allocation, born: UnixNanos) -> Plan {
    let Some(group) = alloc.group() else {
        return Plan { tasks: Vec::new(), group_shutdown_delay: Dur::ZERO, health: None, run_until: None, seed: 0 };
    };
    let max_kill: Dur = context.options.max_kill_timeout.into();
    let settings = |task: &Task| {
        let hook = Hook::of(task);
        Settings {
            name: Arc::from(task.name()),
            hook,
            leader: task.leader == Some(true),
            kill_timeout: task.kill_timeout.unwrap_or(Dur::from_secs(5)).min(max_kill),
            shutdown_delay: task.shutdown_delay.unwrap_or(Dur::ZERO),
            policy: Policy::of(&alloc.job, group, task, hook),
        }
    };
    Plan {
        tasks: group.tasks().iter().map(settings).collect(),
        group_shutdown_delay: group.shutdown_delay.unwrap_or(Dur::ZERO),
        health: Rules::of(alloc, &alloc.job, group),
        run_until: group.max_run_duration.filter(|d| d.0 > 0).map(|d| born + d),
        seed: alloc.id.0.as_u128() as u64,
    }
}

/// One task's part of the shell.
#[derive(Default)]
pub(super) struct TaskShell {
    pub(super) name: String,
    /// What is under way for a start.
    pub(super) work: Option<JoinHandle<()>>,
    pub(super) request: Arc<Mutex<Option<TaskRequest>>>,
    templates: Option<template::Watcher>,
    pub(super) template_env: BTreeMap<String, String>,
    pub(super) handle: Option<Arc<dyn Handle>>,
    pub(super) record: TaskRecord,
    pub(super) waiter: Option<JoinHandle<()>>,
    services: Vec<String>,
}

pub(super) struct Shell {
    pub(super) context: Arc<Context>,
    pub(super) core: AllocCore,
    birth: Birth,
    /// The same in measured time, looked up once.
    born: UnixNanos,
    pub(super) alloc: Arc<Allocation>,
    pub(super) dir: AllocDir,
    pub(super) tasks: Vec<TaskShell>,
    pub(super) messages: mpsc::UnboundedSender<Message>,
    pub(super) shared: Arc<Shared>,
    last: Option<Report>,
    group_services: Vec<String>,
}

impl Shell {
    async fn run(
        mut self,
        mut receiver: mpsc::UnboundedReceiver<Message>,
        restored: Option<BTreeMap<String, TaskRecord>>,
    ) {
        let fresh = restored.is_none();
        match restored {
            None => self.begin().await,
            Some(handles) => self.resume(handles).await,
        }
        self.publish(fresh).await;
        while !self.core.finished() {
            let wake = self.core.wake_at().map(|at| at.since(crate::now()).to_std());
            let message = tokio::select! {
                message = receiver.recv() => message,
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX / 4)), if wake.is_some() => Some(Message::Core(Input::Tick)),
            };
            match message {
                None | Some(Message::Leave) => return self.abandon(),
                Some(message) => self.take(message).await,
            }
        }
        self.finish().await;
        // Afterwards only questions come, and newer rows of the same allocation.
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Leave => return,
                Message::Update(alloc) => self.adopt(*alloc).await,
                Message::ReportAgain => self.report_again().await,
                Message::Restart { reply, .. } => {
                    drop(reply.send(Err("restart of an alloc that should not run".to_owned())))
                }
                Message::Signal { reply, .. } => drop(reply.send(Err("Task not running".to_owned()))),
                _ => {}
            }
        }
    }

    async fn begin(&mut self) {
        let record = self.record();
        // Known on disk before anything runs: a crash right after the start must not leave an orphan.
        self.context.store.put(&record, true).await;
        crate::crash::point("alloc-recorded");
        self.prerun();
        crate::crash::point("alloc-directory-made");
    }

    /// Group-level preparation; ends in `Ready` or `NotReady`.
    pub(super) fn prerun(&mut self) {
        if self.core.tasks().is_empty() {
            return self.send(Input::NotReady(format!("the job has no group {:?}", &*self.alloc.task_group)));
        }
        if let Err(error) = self.dir.create() {
            return self.send(Input::NotReady(format!("failed to setup alloc: {}", crate::chain(&error))));
        }
        self.register_group();
        let previous = self.alloc.previous.into_iter().chain(self.alloc.preempted.iter().copied());
        let local: Vec<Arc<Runner>> = previous.filter_map(|id| self.context.runner(id)).collect();
        if local.is_empty() {
            return self.send(Input::Ready);
        }
        let (messages, alloc, dir) = (self.messages.clone(), self.alloc.clone(), self.dir.clone());
        tokio::spawn(async move {
            for runner in &local {
                runner.wait_finished().await;
            }
            let sticky = alloc
                .group()
                .and_then(|g| g.ephemeral_disk.as_ref())
                .is_some_and(|d| d.sticky == Some(true) || d.migrate == Some(true));
            if let Some(old) = local.iter().find(|r| sticky && Some(r.id) == alloc.previous) {
                prepare::move_data(&old.dir, &dir, &alloc);
            }
            let _ = messages.send(Message::Core(Input::Ready));
        });
    }

    fn send(&self, input: Input) {
        let _ = self.messages.send(Message::Core(input));
    }

    pub(super) fn hold(&mut self, index: usize, handle: Arc<dyn Handle>) {
        let task = &mut self.tasks[index];
        task.record.handle = handle.save();
        task.record.adopted = false;
        self.shared.handles.lock().expect("no panic while held").insert(task.name.clone(), handle.clone());
        task.handle = Some(handle);
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Core(input) => self.step(input).await,
            Message::Task(index, input) => {
                if matches!(input, task::Input::Exited(_) | task::Input::StartFailed(_) | task::Input::Canceled) {
                    self.let_go(index);
                }
                self.step(Input::Task(index, input)).await;
            }
            Message::Prepared(index, prepared) => self.prepared(index, *prepared).await,
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
            Message::Leave => {}
        }
    }

    async fn report_again(&mut self) {
        self.last = None;
        self.publish(false).await;
        if self.core.ending() {
            return;
        }
        self.register_group();
        for index in 0..self.tasks.len() {
            if self.core.tasks()[index].running() {
                self.register(index);
            }
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
            Effect::DeregisterGroup => {
                self.context.outbox.deregister(std::mem::take(&mut self.group_services));
                self.set_checks(None);
            }
            Effect::Finish => {}
            Effect::Task(index, effect) => match effect {
                task::Effect::Prepare => self.prepare(index, false),
                task::Effect::Start => self.launch(index),
                task::Effect::Cancel => self.cancel(index),
                task::Effect::RegisterServices => self.register(index),
                task::Effect::DeregisterServices => self.deregister(index),
                task::Effect::Stop { grace } => self.stop(index, grace),
                task::Effect::Ended => {
                    self.deregister(index);
                    self.tasks[index].templates = None;
                }
            },
        }
    }

    pub(super) fn task(&self, index: usize) -> Option<Task> {
        self.alloc.group().and_then(|g| g.task(&self.tasks[index].name)).cloned()
    }

    pub(super) fn prepare(&mut self, index: usize, running: bool) {
        let Some(task) = self.task(index) else { return };
        let render_again = self.core.tasks()[index].settings.policy.render_templates;
        let shell = &mut self.tasks[index];
        if render_again {
            shell.templates = None;
        }
        let request = prepare::Request {
            context: self.context.clone(),
            alloc: self.alloc.clone(),
            dir: self.dir.clone(),
            task,
            index,
            fetched: shell.record.prepared,
            watching: shell.templates.is_some(),
            running,
            messages: self.messages.clone(),
        };
        shell.work = Some(tokio::spawn(prepare::run(request)));
    }

    async fn prepared(&mut self, index: usize, prepared: Prepared) {
        let shell = &mut self.tasks[index];
        shell.record.prepared = true;
        if let Some((watcher, env)) = prepared.templates {
            shell.templates = Some(watcher);
            shell.template_env = env;
        }
        self.step(Input::Task(index, task::Input::Prepared)).await;
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

    fn register(&mut self, index: usize) {
        let Some(task) = self.task(index) else { return };
        let network = self.tasks[index].handle.as_ref().and_then(|h| h.network());
        let env = prepare::environment(&self.context, &self.alloc, &self.dir, &task, &BTreeMap::new());
        let rows = services::of_task(&self.context, &self.alloc, &task, network.as_ref(), &env);
        self.tasks[index].services = rows.iter().map(|r| r.id.to_string()).collect();
        self.context.outbox.register(rows);
        self.watch_checks();
    }

    fn deregister(&mut self, index: usize) {
        let ids = std::mem::take(&mut self.tasks[index].services);
        if !ids.is_empty() {
            self.context.outbox.deregister(ids);
        }
    }

    fn register_group(&mut self) {
        let rows = services::of_group(&self.context, &self.alloc);
        self.group_services = rows.iter().map(|r| r.id.to_string()).collect();
        if !rows.is_empty() {
            self.context.outbox.register(rows);
        }
    }

    /// Native checks of the services begin with the first task that runs.
    fn watch_checks(&mut self) {
        if self.shared.checks.read().expect("no panic while held").is_none() {
            let messages = self.messages.clone();
            let tell = Arc::new(move |checks| drop(messages.send(Message::Core(Input::Checks(checks)))));
            let restarts = self.messages.clone();
            let names: Vec<String> = self.tasks.iter().map(|t| t.name.clone()).collect();
            let restart = Arc::new(move |task: Option<&str>, check: &str| {
                let event = event::restart_signaled(&format!("healthcheck: check {check:?} unhealthy"));
                for (index, name) in names.iter().enumerate().filter(|(_, n)| task.is_none_or(|t| t == *n)) {
                    let _ = name;
                    let input = task::Input::Restart { event: event.clone(), failure: true };
                    let _ = restarts.send(Message::Task(index, input));
                }
            });
            self.set_checks(crate::checks::Checker::start(&self.context, &self.alloc, tell, restart));
        }
    }

    fn set_checks(&self, checks: Option<crate::checks::Checker>) {
        *self.shared.checks.write().expect("no panic while held") = checks;
    }

    async fn template_changed(&mut self, index: usize, change: template::Change) {
        match change {
            template::Change::Notice(event) => self.step(Input::Task(index, task::Input::Notice(event))).await,
            template::Change::Failed(text) => {
                self.step(Input::Task(index, task::Input::Fail(event::template(&text)))).await;
            }
            template::Change::Rendered { env, restart, signals } => {
                self.tasks[index].template_env = env;
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

    /// A newer row of this allocation.
    async fn adopt(&mut self, alloc: Allocation) {
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
        if old.client_status == ClientStatus::Running && self.alloc.client_status == ClientStatus::Unknown {
            for index in 0..self.tasks.len() {
                self.step(Input::Task(index, task::Input::Notice(event::reconnected()))).await;
            }
            self.last = None;
        }
        self.context.store.put(&self.record(), false).await;
        self.publish(false).await;
    }

    /// Services may differ between versions updated in place.
    fn refresh_services(&mut self) {
        let old = std::mem::take(&mut self.group_services);
        self.register_group();
        let gone =
            |old: Vec<String>, new: &[String]| old.into_iter().filter(|id| !new.contains(id)).collect::<Vec<_>>();
        self.context.outbox.deregister(gone(old, &self.group_services));
        self.set_checks(None);
        // What the old checks said last must not count when the new version has none.
        self.send(Input::Checks(super::health::Checks::None));
        for index in 0..self.tasks.len() {
            if self.core.tasks()[index].running() {
                let old = std::mem::take(&mut self.tasks[index].services);
                self.register(index);
                self.context.outbox.deregister(gone(old, &self.tasks[index].services));
            }
        }
    }

    fn named(&self, task: Option<&str>) -> Result<Vec<usize>, String> {
        match task.filter(|t| !t.is_empty()) {
            None => Ok((0..self.tasks.len()).collect()),
            Some(name) => {
                let found = self.tasks.iter().position(|t| t.name == name);
                found.map(|i| vec![i]).ok_or_else(|| format!("Could not find task named: {name}"))
            }
        }
    }

    async fn restart(&mut self, task: Option<String>, all: bool) -> Result<(), String> {
        if self.core.ending() {
            return Err("restart of an alloc that should not run".to_owned());
        }
        let one = task.as_deref().is_some_and(|t| !t.is_empty());
        if all && one {
            return Err("Can't restart all tasks when a task name is given".to_owned());
        }
        if all {
            self.step(Input::RestartAll(event::restart_signaled("User requested all tasks to restart"))).await;
            return Ok(());
        }
        let reason = if one { "User requested task to restart" } else { "User requested running tasks to restart" };
        for index in self.named(task.as_deref())? {
            if !self.core.tasks()[index].running() {
                if one {
                    return Err("Task not running".to_owned());
                }
                continue;
            }
            let input = task::Input::Restart { event: event::restart_signaled(reason), failure: false };
            self.step(Input::Task(index, input)).await;
        }
        Ok(())
    }

    async fn signal(&mut self, task: Option<String>, signal: &str) -> Result<(), String> {
        for index in self.named(task.as_deref())? {
            let Some(handle) = self.tasks[index].handle.clone().filter(|_| self.core.tasks()[index].running()) else {
                match task.as_deref().is_some_and(|t| !t.is_empty()) {
                    true => return Err("Task not running".to_owned()),
                    false => continue,
                }
            };
            self.step(Input::Task(index, task::Input::Notice(event::signaling(signal, "")))).await;
            handle
                .signal(signal)
                .await
                .map_err(|e| format!("Failed to signal task {:?}, err: {e}", self.tasks[index].name))?;
        }
        Ok(())
    }

    /// Tells the servers and the disk what is new.
    async fn publish(&mut self, durable: bool) {
        let now = crate::now();
        let report = self.core.report(now);
        if self.last.as_ref() == Some(&report) {
            return;
        }
        // Pending is what the servers think anyway: it can wait for company.
        let urgent = match &self.last {
            None => report.status != ClientStatus::Pending,
            Some(last) => last.status != report.status || last.healthy != report.healthy,
        };
        let update = AllocUpdate {
            id: self.alloc.id,
            client_status: report.status,
            client_description: Arc::from(report.description),
            task_states: Arc::new(report.tasks.clone()),
            healthy: report.healthy,
            health_of: report.healthy.map(|_| self.alloc.deployment_id.unwrap_or_default()),
            network_status: None,
            modify_time: now + crate::clock::offset(),
        };
        self.context.outbox.report(update, urgent);
        *self.shared.report.write().expect("no panic while held") = Some(report.clone());
        self.last = Some(report);
        self.context.store.put(&self.record(), durable).await;
    }

    pub(super) fn record(&self) -> Record {
        let handles = self.tasks.iter().map(|t| (t.name.clone(), t.record.clone())).collect();
        let (states, healthy) = match &self.last {
            Some(report) => (report.tasks.clone(), report.healthy),
            None => (self.core.report(crate::now()).tasks, None),
        };
        let (alloc, born) = ((*self.alloc).clone(), Some(self.birth.clone()));
        Record { alloc, states: TaskStates::clone(&states), healthy, handles, born }
    }

    async fn finish(&mut self) {
        self.context.outbox.deregister(std::mem::take(&mut self.group_services));
        self.set_checks(None);
        for task in &mut self.tasks {
            task.templates = None;
        }
        *self.shared.ended_at.lock().expect("no panic while held") = crate::now();
        self.publish(true).await;
        self.shared.finished.send_replace(true);
    }

    /// The agent goes; tasks stay.
    fn abandon(&mut self) {
        for task in &mut self.tasks {
            for work in [task.work.take(), task.waiter.take()].into_iter().flatten() {
                work.abort();
            }
        }
    }
}
