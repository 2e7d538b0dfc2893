//! Questions about jobs, and what can be done to them.

use std::collections::BTreeMap;

use serde::Serialize;
use tarpan_model::Job;

use super::{Answer, Client, Query, escape};
use crate::transport::Error;
use crate::wire::{
    AllocListStub, Deployment, EvalOptions, Evaluation, JobAction, JobDeregisterResponse, JobDispatchRequest,
    JobDispatchResponse, JobEvaluateRequest, JobListStub, JobPlanRequest, JobPlanResponse, JobRegisterRequest,
    JobRegisterResponse, JobRevertRequest, JobScaleStatus, JobStabilityRequest, JobStabilityResponse, JobStatusesJob,
    JobStatusesRequest, JobSubmission, JobSummary, JobTagResponse, JobValidateRequest, JobValidateResponse,
    JobVersions, JobsParseRequest, PeriodicForceResponse, ScalingRequest, ServiceRegistration, TagVersionRequest,
};

/// `/v1/job/ID/rest`; `rest` may be empty.
fn path(id: &str, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    format!("/v1/job/{}{slash}{rest}", escape(id))
}

impl Client {
    /// In order of namespace and id.
    pub async fn jobs(&self, query: &Query) -> Result<Answer<Vec<JobListStub>>, Error> {
        self.get(&query.on("/v1/jobs")).await
    }

    /// What the Jobs page shows, newest change first. `include_children` adds launches of periodic and parameterized jobs.
    pub async fn job_statuses(
        &self,
        query: &Query,
        include_children: bool,
    ) -> Result<Answer<Vec<JobStatusesJob>>, Error> {
        let query = if include_children { query.clone().with("include_children", true) } else { query.clone() };
        self.get(&query.on("/v1/jobs/statuses")).await
    }

    /// The same for named jobs only.
    pub async fn job_statuses_of(
        &self,
        query: &Query,
        request: &JobStatusesRequest,
    ) -> Result<Answer<Vec<JobStatusesJob>>, Error> {
        self.post(&query.on("/v1/jobs/statuses"), request).await
    }

    pub async fn job(&self, query: &Query, id: &str) -> Result<Answer<Job>, Error> {
        self.get(&query.on(&path(id, ""))).await
    }

    /// `all` includes those of earlier jobs of the same name.
    pub async fn job_allocations(
        &self,
        query: &Query,
        id: &str,
        all: bool,
    ) -> Result<Answer<Vec<AllocListStub>>, Error> {
        let query = if all { query.clone().with("all", true) } else { query.clone() };
        self.get(&query.on(&path(id, "allocations"))).await
    }

    pub async fn job_evaluations(&self, query: &Query, id: &str) -> Result<Answer<Vec<Evaluation>>, Error> {
        self.get(&query.on(&path(id, "evaluations"))).await
    }

    pub async fn job_deployments(&self, query: &Query, id: &str, all: bool) -> Result<Answer<Vec<Deployment>>, Error> {
        let query = if all { query.clone().with("all", true) } else { query.clone() };
        self.get(&query.on(&path(id, "deployments"))).await
    }

    /// `None`: there was never one.
    pub async fn job_latest_deployment(&self, query: &Query, id: &str) -> Result<Answer<Option<Deployment>>, Error> {
        self.get(&query.on(&path(id, "deployment"))).await
    }

    pub async fn job_summary(&self, query: &Query, id: &str) -> Result<Answer<JobSummary>, Error> {
        self.get(&query.on(&path(id, "summary"))).await
    }

    /// Newest first; with `diffs`, what each changed against the one before it.
    pub async fn job_versions(&self, query: &Query, id: &str, diffs: bool) -> Result<Answer<JobVersions>, Error> {
        let query = if diffs { query.clone().with("diffs", true) } else { query.clone() };
        self.get(&query.on(&path(id, "versions"))).await
    }

    /// The text a version was made from. 404 when it came as bare JSON.
    pub async fn job_submission(&self, query: &Query, id: &str, version: u64) -> Result<Answer<JobSubmission>, Error> {
        self.get(&query.clone().with("version", version).on(&path(id, "submission"))).await
    }

    pub async fn job_services(&self, query: &Query, id: &str) -> Result<Answer<Vec<ServiceRegistration>>, Error> {
        self.get(&query.on(&path(id, "services"))).await
    }

    pub async fn job_scale_status(&self, query: &Query, id: &str) -> Result<Answer<JobScaleStatus>, Error> {
        self.get(&query.on(&path(id, "scale"))).await
    }

    /// Registers a job, new or changed. 500 with the findings when it is not valid.
    pub async fn register(
        &self,
        query: &Query,
        request: &JobRegisterRequest,
    ) -> Result<Answer<JobRegisterResponse>, Error> {
        self.put(&query.on("/v1/jobs"), request).await
    }

    /// Commands that the job's text names, to be run in its tasks.
    pub async fn job_actions(&self, query: &Query, id: &str) -> Result<Answer<Vec<JobAction>>, Error> {
        self.get(&query.on(&path(id, "actions"))).await
    }

