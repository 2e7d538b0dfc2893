//! Requests that this agent can't answer, run on a server: `Agents.Http`.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderName, HeaderValue, StatusCode};
use tarpan_rpc::agent::{HttpHead, HttpPart, HttpRequest, http_part};

use crate::session::{Client, Session};

/// Largest request body that is forwarded.
const BODY: usize = 48 << 20;

/// Why a forwarded request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("{0}")]
    Status(String),
    #[error("the server sent no head")]
    NoHead,
}

type Parts = tonic::Streaming<HttpPart>;

async fn begin(mut client: Client, request: HttpRequest) -> Result<(HttpHead, Parts), ForwardError> {
    let failed = |status: tonic::Status| ForwardError::Status(status.message().to_owned());
    let mut parts = client.http(request).await.map_err(failed)?.into_inner();
    match parts.message().await.map_err(failed)?.and_then(|p| p.body) {
        Some(http_part::Body::Head(head)) => Ok((head, parts)),
        _ => Err(ForwardError::NoHead),
    }
}

/// A whole answer: status, `X-Nomad-Index`, body.
pub async fn get(client: Client, path: &str) -> Result<(u32, u64, Vec<u8>), ForwardError> {
    let request = HttpRequest { method: "GET".to_owned(), path: path.to_owned(), ..HttpRequest::default() };
    let (head, mut parts) = begin(client, request).await?;
    let index = head.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case("x-nomad-index"));
    let index = index.and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    while let Ok(Some(part)) = parts.message().await {
        if let Some(http_part::Body::Data(data)) = part.body {
            body.extend_from_slice(&data);
        }
    }
    Ok((head.status, index, body))
}

/// The fallback handler of an agent without the server role.
pub async fn handle(State(session): State<Session>, request: http::Request<Body>) -> Response {
    let Some(client) = session.connected_client() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader").into_response();
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large to be forwarded").into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let hop = |name: &HeaderName| {
        matches!(name.as_str(), "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "content-length")
    };
    let headers = parts.headers.iter().filter(|(name, _)| !hop(name));
    let headers = headers.filter_map(|(k, v)| Some((k.as_str().to_owned(), v.to_str().ok()?.to_owned()))).collect();
    let request = HttpRequest { method: parts.method.to_string(), path, headers, body };
    match begin(client, request).await {
        Ok((head, parts)) => response(&head, parts),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn response(head: &HttpHead, parts: Parts) -> Response {
    let data = parts.filter_map(|part| async {
        match part {
            Ok(HttpPart { body: Some(http_part::Body::Data(data)) }) => Some(Ok::<Bytes, std::io::Error>(data)),
            Ok(_) => None,
            Err(status) => Some(Err(std::io::Error::other(status.message().to_owned()))),
        }
    });
    let mut response = Response::new(Body::from_stream(data));
    *response.status_mut() =
        u16::try_from(head.status).ok().and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            && name != http::header::CONTENT_LENGTH
            && name != http::header::TRANSFER_ENCODING
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}
