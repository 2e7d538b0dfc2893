//! Questions about one job.

use serde_json::json;
use tarpan_api::convert;
use tarpan_api::convert::StubOptions;
use tarpan_model::ids::NamespacedId;
use tarpan_model::{EvalStatus, Job};
use tarpan_state::{State, Table};

use super::list;
use crate::http::context::Context;
use crate::http::reply::Outcome;
use crate::watch::Watch;

/// The job's own index, or that of the table when there is no such job.
fn job_index(state: &State, key: &NamespacedId) -> u64 {
    state.job(key).and_then(|job| job.modify_index).unwrap_or_else(|| state.table_index(Table::Jobs))
}

/// `GET /v1/job/:id`
pub async fn job(cx: Context) -> Outcome {
    let key = cx.job_key();
    let read = cx.read(&[Watch::Job(key.clone())], |state| job_index(state, &key)).await?;
    read.found(read.state.job(&key).map(|job| job.stored()), "job not found")
}

/// At most `most` rows: what still goes on before what is over, then the newest. Ours, where `per_page` asks for it; 0: all.
fn newest<T>(rows: &mut Vec<T>, most: usize, rank: impl Fn(&T) -> (bool, u64)) {
    if most > 0 && rows.len() > most {
        rows.sort_by_key(|row| std::cmp::Reverse(rank(row)));
        rows.truncate(most);
    }
}

/// `GET /v1/job/:id/allocations`: those of this incarnation of the job, of all with `all`. Oldest first.
pub async fn allocations(cx: Context) -> Outcome {
    let key = cx.job_key();
    let all = cx.query.flag("all")?;
    let read = cx.read(&[Watch::AllocsOfJob(key.clone())], |s| s.table_index(Table::Allocs)).await?;
    let incarnation = read.state.job(&key).and_then(|job| job.create_index);
    let mut rows: Vec<_> = read
        .state
        .allocs_by_job(&key)
        .filter(|row| all || incarnation.is_none_or(|index| row.job_create_index == index))
        .collect();
    newest(&mut rows, cx.std.per_page, |row| (!row.terminal(), row.create_index));
    rows.sort_by_key(|row| (row.create_index, row.id));
    let stubs: Vec<_> = rows.into_iter().map(|row| convert::alloc_stub(row, StubOptions::default())).collect();
    read.show(&stubs[..])
}

/// `GET /v1/job/:id/evaluations`, newest first.
pub async fn evaluations(cx: Context) -> Outcome {
    let key = cx.job_key();
    let read = cx.read(&[Watch::EvalsOfJob(key.clone())], |s| s.table_index(Table::Evals)).await?;
    let mut rows: Vec<_> = read.state.evals_by_job(&key).collect();
    newest(&mut rows, cx.std.per_page, |row| (row.status == EvalStatus::Blocked, row.create_index));
    rows.sort_by_key(|row| std::cmp::Reverse((row.create_index, row.id)));
    let evals: Vec<_> = rows.into_iter().map(|row| convert::evaluation(row)).collect();
    read.show(&evals[..])
}

/// `GET /v1/job/:id/deployments`, newest first.
pub async fn deployments(cx: Context) -> Outcome {
    let key = cx.job_key();
    let all = cx.query.flag("all")?;
    let read = cx.read(&[Watch::DeploymentsOfJob(key.clone())], |s| s.table_index(Table::Deployments)).await?;
    let incarnation = read.state.job(&key).and_then(|job| job.create_index);
    let mut rows: Vec<_> = read
        .state
        .deployments_by_job(&key)
        .filter(|row| all || incarnation.is_none_or(|index| row.job_create_index == index))
        .collect();
    newest(&mut rows, cx.std.per_page, |row| (row.active(), row.create_index));
    rows.sort_by_key(|row| std::cmp::Reverse(row.create_index));
    let deployments: Vec<_> = rows.into_iter().map(|row| convert::deployment(row)).collect();
    read.show(&deployments[..])
}

/// `GET /v1/job/:id/deployment`: the newest, `null` when there was never one.
pub async fn latest_deployment(cx: Context) -> Outcome {
    let key = cx.job_key();
    let read = cx.read(&[Watch::DeploymentsOfJob(key.clone())], |s| s.table_index(Table::Deployments)).await?;
    let incarnation = read.state.job(&key).and_then(|job| job.create_index);
    let latest = read.state.latest_deployment(&key).filter(|row| incarnation == Some(row.job_create_index));
    read.json(&latest.map(|row| convert::deployment(row)))
}

/// `GET /v1/job/:id/summary`
pub async fn summary(cx: Context) -> Outcome {
    let key = cx.job_key();
    let index = |state: &State| match state.job_summary(&key) {
        Some(row) => row.modify_index,
        None => state.table_index(Table::JobSummaries),
    };
    let watch = [Watch::Table(Table::JobSummaries), Watch::Job(key.clone())];
    let read = cx.read(&watch, index).await?;
    let summary = read.state.job(&key).and_then(|job| list::summary(&read.state, job));
    read.found(summary, "job not found")
}

/// `GET /v1/job/:id/services`
pub async fn services(cx: Context) -> Outcome {
    let key = cx.job_key();
    let read = cx.read(&[Watch::Table(Table::Services)], |s| s.table_index(Table::Services)).await?;
    if read.state.job(&key).is_none() {
        return Err(read.missing("job not found"));
    }
    let of_job = |row: &&std::sync::Arc<_>| {
        let row: &tarpan_model::service::ServiceRegistration = row;
        row.namespace == key.namespace && row.job_id == key.id
    };
    let rows: Vec<_> = read.state.services().filter(of_job).map(|row| &**row).collect();
    read.show(&rows[..])
}

/// `GET /v1/job/:id/actions`: what the job's tasks offer to run.
pub async fn actions(cx: Context) -> Outcome {
    let key = cx.job_key();
    let mut read = cx.read(&[Watch::Job(key.clone())], |state| job_index(state, &key)).await?;
    let Some(job) = read.state.job(&key).cloned() else { return Err(read.missing("job not found")) };
    read.meta.known_leader = Some(false);
    read.json(&actions_of(&job))
}

fn actions_of(job: &Job) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for group in job.groups() {
        for task in group.tasks() {
            for action in task.actions.iter().flatten() {
                found.push(json!({
                    "Name": action.name, "Command": action.command, "Args": action.args,
                    "TaskName": task.name(), "TaskGroupName": group.name(),
                }));
            }
        }
    }
    found
}
