//! Changing the count of a group, or only noting something about it.

use std::sync::Arc;

use tarpan_model::ids::{IdSource, NamespacedId};
use tarpan_model::schema::Free;
use tarpan_model::{Job, JobType, ScalingEvent, TaskGroup, Trigger, UnixNanos};
use tarpan_state::command::{RegisterJob, ScaleJob};
use tarpan_state::{Command, Guard, JobSubmission, State};

use super::admission::registration_on;
use super::error::JobError;
use super::eval::eval_of;
use super::register::written;

/// What is asked of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scale {
    pub group: String,
    /// `None`: only a note.
    pub count: Option<i64>,
    /// Only over this modify index of the job.
    pub check_index: Option<u64>,
    /// Who asks may do so while registration is switched off.
    pub manages: bool,
    pub message: String,
    /// It is about something that failed.
    pub error: bool,
    pub meta: Option<Free>,
}

/// Gives a group of a job another count, within its policy and not while the job is rolled out. What was asked is kept, and a
/// note is nothing but that.
pub fn scale(
    state: &State,
    key: &NamespacedId,
    asked: &Scale,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, JobError> {
    let mut guards = registration_on(state, asked.manages)?;
    let old = state.job(key).ok_or_else(|| JobError::NoSuchJob(key.id.to_string()))?;
    let name = &asked.group;
    let Some(position) = old.groups().iter().position(|g| g.name() == name) else {
        return Err(JobError::Asked(format!("task group {name:?} specified for scaling does not exist in job")));
    };
    let group = &old.groups()[position];
    let event = ScalingEvent {
        time: now,
        count: asked.count,
        previous_count: i64::try_from(group.count()).unwrap_or(i64::MAX),
        message: asked.message.clone(),
        error: asked.error,
        meta: asked.meta.clone(),
        ..ScalingEvent::default()
    };
    guards.push(Guard::job(state, key));
    let mut scaling = ScaleJob { job: key.clone(), group: Arc::from(group.name()), register: None, event };
    let Some(count) = asked.count else {
        return Ok(Command::ScaleJob(Box::new(scaling)).guarded(guards));
    };
    check_count(old, group, count)?;
    let rollout = state.latest_deployment(key).filter(|d| d.active() && Some(d.job_create_index) == old.create_index);
    if rollout.is_some() {
        return Err(JobError::Asked("job scaling blocked due to active deployment".to_owned()));
    }
    let mut job = Job::clone(old);
    if let Some(group) = job.task_groups.as_mut().and_then(|groups| groups.get_mut(position)) {
        group.count = Some(count);
    }
    let submission = state.job_submission(key, old.version()).map(|s| JobSubmission::clone(s));
    let eval = eval_of(&job, None, Trigger::JobScaling, now, ids);
    scaling.event.eval_id = eval.as_ref().map(|eval| eval.id);
    let register = RegisterJob { enforce_index: asked.check_index, ..written(job, submission, eval, now) };
    scaling.register = Some(register);
    guards.push(Guard::NoRollout { job: key.clone() });
    Ok(Command::ScaleJob(Box::new(scaling)).guarded(guards))
}

/// A group's policy bounds its count; what runs once a node can only be there or not.
fn check_count(job: &Job, group: &TaskGroup, count: i64) -> Result<(), JobError> {
    let refuse = |text: String| Err(JobError::Asked(text));
    if count < 0 {
        return refuse("scaling action count can't be negative".to_owned());
    }
    if matches!(job.job_type(), JobType::System | JobType::SysBatch) && count > 1 {
        return refuse("jobs of type system and sysbatch can only be scaled between 0 and 1".to_owned());
    }
    let Some(policy) = &group.scaling else { return Ok(()) };
    if let Some(max) = policy.max.filter(|max| count > *max) {
        return refuse(format!("group count was greater than scaling policy maximum: {count} > {max}"));
    }
    if let Some(min) = policy.min.filter(|min| count < *min) {
        return refuse(format!("group count was less than scaling policy minimum: {count} < {min}"));
    }
    Ok(())
}
