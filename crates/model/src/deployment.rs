//! A deployment: the rollout of one version of a service job.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::duration::Dur;
use crate::ids::{AllocId, DeploymentId, JobId, Namespace, NamespacedId};
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// Where a deployment is.
    DeploymentStatus {
        Running = "running",
        Paused = "paused",
        Failed = "failed",
        Successful = "successful",
        Cancelled = "cancelled",
        Initializing = "initializing",
        Pending = "pending",
        Blocked = "blocked",
        Unblocking = "unblocking",
    }
);

/// The rollout of one job version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub namespace: Namespace,
    pub job_id: JobId,
    pub job_version: u64,
    pub job_modify_index: u64,
    pub job_spec_modify_index: u64,
    pub job_create_index: u64,
    /// By group.
    pub groups: BTreeMap<Arc<str>, DeploymentGroup>,
    pub status: DeploymentStatus,
    pub status_description: Arc<str>,
    pub eval_priority: i64,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub modify_index: u64,
    pub create_time: UnixNanos,
    pub modify_time: UnixNanos,
}

impl Deployment {
    pub fn job_key(&self) -> NamespacedId {
        NamespacedId { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }

    /// Still doing something, or able to.
    pub fn active(&self) -> bool {
        use DeploymentStatus::{Blocked, Initializing, Paused, Pending, Running, Unblocking};
        matches!(self.status, Running | Paused | Blocked | Unblocking | Initializing | Pending)
    }

    /// Some group has canaries that nobody has promoted yet.
    pub fn requires_promotion(&self) -> bool {
        self.status == DeploymentStatus::Running && self.groups.values().any(|g| g.desired_canaries > 0 && !g.promoted)
    }
}

/// One group of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeploymentGroup {
    pub auto_revert: bool,
    pub auto_promote: bool,
    pub progress_deadline: Dur,
    /// Zero: not set yet.
    #[serde(default)]
    pub require_progress_by: UnixNanos,
    pub promoted: bool,
    #[serde(default)]
    pub placed_canaries: Vec<AllocId>,
    pub desired_canaries: u64,
    pub desired_total: u64,
    pub placed_allocs: u64,
    pub healthy_allocs: u64,
    pub unhealthy_allocs: u64,
}

/// A change of status that a plan or a watcher asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentUpdate {
    pub id: DeploymentId,
    pub status: DeploymentStatus,
    pub description: Arc<str>,
}
