//! Routes of deployments.

use std::sync::Arc;

use tarpan_api::convert::{self, StubOptions};
use tarpan_api::wire::{
    self, DeploymentAllocHealthRequest, DeploymentPauseRequest, DeploymentPromoteRequest, DeploymentUpdateResponse,
};
use tarpan_control::deployments;
use tarpan_model::{AllocId, Deployment, DeploymentId};
use tarpan_state::{Command, Guard, State, Table};

use super::allocs;
use super::bind::bind;
use super::context::Context;
use super::error::{ApiError, again};
use super::filter::fields_of;
use super::lookup;
use super::page::{self, Made, value_of};
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Deployments {
    List => list,
    Allocations => allocations,
    Fail => fail,
    Pause => pause,
    Promote => promote,
    Unblock => unblock,
    AllocationHealth => allocation_health,
    Get => get,
}}

fn table_index(state: &State) -> u64 {
    state.table_index(Table::Deployments)
}

fn id_of(cx: &Context) -> Result<DeploymentId, ApiError> {
    lookup::id("deployment", cx.path.get("deployment"))
}

/// `GET /v1/deployments`: oldest first, by id with a prefix.
async fn list(cx: Context) -> Outcome {
    let prefix = lookup::prefix("deployment", &cx.std.prefix)?;
    let read = cx.read(&[Watch::Table(Table::Deployments)], table_index).await?;
    let seen = |row: &&Arc<Deployment>| {
        cx.sees(row.namespace.as_str()) && (prefix.is_empty() || row.id.to_string().starts_with(&prefix))
    };
    let list = Made {
        by_id: !prefix.is_empty(),
        made: &|row: &&Arc<Deployment>| (row.create_index, row.id),
        value: &|row| value_of(&convert::deployment(row)),
        fields: fields_of::<wire::Deployment>(),
    };
    let (std, state) = (&cx.std, &read.state);
    let (page, token) = match list.by_id {
        true => list.page_of(std, state.deployments_within(lookup::span(&prefix)).filter(seen).collect())?,
        false => list.page(std, state.deployments_made(page::begin(std), std.reverse).filter(seen))?,
    };
    let deployments: Vec<_> = page.into_iter().map(|row| convert::deployment(row)).collect();
    read.page(&deployments, token)
}

/// `GET /v1/deployment/:id`
async fn get(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let index = |s: &State| s.deployment(id).map_or_else(|| table_index(s), |row| row.modify_index);
    let read = cx.read(&[Watch::Deployment(id)], index).await?;
    read.found(read.state.deployment(id).map(|row| convert::deployment(row)), "deployment not found")
}

/// `GET /v1/deployment/allocations/:id`
async fn allocations(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let read = cx.read(&[Watch::Table(Table::Allocs)], |s| s.table_index(Table::Allocs)).await?;
    read.show(&allocs::stubs(read.state.allocs_by_deployment(id), StubOptions::default())[..])
}

/// The id in the body of an action has to be there and to be the path's.
fn same(cx: &Context, named: &str) -> Result<DeploymentId, ApiError> {
    match named {
        "" => Err(ApiError::bad_request("DeploymentID must be specified")),
        id if id != cx.path.get("deployment") => Err(ApiError::bad_request("Deployment ID does not match")),
        _ => id_of(cx),
    }
}

/// `PUT /v1/deployment/fail/:id`
async fn fail(cx: Context) -> Outcome {
    again!(fail_once(&cx))
}

async fn fail_once(cx: &Context) -> Outcome {
    let id = id_of(cx)?;
    let state = cx.state()?;
    let command = deployments::fail(&state, id, cx.now(), &mut cx.ids())?;
    commit(cx, &state, command).await
}

/// `PUT /v1/deployment/pause/:id`; resumes with `Pause` false.
async fn pause(cx: Context) -> Outcome {
    again!(pause_once(&cx))
}

async fn pause_once(cx: &Context) -> Outcome {
    let request: DeploymentPauseRequest = cx.decode()?;
    let id = same(cx, &request.deployment_id)?;
    let state = cx.state()?;
    let command = deployments::pause(&state, id, request.pause, cx.now(), &mut cx.ids())?;
    commit(cx, &state, command).await
}

/// `PUT /v1/deployment/promote/:id`
async fn promote(cx: Context) -> Outcome {
    again!(promote_once(&cx))
}

async fn promote_once(cx: &Context) -> Outcome {
    let request: DeploymentPromoteRequest = cx.decode()?;
    let id = same(cx, &request.deployment_id)?;
    let groups = (!request.all).then(|| request.groups.iter().map(|g| Arc::from(g.as_str())).collect());
    let state = cx.state()?;
    let command = deployments::promote(&state, id, groups, cx.now(), &mut cx.ids())?;
    commit(cx, &state, command).await
}

/// `PUT /v1/deployment/unblock/:id`: only a rollout over several regions is ever blocked, and there are none.
async fn unblock(cx: Context) -> Outcome {
    let id = id_of(&cx)?;
    let state = cx.state()?;
    let Some(row) = state.deployment(id) else { return Err(ApiError::not_found("deployment not found")) };
    let why = if row.active() { "can't unblock running deployment" } else { "can't unblock terminal deployment" };
    Err(ApiError::internal(why))
}

/// `PUT /v1/deployment/allocation-health/:id`
async fn allocation_health(cx: Context) -> Outcome {
    again!(allocation_health_once(&cx))
}

async fn allocation_health_once(cx: &Context) -> Outcome {
    let request: DeploymentAllocHealthRequest = cx.decode()?;
    let id = same(cx, &request.deployment_id)?;
    let ids = |texts: &[String]| texts.iter().map(|t| lookup::id("alloc", t)).collect::<Result<Vec<AllocId>, _>>();
    let healthy = ids(&request.healthy_allocation_ids)?;
    let unhealthy = ids(&request.unhealthy_allocation_ids)?;
    if healthy.is_empty() && unhealthy.is_empty() {
        return Err(ApiError::bad_request("must specify at least one healthy/unhealthy allocation ID"));
    }
    let state = cx.state()?;
    let command = deployments::set_health(&state, id, healthy, unhealthy, cx.now(), &mut cx.ids())?;
    commit(cx, &state, command).await
}

/// Commits what was decided on `state`, unless its deployment, its job or the allocations named changed since.
async fn commit(cx: &Context, state: &State, command: Command) -> Outcome {
    let (mut eval, mut reverted, mut guards) = (None, None, Vec::new());
    if let Command::UpdateDeployment(update) = &command {
        eval = update.eval.as_ref().map(|e| e.id);
        reverted = update.revert_to.as_ref().map(|job| job.version());
        let row = state.deployment(update.id);
        guards.extend(row.map(|row| Guard::Deployment { id: row.id, modify_index: row.modify_index }));
        guards.extend(row.filter(|_| reverted.is_some()).map(|row| Guard::job(state, &row.job_key())));
        let allocs: Vec<AllocId> = update.healthy.iter().chain(&update.unhealthy).copied().collect();
        guards.push(Guard::Members { deployment: update.id, allocs });
    }
    let (index, _) = cx.propose(command.guarded(guards)).await?;
    let response = DeploymentUpdateResponse {
        eval_id: eval.map(|id| id.to_string()).unwrap_or_default(),
        eval_create_index: if eval.is_some() { index } else { 0 },
        deployment_modify_index: index,
        reverted_job_version: reverted,
        index,
    };
    cx.written(index, &response)
}
