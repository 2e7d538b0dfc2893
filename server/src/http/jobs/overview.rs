//! `GET /v1/jobs/overview`: the jobs as a page shows them, a page at a time, with the counts of all. Ours; the field has no such route.
//!
//! `page` and `per_page` say which; `q`, `status`, `type`, `namespaces`, `pool`, `dc`, `view` and `sort` are those of the page's own
//! address; `parent` gives the children of a job, which are left out otherwise.
//!
//! The lines are kept ([`crate::http::lines`]); whatever the page, no job is made JSON but those on it.

use tarpan_app::overview::{self, JobsPage, Line, PER_PAGE};
use tarpan_app::rows::JobRow;
use tarpan_model::NamespacedId;
use tarpan_state::{State, Table};

use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::lines::{current, line, runs};
use crate::http::reply::Outcome;
use crate::watch::Watch;

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
            children = state.job_children(&parent).map(|job| line(state, &job.key(), job)).collect();
            children.iter().collect()
        }
        None => {
            kept = cx.lines.of(state);
            kept.values().map(|line| &**line).filter(|line| cx.sees(&line.row.namespace)).collect()
        }
    };
    let narrowed = overview::narrow(&lines, &filter, number, per_page);
    let shown = narrowed.places.into_iter().map(|i| with_running(state, &lines[i].row)).collect();
    read.show(&JobsPage { rows: shown, ..narrowed.page })
}

/// A line with the allocations that run.
fn with_running(state: &State, row: &JobRow) -> JobRow {
    let key = NamespacedId::new(row.namespace.as_str(), row.id.as_str());
    let allocs = state.job(&key).map(|job| current(state, &key, job).filter(|a| runs(a)));
    JobRow { running: allocs.into_iter().flatten().map(|a| a.id.to_string()).collect(), ..row.clone() }
}
