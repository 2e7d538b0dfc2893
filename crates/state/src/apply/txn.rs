//! One command on its way through the tables.
//!
//! Rows go in one by one; what is counted over many rows (job summaries, what of a job is live, deployments' counters) is
//! gathered here and written once, by [`Txn::finish`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tarpan_model::deployment::Deployment;
use tarpan_model::ids::{DeploymentId, NamespacedId};
use tarpan_model::{Job, JobType};

use crate::command::Reply;
use crate::event::{Change, Event};
use crate::rows::{ChildrenSummary, JobSummary};
use crate::state::{JobLive, State};
use crate::tables::{Declared, Setting, Table, parent, table};

pub(crate) struct Txn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) index: u64,
    kind: &'static str,
    jobs: BTreeMap<NamespacedId, JobWork>,
    deployments: BTreeMap<DeploymentId, Deployment>,
}

/// What the running command does to a job's counts.
pub(crate) struct JobWork {
    pub(crate) summary: Option<JobSummary>,
    pub(crate) summary_changed: bool,
    pub(crate) live: JobLive,
    /// Its evaluations were collected as garbage: without any left it is dead, not pending.
    pub(crate) evals_deleted: bool,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(state: &'a mut State, index: u64, kind: &'static str) -> Txn<'a> {
        Txn { state, index, kind, jobs: BTreeMap::new(), deployments: BTreeMap::new() }
    }

    pub(crate) fn done(&self) -> Reply {
        Reply::Done { index: self.index }
    }

    pub(crate) fn touch(&mut self, table: Table) {
        self.state.changed[table as usize] = self.index;
    }

    /// Writes a row, with all that its table is declared to have.
    pub(crate) fn put<T: Declared>(&mut self, _: T, key: T::Key, row: Arc<T::Row>) {
        T::put(&mut self.state.tables, key, row.clone());
        self.changed::<T>(row, false);
    }

    /// Removes a row, with all that its table is declared to have, and gives it. `None`: there was none.
    pub(crate) fn take<T: Declared>(&mut self, _: T, key: &T::Key) -> Option<Arc<T::Row>> {
        let row = T::take(&mut self.state.tables, key)?;
        self.changed::<T>(row.clone(), true);
        Some(row)
    }

    fn changed<T: Declared>(&mut self, row: Arc<T::Row>, gone: bool) {
        self.touch(T::TABLE);
        let Some(change) = T::change(row, gone) else { return };
        let kind = match &change {
            Change::Service { gone: true, .. } => "ServiceDeregistration",
            Change::HostVolume { gone: true, .. } => "HostVolumeDeleted",
            Change::HostVolume { .. } => "HostVolumeRegistered",
            _ => self.kind,
        };
        self.state.events.push(Event { index: self.index, kind, change });
    }

    pub(crate) fn set<T: Setting>(&mut self, _: T, value: T::Value) {
        T::put(&mut self.state.tables, value);
        self.touch(T::TABLE);
    }

    /// The counts of a job, to be changed.
    pub(crate) fn work(&mut self, key: &NamespacedId) -> &mut JobWork {
        let state = &*self.state;
        self.jobs.entry(key.clone()).or_insert_with(|| JobWork {
            summary: state.job_summary(key).map(|s| JobSummary::clone(s)),
            summary_changed: false,
            live: state.job_live.get(key).copied().unwrap_or_default(),
            evals_deleted: false,
        })
    }

    /// A deployment, to be changed; written by [`Txn::finish`]. `None`: there is none of this id.
    pub(crate) fn deployment(&mut self, id: DeploymentId) -> Option<&mut Deployment> {
        match self.deployments.entry(id) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => self.state.deployment(id).map(|row| entry.insert(Deployment::clone(row))),
        }
    }

    /// Puts a deployment there, new or not.
    pub(crate) fn put_deployment(&mut self, deployment: Deployment) {
        self.deployments.insert(deployment.id, deployment);
    }

    /// Writes what was gathered.
    pub(crate) fn finish(mut self) {
        for deployment in std::mem::take(&mut self.deployments).into_values() {
            self.write_deployment(deployment);
        }
        // Writing a job's status changes its parent's summary: parents are written after all children.
        let mut parents = BTreeMap::new();
        for (key, work) in std::mem::take(&mut self.jobs) {
            self.write_work(&key, work, &mut parents);
        }
        for (parent, delta) in parents {
            self.write_children(&parent, delta);
        }
    }

    fn write_deployment(&mut self, mut row: Deployment) {
        let key = row.job_key();
        let old = self.state.deployment(row.id);
        if old.is_some_and(|old| **old == row) {
            return;
        }
        let (was, is) = (old.is_some_and(|d| d.active()), row.active());
        if old.is_none() {
            row.create_index = self.index;
        }
        row.modify_index = self.index;
        let live = &mut self.work(&key).live.deployments;
        *live = (*live + u32::from(is)).saturating_sub(u32::from(was));
        self.put(table::Deployments, row.id, Arc::new(row));
    }

    fn write_work(&mut self, key: &NamespacedId, work: JobWork, parents: &mut BTreeMap<NamespacedId, ChildrenDelta>) {
        if work.live == JobLive::default() {
            self.state.job_live.remove(key);
        } else {
            self.state.job_live.insert(key.clone(), work.live);
        }
        if let Some(mut summary) = work.summary.filter(|_| work.summary_changed) {
            summary.modify_index = self.index;
            self.put(table::JobSummaries, key.clone(), Arc::new(summary));
        }
        let Some(job) = self.state.job(key).cloned() else { return };
        let status = status(&job, &work.live, work.evals_deleted);
        let was = job.status.as_deref().unwrap_or_default();
        if was == status {
            return;
        }
        if let Some(parent) = parent(&job) {
            let delta = parents.entry(parent).or_default();
            delta.add(was, -1);
            delta.add(status, 1);
        }
        self.put_job_row(
            key,
            Job { status: Some(status.to_owned()), modify_index: Some(self.index), ..Job::clone(&job) },
        );
    }

    /// Replaces the current row of a job, its versions untouched.
    pub(crate) fn put_job_row(&mut self, key: &NamespacedId, job: Job) {
        self.put(table::Jobs, key.clone(), Arc::new(job));
    }

    pub(crate) fn write_children(&mut self, parent: &NamespacedId, delta: ChildrenDelta) {
        let Some(old) = self.state.job_summary(parent) else { return };
        let mut summary = JobSummary::clone(old);
        let children = summary.children.get_or_insert_default();
        for (count, change) in [
            (&mut children.pending, delta.pending),
            (&mut children.running, delta.running),
            (&mut children.dead, delta.dead),
        ] {
            *count = count.saturating_add_signed(change);
        }
        summary.modify_index = self.index;
        self.put(table::JobSummaries, parent.clone(), Arc::new(summary));
    }

    /// Forgets what was gathered for a job that is gone, its live counts excepted.
    pub(crate) fn forget_summary(&mut self, key: &NamespacedId) {
        let work = self.work(key);
        work.summary = None;
        work.summary_changed = false;
    }
}

