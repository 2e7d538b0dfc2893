//! Evaluations as they are written, and what writing one does to its job.

use std::sync::Arc;

use tarpan_model::ids::{EvalId, NamespacedId};
use tarpan_model::{EvalStatus, Evaluation};

use super::txn::Txn;
use crate::command::Reply;
use crate::event::Change;
use crate::tables::Table;

pub(crate) fn upsert(txn: &mut Txn<'_>, evals: &[Evaluation]) -> Reply {
    for eval in evals {
        txn.put_eval(eval.clone());
    }
    txn.done()
}

impl Txn<'_> {
    /// Writes an evaluation with all its effects: queued counts, blocked ones made needless, the job's status.
    pub(crate) fn put_eval(&mut self, mut eval: Evaluation) {
        let key = eval.job_key();
        let old = self.state.evals.get(&eval.id).cloned();
        eval.create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        if let Some(old) = &old {
            eval.create_time = old.create_time;
        }
        eval.modify_index = self.index;
        self.queued(&key, &eval);
        let frees_blocked = eval.status == EvalStatus::Complete && eval.failed_tg_allocs.is_empty();
        let row = Arc::new(eval);
        self.write_eval(row.clone(), old.as_deref());
        if frees_blocked && self.work(&key).live.blocked > 0 {
            self.cancel_blocked(&key, &row);
        }
    }

    /// Overwrites the summary's queued counts by those of the evaluation.
    fn queued(&mut self, key: &NamespacedId, eval: &Evaluation) {
        if eval.queued_allocations.is_empty() {
            return;
        }
        let work = self.work(key);
        let Some(summary) = &mut work.summary else { return };
        for (group, queued) in &eval.queued_allocations {
            if let Some(counts) = summary.groups.get_mut(group).filter(|c| c.queued != *queued) {
                counts.queued = *queued;
                work.summary_changed = true;
            }
        }
    }

    fn cancel_blocked(&mut self, key: &NamespacedId, by: &Evaluation) {
        let blocked: Vec<Arc<Evaluation>> = self
            .state
            .evals_by_job(key)
            .filter(|e| e.status == EvalStatus::Blocked && e.id != by.id)
            .cloned()
            .collect();
        for old in blocked {
            let row = Evaluation {
                status: EvalStatus::Canceled,
                status_description: Arc::from(format!("evaluation {:?} successful", by.id.to_string())),
                modify_index: self.index,
                modify_time: by.modify_time,
                ..Evaluation::clone(&old)
            };
            self.write_eval(Arc::new(row), Some(&old));
        }
    }

    /// Writes the row alone, with index, counts and event.
    pub(crate) fn write_eval(&mut self, row: Arc<Evaluation>, old: Option<&Evaluation>) {
        let key = row.job_key();
        let live = &mut self.work(&key).live;
        if let Some(old) = old {
            live.evals -= u32::from(!old.terminal());
            live.blocked -= u32::from(old.status == EvalStatus::Blocked);
        } else {
            live.evals_total += 1;
        }
        live.evals += u32::from(!row.terminal());
        live.blocked += u32::from(row.status == EvalStatus::Blocked);
        if old.is_none() {
            self.state.evals_by_job.insert((key.clone(), row.id));
            self.state.evals_by_creation.insert((row.create_index, row.id));
        }
        self.state.evals.insert(row.id, row.clone());
        self.touch(Table::Evals);
        self.event(Change::Evaluation { id: row.id, job: key, row: Some(row) });
    }

    /// Removes a row; `false` when there was none.
    pub(crate) fn remove_eval(&mut self, id: EvalId) -> bool {
        let Some(old) = self.state.evals.remove(&id) else { return false };
        let key = old.job_key();
        self.state.evals_by_job.remove(&(key.clone(), id));
        self.state.evals_by_creation.remove(&(old.create_index, id));
        let work = self.work(&key);
        work.live.evals -= u32::from(!old.terminal());
        work.live.blocked -= u32::from(old.status == EvalStatus::Blocked);
        work.live.evals_total -= 1;
        work.evals_deleted = true;
        self.touch(Table::Evals);
        self.event(Change::Evaluation { id, job: key, row: None });
        true
    }

    /// Writes the evaluations that came with a command.
    pub(crate) fn put_evals(&mut self, evals: &[Evaluation]) {
        for eval in evals {
            self.put_eval(eval.clone());
        }
    }
}
