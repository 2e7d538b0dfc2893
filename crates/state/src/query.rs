//! Reading. Lists come as iterators in key order; rows are shared, so keeping one costs nothing.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, Namespace, NamespacedId, NodeId};
use tarpan_model::root_key::{RootKey, RootKeyState};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node};
use uuid::Uuid;

use crate::tables::{JobLive, JobSubmission, JobSummary, NodeUsage, PeriodicLaunch, SchedulerConfig, State, Table};

const LAST: Uuid = Uuid::max();

/// See [`State::counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub jobs: usize,
    pub evals: usize,
    pub allocs: usize,
    pub deployments: usize,
    pub nodes: usize,
}

impl Counts {
    pub fn all(self) -> usize {
        self.jobs + self.evals + self.allocs + self.deployments + self.nodes
    }
}

impl State {
    /// Raft index of the last applied entry.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The history that led here.
    pub fn lineage(&self) -> &crate::lineage::Lineage {
        &self.lineage
    }

    /// The last raft index that changed `table`; 0 when nothing ever did.
    pub fn table_index(&self, table: Table) -> u64 {
        self.table_indexes.get(&table).copied().unwrap_or(0)
    }

    pub fn job(&self, key: &NamespacedId) -> Option<&Arc<Job>> {
        self.jobs.get(key)
    }

    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = (&NamespacedId, &Arc<Job>)> {
        self.jobs.iter()
    }

    /// How many rows the large tables have.
    pub fn counts(&self) -> Counts {
        Counts {
            jobs: self.jobs.len(),
            evals: self.evals.len(),
            allocs: self.allocs.len(),
            deployments: self.deployments.len(),
            nodes: self.nodes.len(),
        }
    }

    /// What [`State::jobs_changed`] compares, and nothing else: to be kept without the rest of a state that grows old.
    pub fn of_jobs(&self) -> State {
        State {
            index: self.index,
            jobs: self.jobs.clone(),
            job_summaries: self.job_summaries.clone(),
            deployments: self.deployments.clone(),
            ..State::default()
        }
    }

    /// The jobs of which something is told otherwise than in `before`: themselves, the counts of their allocations, their deployments.
    /// Costs the difference, not the tables.
    pub fn jobs_changed(&self, before: &State) -> BTreeSet<NamespacedId> {
        let own = changed(&before.jobs, &self.jobs).map(|(key, _)| key.clone());
        let counts = changed(&before.job_summaries, &self.job_summaries).map(|(key, _)| key.clone());
        let rollouts = changed(&before.deployments, &self.deployments).map(|(_, row)| row.job_key());
        own.chain(counts).chain(rollouts).collect()
    }

    pub fn job_version(&self, key: &NamespacedId, version: u64) -> Option<&Arc<Job>> {
        self.job_versions.get(&(key.clone(), version))
    }

    /// Newest first.
    pub fn job_versions(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Job>> {
        self.job_versions.range((key.clone(), 0)..=(key.clone(), u64::MAX)).rev().map(|(_, job)| job)
    }

    pub fn job_submission(&self, key: &NamespacedId, version: u64) -> Option<&Arc<JobSubmission>> {
        self.job_submissions.get(&(key.clone(), version))
    }

    pub fn job_summary(&self, key: &NamespacedId) -> Option<&Arc<JobSummary>> {
        self.job_summaries.get(key)
    }

    /// How much of a job is not finished; zeros for an unknown job.
    pub fn job_live(&self, key: &NamespacedId) -> JobLive {
        self.job_live.get(key).copied().unwrap_or_default()
    }

    pub fn job_children(&self, parent: &NamespacedId) -> impl Iterator<Item = &Arc<Job>> {
        self.job_children
            .range((parent.clone(), NamespacedId::default())..)
            .take_while(move |(p, _)| p == parent)
            .filter_map(|(_, child)| self.jobs.get(child))
    }

    pub fn eval(&self, id: EvalId) -> Option<&Arc<Evaluation>> {
        self.evals.get(&id)
    }

    pub fn evals(&self) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        self.evals.values()
    }

    /// In the order in which they were made, from `at` (create index and id) on; `back`: from there back to the first.
    pub fn evals_made(&self, at: Option<(u64, EvalId)>, back: bool) -> impl Iterator<Item = &Arc<Evaluation>> {
        made(&self.evals_by_creation, at, back).filter_map(|id| self.evals.get(&id))
    }

    pub fn evals_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Evaluation>> {
        by(&self.evals_by_job, key, EvalId(LAST)).filter_map(|id| self.evals.get(&id))
    }

    pub fn alloc(&self, id: AllocId) -> Option<&Arc<Allocation>> {
        self.allocs.get(&id)
    }

