//! CSI volumes with their claims, and the plugins that nodes and jobs tell of.

use std::collections::BTreeSet;
use std::sync::Arc;

use tarpan_model::csi::{CsiInfo, CsiPlugin, CsiVolume};
use tarpan_model::ids::{Namespace, NodeId};
use tarpan_model::{Job, Node, UnixNanos};

use super::txn::Txn;
use crate::command::{Rejection, Reply};
use crate::tables::{csi_plugins, table};

/// What was decided on is guarded by who proposes it.
pub(crate) fn put_volume(txn: &mut Txn<'_>, volume: &CsiVolume, now: UnixNanos) -> Reply {
    let old = txn.state.csi_volume(&volume.namespace, &volume.id);
    let freed = old.is_some_and(|old| old.claims.keys().any(|alloc| !volume.claims.contains_key(alloc)));
    let row = CsiVolume {
        create_index: old.map_or(txn.index, |old| old.create_index),
        create_time: old.map_or(now, |old| old.create_time),
        freed_index: if freed { txn.index } else { old.map_or(0, |old| old.freed_index) },
        modify_index: txn.index,
        modify_time: now,
        ..volume.clone()
    };
    txn.put(table::CsiVolumes, row.key(), Arc::new(row));
    txn.done()
}

pub(crate) fn delete_volume(txn: &mut Txn<'_>, namespace: &Namespace, id: &Arc<str>) -> Result<Reply, Rejection> {
    match txn.take(table::CsiVolumes, &(namespace.clone(), id.clone())) {
        Some(_) => Ok(txn.done()),
        None => Err(Rejection::Other(format!("volume not found: {id}"))),
    }
}

pub(crate) fn delete_plugins(txn: &mut Txn<'_>, ids: &[Arc<str>], seen: u64) -> Reply {
    for id in ids {
        if txn.state.csi_plugin(id).is_some_and(|row| row.modify_index <= seen) {
            txn.take(table::CsiPlugins, id);
        }
    }
    txn.done()
}

impl Txn<'_> {
    /// A node tells of other plugins than before, or is gone.
    pub(crate) fn csi_of_node(&mut self, node: NodeId, old: Option<&Node>, new: Option<&Node>, now: UnixNanos) {
        let both = [old, new].into_iter().flatten();
        let ids: BTreeSet<Arc<str>> =
            both.flat_map(|node| node.csi_controllers.keys().chain(node.csi_nodes.keys())).cloned().collect();
        for id in ids {
            let controller = |node: Option<&Node>| node.and_then(|n| n.csi_controllers.get(&id).cloned());
            let on_node = |node: Option<&Node>| node.and_then(|n| n.csi_nodes.get(&id).cloned());
            let (is_controller, is_node) = (controller(new), on_node(new));
            if (controller(old), on_node(old)) == (is_controller.clone(), is_node.clone()) {
                continue;
            }
            self.change_plugin(&id, now, |row| {
                keep(&mut row.controllers, node, is_controller.is_some());
                keep(&mut row.nodes, node, is_node.is_some());
                for info in is_controller.iter().chain(&is_node).filter(|info| info.healthy) {
                    say(row, info);
                }
            });
        }
    }

    /// A plugin is there as soon as a job asks for it: what it lacks can be seen then.
    pub(crate) fn csi_of_job(&mut self, job: &Job, now: UnixNanos) {
        let wanted = csi_plugins(job).map(|(id, ..)| id).filter(|_| !job.stopped());
        let new: BTreeSet<Arc<str>> =
            wanted.filter(|id| self.state.csi_plugin(id).is_none()).map(Arc::<str>::from).collect();
        for id in new {
            self.change_plugin(&id, now, |_| {});
        }
    }

    fn change_plugin(&mut self, id: &Arc<str>, now: UnixNanos, change: impl FnOnce(&mut CsiPlugin)) {
        let new = || CsiPlugin { id: id.clone(), create_index: self.index, create_time: now, ..CsiPlugin::default() };
        let mut row = self.state.csi_plugin(id).map_or_else(new, |row| CsiPlugin::clone(row));
        change(&mut row);
        (row.modify_index, row.modify_time) = (self.index, now);
        self.put(table::CsiPlugins, id.clone(), Arc::new(row));
    }
}

fn keep(set: &mut BTreeSet<NodeId>, node: NodeId, there: bool) {
    if there {
        set.insert(node);
    } else {
        set.remove(&node);
    }
}

fn say(row: &mut CsiPlugin, info: &CsiInfo) {
    row.provider.clone_from(&info.provider);
    row.version.clone_from(&info.version);
    row.controller_required = info.requires_controller;
}
