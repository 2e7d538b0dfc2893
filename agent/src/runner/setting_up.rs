//! The actor's part that runs set-ups, and undoes them: beside the loop, which answers meanwhile.

use tarpan_model::TaskEvent;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::actor::{Actor, TaskPart};
use super::core::Input;
use super::inbox::Message;
use super::setup::alloc::AllocScope;
use super::setup::task::TaskScope;
use super::setup::{Setup, Until};
use super::{event, task};

/// What is under way for a task and must not meet what comes next: its set-up, and the undoing of an older one.
struct Earlier {
    work: Option<JoinHandle<()>>,
    undoing: Option<JoinHandle<()>>,
}

impl Earlier {
    fn of(part: &mut TaskPart) -> Option<Earlier> {
        let going = |handle: Option<JoinHandle<()>>| handle.filter(|h| !h.is_finished());
        let (work, undoing) = (going(part.work.take()), going(part.undoing.take()));
        work.iter().for_each(JoinHandle::abort);
        (work.is_some() || undoing.is_some()).then_some(Earlier { work, undoing })
    }

    /// A set-up is broken off; what is undone is undone to its end.
    async fn end(self, scope: &TaskScope) {
        if let Some(work) = self.work {
            let _ = work.await;
        }
        if let Some(undoing) = self.undoing {
            let _ = undoing.await;
        }
        scope.beside.idle().await;
    }
}

impl Actor {
    fn alloc_scope(&self) -> AllocScope {
        AllocScope {
            context: self.context.clone(),
            alloc: self.alloc.clone(),
            dir: self.dir.clone(),
            inbox: self.inbox.clone(),
            beside: self.beside.clone(),
        }
    }

    fn task_scope(&self, index: usize, running: bool) -> Option<TaskScope> {
        let part = &self.tasks[index];
        Some(TaskScope {
            context: self.context.clone(),
            alloc: self.alloc.clone(),
            dir: self.dir.clone(),
            task: self.task(index)?,
            index,
            running,
            live: part.live.clone(),
            inbox: self.inbox.clone(),
            beside: part.beside.clone(),
            env: Default::default(),
        })
    }

    fn of_tasks(&self) -> Vec<(TaskScope, Setup<TaskScope>)> {
        let of = |index: usize| Some((self.task_scope(index, false)?, self.tasks[index].setup.clone()));
        (0..self.tasks.len()).filter_map(of).collect()
    }

    /// Puts everything that will be set up into the record; whether some of it is new there.
    pub(super) fn plan_all(&self) -> bool {
        let mut new = self.setup.plan(&self.alloc_scope());
        for (scope, setup) in self.of_tasks() {
            new |= setup.plan(&scope);
        }
        new
    }

    pub(super) async fn begin(&mut self) {
        self.plan_all();
        // Known on disk before anything runs: a crash right after the start must not leave an orphan.
        self.context.store.put(&self.record(), true).await;
        crate::crash::point("alloc-recorded");
        self.set_up();
    }

    /// Sets the allocation up; ends in `Ready` or `NotReady`. What was made before a failure is undone with everything else,
    /// when nothing runs any more: in an agent that came back, tasks may run on it.
    pub(super) fn set_up(&mut self) {
        if self.core.tasks().is_empty() {
            let text = format!("the job has no group {:?}", &*self.alloc.task_group);
            return self.todo.push_back(Message::Core(Input::NotReady(text)));
        }
        let (scope, setup) = (self.alloc_scope(), self.setup.clone());
        self.setting_up = Some(tokio::spawn(async move {
            let input = match setup.make(&scope).await {
                Ok(()) => Input::Ready,
                Err(text) => Input::NotReady(text),
            };
            scope.inbox.tell(Message::Core(input)).await;
        }));
    }

    /// The allocation is set up: what waited for that follows.
    pub(super) fn ready(&mut self) {
        self.ready = true;
        for index in 0..self.tasks.len() {
            if let Some(running) = self.tasks[index].waits.take()
                && self.wants_set_up(index, running)
            {
                self.set_up_task(index, running);
            }
        }
    }