    pub fn allocs(&self) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.allocs.values()
    }

    /// As [`State::evals_made`].
    pub fn allocs_made(&self, at: Option<(u64, AllocId)>, back: bool) -> impl Iterator<Item = &Arc<Allocation>> {
        made(&self.allocs_by_creation, at, back).filter_map(|id| self.allocs.get(&id))
    }

    /// Terminal ones included, in id order.
    pub fn allocs_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.allocs_by_job, key, AllocId(LAST)).filter_map(|id| self.allocs.get(&id))
    }

    pub fn allocs_by_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.allocs_by_node, &node, AllocId(LAST)).filter_map(|id| self.allocs.get(&id))
    }

    pub fn allocs_by_eval(&self, eval: EvalId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.allocs_by_eval, &eval, AllocId(LAST)).filter_map(|id| self.allocs.get(&id))
    }

    pub fn allocs_by_deployment(&self, deployment: DeploymentId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.allocs_by_deployment, &deployment, AllocId(LAST)).filter_map(|id| self.allocs.get(&id))
    }

    pub fn deployment(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.deployments.get(&id)
    }

    pub fn deployments(&self) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        self.deployments.values()
    }

    /// As [`State::evals_made`].
    pub fn deployments_made(
        &self,
        at: Option<(u64, DeploymentId)>,
        back: bool,
    ) -> impl Iterator<Item = &Arc<Deployment>> {
        made(&self.deployments_by_creation, at, back).filter_map(|id| self.deployments.get(&id))
    }

    pub fn deployments_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Deployment>> {
        by(&self.deployments_by_job, key, DeploymentId(LAST)).filter_map(|id| self.deployments.get(&id))
    }

    /// The one created last.
    pub fn latest_deployment(&self, key: &NamespacedId) -> Option<&Arc<Deployment>> {
        self.deployments_by_job(key).max_by_key(|d| d.create_index)
    }

    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// What non-terminal allocations take of a node; empty for a node without any.
    pub fn usage(&self, id: NodeId) -> Option<&Arc<NodeUsage>> {
        self.node_usage.get(&id)
    }

    /// Nodes that have allocations, with what these take, in node-id order.
    pub fn usages(&self) -> impl Iterator<Item = (NodeId, &Arc<NodeUsage>)> {
        self.node_usage.iter().map(|(id, usage)| (*id, usage))
    }

    pub fn periodic_launches(&self) -> impl Iterator<Item = (&NamespacedId, PeriodicLaunch)> {
        self.periodic_launches.iter().map(|(key, launch)| (key, *launch))
    }

    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.services.values()
    }

    /// Instances of one service, in id order.
    pub fn service(&self, namespace: &Namespace, name: &str) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        let name: Arc<str> = Arc::from(name);
        self.services
            .range((namespace.clone(), name.clone(), Arc::from(""))..)
            .take_while({
                let namespace = namespace.clone();
                move |((ns, n, _), _)| *ns == namespace && *n == name
            })
            .map(|(_, row)| row)
    }

    pub fn services_by_alloc(&self, alloc: AllocId) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.services_by_alloc
            .range((alloc, Default::default())..)
            .take_while(move |(a, _)| *a == alloc)
            .filter_map(|(_, key)| self.services.get(key))
    }

    pub fn periodic_launch(&self, key: &NamespacedId) -> Option<PeriodicLaunch> {
        self.periodic_launches.get(key).copied()
    }

    pub fn scheduler_config(&self) -> &Arc<SchedulerConfig> {
        &self.scheduler_config
    }

    /// Every root key, in no order that means anything.
    pub fn root_keys(&self) -> impl Iterator<Item = &Arc<RootKey>> {
        self.root_keys.values()
    }

    pub fn active_root_key(&self) -> Option<&Arc<RootKey>> {
        self.root_keys.values().find(|key| key.state == RootKeyState::Active)
    }

    /// The key that signs for what was placed at this raft index: the one that was active then.
    pub fn signing_key(&self, create_index: u64) -> Option<&Arc<RootKey>> {
        let then = self.root_keys.values().filter(|key| key.active_since <= create_index);
        // What was placed before there was a key is the first one's.
        let first = || self.root_keys.values().min_by_key(|key| key.active_since);
        then.max_by_key(|key| key.active_since).or_else(first)
    }
}

/// Ids by create index, from a place on or back from it.
fn made<I: Ord + Copy>(
    set: &OrdSet<(u64, I)>,
    at: Option<(u64, I)>,
    back: bool,
) -> impl Iterator<Item = I> + use<'_, I> {
    let (from, to) = match (at, back) {
        (None, _) => (Bound::Unbounded, Bound::Unbounded),
        (Some(at), false) => (Bound::Included(at), Bound::Unbounded),
        (Some(at), true) => (Bound::Unbounded, Bound::Included(at)),
    };
    let mut ids = set.range((from, to));
    std::iter::from_fn(move || if back { ids.next_back() } else { ids.next() }).map(|(_, id)| *id)
}

/// The pairs that are new, gone or other than before.
fn changed<'a, K: Ord, V: PartialEq>(
    before: &'a OrdMap<K, V>,
    after: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    before.diff(after).map(|item| match item {
        DiffItem::Add(key, row) | DiffItem::Remove(key, row) | DiffItem::Update { new: (key, row), .. } => (key, row),
    })
}

/// The second halves of `set`'s pairs whose first half is `key`; `last` is the greatest second half there can be.
fn by<'a, K: Ord + Clone, I: Ord + Copy + Default + 'a>(
    set: &'a OrdSet<(K, I)>,
    key: &K,
    last: I,
) -> impl Iterator<Item = I> + use<'a, K, I> {
    set.range((key.clone(), I::default())..=(key.clone(), last)).map(|(_, id)| *id)
}
