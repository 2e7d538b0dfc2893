//! The rows that are state's own; `tarpan_model` has the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::UnixNanos;

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
