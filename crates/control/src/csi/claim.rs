//! An allocation claims the volumes that its group asks for.

use tarpan_model::csi::{AccessMode, AttachmentMode, Capability, Claim, ClaimState, CsiVolume, Unclaimable};
use tarpan_model::job::VolumeRequest;
use tarpan_model::{Allocation, UnixNanos};
use tarpan_state::{Command, State};

use super::put;

/// Why an allocation gets no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Trying again may help: others give it back, or its plugin comes back.
    #[error("{0}")]
    NotNow(String),
    #[error("{0}")]
    Never(String),
}

/// What an allocation was granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// To be written; `None`: it has the claim already.
    pub command: Option<Command>,
    /// With the claim.
    pub volume: CsiVolume,
}

/// How a request wants a volume used.
fn capability(request: &VolumeRequest) -> Option<Capability> {
    let access = AccessMode::parse(request.access_mode.as_deref()?)?;
    let attachment = AttachmentMode::parse(request.attachment_mode.as_deref()?)?;
    Some(Capability { access, attachment })
}

/// Claims the volume that the group of `alloc` calls `name`.
pub fn claim(state: &State, alloc: &Allocation, name: &str, now: UnixNanos) -> Result<Granted, ClaimError> {
    let never = |text: String| Err(ClaimError::Never(text));
    let volumes = alloc.group().and_then(|group| group.volumes.as_ref());
    let Some(request) = volumes.and_then(|all| all.get(name)).filter(|r| r.type_.as_deref() == Some("csi")) else {
        return never(format!("the group asks for no CSI volume {name:?}"));
    };
    let source = tarpan_model::volume::source(request, alloc.index());
    let Some(volume) = state.csi_volume(&alloc.namespace, &source) else {
        return never(format!("volume not found: {source}"));
    };
    let Some(how) = capability(request) else {
        return never(format!("volume {name:?} has no access_mode and attachment_mode that are known"));
    };
    let write = request.read_only != Some(true);
    if !state.csi_schedulable(volume) {
        return Err(ClaimError::NotNow("volume is currently unschedulable".to_owned()));
    }
    match volume.admits(alloc.id, how, write) {
        Ok(()) => {}
        Err(why @ Unclaimable::Exhausted) => return Err(ClaimError::NotNow(why.to_string())),
        Err(why @ (Unclaimable::OtherAttachment | Unclaimable::NotCapable)) => return never(why.to_string()),
    }
    if volume.claims.get(&alloc.id).is_some_and(|claim| claim.state == ClaimState::Taken) {
        return Ok(Granted { command: None, volume: CsiVolume::clone(volume) });
    }
    let node = state.node(alloc.node_id);
    let info = node.and_then(|node| node.csi_nodes.get(&volume.plugin)).and_then(|info| info.node.clone());
    let Some(info) = info else {
        let text = format!("CSI plugin {} is missing from client {}", volume.plugin, alloc.node_id);
        return Err(ClaimError::NotNow(text));
    };
    let claim = Claim {
        node: alloc.node_id,
        external_node: info.id,
        write,
        how,
        state: ClaimState::Taken,
        since: now,
        reason: String::new(),
    };
    let mut volume = CsiVolume::clone(volume);
    volume.claims.insert(alloc.id, claim);
    Ok(Granted { command: Some(put(state, volume.clone(), true, now)), volume })
}
