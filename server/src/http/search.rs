//! Search by prefix of ids and by parts of names.

mod fuzzy;
mod needs;
mod prefix;

use std::collections::BTreeMap;

use tarpan_api::wire::{FuzzySearchResponse, SearchRequest, SearchResponse};
use tarpan_state::{State, Table};

use self::needs::needs;
use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Search {
    ByPrefix => by_prefix,
    ByText => by_text,
}}

/// Kinds of things that a prefix search knows, as the wire names them.
pub const CONTEXTS: [&str; 12] = [
    "allocs",
    "jobs",
    "nodes",
    "node_pools",
    "evals",
    "deployment",
    "plugins",
    "volumes",
    "scaling_policy",
    "vars",
    "namespaces",
    "host_volumes",
];

/// The contexts asked for.
fn contexts(request: &SearchRequest, known: &[&'static str]) -> Result<Vec<&'static str>, ApiError> {
    if matches!(request.context.as_str(), "" | "all") {
        return Ok(known.to_vec());
    }
    match known.iter().find(|c| **c == request.context) {
        Some(context) => Ok(vec![*context]),
        None => Err(ApiError::internal(format!(
            "context must be one of [{}] or 'all' for all contexts; got {:?}",
            CONTEXTS.join(" "),
            request.context
        ))),
    }
}

/// The contexts that the caller may search; 403 when there is none among them.
fn allowed(cx: &Context, contexts: Vec<&'static str>) -> Result<Vec<&'static str>, ApiError> {
    let allowed: Vec<_> = contexts.into_iter().filter(|c| cx.allows(needs(c), &cx.std.namespace)).collect();
    if allowed.is_empty() { Err(ApiError::denied()) } else { Ok(allowed) }
}

const TABLES: [Table; 6] =
    [Table::Jobs, Table::Allocs, Table::Evals, Table::Deployments, Table::Nodes, Table::HostVolumes];

fn index(state: &State) -> u64 {
    TABLES.into_iter().map(|t| state.table_index(t)).max().unwrap_or(0)
}

/// `PUT /v1/search`
async fn by_prefix(cx: Context) -> Outcome {
    let request: SearchRequest = cx.decode()?;
    let contexts = allowed(&cx, contexts(&request, &CONTEXTS)?)?;
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let mut matches = BTreeMap::new();
    let mut truncations = BTreeMap::new();
    for context in contexts {
        let (found, cut) = prefix::search(&read.state, &cx, context, &request.prefix);
        // Searching everywhere leaves out where nothing was found.
        if !found.is_empty() || !matches!(request.context.as_str(), "" | "all") {
            matches.insert(context.to_owned(), found);
        }
        truncations.insert(context.to_owned(), cut);
    }
    read.json(&SearchResponse {
        matches,
        truncations,
        index: read.index(),
        known_leader: read.meta.known_leader.unwrap_or(false),
        ..SearchResponse::default()
    })
}

/// Shortest text of a fuzzy search, in characters.
const MIN_TEXT: usize = 2;

/// `PUT /v1/search/fuzzy`
async fn by_text(cx: Context) -> Outcome {
    let request: SearchRequest = cx.decode()?;
    let length = request.text.chars().count();
    if length < MIN_TEXT {
        let text = format!("fuzzy search query must be at least {MIN_TEXT} characters, got {length}");
        return Err(ApiError::internal(text));
    }
    let known: Vec<&'static str> = CONTEXTS.iter().chain(&fuzzy::CONTEXTS).copied().collect();
    let contexts = allowed(&cx, contexts(&request, &known)?)?;
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let (matches, truncations) = fuzzy::search(&read.state, &cx, &contexts, &request.text);
    read.json(&FuzzySearchResponse {
        matches,
        truncations,
        index: read.index(),
        known_leader: read.meta.known_leader.unwrap_or(false),
        ..FuzzySearchResponse::default()
    })
}
