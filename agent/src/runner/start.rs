//! The actor's part that starts a task and sees it end, so that a crash at any moment starts nothing twice and loses no end.
//!
//! Before anything of a start happens its mark is on disk; before the traces of an ended one are removed, its exit is. What
//! lies between is asked from the driver, which knows a start by its mark.

use std::sync::Arc;

use super::actor::Actor;
use super::advice::advised;
use super::event;
use super::inbox::Message;
use super::request::{look_at_mounts, task_request};
use super::task::{self, StartFailure};
use crate::driver::{DriverError, Exit, Handle, Mark};
use crate::store::TaskRecord;

impl Actor {
    pub(super) fn launch(&mut self, index: usize) {
        let Some(task) = self.task(index) else { return };
        let Some(driver) = self.context.drivers.get(task.driver()).cloned() else {
            let text = format!("failed to initialize task: driver {:?} not found", task.driver());
            let failure = StartFailure { event: event::driver_failure(&advised(&text)), recoverable: true };
            return self.todo.push_back(Message::Task(index, task::Input::StartFailed(failure)));
        };
        let live = &self.tasks[index].live;
        let (env, devices) = (live.env(), live.devices());
        let request = match task_request(&self.context, &self.alloc, &self.dir, &task, &*driver, &env, devices) {
            Ok(request) => request,
            Err(sentence) => {
                let failure = StartFailure { event: event::setup_failure(&sentence), recoverable: false };
                return self.todo.push_back(Message::Task(index, task::Input::StartFailed(failure)));
            }
        };
        crate::crash::point("unrecorded");
        self.remember_start(index, Mark::of(driver.name(), &request));
        self.context.store.write(&self.record());
        *self.tasks[index].request.lock().expect("no panic while held") = Some(request.clone());
        let (inbox, store) = (self.inbox.clone(), self.context.store.clone());
        let notices = {
            let inbox = inbox.clone();
            Arc::new(move |text: String| inbox.notice(index, event::driver_message(&text)))
        };
        self.tasks[index].work = Some(tokio::spawn(async move {
            store.flush().await;
            crate::crash::point("recorded");
            let mounts = request.mounts.clone();
            // Of a file system that is away it may never be told.
            let message = match crate::blocking(move || look_at_mounts(&mounts)).await {
                Ok(()) => match driver.start(request, notices).await {
                    Ok(handle) => Message::Started(index, handle),
                    Err(error) => Message::Task(index, task::Input::StartFailed(start_failure(&error))),
                },
                Err(sentence) => {
                    let failure = StartFailure { event: event::setup_failure(&sentence), recoverable: true };
                    Message::Task(index, task::Input::StartFailed(failure))
                }
            };
            crate::crash::point("task-started");
            inbox.tell(message).await;
        }));
    }

    /// A start begins: its mark goes into the record.
    fn remember_start(&mut self, index: usize, mark: Mark) {
        let part = &mut self.tasks[index];
        self.shared.marks.lock().expect("no panic while held").insert(part.name.clone(), mark.id.clone());
        let (driver, prepared) = (mark.driver.clone(), part.record.prepared);
        part.record = TaskRecord { driver, prepared, mark: Some(mark), ..TaskRecord::default() };
    }

    /// A start is over.
    pub(super) fn let_go(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        task.handle = None;
        task.live.set_started(false);
        task.record.forget_run();
        self.shared.handles.lock().expect("no panic while held").remove(&task.name);
        self.shared.marks.lock().expect("no panic while held").remove(&task.name);
    }

    pub(super) async fn started(&mut self, index: usize, handle: Arc<dyn Handle>) {
        self.hold(index, handle.clone());
        self.step(super::core::Input::Task(index, task::Input::Started)).await;
        if self.core.tasks()[index].present() {
            self.watch_exit(index, handle);
        } else {
            // It was canceled meanwhile.
            self.tasks[index].handle = None;
            tokio::spawn(async move { handle.destroy().await });
        }
    }

    pub(super) fn watch_exit(&mut self, index: usize, handle: Arc<dyn Handle>) {
        let inbox = self.inbox.clone();
        self.tasks[index].waiter = Some(tokio::spawn(async move {
            let exit = handle.wait().await;
            crate::crash::point("task-ended");
            inbox.tell(Message::Ended(index, handle, exit)).await;
        }));
    }

    /// Writes down how a start ended, removes what is left of it, and only then tells the core: the next start must not
    /// meet this one.
    pub(super) fn ended(&mut self, index: usize, handle: Arc<dyn Handle>, exit: Exit) {
        self.tasks[index].record.exit = Some(exit.clone());
        self.context.store.write(&self.record());
        let (inbox, store) = (self.inbox.clone(), self.context.store.clone());
        self.tasks[index].waiter = Some(tokio::spawn(async move {
            store.flush().await;
            crate::crash::point("exit-recorded");
            handle.destroy().await;
            crate::crash::point("task-removed");
            inbox.task(index, task::Input::Exited(exit)).await;
        }));
    }

    pub(super) fn cancel(&mut self, index: usize) {
        let part = &mut self.tasks[index];
        part.waits = None;
        let work = part.work.take();
        let request = part.request.lock().expect("no panic while held").take();
        let driver = request.as_ref().and(self.task(index)).and_then(|t| self.context.drivers.get(t.driver()).cloned());
        let (inbox, beside) = (self.inbox.clone(), self.tasks[index].beside.clone());
        tokio::spawn(async move {
            if let Some(work) = work {
                work.abort();
                let _ = work.await;
            }
            beside.idle().await;
            if let (Some(driver), Some(request)) = (driver, request) {
                driver.clean_up(&request).await;
            }
            inbox.task(index, task::Input::Canceled).await;
        });
    }
}

fn start_failure(error: &DriverError) -> StartFailure {
    match error {
        DriverError::Config(text) => {
            StartFailure { event: event::failed_validation(&advised(text)), recoverable: false }
        }
        DriverError::Start { message, recoverable } => {
            StartFailure { event: event::driver_failure(&advised(message)), recoverable: *recoverable }
        }
        DriverError::Other(text) => StartFailure { event: event::driver_failure(&advised(text)), recoverable: true },
    }
}
