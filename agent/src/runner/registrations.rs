//! The actor's part that tells the servers where the allocation's services answer, and watches their native checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::actor::{Actor, Message};
use super::core::Input;
use super::health::Checks;
use super::{event, prepare, task};
use crate::checks::Checker;
use crate::services;

impl Actor {
    pub(super) fn register(&mut self, index: usize) {
        let Some(task) = self.task(index) else { return };
        let network = self.tasks[index].handle.as_ref().and_then(|h| h.network());
        let env = prepare::environment(&self.context, &self.alloc, &self.dir, &task, &BTreeMap::new());
        let rows = services::of_task(&self.context, &self.alloc, &task, network.as_ref(), &env);
        self.tasks[index].services = rows.iter().map(|r| r.id.to_string()).collect();
        self.context.outbox.register(rows);
        self.watch_checks();
    }

    pub(super) fn deregister(&mut self, index: usize) {
        let ids = std::mem::take(&mut self.tasks[index].services);
        if !ids.is_empty() {
            self.context.outbox.deregister(ids);
        }
    }

    pub(super) fn register_group(&mut self) {
        let rows = services::of_group(&self.context, &self.alloc);
        self.group_services = rows.iter().map(|r| r.id.to_string()).collect();
        if !rows.is_empty() {
            self.context.outbox.register(rows);
        }
    }

    /// Native checks of the services begin with the first task that runs.
    pub(super) fn watch_checks(&mut self) {
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
            self.set_checks(Checker::start(&self.context, &self.alloc, tell, restart));
        }
    }

    pub(super) fn set_checks(&self, checks: Option<Checker>) {
        *self.shared.checks.write().expect("no panic while held") = checks;
    }

    /// Services may differ between versions updated in place.
    pub(super) fn refresh_services(&mut self) {
        let old = std::mem::take(&mut self.group_services);
        self.register_group();
        let gone =
            |old: Vec<String>, new: &[String]| old.into_iter().filter(|id| !new.contains(id)).collect::<Vec<_>>();
        self.context.outbox.deregister(gone(old, &self.group_services));
        self.set_checks(None);
        // What the old checks said last must not count when the new version has none.
        self.send(Input::Checks(Checks::None));
        for index in 0..self.tasks.len() {
            if self.core.tasks()[index].running() {
                let old = std::mem::take(&mut self.tasks[index].services);
                self.register(index);
                self.context.outbox.deregister(gone(old, &self.tasks[index].services));
            }
        }
    }
}
