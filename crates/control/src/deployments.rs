//! Watches rollouts: health, deadlines, promotion, roll-back; and what operators ask of them.

use std::sync::Arc;

use tarpan_model::ids::{AllocId, DeploymentId, IdSource};
use tarpan_model::{DeploymentStatus, UnixNanos};
use tarpan_state::{Command, Event, State};

/// Why a wish about a deployment was refused; texts are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    #[error("deployment not found")]
    NotFound,
    #[error("Deployment {id:?} has terminal status {status:?}:", id = .id.to_string(), status = .status.as_str())]
    Terminal { id: DeploymentId, status: DeploymentStatus },
    #[error("Task group {group:?} has {have}/{need} healthy allocations")]
    NotHealthy { group: String, have: u64, need: u64 },
    #[error("{0}")]
    Other(String),
}

/// Promotes all groups, or those named.
pub fn promote(
    _state: &State,
    _id: DeploymentId,
    _groups: Option<Vec<Arc<str>>>,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    Err(DeploymentError::NotFound)
}

pub fn pause(
    _state: &State,
    _id: DeploymentId,
    _pause: bool,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    Err(DeploymentError::NotFound)
}

pub fn fail(
    _state: &State,
    _id: DeploymentId,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    Err(DeploymentError::NotFound)
}

pub fn set_health(
    _state: &State,
    _id: DeploymentId,
    _healthy: Vec<AllocId>,
    _unhealthy: Vec<AllocId>,
    _now: UnixNanos,
    _ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    Err(DeploymentError::NotFound)
}

/// Active deployments, on the leader.
#[derive(Debug, Default)]
pub struct Deployments {}

impl Deployments {
    pub fn restore(&mut self, _state: &State, _now: UnixNanos) {}
    pub fn disable(&mut self) {}
    /// Notes which deployments to look at again.
    pub fn observe(&mut self, _events: &[Event], _now: UnixNanos) {}
    /// Commands due at `now`.
    pub fn step(&mut self, _state: &State, _now: UnixNanos, _ids: &mut dyn IdSource) -> Vec<Command> {
        Vec::new()
    }
    pub fn next_wake(&self) -> Option<UnixNanos> {
        None
    }
}
