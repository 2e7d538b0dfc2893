//! What can be done to a job that is there.

use std::sync::Arc;

use tarpan_model::alloc::DesiredTransition;
use tarpan_model::ids::{IdSource, NamespacedId};
use tarpan_model::{ClientStatus, EvalId, Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::DeregisterJob;
use tarpan_state::{Command, Guard, JobSubmission, State};

use super::admission::{self, Rules, registration_on};
use super::error::JobError;
use super::eval::{eval_of, eval_priority};
use super::register::written;

/// How a job is to be ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deregister {
    /// Forget it, too.
    pub purge: bool,
    pub no_shutdown_delay: bool,
    /// 0: the job's.
    pub eval_priority: i64,
}

/// Ends a job: the evaluation that stops what runs, where there is one, and the command. `None`: there is no such job.
pub fn deregister(
    state: &State,
    key: &NamespacedId,
    how: Deregister,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Option<(Option<EvalId>, Command)>, JobError> {
    let priority = eval_priority(how.eval_priority)?;
    let Some(job) = state.job(key) else { return Ok(None) };
    let eval = eval_of(job, priority, Trigger::JobDeregister, now, ids);
    let eval_id = eval.as_ref().map(|e| e.id);
    let (purge, no_shutdown_delay) = (how.purge, how.no_shutdown_delay);
    let command = Command::DeregisterJob(DeregisterJob { job: key.clone(), purge, eval, no_shutdown_delay, now });
    Ok(Some((eval_id, command.guarded(vec![Guard::job(state, key)]))))
}

/// A job that is looked at again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reevaluated {
    pub eval: EvalId,
    pub job_modify_index: u64,
    pub command: Command,
}

/// Looks at a job again; with `force_reschedule` what failed is replaced at once.
pub fn evaluate(
    state: &State,
    key: &NamespacedId,
    force_reschedule: bool,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Reevaluated, JobError> {
    let job = state.job(key).ok_or(JobError::NotFound)?;
    let refused = |kind: &str| Err(JobError::Refused(format!("can't evaluate {kind} job")));
    if job.is_periodic() {
        return refused("periodic");
    }
    if job.is_parameterized() {
        return refused("parameterized");
    }
    let job_modify_index = job.modify_index.unwrap_or(0);
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::JobRegister, now);
    let eval = Evaluation { job_modify_index, ..eval };
    let id = eval.id;
    let command = if force_reschedule {
        let forced = DesiredTransition { force_reschedule: Some(true), ..DesiredTransition::default() };
        let failed = state.allocs_by_job(key).filter(|a| a.client_status == ClientStatus::Failed && a.next.is_none());
        let allocs = failed.map(|a| (a.id, forced)).collect();
        Command::SetTransitions { allocs, evals: vec![eval], now }
    } else {
        Command::UpsertEvals { evals: vec![eval], now }
    };
    Ok(Reevaluated { eval: id, job_modify_index, command: command.guarded(vec![Guard::job(state, key)]) })
}

/// Which version is to be the newest again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revert {
    pub to: u64,
    /// Only while this is the newest.
    pub enforce_prior_version: Option<u64>,
    /// Who asks may do so while registration is switched off.
    pub manages: bool,
}

/// An earlier version becomes the newest.
pub fn revert(
    state: &State,
    rules: &Rules,
    key: &NamespacedId,
    asked: Revert,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, JobError> {
    let mut guards = registration_on(state, asked.manages)?;
    let current = state.job(key).ok_or(JobError::NotFound)?.version();
    if asked.to == current {
        return Err(JobError::Refused("can't revert to current version".to_owned()));
    }
    if let Some(enforced) = asked.enforce_prior_version.filter(|v| *v != current) {
        let text = format!("Current job has version {current}; enforcing version {enforced}");
        return Err(JobError::Refused(text));
    }
    let Some(old) = state.job_version(key, asked.to) else {
        let (id, namespace) = (key.id.as_str(), key.namespace.as_str());
        let text = format!("job {id:?} in namespace {namespace:?} at version {} not found", asked.to);
        return Err(JobError::Refused(text));
    };
    let job = Job { version_tag: None, stable: None, stop: Some(false), ..Job::clone(old) };
    let submission = state.job_submission(key, asked.to).map(|s: &Arc<JobSubmission>| JobSubmission::clone(s));
    let job = admission::admit(state, rules, job)?.job;
    let eval = eval_of(&job, None, Trigger::JobRegister, now, ids);
    let command = Command::RegisterJob(Box::new(written(job, submission, eval, now)));
    guards.push(Guard::job(state, key));
    Ok(command.guarded(guards))
}
