//! The actor's part that takes up what an earlier agent left: each task of its record is found, known to have ended, known
//! never to have started, or waits for the servers.

use std::sync::Arc;

use super::actor::{Actor, Left};
use super::core::Input;
use super::inbox::Message;
use super::request;
use super::setup::Ledger;
use super::{event, task};
use crate::driver::mark::remove;
use crate::driver::{DriverError, Exit, Handle};
use crate::store::TaskRecord;

/// What became of a start.
enum Fate {
    Runs(Arc<dyn Handle>),
    /// It runs, and nobody has said so yet.
    Unheard(Arc<dyn Handle>),
    /// How it ended was written down; its traces may be there.
    Ended(Option<Arc<dyn Handle>>, Exit),
    Never,
}

impl Actor {
    /// Finds the tasks of an earlier agent again.
    pub(super) async fn resume(&mut self, left: Left) {
        self.remember(left).await;
        for index in 0..self.tasks.len() {
            if self.core.tasks()[index].dead() {
                self.undo_task(index);
            }
            if self.tasks[index].record.driver.is_empty() {
                continue;
            }
            if self.core.tasks()[index].dead() {
                self.leave_behind(index);
            } else {
                self.take_up(index, true).await;
            }
        }
        // One that had ended already must not register anything again.
        self.step(Input::Tick).await;
        if self.alloc.server_terminal() {
            self.step(Input::Stop { no_shutdown_delay: false }).await;
        }
        match self.core.finished() {
            true => {}
            false => self.set_up(),
        }
    }

    /// What was set up and is not in the record, as an older agent wrote none, may all the same be there.
    async fn remember(&mut self, mut left: Left) {
        self.setup.ledger = Ledger::recorded(left.made);
        for part in &mut self.tasks {
            let Some(mut record) = left.tasks.remove(&part.name) else { continue };
            let made = std::mem::take(&mut record.made);
            if record.prepared && made.is_empty() {
                part.setup.assume_once();
            } else {
                part.setup.ledger = Ledger::recorded(made);
            }
            part.record = record;
        }
        let unwritten = self.plan_all();
        self.setup.ledger.suspect();
        self.tasks.iter().for_each(|part| part.setup.ledger.suspect());
        if unwritten {
            self.context.store.put(&self.record(), true).await;
        }
    }

    async fn take_up(&mut self, index: usize, hold: bool) {
        self.complete_mark(index);
        let record = self.tasks[index].record.clone();
        match self.fate(&record).await {
            Ok(Fate::Runs(handle)) => self.recovered(index, handle, task::Input::Recovered).await,
            Ok(Fate::Unheard(handle)) => {
                if record.adopted {
                    let text = "found running after this node had lost what it knew of it: it runs on";
                    self.step(Input::Task(index, task::Input::Notice(event::hook_message(text)))).await;
                }
                self.recovered(index, handle, task::Input::Found).await;
            }
            Ok(Fate::Ended(handle, exit)) => {
                self.step(Input::Task(index, task::Input::Hold { lost: false })).await;
                let inbox = self.inbox.clone();
                tokio::spawn(async move {
                    if let Some(handle) = handle {
                        handle.destroy().await;
                    }
                    inbox.task(index, task::Input::Exited(exit)).await;
                });
            }
            Ok(Fate::Never) => self.let_go(index),
            Err(error) => self.not_found(index, hold, &error).await,
        }
    }

    async fn fate(&self, record: &TaskRecord) -> Result<Fate, DriverError> {
        let driver = self.context.drivers.get(&record.driver);
        let driver = driver.ok_or_else(|| DriverError::Other(format!("there is no driver {:?}", record.driver)))?;
        let known = !record.handle.is_null();
        if let Some(exit) = &record.exit {
            let handle = match known {
                true => driver.recover(&record.handle).await.ok(),
                false => None,
            };
            return Ok(Fate::Ended(handle, exit.clone()));
        }
        match &record.mark {
            Some(mark) if !known => Ok(driver.find(mark).await?.map_or(Fate::Never, Fate::Unheard)),
            _ => driver.recover(&record.handle).await.map(Fate::Runs),
        }
    }

    /// A start that was found on the machine does not say where its logs go: the job does.
    fn complete_mark(&mut self, index: usize) {
        let Some(task) = self.task(index) else { return };
        let logs = request::logs(&task, &self.dir);
        let part = &mut self.tasks[index];
        if let Some(mark) = &mut part.record.mark {
            self.shared.marks.lock().expect("no panic while held").insert(part.name.clone(), mark.id.clone());
            if part.record.adopted {
                mark.logs = logs;
            }
        }
    }

    /// `first`: the servers have not been heard yet, and by the field's rule a task waits for them.
    async fn not_found(&mut self, index: usize, first: bool, error: &DriverError) {
        tracing::warn!(alloc_id = %self.alloc.id, task = self.tasks[index].name, "a task was not found again: {error}");
        let system = self.alloc.job.job_type() == tarpan_model::JobType::System;
        if !first || system || self.alloc.server_terminal() {
            return self.leave_behind(index);
        }
        self.step(Input::Task(index, task::Input::Hold { lost: true })).await;
        let text = format!("failed to restore task; will not run until server is contacted: {error}");
        self.step(Input::Task(index, task::Input::Notice(event::failed_restore(&text)))).await;
        let (inbox, mut contacted) = (self.inbox.clone(), self.context.contacted.subscribe());
        tokio::spawn(async move {
            if contacted.wait_for(|c| *c).await.is_ok() {
                inbox.tell(Message::Contacted(index)).await;
            }
        });
    }

    /// The servers were heard: the task is looked for once more (an engine may have been late), else it starts anew.
    pub(super) async fn contacted(&mut self, index: usize) {
        if !self.core.tasks()[index].held() {
            return;
        }
        self.take_up(index, false).await;
        self.step(Input::Task(index, task::Input::Release)).await;
    }

    /// Ends and removes whatever a start has left: nothing of it is wanted.
    fn leave_behind(&mut self, index: usize) {
        let record = self.tasks[index].record.clone();
        self.let_go(index);
        if let (Some(mark), Some(driver)) = (record.mark, self.context.drivers.get(&record.driver).cloned()) {
            tokio::spawn(async move { remove(&driver, &mark).await });
        }
    }

    async fn recovered(&mut self, index: usize, handle: Arc<dyn Handle>, input: task::Input) {
        self.hold(index, handle.clone());
        self.step(Input::Task(index, input)).await;
        self.watch_exit(index, handle);
        // Templates are watched again; what is on disk already counts as rendered.
        self.set_up_task(index, true);
    }
}
