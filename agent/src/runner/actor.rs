//! Carries out what the cores decide, one async task an allocation.
//!
//! Everything that happens arrives as a [`Message`]; everything slow runs beside the loop and sends a message when done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tarpan_model::job::Task;
use tarpan_model::{Allocation, ClientStatus, Dur, UnixNanos};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::birth::Birth;
use super::core::{AllocCore, Effect, Input, Report};
use super::event;
use super::handle::{Runner, Shared};
use super::plan::plan;
use super::prepare::{self, Prepared};
use super::task;
use crate::alloc_dir::AllocDir;
use crate::context::Context;
use crate::driver::{Exit, Handle, TaskRequest};
use crate::store::TaskRecord;
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

/// One task's part of the actor.
#[derive(Default)]
pub(super) struct TaskPart {
    pub(super) name: String,
    /// What is under way for a start.
    pub(super) work: Option<JoinHandle<()>>,
    pub(super) request: Arc<Mutex<Option<TaskRequest>>>,
    pub(super) templates: Option<template::Watcher>,
    pub(super) template_env: BTreeMap<String, String>,
    pub(super) handle: Option<Arc<dyn Handle>>,
    pub(super) record: TaskRecord,
    pub(super) waiter: Option<JoinHandle<()>>,
    pub(super) services: Vec<String>,
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
    pub(super) messages: mpsc::UnboundedSender<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) last: Option<Report>,
    pub(super) group_services: Vec<String>,
}

impl Actor {
    pub(super) async fn run(
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

    pub(super) fn send(&self, input: Input) {
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
        let part = &mut self.tasks[index];
        if render_again {
            part.templates = None;
        }
        let request = prepare::Request {
            context: self.context.clone(),
            alloc: self.alloc.clone(),
            dir: self.dir.clone(),
            task,
            index,
            fetched: part.record.prepared,
            watching: part.templates.is_some(),
            running,
            messages: self.messages.clone(),
        };
        part.work = Some(tokio::spawn(prepare::run(request)));
    }

    async fn prepared(&mut self, index: usize, prepared: Prepared) {
        let part = &mut self.tasks[index];
        part.record.prepared = true;
        if let Some((watcher, env)) = prepared.templates {
            part.templates = Some(watcher);
            part.template_env = env;
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
