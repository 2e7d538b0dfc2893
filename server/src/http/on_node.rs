//! Requests that a node has to answer: which one, and asking it.

use std::sync::Arc;

use axum::http::header;
use tarpan_api::wire;
use tarpan_model::{AllocId, Allocation, ClientStatus, NodeId};
use tarpan_rpc::agent::HttpRequest;
use tarpan_state::State;

use super::context::Context;
use super::error::ApiError;
use super::lookup;
use crate::node_request::{NodeRequestError, NodeResponse};

/// The node that has to answer: that of the path's allocation, that of an allocation of the path's job, or one that is named, or
/// this agent's own.
pub fn node_of(cx: &Context) -> Result<NodeId, ApiError> {
    if cx.path.find("job").is_some() {
        return Ok(alloc_of_job(cx, &*cx.state()?, None)?.node_id);
    }
    let Some(alloc) = cx.path.find("alloc") else { return named_node(cx) };
    let id: AllocId = lookup::id("alloc", alloc)?;
    let state = cx.state()?;
    let row = state.alloc(id).ok_or_else(|| ApiError::not_found(format!("Unknown allocation {:?}", id.to_string())))?;
    Ok(row.node_id)
}

/// The allocation of the path's job that is named, or the newest running one of the group; on `node` where that is chosen already.
pub fn alloc_of_job<'a>(cx: &Context, state: &'a State, node: Option<NodeId>) -> Result<&'a Arc<Allocation>, ApiError> {
    let key = cx.job_key();
    if state.job(&key).is_none() {
        return Err(ApiError::not_found("job not found"));
    }
    let asked = |name| cx.query.get(name).unwrap_or_default();
    let (named, group) = (asked("allocID"), asked("group"));
    if !named.is_empty() {
        let id: AllocId = lookup::id("alloc", named)?;
        let of_job = |row: &&Arc<Allocation>| row.job_key() == key;
        return state
            .alloc(id)
            .filter(of_job)
            .ok_or_else(|| ApiError::not_found(format!("Unknown allocation {named:?}")));
    }
    if group.is_empty() {
        return Err(ApiError::bad_request("allocID or group is needed"));
    }
    let here = |row: &&Arc<Allocation>| node.is_none_or(|node| row.node_id == node);
    let runs = |row: &&Arc<Allocation>| row.client_status == ClientStatus::Running && *row.task_group == *group;
    let newest = state.allocs_by_job(&key).filter(runs).filter(here).max_by_key(|row| (row.create_index, row.id));
    newest.ok_or_else(|| ApiError::not_found(format!("no allocation of group {group:?} runs")))
}

/// The node of `node_id`, of the body, or of this agent.
fn named_node(cx: &Context) -> Result<NodeId, ApiError> {
    let asked = cx.query.get("node_id").filter(|id| !id.is_empty()).map(str::to_owned);
    let in_body = || cx.decode_optional::<wire::NodeInBody>().ok().and_then(|b| b.node_id).filter(|id| !id.is_empty());
    match asked.or_else(in_body) {
        Some(text) => lookup::id("node", &text),
        None => cx.local_node().ok_or_else(|| ApiError::bad_request("No local Node and node_id not provided")),
    }
}

/// The request as the node gets it.
fn node_request(cx: &Context, path: String) -> HttpRequest {
    let kept = [header::CONTENT_TYPE, header::ACCEPT, header::RANGE];
    let headers = kept.iter().filter_map(|name| {
        let value = cx.headers().get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    HttpRequest { method: cx.method().to_string(), path, headers: headers.collect(), body: cx.body.clone() }
}

/// What a node answers to a request of this server's own, which no caller may make.
pub async fn tell(cx: &Context, node: NodeId, request: HttpRequest) -> Result<NodeResponse, NodeRequestError> {
    cx.server.node_request(node, request).await
}

/// What the node of the request answers.
pub async fn ask(cx: &Context, path: String) -> Result<NodeResponse, ApiError> {
    let node = cx.node.expect("whoever answers for a node is in the table as answered by one");
    let answer = cx.server.node_request(node, node_request(cx, path)).await;
    answer.map_err(|why| match why {
        NodeRequestError::UnknownNode(id) => ApiError::not_found(format!("Unknown node {:?}", id.to_string())),
        other => other.into(),
    })
}
