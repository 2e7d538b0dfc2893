//! Snapshots: plugins have them, servers keep nothing of them.

use tarpan_api::wire::{CsiSnapshot, CsiSnapshots};
use tarpan_rpc::csi::v1;

use super::{asked, needed, paging, refused};
use crate::csi::controller;
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::reply::{self, Meta, Outcome};

fn shown(snapshot: v1::Snapshot) -> CsiSnapshot {
    CsiSnapshot {
        id: snapshot.snapshot_id,
        external_source_volume_id: snapshot.source_volume_id,
        size_bytes: snapshot.size_bytes,
        create_time: snapshot.creation_time.map_or(0, |moment| moment.seconds),
        is_ready: snapshot.ready_to_use,
        ..CsiSnapshot::default()
    }
}

/// `GET /v1/volumes/snapshot`: those of a plugin, a page of them.
pub async fn list(cx: Context) -> Outcome {
    let plugin = needed(&cx, "plugin_id")?;
    let (paging, secrets) = (paging(&cx)?, asked::secrets_of(&cx)?);
    let answer = controller::snapshots(&cx.server.0.host, &plugin, paging, &secrets).await.map_err(refused)?;
    let found = answer.entries.into_iter().filter_map(|entry| entry.snapshot);
    let snapshots = found.map(|one| CsiSnapshot { plugin_id: plugin.clone(), ..shown(one) }).collect();
    cx.plain(&CsiSnapshots { snapshots, next_token: answer.next_token })
}

/// `PUT /v1/volumes/snapshot`: of volumes that are registered here.
pub async fn create(cx: Context) -> Outcome {
    let request: CsiSnapshots = cx.decode()?;
    if request.snapshots.is_empty() {
        return Err(ApiError::bad_request("missing snapshot definition"));
    }
    let mut made = Vec::new();
    for asked in request.snapshots {
        let state = cx.state()?;
        let volume = state.csi_volume(&cx.namespace(), &asked.source_volume_id);
        let volume =
            volume.ok_or_else(|| ApiError::not_found(format!("volume not found: {}", asked.source_volume_id)))?;
        let volume = volume.clone();
        drop(state);
        let with = (&asked.secrets, &asked.parameters);
        let snapshot = controller::create_snapshot(&cx.server.0.host, &volume, &asked.name, with).await;
        made.push(CsiSnapshot {
            source_volume_id: asked.source_volume_id,
            plugin_id: volume.plugin.to_string(),
            name: asked.name,
            ..shown(snapshot.map_err(refused)?)
        });
    }
    cx.plain(&CsiSnapshots { snapshots: made, next_token: String::new() })
}

/// `DELETE /v1/volumes/snapshot`
pub async fn delete(cx: Context) -> Outcome {
    let (plugin, id) = (needed(&cx, "plugin_id")?, needed(&cx, "snapshot_id")?);
    let secrets = asked::secrets_of(&cx)?;
    controller::delete_snapshot(&cx.server.0.host, &plugin, &id, &secrets).await.map_err(refused)?;
    reply::empty(&Meta::default())
}
