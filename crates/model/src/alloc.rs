//! An allocation: one task group of one job version, placed on one node.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::duration::Dur;
use crate::ids::{AllocId, DeploymentId, EvalId, JobId, Namespace, NamespacedId, NodeId};
use crate::job::{Job, TaskGroup};
use crate::metric::AllocMetric;
use crate::resources::{AllocatedResources, Amount};
use crate::sorted::SortedMap;
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// The servers' wish for an allocation.
    DesiredStatus {
        Run = "run",
        Stop = "stop",
        Evict = "evict",
    }
);

text_enum!(
    /// What the node reports of an allocation.
    ClientStatus {
        Pending = "pending",
        Running = "running",
        Complete = "complete",
        Failed = "failed",
        Lost = "lost",
        Unknown = "unknown",
    }
);

/// One task group placed on one node.
///
/// The job is shared by every allocation of its version. It is not written with the row: state links it again from
/// `job_id` and `job_version` when a row is read from a log, a snapshot or the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    pub id: AllocId,
    pub namespace: Namespace,
    pub eval_id: EvalId,
    /// `job.group[index]`.
    pub name: Arc<str>,
    pub node_id: NodeId,
    pub node_name: Arc<str>,
    pub job_id: JobId,
    pub job_version: u64,
    /// `create_index` of the job that asked for it: tells incarnations of a purged and re-registered job apart.
    #[serde(default)]
    pub job_create_index: u64,
    #[serde(skip)]
    pub job: Arc<Job>,
    pub task_group: Arc<str>,
    pub resources: Arc<AllocatedResources>,
    #[serde(default)]
    pub metrics: Option<Arc<AllocMetric>>,
    pub desired_status: DesiredStatus,
    #[serde(default)]
    pub desired_description: Arc<str>,
    #[serde(default, skip_serializing_if = "DesiredTransition::is_empty")]
    pub transition: DesiredTransition,
    pub client_status: ClientStatus,
    #[serde(default)]
    pub client_description: Arc<str>,
    /// By task name; shared with the report it came from.
    #[serde(default)]
    pub task_states: Arc<TaskStates>,
    /// When the client status became (or stopped being) `unknown`, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_states: Vec<(ClientStatus, UnixNanos)>,
    #[serde(default)]
    pub previous: Option<AllocId>,
    #[serde(default)]
    pub next: Option<AllocId>,
    #[serde(default)]
    pub deployment_id: Option<DeploymentId>,
    #[serde(default)]
    pub deployment_status: Option<AllocDeploymentStatus>,
    #[serde(default)]
    pub reschedule: Option<Arc<RescheduleTracker>>,
    #[serde(default)]
    pub network_status: Option<Arc<NetworkStatus>>,
    #[serde(default)]
    pub followup_eval: Option<EvalId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preempted: Vec<AllocId>,
    #[serde(default)]
    pub preempted_by: Option<AllocId>,
    #[serde(default)]
    pub create_index: u64,
    /// Raft index of the last change by anyone.
    #[serde(default)]
    pub modify_index: u64,
    /// Raft index of the last change by the servers; agents compare it to know whether an allocation is news.
    #[serde(default)]
    pub alloc_modify_index: u64,
    pub create_time: UnixNanos,
    pub modify_time: UnixNanos,
}

impl Allocation {
    pub fn job_key(&self) -> NamespacedId {
        NamespacedId { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }

    /// The group of the job that this allocation runs; `None` when the job was not linked or no longer has it.
    pub fn group(&self) -> Option<&TaskGroup> {
        self.job.groups().iter().find(|g| g.name.as_deref() == Some(&*self.task_group))
    }

    /// The instance number in its name; `None` when the name has none.
    pub fn index(&self) -> Option<u32> {
        let (_, tail) = self.name.rsplit_once('[')?;
        tail.strip_suffix(']')?.parse().ok()
    }

    /// What it takes of its node: see [`AllocatedResources::demand`].
    pub fn demand(&self) -> Amount {
        self.resources.demand(self.group())
    }

    /// The servers do not want it to run.
    pub fn server_terminal(&self) -> bool {
        matches!(self.desired_status, DesiredStatus::Stop | DesiredStatus::Evict)
    }

    /// The node says that it will not run any more.
    pub fn client_terminal(&self) -> bool {
        matches!(self.client_status, ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost)
    }

    /// Neither wanted nor running: it takes nothing of its node.
    ///
    /// Source: the field's terminal rule (either side is enough).
    pub fn terminal(&self) -> bool {
        self.server_terminal() || self.client_terminal()
    }

    /// Every task ended, and none failed.
    pub fn ran_successfully(&self) -> bool {
        !self.task_states.is_empty() && self.task_states.values().all(|t| t.state == TaskStateKind::Dead && !t.failed)
    }
}

/// What an operator or the drainer asked of an allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredTransition {
    #[serde(rename = "Migrate", default)]
    pub migrate: Option<bool>,
    #[serde(rename = "Reschedule", default)]
    pub reschedule: Option<bool>,
    #[serde(rename = "ForceReschedule", default)]
    pub force_reschedule: Option<bool>,
    #[serde(rename = "NoShutdownDelay", default)]
    pub no_shutdown_delay: Option<bool>,
    #[serde(rename = "MigrateDisablePlacement", default)]
    pub migrate_disable_placement: Option<bool>,
}

