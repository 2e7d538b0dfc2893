//! Claims on their way back: what is to be done next for each, and what follows from its being done.
//!
//! Reads: volumes that are claimed, their allocations, nodes and plugins. Gives: for each claim whose allocation has ended the next
//! [`Step`]. Each step that was done is written down ([`advance`]), so that another leader goes on where this one stopped, and a
//! step that was done and not written is done again: plugins bear that.

use tarpan_model::csi::{Claim, ClaimState, CsiVolume, CsiVolumeKey};
use tarpan_model::{AllocId, NodeId, NodeStatus, UnixNanos};
use tarpan_state::{Command, State};

use super::{CsiError, put};

/// What is to be done for a claim now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing on any machine: it is written how far the claim is.
    Write(Progress),
    /// The node's agent unmounts the volume; then [`ClaimState::NodeDetached`].
    NodeDetach(NodeId),
    /// A controller takes the volume off the node; then it is forgotten.
    ControllerDetach,
}

/// How far a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    To(ClaimState, String),
    Forgotten,
}

/// A claim with something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub volume: CsiVolumeKey,
    pub alloc: AllocId,
    pub step: Step,
}

/// Everything that can be done now, by volume and allocation.
pub fn due(state: &State) -> Vec<Due> {
    let of_volume = |volume: &CsiVolume| -> Vec<Due> {
        let one = |(alloc, claim): (&AllocId, &Claim)| {
            let step = step(state, volume, *alloc, claim)?;
            Some(Due { volume: volume.key(), alloc: *alloc, step })
        };
        volume.claims.iter().filter_map(one).collect()
    };
    state.csi_volumes_claimed().flat_map(|volume| of_volume(volume)).collect()
}

fn step(state: &State, volume: &CsiVolume, alloc: AllocId, claim: &Claim) -> Option<Step> {
    let reached = |to, why: &str| Some(Step::Write(Progress::To(to, why.to_owned())));
    match claim.state {
        ClaimState::Taken => reached(ClaimState::Unpublishing, over(state, alloc)?),
        ClaimState::Unpublishing => match state.node(claim.node) {
            None => reached(ClaimState::NodeDetached, "its node is gone"),
            Some(node) if node.status == NodeStatus::Down => reached(ClaimState::NodeDetached, "its node is down"),
            Some(_) => Some(Step::NodeDetach(claim.node)),
        },
        ClaimState::NodeDetached if attached(state, volume, alloc, claim) => Some(Step::ControllerDetach),
        ClaimState::NodeDetached | ClaimState::ControllerDetached => Some(Step::Write(Progress::Forgotten)),
    }
}

/// Why the allocation needs no claim any more.
fn over(state: &State, alloc: AllocId) -> Option<&'static str> {
    match state.alloc(alloc) {
        None => Some("its allocation was removed"),
        Some(row) if row.client_terminal() => Some("its allocation has ended"),
        Some(row) if row.terminal() && state.node(row.node_id).is_none() => Some("its allocation went with its node"),
        Some(_) => None,
    }
}

/// A controller has to take the volume off the node, and nobody else there uses it.
fn attached(state: &State, volume: &CsiVolume, alloc: AllocId, claim: &Claim) -> bool {
    let Some(plugin) = state.csi_plugin(&volume.plugin) else { return false };
    let attaches = state.csi_controllers(plugin).any(|(_, info)| info.controller.is_some_and(|c| c.attach_detach));
    let others = volume.claims.iter().any(|(id, other)| {
        *id != alloc && other.node == claim.node && matches!(other.state, ClaimState::Taken | ClaimState::Unpublishing)
    });
    plugin.controller_required && attaches && !claim.external_node.is_empty() && !others
}

/// Writes how far a claim is. `None`: it is so already, or there is no such claim.
pub fn advance(
    state: &State,
    (namespace, id): &CsiVolumeKey,
    alloc: AllocId,
    to: &Progress,
    now: UnixNanos,
) -> Option<Command> {
    let mut volume = CsiVolume::clone(state.csi_volume(namespace, id)?);
    match to {
        Progress::Forgotten => drop(volume.claims.remove(&alloc)?),
        Progress::To(state, reason) => {
            let claim = volume.claims.get_mut(&alloc)?;
            if claim.state == *state && claim.reason == *reason {
                return None;
            }
            if claim.state != *state {
                claim.since = now;
            }
            (claim.state, claim.reason) = (*state, reason.clone());
        }
    }
    Some(put(state, volume, true, now))
}

/// Why a step did not work, on the claim that it was for.
pub fn failed(state: &State, key: &CsiVolumeKey, alloc: AllocId, why: &str, now: UnixNanos) -> Option<Command> {
    let claim = state.csi_volume(&key.0, &key.1)?.claims.get(&alloc)?;
    advance(state, key, alloc, &Progress::To(claim.state, why.to_owned()), now)
}

/// An operator wants a node's claims on a volume given back, whatever of it works: those of allocations that have ended.
pub fn detach(state: &State, key: &CsiVolumeKey, node: NodeId) -> Result<Vec<AllocId>, CsiError> {
    let volume = state.csi_volume(&key.0, &key.1).ok_or(CsiError::NotFound)?;
    let here: Vec<_> = volume.claims.iter().filter(|(_, claim)| claim.node == node).collect();
    let runs = |alloc: &AllocId| state.alloc(*alloc).is_some_and(|row| !row.terminal());
    if let Some((alloc, _)) = here.iter().find(|(alloc, _)| runs(alloc)) {
        let text = format!("allocation {alloc} runs on node {node} and uses volume {}: stop it first", key.1);
        return Err(CsiError::Refused(text));
    }
    Ok(here.into_iter().map(|(alloc, _)| *alloc).collect())
}
