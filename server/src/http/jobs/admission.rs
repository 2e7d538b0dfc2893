//! What a job goes through before it is taken in, the same for registration, dry runs, validation and the rest.

use tarpan_model::Job;
use tarpan_model::job::{Admission, Finding, finding};
use tarpan_state::State;

use crate::http::context::Context;
use crate::http::error::ApiError;

/// A job with all its defaults, and what its author should know.
pub struct Admitted {
    pub job: Job,
    pub warnings: Vec<String>,
}

/// Settles the namespace and region of a job that came with a request, and whether there is one at all.
///
/// A namespace of the query goes before the job's own.
pub fn address(cx: &Context, job: Option<Job>) -> Result<Job, ApiError> {
    let mut job = job.ok_or_else(|| ApiError::bad_request("Job must be specified"))?;
    if job.id().is_empty() {
        return Err(ApiError::bad_request("Job ID hasn't been provided"));
    }
    let own = job.namespace.clone().filter(|ns| !ns.is_empty());
    let asked = cx.query.get("namespace").filter(|ns| !ns.is_empty() && *ns != "*").map(str::to_owned);
    job.namespace = Some(asked.or(own).unwrap_or_else(|| "default".to_owned()));
    cx.object(job.namespace())?;
    let region = job.region.as_deref().unwrap_or_default();
    if !matches!(region, "" | "global") && region != cx.server.options().region {
        return Err(ApiError::internal("No path to region"));
    }
    Ok(job)
}

/// Fills the defaults and applies every rule. The findings are empty when the job can be taken in.
pub fn examine(cx: &Context, state: &State, mut job: Job) -> (Admitted, Vec<Finding>) {
    job.admit(&Admission { region: cx.server.options().region.clone(), ..Admission::default() });
    let left_out = keep_what_servers_write(state, &mut job);
    let mut findings = job.validate();
    findings.extend(unknown_places(state, &job));
    findings.extend(too_many(&job, cx.server.options().job_max_count));
    let mut warnings = job.warnings();
    warnings.extend(left_out);
    (Admitted { job, warnings }, findings)
}

/// Whose child a job is, is written when it is dispatched or launched by its time: a registration keeps what is there. Else
/// anybody's job could hide among the children of another, hold up its launches, or move the time of its next one. Reading a
/// child and registering it again works on, here or in another cluster. Gives a sentence about what was left out.
fn keep_what_servers_write(state: &State, job: &mut Job) -> Option<String> {
    let kept = state.job(&job.key()).and_then(|old| old.parent_id.clone()).unwrap_or_default();
    let given = job.parent_id.replace(kept.clone()).unwrap_or_default();
    // Versions count up from what was given; no count of ours gets there.
    job.version = job.version.filter(|version| *version <= u64::from(u32::MAX)).or(Some(0));
    (!given.is_empty() && given != kept).then(|| {
        let given = tarpan_model::name::quoted(&given);
        format!("ParentID {given} was left out: only dispatches and periodic launches make children of a job")
    })
}

/// [`examine`], and 500 with all findings when there are any.
pub fn admit(cx: &Context, state: &State, job: Job) -> Result<Admitted, ApiError> {
    let (admitted, findings) = examine(cx, state, job);
    if findings.is_empty() { Ok(admitted) } else { Err(ApiError::internal(finding::text(&findings))) }
}

fn top(message: String, path: &str) -> Finding {
    Finding { path: path.to_owned(), context: Vec::new(), message }
}

/// The namespace and the node pool have to be there.
fn unknown_places(state: &State, job: &Job) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !crate::http::namespaces::exists(state, job.namespace()) {
        let message = format!("job {:?} is in nonexistent namespace {:?}", job.id(), job.namespace());
        findings.push(top(message, "Namespace"));
    }
    let pool = job.node_pool.as_deref().unwrap_or("default");
    if !crate::http::nodes::pool_exists(state, pool) {
        let message = format!("job {:?} is in nonexistent node pool {pool:?}", job.id());
        findings.push(top(message, "NodePool"));
    }
    findings
}

/// `most` 0: no bound.
pub fn too_many(job: &Job, most: u64) -> Option<Finding> {
    let total = job.groups().iter().fold(0_u64, |total, group| total.saturating_add(group.count()));
    let message = format!("total count was greater than configured job_max_count: {total} > {most}");
    (most > 0 && total > most).then(|| top(message, "TaskGroups"))
}

/// The warnings as one text, the way the field writes several; empty without any.
pub fn warnings_text(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let plural = if warnings.len() == 1 { "" } else { "s" };
    let points: String = warnings.iter().map(|w| format!("\n* {}", w.trim())).collect();
    format!("{} warning{plural}:\n{points}", warnings.len())
}

/// Why `job` can't take the place of `old`; texts are the field's.
pub fn immutable(old: &Job, job: &Job) -> Result<(), ApiError> {
    let refuse = |text: String| Err(ApiError::internal(text));
    if old.job_type() != job.job_type() {
        return refuse(format!(
            "cannot update job from type {:?} to {:?}",
            old.job_type().as_str(),
            job.job_type().as_str()
        ));
    }
    match (old.is_periodic(), job.is_periodic()) {
        (true, false) => return refuse("cannot update periodic job to being non-periodic".to_owned()),
        (false, true) => return refuse("cannot update non-periodic job to being periodic".to_owned()),
        _ => {}
    }
    match (old.is_parameterized(), job.is_parameterized()) {
        (true, false) => refuse("cannot update parameterized job to being non-parameterized".to_owned()),
        (false, true) => refuse("cannot update non-parameterized job to being parameterized".to_owned()),
        // Whoever reads a job and registers it again writes out what was never said.
        _ if (old.dispatched == Some(true)) != (job.dispatched == Some(true)) => {
            refuse("field 'Dispatched' is read-only".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings() {
        assert_eq!(warnings_text(&[]), "");
        assert_eq!(warnings_text(&["a".to_owned()]), "1 warning:\n\n* a");
        assert_eq!(warnings_text(&["a".to_owned(), "b".to_owned()]), "2 warnings:\n\n* a\n* b");
    }
}