impl DesiredTransition {
    pub fn is_empty(&self) -> bool {
        *self == DesiredTransition::default()
    }
    pub fn should_migrate(&self) -> bool {
        self.migrate == Some(true)
    }
}

/// Health of an allocation within its deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocDeploymentStatus {
    /// `None`: not known yet.
    pub healthy: Option<bool>,
    pub timestamp: UnixNanos,
    pub canary: bool,
    pub modify_index: u64,
}

/// Past replacements in a chain of allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescheduleTracker {
    pub events: Vec<RescheduleEvent>,
    /// Whether the last wish to replace was carried out: empty, `ok` or `no placement`.
    #[serde(default)]
    pub last_reschedule: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescheduleEvent {
    pub time: UnixNanos,
    pub prev_alloc_id: AllocId,
    pub prev_node_id: NodeId,
    pub delay: Dur,
}

/// The network that the node made for an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    pub interface_name: String,
    pub address: String,
    #[serde(default)]
    pub address_ipv6: String,
}

impl NetworkStatus {
    /// The allocation's address: IPv4 where it has one.
    pub fn any(&self) -> Option<&str> {
        [&*self.address, &*self.address_ipv6].into_iter().find(|ip| !ip.is_empty())
    }
}

text_enum!(
    /// Where a task is in its life.
    TaskStateKind {
        Pending = "pending",
        Running = "running",
        Dead = "dead",
    }
);

/// The tasks of an allocation by name.
pub type TaskStates = SortedMap<Arc<str>, TaskState>;

/// A task as its node reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    pub state: TaskStateKind,
    pub failed: bool,
    pub restarts: u64,
    #[serde(default)]
    pub last_restart: UnixNanos,
    #[serde(default)]
    pub started_at: UnixNanos,
    #[serde(default)]
    pub finished_at: UnixNanos,
    /// The last ten, oldest first.
    pub events: Vec<TaskEvent>,
}

impl Default for TaskState {
    fn default() -> Self {
        TaskState {
            state: TaskStateKind::Pending,
            failed: false,
            restarts: 0,
            last_restart: UnixNanos::ZERO,
            started_at: UnixNanos::ZERO,
            finished_at: UnixNanos::ZERO,
            events: Vec::new(),
        }
    }
}

/// Something that happened to a task. Types and detail keys are in `reference/runtime.md`, "Task events".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// `Received`, `Task Setup`, `Started`, `Terminated`, …
    #[serde(rename = "Type")]
    pub kind: Arc<str>,
    #[serde(rename = "Time")]
    pub time: UnixNanos,
    /// The sentence people read.
    #[serde(rename = "DisplayMessage", default)]
    pub message: Arc<str>,
    #[serde(rename = "Details", default)]
    pub details: SortedMap<Arc<str>, Arc<str>>,
    #[serde(rename = "FailsTask", default)]
    pub fails_task: bool,
}

/// What a node reports of one allocation; numbered and acknowledged by the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocUpdate {
    pub id: AllocId,
    pub client_status: ClientStatus,
    #[serde(default)]
    pub client_description: Arc<str>,
    pub task_states: Arc<TaskStates>,
    /// Health as watched by the node for a deployment; `None`: nothing new.
    #[serde(default)]
    pub healthy: Option<bool>,
    /// The deployment that `healthy` was watched for, nil outside of any; `None`: the agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_of: Option<DeploymentId>,
    #[serde(default)]
    pub network_status: Option<Arc<NetworkStatus>>,
    pub modify_time: UnixNanos,
}
