//! Lists of jobs.

use std::ops::Bound;
use std::sync::Arc;

use tarpan_api::convert::{SummaryRow, job_stub};
use tarpan_api::wire::{JobChildrenSummary, TaskGroupSummary};
use tarpan_model::schema::StaticBlock;
use tarpan_model::{Job, NamespacedId};
use tarpan_state::{ChildrenSummary, GroupSummary, State, Table};

use crate::http::caller::LIST_JOBS;
use crate::http::context::Context;
use crate::http::page::{self, List, Place, Shape, value_of};
use crate::http::params::Standard;
use crate::http::reply::Outcome;
use crate::watch::Watch;

pub(super) fn index(state: &State) -> u64 {
    state.table_index(Table::Jobs).max(state.table_index(Table::JobSummaries))
}

pub(super) fn watches() -> [Watch; 2] {
    [Watch::Table(Table::Jobs), Watch::Table(Table::JobSummaries)]
}

/// `GET /v1/jobs`: by namespace and id, each with its summary.
pub async fn list(cx: Context) -> Outcome {
    list_of(cx, |_| true).await
}

/// The list of the jobs that are `wanted`.
pub async fn list_of(cx: Context, wanted: impl Fn(&Job) -> bool) -> Outcome {
    let meta = cx.query.flag("meta")?;
    let read = cx.read(&watches(), index).await?;
    let state = read.state.clone();
    let (page, token) = page_of(&cx, &state, wanted)?;
    let stubs: Vec<_> = page.iter().map(|job| job_stub(job, summary(&state, job), meta)).collect();
    read.page(&stubs, token)
}

/// Jobs of the page that are `wanted`.
fn page_of<'s>(
    cx: &Context,
    state: &'s State,
    wanted: impl Fn(&Job) -> bool,
) -> Result<(Vec<&'s Arc<Job>>, Option<String>), crate::http::error::ApiError> {
    let std = &cx.std;
    let listed = |job: &Job| cx.sees_as(LIST_JOBS, job.namespace()) && job.id().starts_with(std.prefix.as_str());
    let seen = |job: &&Arc<Job>| listed(job) && wanted(job);
    let (from, to) = bounds(std);
    let rows = state.jobs_within(from, to).filter(seen);
    let fields: Vec<&str> = Job::SCHEMA.fields.iter().map(|f| f.json).collect();
    let list = List {
        shape: Shape::Namespaced,
        place: &|job: &&Arc<Job>| Place::Name(job.namespace().to_owned(), job.id().to_owned()),
        value: &|job| value_of(&***job),
        fields: &fields,
    };
    if std.reverse { list.page(std, rows.rev()) } else { list.page(std, rows) }
}

/// Between which keys the jobs of a page lie: no others are looked at.
fn bounds(std: &Standard) -> (Bound<NamespacedId>, Bound<NamespacedId>) {
    let (mut from, mut to) = match std.namespace.as_str() {
        "*" => (Bound::Unbounded, Bound::Unbounded),
        here => {
            let last = format!("{}{}", std.prefix, char::MAX);
            (
                Bound::Included(NamespacedId::new(here, std.prefix.as_str())),
                Bound::Included(NamespacedId::new(here, last.as_str())),
            )
        }
    };
    if let Some((namespace, id)) = page::begin_name(std) {
        let at = Bound::Included(NamespacedId::new(namespace.as_str(), id.as_str()));
        *if std.reverse { &mut to } else { &mut from } = at;
    }
    (from, to)
}

/// A job's summary in its wire form; `None` when it has none.
pub fn summary<'a>(state: &'a State, job: &'a Job) -> Option<SummaryRow<'a>> {
    let row = state.job_summary(&job.key())?;
    let group = |(name, counts): (&'a Arc<str>, &GroupSummary)| {
        let GroupSummary { queued, complete, failed, running, starting, lost, unknown } = *counts;
        (&**name, TaskGroupSummary { queued, complete, failed, running, starting, lost, unknown })
    };
    let ChildrenSummary { pending, running, dead } = row.children.unwrap_or_default();
    Some(SummaryRow {
        job_id: job.id(),
        namespace: job.namespace(),
        summary: row.groups.iter().map(group).collect(),
        children: JobChildrenSummary { pending, running, dead },
        create_index: row.create_index,
        modify_index: row.modify_index,
    })
}
