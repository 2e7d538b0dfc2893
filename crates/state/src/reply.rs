//! What became of a command.

use serde::{Deserialize, Serialize};
use tarpan_model::EvalId;
use tarpan_model::plan::PlanResult;

/// Chosen at random by whoever proposes; a second application of the same id answers as the first did and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u128);

/// What a command did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done at this raft index.
    Done {
        index: u64,
    },
    Registered {
        index: u64,
        eval_id: Option<EvalId>,
        job_modify_index: u64,
        version: u64,
    },
    Planned(PlanResult),
    /// Nothing was changed, and why. Other commands of the batch are not touched.
    Refused(Rejection),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    #[error("job not found")]
    JobNotFound,
    #[error("Enforcing job modify index {enforced}: {found}")]
    JobModifyIndex { enforced: u64, found: String },
    #[error("node not found")]
    NodeNotFound,
    #[error("alloc not found")]
    AllocNotFound,
    #[error("deployment not found")]
    DeploymentNotFound,
    #[error("the state changed while this was decided: try again")]
    Changed,
    #[error("job version {0} not found")]
    VersionNotFound(u64),
    #[error("{0}")]
    Other(String),
}
