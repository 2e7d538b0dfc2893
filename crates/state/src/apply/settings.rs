//! Launch times of periodic jobs, the scheduler's settings, root keys.

use std::sync::Arc;

use tarpan_model::ids::NamespacedId;
use tarpan_model::{RootKey, UnixNanos};

use super::txn::Txn;
use crate::command::{Rejection, Reply};
use crate::rows::{PeriodicLaunch, SchedulerConfig};
use crate::tables::table;

pub(crate) fn periodic_launch(txn: &mut Txn<'_>, job: &NamespacedId, launch: UnixNanos) -> Result<Reply, Rejection> {
    if txn.state.job(job).is_none() {
        return Err(Rejection::JobNotFound);
    }
    txn.set_launch(job, launch);
    Ok(txn.done())
}

impl Txn<'_> {
    /// Notes the last launch of a periodic job; an earlier one than is known is ignored.
    pub(crate) fn set_launch(&mut self, job: &NamespacedId, launch: UnixNanos) {
        let old = self.state.periodic_launch(job);
        if old.is_some_and(|old| old.launch >= launch) {
            return;
        }
        let create_index = old.map_or(self.index, |old| old.create_index);
        let row = PeriodicLaunch { launch, create_index, modify_index: self.index };
        self.put(table::PeriodicLaunches, job.clone(), Arc::new(row));
    }
}

/// `check_index`: refuse unless the settings have this modify index.
pub(crate) fn scheduler_config(
    txn: &mut Txn<'_>,
    config: &SchedulerConfig,
    check_index: Option<u64>,
) -> Result<Reply, Rejection> {
    let old = txn.state.scheduler_config();
    // Settings that nobody changed are as old as the cluster.
    let found = old.modify_index.max(1);
    if let Some(check) = check_index.filter(|check| *check != found) {
        return Err(Rejection::Other(format!("scheduler configuration has modify index {found}, not {check}")));
    }
    let create_index = if old.create_index == 0 { txn.index } else { old.create_index };
    let config = SchedulerConfig { create_index, modify_index: txn.index, ..config.clone() };
    txn.set(table::SchedulerConfig, config);
    Ok(txn.done())
}

pub(crate) fn init_root_key(txn: &mut Txn<'_>, key: &RootKey) -> Result<Reply, Rejection> {
    if txn.state.active_root_key().is_some() {
        return Err(Rejection::Changed);
    }
    let index = txn.index;
    let row = RootKey { active_since: index, create_index: index, modify_index: index, ..key.clone() };
    txn.put(table::RootKeys, row.id, Arc::new(row));
    Ok(txn.done())
}
