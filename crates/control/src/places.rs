//! Where jobs may live and run: namespaces and node pools, as state knows them.

use std::collections::BTreeSet;

use tarpan_state::State;

/// In order. There is one so far.
pub fn namespaces(_state: &State) -> Vec<String> {
    vec!["default".to_owned()]
}

/// May jobs live there?
pub fn namespace_exists(state: &State, name: &str) -> bool {
    namespaces(state).iter().any(|namespace| namespace == name)
}

/// The two built-in pools, and those that nodes are in; in order.
pub fn node_pools(state: &State) -> BTreeSet<String> {
    let mut names: BTreeSet<&str> = state.nodes().map(|n| &*n.node_pool).filter(|n| !n.is_empty()).collect();
    names.extend(["all", "default"]);
    names.into_iter().map(str::to_owned).collect()
}

/// An empty name is the default pool's.
pub fn node_pool_exists(state: &State, name: &str) -> bool {
    matches!(name, "" | "all" | "default") || state.nodes().any(|n| *n.node_pool == *name)
}
