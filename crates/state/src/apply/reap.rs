//! Garbage collection: rows that nobody needs any more.

use tarpan_model::ids::{AllocId, DeploymentId, EvalId};

use super::txn::Txn;
use crate::command::Reply;
use crate::event::Change;
use crate::tables::Table;

/// Allocations that are not terminal stay: they came back to life since they were chosen.
pub(crate) fn evals_and_allocs(txn: &mut Txn<'_>, evals: &[EvalId], allocs: &[AllocId]) -> Reply {
    for id in allocs {
        if txn.state.allocs.get(id).is_some_and(|a| a.terminal()) {
            txn.remove_alloc(*id);
        }
    }
    for id in evals {
        txn.remove_eval(*id);
    }
    txn.done()
}

/// Active deployments stay.
pub(crate) fn deployments(txn: &mut Txn<'_>, ids: &[DeploymentId]) -> Reply {
    for id in ids {
        if txn.state.deployments.get(id).is_some_and(|d| !d.active()) {
            txn.remove_deployment(*id);
        }
    }
    txn.done()
}

impl Txn<'_> {
    pub(crate) fn remove_deployment(&mut self, id: DeploymentId) {
        let Some(old) = self.state.deployments.remove(&id) else { return };
        let key = old.job_key();
        self.state.deployments_by_job.remove(&(key.clone(), id));
        let live = &mut self.work(&key).live.deployments;
        *live -= u32::from(old.active());
        self.touch(Table::Deployments);
        self.event(Change::Deployment { id, job: key, row: None });
    }
}
