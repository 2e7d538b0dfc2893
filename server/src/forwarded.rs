//! `/v1` requests that came to somebody else: as messages, run as if they had come here, and their answers as messages again.

use std::pin::Pin;

use axum::body::Body;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tarpan_rpc::agent::{HttpHead, HttpPart, HttpRequest, http_part};
use tonic::Status;
use tower::ServiceExt as _;

/// The head of an answer, and its body as it comes.
pub(crate) type Parts = Pin<Box<dyn Stream<Item = Result<HttpPart, Status>> + Send>>;

/// What `router` answers.
pub(crate) async fn answer(router: &axum::Router, request: HttpRequest) -> Result<Parts, Status> {
    let answer = match router.clone().oneshot(into_http(request)?).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let (head, body) = answer.into_parts();
    let head = HttpHead { status: head.status.as_u16().into(), headers: texts(&head.headers) };
    let head = Ok(HttpPart { body: Some(http_part::Body::Head(head)) });
    let data = body.into_data_stream().map(|chunk| match chunk {
        Ok(data) => Ok(HttpPart { body: Some(http_part::Body::Data(data)) }),
        Err(error) => Err(Status::internal(error.to_string())),
    });
    Ok(Box::pin(futures::stream::iter([head]).chain(data)))
}

/// The answer that these parts are.
pub(crate) async fn response(mut parts: Parts) -> Result<http::Response<Body>, Status> {
    let Some(HttpPart { body: Some(http_part::Body::Head(head)) }) = parts.next().await.transpose()? else {
        return Err(Status::internal("an answer without a head"));
    };
    let body = parts.filter_map(async |part| match part {
        Ok(HttpPart { body: Some(http_part::Body::Data(data)) }) => Some(Ok(data)),
        Ok(_) => None,
        Err(status) => Some(Err(std::io::Error::other(status.message().to_owned()))),
    });
    let mut response = http::Response::new(Body::from_stream(body));
    let status = u16::try_from(head.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// The headers whose values are texts.
pub(crate) fn texts(headers: &HeaderMap) -> std::collections::HashMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    headers.iter().filter_map(text).collect()
}

fn into_http(request: HttpRequest) -> Result<http::Request<Body>, Status> {
    let bad = |e: http::Error| Status::invalid_argument(e.to_string());
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(request.path.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(request.body)).map_err(bad)
}
