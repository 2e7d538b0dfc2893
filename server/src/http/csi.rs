//! CSI: volumes with their claims, snapshots, and the plugins that have them.
//!
//! What is asked of state is decided in `tarpan_control::csi`, what is asked of plugins in `crate::csi::controller`. Secrets come in and
//! go to plugins, and are shown to nobody.

mod asked;
pub mod shown;
mod snapshots;
mod write;

use std::sync::Arc;

use serde_json::Value;
use tarpan_api::wire;
use tarpan_model::NodeId;
use tarpan_model::csi::{CsiPlugin, CsiVolume};
use tarpan_rpc::csi::{Failed, FailedKind, v1};
use tarpan_state::{State, Table};

use super::bind::bind;
use super::caller::{Capability, READ_JOB};
use super::context::Context;
use super::error::ApiError;
use super::filter::fields_of;
use super::lookup;
use super::page::{List, Place, Shape, value_of};
use super::reply::Outcome;
use crate::csi::controller;
use crate::watch::Watch;

bind! { Csi {
    RegisterAll => write::register,
    External => external,
    ListSnapshots => snapshots::list,
    CreateSnapshot => snapshots::create,
    DeleteSnapshot => snapshots::delete,
    Create => write::create,
    Delete => write::delete,
    Detach => write::detach,
    Volume => volume,
    Register => write::register,
    Deregister => write::deregister,
    Plugins => plugins,
    Plugin => plugin,
}}

const LIST: Capability = Capability::Namespace(&["csi-list-volume", "csi-read-volume"]);

/// Everything that what is shown of volumes follows from.
const TABLES: [Table; 3] = [Table::CsiVolumes, Table::CsiPlugins, Table::Nodes];

fn watched() -> [Watch; 3] {
    TABLES.map(Watch::Table)
}

/// `GET /v1/volumes?type=csi`, by namespace and id; `plugin_id` and `node_id` narrow it down.
pub async fn volumes(cx: Context) -> Outcome {
    let text = |name: &str| cx.query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
    let plugin = text("plugin_id");
    let node = text("node_id").map(|id| lookup::id::<NodeId>("node", &id)).transpose()?;
    let read = cx.read(&[Watch::Table(Table::CsiVolumes)], |s| s.table_index(Table::CsiVolumes).max(1)).await?;
    let seen = |row: &&Arc<CsiVolume>| {
        cx.sees_as(LIST, row.namespace.as_str())
            && plugin.as_ref().is_none_or(|id| **id == *row.plugin)
            && node.is_none_or(|id| row.claims.values().any(|claim| claim.node == id))
            && row.id.starts_with(&cx.std.prefix)
    };
    let state = read.state.clone();
    let list = List {
        shape: Shape::Namespaced,
        place: &|row: &&Arc<CsiVolume>| Place::Name(row.namespace.to_string(), row.id.to_string()),
        value: &|row| value_of(&shown::volume(&state, row)),
        fields: fields_of::<wire::CsiVolume>(),
    };
    let rows = read.state.csi_volumes().filter(seen);
    let (page, token) = if cx.std.reverse { list.page(&cx.std, rows.rev())? } else { list.page(&cx.std, rows)? };
    let stubs: Vec<_> = page.into_iter().map(|row| shown::stub(&state, row)).collect();
    read.page(&stubs, token)
}

/// `GET /v1/volume/csi/:id`; `claims=true`, ours: with how far each claim is.
async fn volume(cx: Context) -> Outcome {
    let (namespace, id) = (cx.namespace(), cx.path.get("volume").to_owned());
    let claims = cx.query.flag("claims")?;
    let index = |state: &State| state.csi_volume(&namespace, &id).map_or(1, |row| row.modify_index);
    let read = cx.read(&[Watch::CsiVolume((namespace.clone(), Arc::from(&*id)))], index).await?;
    let row = read.state.csi_volume(&namespace, &id);
    read.found(row.map(|row| shown::with_allocations(&read.state, row, claims)), "volume not found")
}

