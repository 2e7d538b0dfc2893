//! Successful answers: JSON or nothing, with the headers that tell the state's index.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use tarpan_api::convert::Shown;

use super::error::ApiError;
pub use super::meta::Meta;

/// What handlers give.
pub type Outcome = Result<Response<Body>, ApiError>;

/// How JSON is to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Four blanks of indent and a newline at the end.
    pub pretty: bool,
}

/// `value` as a JSON answer.
pub fn json<T: Serialize + ?Sized>(style: Style, value: &T, meta: &Meta) -> Outcome {
    written(style, meta, |out| value.serialize(&mut serde_json::Serializer::new(out)))
}

/// `value` as a JSON answer, one of those that there are many of or that are large.
pub fn shown<T: Shown + ?Sized>(style: Style, value: &T, meta: &Meta) -> Outcome {
    written(style, meta, |out| value.show(out))
}

fn written(style: Style, meta: &Meta, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Outcome {
    // Room for most answers from the start: `to_vec` begins with 128 bytes and copies what is there each time that it grows.
    let mut out = Vec::with_capacity(8 << 10);
    let written = write(&mut out);
    let shown = written.and_then(|()| if style.pretty { pretty(&out) } else { Ok(out) });
    let bytes = shown.map_err(|e| ApiError::internal(format!("writing the answer as JSON: {e}")))?;
    Ok(bytes_answer(bytes.into(), "application/json", meta))
}

/// JSON with indents. From text to text, so that no shape has to be written in two ways.
fn pretty(compact: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut pretty = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde_transcode::transcode(&mut serde_json::Deserializer::from_slice(compact), &mut pretty)?;
    out.push(b'\n');
    Ok(out)
}

pub fn bytes_answer(bytes: Bytes, content_type: &'static str, meta: &Meta) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    meta.write(response.headers_mut());
    response
}

/// A success without a value: 200 and an empty body.
pub fn empty(meta: &Meta) -> Outcome {
    status(StatusCode::OK, meta)
}

pub fn status(status: StatusCode, meta: &Meta) -> Outcome {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    meta.write(response.headers_mut());
    Ok(response)
}
