//! How a request reaches a server: one object-safe trait with boxed `Send` futures, so that nothing above it has a `cfg`.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use serde::{Deserialize, Serialize};

/// The raft index that an answer was read at.
pub static INDEX: http::HeaderName = http::HeaderName::from_static("x-nomad-index");
/// Where the next page of a list begins.
pub static NEXT_TOKEN: http::HeaderName = http::HeaderName::from_static("x-nomad-nexttoken");

pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Carries requests for paths such as `/v1/jobs?prefix=a`; credentials and address are its own business.
pub trait Transport: Send + Sync + 'static {
    /// The whole answer. Errors only when there is no answer; a status of 4xx or 5xx is an answer.
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>>;
    /// The body as it arrives. A status other than 2xx is [`Error::Status`].
    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>>;
}

/// Why there is no value. Serialisable: it crosses from the rendering server to the browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unreachable(String),
    /// The server's own sentence.
    #[error("{message}")]
    Status { code: u16, message: String },
    #[error("unexpected answer: {0}")]
    Decode(String),
}

impl Error {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Status { code: 404, .. })
    }
}
