//! Every change of state, as a value. What raft carries is a list of [`Envelope`]s.
//!
//! Commands hold all that is needed: fresh ids and times are stamped by the proposer, so that applying decides nothing.
//! New fields get `#[serde(default)]`: logs of earlier releases must still replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::alloc::{AllocUpdate, DesiredTransition};
use tarpan_model::csi::CsiVolume;
use tarpan_model::deployment::DeploymentUpdate;
use tarpan_model::ids::{AllocId, ClaimId, DeploymentId, EvalId, Namespace, NamespacedId, NodeId, VolumeId};
use tarpan_model::node::{DrainStrategy, NodeEvent};
use tarpan_model::plan::{Plan, PlanResult};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::volume::HostVolume;
use tarpan_model::{Eligibility, Evaluation, Job, Node, NodeStatus, RootKey, ScalingEvent, UnixNanos};

use crate::guard::Guard;
pub use crate::reply::{CommandId, Rejection, Reply};
use crate::rows::{JobSubmission, SchedulerConfig};

/// A command on its way through raft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub id: CommandId,
    pub command: Command,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Changes nothing; the first entry of a leader's term.
    Noop,
    /// Another command, applied only while what its proposer looked at is as it was.
    Guarded {
        guards: Vec<Guard>,
        command: Box<Command>,
    },
    /// Stores a job version and its evaluation together.
    RegisterJob(Box<RegisterJob>),
    /// Stores a job with another count of a group, or nothing of the job, and what is told of that.
    ScaleJob(Box<ScaleJob>),
    /// Marks a job stopped, or removes it with all its versions.
    DeregisterJob(DeregisterJob),
    SetJobStability {
        job: NamespacedId,
        version: u64,
        stable: bool,
    },
    UpsertEvals {
        evals: Vec<Evaluation>,
        now: UnixNanos,
    },
    /// Removes evaluations and terminal allocations: garbage collection.
    Reap {
        evals: Vec<EvalId>,
        allocs: Vec<AllocId>,
        /// The raft index of the state they were chosen on; what changed since stays. 0: logs of earlier releases.
        #[serde(default)]
        seen: u64,
    },
    ReapDeployments {
        deployments: Vec<DeploymentId>,
    },
    /// A verified plan: every placement in it is known to fit.
    ApplyPlan(Box<ApplyPlan>),
    UpsertNode {
        node: Box<Node>,
        now: UnixNanos,
        evals: Vec<Evaluation>,
    },
    UpdateNodeStatus {
        node: NodeId,
        status: NodeStatus,
        event: Option<NodeEvent>,
        now: UnixNanos,
        evals: Vec<Evaluation>,
    },
    UpdateNodeEligibility {
        node: NodeId,
        eligibility: Eligibility,
        event: Option<NodeEvent>,
        now: UnixNanos,
        evals: Vec<Evaluation>,
    },
    UpdateNodeDrain {
        node: NodeId,
        strategy: Option<DrainStrategy>,
        mark_eligible: bool,
        event: Option<NodeEvent>,
        now: UnixNanos,
        evals: Vec<Evaluation>,
        /// What an operator says of it; empty: nothing.
        #[serde(default)]
        meta: BTreeMap<String, String>,
    },
    DeregisterNode {
        node: NodeId,
        now: UnixNanos,
        evals: Vec<Evaluation>,
    },
    /// Reports of agents; many nodes share one command.
    UpdateAllocs {
        updates: Vec<AllocUpdate>,
        evals: Vec<Evaluation>,
        now: UnixNanos,
    },
    SetTransitions {
        allocs: BTreeMap<AllocId, DesiredTransition>,
        evals: Vec<Evaluation>,
        now: UnixNanos,
    },
    UpsertServices {
        services: Vec<ServiceRegistration>,
    },
    DeleteServices {
        ids: Vec<Arc<str>>,
        /// A node takes back what is its own only. `None`: a person's wish.
        #[serde(default)]
        node: Option<NodeId>,
    },
    UpdateDeployment(Box<UpdateDeployment>),
    SetPeriodicLaunch {
        job: NamespacedId,
        launch: UnixNanos,
    },
    SetSchedulerConfig {
        config: SchedulerConfig,
        check_index: Option<u64>,
    },
    /// A host volume as it is to be; its state follows from its node.
    UpsertHostVolume {
        volume: Box<HostVolume>,
        now: UnixNanos,
    },
    /// A host volume is gone, with all claims to it.
    DeleteHostVolume {
        id: VolumeId,
    },
    /// A group may be placed on another volume.
    DeleteHostVolumeClaim {
        id: ClaimId,
        /// Of what may be placed now.
        evals: Vec<Evaluation>,
    },
    /// The cluster's first root key. Refused where there is one that is active.
    InitRootKey(Box<RootKey>),
    /// A part of a snapshot that is to become the state; the first has number 0 and begins anew.
    StageRestore {
        /// Of this restore; two at a time don't mix.
        id: u128,
        number: u32,
        #[serde(with = "serde_bytes")]
        part: Vec<u8>,
    },
    /// Puts the staged snapshot in place of the state. `None`: drops it.
    FinishRestore {
        id: u128,
        /// Bytes that must have come.
        length: Option<u64>,
    },
    /// A CSI volume as it is from now on. `claims`: nothing but its claims is changed.
    PutCsiVolume {
        volume: Box<CsiVolume>,
        claims: bool,
        now: UnixNanos,
    },
    DeleteCsiVolume {
        namespace: Namespace,
        id: Arc<str>,
    },
    /// Plugins of which nothing is left, unless something of them came since raft index `seen`.
    DeleteCsiPlugins {
        ids: Vec<Arc<str>>,
        seen: u64,
    },
    TagJobVersion {
        job: NamespacedId,
        version: u64,
        name: String,
        description: String,
        now: UnixNanos,
        remove: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterJob {
    /// Canonicalised and validated. Version and indexes are set by applying.
    pub job: Job,
    pub eval: Option<Evaluation>,
    pub submission: Option<JobSubmission>,
    /// Refuse unless the stored job has this `job_modify_index` (0: unless there is none).
    pub enforce_index: Option<u64>,
    /// Keep the counts of the stored job's groups.
    #[serde(default)]
    pub preserve_counts: bool,
    pub now: UnixNanos,
}

impl RegisterJob {
    /// The job and its evaluation, whatever is stored, without a source.
    pub fn of(job: Job, eval: Option<Evaluation>, now: UnixNanos) -> RegisterJob {
        RegisterJob { job, eval, submission: None, enforce_index: None, preserve_counts: false, now }
    }
}

/// What is asked of the count of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleJob {
    pub job: NamespacedId,
    pub group: Arc<str>,
    /// The job with the new count; `None`: there is only something to be noted.
    pub register: Option<RegisterJob>,
    /// Its index is set by applying.
    pub event: ScalingEvent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeregisterJob {
    pub job: NamespacedId,
    pub purge: bool,
    pub eval: Option<Evaluation>,
    #[serde(default)]
    pub no_shutdown_delay: bool,
    pub now: UnixNanos,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyPlan {
    pub plan: Plan,
    /// What the planner refused; `index` is filled by applying.
    pub result: PlanResult,
    /// Evaluations of jobs whose allocations were preempted.
    pub evals: Vec<Evaluation>,
    pub now: UnixNanos,
}

/// What a watcher or an operator does to a deployment, all in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateDeployment {
    pub id: DeploymentId,
    pub status: Option<DeploymentUpdate>,
    /// Groups to promote; `Some(vec![])` promotes all.
    pub promote: Option<Vec<Arc<str>>>,
    pub healthy: Vec<AllocId>,
    pub unhealthy: Vec<AllocId>,
    /// An older version registered again.
    pub revert_to: Option<Box<Job>>,
    pub eval: Option<Evaluation>,
    pub now: UnixNanos,
}

impl Command {
    /// The same, refused unless the guards hold where it is applied.
    pub fn guarded(self, guards: Vec<Guard>) -> Command {
        Command::Guarded { guards, command: Box::new(self) }
    }
}
