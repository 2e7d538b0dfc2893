//! The actor's part that tells the servers where the allocation's services answer, and watches their native checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::actor::Actor;
use super::health::Checks;
use super::request::environment;
use super::{event, task};
use crate::checks::Checker;
use crate::services;

impl Actor {
    pub(super) fn register(&mut self, index: usize) {
        let Some(task) = self.task(index) else { return };
        let network = self.tasks[index].handle.as_ref().and_then(|h| h.network());
        let env = environment(&self.context, &self.alloc, &self.dir, &task, &BTreeMap::new());
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

    /// Whatever answers for the group answers no more.
    pub(super) fn withdraw_group(&mut self) {
        self.context.outbox.deregister(std::mem::take(&mut self.group_services));
        self.set_checks(None);
    }

    /// Native checks of the services begin with the first task that runs.
    pub(super) fn watch_checks(&mut self) {
        // A poststop task begins when the others have ended: their checks would fail, and ask for it to start anew.
        if !self.core.ending() && self.shared.checks.read().expect("no panic while held").is_none() {
            let inbox = self.inbox.clone();
            let tell = Arc::new(move |checks| inbox.checks(checks));
            let inbox = self.inbox.clone();
            let names: Vec<String> = self.tasks.iter().map(|t| t.name.clone()).collect();
            let restart: crate::checks::Restart = Arc::new(move |task: Option<&str>, check: &str| {
                let event = event::restart_signaled(&format!("healthcheck: check {check:?} unhealthy"));
                let meant = |(index, name): (usize, &String)| task.is_none_or(|t| t == name).then_some(index);
                let (inbox, meant) = (inbox.clone(), names.iter().enumerate().filter_map(meant).collect::<Vec<_>>());
                Box::pin(async move {
                    for index in meant {
                        inbox.task(index, task::Input::Restart { event: event.clone(), failure: true }).await;
                    }
                })
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
        self.inbox.checks(Checks::None);
        for index in 0..self.tasks.len() {
            if self.core.tasks()[index].running() {
                let old = std::mem::take(&mut self.tasks[index].services);
                self.register(index);
                self.context.outbox.deregister(gone(old, &self.tasks[index].services));
            }
        }
    }
}