    /// Whether the task is still where its set-up was asked for.
    pub(super) fn wants_set_up(&self, index: usize, running: bool) -> bool {
        let task = &self.core.tasks()[index];
        if running { task.running() } else { task.preparing() }
    }

    /// Sets a task up; ends in `Prepared` or `StartFailed`. `running`: only what lives with the task is taken up again, and
    /// nothing is told where that works. One set-up of a task at a time: an earlier one ends before.
    pub(super) fn set_up_task(&mut self, index: usize, running: bool) {
        // In an agent that came back, tasks run, end and start anew before their allocation is set up again.
        if !self.ready {
            self.tasks[index].waits = Some(running);
            return;
        }
        let Some(scope) = self.task_scope(index, running) else { return };
        let part = &mut self.tasks[index];
        if let Some(earlier) = Earlier::of(part) {
            part.work = Some(tokio::spawn(async move {
                earlier.end(&scope).await;
                scope.inbox.tell(Message::SetUp(index, running)).await;
            }));
            return;
        }
        if self.core.tasks()[index].settings.policy.render_templates {
            part.live.stop_templates();
        }
        let (first, setup, store) = (!part.record.prepared && !running, part.setup.clone(), self.context.store.clone());
        let unwritten = setup.plan(&scope);
        if unwritten {
            store.write(&self.record());
        }
        self.tasks[index].work = Some(tokio::spawn(async move {
            if unwritten {
                store.flush().await;
            }
            if first {
                scope.inbox.notice(index, event::setup("Building Task Directory"));
            }
            let message = match setup.make(&scope).await {
                Ok(()) if running => return,
                Ok(()) => {
                    crate::crash::point("prepared");
                    Message::Prepared(index)
                }
                // It was told to run, and runs: that something which only lives with it could not be taken up is told.
                Err(failure) if running => {
                    let event = TaskEvent { fails_task: false, ..failure.event };
                    Message::Task(index, task::Input::Notice(event))
                }
                Err(failure) => {
                    scope.beside.idle().await;
                    setup.undo(&scope, Until::End).await;
                    Message::Task(index, task::Input::StartFailed(failure))
                }
            };
            scope.inbox.tell(message).await;
        }));
    }

    /// A task has ended for good.
    pub(super) fn undo_task(&mut self, index: usize) {
        let Some(scope) = self.task_scope(index, false) else { return };
        let part = &mut self.tasks[index];
        let (earlier, setup) = (Earlier::of(part), part.setup.clone());
        if earlier.is_none() && !setup.undoable(Until::End) {
            return;
        }
        part.undoing = Some(tokio::spawn(async move {
            match earlier {
                Some(earlier) => earlier.end(&scope).await,
                None => scope.beside.idle().await,
            }
            setup.undo(&scope, Until::End).await;
        }));
    }

    /// Nothing runs any more: a set-up that is under way ends, and what it made goes. Ends in `Undone`.
    pub(super) fn give_back(&mut self) {
        let (scope, setup) = (self.alloc_scope(), self.setup.clone());
        let (of_tasks, earlier) = (self.of_tasks(), self.setting_up.take());
        let undoing: Vec<_> = self.tasks.iter_mut().filter_map(|t| t.undoing.take()).collect();
        self.setting_up = Some(tokio::spawn(async move {
            if let Some(earlier) = earlier {
                earlier.abort();
                let _ = earlier.await;
            }
            futures::future::join_all(undoing).await;
            for (scope, setup) in of_tasks.iter().rev() {
                scope.beside.idle().await;
                setup.undo(scope, Until::End).await;
            }
            scope.beside.idle().await;
            setup.undo(&scope, Until::End).await;
            scope.inbox.tell(Message::Undone).await;
        }));
    }

    /// The allocation is forgotten: what was left of it for people to look at goes.
    pub(super) fn remove(&mut self, reply: oneshot::Sender<()>) {
        let (scope, setup, of_tasks) = (self.alloc_scope(), self.setup.clone(), self.of_tasks());
        tokio::spawn(async move {
            for (scope, setup) in of_tasks.iter().rev() {
                setup.undo(scope, Until::Removed).await;
            }
            setup.undo(&scope, Until::Removed).await;
            let _ = reply.send(());
        });
    }
}
