//! What can be done to a job that is there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tarpan_api::wire::{
    JobDeregisterResponse, JobDispatchRequest, JobDispatchResponse, JobEvaluateRequest, JobRegisterResponse,
    JobRevertRequest, JobStabilityRequest, JobStabilityResponse, PeriodicForceResponse,
};
use tarpan_control::dispatch::{Dispatch, DispatchRequest, dispatch as child_for, launch as launch_of};
use tarpan_control::jobs::{self, JobError};
use tarpan_control::periodic;
use tarpan_state::{Command, Guard, Reply};

use super::{admission, register};
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::{self, Meta, Outcome};

/// `DELETE /v1/job/:id`. A job that is not there is a success with nothing to say.
pub async fn deregister(cx: Context) -> Outcome {
    again!(deregister_once(&cx))
}

async fn deregister_once(cx: &Context) -> Outcome {
    let flag = |name: &str| cx.query.flag(name).map_err(|e| ApiError::internal(e.message));
    let (purge, no_shutdown_delay) = (flag("purge")?, flag("no_shutdown_delay")?);
    let eval_priority = match cx.query.get("eval_priority").filter(|v| !v.is_empty()) {
        // 0 is how the field's own command line and SDK say that none was asked for.
        None => 0,
        Some(text) => text.parse().map_err(|_| ApiError::from(JobError::EvalPriority))?,
    };
    let how = jobs::Deregister { purge, no_shutdown_delay, eval_priority };
    let ended = jobs::deregister(&cx.server.state(), &cx.job_key(), how, cx.now(), &mut cx.ids())?;
    let Some((eval_id, command)) = ended else { return cx.written(0, &JobDeregisterResponse::default()) };
    let (index, _) = cx.propose(command).await?;
    let response = JobDeregisterResponse {
        eval_create_index: if eval_id.is_some() { index } else { 0 },
        eval_id: eval_id.map(|id| id.to_string()).unwrap_or_default(),
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
    if !request.job_id.is_empty() {
        same_job(cx, &request.job_id)?;
    }
    let forced = request.eval_options.force_reschedule;
    let asked = jobs::evaluate(&cx.server.state(), &cx.job_key(), forced, cx.now(), &mut cx.ids())?;
    let (index, _) = cx.propose(asked.command).await?;
    let response = JobRegisterResponse {
        eval_id: asked.eval.to_string(),
        eval_create_index: index,
        job_modify_index: asked.job_modify_index,
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
    request.idempotency_token = cx.query.get("idempotency_token").unwrap_or_default().to_owned();
    let (state, parent) = (cx.server.state(), cx.job_key());
    let guards = jobs::registration_on(&state, cx.manages())?;
    let child = match child_for(&state, &parent, &request, cx.now(), &mut cx.ids())? {
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
    let (index, reply) = cx.propose(launch_of(&state, &parent, &request.idempotency_token, child, guards)).await?;
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
    let (to, enforce_prior_version) = (request.job_version, request.enforce_prior_version);
    let asked = jobs::Revert { to, enforce_prior_version, manages: cx.manages() };
    let (state, rules) = (cx.server.state(), admission::rules(cx.server.options()));
    let command = jobs::revert(&state, &rules, &cx.job_key(), asked, cx.now(), &mut cx.ids())?;
    let (index, reply) = cx.propose(command).await?;
    let response = register::registered(index, &reply);
    // The field answers a revert with the headers of a read.
    let meta = Meta { index: Some(response.index), known_leader: Some(false), ..Meta::default() };
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
