//! What is asked for volumes: to register, create, delete and forget them, and to give back what a node has of one.

use tarpan_api::wire;
use tarpan_control::csi::release::{self, Progress};
use tarpan_control::csi::{CsiError, register as control};
use tarpan_model::csi::{ClaimState, CsiVolume};
use tarpan_model::{AllocId, NodeId};
use tarpan_rpc::csi::Ask;

use super::{asked, refused, shown};
use crate::csi::{controller, node, reaper};
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::lookup;
use crate::http::reply::Outcome;

/// The volumes of the body. Each of them needs what the route is for, in its own namespace.
fn rows(cx: &Context) -> Result<Vec<CsiVolume>, ApiError> {
    let request: wire::CsiVolumesRequest = cx.decode()?;
    if request.volumes.is_empty() {
        return Err(ApiError::bad_request("missing volume definition"));
    }
    let row = |volume| {
        let row = asked::volume(volume, &cx.std.namespace)?;
        cx.object(row.namespace.as_str())?;
        Ok(row)
    };
    request.volumes.into_iter().map(row).collect()
}

/// Writes a volume as it is asked for. `made`: a plugin has made it, and says what it is.
async fn write(cx: &Context, volume: CsiVolume) -> Result<(u64, wire::CsiVolume), ApiError> {
    let (namespace, id) = volume.key();
    let state = cx.state()?;
    let row = control::wished(&state, volume)?;
    let (index, _) = cx.propose(control::register(&state, row, cx.now())).await?;
    let state = cx.server.state();
    let row = state.csi_volume(&namespace, &id).ok_or_else(|| ApiError::not_found("volume not found"))?;
    Ok((index, shown::volume(&state, row)))
}

/// `PUT /v1/volumes`, `PUT /v1/volume/csi/:id`
pub async fn register(cx: Context) -> Outcome {
    let mut answer = wire::CsiVolumesResponse::default();
    let mut index = 0;
    for volume in rows(&cx)? {
        let wished = control::wished(&*cx.state()?, volume.clone())?;
        let required = cx.state()?.csi_plugin(&wished.plugin).is_some_and(|plugin| plugin.controller_required);
        if required {
            controller::validate(&cx.server.0.host, &wished).await.map_err(refused)?;
        }
        let (at, shown) = again!(write(&cx, volume.clone()))?;
        index = at;
        answer.volumes.push(shown);
    }
    cx.written(index, &answer)
}

/// `PUT /v1/volume/csi/:id/create`: one after the other; what was made is kept even where a later one fails.
pub async fn create(cx: Context) -> Outcome {
    let (mut answer, mut index, mut failed) = (wire::CsiVolumesResponse::default(), 0, Vec::new());
    for volume in rows(&cx)? {
        let id = volume.id.clone();
        match create_one(&cx, volume).await {
            Ok((at, shown)) => {
                index = at;
                answer.volumes.push(shown);
            }
            Err(error) => failed.push((id, error)),
        }
    }
    match failed.into_iter().next() {
        Some((_, error)) if answer.volumes.is_empty() => Err(error),
        Some((id, error)) => Err(ApiError::internal(format!("creating volume {id}: {}", error.message))),
        None => cx.written(index, &answer),
    }
}

async fn create_one(cx: &Context, volume: CsiVolume) -> Result<(u64, wire::CsiVolume), ApiError> {
    let state = cx.state()?;
    let wished = control::wished(&state, volume.clone())?;
    // A known one is there already: what may be changed of it is.
    if state.csi_volume(&volume.namespace, &volume.id).is_some() {
        return again!(write(cx, volume.clone()));
    }
    let plugin = state.csi_plugin(&wished.plugin).ok_or_else(|| CsiError::NoPlugin(wished.plugin.to_string()))?;
    if plugin.controllers.is_empty() {
        return Err(ApiError::internal("plugin has no controller"));
    }
    let creates = |c: tarpan_model::csi::ControllerInfo| c.create_delete;
    if !state.csi_controllers(plugin).any(|(_, info)| info.controller.is_some_and(creates)) {
        return Err(ApiError::internal("plugin does not support creating volumes"));
    }
    drop(state);
    let made = controller::create(&cx.server.0.host, wished).await.map_err(refused)?;
    let external = made.external_id.clone();
    again!(write(cx, made.clone())).map_err(|error| {
        let text =
            format!("the plugin has made the volume {external:?}, and it could not be written: {}", error.message);
        ApiError { message: text, ..error }
    })
}

