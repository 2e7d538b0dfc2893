//! A transport without a server: answers written down beforehand, for tests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;

use crate::transport::{ByteStream, Error, Fut, Transport};

struct Rule {
    method: String,
    path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Answers by method and path (query included); whatever it was not told is a 404. Clones share what they have seen.
#[derive(Clone, Default)]
pub struct Fake {
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Fake {
    pub fn new() -> Fake {
        Fake::default()
    }

    /// Answers `method path` so; a later rule for the same request goes first.
    pub fn on(self, method: &str, path: &str, status: u16, body: impl Into<Bytes>) -> Fake {
        let rule = Rule { method: method.into(), path: path.into(), status, headers: Vec::new(), body: body.into() };
        self.rules.lock().expect("no panic while locked").push(rule);
        self
    }

    /// Adds a header to the rule made last.
    pub fn header(self, name: &str, value: &str) -> Fake {
        if let Some(rule) = self.rules.lock().expect("no panic while locked").last_mut() {
            rule.headers.push((name.into(), value.into()));
        }
        self
    }

    /// `METHOD path` and body of every request so far.
    pub fn seen(&self) -> Vec<(String, Bytes)> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    fn answer(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let (method, path) = (request.method().as_str().to_owned(), request.uri().to_string());
        self.seen.lock().expect("no panic while locked").push((format!("{method} {path}"), request.into_body()));
        let rules = self.rules.lock().expect("no panic while locked");
        let rule = rules.iter().rev().find(|r| r.method == method && r.path == path);
        let mut response = http::Response::builder().status(rule.map_or(404, |r| r.status));
        for (name, value) in rule.map(|r| r.headers.as_slice()).unwrap_or_default() {
            response = response.header(name, value);
        }
        response
            .body(rule.map(|r| r.body.clone()).unwrap_or_default())
            .expect("statuses and headers of a test are valid")
    }
}

impl Transport for Fake {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        Box::pin(async move { Ok(self.answer(request)) })
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        Box::pin(async move {
            let response = self.answer(request);
            let code = response.status().as_u16();
            let body = response.into_body();
            if !(200..300).contains(&code) {
                return Err(Error::Status { code, message: String::from_utf8_lossy(&body).into_owned() });
            }
            Ok(futures::stream::iter([Ok(body)]).boxed())
        })
    }
}
