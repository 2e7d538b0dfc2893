//! The actor's part that writes down what is new, for the servers and for the agent's own store.

use std::sync::Arc;

use tarpan_model::ClientStatus;
use tarpan_model::alloc::AllocUpdate;

use super::actor::{Actor, TaskPart};
use crate::store::{Record, TaskRecord};

impl Actor {
    /// Tells the servers and the disk what is new.
    pub(super) async fn publish(&mut self, durable: bool) {
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
            network_status: self.alloc.network_status.clone(),
            modify_time: now + crate::clock::offset(),
        };
        self.context.outbox.report(update, urgent);
        *self.shared.report.write().expect("no panic while held") = Some(report.clone());
        self.last = Some(report);
        self.context.store.put(&self.record(), durable).await;
    }

    pub(super) fn record(&self) -> Record {
        let of_task = |t: &TaskPart| TaskRecord { made: t.setup.ledger.rows(), ..t.record.clone() };
        let handles = self.tasks.iter().map(|t| (t.name.clone(), of_task(t))).collect();
        let made = self.setup.ledger.rows();
        let report = self.last.clone().unwrap_or_else(|| self.core.report(crate::now()));
        let (alloc, born) = ((*self.alloc).clone(), Some(self.birth.clone()));
        Record { alloc, states: report.tasks, healthy: report.healthy, handles, born, made }
    }

    pub(super) async fn report_again(&mut self) {
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
}
