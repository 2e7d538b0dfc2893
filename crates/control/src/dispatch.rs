//! Dispatched children of parameterized jobs.

use std::collections::BTreeMap;

use tarpan_model::UnixNanos;
use tarpan_model::ids::{IdSource, NamespacedId};
use tarpan_state::State;
use tarpan_state::command::RegisterJob;

/// What a caller hands to a parameterized job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DispatchRequest {
    /// Raw bytes; empty when none was given.
    pub payload: Vec<u8>,
    pub meta: BTreeMap<String, String>,
    pub id_prefix_template: String,
    /// 0: the parent's.
    pub priority: i64,
    pub idempotency_token: String,
}

/// What a dispatch comes to.
#[derive(Clone, Debug)]
pub enum Dispatch {
    Register(Box<RegisterJob>),
    /// A child with the same idempotency token exists.
    Exists(NamespacedId),
}

/// Why a dispatch was refused; texts are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    #[error("parameterized job not found")]
    NotFound,
    #[error("Specified job \"{0}\" is not a parameterized job")]
    NotParameterized(String),
    #[error("Specified job \"{0}\" is stopped")]
    Stopped(String),
    #[error("Payload is not provided but required by parameterized job")]
    PayloadMissing,
    #[error("Payload provided but forbidden by parameterized job")]
    PayloadForbidden,
    #[error("Payload exceeds maximum size; {0} > {max}", max = MAX_PAYLOAD)]
    PayloadTooLarge(usize),
    #[error("Dispatch request included unpermitted metadata keys: [{}]", .0.join(" "))]
    UnpermittedMeta(Vec<String>),
    #[error("Dispatch did not provide required meta keys: [{}]", .0.join(" "))]
    MissingMeta(Vec<String>),
    #[error("dispatch job priority must be between [1, {0}]")]
    Priority(i64),
}

/// Bytes.
pub const MAX_PAYLOAD: usize = 16_384;

/// The child to register, its id ending in eight hex digits of a fresh id.
pub fn dispatch(
    _state: &State,
    _parent: &NamespacedId,
    _request: &DispatchRequest,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Dispatch, DispatchError> {
    Err(DispatchError::NotFound)
}
