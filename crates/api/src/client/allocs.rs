//! Questions about allocations, evaluations, deployments and services.

use serde_json::json;

use super::{Answer, Client, Query, escape};
use crate::transport::{ByteStream, Error};
use crate::wire::{
    AllocFileInfo, AllocListStub, AllocResourceUsage, AllocStopResponse, Allocation, Deployment,
    DeploymentAllocHealthRequest, DeploymentPauseRequest, DeploymentPromoteRequest, DeploymentUpdateResponse,
    Evaluation, NamespaceServices, ServiceRegistration,
};

/// What of a task's output is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRequest {
    pub task: String,
    /// Standard error rather than standard output.
    pub stderr: bool,
    /// Stay, and send what comes.
    pub follow: bool,
    /// Raw bytes rather than frames.
    pub plain: bool,
    /// Bytes from the start, or back from the end with `from_end`.
    pub offset: u64,
    pub from_end: bool,
}

impl LogRequest {
    fn query(&self, query: &Query) -> Query {
        query
            .clone()
            .with("task", &self.task)
            .with("type", if self.stderr { "stderr" } else { "stdout" })
            .with("follow", self.follow)
            .with("plain", self.plain)
            .with("offset", self.offset)
            .with("origin", if self.from_end { "end" } else { "start" })
    }
}

impl Client {
    /// In order of creation, oldest first; with a prefix, of ids.
    pub async fn allocations(&self, query: &Query) -> Result<Answer<Vec<AllocListStub>>, Error> {
        self.get(&query.on("/v1/allocations")).await
    }

    pub async fn allocation(&self, query: &Query, id: &str) -> Result<Answer<Allocation>, Error> {
        self.get(&query.on(&format!("/v1/allocation/{}", escape(id)))).await
    }

    /// Stops an allocation; the job gets another one where it wants one.
    pub async fn stop_allocation(
        &self,
        query: &Query,
        id: &str,
        no_shutdown_delay: bool,
    ) -> Result<Answer<AllocStopResponse>, Error> {
        let query = if no_shutdown_delay { query.clone().with("no_shutdown_delay", true) } else { query.clone() };
        self.touch(&query.on(&format!("/v1/allocation/{}/stop", escape(id)))).await
    }

    pub async fn allocation_services(
        &self,
        query: &Query,
        id: &str,
    ) -> Result<Answer<Vec<ServiceRegistration>>, Error> {
        self.get(&query.on(&format!("/v1/allocation/{}/services", escape(id)))).await
    }

    /// Restarts one task, the main ones (`task` is `None`), or every one (`all`).
    pub async fn restart_allocation(
        &self,
        query: &Query,
        id: &str,
        task: Option<&str>,
        all: bool,
    ) -> Result<Answer<serde_json::Value>, Error> {
        let body = json!({"TaskName": task.unwrap_or_default(), "AllTasks": all});
        self.put(&query.on(&format!("/v1/client/allocation/{}/restart", escape(id))), &body).await
    }

    /// Sends a signal such as `SIGHUP` to one task, or to all.
    pub async fn signal_allocation(
        &self,
        query: &Query,
        id: &str,
        task: Option<&str>,
        signal: &str,
    ) -> Result<Answer<serde_json::Value>, Error> {
        let body = json!({"Task": task.unwrap_or_default(), "Signal": signal});
        self.put(&query.on(&format!("/v1/client/allocation/{}/signal", escape(id))), &body).await
    }

    pub async fn allocation_stats(&self, query: &Query, id: &str) -> Result<Answer<AllocResourceUsage>, Error> {
        self.get(&query.on(&format!("/v1/client/allocation/{}/stats", escape(id)))).await
    }

    /// A task's output as it arrives: raw bytes, or JSON frames when `request.plain` is not set.
    pub async fn logs(&self, query: &Query, id: &str, request: &LogRequest) -> Result<ByteStream, Error> {
        self.stream(&request.query(query).on(&format!("/v1/client/fs/logs/{}", escape(id)))).await
    }

    /// The entries of a directory of an allocation.
    pub async fn list_files(&self, query: &Query, id: &str, path: &str) -> Result<Answer<Vec<AllocFileInfo>>, Error> {
        self.get(&query.clone().with("path", path).on(&format!("/v1/client/fs/ls/{}", escape(id)))).await
    }

