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

/// Has requests answered by a region, where one is chosen and they do not name one themselves. Which regions there are every server says.
pub struct InRegion<T> {
    pub inner: T,
    /// Empty: none is chosen.
    pub region: String,
}

/// `path` with the region in its query.
pub fn in_region(path: &str, region: &str) -> String {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let named = query.split('&').any(|pair| pair.split('=').next() == Some("region"));
    if region.is_empty() || named || route == "/v1/regions" {
        return path.to_owned();
    }
    let and = if path.contains('?') { '&' } else { '?' };
    format!("{path}{and}region={}", crate::client::escape(region))
}

impl<T> InRegion<T> {
    fn there(&self, mut request: http::Request<Bytes>) -> http::Request<Bytes> {
        // What was an address stays one: the region is escaped.
        if let Ok(uri) = in_region(&request.uri().to_string(), &self.region).parse() {
            *request.uri_mut() = uri;
        }
        request
    }
}

impl<T: Transport> Transport for InRegion<T> {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        self.inner.send(self.there(request))
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        self.inner.stream(self.there(request))
    }
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

#[cfg(test)]
mod tests {
    use super::in_region;

    #[test]
    fn requests_go_to_the_chosen_region() {
        let there = |path: &str| in_region(path, "west&x");
        assert_eq!(there("/v1/jobs"), "/v1/jobs?region=west%26x");
        assert_eq!(there("/v1/jobs?prefix=a"), "/v1/jobs?prefix=a&region=west%26x");
        for path in ["/v1/jobs?region=east", "/v1/regions"] {
            assert_eq!(there(path), path);
        }
        assert_eq!(in_region("/v1/jobs", ""), "/v1/jobs");
    }
}
