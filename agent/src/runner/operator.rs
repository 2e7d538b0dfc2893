//! The actor's part that does what a person asks of an allocation: restart its tasks, send them a signal.

use super::actor::Actor;
use super::core::Input;
use super::refusal::Refusal;
use super::{event, task};

impl Actor {
    pub(super) fn named(&self, task: Option<&str>) -> Result<Vec<usize>, Refusal> {
        match task.filter(|t| !t.is_empty()) {
            None => Ok((0..self.tasks.len()).collect()),
            Some(name) => {
                let found = self.tasks.iter().position(|t| t.name == name);
                found.map(|i| vec![i]).ok_or_else(|| Refusal::NoTask(name.to_owned()))
            }
        }
    }

    pub(super) async fn restart(&mut self, task: Option<String>, all: bool) -> Result<(), Refusal> {
        if self.core.ending() {
            return Err(Refusal::Ending);
        }
        let one = task.as_deref().is_some_and(|t| !t.is_empty());
        if all && one {
            return Err(Refusal::AllAndOne);
        }
        if all {
            self.step(Input::RestartAll(event::restart_signaled("User requested all tasks to restart"))).await;
            return Ok(());
        }
        let reason = if one { "User requested task to restart" } else { "User requested running tasks to restart" };
        for index in self.named(task.as_deref())? {
            if !self.core.tasks()[index].running() {
                if one {
                    return Err(Refusal::NotRunning);
                }
                continue;
            }
            let input = task::Input::Restart { event: event::restart_signaled(reason), failure: false };
            self.step(Input::Task(index, input)).await;
        }
        Ok(())
    }

    pub(super) async fn signal(&mut self, task: Option<String>, signal: &str) -> Result<(), Refusal> {
        let named = task.as_deref().is_some_and(|t| !t.is_empty());
        let mut wrong = Vec::new();
        for index in self.named(task.as_deref())? {
            let Some(handle) = self.tasks[index].handle.clone().filter(|_| self.core.tasks()[index].running()) else {
                match named {
                    true => return Err(Refusal::NotRunning),
                    false => continue,
                }
            };
            self.step(Input::Task(index, task::Input::Notice(event::signaling(signal, "")))).await;
            match handle.signal(signal).await {
                Err(error) if named => return Err(Refusal::Signal(error.to_string())),
                Err(error) => wrong.push(format!("Failed to signal task: {}, err: {error}", self.tasks[index].name)),
                Ok(()) => {}
            }
        }
        // Every task gets its signal, whatever became of the one before.
        if wrong.is_empty() { Ok(()) } else { Err(Refusal::Signal(wrong.join("\n"))) }
    }
}
