//! Requests that another server answers: the leader, or one of another region.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use tarpan_rpc::agent::HttpRequest;
use tonic::Status;

use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::forwarded::texts;
use crate::server::Server;

/// Set on what was forwarded: it is not forwarded again, wherever it went meanwhile.
const FORWARDED: &str = "tarpan-forwarded";
/// What belongs to the connection that a request came over.
const OF_CONNECTION: [HeaderName; 5] =
    [header::HOST, header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

/// A question of this server's own, whoever brought it about.
pub fn afresh(parts: &mut Parts) {
    parts.headers.remove(FORWARDED);
}

/// Has the leader answer.
pub async fn of_leader(cx: &Context) -> Outcome {
    let leader = cx.server.leader().ok_or_else(|| ApiError::internal("No cluster leader"))?;
    ask(&cx.server, &cx.server.options().region, &leader, &cx.parts, &cx.body).await
}

/// What a caller of another region's server is connected to where the request asks for another protocol.
pub fn caller(parts: &mut Parts) -> Option<OnUpgrade> {
    parts.headers.get(header::UPGRADE)?;
    parts.extensions.remove::<OnUpgrade>()
}

/// Has the server at `rpc_addr`, of that region, answer a request that asks for another protocol.
pub async fn tunnel(
    server: &Server,
    region: &str,
    rpc_addr: &str,
    parts: &Parts,
    caller: OnUpgrade,
) -> Result<Response<Body>, ApiError> {
    not_yet(parts)?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
    server.tunnel(region, rpc_addr, request, caller).await.map_err(|status| unasked(rpc_addr, &status))
}

fn not_yet(parts: &Parts) -> Result<(), ApiError> {
    match parts.headers.contains_key(FORWARDED) {
        true => Err(ApiError::internal("No cluster leader")),
        false => Ok(()),
    }
}

fn unasked(rpc_addr: &str, status: &Status) -> ApiError {
    ApiError::internal(format!("the server at {rpc_addr} could not be asked: {}", status.message()))
}

/// Has the server at `rpc_addr`, of that region, answer.
pub async fn ask(
    server: &Server,
    region: &str,
    rpc_addr: &str,
    parts: &Parts,
    body: &Bytes,
) -> Result<Response<Body>, ApiError> {
    not_yet(parts)?;
    let mut headers = texts(&parts.headers);
    OF_CONNECTION.iter().for_each(|name| _ = headers.remove(name.as_str()));
    headers.insert(FORWARDED.to_owned(), "1".to_owned());
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let request = HttpRequest { method: parts.method.to_string(), path, headers, body: body.clone() };
    server.http(region, rpc_addr, request).await.map_err(|status| unasked(rpc_addr, &status))
}
