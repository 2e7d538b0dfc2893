//! What a path names by its id has a namespace of its own: whatever namespace the query says, the caller needs the route's
//! capability there, too.

use tarpan_api::routes::{Captures, Route};
use tarpan_model::Namespace;
use tarpan_state::State;

use super::caller::Caller;
use super::error::ApiError;
use super::policies;

/// `None`: the path names nothing of the kind, or nothing that there is.
fn namespace_of(path: &Captures, state: &State) -> Option<Namespace> {
    if let Some(id) = path.find("alloc") {
        return state.alloc(id.parse().ok()?).map(|row| row.namespace.clone());
    }
    if let Some(id) = path.find("eval") {
        return state.eval(id.parse().ok()?).map(|row| row.namespace.clone());
    }
    if let Some(id) = path.find("deployment") {
        return state.deployment(id.parse().ok()?).map(|row| row.namespace.clone());
    }
    if let Some(id) = path.find("volume") {
        return state.host_volume(id.parse().ok()?).map(|row| row.namespace.clone());
    }
    if let Some(id) = path.find("claim") {
        return state.host_volume_claim(id.parse().ok()?).map(|row| row.namespace.clone());
    }
    policies::namespace_of(state, path.find("policy")?)
}

/// 403 when `caller` has no business with what the path names in `state`.
pub fn check(caller: &Caller, route: &Route, path: &Captures, state: &State) -> Result<(), ApiError> {
    match namespace_of(path, state) {
        Some(namespace) if !caller.may(route.needs, namespace.as_str()) => Err(ApiError::denied()),
        _ => Ok(()),
    }
}
