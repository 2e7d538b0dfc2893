//! `GET /v1/jobs/overview`: the jobs as a page shows them, a page at a time, with the counts of all. Ours; the field has no such route.
//!
//! `page` and `per_page` say which; `q`, `status`, `type`, `namespaces`, `pool`, `dc`, `view` and `sort` are those of the page's own
//! address; `parent` gives the children of a job, which are left out otherwise.
//!
//! The lines are kept ([`super::lines`]); whatever the page, no job is made JSON but those on it.

use std::sync::Arc;

use tarpan_app::overview::{self, JobsPage, Line, PER_PAGE};
use tarpan_app::rows::{Counts, JobRow};
use tarpan_model::ids::NamespacedId;
use tarpan_model::{Allocation, ClientStatus, Job};
use tarpan_state::tables::JobSummary;
use tarpan_state::{State, Table};

use crate::Watch;
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::reply::Outcome;

const TABLES: [Table; 3] = [Table::Jobs, Table::JobSummaries, Table::Deployments];

/// Lines that are given at once, at most.
const MOST: usize = 1_000;

pub async fn get(cx: Context) -> Outcome {
    let number = match cx.query.get("page").filter(|v| !v.is_empty()) {
        None => 1,
        Some(text) => text.parse().map_err(|_| ApiError::bad_request("Expect a number for `page`"))?,
    };
    let per_page = if cx.std.per_page == 0 { PER_PAGE } else { cx.std.per_page.min(MOST) };
    let query = tarpan_app::paths::Query::parse(cx.parts.uri.query().unwrap_or_default());
    let filter = overview::filter_of(&query);
    let index = |s: &State| TABLES.into_iter().map(|t| s.table_index(t)).max().unwrap_or(0);
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let state = &read.state;
    let (children, kept): (Vec<Line>, _);
    let lines: Vec<&Line> = match cx.query.get("parent").filter(|id| !id.is_empty()) {
        Some(parent) => {
            let parent = NamespacedId::new(cx.std.namespace.as_str(), parent);
            children = state.job_children(&parent).map(|job| Line::of(row(state, &job.key(), job))).collect();
            children.iter().collect()
        }
        None => {
            kept = cx.lines.of(state);
            kept.values().map(|line| &**line).filter(|line| cx.sees(&line.row.namespace)).collect()
        }
    };
    let narrowed = overview::narrow(&lines, &filter, number, per_page);
    let shown = narrowed.places.into_iter().map(|i| with_running(state, &lines[i].row)).collect();
    read.json(&JobsPage { rows: shown, ..narrowed.page })
}

/// The line of a job that is no child of another.
pub fn line_of(state: &State, key: &NamespacedId, job: &Job) -> Option<Line> {
    (!is_child(job)).then(|| Line::of(row(state, key, job)))
}

/// A line with the allocations that run.
fn with_running(state: &State, row: &JobRow) -> JobRow {
    let key = NamespacedId::new(row.namespace.as_str(), row.id.as_str());
    let allocs = state.job(&key).map(|job| current(state, &key, job).filter(|a| runs(a)));
    JobRow { running: allocs.into_iter().flatten().map(|a| a.id.to_string()).collect(), ..row.clone() }
}

pub fn is_child(job: &Job) -> bool {
    job.parent_id.as_deref().is_some_and(|parent| !parent.is_empty())
}

fn runs(alloc: &Allocation) -> bool {
    alloc.client_status == ClientStatus::Running
}

/// The allocations of this incarnation of the job.
fn current<'a>(state: &'a State, key: &'a NamespacedId, job: &Job) -> impl Iterator<Item = &'a Arc<Allocation>> {
    let incarnation = job.create_index.unwrap_or(0);
    state.allocs_by_job(key).filter(move |alloc| alloc.job_create_index == incarnation)
}

/// A job's line, without the allocations that run.
fn row(state: &State, key: &NamespacedId, job: &Job) -> JobRow {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let summary = state.job_summary(key);
    let deployment = state.latest_deployment(key).filter(|d| d.active());
    let canaries = deployment.map_or((0, 0), |_| {
        let canaries = current(state, key, job).filter(|a| runs(a)).filter_map(|a| a.deployment_status);
        let canaries = canaries.filter(|status| status.canary);
        canaries.fold((0, 0), |(n, healthy), s| (n + 1, healthy + u64::from(s.healthy == Some(true))))
    });
    let parent = job.is_periodic() || job.is_parameterized();
    JobRow {
        id: job.id().to_owned(),
        name: Some(text(&job.name)).filter(|name| !name.is_empty()).unwrap_or_else(|| job.id().to_owned()),
        namespace: job.namespace().to_owned(),
        parent: text(&job.parent_id),
        kind: kind(job),
        node_pool: text(&job.node_pool),
        datacenters: job.datacenters.clone().unwrap_or_default(),
        priority: job.priority(),
        status: text(&job.status),
        stop: job.stopped(),
        version: Some(job.version()),
        submitted: job.submit_time.unwrap_or(0),
        changed_index: job.modify_index.unwrap_or(0),
        counts: summary.map(|s| counts(s)).unwrap_or_default(),
        children: summary.filter(|_| parent).map(|s| {
            let children = s.children.unwrap_or_default();
            [children.pending, children.running, children.dead]
        }),
        wanted: job.groups().iter().fold(0, |total: u64, group| total.saturating_add(group.count())),
        canaries,
        deploying: deployment.is_some(),
        needs_promotion: deployment.is_some_and(|d| d.requires_promotion()),
        running: Vec::new(),
    }
}

fn kind(job: &Job) -> String {
    if job.is_periodic() {
        "periodic".to_owned()
    } else if job.is_parameterized() {
        "parameterized".to_owned()
    } else {
        job.job_type().to_string()
    }
}

fn counts(summary: &JobSummary) -> Counts {
    summary.groups.values().fold(Counts::default(), |sum, group| Counts {
        queued: sum.queued + group.queued,
        starting: sum.starting + group.starting,
        running: sum.running + group.running,
        complete: sum.complete + group.complete,
        failed: sum.failed + group.failed,
        lost: sum.lost + group.lost,
        unknown: sum.unknown + group.unknown,
    })
}
