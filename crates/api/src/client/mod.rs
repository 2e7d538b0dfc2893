//! The typed client: one function a question, the same for pages, the command line and tests.
//!
//! Each question stands once, in the file of its subject, and is there twice over: as a function of [`calls`] that gives a
//! [`Call`], for who wants to keep, compare or narrow the request before it is sent, and as a method of [`Client`] that sends it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::call::Request;
use crate::transport::{ByteStream, Error, INDEX, NEXT_TOKEN, Transport};

mod allocs;
mod call;
mod cluster;
mod fake;
mod jobs;
mod nodes;
mod query;

/// Every question, as the function that gives its [`Call`].
pub mod calls {
    pub use super::allocs::*;
    pub use super::cluster::*;
    pub use super::jobs::*;
    pub use super::nodes::*;
}

pub use allocs::LogRequest;
pub use call::{Call, Raw};
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

    /// Sends a question, and reads its answer.
    pub async fn call<T: DeserializeOwned>(&self, call: &Call<T>) -> Result<Answer<T>, Error> {
        let response = self.send(&call.request).await?;
        let (index, next_token) = meta(&response);
        // A success without a value has an empty body.
        let text: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        let value = serde_json::from_slice(text).map_err(|e| Error::Decode(e.to_string()))?;
        Ok(Answer { value, index, next_token })
    }

    /// Sends a question, and gives the answer's bytes as they arrive.
    pub async fn open(&self, call: &Call<Raw>) -> Result<ByteStream, Error> {
        self.0.stream(call.request.to_http()?).await
    }

    /// `GET path`, decoded. `path` includes the query: `/v1/jobs?prefix=a`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(&Call::get(path.to_owned())).await
    }

    pub async fn put<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Error> {
        self.call(&Call::put(path.to_owned(), body)).await
    }

    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, Error> {
        self.call(&Call::post(path.to_owned(), body)).await
    }

    /// `PUT path` without a body.
    pub async fn touch<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(&Call::touch(path.to_owned())).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(&Call::delete(path.to_owned())).await
    }

    /// The body of `GET path` as it arrives.
    pub async fn stream(&self, path: &str) -> Result<ByteStream, Error> {
        self.open(&Call::get(path.to_owned())).await
    }

    /// Sends, and makes an error of every status that is not a success.
    async fn send(&self, request: &Request) -> Result<http::Response<Bytes>, Error> {
        let response = self.0.send(request.to_http()?).await?;
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
