//! What can be done to a job that is there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tarpan_api::wire::{
    JobDeregisterResponse, JobDispatchRequest, JobDispatchResponse, JobEvaluateRequest, JobRegisterResponse,
    JobRevertRequest, JobStabilityRequest, JobStabilityResponse, PeriodicForceResponse,
};
use tarpan_control::dispatch::{Dispatch, DispatchRequest, dispatch as child_for};
use tarpan_control::periodic;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::{ClientStatus, EvalId, Evaluation, Job, Trigger};
use tarpan_state::command::DeregisterJob;
use tarpan_state::{Command, Guard, Reply, State};

use super::{admission, register};
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::{self, Meta, Outcome};

fn job_of(cx: &Context, state: &State) -> Result<std::sync::Arc<Job>, ApiError> {
    let job = state.job(&cx.job_key()).cloned();
    job.ok_or_else(|| ApiError::not_found("job not found"))
}

fn eval_for(cx: &Context, job: &Job, priority: Option<i64>, by: Trigger) -> Evaluation {
    let priority = priority.unwrap_or(job.priority());
    Evaluation::new(EvalId(cx.server.new_id()), &job.key(), job.job_type(), priority, by, cx.now())
}

/// `DELETE /v1/job/:id`. A job that is not there is a success with nothing to say.
pub async fn deregister(cx: Context) -> Outcome {
    again!(deregister_once(&cx))
}

async fn deregister_once(cx: &Context) -> Outcome {
    let flag = |name: &str| cx.query.flag(name).map_err(|e| ApiError::internal(e.message));
    let (purge, no_shutdown_delay) = (flag("purge")?, flag("no_shutdown_delay")?);
    let priority = match cx.query.get("eval_priority").filter(|v| !v.is_empty()) {
        None => None,
        Some(text) => {
            let valid = text.parse().ok().filter(|n| (1..=100).contains(n));
            let refusal = || ApiError::bad_request("Eval priority must be between 1 and 100 inclusively");
            Some(valid.ok_or_else(refusal)?)
        }
    };
    let state = cx.server.state();
    let guard = Guard::job(&state, &cx.job_key());
    let Some(job) = state.job(&cx.job_key()).cloned() else {
        return cx.written(0, &JobDeregisterResponse::default());
    };
    let eval =
        (!job.is_periodic() && !job.is_parameterized()).then(|| eval_for(cx, &job, priority, Trigger::JobDeregister));
    let eval_id = eval.as_ref().map(|e| e.id.to_string());
    let command = DeregisterJob { job: job.key(), purge, eval, no_shutdown_delay, now: cx.now() };
    let (index, _) = cx.propose(Command::DeregisterJob(command).guarded(vec![guard])).await?;
    let response = JobDeregisterResponse {
        eval_create_index: if eval_id.is_some() { index } else { 0 },
        eval_id: eval_id.unwrap_or_default(),
        job_modify_index: index,
        index,
        ..JobDeregisterResponse::default()
    };
    cx.written(index, &response)
}

/// `PUT /v1/job/:id/evaluate`
pub async fn evaluate(cx: Context) -> Outcome {
    again!(evaluate_once(&cx))
}

async fn evaluate_once(cx: &Context) -> Outcome {
    let request: JobEvaluateRequest = cx.decode_optional()?;
    let state = cx.server.state();
    let guard = Guard::job(&state, &cx.job_key());
    let job = job_of(cx, &state)?;
    if job.is_periodic() {
        return Err(ApiError::internal("can't evaluate periodic job"));
    }
    if job.is_parameterized() {
        return Err(ApiError::internal("can't evaluate parameterized job"));
    }
    let mut eval = eval_for(cx, &job, None, Trigger::JobRegister);
    eval.job_modify_index = job.modify_index.unwrap_or(0);
    let id = eval.id;
    let now = cx.now();
    let command = if request.eval_options.force_reschedule {
        let forced = DesiredTransition { force_reschedule: Some(true), ..DesiredTransition::default() };
        let key = job.key();
        let failed = state.allocs_by_job(&key).filter(|a| a.client_status == ClientStatus::Failed && a.next.is_none());
        let allocs = failed.map(|a| (a.id, forced)).collect();
        Command::SetTransitions { allocs, evals: vec![eval], now }
    } else {
        Command::UpsertEvals { evals: vec![eval], now }
    };
    let (index, _) = cx.propose(command.guarded(vec![guard])).await?;
    let response = JobRegisterResponse {
        eval_id: id.to_string(),
        eval_create_index: index,
        job_modify_index: job.modify_index.unwrap_or(0),
        index,
        ..JobRegisterResponse::default()
    };
    cx.written(index, &response)
}

/// `PUT /v1/job/:id/dispatch`
pub async fn dispatch(cx: Context) -> Outcome {
    let request: JobDispatchRequest = cx.decode_optional()?;
    let payload = STANDARD
        .decode(request.payload.unwrap_or_default())
        .map_err(|e| ApiError::bad_request(format!("illegal base64 data: {e}")))?;
    let request = DispatchRequest {
        payload,
        meta: request.meta,
        id_prefix_template: request.id_prefix_template,
        priority: request.priority,
        idempotency_token: String::new(),
    };
    again!(launch(&cx, request.clone()))
}

