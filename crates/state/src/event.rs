//! What a command changed, for whoever watches: blocking queries, pages, the event stream, the control loops.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, NamespacedId, NodeId};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node};

/// Topics of the event stream; the wire's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    Job,
    Evaluation,
    Allocation,
    Deployment,
    Node,
    Service,
    NodeDrain,
}

/// One changed object, with its new row (`None` when it is gone). Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub index: u64,
    /// The wire's type, such as `JobRegistered` or `AllocationUpdated`.
    pub kind: &'static str,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Job { key: NamespacedId, row: Option<Arc<Job>> },
    Evaluation { id: EvalId, job: NamespacedId, row: Option<Arc<Evaluation>> },
    Allocation { id: AllocId, job: NamespacedId, node: NodeId, row: Option<Arc<Allocation>> },
    Deployment { id: DeploymentId, job: NamespacedId, row: Option<Arc<Deployment>> },
    Node { id: NodeId, row: Option<Arc<Node>> },
    Service { row: Arc<ServiceRegistration>, gone: bool },
}

impl Event {
    pub fn topic(&self) -> Topic {
        match self.change {
            Change::Job { .. } => Topic::Job,
            Change::Evaluation { .. } => Topic::Evaluation,
            Change::Allocation { .. } => Topic::Allocation,
            Change::Deployment { .. } => Topic::Deployment,
            Change::Node { .. } => Topic::Node,
            Change::Service { .. } => Topic::Service,
        }
    }
}
