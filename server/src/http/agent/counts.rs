//! How many there are of what: for the frame around the pages, and for the page of a job that has more than are read for it.
//! Ours; the field has no such route.

use tarpan_api::wire::{ClusterCounts, JobCounts};
use tarpan_model::NamespacedId;
use tarpan_state::{State, Table};

use crate::http::context::Context;
use crate::http::lines::is_child;
use crate::http::reply::Outcome;
use crate::watch::Watch;

const TABLES: [Table; 2] = [Table::Jobs, Table::Nodes];

/// `GET /v1/status/counts?job=ID`: what belongs to the job in the request's namespace, in this incarnation of it.
async fn of_job(cx: Context, id: String) -> Outcome {
    let key = NamespacedId::new(cx.std.namespace.as_str(), id.as_str());
    let read = cx.read(&[], |s| s.index()).await?;
    let state = &read.state;
    let Some(job) = state.job(&key) else { return Err(read.missing("job not found")) };
    let mine = |created: u64| job.create_index == Some(created);
    read.json(&JobCounts {
        allocations: state.allocs_by_job(&key).filter(|row| mine(row.job_create_index)).count() as u64,
        evaluations: state.evals_by_job(&key).count() as u64,
        deployments: state.deployments_by_job(&key).filter(|row| mine(row.job_create_index)).count() as u64,
    })
}

/// `GET /v1/status/counts`: jobs of the namespace without those that are children of another, and nodes.
pub async fn counts(cx: Context) -> Outcome {
    if let Some(id) = cx.query.get("job").map(str::to_owned) {
        return of_job(cx, id).await;
    }
    let index = |s: &State| TABLES.into_iter().map(|t| s.table_index(t)).max().unwrap_or(0);
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let jobs = match cx.sees_all() {
        true => read.state.count_top_jobs(),
        false => read.state.jobs().filter(|(_, job)| cx.sees(job.namespace()) && !is_child(job)).count(),
    };
    // The frame shows it, and reads nothing else.
    let trouble = cx.server.trouble().unwrap_or_default();
    let region = cx.server.options().region.clone();
    read.json(&ClusterCounts { jobs: jobs as u64, nodes: read.state.counts().nodes as u64, trouble, region })
}
