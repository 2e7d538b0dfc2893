//! Questions about nodes, and what can be done to them.

use serde_json::json;

use super::call::{Call, calls};
use super::{Answer, Client, Query};
use crate::transport::Error;
use crate::wire::{
    Allocation, HostStats, JobListStub, Node, NodeDrainUpdateResponse, NodeEligibilityUpdateResponse, NodeListStub,
    NodeMetaApplyRequest, NodeMetaResponse, NodePool, NodeUpdateDrainRequest, UsageHistory,
};

calls! {
    /// In id order. With `resources=true` in the query, what each has and what is reserved.
    nodes(query: &Query) -> Vec<NodeListStub> { Call::get(query.on("/v1/nodes")) }

    node(query: &Query, id: &str) -> Node { Call::get(query.at("/v1/node/{}", id)) }

    node_allocations(query: &Query, id: &str) -> Vec<Allocation> {
        Call::get(query.at("/v1/node/{}/allocations", id))
    }

    set_node_eligibility(query: &Query, id: &str, eligible: bool) -> NodeEligibilityUpdateResponse {
        let body = json!({"NodeID": id, "Eligibility": if eligible { "eligible" } else { "ineligible" }});
        Call::put(query.at("/v1/node/{}/eligibility", id), &body)
    }

    /// Starts a drain, or ends it when `request.drain_spec` is `None`.
    drain_node(query: &Query, request: &NodeUpdateDrainRequest) -> NodeDrainUpdateResponse {
        Call::put(query.at("/v1/node/{}/drain", &request.node_id), request)
    }

    /// What the node uses right now; `None`: the node that answers.
    node_stats(query: &Query, id: Option<&str>) -> HostStats {
        of_node(Call::get(query.on("/v1/client/stats")), id)
    }

    /// What the node used over time; `id` as in [`node_stats`], `span`: `hour` or `day`.
    node_history(query: &Query, id: Option<&str>, span: &str) -> UsageHistory {
        of_node(Call::get(query.on("/v1/client/history")), id).with("span", span)
    }

    /// Metadata as it stands, what changed of it while the node runs, and what its configuration says; `id` as in [`node_stats`].
    node_metadata(query: &Query, id: Option<&str>) -> NodeMetaResponse {
        of_node(Call::get(query.on("/v1/client/metadata")), id)
    }

    /// Sets metadata of a running node; a key without a value is taken away.
    apply_node_metadata(query: &Query, id: Option<&str>, request: &NodeMetaApplyRequest) -> NodeMetaResponse {
        of_node(Call::post(query.on("/v1/client/metadata"), request), id)
    }

    /// Removes what ended allocations left on the node; `id` as in [`node_stats`].
    collect_node_garbage(query: &Query, id: Option<&str>) -> serde_json::Value {
        of_node(Call::touch(query.on("/v1/client/gc")), id)
    }

    node_pools(query: &Query) -> Vec<NodePool> { Call::get(query.on("/v1/node/pools")) }

    node_pool(query: &Query, name: &str) -> NodePool {
        Call::get(query.at("/v1/node/pool/{}", name))
    }

    node_pool_nodes(query: &Query, name: &str) -> Vec<NodeListStub> {
        Call::get(query.at("/v1/node/pool/{}/nodes", name))
    }

    node_pool_jobs(query: &Query, name: &str) -> Vec<JobListStub> {
        Call::get(query.at("/v1/node/pool/{}/jobs", name))
    }
}

fn of_node<T>(call: Call<T>, id: Option<&str>) -> Call<T> {
    if let Some(id) = id { call.with("node_id", id) } else { call }
}
