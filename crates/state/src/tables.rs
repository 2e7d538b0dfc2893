//! The tables and their indexes. Fields are private to the crate: readers use [`crate::query`], writers [`crate::Command`].

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, KeyId, Namespace, NamespacedId, NodeId};
use tarpan_model::resources::Amount;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node, RootKey, UnixNanos};

use crate::command::{CommandId, Reply};

/// A table, for "the last raft index that changed it".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    Jobs,
    JobSummaries,
    Evals,
    Allocs,
    Deployments,
    Nodes,
    Services,
    PeriodicLaunches,
    SchedulerConfig,
    RootKeys,
}

/// Namespace, name and id of a service registration.
pub(crate) type ServiceKey = (Namespace, Arc<str>, Arc<str>);

/// The whole state at one raft index. Cloning is a pointer copy; a clone is a snapshot.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Raft index of the last applied entry.
    pub(crate) index: u64,
    pub(crate) lineage: Arc<crate::lineage::Lineage>,
    pub(crate) table_indexes: BTreeMap<Table, u64>,
    pub(crate) jobs: OrdMap<NamespacedId, Arc<Job>>,
    /// Newest versions, the current one included.
    pub(crate) job_versions: OrdMap<(NamespacedId, u64), Arc<Job>>,
    pub(crate) job_submissions: OrdMap<(NamespacedId, u64), Arc<JobSubmission>>,
    pub(crate) job_summaries: OrdMap<NamespacedId, Arc<JobSummary>>,
    /// (parent, child), for periodic and parameterized jobs.
    pub(crate) job_children: OrdSet<(NamespacedId, NamespacedId)>,
    pub(crate) evals: OrdMap<EvalId, Arc<Evaluation>>,
    pub(crate) evals_by_job: OrdSet<(NamespacedId, EvalId)>,
    pub(crate) allocs: OrdMap<AllocId, Arc<Allocation>>,
    pub(crate) allocs_by_job: OrdSet<(NamespacedId, AllocId)>,
    pub(crate) allocs_by_node: OrdSet<(NodeId, AllocId)>,
    pub(crate) allocs_by_eval: OrdSet<(EvalId, AllocId)>,
    pub(crate) allocs_by_deployment: OrdSet<(DeploymentId, AllocId)>,
    pub(crate) deployments: OrdMap<DeploymentId, Arc<Deployment>>,
    pub(crate) deployments_by_job: OrdSet<(NamespacedId, DeploymentId)>,
    pub(crate) nodes: OrdMap<NodeId, Arc<Node>>,
    pub(crate) node_usage: OrdMap<NodeId, Arc<NodeUsage>>,
    pub(crate) services: OrdMap<ServiceKey, Arc<ServiceRegistration>>,
    pub(crate) services_by_alloc: OrdSet<(AllocId, ServiceKey)>,
    pub(crate) periodic_launches: OrdMap<NamespacedId, PeriodicLaunch>,
    pub(crate) scheduler_config: Arc<SchedulerConfig>,
    pub(crate) root_keys: OrdMap<KeyId, Arc<RootKey>>,
    /// What of a job is not finished, counted: decides its status.
    pub(crate) job_live: OrdMap<NamespacedId, JobLive>,
    /// Replies of the newest commands, by id and by order of application.
    pub(crate) recent: OrdMap<CommandId, Arc<Reply>>,
    pub(crate) recent_order: OrdMap<u64, CommandId>,
    /// Texts that many rows share. Not part of what the state says.
    pub(crate) texts: OrdSet<Arc<str>>,
    /// Changes of the running batch, taken by the shell after each apply.
    pub(crate) events: Vec<crate::event::Event>,
}

/// What of a job is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobLive {
    /// Non-terminal allocations.
    pub allocs: u32,
    /// Non-terminal evaluations.
    pub evals: u32,
    /// Blocked ones among them.
    pub blocked: u32,
    /// Evaluations of any status.
    pub evals_total: u32,
    /// Active deployments.
    pub deployments: u32,
}

/// What non-terminal allocations take of a node, kept up to date as they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUsage {
    pub used: Amount,
    /// Ports in use on the host, by number; the value counts users (collisions can be asked for).
    pub ports: BTreeMap<u16, u32>,
    /// Cores reserved by tasks.
    pub cores: Vec<u16>,
    /// Device instances in use: `vendor/type/name` and id.
    pub devices: BTreeMap<(String, String), u32>,
    /// Non-terminal allocations.
    pub allocs: u32,
}

/// The text a job version was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSubmission {
    #[serde(rename = "Source", default)]
    pub source: String,
    /// `hcl2`, `json`, `hcl1`.
    #[serde(rename = "Format", default)]
    pub format: String,
    #[serde(rename = "VariableFlags", default)]
    pub variable_flags: Option<BTreeMap<String, String>>,
    #[serde(rename = "Variables", default)]
    pub variables: String,
}

/// Counts of a job's allocations by group and state, and of its children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    pub groups: BTreeMap<Arc<str>, GroupSummary>,
    pub children: Option<ChildrenSummary>,
    pub create_index: u64,
    pub modify_index: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupSummary {
    pub queued: u64,
    pub complete: u64,
    pub failed: u64,
    pub running: u64,
    pub starting: u64,
    pub lost: u64,
    pub unknown: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChildrenSummary {
    pub pending: u64,
    pub running: u64,
    pub dead: u64,
}

/// When a periodic job was last launched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicLaunch {
    pub launch: UnixNanos,
    pub create_index: u64,
    pub modify_index: u64,
}

/// Cluster-wide scheduler settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulerConfig {
    /// `binpack` or `spread`.
    pub algorithm: String,
    pub preemption_system: bool,
    pub preemption_sysbatch: bool,
    pub preemption_batch: bool,
    pub preemption_service: bool,
    pub memory_oversubscription: bool,
    pub reject_job_registration: bool,
    pub pause_eval_broker: bool,
    /// How many nodes are looked at for a placement; 0: as many as the scheduler thinks right.
    #[serde(default)]
    pub node_limit: u64,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            algorithm: "binpack".to_owned(),
            preemption_system: true,
            preemption_sysbatch: false,
            preemption_batch: false,
            preemption_service: false,
            memory_oversubscription: false,
            reject_job_registration: false,
            pause_eval_broker: false,
            node_limit: 0,
            create_index: 0,
            modify_index: 0,
        }
    }
}
