//! The pages: each reads `/v1` and composes components.

pub mod actions;
pub mod alloc;
pub mod client;
pub mod clients;
pub mod eval;
pub mod evals;
pub mod files;
pub mod job;
pub mod jobs;
pub mod logs;
pub mod missing;
pub mod run;
pub mod selected;
pub mod servers;
pub mod services;
pub mod storage;
pub mod tables;
pub mod terminal;
pub mod topology;
pub mod verdicts;

use leptos::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_api::{Call, Query};

use crate::context::client;
use crate::dom;
use crate::live::{Topic, live};
use crate::parts::loaded::Read;
use crate::parts::pager::PER_PAGE;
use crate::place;

/// Reads what `call` asks for, again whenever the question or something of `topics` changes.
pub fn read<T>(call: impl Fn() -> Call<T> + Send + Sync + 'static, topics: &'static [Topic]) -> Read<T>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    read_when(call, live().follow(topics, None))
}

/// As [`read`], of one object: again when it changes, or something of `topics` that belongs to it. `key` is its id or name.
pub fn read_of<T>(
    key: impl Into<Signal<String>>,
    call: impl Fn() -> Call<T> + Send + Sync + 'static,
    topics: &'static [Topic],
) -> Read<T>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    read_when(call, live().follow(topics, Some(key.into())))
}

/// As [`read`]: again whenever `changed` does.
pub fn read_when<T>(call: impl Fn() -> Call<T> + Send + Sync + 'static, changed: Memo<u64>) -> Read<T>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (client, live) = (client(), live());
    Resource::new(
        move || (call(), changed.get()),
        move |(call, _)| {
            let client = client.clone();
            async move { live.ask(&client, &call).await.map(|answer| answer.value) }
        },
    )
}

/// A number that grows every `ms` while the page shows: for what no event tells of.
pub fn every(ms: i32) -> Memo<u64> {
    let ticks = RwSignal::new(0);
    Effect::new(move |_| {
        leptos::task::spawn_local(async move {
            loop {
                dom::sleep_ms(ms).await;
                if dom::visible() && ticks.try_update(|n| *n += 1).is_none() {
                    return;
                }
            }
        });
    });
    Memo::new(move |_| ticks.get())
}

/// One page of a list that the API gives a page at a time, and the token of the next one; empty: this is the last.
pub type Paged<T> = (Vec<T>, String);

/// As [`read_when`]: the page of the list that the address asks for.
pub fn read_page<T>(call: impl Fn() -> Call<Vec<T>> + Send + Sync + 'static, changed: Memo<u64>) -> Read<Paged<T>>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (client, live, query) = (client(), live(), place::query());
    let at = move || query.with(|q| q.get("next")).unwrap_or_default();
    Resource::new(
        move || (call().page(PER_PAGE, &at()), changed.get()),
        move |(call, _)| {
            let client = client.clone();
            async move {
                let answer = live.ask(&client, &call).await?;
                Ok((answer.value, answer.next_token.unwrap_or_default()))
            }
        },
    )
}

/// Questions in the namespace of a job; one without a name is the default one.
pub fn in_namespace(namespace: &str) -> Query {
    Query::in_namespace(if namespace.is_empty() { "default" } else { namespace })
}

/// Questions in every namespace.
pub fn everywhere() -> Query {
    Query::in_namespace("*")
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
