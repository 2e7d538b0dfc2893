//! Refusals of the node's routes: a status and a plain sentence.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::ground::{self, Busy};

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

    /// There is no thread for file work, and there was none for as long as one waits.
    pub fn busy(busy: Busy) -> Error {
        Error::new(StatusCode::SERVICE_UNAVAILABLE, busy.to_string())
    }

    /// What was not opened below an allocation's directory.
    pub fn ground(path: &str, error: ground::Error) -> Error {
        match error {
            ground::Error::Escapes => Error::bad(error.to_string()),
            ground::Error::IsADirectory { .. } => Error::bad(format!("file {path:?} is a directory")),
            ground::Error::Kind { kind, .. } => {
                Error::bad(format!("file {path:?} is {kind}: only regular files and directories are read"))
            }
            ground::Error::NotADirectory { .. } => Error::internal(format!("reading {path:?}: Not a directory")),
            ground::Error::Io { source, .. } => Error::file(path, &source),
            other => Error::bad(format!("reading {path:?}: {other}")),
        }
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
