//! Questions about allocations, evaluations, deployments and services.

use std::collections::BTreeMap;

use serde_json::json;

use super::call::{Call, Raw, calls, streams};
use super::{Answer, Client, Query, escape};
use crate::transport::{ByteStream, Error};
use crate::wire::{
    AllocFileInfo, AllocListStub, AllocResourceUsage, AllocStopResponse, Allocation, CheckQueryResult, Deployment,
    DeploymentPauseRequest, DeploymentPromoteRequest, DeploymentUpdateResponse, EvalDeleteRequest, EvalDeleteResponse,
    Evaluation, LogMatches, NamespaceServices, ServiceRegistration, UsageHistory,
};

/// Which lines of a task's output are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSearch {
    pub task: String,
    pub stderr: bool,
    pub text: String,
    pub ignore_case: bool,
    /// Where an earlier answer stopped; empty: the oldest line.
    pub next_token: String,
    /// As in [`LogRequest`].
    pub since: String,
    pub until: String,
}

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
    /// Only what was written then or later, and only what was written up to then: a duration before now (`10m`) or a time as
    /// RFC 3339 writes it; empty: no limit. Ours.
    pub since: String,
    pub until: String,
}

/// The parameters of a stretch of time, as far as it has ends.
fn stretch<'a>(since: &'a str, until: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
    [("since", since), ("until", until)].into_iter().filter(|(_, time)| !time.is_empty())
}

impl LogRequest {
    fn query(&self, query: &Query) -> Query {
        let query = query
            .clone()
            .with("task", &self.task)
            .with("type", if self.stderr { "stderr" } else { "stdout" })
            .with("follow", self.follow)
            .with("plain", self.plain)
            .with("offset", self.offset)
            .with("origin", if self.from_end { "end" } else { "start" });
        stretch(&self.since, &self.until).fold(query, |query, (name, time)| query.with(name, time))
    }
}

