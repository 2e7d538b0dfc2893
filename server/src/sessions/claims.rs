//! An allocation claims a volume through its node's agent, and is told what it needs to mount it.

use tarpan_control::csi::claim::{self, ClaimError};
use tarpan_model::csi::CsiVolume;
use tarpan_model::{AllocId, DesiredStatus, NodeId};
use tarpan_rpc::agent::{ClaimVolumeRequest, ClaimedVolume};
use tarpan_rpc::csi::FailedKind;
use tarpan_state::{Rejection, Reply};
use tonic::Status;
use uuid::Uuid;

use super::host::Host;
use crate::clock::now;
use crate::csi::controller;

/// How often a claim is decided anew when others write the same volume.
const ATTEMPTS: usize = 32;

/// The claim is written before the plugin's controller is asked: whatever becomes of that, it is given back when the allocation ends.
///
/// `Unavailable`: trying again may help. Errors say what stands in the way.
pub(super) async fn claim(host: &Host, node: NodeId, asked: &ClaimVolumeRequest) -> Result<ClaimedVolume, Status> {
    let not_found = || Status::not_found("allocation not found");
    let id = AllocId(Uuid::from_slice(&asked.alloc_id).map_err(|_| not_found())?);
    let volume = written(host, node, id, &asked.volume).await?;
    let publish_context = attach(host, &volume, id).await?;
    Ok(ClaimedVolume { volume: tarpan_rpc::pack(&volume).into(), publish_context })
}

async fn written(host: &Host, node: NodeId, id: AllocId, name: &str) -> Result<CsiVolume, Status> {
    for _ in 0..ATTEMPTS {
        let state = host.state();
        // Another node's allocation is as good as none, and one that is to stop needs nothing any more.
        let alloc = state.alloc(id).filter(|alloc| {
            alloc.node_id == node && !alloc.client_terminal() && alloc.desired_status == DesiredStatus::Run
        });
        let alloc = alloc.ok_or_else(|| Status::not_found("allocation not found"))?;
        let granted = claim::claim(&state, alloc, name, now()).map_err(|why| match why {
            ClaimError::NotNow(text) => Status::unavailable(text),
            ClaimError::Never(text) => Status::failed_precondition(text),
        })?;
        let Some(command) = granted.command else { return Ok(granted.volume) };
        match host.propose(command).await {
            Ok((_, Reply::Refused(Rejection::Changed))) => {}
            Ok((_, Reply::Refused(why))) => return Err(Status::failed_precondition(why.to_string())),
            Ok(_) => return Ok(granted.volume),
            Err(error) => return Err(Status::unavailable(error.to_string())),
        }
    }
    Err(Status::unavailable("too many write this volume at the same time"))
}

/// Has the volume brought to the node, where the plugin does that.
async fn attach(
    host: &Host,
    volume: &CsiVolume,
    alloc: AllocId,
) -> Result<std::collections::HashMap<String, String>, Status> {
    let state = host.state();
    let plugin = state.csi_plugin(&volume.plugin);
    let attaches = plugin.is_some_and(|plugin| {
        plugin.controller_required
            && state.csi_controllers(plugin).any(|(_, info)| info.controller.is_some_and(|c| c.attach_detach))
    });
    drop(state);
    let Some(claim) = volume.claims.get(&alloc).filter(|_| attaches) else { return Ok(Default::default()) };
    let published = controller::publish(host, volume, claim).await;
    published.map(|context| context.into_iter().collect()).map_err(|failed| match failed.kind {
        FailedKind::NotYet | FailedKind::Unreachable => {
            Status::unavailable(format!("CSI client error (retryable): {failed}"))
        }
        FailedKind::NotFound | FailedKind::Other => {
            Status::failed_precondition(format!("controller publish: attach volume: {failed}"))
        }
    })
}
