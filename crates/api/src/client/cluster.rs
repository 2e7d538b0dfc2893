//! Questions about the cluster itself: members, leader, settings, namespaces, search.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::call::{Call, Raw, calls, streams};
use super::{Answer, Client, Query};
use crate::transport::{ByteStream, Error};
use crate::wire::{
    AgentSelf, AutopilotHealth, ClusterCounts, FuzzySearchResponse, JobCounts, JoinResponse, KeyringRequest,
    KeyringResponse, LeadershipTransferResponse, MetricsSummary, Namespace, RaftConfigurationResponse,
    SchedulerConfiguration, SchedulerConfigurationResponse, SearchResponse, ServerMembers,
};

const SCHEDULER: &str = "/v1/operator/scheduler/configuration";

calls! {
    members() -> ServerMembers { Call::get("/v1/agent/members".to_owned()) }

    /// `host:port` of the leader's RPC address.
    leader() -> String { Call::get("/v1/status/leader".to_owned()) }

    regions() -> Vec<String> { Call::get("/v1/regions".to_owned()) }

    /// Configuration, membership and statistics of the agent that answers.
    agent_self() -> AgentSelf { Call::get("/v1/agent/self".to_owned()) }

    raft_configuration(query: &Query) -> RaftConfigurationResponse {
        Call::get(query.on("/v1/operator/raft/configuration"))
    }

    /// Takes a server out of raft, by its id.
    raft_remove_peer(id: &str) -> () { Call::delete("/v1/operator/raft/peer".to_owned()).with("id", id) }

    /// Has the voter of that id, or of that address, lead. One of them is empty.
    raft_transfer_leadership(id: &str, address: &str) -> LeadershipTransferResponse {
        let path = "/v1/operator/raft/transfer-leadership".to_owned();
        let (name, value) = if id.is_empty() { ("address", address) } else { ("id", id) };
        Call::touch(path).with(name, value)
    }

    /// The keys of gossip.
    gossip_keys() -> KeyringResponse { Call::get("/v1/agent/keyring/list".to_owned()) }

    /// Changes the keys of gossip on every server: `install`, `use` or `remove`.
    change_gossip_key(change: &str, key: &str) -> KeyringResponse {
        Call::put(format!("/v1/agent/keyring/{change}"), &KeyringRequest { key: key.to_owned() })
    }

    /// Has the server join others, at `host[:port]` of their gossip each.
    join(addresses: &[String]) -> JoinResponse {
        let join = Call::touch("/v1/agent/join".to_owned());
        addresses.iter().fold(join, |call, address| call.with("address", address))
    }

    /// Counts a server that does not answer as one that left; `prune`: as one that never was.
    force_leave(name: &str, prune: bool) -> () {
        Call::touch("/v1/agent/force-leave".to_owned()).with("node", name).with("prune", prune)
    }

    scheduler_configuration() -> SchedulerConfigurationResponse { Call::get(SCHEDULER.to_owned()) }

    /// With `check_index`, only where that is the configuration's modify index: `Updated` of the answer says whether it was.
    set_scheduler_configuration(config: &SchedulerConfiguration, check_index: Option<u64>) -> Value {
        let set = Call::put(SCHEDULER.to_owned(), config);
        if let Some(index) = check_index { set.with("cas", index) } else { set }
    }

    /// By which rules servers look after each other.
    autopilot_configuration() -> Value { Call::get("/v1/operator/autopilot/configuration".to_owned()) }

    /// How the servers are, one by one. 429 with the same text where they are not well.
    autopilot_health() -> Value { Call::get("/v1/operator/autopilot/health".to_owned()) }

    /// The same, whether or not all is well: ours.
    servers_health() -> AutopilotHealth { Call::get("/v1/operator/autopilot/health".to_owned()).with("report", true) }

    /// Puts the state that a snapshot holds in place of the region's.
    restore_snapshot(file: Bytes) -> () { Call::new(Method::PUT, "/v1/operator/snapshot".to_owned(), file) }

    metrics() -> MetricsSummary { Call::get("/v1/metrics".to_owned()) }

    /// Collects what nobody needs any more, now.
    system_gc() -> () { Call::touch("/v1/system/gc".to_owned()) }

    /// Counts the allocations of all jobs again.
    reconcile_summaries() -> () { Call::touch("/v1/system/reconcile/summaries".to_owned()) }

    namespaces(query: &Query) -> Vec<Namespace> { Call::get(query.on("/v1/namespaces")) }

    namespace(name: &str) -> Namespace { Call::get(Query::new().at("/v1/namespace/{}", name)) }

    /// Creates or changes a namespace, of which the caller has JSON: what it does not say, nobody says.
    apply_namespace(namespace: &Value) -> () { Call::post("/v1/namespaces".to_owned(), namespace) }

    delete_namespace(name: &str) -> () { Call::delete(Query::new().at("/v1/namespace/{}", name)) }

    /// How many jobs (without children of others) and nodes there are, and what keeps the servers from their work. Ours.
    counts() -> ClusterCounts { Call::get("/v1/status/counts?namespace=*".to_owned()) }

    /// How many rows of each kind belong to a job. Ours.
    job_counts(query: &Query, id: &str) -> JobCounts { Call::get(query.on("/v1/status/counts")).with("job", id) }

    /// Ids that start with `prefix`. `context` is `jobs`, `allocs`, `nodes`, …, or `all`.
    search(query: &Query, prefix: &str, context: &str) -> SearchResponse {
        Call::post(query.on("/v1/search"), &json!({"Prefix": prefix, "Context": context}))
    }

    /// Names that contain `text`.
    search_fuzzy(query: &Query, text: &str, context: &str) -> FuzzySearchResponse {
        Call::post(query.on("/v1/search/fuzzy"), &json!({"Text": text, "Context": context}))
    }
}

streams! {
    /// The state as a file.
    snapshot(query: &Query) { Call::get(query.on("/v1/operator/snapshot")) }

    /// Changes as JSON lines. `topics` such as `Job:web` or `Allocation`; empty means everything.
    events(query: &Query, topics: &[&str], after: u64) {
        let mut call = Call::get(query.on("/v1/event/stream"));
        for topic in topics {
            call = call.with("topic", topic);
        }
        if after > 0 { call.with("index", after) } else { call }
    }
}

/// What [`metrics`] answers as it came; `pretty` with indents.
pub fn metrics_json(pretty: bool) -> Call<Raw> {
    Call::get(format!("/v1/metrics{}", if pretty { "?pretty" } else { "" }))
}

/// The same figures, as Prometheus reads them.
pub fn metrics_prometheus() -> Call<Raw> {
    Call::get("/v1/metrics".to_owned()).with("format", "prometheus")
}
