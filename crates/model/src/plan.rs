//! A plan: what a scheduler proposes. Specific enough that applying it involves no choices.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alloc::{Allocation, ClientStatus, RescheduleTracker};
use crate::deployment::{Deployment, DeploymentUpdate};
use crate::ids::{AllocId, EvalId, NamespacedId, NodeId};

/// A scheduler's proposal for one job, made on the snapshot `snapshot_index`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub eval_id: EvalId,
    pub job: NamespacedId,
    pub priority: i64,
    pub all_at_once: bool,
    pub snapshot_index: u64,
    /// Allocations to stop, by node.
    pub stops: BTreeMap<NodeId, Vec<AllocStop>>,
    /// New and changed allocations, by node; a known id is an update in place.
    pub placements: BTreeMap<NodeId, Vec<Allocation>>,
    /// Allocations to evict for the benefit of this job, by node.
    pub preemptions: BTreeMap<NodeId, Vec<AllocPreemption>>,
    pub deployment: Option<Deployment>,
    pub deployment_updates: Vec<DeploymentUpdate>,
    #[serde(default)]
    pub annotations: Option<Arc<PlanAnnotations>>,
}

impl Plan {
    pub fn new(eval_id: EvalId, job: NamespacedId, priority: i64, snapshot_index: u64) -> Plan {
        Plan {
            eval_id,
            job,
            priority,
            all_at_once: false,
            snapshot_index,
            stops: BTreeMap::new(),
            placements: BTreeMap::new(),
            preemptions: BTreeMap::new(),
            deployment: None,
            deployment_updates: Vec::new(),
            annotations: None,
        }
    }

    /// Nothing to write.
    pub fn is_noop(&self) -> bool {
        self.stops.is_empty()
            && self.placements.is_empty()
            && self.preemptions.is_empty()
            && self.deployment.is_none()
            && self.deployment_updates.is_empty()
    }
}

/// The wish to stop an allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocStop {
    pub id: AllocId,
    pub description: Arc<str>,
    /// Set when the node can't say it itself: `lost`, `unknown`.
    #[serde(default)]
    pub client_status: Option<ClientStatus>,
    #[serde(default)]
    pub followup_eval: Option<EvalId>,
    #[serde(default)]
    pub reschedule: Option<Arc<RescheduleTracker>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocPreemption {
    pub id: AllocId,
    pub by: AllocId,
}

/// What of a plan was committed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanResult {
    /// Raft index of the entry that carries it; 0 when nothing was written.
    pub index: u64,
    /// When not 0, part of the plan was refused: plan again on a snapshot of at least this index.
    pub refresh_index: u64,
    pub rejected_nodes: Vec<NodeId>,
    /// Placements committed.
    pub placed: u64,
    /// Anything committed at all (stops, placements, deployment): an attempt that moved things on.
    pub progressed: bool,
}

impl PlanResult {
    /// What became of two parts of a plan together.
    pub fn join(&mut self, other: PlanResult) {
        self.index = self.index.max(other.index);
        self.refresh_index = self.refresh_index.max(other.refresh_index);
        self.rejected_nodes.extend(other.rejected_nodes);
        self.placed += other.placed;
        self.progressed |= other.progressed;
    }
}

/// What a dry run would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanAnnotations {
    /// By group.
    #[serde(rename = "DesiredTGUpdates")]
    pub groups: BTreeMap<Arc<str>, DesiredUpdates>,
    #[serde(skip)]
    pub preempted: Vec<AllocId>,
}

/// Counts of what a plan does to one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DesiredUpdates {
    pub ignore: u64,
    pub place: u64,
    pub migrate: u64,
    pub stop: u64,
    pub in_place_update: u64,
    pub destructive_update: u64,
    pub canary: u64,
    pub preemptions: u64,
    pub disconnect: u64,
    pub reconnect: u64,
    pub reschedule_now: u64,
    pub reschedule_later: u64,
}
