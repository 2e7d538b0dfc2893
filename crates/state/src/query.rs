//! Reading. Lists come as iterators in key order; rows are shared, so keeping one costs nothing.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};
use tarpan_model::csi::{CsiPlugin, CsiVolume};
use tarpan_model::ids::{AllocId, ClaimId, DeploymentId, EvalId, Namespace, NamespacedId, NodeId, VolumeId};
use tarpan_model::root_key::{RootKey, RootKeyState};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::volume::{HostVolume, HostVolumeClaim};
use tarpan_model::{Allocation, Deployment, Evaluation, Job, Node, ScalingEvents, TaskGroup};
use uuid::Uuid;

use crate::rows::{JobSubmission, JobSummary, PeriodicLaunch, SchedulerConfig};
use crate::state::{JobLive, NodeUsage, State};
use crate::tables::{Table, Tables, csi_plugins};

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
    /// The snapshot that is being staged, if one is.
    pub fn staging(&self) -> Option<u128> {
        self.staged.as_ref().map(|staged| staged.id)
    }

    /// Raft index of the last applied entry; after a restore, larger by as much as the restored state was ahead.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The history that led here.
    pub fn lineage(&self) -> &crate::lineage::Lineage {
        &self.lineage
    }

    /// The last raft index that changed `table`; 0 when nothing ever did.
    pub fn table_index(&self, table: Table) -> u64 {
        self.changed[table as usize]
    }

    pub fn job(&self, key: &NamespacedId) -> Option<&Arc<Job>> {
        self.tables.jobs.get(key)
    }

    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = (&NamespacedId, &Arc<Job>)> {
        self.tables.jobs.iter()
    }

    /// Those from one key to another, both included.
    pub fn jobs_within(
        &self,
        from: Bound<NamespacedId>,
        to: Bound<NamespacedId>,
    ) -> impl DoubleEndedIterator<Item = &Arc<Job>> {
        let empty = matches!((&from, &to), (Bound::Included(from), Bound::Included(to)) if from > to);
        let to = if empty { from.clone() } else { to };
        self.tables.jobs.range((from, to)).map(|(_, job)| job).filter(move |_| !empty)
    }

    /// Those that are no children of another job.
    pub fn count_top_jobs(&self) -> usize {
        self.tables.jobs.len() - self.tables.job_children.len()
    }

    /// How many rows the large tables have.
    pub fn counts(&self) -> Counts {
        Counts {
            jobs: self.tables.jobs.len(),
            evals: self.tables.evals.len(),
            allocs: self.tables.allocs.len(),
            deployments: self.tables.deployments.len(),
            nodes: self.tables.nodes.len(),
        }
    }

    /// What [`State::jobs_changed`] compares, and nothing else: to be kept without the rest of a state that grows old.
    pub fn of_jobs(&self) -> State {
        let Tables { jobs, job_summaries, deployments, .. } = self.tables.clone();
        let tables = Tables { jobs, job_summaries, deployments, ..Tables::default() };
        State { index: self.index, tables, ..State::default() }
    }

    /// The jobs of which something is told otherwise than in `before`: themselves, the counts of their allocations, their deployments.
    /// Costs the difference, not the tables.
    pub fn jobs_changed(&self, before: &State) -> BTreeSet<NamespacedId> {
        let own = changed(&before.tables.jobs, &self.tables.jobs).map(|(key, _)| key.clone());
        let counts = changed(&before.tables.job_summaries, &self.tables.job_summaries).map(|(key, _)| key.clone());
        let rollouts = changed(&before.tables.deployments, &self.tables.deployments).map(|(_, row)| row.job_key());
        own.chain(counts).chain(rollouts).collect()
    }

    pub fn job_version(&self, key: &NamespacedId, version: u64) -> Option<&Arc<Job>> {
        self.tables.job_versions.get(&(key.clone(), version))
    }

    /// Newest first.
    pub fn job_versions(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Job>> {
        self.tables.job_versions.range((key.clone(), 0)..=(key.clone(), u64::MAX)).rev().map(|(_, job)| job)
    }

    pub fn job_submission(&self, key: &NamespacedId, version: u64) -> Option<&Arc<JobSubmission>> {
        self.tables.job_submissions.get(&(key.clone(), version))
    }

    pub fn job_summary(&self, key: &NamespacedId) -> Option<&Arc<JobSummary>> {
        self.tables.job_summaries.get(key)
    }

    pub fn csi_volume(&self, namespace: &Namespace, id: &str) -> Option<&Arc<CsiVolume>> {
        self.tables.csi_volumes.get(&(namespace.clone(), Arc::from(id)))
    }

    pub fn csi_volumes(&self) -> impl DoubleEndedIterator<Item = &Arc<CsiVolume>> {
        self.tables.csi_volumes.values()
    }

    /// Those that somebody claims.
    pub fn csi_volumes_claimed(&self) -> impl Iterator<Item = &Arc<CsiVolume>> {
        self.tables.csi_volumes_claimed.iter().filter_map(|(_, key)| self.tables.csi_volumes.get(key))
    }

    pub fn csi_plugin(&self, id: &str) -> Option<&Arc<CsiPlugin>> {
        self.tables.csi_plugins.get(id)
    }

    pub fn csi_plugins(&self) -> impl DoubleEndedIterator<Item = &Arc<CsiPlugin>> {
        self.tables.csi_plugins.values()
    }

    /// What jobs that are not stopped have tasks for: id and type of a CSI plugin, the job and the group.
    pub fn csi_plugin_groups(&self) -> impl Iterator<Item = (&str, &str, &Arc<Job>, &TaskGroup)> {
        let jobs = self.tables.csi_jobs.iter().filter_map(|(_, key)| self.tables.jobs.get(key));
        let jobs = jobs.filter(|job| !job.stopped());
        jobs.flat_map(|job| csi_plugins(job).map(move |(id, kind, group)| (id, kind, job, group)))
    }

    /// `None`: nobody asked anything of the counts of the job's groups.
    pub fn scaling_events(&self, key: &NamespacedId) -> Option<&Arc<ScalingEvents>> {
        self.tables.scaling_events.get(key)
    }

    /// How much of a job is not finished; zeros for an unknown job.
    pub fn job_live(&self, key: &NamespacedId) -> JobLive {
        self.job_live.get(key).copied().unwrap_or_default()
    }

    pub fn job_children(&self, parent: &NamespacedId) -> impl Iterator<Item = &Arc<Job>> {
        self.tables
            .job_children
            .range((parent.clone(), NamespacedId::default())..)
            .take_while(move |(p, _)| p == parent)
            .filter_map(|(_, child)| self.tables.jobs.get(child))
    }

    pub fn eval(&self, id: EvalId) -> Option<&Arc<Evaluation>> {
        self.tables.evals.get(&id)
    }

    pub fn evals(&self) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        self.tables.evals.values()
    }

    /// Those that are not finished: few among the many that were.
    pub fn open_evals(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.tables.evals_open.iter().filter_map(|(_, id)| self.tables.evals.get(id))
    }

    /// Those whose ids lie in a range.
    pub fn evals_within(&self, ids: RangeInclusive<Uuid>) -> impl DoubleEndedIterator<Item = &Arc<Evaluation>> {
        within(&self.tables.evals, ids, EvalId)
    }

    /// In the order in which they were made, from `at` (create index and id) on; `back`: from there back to the first.
    pub fn evals_made(&self, at: Option<(u64, EvalId)>, back: bool) -> impl Iterator<Item = &Arc<Evaluation>> {
        made(&self.tables.evals_by_creation, at, back).filter_map(|id| self.tables.evals.get(&id))
    }

    pub fn evals_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Evaluation>> {
        by(&self.tables.evals_by_job, key, EvalId(LAST)).filter_map(|id| self.tables.evals.get(&id))
    }

    pub fn alloc(&self, id: AllocId) -> Option<&Arc<Allocation>> {
        self.tables.allocs.get(&id)
    }

    pub fn allocs(&self) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        self.tables.allocs.values()
    }

    /// As [`State::evals_within`].
    pub fn allocs_within(&self, ids: RangeInclusive<Uuid>) -> impl DoubleEndedIterator<Item = &Arc<Allocation>> {
        within(&self.tables.allocs, ids, AllocId)
    }

    /// As [`State::evals_made`].
    pub fn allocs_made(&self, at: Option<(u64, AllocId)>, back: bool) -> impl Iterator<Item = &Arc<Allocation>> {
        made(&self.tables.allocs_by_creation, at, back).filter_map(|id| self.tables.allocs.get(&id))
    }

    /// Terminal ones included, in id order.
    pub fn allocs_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.tables.allocs_by_job, key, AllocId(LAST)).filter_map(|id| self.tables.allocs.get(&id))
    }

    pub fn allocs_by_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.tables.allocs_by_node, &node, AllocId(LAST)).filter_map(|id| self.tables.allocs.get(&id))
    }

    pub fn allocs_by_eval(&self, eval: EvalId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.tables.allocs_by_eval, &eval, AllocId(LAST)).filter_map(|id| self.tables.allocs.get(&id))
    }

    pub fn allocs_by_deployment(&self, deployment: DeploymentId) -> impl Iterator<Item = &Arc<Allocation>> {
        by(&self.tables.allocs_by_deployment, &deployment, AllocId(LAST)).filter_map(|id| self.tables.allocs.get(&id))
    }

    pub fn deployment(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.tables.deployments.get(&id)
    }

    /// As [`State::evals_within`].
    pub fn deployments_within(&self, ids: RangeInclusive<Uuid>) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        within(&self.tables.deployments, ids, DeploymentId)
    }

    pub fn deployments(&self) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        self.tables.deployments.values()
    }

    /// As [`State::evals_made`].
    pub fn deployments_made(
        &self,
        at: Option<(u64, DeploymentId)>,
        back: bool,
    ) -> impl Iterator<Item = &Arc<Deployment>> {
        made(&self.tables.deployments_by_creation, at, back).filter_map(|id| self.tables.deployments.get(&id))
    }

    pub fn deployments_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<Deployment>> {
        by(&self.tables.deployments_by_job, key, DeploymentId(LAST)).filter_map(|id| self.tables.deployments.get(&id))
    }

    /// The one created last.
    pub fn latest_deployment(&self, key: &NamespacedId) -> Option<&Arc<Deployment>> {
        self.deployments_by_job(key).max_by_key(|d| d.create_index)
    }

    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.tables.nodes.get(&id)
    }

    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        self.tables.nodes.values()
    }

    /// As [`State::evals_within`].
    pub fn nodes_within(&self, ids: RangeInclusive<Uuid>) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        within(&self.tables.nodes, ids, NodeId)
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
        self.tables.periodic_launches.iter().map(|(key, launch)| (key, **launch))
    }

    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.tables.services.values()
    }

    /// Instances of one service, in id order.
    pub fn service(&self, namespace: &Namespace, name: &str) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        let name: Arc<str> = Arc::from(name);
        self.tables
            .services
            .range((namespace.clone(), name.clone(), Arc::from(""))..)
            .take_while({
                let namespace = namespace.clone();
                move |((ns, n, _), _)| *ns == namespace && *n == name
            })
            .map(|(_, row)| row)
    }

    pub fn services_by_alloc(&self, alloc: AllocId) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.tables
            .services_by_alloc
            .range((alloc, Default::default())..)
            .take_while(move |(a, _)| *a == alloc)
            .filter_map(|(_, key)| self.tables.services.get(key))
    }

    pub fn host_volume(&self, id: VolumeId) -> Option<&Arc<HostVolume>> {
        self.tables.host_volumes.get(&id)
    }

    pub fn host_volumes(&self) -> impl DoubleEndedIterator<Item = &Arc<HostVolume>> {
        self.tables.host_volumes.values()
    }

    /// As [`State::evals_within`].
    pub fn host_volumes_within(&self, ids: RangeInclusive<Uuid>) -> impl DoubleEndedIterator<Item = &Arc<HostVolume>> {
        within(&self.tables.host_volumes, ids, VolumeId)
    }

    /// In id order.
    pub fn host_volumes_by_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<HostVolume>> {
        by(&self.tables.host_volumes_by_node, &node, VolumeId(LAST)).filter_map(|id| self.tables.host_volumes.get(&id))
    }

    /// Allocations that are not over and mount the volume, in id order.
    pub fn users_of(&self, volume: &HostVolume) -> impl Iterator<Item = &Arc<Allocation>> {
        self.allocs_by_node(volume.node_id).filter(|alloc| !alloc.client_terminal() && volume.is_of(alloc))
    }

    pub fn host_volume_claim(&self, id: ClaimId) -> Option<&Arc<HostVolumeClaim>> {
        self.tables.host_volume_claims.get(&id)
    }

    pub fn host_volume_claims(&self) -> impl DoubleEndedIterator<Item = &Arc<HostVolumeClaim>> {
        self.tables.host_volume_claims.values()
    }

    /// Those of all groups of a job.
    pub fn host_volume_claims_by_job(&self, key: &NamespacedId) -> impl Iterator<Item = &Arc<HostVolumeClaim>> {
        let ids = by(&self.tables.host_volume_claims_by_job, key, ClaimId(LAST));
        ids.filter_map(|id| self.tables.host_volume_claims.get(&id))
    }

    pub fn host_volume_claims_by_volume(&self, volume: VolumeId) -> impl Iterator<Item = &Arc<HostVolumeClaim>> {
        let ids = by(&self.tables.host_volume_claims_by_volume, &volume, ClaimId(LAST));
        ids.filter_map(|id| self.tables.host_volume_claims.get(&id))
    }

    pub fn periodic_launch(&self, key: &NamespacedId) -> Option<PeriodicLaunch> {
        self.tables.periodic_launches.get(key).map(|launch| **launch)
    }

    pub fn scheduler_config(&self) -> &Arc<SchedulerConfig> {
        &self.tables.scheduler_config
    }

    /// Every root key, in no order that means anything.
    pub fn root_keys(&self) -> impl Iterator<Item = &Arc<RootKey>> {
        self.tables.root_keys.values()
    }

    pub fn active_root_key(&self) -> Option<&Arc<RootKey>> {
        self.tables.root_keys.values().find(|key| key.state == RootKeyState::Active)
    }

    /// The key that signs for what was placed at this raft index: the one that was active then.
    pub fn signing_key(&self, create_index: u64) -> Option<&Arc<RootKey>> {
        let then = self.tables.root_keys.values().filter(|key| key.active_since <= create_index);
        // What was placed before there was a key is the first one's.
        let first = || self.tables.root_keys.values().min_by_key(|key| key.active_since);
        then.max_by_key(|key| key.active_since).or_else(first)
    }
}

/// The rows of a range of ids, which may be an empty one.
fn within<I: Ord + Clone, R>(
    table: &OrdMap<I, Arc<R>>,
    ids: RangeInclusive<Uuid>,
    id: fn(Uuid) -> I,
) -> impl DoubleEndedIterator<Item = &Arc<R>> {
    let (from, to) = ids.into_inner();
    let empty = from > to;
    table.range(id(from)..=id(if empty { from } else { to })).map(|(_, row)| row).filter(move |_| !empty)
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