    /// A dry run: what registering this job would do.
    pub async fn plan(&self, query: &Query, request: &JobPlanRequest) -> Result<Answer<JobPlanResponse>, Error> {
        let id = request.job.as_ref().and_then(|j| j.id.as_deref()).unwrap_or_default();
        self.put(&query.on(&path(id, "plan")), request).await
    }

    pub async fn validate(&self, query: &Query, job: &Job) -> Result<Answer<JobValidateResponse>, Error> {
        self.put(&query.on("/v1/validate/job"), &JobValidateRequest { job: Some(job.clone()) }).await
    }

    /// HCL to a job, on the server.
    pub async fn parse(&self, request: &JobsParseRequest) -> Result<Answer<Job>, Error> {
        self.post("/v1/jobs/parse", request).await
    }

    /// Stops a job; `purge` forgets it too. More (`eval_priority`, `no_shutdown_delay`) goes into `query`.
    pub async fn stop_job(&self, query: &Query, id: &str, purge: bool) -> Result<Answer<JobDeregisterResponse>, Error> {
        self.delete(&query.clone().with("purge", purge).on(&path(id, ""))).await
    }

    /// Looks at a job again, without a change of it.
    pub async fn evaluate_job(
        &self,
        query: &Query,
        id: &str,
        force_reschedule: bool,
    ) -> Result<Answer<JobRegisterResponse>, Error> {
        let body = JobEvaluateRequest { job_id: id.to_owned(), eval_options: EvalOptions { force_reschedule } };
        self.put(&query.on(&path(id, "evaluate")), &body).await
    }

    /// Launches a parameterized job. `request.payload` is base64.
    pub async fn dispatch(
        &self,
        query: &Query,
        id: &str,
        request: &JobDispatchRequest,
    ) -> Result<Answer<JobDispatchResponse>, Error> {
        self.put(&query.on(&path(id, "dispatch")), request).await
    }

    /// Launches a periodic job now.
    pub async fn periodic_force(&self, query: &Query, id: &str) -> Result<Answer<PeriodicForceResponse>, Error> {
        self.touch(&query.on(&path(id, "periodic/force"))).await
    }

    /// Registers an earlier version again. `enforce_prior` refuses unless that is the current version.
    pub async fn revert(
        &self,
        query: &Query,
        id: &str,
        version: u64,
        enforce_prior: Option<u64>,
    ) -> Result<Answer<JobRegisterResponse>, Error> {
        let body =
            JobRevertRequest { job_id: id.to_owned(), job_version: version, enforce_prior_version: enforce_prior };
        self.put(&query.on(&path(id, "revert")), &body).await
    }

    /// Marks a version as one to go back to, or not.
    pub async fn set_job_stability(
        &self,
        query: &Query,
        id: &str,
        version: u64,
        stable: bool,
    ) -> Result<Answer<JobStabilityResponse>, Error> {
        let body = JobStabilityRequest { job_id: id.to_owned(), job_version: version, stable };
        self.put(&query.on(&path(id, "stable")), &body).await
    }

    /// Sets the count of one group.
    pub async fn scale(
        &self,
        query: &Query,
        id: &str,
        group: &str,
        count: Option<i64>,
        message: &str,
    ) -> Result<Answer<JobRegisterResponse>, Error> {
        let target = BTreeMap::from([("Job".to_owned(), id.to_owned()), ("Group".to_owned(), group.to_owned())]);
        let body = ScalingRequest { count, target, message: message.to_owned(), ..ScalingRequest::default() };
        self.put(&query.on(&path(id, "scale")), &body).await
    }

    /// Names a version; `None` names the newest.
    pub async fn tag_version(
        &self,
        query: &Query,
        id: &str,
        version: Option<u64>,
        name: &str,
        description: &str,
    ) -> Result<Answer<JobTagResponse>, Error> {
        let (number, latest) = (version.unwrap_or(0), version.is_none());
        let body = TagVersionRequest { version: number, latest, description: description.to_owned() };
        self.put(&query.on(&path(id, &format!("versions/{}/tag", escape(name)))), &body).await
    }

    pub async fn untag_version(&self, query: &Query, id: &str, name: &str) -> Result<Answer<JobTagResponse>, Error> {
        self.delete(&query.on(&path(id, &format!("versions/{}/tag", escape(name))))).await
    }

    /// `GET` of anything under a job, for what has no method here.
    pub async fn job_part<T: serde::de::DeserializeOwned>(
        &self,
        query: &Query,
        id: &str,
        part: &str,
    ) -> Result<Answer<T>, Error> {
        self.get(&query.on(&path(id, part))).await
    }

    /// `PUT` of anything under a job.
    pub async fn put_job_part<B: Serialize, T: serde::de::DeserializeOwned>(
        &self,
        query: &Query,
        id: &str,
        part: &str,
        body: &B,
    ) -> Result<Answer<T>, Error> {
        self.put(&query.on(&path(id, part)), body).await
    }
}