    pub async fn stat_file(&self, query: &Query, id: &str, path: &str) -> Result<Answer<AllocFileInfo>, Error> {
        self.get(&query.clone().with("path", path).on(&format!("/v1/client/fs/stat/{}", escape(id)))).await
    }

    pub async fn cat_file(&self, query: &Query, id: &str, path: &str) -> Result<ByteStream, Error> {
        self.stream(&query.clone().with("path", path).on(&format!("/v1/client/fs/cat/{}", escape(id)))).await
    }

    pub async fn evaluations(&self, query: &Query) -> Result<Answer<Vec<Evaluation>>, Error> {
        self.get(&query.on("/v1/evaluations")).await
    }

    /// With `related`, stubs of the evaluations before, after and blocked.
    pub async fn evaluation(&self, query: &Query, id: &str, related: bool) -> Result<Answer<Evaluation>, Error> {
        let query = if related { query.clone().with("related", true) } else { query.clone() };
        self.get(&query.on(&format!("/v1/evaluation/{}", escape(id)))).await
    }

    pub async fn evaluation_allocations(&self, query: &Query, id: &str) -> Result<Answer<Vec<AllocListStub>>, Error> {
        self.get(&query.on(&format!("/v1/evaluation/{}/allocations", escape(id)))).await
    }

    pub async fn deployments(&self, query: &Query) -> Result<Answer<Vec<Deployment>>, Error> {
        self.get(&query.on("/v1/deployments")).await
    }

    pub async fn deployment(&self, query: &Query, id: &str) -> Result<Answer<Deployment>, Error> {
        self.get(&query.on(&format!("/v1/deployment/{}", escape(id)))).await
    }

    pub async fn deployment_allocations(&self, query: &Query, id: &str) -> Result<Answer<Vec<AllocListStub>>, Error> {
        self.get(&query.on(&format!("/v1/deployment/allocations/{}", escape(id)))).await
    }

    pub async fn fail_deployment(&self, query: &Query, id: &str) -> Result<Answer<DeploymentUpdateResponse>, Error> {
        self.put(&query.on(&format!("/v1/deployment/fail/{}", escape(id))), &json!({"DeploymentID": id})).await
    }

    /// `pause` false resumes.
    pub async fn pause_deployment(
        &self,
        query: &Query,
        id: &str,
        pause: bool,
    ) -> Result<Answer<DeploymentUpdateResponse>, Error> {
        let body = DeploymentPauseRequest { deployment_id: id.to_owned(), pause };
        self.put(&query.on(&format!("/v1/deployment/pause/{}", escape(id))), &body).await
    }

    /// Promotes canaries of the named groups; of all when `groups` is empty.
    pub async fn promote_deployment(
        &self,
        query: &Query,
        id: &str,
        groups: &[String],
    ) -> Result<Answer<DeploymentUpdateResponse>, Error> {
        let body = DeploymentPromoteRequest {
            deployment_id: id.to_owned(),
            all: groups.is_empty(),
            groups: groups.to_vec(),
            ..DeploymentPromoteRequest::default()
        };
        self.put(&query.on(&format!("/v1/deployment/promote/{}", escape(id))), &body).await
    }

    pub async fn set_allocation_health(
        &self,
        query: &Query,
        request: &DeploymentAllocHealthRequest,
    ) -> Result<Answer<DeploymentUpdateResponse>, Error> {
        let id = escape(&request.deployment_id);
        self.put(&query.on(&format!("/v1/deployment/allocation-health/{id}")), request).await
    }

    pub async fn services(&self, query: &Query) -> Result<Answer<Vec<NamespaceServices>>, Error> {
        self.get(&query.on("/v1/services")).await
    }

    pub async fn service(&self, query: &Query, name: &str) -> Result<Answer<Vec<ServiceRegistration>>, Error> {
        self.get(&query.on(&format!("/v1/service/{}", escape(name)))).await
    }

    pub async fn delete_service(&self, query: &Query, name: &str, id: &str) -> Result<Answer<()>, Error> {
        self.delete(&query.on(&format!("/v1/service/{}/{}", escape(name), escape(id)))).await
    }
}
