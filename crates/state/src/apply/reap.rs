//! Garbage collection: rows that nobody needs any more.

use tarpan_model::ClientStatus;
use tarpan_model::ids::{AllocId, DeploymentId, EvalId};

use super::txn::Txn;
use crate::command::Reply;
use crate::event::Change;
use crate::tables::Table;

/// What was written since it was chosen (after `seen`) stays, and so does what is not over.
pub(crate) fn evals_and_allocs(txn: &mut Txn<'_>, evals: &[EvalId], allocs: &[AllocId], seen: u64) -> Reply {
    let old = |modify_index: u64| seen == 0 || modify_index <= seen;
    for id in allocs {
        let row = txn.state.allocs.get(id);
        if row.is_some_and(|a| a.terminal() && a.client_status != ClientStatus::Running && old(a.modify_index)) {
            txn.remove_alloc(*id);
        }
    }
    for id in evals {
        if txn.state.evals.get(id).is_some_and(|e| e.terminal() && old(e.modify_index)) {
            txn.remove_eval(*id);
        }
    }
    txn.done()
}

/// Active deployments stay, and those of which something runs.
pub(crate) fn deployments(txn: &mut Txn<'_>, ids: &[DeploymentId]) -> Reply {
    for id in ids {
        let over = txn.state.deployments.get(id).is_some_and(|d| !d.active());
        if over && txn.state.allocs_by_deployment(*id).all(|a| a.terminal()) {
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
        self.state.deployments_by_creation.remove(&(old.create_index, id));
        let live = &mut self.work(&key).live.deployments;
        *live -= u32::from(old.active());
        self.touch(Table::Deployments);
        self.event(Change::Deployment { id, job: key, row: None });
    }
}
