//! What the Jobs page shows: each job with its allocations and its rollout, newest change first.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::http::Method;
use tarpan_api::wire::{
    JobStatusesAlloc, JobStatusesDeployment, JobStatusesJob, JobStatusesLatestDeployment, JobStatusesRequest,
};
use tarpan_model::{Allocation, Deployment, DeploymentStatus, Job, NamespacedId};
use tarpan_state::{State, Table};

use crate::http::caller::READ_JOB;
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::filter::fields_of;
use crate::http::page::{List, Place, Shape, value_of};
use crate::http::reply::Outcome;
use crate::watch::Watch;

const TABLES: [Table; 3] = [Table::Jobs, Table::Allocs, Table::Deployments];

fn index(state: &State) -> u64 {
    TABLES.into_iter().map(|t| state.table_index(t)).max().unwrap_or(0)
}

/// `GET` and `POST /v1/jobs/statuses`; the body of a `POST` names the jobs that are wanted.
pub async fn statuses(mut cx: Context) -> Outcome {
    let request: JobStatusesRequest = cx.decode_optional()?;
    let posted = cx.method() == Method::POST;
    if posted && request.jobs.is_empty() && !cx.body.is_empty() {
        return Err(ApiError::bad_request("no jobs in request"));
    }
    let children = cx.query.flag("include_children")? || request.include_children || !request.jobs.is_empty();
    if !request.jobs.is_empty() {
        cx.std.per_page = request.jobs.len();
    }
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let state = &read.state;
    let rows: Vec<&Arc<Job>> = if request.jobs.is_empty() {
        let seen = |job: &&Arc<Job>| {
            let child = job.parent_id.as_deref().is_some_and(|p| !p.is_empty());
            cx.sees(job.namespace()) && job.id().starts_with(&cx.std.prefix) && (children || !child)
        };
        state.jobs().map(|(_, job)| job).filter(seen).collect()
    } else {
        request
            .jobs
            .iter()
            .filter(|key| cx.allows(READ_JOB, key.namespace.as_str()))
            .filter_map(|key| state.job(key))
            .collect()
    };
    // Newest first, unless reversed.
    cx.std.reverse = !cx.std.reverse;
    let list = List {
        shape: Shape::BareIndex,
        place: &|job: &&Arc<Job>| Place::Index(modified(job), String::new()),
        value: &|job| value_of(&status(state, job)),
        fields: fields_of::<JobStatusesJob>(),
    };
    let (page, token) = list.page_of(&cx.std, rows, |a, b| order(b).cmp(&order(a)))?;
    let statuses: Vec<JobStatusesJob> = page.into_iter().map(|job| status(state, job)).collect();
    read.page(&statuses, token)
}

fn modified(job: &Job) -> u64 {
    job.modify_index.unwrap_or(0)
}

fn order(job: &Job) -> (Reverse<u64>, &str, &str) {
    (Reverse(modified(job)), job.namespace(), job.id())
}

fn status(state: &State, job: &Job) -> JobStatusesJob {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let key = job.key();
    let children = job.is_periodic() || job.is_parameterized();
    let current = |alloc: &&Arc<Allocation>| alloc.job_create_index == job.create_index.unwrap_or(0);
    JobStatusesJob {
        id: job.id().to_owned(),
        namespace: job.namespace().to_owned(),
        name: text(&job.name),
        type_: job.job_type().to_string(),
        node_pool: text(&job.node_pool),
        datacenters: job.datacenters.clone().unwrap_or_default(),
        priority: job.priority(),
        version: job.version(),
        submit_time: job.submit_time.unwrap_or(0),
        modify_index: job.modify_index.unwrap_or(0),
        allocs: state.allocs_by_job(&key).filter(current).map(|row| alloc(row)).collect(),
        group_count_sum: job.groups().iter().map(|g| g.count() as i64).sum(),
        child_statuses: if children { child_statuses(state, &key) } else { Vec::new() },
        parent_id: text(&job.parent_id),
        latest_deployment: state.latest_deployment(&key).map(|row| deployment(row)),
        stop: job.stopped(),
        is_pack: job.meta.as_ref().is_some_and(|m| m.contains_key("pack.name")),
        status: text(&job.status),
    }
}

fn child_statuses(state: &State, key: &NamespacedId) -> Vec<String> {
    state.job_children(key).map(|child| child.status.clone().unwrap_or_default()).collect()
}

fn alloc(row: &Allocation) -> JobStatusesAlloc {
    JobStatusesAlloc {
        id: row.id.to_string(),
        group: row.task_group.to_string(),
        client_status: row.client_status.to_string(),
        node_id: row.node_id.to_string(),
        deployment_status: JobStatusesDeployment {
            canary: row.deployment_status.is_some_and(|s| s.canary),
            healthy: row.deployment_status.and_then(|s| s.healthy),
        },
        job_version: row.job_version,
        followup_eval_id: row.followup_eval.map(|id| id.to_string()).unwrap_or_default(),
        has_paused_task: false,
    }
}

fn deployment(row: &Deployment) -> JobStatusesLatestDeployment {
    JobStatusesLatestDeployment {
        id: row.id.to_string(),
        is_active: row.active(),
        job_version: row.job_version,
        status: row.status.to_string(),
        status_description: row.status_description.to_string(),
        all_auto_promote: row.status == DeploymentStatus::Running
            && !row.groups.is_empty()
            && row.groups.values().all(|g| g.desired_canaries == 0 || g.auto_promote),
        requires_promotion: row.requires_promotion(),
    }
}
