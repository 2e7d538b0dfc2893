//! The history of a job: versions, their differences, tags and sources.

use std::sync::Arc;

use serde::Serialize;
use tarpan_api::wire::{JobSubmission, JobTagResponse, TagVersionRequest};
use tarpan_model::Job;
use tarpan_model::diff::{JobDiff, job_diff};
use tarpan_model::ids::NamespacedId;
use tarpan_model::job::StoredJob;
use tarpan_model::name;
use tarpan_state::{Command, Guard, State, Table};

use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::Outcome;
use crate::watch::Watch;

/// Longest description of a tag, in characters.
const MAX_DESCRIPTION: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions<'a> {
    versions: Vec<StoredJob<'a>>,
    diffs: Option<Vec<JobDiff>>,
    index: u64,
    last_contact: u64,
    known_leader: bool,
    next_token: &'static str,
}

/// `GET /v1/job/:id/versions`, newest first. With `diffs`, each against the one before it or against a base.
pub async fn versions(cx: Context) -> Outcome {
    let key = cx.job_key();
    let index = |state: &State| match state.job(&key) {
        Some(job) => job.modify_index.unwrap_or(0),
        None => state.table_index(Table::Jobs),
    };
    let read = cx.read(&[Watch::Job(key.clone())], index).await?;
    // The newest version is told by the job itself, whose status goes on changing.
    let newest = read.state.job(&key).map(|job| &**job);
    let told = |version| newest.filter(|job| job.version() == Job::version(version)).unwrap_or(version);
    let versions: Vec<&Job> = read.state.job_versions(&key).map(|v| told(&**v)).collect();
    if versions.is_empty() {
        return Err(read.missing("job versions not found"));
    }
    let base = base(&cx, &versions)?;
    let diffs = if cx.query.flag("diffs")? { diffs(&versions, base) } else { None };
    read.json(&Versions {
        versions: versions.iter().map(|job| job.stored()).collect(),
        diffs,
        index: read.index(),
        last_contact: 0,
        known_leader: read.meta.known_leader.unwrap_or(false),
        next_token: "",
    })
}

/// The version that all are compared with, where one was named.
fn base<'a>(cx: &Context, versions: &[&'a Job]) -> Result<Option<&'a Job>, ApiError> {
    if let Some(tag) = cx.query.get("diff_tag").filter(|t| !t.is_empty()) {
        let found = versions.iter().find(|v| tag_of(v) == Some(tag));
        return found.map(|v| Some(*v)).ok_or_else(|| ApiError::internal(format!("tag {tag:?} not found")));
    }
    if let Some(number) = cx.query.get("diff_version").filter(|v| !v.is_empty()) {
        let wanted: u64 = number.parse().map_err(|_| {
            ApiError::bad_request(format!("Failed to parse value of \"diff_version\" ({number}) as a uint64"))
        })?;
        let found = versions.iter().find(|v| v.version() == wanted);
        return found.map(|v| Some(*v)).ok_or_else(|| ApiError::internal(format!("version {wanted} not found")));
    }
    Ok(None)
}

fn tag_of(job: &Job) -> Option<&str> {
    job.version_tag.as_ref()?.name.as_deref()
}

/// `None` when there is nothing to compare.
fn diffs(versions: &[&Job], base: Option<&Job>) -> Option<Vec<JobDiff>> {
    let diffs: Vec<JobDiff> = match base {
        Some(base) => {
            let others = versions.iter().filter(|v| v.version() != base.version());
            others.map(|v| job_diff(Some(base), Some(v), true)).collect()
        }
        None => versions.windows(2).map(|pair| job_diff(Some(pair[1]), Some(pair[0]), true)).collect(),
    };
    (!diffs.is_empty()).then_some(diffs)
}

/// `GET /v1/job/:id/submission?version=N`. With `printed` (ours) a version that came without HCL has one that is written
/// from the job.
pub async fn submission(cx: Context) -> Outcome {
    let version: u64 = cx
        .query
        .get("version")
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| ApiError::bad_request("Unable to parse job submission version parameter"))?;
    let key = cx.job_key();
    let read = cx.read(&[Watch::Job(key.clone())], |s| s.table_index(Table::Jobs)).await?;
    let kept = read.state.job_submission(&key, version);
    if cx.query.flag("printed")? && kept.is_none_or(|s| s.source.is_empty() || s.format == "json") {
        let job = read.state.job_version(&key, version);
        return read.found(job.map(|job| printed(job)), "job source not found");
    }
    match kept {
        Some(kept) => read.json(&**kept),
        None => Err(read.missing("job source not found")),
    }
}

fn printed(job: &Job) -> JobSubmission {
    let source = tarpan_jobspec::print(job);
    JobSubmission { source, format: "hcl2".to_owned(), printed: true, ..JobSubmission::default() }
}

/// `PUT /v1/job/:id/versions/:name/tag`
pub async fn tag(cx: Context) -> Outcome {
    again!(tag_once(&cx))
}

async fn tag_once(cx: &Context) -> Outcome {
    let request: TagVersionRequest = cx.decode()?;
    let (key, name) = (cx.job_key(), cx.path.get("tag").to_owned());
    if request.description.chars().count() > MAX_DESCRIPTION {
        let text = format!("version tag description must be under {MAX_DESCRIPTION} characters");
        return Err(ApiError::internal(text));
    }
    name::address(&name, name::MAX_LABEL)
        .map_err(|wrong| ApiError::bad_request(format!("version tag {} {wrong}", name::quoted(&name))))?;
    let state = cx.server.state();
    let versions: Vec<&Arc<Job>> = state.job_versions(&key).collect();
    let newest = versions.first().ok_or_else(|| ApiError::not_found("job not found"))?;
    let version = if request.latest { newest.version() } else { request.version };
    if !versions.iter().any(|v| v.version() == version) {
        return Err(ApiError::not_found(format!("job version {version} not found")));
    }
    if versions.iter().any(|v| tag_of(v) == Some(&name) && v.version() != version) {
        let text = format!("tag {name:?} already exists on a different version of job {:?}", key.id.as_str());
        return Err(ApiError::internal(text));
    }
    let guard = Guard::job(&state, &key);
    apply(cx, key, version, &name, request.description, false, guard).await
}

/// `DELETE /v1/job/:id/versions/:name/tag`
pub async fn untag(cx: Context) -> Outcome {
    again!(untag_once(&cx))
}

async fn untag_once(cx: &Context) -> Outcome {
    let (key, name) = (cx.job_key(), cx.path.get("tag").to_owned());
    let state = cx.server.state();
    let tagged = state.job_versions(&key).find(|v| tag_of(v) == Some(&name));
    let Some(version) = tagged.map(|v| v.version()) else {
        let text = format!("tag {name:?} not found on job {:?}", key.id.as_str());
        return Err(ApiError::internal(text));
    };
    let guard = Guard::job(&state, &key);
    apply(cx, key, version, &name, String::new(), true, guard).await
}

async fn apply(
    cx: &Context,
    job: NamespacedId,
    version: u64,
    name: &str,
    description: String,
    remove: bool,
    guard: Guard,
) -> Outcome {
    let now = cx.now();
    let command =
        Command::TagJobVersion { job, version, name: name.to_owned(), description: description.clone(), now, remove };
    let (index, _) = cx.propose(command.guarded(vec![guard])).await?;
    let response = if remove {
        JobTagResponse { index, ..JobTagResponse::default() }
    } else {
        let name = name.to_owned();
        JobTagResponse { name, description, tagged_time: now.0, index, ..JobTagResponse::default() }
    };
    cx.written(index, &response)
}
