//! Counts of groups: what they are, and changing one.

use std::collections::BTreeMap;

use tarpan_api::wire::{JobRegisterResponse, JobScaleStatus, ScalingRequest, TaskGroupScaleStatus};
use tarpan_model::{ClientStatus, Job, JobType, TaskGroup, Trigger};
use tarpan_state::{Guard, State, Table};

use super::register;
use crate::Watch;
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::Outcome;

/// `GET /v1/job/:id/scale`
pub async fn status(cx: Context) -> Outcome {
    let key = cx.job_key();
    let index = |s: &State| s.table_index(Table::Jobs).max(s.table_index(Table::Allocs));
    let read = cx.read(&[Watch::Job(key.clone()), Watch::AllocsOfJob(key.clone())], index).await?;
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
    let mut status = TaskGroupScaleStatus { desired, ..TaskGroupScaleStatus::default() };
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
    register::refuse_when_off(cx)?;
    let key = cx.job_key();
    check_target(cx, &request.target)?;
    let state = cx.server.state();
    let Some(old) = state.job(&key) else {
        return Err(ApiError::not_found(format!("job {:?} not found", key.id.as_str())));
    };
    let name = request.target.get("Group").map_or("", String::as_str);
    let Some(position) = old.groups().iter().position(|g| g.name() == name) else {
        let text = format!("task group {name:?} specified for scaling does not exist in job");
        return Err(ApiError::bad_request(text));
    };
    let count = match request.count.filter(|_| !request.error) {
        Some(count) => count,
        None => return noted(cx, old),
    };
    check_count(old, &old.groups()[position], count)?;
    let rollout = state.latest_deployment(&key).filter(|d| d.active() && Some(d.job_create_index) == old.create_index);
    if rollout.is_some() {
        return Err(ApiError::bad_request("job scaling blocked due to active deployment"));
    }
    let mut job = Job::clone(old);
    if let Some(group) = job.task_groups.as_mut().and_then(|groups| groups.get_mut(position)) {
        group.count = Some(count);
    }
    let options = register::Options {
        guards: vec![Guard::RegistrationOn, Guard::job(&state, &key), Guard::NoRollout { job: key.clone() }],
        trigger: Trigger::JobScaling,
        ..register::Options::default()
    };
    let submission = state.job_submission(&key, old.version()).map(|s| tarpan_state::JobSubmission::clone(s));
    let response = register::commit(cx, job, submission, options).await?;
    cx.written(response.index, &JobRegisterResponse { known_leader: true, ..response })
}

fn check_target(cx: &Context, target: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let named = target.get("Job").filter(|id| !id.is_empty());
    match named {
        Some(id) if id != cx.path.get("job") => Err(ApiError::bad_request("job ID in payload did not match URL")),
        _ => Ok(()),
    }
}

/// A group's policy bounds its count; what runs once a node can only be there or not.
fn check_count(job: &Job, group: &TaskGroup, count: i64) -> Result<(), ApiError> {
    if count < 0 {
        return Err(ApiError::bad_request("scaling action count can't be negative"));
    }
    if matches!(job.job_type(), JobType::System | JobType::SysBatch) && count > 1 {
        return Err(ApiError::bad_request("jobs of type system and sysbatch can only be scaled between 0 and 1"));
    }
    let Some(policy) = &group.scaling else { return Ok(()) };
    if let Some(max) = policy.max.filter(|max| count > *max) {
        let text = format!("group count was greater than scaling policy maximum: {count} > {max}");
        return Err(ApiError::bad_request(text));
    }
    if let Some(min) = policy.min.filter(|min| count < *min) {
        let text = format!("group count was less than scaling policy minimum: {count} < {min}");
        return Err(ApiError::bad_request(text));
    }
    Ok(())
}

/// A note without a new count changes nothing.
fn noted(cx: &Context, job: &Job) -> Outcome {
    let index = job.modify_index.unwrap_or(0);
    let response = JobRegisterResponse { job_modify_index: index, index, known_leader: true, ..Default::default() };
    cx.written(index, &response)
}
