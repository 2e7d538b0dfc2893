//! Routes that only a node can answer: carried to it through its own session, its answer passed on as it comes.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use futures::StreamExt;

use super::bind::bind;
use super::context::Context;
use super::on_node::ask;
use super::reply::Outcome;
use crate::node_request::NodeResponse;

bind! { OnNode {
    List => as_it_is,
    Stat => as_it_is,
    ReadAt => as_it_is,
    Cat => as_it_is,
    Stream => as_it_is,
    Logs => as_it_is,
    AllocStats => as_it_is,
    AllocHistory => as_it_is,
    Checks => as_it_is,
    Exec => super::exec::exec,
    Restart => as_it_is,
    AllocGc => as_it_is,
    Signal => as_it_is,
    Gc => as_it_is,
    Stats => as_it_is,
    History => as_it_is,
    Metadata => as_it_is,
    SetMetadata => as_it_is,
}}

/// The request as it came.
async fn as_it_is(cx: Context) -> Outcome {
    let path = cx.parts.uri.path_and_query().map_or_else(|| cx.parts.uri.path().to_owned(), ToString::to_string);
    pass_on(&cx, path).await
}

/// `GET /v1/allocation/:id/checks`: the node knows it under another path.
pub async fn checks(cx: Context) -> Outcome {
    let path = format!("/v1/client/allocation/{}/checks", cx.path.get("alloc"));
    pass_on(&cx, path).await
}

async fn pass_on(cx: &Context, path: String) -> Outcome {
    Ok(response(ask(cx, path).await?))
}

/// Headers that describe one connection only.
const HOP_BY_HOP: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::CONTENT_LENGTH];

fn response(answer: NodeResponse) -> Response<Body> {
    let NodeResponse { status, headers, body, send } = answer;
    // Nothing more goes to the node, but hanging up early would end the answer.
    let body = body.map(move |part| {
        let _open = &send;
        part
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = status;
    *response.headers_mut() = passed(headers);
    response
}

/// What a node answers are a task's own bytes, and a node is trusted with no more than its tasks: whatever it says of them, no
/// browser runs them.
fn passed(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::SET_COOKIE);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let kind = headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    if kind.is_some_and(|kind| !is_harmless(kind)) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers
}

/// A type that nothing is done with but show it.
fn is_harmless(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    ["text/plain", "application/json", "application/octet-stream"].iter().any(|k| kind.eq_ignore_ascii_case(k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_runs_nowhere() {
        for (said, shown) in [
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("application/json", "application/json"),
            ("text/html", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("text/javascript", "application/octet-stream"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(said));
            headers.insert(header::SET_COOKIE, HeaderValue::from_static("a=b"));
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
            let headers = passed(headers);
            assert_eq!(headers[header::CONTENT_TYPE], shown, "{said}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'; sandbox");
            assert!(!headers.contains_key(header::SET_COOKIE));
        }
    }
}