/// A change of [`ChildrenSummary`].
#[derive(Default)]
pub(crate) struct ChildrenDelta {
    pending: i64,
    running: i64,
    dead: i64,
}

impl ChildrenDelta {
    pub(crate) fn add(&mut self, status: &str, by: i64) {
        match status {
            "pending" => self.pending += by,
            "running" => self.running += by,
            "dead" => self.dead += by,
            _ => {}
        }
    }
}

/// A summary without counts, for a new job.
pub(crate) fn new_summary(job: &Job, index: u64) -> JobSummary {
    let has_children = job.is_periodic() || job.is_parameterized();
    JobSummary {
        groups: job.groups().iter().map(|g| (Arc::from(g.name()), Default::default())).collect(),
        children: has_children.then(ChildrenSummary::default),
        create_index: index,
        modify_index: index,
    }
}

/// The status that follows from what of a job is live.
///
/// Source: `reference/semantics.md` §8.6, in this order.
fn status(job: &Job, live: &JobLive, evals_deleted: bool) -> &'static str {
    let keeps_running = job.job_type() == JobType::System || job.is_periodic() || job.is_parameterized();
    match () {
        () if keeps_running && job.stopped() => "dead",
        () if keeps_running => "running",
        () if live.deployments > 0 || live.allocs > 0 => "running",
        () if live.evals > 0 => "pending",
        () if live.evals_total > 0 || evals_deleted || job.stopped() => "dead",
        () => "pending",
    }
}
