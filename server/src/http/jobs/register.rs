//! Taking jobs in.

use tarpan_api::wire::{JobRegisterRequest, JobRegisterResponse, JobSubmission};
use tarpan_model::{EvalId, Evaluation, Job, Trigger};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Guard, Reply};

use super::admission::{self, warnings_text};
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::Outcome;

pub const REGISTRATION_OFF: &str = "Job registration, dispatch, and scale are disabled by the scheduler configuration";

/// `PUT /v1/jobs`
pub async fn register(cx: Context) -> Outcome {
    let request = cx.decode()?;
    take_in(cx, request).await
}

/// `PUT /v1/job/:id`
pub async fn register_named(cx: Context) -> Outcome {
    let request: JobRegisterRequest = cx.decode()?;
    if request.job.as_ref().is_some_and(|job| job.id() != cx.path.get("job")) {
        return Err(ApiError::bad_request("Job ID does not match name"));
    }
    take_in(cx, request).await
}

async fn take_in(cx: Context, request: JobRegisterRequest) -> Outcome {
    again!(take_in_once(&cx, request.clone()))
}

async fn take_in_once(cx: &Context, request: JobRegisterRequest) -> Outcome {
    let job = admission::address(cx, request.job)?;
    let priority = request.eval_priority;
    if priority != 0 && !(1..=100).contains(&priority) {
        return Err(ApiError::bad_request("Eval priority must be between 1 and 100 inclusively"));
    }
    refuse_when_off(cx)?;
    let state = cx.server.state();
    let admitted = admission::admit(cx, &state, job)?;
    if admitted.job.dispatched == Some(true) && state.job(&admitted.job.key()).is_none() {
        return Err(ApiError::internal("job can't be submitted with 'Dispatched' set"));
    }
    if let Some(old) = state.job(&admitted.job.key()) {
        admission::immutable(old, &admitted.job)?;
    }
    let mut warnings = admitted.warnings;
    let submission = request.submission.and_then(|s| kept(s, cx.server.options().job_max_source_size, &mut warnings));
    let options = Options {
        enforce_index: request.enforce_index.then_some(request.job_modify_index),
        preserve_counts: request.preserve_counts,
        eval_priority: (priority != 0).then_some(priority),
        trigger: Trigger::JobRegister,
        guards: vec![Guard::RegistrationOn, Guard::job(&state, &admitted.job.key())],
    };
    let mut response = commit(cx, admitted.job, submission, options).await?;
    response.warnings = warnings_text(&warnings);
    cx.written(response.index, &response)
}

/// 403 while an operator has switched registration off.
pub fn refuse_when_off(cx: &Context) -> Result<(), ApiError> {
    let off = cx.server.state().scheduler_config().reject_job_registration;
    if off { Err(ApiError::forbidden(REGISTRATION_OFF)) } else { Ok(()) }
}

/// How a job is to be committed.
pub struct Options {
    pub enforce_index: Option<u64>,
    pub preserve_counts: bool,
    /// `None`: the job's.
    pub eval_priority: Option<i64>,
    pub trigger: Trigger,
    /// What was looked at to decide that it may be.
    pub guards: Vec<Guard>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            enforce_index: None,
            preserve_counts: false,
            eval_priority: None,
            trigger: Trigger::JobRegister,
            guards: Vec::new(),
        }
    }
}

/// Proposes the job with its evaluation; periodic and parameterized jobs get none.
pub async fn commit(
    cx: &Context,
    mut job: Job,
    submission: Option<tarpan_state::JobSubmission>,
    options: Options,
) -> Result<JobRegisterResponse, ApiError> {
    let now = cx.now();
    job.submit_time = Some(now.0);
    let eval = (!job.is_periodic() && !job.is_parameterized()).then(|| {
        let priority = options.eval_priority.unwrap_or(job.priority());
        let id = EvalId(cx.server.new_id());
        Evaluation::new(id, &job.key(), job.job_type(), priority, options.trigger, now)
    });
    let command = Command::RegisterJob(Box::new(RegisterJob {
        job,
        eval,
        submission,
        enforce_index: options.enforce_index,
        preserve_counts: options.preserve_counts,
        now,
    }));
    let (index, reply) = cx.propose(command.guarded(options.guards)).await?;
    Ok(registered(index, &reply))
}

/// The wire's answer to a registration.
pub fn registered(index: u64, reply: &Reply) -> JobRegisterResponse {
    let (eval_id, job_modify_index) = match reply {
        Reply::Registered { eval_id, job_modify_index, .. } => (*eval_id, *job_modify_index),
        Reply::Done { .. } | Reply::Planned(_) | Reply::Refused(_) => (None, index),
    };
    JobRegisterResponse {
        eval_id: eval_id.map(|id| id.to_string()).unwrap_or_default(),
        eval_create_index: if eval_id.is_some() { index } else { 0 },
        job_modify_index,
        index,
        ..JobRegisterResponse::default()
    }
}

/// The source that is kept; one that is larger than `most` bytes is not, and 0 keeps none.
fn kept(source: JobSubmission, most: u64, warnings: &mut Vec<String>) -> Option<tarpan_state::JobSubmission> {
    let size = source.source.len() + source.variables.len();
    if size as u64 > most {
        if most > 0 {
            warnings.push(format!("job source size of {size} B exceeds maximum of {most} B and will be discarded"));
        }
        return None;
    }
    Some(tarpan_state::JobSubmission {
        source: source.source,
        format: source.format,
        variable_flags: source.variable_flags,
        variables: source.variables,
    })
}
