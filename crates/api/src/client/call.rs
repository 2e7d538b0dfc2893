//! A request as a value: what is asked, and in its type what is answered.

use std::marker::PhantomData;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use tarpan_model::wire::Reads;

use super::Query;
use super::query::escape;
use crate::transport::Error;

/// A request of `/v1` that has not been sent: [`super::Client::call`] sends it. Only this crate makes them, one function a
/// question, so that no path and no name of a body is spelled anywhere else.
pub struct Call<T> {
    pub(super) request: Request,
    answer: PhantomData<fn() -> T>,
}

/// What a [`Call`] is without its type: one routine sends all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub body: Bytes,
}

/// The type of a [`Call`] that is answered by bytes as they come ([`super::Client::open`]), or by a text ([`super::Client::text`]).
pub enum Raw {}

impl<T> Call<T> {
    pub(super) fn new(method: Method, path: String, body: Bytes) -> Call<T> {
        Call { request: Request { method, path, body }, answer: PhantomData }
    }

    pub(super) fn get(path: String) -> Call<T> {
        Call::new(Method::GET, path, Bytes::new())
    }

    /// `PUT` without a body.
    pub(super) fn touch(path: String) -> Call<T> {
        Call::new(Method::PUT, path, Bytes::new())
    }

    pub(super) fn put<B: Serialize + ?Sized>(path: String, body: &B) -> Call<T> {
        Call::new(Method::PUT, path, json(body))
    }

    pub(super) fn post<B: Serialize + ?Sized>(path: String, body: &B) -> Call<T> {
        Call::new(Method::POST, path, json(body))
    }

    pub(super) fn delete(path: String) -> Call<T> {
        Call::new(Method::DELETE, path, Bytes::new())
    }

    /// `DELETE` of what a body names.
    pub(super) fn delete_what<B: Serialize + ?Sized>(path: String, body: &B) -> Call<T> {
        Call::new(Method::DELETE, path, json(body))
    }

    /// The same with one parameter more.
    pub fn with(mut self, name: &str, value: impl ToString) -> Call<T> {
        let path = &mut self.request.path;
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        path.push_str(&escape(&value.to_string()));
        self
    }

    /// The same with `name=true`, where `on`.
    pub fn flag(self, name: &str, on: bool) -> Call<T> {
        if on { self.with(name, true) } else { self }
    }

    /// One page of a list: `next_token` as the page before gave it, empty for the first one.
    pub fn page(self, per_page: usize, next_token: &str) -> Call<T> {
        let page = self.with("per_page", per_page);
        if next_token.is_empty() { page } else { page.with("next_token", next_token) }
    }

    /// The same request, of whose answer less is read: a part of the shape, or a bare JSON value.
    pub fn part<P: Reads<T>>(self) -> Call<P> {
        Call { request: self.request, answer: PhantomData }
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.request.path
    }
}

impl<T> Clone for Call<T> {
    fn clone(&self) -> Self {
        Call { request: self.request.clone(), answer: PhantomData }
    }
}

impl<T> PartialEq for Call<T> {
    fn eq(&self, other: &Self) -> bool {
        self.request == other.request
    }
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.request.method, self.request.path)
    }
}

fn json<B: Serialize + ?Sized>(body: &B) -> Bytes {
    serde_json::to_vec(body).expect("requests are objects with texts as names").into()
}

impl Request {
    pub(super) fn to_http(&self) -> Result<http::Request<Bytes>, Error> {
        let Request { method, path, body } = self;
        let request = http::Request::builder().method(method).uri(path).body(body.clone());
        request.map_err(|e| Error::Unreachable(format!("{path}: {e}")))
    }
}

impl Query {
    /// `/v1/…` with these parameters behind it; `{}` stands for `name`, escaped.
    pub(super) fn at(&self, path: &str, name: &str) -> String {
        self.on(&path.replace("{}", &escape(name)))
    }
}

/// Declares questions. Each becomes a function that gives its [`Call`], and a method of [`super::Client`] that sends it.
macro_rules! calls {
    ($( $(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $answer:ty $call:block )*) => {
        $(
            $(#[$doc])*
            pub fn $name($($arg: $ty),*) -> Call<$answer> $call
        )*

        impl Client {
            $(
                $(#[$doc])*
                pub async fn $name(&self, $($arg: $ty),*) -> Result<Answer<$answer>, Error> {
                    self.call(&$name($($arg),*)).await
                }
            )*
        }
    };
}

/// As [`calls!`], of questions that are answered by bytes as they come.
macro_rules! streams {
    ($( $(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?) $call:block )*) => {
        $(
            $(#[$doc])*
            pub fn $name($($arg: $ty),*) -> Call<Raw> $call
        )*

        impl Client {
            $(
                $(#[$doc])*
                pub async fn $name(&self, $($arg: $ty),*) -> Result<ByteStream, Error> {
                    self.open(&$name($($arg),*)).await
                }
            )*
        }
    };
}

pub(super) use {calls, streams};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_pages() {
        let list = || Call::<Vec<String>>::get(Query::in_namespace("*").on("/v1/x"));
        assert_eq!(list().page(100, "").path(), "/v1/x?namespace=%2A&per_page=100");
        assert_eq!(list().page(100, "7.a&b").path(), "/v1/x?namespace=%2A&per_page=100&next_token=7.a%26b");
        assert_eq!(Call::<()>::get("/v1/x".into()).with("q", "a b").path(), "/v1/x?q=a%20b");
        assert_eq!(format!("{:?}", list().part::<serde_json::Value>()), "GET /v1/x?namespace=%2A");
        assert_eq!(Query::new().at("/v1/x/{}/y", "a/b"), "/v1/x/a%2Fb/y");
    }
}
