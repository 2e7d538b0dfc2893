//! What pages ask for and the field has no route for: counts, and the list of jobs a page at a time.

use serde::{Deserialize, Serialize};
use tarpan_model::wire::Wire;

/// How many there are in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterCounts {
    /// Without those that are children of another.
    pub jobs: u64,
    pub nodes: u64,
    /// What keeps the servers from their work, a sentence; empty: nothing.
    pub trouble: String,
    /// Of the server that counted.
    pub region: String,
}

/// How many rows belong to a job, in this incarnation of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobCounts {
    pub allocations: u64,
    pub evaluations: u64,
    pub deployments: u64,
}

/// One page of the list of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobsPage {
    pub rows: Vec<JobRow>,
    /// From 1; the last one where a later one was asked for.
    pub page: usize,
    /// Jobs that pass the filter.
    pub found: usize,
    /// Jobs in all, or children of the asked parent. Children are told by their parents, else.
    pub total: usize,
    /// Of all jobs, those that need attention.
    pub attention: usize,
    /// Allocations of what passes the filter: running, canaries, pending, failed, lost, complete.
    pub sums: [u64; 6],
    /// By facet (status, type, namespace, pool, datacenter): each value with how many of all jobs have it, the most frequent first.
    pub facets: Vec<Vec<(String, u64)>>,
}

/// A job as a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobRow {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub parent: String,
    /// `service`, `batch`, …, `periodic`, `parameterized`.
    pub kind: String,
    pub node_pool: String,
    pub datacenters: Vec<String>,
    pub priority: i64,
    pub status: String,
    pub stop: bool,
    pub version: Option<u64>,
    pub submitted: i64,
    pub changed_index: u64,
    pub counts: AllocCounts,
    pub children: Option<[u64; 3]>,
    /// Allocations that the job asks for; 0 when not known.
    pub wanted: u64,
    /// Canaries: placed, and of them healthy; a deployment is under way.
    pub canaries: (u64, u64),
    pub deploying: bool,
    pub needs_promotion: bool,
    /// Ids of the allocations that run; empty when not known.
    pub running: Vec<String>,
}

impl JobRow {
    /// Namespace and id.
    pub fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.id.clone())
    }
}

/// Allocations by state, summed over the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocCounts {
    pub queued: u64,
    pub starting: u64,
    pub running: u64,
    pub complete: u64,
    pub failed: u64,
    pub lost: u64,
    pub unknown: u64,
}
