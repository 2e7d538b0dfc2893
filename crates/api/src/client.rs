//! The typed client: one method a question, the same for pages, the command line and tests.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::{ByteStream, Error, Transport};

/// Asks `/v1` through a [`Transport`]. Cheap to clone.
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

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.call(Method::DELETE, path, None::<&()>).await
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
        let response = self.0.send(request(method, path, body)?).await?;
        let status = response.status();
        if !status.is_success() {
            let message = String::from_utf8_lossy(response.body()).trim().to_owned();
            return Err(Error::Status { code: status.as_u16(), message });
        }
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let index = header("x-nomad-index").and_then(|v| v.parse().ok()).unwrap_or(0);
        let next_token = header("x-nomad-nexttoken").map(str::to_owned);
        // A success without a value has an empty body.
        let text: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        let value = serde_json::from_slice(text).map_err(|e| Error::Decode(e.to_string()))?;
        Ok(Answer { value, index, next_token })
    }
}

fn request(method: Method, path: &str, body: Bytes) -> Result<http::Request<Bytes>, Error> {
    http::Request::builder().method(method).uri(path).body(body).map_err(|e| Error::Unreachable(format!("{path}: {e}")))
}
