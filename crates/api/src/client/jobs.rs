//! Questions about jobs, and what can be done to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tarpan_model::Job;
use tarpan_model::wire::Wire as _;

use super::call::{Call, Raw, calls};
use super::{Answer, Client, Query, escape};
use crate::transport::Error;
use crate::wire::{
    AllocListStub, Deployment, EvalOptions, Evaluation, JobAction, JobDeregisterResponse, JobDispatchRequest,
    JobDispatchResponse, JobEvaluateRequest, JobListStub, JobPlanRequest, JobPlanResponse, JobRegisterRequest,
    JobRegisterResponse, JobRevertRequest, JobScaleStatus, JobSubmission, JobSummary, JobTagResponse,
    JobValidateRequest, JobValidateResponse, JobVersions, JobsPage, JobsParseRequest, PeriodicForceResponse,
    ScalingPolicy, ScalingPolicyListStub, ScalingRequest, ServiceRegistration, TagVersionRequest,
};

/// `/v1/job/ID/rest`; `rest` may be empty.
fn path(id: &str, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    format!("/v1/job/{}{slash}{rest}", escape(id))
}

calls! {
    /// The list of jobs as its page shows it: one page of lines, and what is told of all. `narrowed` is the page's own query. Ours.
    jobs_overview(narrowed: &str, page: usize, per_page: usize) -> JobsPage {
        let narrowed = if narrowed.is_empty() { String::new() } else { format!("&{narrowed}") };
        Call::get(format!("/v1/jobs/overview?namespace=*&page={page}&per_page={per_page}{narrowed}"))
    }

    /// As [`jobs_overview`], of the children of a job, the newest first.
    job_children(namespace: &str, parent: &str, page: usize, per_page: usize) -> JobsPage {
        let (namespace, parent) = (escape(namespace), escape(parent));
        Call::get(format!("/v1/jobs/overview?namespace={namespace}&parent={parent}&page={page}&per_page={per_page}"))
    }

    /// In order of namespace and id.
    jobs(query: &Query) -> Vec<JobListStub> { Call::get(query.on("/v1/jobs")) }

    job(query: &Query, id: &str) -> Job { Call::get(query.on(&path(id, ""))) }

    /// `all` includes those of earlier jobs of the same name.
    job_allocations(query: &Query, id: &str, all: bool) -> Vec<AllocListStub> {
        Call::get(query.on(&path(id, "allocations"))).flag("all", all)
    }

    job_evaluations(query: &Query, id: &str) -> Vec<Evaluation> { Call::get(query.on(&path(id, "evaluations"))) }

    job_deployments(query: &Query, id: &str, all: bool) -> Vec<Deployment> {
        Call::get(query.on(&path(id, "deployments"))).flag("all", all)
    }

    /// `None`: there was never one.
    job_latest_deployment(query: &Query, id: &str) -> Option<Deployment> {
        Call::get(query.on(&path(id, "deployment")))
    }

    job_summary(query: &Query, id: &str) -> JobSummary { Call::get(query.on(&path(id, "summary"))) }

    /// Newest first; with `diffs`, what each changed against the one before it.
    job_versions(query: &Query, id: &str, diffs: bool) -> JobVersions {
        Call::get(query.on(&path(id, "versions"))).flag("diffs", diffs)
    }

    /// The text a version was made from. 404 when it came as bare JSON.
    job_submission(query: &Query, id: &str, version: u64) -> JobSubmission {
        Call::get(query.on(&path(id, "submission"))).with("version", version)
    }

    /// Commands that the job's text names, to be run in its tasks.
    job_actions(query: &Query, id: &str) -> Vec<JobAction> { Call::get(query.on(&path(id, "actions"))) }

    job_services(query: &Query, id: &str) -> Vec<ServiceRegistration> { Call::get(query.on(&path(id, "services"))) }

    job_scale_status(query: &Query, id: &str) -> JobScaleStatus { Call::get(query.on(&path(id, "scale"))) }

    /// Registers a job, new or changed. 500 with the findings when it is not valid.
    register(query: &Query, request: &JobRegisterRequest) -> JobRegisterResponse {
        Call::put(query.on("/v1/jobs"), request)
    }

    /// A dry run: what registering this job would do.
    plan(query: &Query, request: &JobPlanRequest) -> JobPlanResponse {
        let id = request.job.as_ref().and_then(|j| j.id.as_deref()).unwrap_or_default();
        Call::put(query.on(&path(id, "plan")), request)
    }

    validate(query: &Query, job: &Job) -> JobValidateResponse {
        Call::put(query.on("/v1/validate/job"), &JobValidateRequest { job: Some(job.clone()) })
    }

    /// As [`register`], of a job that the caller has as JSON.
    register_json(query: &Query, job: &Value, submission: Option<&JobSubmission>) -> JobRegisterResponse {
        let names = JobRegisterRequest::FIELDS;
        Call::put(query.on("/v1/jobs"), &json!({ (names.job.name): job, (names.submission.name): submission }))
    }

    /// As [`plan`], of a job that the caller has as JSON; with the difference, and with the places of allocations.
    plan_json(query: &Query, id: &str, job: &Value) -> JobPlanResponse {
        let names = JobPlanRequest::FIELDS;
        let body = json!({ (names.job.name): job, (names.diff.name): true, (names.placements.name): true });
        Call::put(query.on(&path(id, "plan")), &body)
    }

    /// As [`validate`], of a job that the caller has as JSON.
    validate_json(query: &Query, job: &Value) -> JobValidateResponse {
        Call::put(query.on("/v1/validate/job"), &json!({ (JobValidateRequest::FIELDS.job.name): job }))
    }

    /// HCL to a job, on the server.
    parse(request: &JobsParseRequest) -> Job { Call::post("/v1/jobs/parse".to_owned(), request) }

    /// Stops a job; `purge` forgets it too. More (`eval_priority`, `no_shutdown_delay`) goes into `query`.
    stop_job(query: &Query, id: &str, purge: bool) -> JobDeregisterResponse {
        Call::delete(query.on(&path(id, ""))).with("purge", purge)
    }

    /// Looks at a job again, without a change of it.
    evaluate_job(query: &Query, id: &str, force_reschedule: bool) -> JobRegisterResponse {
        let body = JobEvaluateRequest { job_id: id.to_owned(), eval_options: EvalOptions { force_reschedule } };
        Call::put(query.on(&path(id, "evaluate")), &body)
    }

    /// Launches a parameterized job. `request.payload` is base64.
    dispatch(query: &Query, id: &str, request: &JobDispatchRequest) -> JobDispatchResponse {
        Call::put(query.on(&path(id, "dispatch")), request)
    }

    /// Launches a periodic job now.
    periodic_force(query: &Query, id: &str) -> PeriodicForceResponse {
        Call::touch(query.on(&path(id, "periodic/force")))
    }

    /// Registers an earlier version again. `enforce_prior` refuses unless that is the current version.
    revert(query: &Query, id: &str, version: u64, enforce_prior: Option<u64>) -> JobRegisterResponse {
        let body =
            JobRevertRequest { job_id: id.to_owned(), job_version: version, enforce_prior_version: enforce_prior };
        Call::put(query.on(&path(id, "revert")), &body)
    }

    /// Sets the count of one group.
    scale(query: &Query, id: &str, group: &str, count: Option<i64>, message: &str) -> JobRegisterResponse {
        let target = BTreeMap::from([("Job".to_owned(), id.to_owned()), ("Group".to_owned(), group.to_owned())]);
        let body = ScalingRequest { count, target, message: message.to_owned(), ..ScalingRequest::default() };
        scale_by(query, id, &body)
    }

    /// As [`scale`], with all that a request can say.
    scale_by(query: &Query, id: &str, request: &ScalingRequest) -> JobRegisterResponse {
        Call::put(query.on(&path(id, "scale")), request)
    }

    /// The `scaling` blocks of groups; `job` and `type` of `query` narrow them.
    scaling_policies(query: &Query) -> Vec<ScalingPolicyListStub> { Call::get(query.on("/v1/scaling/policies")) }

    scaling_policy(query: &Query, id: &str) -> ScalingPolicy { Call::get(query.at("/v1/scaling/policy/{}", id)) }

    /// Names a version; `None` names the newest.
    tag_version(query: &Query, id: &str, version: Option<u64>, name: &str, description: &str) -> JobTagResponse {
        let (number, latest) = (version.unwrap_or(0), version.is_none());
        let body = TagVersionRequest { version: number, latest, description: description.to_owned() };
        Call::put(query.on(&path(id, &format!("versions/{}/tag", escape(name)))), &body)
    }

    untag_version(query: &Query, id: &str, name: &str) -> JobTagResponse {
        Call::delete(query.on(&path(id, &format!("versions/{}/tag", escape(name)))))
    }
}

/// Where the action of that name runs, over a WebSocket of frames. Which allocation runs it, `allocID`, `group` and `task` say.
pub fn run_action_named(query: &Query, id: &str, name: &str) -> Call<Raw> {
    Call::get(query.on(&path(id, "action"))).with("action", name)
}

/// The same of an action as the job names it, in any allocation of its group.
pub fn run_action(query: &Query, id: &str, action: &JobAction) -> Call<Raw> {
    run_action_named(query, id, &action.name).with("group", &action.group).with("task", &action.task)
}
