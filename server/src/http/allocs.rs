//! Routes of allocations, as the servers know them. What only their nodes know is in `client`.

use std::sync::Arc;

use tarpan_api::convert::{self, AllocFull, AllocStub, StubOptions};
use tarpan_api::wire;
use tarpan_control::allocs as control;
use tarpan_model::{AllocId, Allocation, NodeId};
use tarpan_state::{State, Table};

use super::bind::bind;
use super::context::Context;
use super::error::{ApiError, again};
use super::filter::fields_of;
use super::lookup;
use super::page::{self, Made, value_of};
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Allocs {
    List => list,
    Stop => stop,
    Services => services,
    Checks => super::client::checks,
    Get => get,
}}

fn table_index(state: &State) -> u64 {
    state.table_index(Table::Allocs)
}

pub fn stub_options(cx: &Context) -> Result<StubOptions, ApiError> {
    let resources = cx.query.flag("resources")?;
    Ok(StubOptions { resources, task_states: cx.query.bool("task_states")?.unwrap_or(true) })
}

/// `GET /v1/allocations`: oldest first, by id with a prefix. Ours: `node` gives those of one node, `live` those that are not over.
async fn list(cx: Context) -> Outcome {
    let options = stub_options(&cx)?;
    let prefix = lookup::prefix("alloc", &cx.std.prefix)?;
    let live = cx.query.flag("live")?;
    let node = cx.query.get("node").filter(|id| !id.is_empty());
    let node: Option<NodeId> = node.map(|id| lookup::id("node", id)).transpose()?;
    let read = cx.read(&[Watch::Table(Table::Allocs)], table_index).await?;
    let seen = |row: &&Arc<Allocation>| {
        cx.sees(row.namespace.as_str())
            && (prefix.is_empty() || row.id.to_string().starts_with(&prefix))
            && !(live && row.terminal())
    };
    let list = Made {
        by_id: !prefix.is_empty(),
        made: &|row: &&Arc<Allocation>| (row.create_index, row.id),
        value: &|row| value_of(&whole(&read.state, row)),
        fields: fields_of::<wire::Allocation>(),
    };
    let (std, state) = (&cx.std, &read.state);
    let (page, token) = match node {
        Some(node) => list.page_of(std, state.allocs_by_node(node).filter(seen).collect())?,
        None if list.by_id => list.page_of(std, state.allocs_within(lookup::span(&prefix)).filter(seen).collect())?,
        None => list.page(std, state.allocs_made(page::begin(std), std.reverse).filter(seen))?,
    };
    let stubs: Vec<AllocStub<'_>> = page.into_iter().map(|row| convert::alloc_stub(row, options)).collect();
    read.page(&stubs, token)
}

/// `GET /v1/allocation/:id`
async fn get(cx: Context) -> Outcome {
    let id: AllocId = lookup::id("alloc", cx.path.get("alloc"))?;
    let index = |s: &State| s.alloc(id).map_or_else(|| table_index(s), |row| row.modify_index);
    let read = cx.read(&[Watch::Alloc(id)], index).await?;
    read.found(read.state.alloc(id).map(|row| whole(&read.state, row)), "alloc not found")
}

/// An allocation with all that belongs to it.
pub fn whole<'a>(state: &State, row: &'a Allocation) -> AllocFull<'a> {
    convert::allocation(row, true).signed_by(state.signing_key(row.create_index).map(|key| key.id))
}

/// `PUT /v1/allocation/:id/stop`: its job gets another one where it still wants one.
async fn stop(cx: Context) -> Outcome {
    again!(stop_once(&cx))
}

async fn stop_once(cx: &Context) -> Outcome {
    let (no_delay, reschedule) = (cx.query.flag("no_shutdown_delay")?, cx.query.flag("reschedule")?);
    let id: AllocId = lookup::id("alloc", cx.path.get("alloc"))?;
    let how = control::Stop { no_shutdown_delay: no_delay, reschedule };
    let state = cx.state()?;
    let stopped = control::stop(&state, id, how, cx.now(), &mut cx.ids());
    let (eval_id, command) = stopped.ok_or_else(|| ApiError::not_found("allocation not found"))?;
    let (index, _) = cx.propose(command).await?;
    cx.written(index, &wire::AllocStopResponse { eval_id: eval_id.to_string(), index })
}

/// `GET /v1/allocation/:id/services`
async fn services(cx: Context) -> Outcome {
    let id: AllocId = lookup::id("alloc", cx.path.get("alloc"))?;
    let read = cx.read(&[Watch::Table(Table::Services)], |s| s.table_index(Table::Services)).await?;
    if read.state.alloc(id).is_none() {
        return Err(read.missing("allocation not found"));
    }
    let rows: Vec<_> = read.state.services_by_alloc(id).map(|row| &**row).collect();
    read.show(&rows[..])
}

/// Stubs of these rows, oldest first.
pub fn stubs<'a>(rows: impl Iterator<Item = &'a Arc<Allocation>>, options: StubOptions) -> Vec<AllocStub<'a>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by_key(|row| (row.create_index, row.id));
    rows.into_iter().map(|row| convert::alloc_stub(row, options)).collect()
}
