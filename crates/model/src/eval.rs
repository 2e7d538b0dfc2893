//! An evaluation: one request to look at a job again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::duration::Dur;
use crate::ids::{DeploymentId, EvalId, JobId, Namespace, NamespacedId, NodeId};
use crate::job::{Job, JobType};
use crate::metric::AllocMetric;
use crate::plan::PlanAnnotations;
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// Where an evaluation is.
    EvalStatus {
        Blocked = "blocked",
        Pending = "pending",
        Complete = "complete",
        Failed = "failed",
        Canceled = "canceled",
    }
);

text_enum!(
    /// Why an evaluation was made.
    Trigger {
        JobRegister = "job-register",
        JobDeregister = "job-deregister",
        PeriodicJob = "periodic-job",
        NodeDrain = "node-drain",
        NodeUpdate = "node-update",
        AllocStop = "alloc-stop",
        Scheduled = "scheduled",
        RollingUpdate = "rolling-update",
        DeploymentWatcher = "deployment-watcher",
        FailedFollowUp = "failed-follow-up",
        MaxPlans = "max-plan-attempts",
        AllocFailure = "alloc-failure",
        QueuedAllocs = "queued-allocs",
        Preemption = "preemption",
        JobScaling = "job-scaling",
        MaxDisconnectTimeout = "max-disconnect-timeout",
        Reconnect = "reconnect",
        AllocReschedule = "alloc-reschedule",
    }
);

/// One request to look at a job again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub id: EvalId,
    pub namespace: Namespace,
    pub priority: i64,
    pub type_: JobType,
    pub triggered_by: Trigger,
    pub job_id: JobId,
    #[serde(default)]
    pub job_modify_index: u64,
    #[serde(default)]
    pub node_id: Option<NodeId>,
    #[serde(default)]
    pub node_modify_index: u64,
    #[serde(default)]
    pub deployment_id: Option<DeploymentId>,
    pub status: EvalStatus,
    #[serde(default)]
    pub status_description: Arc<str>,
    #[serde(default)]
    pub wait: Dur,
    /// Zero: at once.
    #[serde(default)]
    pub wait_until: UnixNanos,
    #[serde(default)]
    pub next_eval: Option<EvalId>,
    #[serde(default)]
    pub previous_eval: Option<EvalId>,
    #[serde(default)]
    pub blocked_eval: Option<EvalId>,
    /// By group: why it could not be placed.
    #[serde(default)]
    pub failed_tg_allocs: BTreeMap<Arc<str>, Arc<AllocMetric>>,
    #[serde(default)]
    pub plan_annotations: Option<Arc<PlanAnnotations>>,
    /// By computed class: could a node of it take what failed?
    #[serde(default)]
    pub class_eligibility: BTreeMap<Arc<str>, bool>,
    #[serde(default)]
    pub escaped_computed_class: bool,
    /// The dry run of a plan asks for annotations.
    #[serde(default)]
    pub annotate_plan: bool,
    /// By group: how many are still to be placed.
    #[serde(default)]
    pub queued_allocations: BTreeMap<Arc<str>, u64>,
    #[serde(default)]
    pub snapshot_index: u64,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub modify_index: u64,
    pub create_time: UnixNanos,
    pub modify_time: UnixNanos,
}

impl Evaluation {
    /// A pending evaluation of `job` as it is, with the job's own priority.
    pub fn for_job(id: EvalId, job: &Job, by: Trigger, now: UnixNanos) -> Self {
        let eval = Evaluation::new(id, &job.key(), job.job_type(), job.priority(), by, now);
        Evaluation { job_modify_index: job.job_modify_index.unwrap_or(0), ..eval }
    }

    /// A pending evaluation of the same job that goes on where this one ended.
    pub fn following(&self, id: EvalId, by: Trigger, now: UnixNanos) -> Self {
        let eval = Evaluation::new(id, &self.job_key(), self.type_, self.priority, by, now);
        Evaluation { job_modify_index: self.job_modify_index, previous_eval: Some(self.id), ..eval }
    }

    /// A pending evaluation of a job; set what else matters on the result.
    pub fn new(id: EvalId, job: &NamespacedId, type_: JobType, priority: i64, by: Trigger, now: UnixNanos) -> Self {
        Evaluation {
            id,
            namespace: job.namespace.clone(),
            priority,
            type_,
            triggered_by: by,
            job_id: job.id.clone(),
            job_modify_index: 0,
            node_id: None,
            node_modify_index: 0,
            deployment_id: None,
            status: EvalStatus::Pending,
            status_description: Arc::from(""),
            wait: Dur::ZERO,
            wait_until: UnixNanos::ZERO,
            next_eval: None,
            previous_eval: None,
            blocked_eval: None,
            failed_tg_allocs: BTreeMap::new(),
            plan_annotations: None,
            class_eligibility: BTreeMap::new(),
            escaped_computed_class: false,
            annotate_plan: false,
            queued_allocations: BTreeMap::new(),
            snapshot_index: 0,
            create_index: 0,
            modify_index: 0,
            create_time: now,
            modify_time: now,
        }
    }

    pub fn job_key(&self) -> NamespacedId {
        NamespacedId { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }

    pub fn terminal(&self) -> bool {
        matches!(self.status, EvalStatus::Complete | EvalStatus::Failed | EvalStatus::Canceled)
    }
}
