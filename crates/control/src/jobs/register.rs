//! Taking jobs in.

use tarpan_model::ids::IdSource;
use tarpan_model::{Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Guard, JobSubmission, State};

use super::admission::{self, Rules, registration_on};
use super::error::JobError;
use super::eval::{eval_of, eval_priority};

/// A job as somebody hands it in.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub job: Job,
    /// The text that it was written as.
    pub submission: Option<JobSubmission>,
    /// Only over this modify index of the job; 0: only where there is none.
    pub enforce_index: Option<u64>,
    pub preserve_counts: bool,
    /// Tasks of groups that go on keep the resources that they have.
    pub preserve_resources: bool,
    /// 0: the job's.
    pub eval_priority: i64,
    /// Who asks may do so while registration is switched off.
    pub manages: bool,
}

/// What makes it so, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub command: Command,
    pub warnings: Vec<String>,
}

/// Takes a job in, as a new one or as the newest version of the one with its id.
pub fn register(
    state: &State,
    rules: &Rules,
    asked: Registration,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Accepted, JobError> {
    let priority = eval_priority(asked.eval_priority)?;
    let mut guards = registration_on(state, asked.manages)?;
    let admission::Admitted { mut job, mut warnings } = admission::succeed(state, rules, asked.job)?;
    if job.dispatched == Some(true) && state.job(&job.key()).is_none() {
        return Err(JobError::Refused("job can't be submitted with 'Dispatched' set".to_owned()));
    }
    if let Some(old) = state.job(&job.key()).filter(|_| asked.preserve_resources) {
        preserve_resources(&mut job, old);
    }
    let submission = asked.submission.and_then(|s| kept(s, rules.max_source, &mut warnings));
    let eval = eval_of(&job, priority, Trigger::JobRegister, now, ids);
    guards.push(Guard::job(state, &job.key()));
    let command = RegisterJob {
        enforce_index: asked.enforce_index,
        preserve_counts: asked.preserve_counts,
        ..written(job, submission, eval, now)
    };
    Ok(Accepted { command: Command::RegisterJob(Box::new(command)).guarded(guards), warnings })
}

fn preserve_resources(job: &mut Job, old: &Job) {
    for group in job.task_groups.iter_mut().flatten() {
        let Some(before) = old.group(group.name()) else { continue };
        for task in group.tasks.iter_mut().flatten() {
            if let Some(before) = before.task(task.name()) {
                task.resources.clone_from(&before.resources);
            }
        }
    }
}

/// The job as it is written, now.
pub(super) fn written(
    mut job: Job,
    submission: Option<JobSubmission>,
    eval: Option<Evaluation>,
    now: UnixNanos,
) -> RegisterJob {
    job.submit_time = Some(now.0);
    RegisterJob { submission, ..RegisterJob::of(job, eval, now) }
}

/// The source that is kept; one that is larger than `most` bytes is not, and 0 keeps none.
fn kept(source: JobSubmission, most: u64, warnings: &mut Vec<String>) -> Option<JobSubmission> {
    let size = source.source.len() + source.variables.len();
    if size as u64 <= most {
        return Some(source);
    }
    if most > 0 {
        warnings.push(format!("job source size of {size} B exceeds maximum of {most} B and will be discarded"));
    }
    None
}
