//! Counts of groups: changed with the job, and what was asked of them kept.

use std::sync::Arc;

use tarpan_model::{ScalingEvent, ScalingEvents};

use super::jobs;
use super::txn::Txn;
use crate::command::{Rejection, Reply, ScaleJob};
use crate::tables::table;

/// Events kept a group.
///
/// Source: `reference/semantics.md` §9, "Scaling".
const EVENTS: usize = 20;

/// A note answers as if the job had been registered as it is.
pub(crate) fn scale(txn: &mut Txn<'_>, command: &ScaleJob) -> Result<Reply, Rejection> {
    let reply = match &command.register {
        Some(register) => jobs::register(txn, register)?,
        None => {
            let job = txn.state.job(&command.job).ok_or(Rejection::JobNotFound)?;
            let (job_modify_index, version) = (job.modify_index.unwrap_or(0), job.version());
            Reply::Registered { index: txn.index, eval_id: None, job_modify_index, version }
        }
    };
    note(txn, command);
    Ok(reply)
}

fn note(txn: &mut Txn<'_>, command: &ScaleJob) {
    let old = txn.state.scaling_events(&command.job);
    let mut row = old.map(|old| ScalingEvents::clone(old)).unwrap_or_default();
    let events = row.groups.entry(command.group.clone()).or_default();
    events.truncate(EVENTS - 1);
    events.insert(0, Arc::new(ScalingEvent { create_index: txn.index, ..command.event.clone() }));
    row.modify_index = txn.index;
    txn.put(table::ScalingEvents, command.job.clone(), Arc::new(row));
}
