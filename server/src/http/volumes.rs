//! Routes of volumes: the list of every type, dynamic host volumes, and claims to them. CSI has a file of its own.

mod change;

use std::sync::Arc;

use serde_json::Value;
use tarpan_api::convert::{self, StubOptions};
use tarpan_api::wire::{self, AllocListStub};
use tarpan_model::volume::{HostVolume, HostVolumeClaim};
use tarpan_model::{Allocation, NodeId, VolumeId};
use tarpan_state::{State, Table};

use super::bind::bind;
use super::caller::Capability;
use super::context::Context;
use super::csi;
use super::error::ApiError;
use super::filter::fields_of;
use super::lookup;
use super::page::{List, Place, Shape, value_of};
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Volumes {
    List => list,
    Claims => claims,
    DeleteClaim => change::delete_claim,
    CreateHost => change::create,
    RegisterHost => change::register,
    DeleteHostNamed => change::delete,
    Host => host,
    DeleteHost => change::delete,
}}

/// What the rows of host volumes need to be seen.
const READ_HOST: Capability = Capability::Namespace(&["host-volume-read"]);

/// `GET /v1/volumes`: those of one type; without a type none.
async fn list(cx: Context) -> Outcome {
    match cx.query.get("type") {
        None | Some("") => cx.plain(&Value::Array(Vec::new())),
        Some("csi") => csi::volumes(cx).await,
        Some("host") => host_volumes(cx).await,
        Some(_) => Err(ApiError::not_found("resource not found")),
    }
}

/// In the order of namespaces and ids; `node_id` and `node_pool` narrow it down.
async fn host_volumes(cx: Context) -> Outcome {
    let text = |name: &str| cx.query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
    let (pool, prefix) = (text("node_pool"), cx.std.prefix.to_ascii_lowercase());
    let node = text("node_id").map(|id| lookup::id::<NodeId>("node", &id)).transpose()?;
    let read = cx.read(&[Watch::Table(Table::HostVolumes)], |s| s.table_index(Table::HostVolumes)).await?;
    let seen = |row: &&Arc<HostVolume>| {
        cx.sees_as(READ_HOST, row.namespace.as_str())
            && node.is_none_or(|node| row.node_id == node)
            && pool.as_ref().is_none_or(|pool| **pool == *row.node_pool)
            && (prefix.is_empty() || row.id.to_string().starts_with(&prefix))
    };
    let list = List {
        shape: Shape::Namespaced,
        place: &|row: &&Arc<HostVolume>| Place::Name(row.namespace.to_string(), row.id.to_string()),
        value: &|row| value_of(&convert::host_volume(row)),
        fields: fields_of::<wire::HostVolume>(),
    };
    let rows: Vec<_> = read.state.host_volumes().filter(seen).collect();
    let (page, token) = list.page_of(&cx.std, rows, |a, b| (&a.namespace, a.id).cmp(&(&b.namespace, b.id)))?;
    let stubs: Vec<_> = page.into_iter().map(|row| convert::host_volume_stub(row)).collect();
    read.page(&stubs, token)
}

/// `GET /v1/volume/host/:id`
async fn host(cx: Context) -> Outcome {
    let Ok(id) = cx.path.get("volume").parse::<VolumeId>() else {
        return Err(cx.read(&[], |_| 1).await?.missing("volume not found"));
    };
    let index = |state: &State| state.host_volume(id).map_or(0, |row| row.modify_index);
    let watch = [Watch::HostVolume(id), Watch::Table(Table::Allocs)];
    let index_of = |state: &State| index(state).max(users_index(state, id)).max(1);
    let read = cx.read(&watch, index_of).await?;
    let shown = read.state.host_volume(id).map(|row| with_allocations(&read.state, row));
    read.found(shown, "volume not found")
}

/// The last change of what mounts the volume.
fn users_index(state: &State, id: VolumeId) -> u64 {
    let users = state.host_volume(id).into_iter().flat_map(|row| state.users_of(row));
    users.map(|alloc| alloc.modify_index).max().unwrap_or(0)
}

fn with_allocations(state: &State, row: &HostVolume) -> wire::HostVolume {
    let stub =
        |alloc: &Arc<Allocation>| serde_json::from_value(value_of(&convert::alloc_stub(alloc, StubOptions::default())));
    let allocations: Vec<AllocListStub> = state.users_of(row).filter_map(|alloc| stub(alloc).ok()).collect();
    wire::HostVolume { allocations, ..convert::host_volume(row) }
}

/// `GET /v1/volumes/claims`: what groups with sticky volumes hold, in the order of their ids.
async fn claims(cx: Context) -> Outcome {
    let text = |name: &str| cx.query.get(name).unwrap_or_default().to_owned();
    let (job, group, volume) = (text("job_id"), text("task_group"), text("volume_name"));
    let prefix = cx.std.prefix.to_ascii_lowercase();
    let read = cx.read(&[Watch::Table(Table::HostVolumeClaims)], |s| s.table_index(Table::HostVolumeClaims)).await?;
    let seen = |row: &&Arc<HostVolumeClaim>| {
        let is = |asked: &str, is: &str| asked.is_empty() || asked == is;
        cx.sees(row.namespace.as_str())
            && is(&job, row.job_id.as_str())
            && is(&group, &row.task_group)
            && is(&volume, &row.volume_name)
            && row.id.to_string().starts_with(&prefix)
    };
    let list = List {
        shape: Shape::Id,
        place: &|row: &&Arc<HostVolumeClaim>| Place::id(row.id),
        value: &|row| value_of(&convert::host_volume_claim(row)),
        fields: fields_of::<wire::TaskGroupHostVolumeClaim>(),
    };
    let rows: Vec<_> = read.state.host_volume_claims().filter(seen).collect();
    let (page, token) = list.page_of(&cx.std, rows, |a, b| a.id.cmp(&b.id))?;
    let claims: Vec<_> = page.into_iter().map(|row| convert::host_volume_claim(row)).collect();
    read.page(&claims, token)
}
