//! Refusals of the node's routes: a status and a plain sentence.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

#[derive(Debug)]
pub struct Error {
    pub status: StatusCode,
    pub text: String,
}

impl Error {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Error {
        Error { status, text: text.into() }
    }

    pub fn bad(text: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, text)
    }

    pub fn not_found(text: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, text)
    }

    pub fn internal(text: impl Into<String>) -> Error {
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// A file that can't be read: what is not there is 404.
    pub fn file(path: &str, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("file {path:?} not found: no such file or directory"))
            }
            _ => Error::internal(format!("reading {path:?}: {error}")),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status, [(http::header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.text).into_response()
    }
}