calls! {
    /// In order of creation, oldest first; with a prefix, of ids.
    allocations(query: &Query) -> Vec<AllocListStub> { Call::get(query.on("/v1/allocations")) }

    allocation(query: &Query, id: &str) -> Allocation {
        Call::get(query.at("/v1/allocation/{}", id))
    }

    /// Stops an allocation; the job gets another one where it wants one.
    stop_allocation(query: &Query, id: &str, no_shutdown_delay: bool) -> AllocStopResponse {
        Call::touch(query.at("/v1/allocation/{}/stop", id)).flag("no_shutdown_delay", no_shutdown_delay)
    }

    /// Restarts one task, the main ones (`task` is `None`), or every one (`all`).
    restart_allocation(query: &Query, id: &str, task: Option<&str>, all: bool) -> serde_json::Value {
        let body = json!({"TaskName": task.unwrap_or_default(), "AllTasks": all});
        Call::put(query.at("/v1/client/allocation/{}/restart", id), &body)
    }

    /// Sends a signal such as `SIGHUP` to one task, or to all.
    signal_allocation(query: &Query, id: &str, task: Option<&str>, signal: &str) -> serde_json::Value {
        let body = json!({"Task": task.unwrap_or_default(), "Signal": signal});
        Call::put(query.at("/v1/client/allocation/{}/signal", id), &body)
    }

    /// Lines that hold a text, as far as one answer goes; ours.
    search_logs(query: &Query, id: &str, wanted: &LogSearch) -> LogMatches {
        let search = Call::get(query.at("/v1/client/fs/logs/{}", id)).with("task", &wanted.task);
        let search = search.with("type", if wanted.stderr { "stderr" } else { "stdout" });
        let search = search.with("search", &wanted.text).with("ignore_case", wanted.ignore_case);
        let search = search.with("next_token", &wanted.next_token);
        stretch(&wanted.since, &wanted.until).fold(search, |search, (name, time)| search.with(name, time))
    }

    allocation_stats(query: &Query, id: &str) -> AllocResourceUsage {
        Call::get(query.at("/v1/client/allocation/{}/stats", id))
    }

    /// What the allocation used over time; `span`: `hour` or `day`.
    allocation_history(query: &Query, id: &str, span: &str) -> UsageHistory {
        Call::get(query.at("/v1/client/allocation/{}/history", id)).with("span", span)
    }

    /// How the checks of an allocation's services went last, by the check's id. `None`: it has none.
    allocation_checks(query: &Query, id: &str) -> Option<BTreeMap<String, CheckQueryResult>> {
        Call::get(query.at("/v1/client/allocation/{}/checks", id))
    }

    /// The entries of a directory of an allocation, by name; a page at a time where asked for (ours).
    list_files(query: &Query, id: &str, path: &str) -> Vec<AllocFileInfo> {
        Call::get(query.at("/v1/client/fs/ls/{}", id)).with("path", path)
    }

    stat_file(query: &Query, id: &str, path: &str) -> AllocFileInfo {
        Call::get(query.at("/v1/client/fs/stat/{}", id)).with("path", path)
    }

    evaluations(query: &Query) -> Vec<Evaluation> { Call::get(query.on("/v1/evaluations")) }

    /// With `related`, stubs of the evaluations before, after and blocked.
    evaluation(query: &Query, id: &str, related: bool) -> Evaluation {
        Call::get(query.at("/v1/evaluation/{}", id)).flag("related", related)
    }

    /// Deletes evaluations that are over, while the broker of evaluations is paused.
    delete_evaluations(request: &EvalDeleteRequest) -> EvalDeleteResponse {
        Call::delete_what("/v1/evaluations".to_owned(), request)
    }

    evaluation_allocations(query: &Query, id: &str) -> Vec<AllocListStub> {
        Call::get(query.at("/v1/evaluation/{}/allocations", id))
    }

    deployments(query: &Query) -> Vec<Deployment> { Call::get(query.on("/v1/deployments")) }

    deployment(query: &Query, id: &str) -> Deployment {
        Call::get(query.at("/v1/deployment/{}", id))
    }

    fail_deployment(query: &Query, id: &str) -> DeploymentUpdateResponse {
        Call::put(query.at("/v1/deployment/fail/{}", id), &json!({"DeploymentID": id}))
    }

    /// `pause` false resumes.
    pause_deployment(query: &Query, id: &str, pause: bool) -> DeploymentUpdateResponse {
        let body = DeploymentPauseRequest { deployment_id: id.to_owned(), pause };
        Call::put(query.at("/v1/deployment/pause/{}", id), &body)
    }

    /// Promotes canaries of the named groups; of all when `groups` is empty.
    promote_deployment(query: &Query, id: &str, groups: &[String]) -> DeploymentUpdateResponse {
        let body = DeploymentPromoteRequest {
            deployment_id: id.to_owned(),
            all: groups.is_empty(),
            groups: groups.to_vec(),
            ..DeploymentPromoteRequest::default()
        };
        Call::put(query.at("/v1/deployment/promote/{}", id), &body)
    }

    services(query: &Query) -> Vec<NamespaceServices> { Call::get(query.on("/v1/services")) }

    service(query: &Query, name: &str) -> Vec<ServiceRegistration> {
        Call::get(query.at("/v1/service/{}", name))
    }

    delete_service(query: &Query, name: &str, id: &str) -> () {
        Call::delete(query.on(&format!("/v1/service/{}/{}", escape(name), escape(id))))
    }
}

streams! {
    /// A task's output as it arrives: raw bytes, or JSON frames when `request.plain` is not set.
    logs(query: &Query, id: &str, request: &LogRequest) {
        Call::get(request.query(query).at("/v1/client/fs/logs/{}", id))
    }

    cat_file(query: &Query, id: &str, path: &str) {
        Call::get(query.at("/v1/client/fs/cat/{}", id)).with("path", path)
    }

    /// The same, as a file that a browser keeps and does not show; ours.
    download_file(query: &Query, id: &str, path: &str) { cat_file(query, id, path).flag("download", true) }

    /// `limit` bytes of a file from `offset` on.
    read_file(query: &Query, id: &str, path: &str, offset: u64, limit: u64) {
        Call::get(query.at("/v1/client/fs/readat/{}", id)).with("path", path).with("offset", offset).with("limit", limit)
    }

    /// A file as it grows, in JSON frames: from `offset` bytes on, or back from the end with `from_end`.
    follow_file(query: &Query, id: &str, path: &str, offset: u64, from_end: bool) {
        let file = Call::get(query.at("/v1/client/fs/stream/{}", id)).with("path", path).with("follow", true);
        file.with("offset", offset).with("origin", if from_end { "end" } else { "start" })
    }
}

/// Where a further command runs in a running task, over a WebSocket of frames; with `tty` it gets a terminal.
pub fn exec(query: &Query, id: &str, task: &str, command: &[String], tty: bool) -> Call<Raw> {
    let run = Call::get(query.at("/v1/client/allocation/{}/exec", id)).with("task", task);
    run.with("command", json!(command)).with("tty", tty).with("ws_handshake", true)
}
