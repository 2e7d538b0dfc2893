//! The pages: each reads `/v1` and composes components.

pub mod actions;
pub mod alloc;
pub mod client;
pub mod clients;
pub mod eval;
pub mod evals;
pub mod job;
pub mod jobs;
pub mod logs;
pub mod missing;
pub mod run;
pub mod selected;
pub mod servers;
pub mod services;
pub mod tables;
pub mod topology;
pub mod verdicts;

use std::sync::Arc;

use leptos::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_api::{Client, Error};

use crate::live::{Topic, live};
use crate::parts::loaded::Read;
use crate::parts::pager::PER_PAGE;
use crate::paths::encode;
use crate::place;

/// Sets the status of the answer while the server renders; in no context in the browser.
#[derive(Clone)]
pub struct SetStatus(pub Arc<dyn Fn(u16) + Send + Sync>);

/// The client of the context; outside of one (a list of routes is made without a request) nothing answers.
pub fn client() -> Client {
    use_context::<Client>().unwrap_or_else(|| Client::new(Nobody))
}

struct Nobody;

impl tarpan_api::Transport for Nobody {
    fn send(&self, _: http::Request<bytes::Bytes>) -> tarpan_api::Fut<'_, Result<http::Response<bytes::Bytes>, Error>> {
        Box::pin(async { Err(Error::Unreachable("no server".to_owned())) })
    }
    fn stream(&self, _: http::Request<bytes::Bytes>) -> tarpan_api::Fut<'_, Result<tarpan_api::ByteStream, Error>> {
        Box::pin(async { Err(Error::Unreachable("no server".to_owned())) })
    }
}

/// Reads `GET path`, again whenever the path or one of `topics` changes. An empty path reads nothing and gives the default.
pub fn read<T>(path: impl Fn() -> String + Send + Sync + 'static, topics: &'static [Topic]) -> Read<T>
where
    T: Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (client, live) = (client(), live());
    Resource::new(
        move || (path(), live.changed(topics)),
        move |(path, _)| {
            let client = client.clone();
            async move {
                if path.is_empty() {
                    return Ok(T::default());
                }
                let answer = client.get::<T>(&path).await?;
                live.seen(answer.index);
                Ok(answer.value)
            }
        },
    )
}

/// One page of a list that the API gives a page at a time, and the token of the next one; empty: this is the last.
pub type Paged<T> = (Vec<T>, String);

/// As [`read`]: the page of the list at `path` that the address asks for. `path` has a query.
pub fn read_page<T>(path: impl Fn() -> String + Send + Sync + 'static, topics: &'static [Topic]) -> Read<Paged<T>>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (client, live, query) = (client(), live(), place::query());
    let at = move || query.with(|q| q.get("next")).unwrap_or_default();
    Resource::new(
        move || (path(), at(), live.changed(topics)),
        move |(path, at, _)| {
            let client = client.clone();
            async move {
                let at = if at.is_empty() { at } else { format!("&next_token={}", encode(&at, false)) };
                let answer = client.get::<Vec<T>>(&format!("{path}&per_page={PER_PAGE}{at}")).await?;
                live.seen(answer.index);
                Ok((answer.value, answer.next_token.unwrap_or_default()))
            }
        },
    )
}

/// The newest value, or the default while there is none.
pub fn or_default<T>(read: Read<T>) -> Signal<T>
where
    T: Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let last = Memo::new(move |before: Option<&T>| match read.get() {
        Some(Ok(value)) => value,
        _ => before.cloned().unwrap_or_default(),
    });
    last.into()
}
