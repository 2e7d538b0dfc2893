//! Routes of namespaces. There is one so far: `default`.

use tarpan_api::wire::Namespace;
use tarpan_state::State;

use super::bind::bind;
use super::context::Context;
use super::reply::Outcome;

bind! { Namespaces {
    List => list,
    Get => get,
}}

fn all() -> Vec<Namespace> {
    let default = Namespace {
        name: "default".to_owned(),
        description: "Default shared namespace".to_owned(),
        create_index: 1,
        modify_index: 1,
        ..Namespace::default()
    };
    vec![default]
}

/// May jobs live there?
pub fn exists(_state: &State, name: &str) -> bool {
    all().iter().any(|ns| ns.name == name)
}

/// In order.
pub fn names(_state: &State) -> Vec<String> {
    all().into_iter().map(|ns| ns.name).collect()
}

/// `GET /v1/namespaces`
async fn list(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    let found: Vec<_> = all().into_iter().filter(|ns| ns.name.starts_with(&cx.std.prefix)).collect();
    read.json(&found)
}

/// `GET /v1/namespace/:name`
async fn get(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    let found = all().into_iter().find(|ns| ns.name == cx.path.get("namespace"));
    read.found(found, "Namespace not found")
}
