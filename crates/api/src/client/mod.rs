//! The typed client: one method a question, the same for pages, the command line and tests.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::{ByteStream, Error, INDEX, NEXT_TOKEN, Transport};

mod allocs;
mod cluster;
mod fake;
mod jobs;
mod nodes;
mod query;

pub use allocs::LogRequest;
pub use fake::Fake;
pub use query::{Query, escape};

/// Asks `/v1` through a [`Transport`]. Cheap to clone.
///
/// A method a question, grouped by subject: jobs (`jobs.rs`), allocations, evaluations, deployments and services
/// (`allocs.rs`), nodes (`nodes.rs`), the cluster itself and search (`cluster.rs`). Each takes a [`Query`] for
/// namespace, region, blocking and paging.
///
/// ```
/// # use tarpan_api::{Client, Query, client::Fake};
/// # futures::executor::block_on(async {
/// let fake = Fake::new().on("GET", "/v1/jobs?prefix=web", 200, r#"[{"ID": "web"}]"#);
/// let jobs = Client::new(fake).jobs(&Query::new().prefix("web")).await?;
/// assert_eq!(jobs.value[0].id, "web");
/// # Ok::<(), tarpan_api::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Client(Arc<dyn Transport>);

/// A value and the raft index it was read at (`X-Nomad-Index`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct Answer<T> {
    pub value: T,
    pub index: u64,
    pub next_token: Option<String>,
}

impl Client {
    pub fn new(transport: impl Transport) -> Client {
        Client(Arc::new(transport))
    }

    /// `GET path`, decoded. `path` includes the query: `/v1/jobs?prefix=a`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(Method::GET, path, None::<&()>).await
    }

    pub async fn put<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Error> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PUT path` without a body.
    pub async fn touch<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(Method::PUT, path, None::<&()>).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// `GET path` as text, whatever it is.
    pub async fn text(&self, path: &str) -> Result<Answer<String>, Error> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        let (index, next_token) = meta(&response);
        Ok(Answer { value: String::from_utf8_lossy(response.body()).into_owned(), index, next_token })
    }

    /// The body of `GET path` as it arrives.
    pub async fn stream(&self, path: &str) -> Result<ByteStream, Error> {
        self.0.stream(request(Method::GET, path, Bytes::new())?).await
    }

    async fn call<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Answer<T>, Error> {
        let body = match body {
            Some(value) => Bytes::from(serde_json::to_vec(value).map_err(|e| Error::Decode(e.to_string()))?),
            None => Bytes::new(),
        };
        let response = self.send(method, path, body).await?;
        let (index, next_token) = meta(&response);
        // A success without a value has an empty body.
        let text: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        let value = serde_json::from_slice(text).map_err(|e| Error::Decode(e.to_string()))?;
        Ok(Answer { value, index, next_token })
    }

    /// Sends, and makes an error of every status that is not a success.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<http::Response<Bytes>, Error> {
        let response = self.0.send(request(method, path, body)?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let message = String::from_utf8_lossy(response.body()).trim().to_owned();
        Err(Error::Status { code: status.as_u16(), message })
    }
}

impl<T> Answer<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), index: self.index, next_token: self.next_token }
    }
}

/// The index and the token of the next page.
fn meta(response: &http::Response<Bytes>) -> (u64, Option<String>) {
    let header = |name: &http::HeaderName| response.headers().get(name).and_then(|v| v.to_str().ok());
    let index = header(&INDEX).and_then(|v| v.parse().ok()).unwrap_or(0);
    (index, header(&NEXT_TOKEN).map(str::to_owned))
}

fn request(method: Method, path: &str, body: Bytes) -> Result<http::Request<Bytes>, Error> {
    http::Request::builder().method(method).uri(path).body(body).map_err(|e| Error::Unreachable(format!("{path}: {e}")))
}
