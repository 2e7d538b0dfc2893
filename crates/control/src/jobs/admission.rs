//! What a job goes through before it is taken in, the same for registration, dry runs, validation and the rest.

use tarpan_model::job::{Admission, Finding, finding};
use tarpan_model::{Job, name};
use tarpan_state::{Guard, State};

use super::error::JobError;
use crate::places;

/// What the configuration of the servers says of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub region: String,
    /// Allocations that one job may ask for; 0: no bound.
    pub max_count: u64,
    /// Bytes of source text kept with a version; 0: none is kept.
    pub max_source: u64,
}

/// Refused while an operator has switched registration off, but for whoever `manages` the cluster. Gives what has to hold still
/// where the change is applied.
pub fn registration_on(state: &State, manages: bool) -> Result<Vec<Guard>, JobError> {
    match state.scheduler_config().reject_job_registration {
        _ if manages => Ok(Vec::new()),
        true => Err(JobError::RegistrationOff),
        false => Ok(vec![Guard::RegistrationOn]),
    }
}

/// A job with all its defaults, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    pub job: Job,
    pub warnings: Vec<String>,
}

/// Fills the defaults and applies every rule. The findings are empty when the job can be taken in.
pub fn examine(state: &State, rules: &Rules, mut job: Job) -> (Admitted, Vec<Finding>) {
    job.admit(&Admission { region: rules.region.clone(), ..Admission::default() });
    let left_out = keep_what_servers_write(state, &mut job);
    let mut findings = job.validate();
    findings.extend(unknown_places(state, &job));
    findings.extend(too_many(&job, rules.max_count));
    let mut warnings = job.warnings();
    warnings.extend(left_out);
    if !state.scheduler_config().memory_oversubscription {
        warnings.extend(job.memory_warnings());
    }
    (Admitted { job, warnings }, findings)
}

/// [`examine`], refused with all findings when there are any.
pub fn admit(state: &State, rules: &Rules, job: Job) -> Result<Admitted, JobError> {
    let (admitted, findings) = examine(state, rules, job);
    if findings.is_empty() { Ok(admitted) } else { Err(JobError::Refused(finding::text(&findings))) }
}

/// [`admit`] for a job that takes the place of the one with its id, where there is one.
pub fn succeed(state: &State, rules: &Rules, job: Job) -> Result<Admitted, JobError> {
    let admitted = admit(state, rules, job)?;
    if let Some(old) = state.job(&admitted.job.key()) {
        immutable(old, &admitted.job)?;
    }
    Ok(admitted)
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
        let given = name::quoted(&given);
        format!("ParentID {given} was left out: only dispatches and periodic launches make children of a job")
    })
}

fn top(message: String, path: &str) -> Finding {
    Finding { path: path.to_owned(), context: Vec::new(), message }
}

/// The namespace and the node pool have to be there.
fn unknown_places(state: &State, job: &Job) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !places::namespace_exists(state, job.namespace()) {
        let message = format!("job {:?} is in nonexistent namespace {:?}", job.id(), job.namespace());
        findings.push(top(message, "Namespace"));
    }
    let pool = job.node_pool.as_deref().unwrap_or("default");
    if !places::node_pool_exists(state, pool) {
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

/// Why `job` can't take the place of `old`; texts are the field's.
fn immutable(old: &Job, job: &Job) -> Result<(), JobError> {
    let refuse = |text: String| Err(JobError::Refused(text));
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
