//! Which nodes can have the CSI volumes of a group: plugin, places, and who has them already.
//!
//! Looked at for every node, whatever its class. A claim is granted when an allocation starts; this only keeps allocations from nodes
//! where they would wait in vain.
//! Source: `reference/semantics.md` §6.5, §15.1.

use tarpan_model::csi::CsiVolume;
use tarpan_model::{Namespace, Node};
use tarpan_state::State;

use crate::compile::{Compiled, Group, VolumeAsk};

/// Said where an instance finds no node with its own volumes.
pub const MISSING: &str = "missing compatible CSI volumes";

/// Can the node have them? Of volumes that each instance has of its own ([`check_own`]) any will do. The error is the reason.
pub fn check(state: &State, node: &Node, job: &Compiled, group: &Group) -> Result<(), String> {
    let namespace = Namespace::new(job.job.namespace());
    let find = |ask: &VolumeAsk| match ask.per_alloc {
        true => state.csi_volume_like(&namespace, &format!("{}[", ask.source)),
        false => state.csi_volume(&namespace, &ask.source),
    };
    let missing: Vec<&str> =
        group.csi_volumes.iter().filter(|ask| find(ask).is_none()).map(|ask| ask.source.as_str()).collect();
    if !missing.is_empty() {
        return Err(format!("missing CSI volume(s) {}", missing.join(", ")));
    }
    let shared = group.csi_volumes.iter().filter(|ask| !ask.per_alloc);
    shared.filter_map(|ask| Some((find(ask)?, ask))).try_for_each(|(volume, ask)| one(state, node, job, volume, ask))
}

/// Can the node have those of instance `index`?
pub fn check_own(state: &State, node: &Node, job: &Compiled, group: &Group, index: u32) -> bool {
    let namespace = Namespace::new(job.job.namespace());
    group.csi_volumes.iter().filter(|ask| ask.per_alloc).all(|ask| {
        let volume = state.csi_volume(&namespace, &format!("{}[{index}]", ask.source));
        volume.is_some_and(|volume| one(state, node, job, volume, ask).is_ok())
    })
}

fn one(state: &State, node: &Node, job: &Compiled, volume: &CsiVolume, ask: &VolumeAsk) -> Result<(), String> {
    let (plugin, id) = (&volume.plugin, &volume.id);
    let Some(info) = node.csi_nodes.get(plugin) else {
        return Err(format!("CSI plugin {plugin} is missing from client {}", node.id));
    };
    if !info.healthy {
        return Err(format!("CSI plugin {plugin} is unhealthy on client {}", node.id));
    }
    let most = info.node.as_ref().map_or(0, |node| node.max_volumes);
    if most > 0 && claimed_here(state, node, volume) >= most {
        return Err(format!("CSI plugin {plugin} has the maximum number of volumes on client {}", node.id));
    }
    if !volume.reachable_from(info.node.as_ref().and_then(|node| node.topology.as_ref())) {
        return Err("did not meet topology requirement".to_owned());
    }
    let schedulable = state.csi_schedulable(volume);
    if ask.read_only {
        return match schedulable && volume.free_to_read() {
            true => Ok(()),
            false => Err(format!("CSI volume {id} is unschedulable or has exhausted its available reader claims")),
        };
    }
    if !schedulable || !volume.writable() {
        return Err(format!("CSI volume {id} is unschedulable or is read-only"));
    }
    if volume.free_to_write() {
        return Ok(());
    }
    others(state, job, volume)
}

/// Volumes of the plugin that allocations of the node claim, but for this one.
fn claimed_here(state: &State, node: &Node, volume: &CsiVolume) -> i64 {
    let others = state.csi_volumes_claimed().filter(|other| {
        other.plugin == volume.plugin
            && other.key() != volume.key()
            && other.claims.values().any(|claim| claim.node == node.id)
    });
    i64::try_from(others.count()).unwrap_or(i64::MAX)
}

/// Those of the same job may make room for the new one.
fn others(state: &State, job: &Compiled, volume: &CsiVolume) -> Result<(), String> {
    let busy = format!("CSI volume {} has exhausted its available writer claims", volume.id);
    for (alloc, claim) in volume.claims.iter().filter(|(_, claim)| claim.write) {
        match state.alloc(*alloc) {
            None => {
                return Err(format!(
                    "{busy} and is claimed by a garbage collected allocation {alloc}; waiting for claim to be released"
                ));
            }
            Some(row) if row.job_id.as_str() == job.job.id() && row.namespace == volume.namespace => {}
            Some(_) if claim.reason.is_empty() => return Err(busy),
            // Ours: what stands in the way of its being given back.
            Some(_) => return Err(format!("{busy}: {}", claim.reason)),
        }
    }
    Ok(())
}
