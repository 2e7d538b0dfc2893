//! How many there are of what: for the frame around the pages. Ours; the field has no such route.

use serde_json::json;
use tarpan_state::{State, Table};

use crate::Watch;
use crate::http::context::Context;
use crate::http::jobs::is_child;
use crate::http::reply::Outcome;

const TABLES: [Table; 2] = [Table::Jobs, Table::Nodes];

/// `GET /v1/status/counts`: jobs of the namespace without those that are children of another, and nodes.
pub async fn counts(cx: Context) -> Outcome {
    let index = |s: &State| TABLES.into_iter().map(|t| s.table_index(t)).max().unwrap_or(0);
    let read = cx.read(&TABLES.map(Watch::Table), index).await?;
    let jobs = read.state.jobs().filter(|(_, job)| cx.std.sees(job.namespace()) && !is_child(job)).count();
    // The frame shows it, and reads nothing else.
    let trouble = cx.server.trouble().unwrap_or_default();
    read.json(&json!({ "Jobs": jobs, "Nodes": read.state.nodes().count(), "Trouble": trouble }))
}