/// `PUT /v1/job/:id/dispatch/payload`: the body is the payload.
pub async fn dispatch_payload(cx: Context) -> Outcome {
    let request = DispatchRequest { payload: cx.body.to_vec(), ..DispatchRequest::default() };
    again!(launch(&cx, request.clone()))
}

async fn launch(cx: &Context, mut request: DispatchRequest) -> Outcome {
    register::refuse_when_off(cx)?;
    request.idempotency_token = cx.query.get("idempotency_token").unwrap_or_default().to_owned();
    let state = cx.server.state();
    let child = match child_for(&state, &cx.job_key(), &request, cx.now(), &mut cx.ids())? {
        Dispatch::Exists(key) => {
            let index = state.job(&key).and_then(|job| job.create_index).unwrap_or(0);
            let id = key.id.to_string();
            let response =
                JobDispatchResponse { dispatched_job_id: id, job_create_index: index, index, ..Default::default() };
            return cx.written(index, &response);
        }
        Dispatch::Register(child) => child,
    };
    let id = child.job.id().to_owned();
    let parent = cx.job_key();
    let token = Guard::Token { parent: parent.clone(), token: request.idempotency_token };
    let guards = vec![Guard::RegistrationOn, Guard::job(&state, &parent), token];
    let (index, reply) = cx.propose(Command::RegisterJob(child).guarded(guards)).await?;
    let done = register::registered(index, &reply);
    let response = JobDispatchResponse {
        dispatched_job_id: id,
        eval_id: done.eval_id,
        eval_create_index: done.eval_create_index,
        job_create_index: index,
        index,
    };
    cx.written(index, &response)
}

/// `PUT /v1/job/:id/periodic/force`
pub async fn periodic_force(cx: Context) -> Outcome {
    again!(force_once(&cx))
}

async fn force_once(cx: &Context) -> Outcome {
    let state = cx.server.state();
    let child = periodic::force(&state, &cx.job_key(), cx.now(), &mut cx.ids())?;
    let guard = Guard::job(&state, &cx.job_key());
    let (index, reply) = cx.propose(Command::RegisterJob(Box::new(child)).guarded(vec![guard])).await?;
    let done = register::registered(index, &reply);
    let response = PeriodicForceResponse { eval_id: done.eval_id, eval_create_index: done.eval_create_index, index };
    cx.written(index, &response)
}

/// The id in the body of an action has to be there and to be the path's.
fn same_job(cx: &Context, named: &str) -> Result<(), ApiError> {
    match named {
        "" => Err(ApiError::bad_request("JobID must be specified")),
        id if id != cx.path.get("job") => Err(ApiError::bad_request("Job ID does not match")),
        _ => Ok(()),
    }
}

/// `PUT /v1/job/:id/revert`: an earlier version becomes the newest.
pub async fn revert(cx: Context) -> Outcome {
    again!(revert_once(&cx))
}

async fn revert_once(cx: &Context) -> Outcome {
    let request: JobRevertRequest = cx.decode()?;
    same_job(cx, &request.job_id)?;
    register::refuse_when_off(cx)?;
    let state = cx.server.state();
    let key = cx.job_key();
    let current = job_of(cx, &state)?;
    if request.job_version == current.version() {
        return Err(ApiError::internal("can't revert to current version"));
    }
    if let Some(enforced) = request.enforce_prior_version.filter(|v| *v != current.version()) {
        let text = format!("Current job has version {}; enforcing version {enforced}", current.version());
        return Err(ApiError::internal(text));
    }
    let Some(old) = state.job_version(&key, request.job_version) else {
        let text = format!(
            "job {:?} in namespace {:?} at version {} not found",
            key.id.as_str(),
            key.namespace.as_str(),
            request.job_version
        );
        return Err(ApiError::internal(text));
    };
    let mut job = Job::clone(old);
    job.version_tag = None;
    job.stable = None;
    job.stop = Some(false);
    let submission = state.job_submission(&key, request.job_version).map(|s| tarpan_state::JobSubmission::clone(s));
    let admitted = admission::admit(cx, &state, job)?;
    let guards = vec![Guard::RegistrationOn, Guard::job(&state, &key)];
    let options = register::Options { guards, ..Default::default() };
    let response = register::commit(cx, admitted.job, submission, options).await?;
    // The field answers a revert with the headers of a read.
    let meta = Meta { index: Some(response.index), known_leader: Some(false), next_token: None };
    reply::json(cx.style(), &response, &meta)
}

/// `PUT /v1/job/:id/stable`
pub async fn stable(cx: Context) -> Outcome {
    let request: JobStabilityRequest = cx.decode()?;
    same_job(&cx, &request.job_id)?;
    let job = cx.job_key();
    let command = Command::SetJobStability { job, version: request.job_version, stable: request.stable };
    let (index, _): (u64, Reply) = cx.propose(command).await?;
    cx.written(index, &JobStabilityResponse { index })
}