/// `DELETE /v1/volume/csi/:id/delete`: the plugin destroys it, then it is forgotten.
pub async fn delete(cx: Context) -> Outcome {
    let secrets = asked::secrets_of(&cx)?;
    let (namespace, id) = (cx.namespace(), cx.path.get("volume"));
    let state = cx.state()?;
    // What may not be forgotten may not be destroyed.
    control::deregister(&state, &namespace, id, false)?;
    let volume = state.csi_volume(&namespace, id).ok_or(CsiError::NotFound)?.clone();
    drop(state);
    controller::delete(&cx.server.0.host, &volume, &secrets).await.map_err(refused)?;
    let index = again!(forget(&cx, false))?;
    cx.written_empty(index)
}

/// `DELETE /v1/volume/csi/:id`: it is forgotten, and the plugin keeps it.
pub async fn deregister(cx: Context) -> Outcome {
    let force = cx.query.bool("force").map_err(|_| ApiError::bad_request("invalid force value"))?.unwrap_or(false);
    let index = again!(forget(&cx, force))?;
    cx.written_empty(index)
}

async fn forget(cx: &Context, force: bool) -> Result<u64, ApiError> {
    let command = control::deregister(&*cx.state()?, &cx.namespace(), cx.path.get("volume"), force)?;
    Ok(cx.propose(command).await?.0)
}

/// `DELETE /v1/volume/csi/:id/detach`: what ended allocations of a node have of the volume is given back now. Where the node can not be
/// asked, its claims are taken as given back: somebody looked at it and says so.
pub async fn detach(cx: Context) -> Outcome {
    let node = cx.query.get("node").filter(|id| !id.is_empty());
    let node = node.ok_or_else(|| ApiError::bad_request("detach requires node ID"))?;
    let node: NodeId = lookup::id("node", node)?;
    let (namespace, id) = (cx.namespace(), cx.path.get("volume"));
    let key = (namespace.clone(), std::sync::Arc::from(id));
    let state = cx.state()?;
    let allocs = release::detach(&state, &key, node)?;
    let volume = state.csi_volume(&namespace, id).ok_or(CsiError::NotFound)?.clone();
    let mut index = state.index();
    drop(state);
    for alloc in allocs {
        unmount(&cx, &volume, alloc, node).await;
        if let Some(at) = again!(detached(&cx, &key, alloc))? {
            index = at;
        }
    }
    cx.written_empty(index)
}

async fn unmount(cx: &Context, volume: &CsiVolume, alloc: AllocId, node: NodeId) {
    let Some(claim) =
        volume.claims.get(&alloc).filter(|claim| matches!(claim.state, ClaimState::Taken | ClaimState::Unpublishing))
    else {
        return;
    };
    let ask = Ask::Detach(reaper::detach(volume, alloc, claim));
    if let Err(failed) = node::ask(&cx.server.0.host, node, &ask).await {
        tracing::warn!(volume = %volume.id, alloc_id = %alloc, node_id = %node, "detaching by request: {failed}");
    }
}

async fn detached(
    cx: &Context,
    key: &tarpan_model::csi::CsiVolumeKey,
    alloc: AllocId,
) -> Result<Option<u64>, ApiError> {
    let to = Progress::To(ClaimState::NodeDetached, "detached by an operator".to_owned());
    match release::advance(&*cx.state()?, key, alloc, &to, cx.now()) {
        Some(command) => Ok(Some(cx.propose(command).await?.0)),
        None => Ok(None),
    }
}
