//! Requests that a node has to answer: which one, and asking it.

use axum::http::header;
use serde::Deserialize;
use tarpan_model::{AllocId, NodeId};
use tarpan_rpc::agent::HttpRequest;

use super::context::Context;
use super::error::ApiError;
use super::lookup;
use crate::node_request::{NodeRequestError, NodeResponse};

/// The node that has to answer: that of the path's allocation, or one that is named, or this agent's own.
pub fn node_of(cx: &Context) -> Result<NodeId, ApiError> {
    let Some(alloc) = cx.path.find("alloc") else { return named_node(cx) };
    let id: AllocId = lookup::id("alloc", alloc)?;
    let state = cx.state()?;
    let row = state.alloc(id).ok_or_else(|| ApiError::not_found(format!("Unknown allocation {:?}", id.to_string())))?;
    Ok(row.node_id)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeInBody {
    #[serde(rename = "NodeID")]
    node_id: Option<String>,
}

/// The node of `node_id`, of the body, or of this agent.
fn named_node(cx: &Context) -> Result<NodeId, ApiError> {
    let asked = cx.query.get("node_id").filter(|id| !id.is_empty()).map(str::to_owned);
    let in_body = || cx.decode_optional::<NodeInBody>().ok().and_then(|b| b.node_id).filter(|id| !id.is_empty());
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

/// What the node of the request answers.
pub async fn ask(cx: &Context, path: String) -> Result<NodeResponse, ApiError> {
    let node = cx.node.expect("whoever answers for a node is in the table as answered by one");
    let answer = cx.server.node_request(node, node_request(cx, path)).await;
    answer.map_err(|why| match why {
        NodeRequestError::UnknownNode(id) => ApiError::not_found(format!("Unknown node {:?}", id.to_string())),
        other => other.into(),
    })
}