/// `GET /v1/volumes/external`: what the plugin itself has, a page of it.
async fn external(cx: Context) -> Outcome {
    let plugin = needed(&cx, "plugin_id")?;
    let (most, token) = paging(&cx)?;
    let answer = controller::volumes(&cx.server.0.host, &plugin, most, token).await.map_err(refused)?;
    let volumes = answer.entries.into_iter().filter_map(external_stub);
    cx.plain(&wire::CsiVolumesExternal { volumes: volumes.collect(), next_token: answer.next_token })
}

fn external_stub(entry: v1::list_volumes_response::Entry) -> Option<wire::CsiVolumeExternalStub> {
    use v1::volume_content_source::Type;
    let (volume, status) = (entry.volume?, entry.status.unwrap_or_default());
    let (clone_id, snapshot_id) = match volume.content_source.and_then(|source| source.r#type) {
        Some(Type::Volume(of)) => (of.volume_id, String::new()),
        Some(Type::Snapshot(of)) => (String::new(), of.snapshot_id),
        None => Default::default(),
    };
    let condition = status.volume_condition.unwrap_or_default();
    Some(wire::CsiVolumeExternalStub {
        external_id: volume.volume_id,
        capacity_bytes: volume.capacity_bytes,
        volume_context: volume.volume_context.into_iter().collect(),
        clone_id,
        snapshot_id,
        published_external_node_ids: status.published_node_ids,
        is_abnormal: condition.abnormal,
        status: condition.message,
    })
}

/// `GET /v1/plugins?type=csi`, by id.
async fn plugins(cx: Context) -> Outcome {
    match cx.query.get("type") {
        Some("csi") => {}
        None | Some("") => return cx.plain(&Value::Array(Vec::new())),
        Some(_) => return Err(ApiError::not_found("resource not found")),
    }
    let read = cx.read(&watched()[1..], |s| s.table_index(Table::CsiPlugins).max(1)).await?;
    let state = read.state.clone();
    let seen = |row: &&Arc<CsiPlugin>| row.id.starts_with(&cx.std.prefix);
    let list = List {
        shape: Shape::Id,
        place: &|row: &&Arc<CsiPlugin>| Place::id(&row.id),
        value: &|row| value_of(&shown::plugin_stub(&state, row)),
        fields: fields_of::<wire::CsiPluginListStub>(),
    };
    let rows = read.state.csi_plugins().filter(seen);
    let (page, token) = if cx.std.reverse { list.page(&cx.std, rows.rev())? } else { list.page(&cx.std, rows)? };
    let stubs: Vec<_> = page.into_iter().map(|row| shown::plugin_stub(&state, row)).collect();
    read.page(&stubs, token)
}

/// `GET /v1/plugin/csi/:id`
async fn plugin(cx: Context) -> Outcome {
    let id = cx.path.get("plugin").to_owned();
    let index = |state: &State| state.csi_plugin(&id).map_or(1, |row| row.modify_index);
    let read = cx.read(&[Watch::CsiPlugin(Arc::from(&*id))], index).await?;
    let sees = |namespace: &str| cx.allows(READ_JOB, namespace);
    let row = read.state.csi_plugin(&id).map(|row| shown::plugin(&read.state, row, sees));
    read.found(row, "plugin not found")
}

fn needed(cx: &Context, name: &str) -> Result<String, ApiError> {
    let given = cx.query.get(name).filter(|value| !value.is_empty());
    given
        .map(str::to_owned)
        .ok_or_else(|| ApiError::bad_request(format!("missing {name}: it is a parameter of the query")))
}

/// How many a page of a plugin's list has at most, and where it begins: the plugin's own words.
fn paging(cx: &Context) -> Result<(i32, &str), ApiError> {
    let most = cx.query.get("per_page").filter(|text| !text.is_empty()).map(str::parse).transpose();
    let most = most.map_err(|_| ApiError::bad_request("per_page is not a number that a plugin can be told"))?;
    Ok((most.unwrap_or(0), cx.query.get("next_token").unwrap_or_default()))
}

/// What a plugin did not do, as an error of the request that wanted it.
fn refused(failed: Failed) -> ApiError {
    match failed.kind {
        FailedKind::NotFound => ApiError::not_found(failed),
        FailedKind::NotYet | FailedKind::Unreachable | FailedKind::Other => ApiError::internal(failed),
    }
}
