//! Counts of groups: what they are and what was asked of them, and changing one.

use std::collections::BTreeMap;

use tarpan_api::convert;
use tarpan_api::wire::{JobRegisterResponse, JobScaleStatus, ScalingRequest, TaskGroupScaleStatus};
use tarpan_control::jobs;
use tarpan_model::schema::Free;
use tarpan_model::{ClientStatus, Job, TaskGroup};
use tarpan_state::{State, Table};

use super::register;
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::Outcome;
use crate::watch::Watch;

/// `GET /v1/job/:id/scale`
pub async fn status(cx: Context) -> Outcome {
    let key = cx.job_key();
    let tables = [Table::Jobs, Table::Allocs, Table::ScalingEvents];
    let index = |s: &State| tables.into_iter().map(|table| s.table_index(table)).max().unwrap_or(0);
    let watch = [Watch::Job(key.clone()), Watch::AllocsOfJob(key.clone()), Watch::Table(Table::ScalingEvents)];
    let read = cx.read(&watch, index).await?;
    let status = read.state.job(&key).map(|job| status_of(&read.state, job));
    read.found(status, "job not found")
}

fn status_of(state: &State, job: &Job) -> JobScaleStatus {
    let groups = job.groups().iter().map(|g| (g.name().to_owned(), group_status(state, job, g))).collect();
    JobScaleStatus {
        job_id: job.id().to_owned(),
        namespace: job.namespace().to_owned(),
        job_create_index: job.create_index.unwrap_or(0),
        job_modify_index: job.modify_index.unwrap_or(0),
        job_stopped: job.stopped(),
        task_groups: groups,
    }
}

fn group_status(state: &State, job: &Job, group: &TaskGroup) -> TaskGroupScaleStatus {
    let desired = i64::try_from(group.count()).unwrap_or(i64::MAX);
    let events = state.scaling_events(&job.key()).and_then(|events| events.groups.get(group.name()));
    let events = events.map(|events| events.iter().map(|event| convert::scaling_event(event)).collect());
    let mut status = TaskGroupScaleStatus { desired, events, ..TaskGroupScaleStatus::default() };
    for row in state.allocs_by_job(&job.key()).filter(|row| *row.task_group == *group.name()) {
        let health = row.deployment_status.unwrap_or_default();
        if row.terminal() || health.canary {
            continue;
        }
        status.placed += 1;
        status.running += i64::from(row.client_status == ClientStatus::Running);
        status.healthy += i64::from(health.healthy == Some(true));
        status.unhealthy += i64::from(health.healthy == Some(false));
    }
    status
}

/// `PUT /v1/job/:id/scale`
pub async fn scale(cx: Context) -> Outcome {
    again!(scale_once(&cx))
}

async fn scale_once(cx: &Context) -> Outcome {
    let request: ScalingRequest = cx.decode()?;
    check_target(cx, &request.target)?;
    if request.target.get("Group").is_none_or(String::is_empty) {
        return Err(ApiError::bad_request("the target of scaling names no task group"));
    }
    let asked = jobs::Scale {
        group: request.target.get("Group").cloned().unwrap_or_default(),
        count: request.count.filter(|_| !request.error),
        check_index: Some(request.job_modify_index).filter(|index| *index != 0),
        manages: cx.manages(),
        message: request.message,
        error: request.error,
        meta: request.meta.map(Free),
    };
    let command = jobs::scale(&cx.server.state(), &cx.job_key(), &asked, cx.now(), &mut cx.ids())?;
    let (index, reply) = cx.propose(command).await?;
    cx.written(index, &JobRegisterResponse { known_leader: true, ..register::registered(index, &reply) })
}

fn check_target(cx: &Context, target: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let named = target.get("Job").filter(|id| !id.is_empty());
    match named {
        Some(id) if id != cx.path.get("job") => Err(ApiError::bad_request("job ID in payload did not match URL")),
        _ => Ok(()),
    }
}
