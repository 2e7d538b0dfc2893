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
mod csi;
mod fake;
mod jobs;
mod nodes;
mod query;
mod volumes;

/// Every question, as the function that gives its [`Call`].
pub mod calls {
    pub use super::allocs::*;
    pub use super::cluster::*;
    pub use super::csi::*;
    pub use super::jobs::*;
    pub use super::nodes::*;
    pub use super::volumes::*;
}

pub use allocs::{LogRequest, LogSearch};
pub use call::{Call, Raw};
pub use fake::Fake;
pub use query::{Query, escape};

/// Asks `/v1` through a [`Transport`]. Cheap to clone.
///
/// A method a question, grouped by subject: jobs (`jobs.rs`), allocations, evaluations, deployments and services
/// (`allocs.rs`), nodes (`nodes.rs`), volumes (`volumes.rs`, `csi.rs`), the cluster itself and search (`cluster.rs`). Each takes a [`Query`] for
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

    /// Sends a question, and gives the whole answer as a text.
    pub async fn text(&self, call: &Call<Raw>) -> Result<String, Error> {
        let response = self.send(&call.request).await?;
        Ok(String::from_utf8_lossy(response.body()).into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What has many parameters, or an odd one, and what is asked by a path alone.
    #[test]
    fn requests_that_no_answer_would_prove() {
        let query = Query::in_namespace("prod");
        let command = ["sh".to_owned(), "-c".to_owned()];
        let config = crate::wire::SchedulerConfiguration::default();
        let asked = [
            format!("{:?}", calls::exec(&query, "a", "t", &command, true)),
            format!("{:?}", calls::run_action_named(&query, "a/b", "say hi")),
            format!("{:?}", calls::read_file(&query, "a", "/x y", 7, 9)),
            format!("{:?}", calls::follow_file(&query, "a", "/x", 9, true)),
            format!("{:?}", calls::node_metadata(&Query::new(), Some("n"))),
            format!("{:?}", calls::set_scheduler_configuration(&config, Some(3))),
            format!("{:?}", calls::metrics_json(true)),
            format!("{:?}", calls::metrics_json(false)),
            format!("{:?}", calls::metrics_prometheus()),
        ];
        let expected = [
            "GET /v1/client/allocation/a/exec?namespace=prod&task=t&command=%5B%22sh%22%2C%22-c%22%5D&tty=true&ws_handshake=true",
            "GET /v1/job/a%2Fb/action?namespace=prod&action=say%20hi",
            "GET /v1/client/fs/readat/a?namespace=prod&path=%2Fx%20y&offset=7&limit=9",
            "GET /v1/client/fs/stream/a?namespace=prod&path=%2Fx&follow=true&offset=9&origin=end",
            "GET /v1/client/metadata?node_id=n",
            "PUT /v1/operator/scheduler/configuration?cas=3",
            "GET /v1/metrics?pretty",
            "GET /v1/metrics",
            "GET /v1/metrics?format=prometheus",
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_text_is_given_as_it_came() {
        let fake = Fake::new().on("GET", "/v1/metrics?format=prometheus", 200, "a 1\n");
        let text = |call: Call<Raw>| futures::executor::block_on(Client::new(fake.clone()).text(&call));
        assert_eq!(text(calls::metrics_prometheus()), Ok("a 1\n".to_owned()));
        assert!(
            text(calls::metrics_json(true)).is_err_and(|e| e.is_not_found()),
            "a status that is no success is an error"
        );
    }
}
