//! Dynamic host volumes: rows, the states that follow from their nodes, and the claims of sticky groups.

use std::sync::Arc;

use tarpan_model::ids::{AllocId, ClaimId, NamespacedId, NodeId, VolumeId};
use tarpan_model::volume::{HostVolume, HostVolumeClaim, HostVolumeState, host_requests, source};
use tarpan_model::{Allocation, Evaluation, Node, UnixNanos};
use uuid::Uuid;

use super::txn::Txn;
use crate::command::{Rejection, Reply};
use crate::tables::table;

/// The state is not the proposer's to say: it follows from what the node reports.
pub(crate) fn upsert(txn: &mut Txn<'_>, volume: &HostVolume, now: UnixNanos) -> Reply {
    let old = txn.state.host_volume(volume.id);
    let (create_index, create_time) = old.map_or((txn.index, now), |old| (old.create_index, old.create_time));
    let row = HostVolume { create_index, create_time, modify_time: now, ..volume.clone() };
    let state = row.state_on(txn.state.node(row.node_id).map(|node| &**node));
    put(txn, HostVolume { state, ..row });
    txn.done()
}

fn put(txn: &mut Txn<'_>, row: HostVolume) {
    let row = HostVolume { modify_index: txn.index, ..row };
    txn.put(table::HostVolumes, row.id, Arc::new(row));
}

/// The claims go with it: there is nothing left that a group could come back to.
pub(crate) fn delete(txn: &mut Txn<'_>, id: VolumeId) -> Result<Reply, Rejection> {
    forget_claims(txn, id);
    match txn.take(table::HostVolumes, &id) {
        Some(_) => Ok(txn.done()),
        None => Err(Rejection::Other("volume not found".to_owned())),
    }
}

fn forget_claims(txn: &mut Txn<'_>, volume: VolumeId) {
    let claims: Vec<ClaimId> = txn.state.host_volume_claims_by_volume(volume).map(|claim| claim.id).collect();
    for claim in claims {
        txn.take(table::HostVolumeClaims, &claim);
    }
}

pub(crate) fn delete_claim(txn: &mut Txn<'_>, id: ClaimId, evals: &[Evaluation]) -> Result<Reply, Rejection> {
    if txn.take(table::HostVolumeClaims, &id).is_none() {
        return Err(Rejection::Other("task group host volume claim not found".to_owned()));
    }
    txn.put_evals(evals);
    Ok(txn.done())
}

/// A node was written: its volumes are there, or not any more.
pub(crate) fn node_changed(txn: &mut Txn<'_>, node: NodeId) {
    let row = txn.state.node(node).map(|node| &**node);
    let seen = txn.state.host_volumes_by_node(node).map(|volume| (volume.clone(), as_reported(volume, row)));
    let changed: Vec<_> = seen.filter(|(before, now)| **before != *now).collect();
    for (_, now) in changed {
        put(txn, now);
    }
}

/// The path is what its node says, where nobody noted it: a server may have ended before.
fn as_reported(volume: &HostVolume, node: Option<&Node>) -> HostVolume {
    let state = volume.state_on(node);
    let path = node.and_then(|node| node.host_volumes.get(&volume.name)).map(|reported| reported.path.clone());
    let path = path.filter(|_| state == HostVolumeState::Ready && volume.host_path.is_empty());
    HostVolume { state, host_path: path.unwrap_or_else(|| volume.host_path.clone()), ..volume.clone() }
}

/// A node left for good. Its volumes go with it where it was configured so; else they wait for it, but no group does.
pub(crate) fn node_gone(txn: &mut Txn<'_>, node: &Node) {
    let volumes: Vec<VolumeId> = txn.state.host_volumes_by_node(node.id).map(|volume| volume.id).collect();
    for id in volumes {
        forget_claims(txn, id);
        if node.gc_volumes_on_node_gc {
            txn.take(table::HostVolumes, &id);
        }
    }
    node_changed(txn, node.id);
}

pub(crate) fn job_gone(txn: &mut Txn<'_>, job: &NamespacedId) {
    let claims: Vec<ClaimId> = txn.state.host_volume_claims_by_job(job).map(|claim| claim.id).collect();
    for claim in claims {
        txn.take(table::HostVolumeClaims, &claim);
    }
}

/// A new allocation takes over what an earlier one of its group held of its sticky volumes, or holds them anew.
pub(crate) fn claim(txn: &mut Txn<'_>, id: AllocId) {
    if txn.state.tables.host_volumes.is_empty() {
        return;
    }
    let Some(alloc) = txn.state.alloc(id).cloned() else { return };
    let requests = alloc.group().into_iter().flat_map(host_requests).filter(|request| request.sticky == Some(true));
    for name in requests.map(|request| source(request, alloc.index())) {
        let mut on_node = txn.state.host_volumes_by_node(alloc.node_id);
        let found = on_node.find(|v| *v.name == *name && v.namespace == alloc.namespace).cloned();
        drop(on_node);
        if let Some(volume) = found {
            hold(txn, &alloc, &volume);
        }
    }
}

fn hold(txn: &mut Txn<'_>, alloc: &Allocation, volume: &HostVolume) {
    let of_group = |claim: &&Arc<HostVolumeClaim>| claim.task_group == alloc.task_group && claim.volume_id == volume.id;
    let open = |claim: &&Arc<HostVolumeClaim>| txn.state.alloc(claim.alloc_id).is_none_or(|alloc| alloc.terminal());
    let old = txn.state.host_volume_claims_by_job(&alloc.job_key()).filter(of_group).find(open);
    let row = match old {
        Some(old) => HostVolumeClaim::clone(old),
        None => HostVolumeClaim {
            id: claim_id(alloc.id, volume.id),
            namespace: alloc.namespace.clone(),
            job_id: alloc.job_id.clone(),
            task_group: alloc.task_group.clone(),
            alloc_id: alloc.id,
            volume_id: volume.id,
            volume_name: volume.name.clone(),
            create_index: txn.index,
            modify_index: txn.index,
        },
    };
    let row = HostVolumeClaim { alloc_id: alloc.id, modify_index: txn.index, ..row };
    txn.put(table::HostVolumeClaims, row.id, Arc::new(row));
}

/// The same on every server that applies the plan: what two random ids give.
fn claim_id(alloc: AllocId, volume: VolumeId) -> ClaimId {
    ClaimId(Uuid::from_u128(alloc.0.as_u128() ^ volume.0.as_u128().rotate_left(1)))
}
