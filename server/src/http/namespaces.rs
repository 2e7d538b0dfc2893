//! Routes of namespaces. There is one so far: `default`.

use tarpan_api::wire::Namespace;
use tarpan_control::places;
use tarpan_state::State;

use super::bind::bind;
use super::context::Context;
use super::reply::Outcome;

bind! { Namespaces {
    List => list,
    Get => get,
}}

fn all(state: &State) -> impl Iterator<Item = Namespace> {
    places::namespaces(state).into_iter().map(|name| Namespace {
        name,
        description: "Default shared namespace".to_owned(),
        create_index: 1,
        modify_index: 1,
        ..Namespace::default()
    })
}

/// `GET /v1/namespaces`
async fn list(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    let found: Vec<_> = all(&read.state).filter(|ns| ns.name.starts_with(&cx.std.prefix)).collect();
    read.json(&found)
}

/// `GET /v1/namespace/:name`
async fn get(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    let found = all(&read.state).find(|ns| ns.name == cx.path.get("namespace"));
    read.found(found, "Namespace not found")
}
