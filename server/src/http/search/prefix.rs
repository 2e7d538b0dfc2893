//! Ids and names that start with a text.

use tarpan_control::places;
use tarpan_state::State;

use super::needs::needs;
use crate::http::context::Context;
use crate::http::lookup;
use crate::http::policies;

/// Most results of one context.
const LIMIT: usize = 20;

/// The matches of one context in order, and whether there are more.
pub fn search(state: &State, cx: &Context, context: &str, prefix: &str) -> (Vec<String>, bool) {
    let uuid = prefix.to_ascii_lowercase();
    let ids = || lookup::span(&uuid);
    let id = |id: String| Some(id).filter(|id| id.starts_with(&uuid));
    let name = |name: &str| Some(name.to_owned()).filter(|name| name.starts_with(prefix));
    let here = |namespace: &str| cx.sees_as(needs(context), namespace);
    match context {
        "jobs" => limit(
            state.jobs().filter(|(key, _)| here(key.namespace.as_str())).filter_map(|(key, _)| name(key.id.as_str())),
        ),
        "allocs" => limit(
            state.allocs_within(ids()).filter(|r| here(r.namespace.as_str())).filter_map(|r| id(r.id.to_string())),
        ),
        "evals" => {
            limit(state.evals_within(ids()).filter(|r| here(r.namespace.as_str())).filter_map(|r| id(r.id.to_string())))
        }
        "deployment" => limit(
            state.deployments_within(ids()).filter(|r| here(r.namespace.as_str())).filter_map(|r| id(r.id.to_string())),
        ),
        "nodes" => limit(state.nodes_within(ids()).filter_map(|r| id(r.id.to_string()))),
        "node_pools" => limit(places::node_pools(state).into_iter().filter_map(|n| name(&n))),
        "namespaces" => limit(places::namespaces(state).into_iter().filter_map(|n| name(&n))),
        "scaling_policy" => limit(policies::ids(state, here).into_iter().filter_map(id)),
        "host_volumes" => limit(
            state
                .host_volumes_within(ids())
                .filter(|r| here(r.namespace.as_str()))
                .filter_map(|r| id(r.id.to_string())),
        ),
        "plugins" => limit(state.csi_plugins().filter_map(|row| name(&row.id))),
        "volumes" => limit(state.csi_volumes().filter(|r| here(r.namespace.as_str())).filter_map(|row| name(&row.id))),
        // No variables are kept in tables that could be searched.
        _ => (Vec::new(), false),
    }
}

fn limit(found: impl Iterator<Item = String>) -> (Vec<String>, bool) {
    let mut found: Vec<String> = found.take(LIMIT + 1).collect();
    let cut = found.len() > LIMIT;
    found.truncate(LIMIT);
    (found, cut)
}
