//! Taking jobs in.

use tarpan_api::wire::{JobRegisterRequest, JobRegisterResponse, JobSubmission};
use tarpan_control::jobs;
use tarpan_state::Reply;

use super::admission::{self, warnings_text};
use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::reply::Outcome;

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
    let asked = jobs::Registration {
        job: admission::address(cx, request.job)?,
        submission: request.submission.map(source),
        enforce_index: request.enforce_index.then_some(request.job_modify_index),
        preserve_counts: request.preserve_counts,
        preserve_resources: request.preserve_resources,
        eval_priority: request.eval_priority,
        manages: cx.manages(),
    };
    let rules = admission::rules(cx.server.options());
    let accepted = jobs::register(&cx.server.state(), &rules, asked, cx.now(), &mut cx.ids())?;
    let (index, reply) = cx.propose(accepted.command).await?;
    let warnings = warnings_text(&accepted.warnings);
    cx.written(index, &JobRegisterResponse { warnings, ..registered(index, &reply) })
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

fn source(wire: JobSubmission) -> tarpan_state::JobSubmission {
    tarpan_state::JobSubmission {
        source: wire.source,
        format: wire.format,
        variable_flags: wire.variable_flags,
        variables: wire.variables,
    }
}
