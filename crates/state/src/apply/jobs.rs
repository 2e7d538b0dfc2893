//! Jobs: versions, submissions, children, stopping, purging, tags.

use std::sync::Arc;

use tarpan_model::alike::alike;
use tarpan_model::alloc::DesiredTransition;
use tarpan_model::ids::{EvalId, NamespacedId};
use tarpan_model::job::JobVersionTag;
use tarpan_model::{Allocation, EvalStatus, Evaluation, Job, UnixNanos};

use super::txn::{ChildrenDelta, Txn, new_summary};
use super::volumes;
use crate::command::{DeregisterJob, RegisterJob, Rejection, Reply};
use crate::rows::JobSubmission;
use crate::tables::{Declared, Table, parent, table};

/// Untagged versions kept of a job; the newest stable one may be kept beyond.
const VERSIONS: usize = 6;

pub(crate) fn register(txn: &mut Txn<'_>, command: &RegisterJob) -> Result<Reply, Rejection> {
    let key = command.job.key();
    let old = txn.state.job(&key).cloned();
    if let Some(enforced) = command.enforce_index {
        enforce(enforced, old.as_deref())?;
    }
    let mut job = command.job.clone();
    if let Some(old) = old.as_deref().filter(|_| command.preserve_counts) {
        preserve_counts(&mut job, old);
    }
    let eval_id = command.eval.as_ref().map(|e| e.id);
    let (job_modify_index, version) = match old.as_deref().filter(|old| same_spec(old, &job)) {
        Some(old) => {
            write_eval(txn, command.eval.as_ref(), old.job_modify_index.unwrap_or(0));
            (old.modify_index.unwrap_or(0), old.version())
        }
        None => {
            let version = txn.put_version(&key, job, old.as_deref(), command.submission.as_ref(), command.now);
            write_eval(txn, command.eval.as_ref(), txn.index);
            (txn.index, version)
        }
    };
    Ok(Reply::Registered { index: txn.index, eval_id, job_modify_index, version })
}

fn write_eval(txn: &mut Txn<'_>, eval: Option<&Evaluation>, job_modify_index: u64) {
    if let Some(eval) = eval {
        txn.put_eval(Evaluation { job_modify_index, ..eval.clone() });
    }
}

fn enforce(enforced: u64, old: Option<&Job>) -> Result<(), Rejection> {
    let found = match (enforced, old) {
        (0, None) => return Ok(()),
        (0, Some(_)) => "job already exists".to_owned(),
        (_, None) => "job does not exist".to_owned(),
        (n, Some(old)) if old.job_modify_index == Some(n) => return Ok(()),
        (_, Some(old)) => {
            format!("job exists with conflicting job modify index: {}", old.job_modify_index.unwrap_or(0))
        }
    };
    Err(Rejection::JobModifyIndex { enforced, found })
}

fn preserve_counts(job: &mut Job, old: &Job) {
    for group in job.task_groups.iter_mut().flatten() {
        if let Some(before) = old.group(group.name()) {
            group.count = before.count;
        }
    }
}

/// Equal but for what the servers write into a job.
pub fn same_spec(old: &Job, new: &Job) -> bool {
    let servers_part = |job: &Job| Job {
        status: old.status.clone(),
        status_description: old.status_description.clone(),
        stable: old.stable,
        version: old.version,
        create_index: old.create_index,
        modify_index: old.modify_index,
        job_modify_index: old.job_modify_index,
        submit_time: old.submit_time,
        stop: Some(job.stopped()),
        dispatched: Some(job.dispatched == Some(true)),
        ..job.clone()
    };
    alike(&servers_part(old), &servers_part(new))
}

impl Txn<'_> {
    /// Writes a job as its newest version and gives the version's number.
    pub(crate) fn put_version(
        &mut self,
        key: &NamespacedId,
        mut job: Job,
        old: Option<&Job>,
        submission: Option<&JobSubmission>,
        now: UnixNanos,
    ) -> u64 {
        if let Some(old) = old {
            self.keep_status(key, old);
        }
        let version = old.map_or(job.version(), |old| job.version().max(old.version().saturating_add(1)));
        job.version = Some(version);
        job.create_index = Some(old.and_then(|old| old.create_index).unwrap_or(self.index));
        job.modify_index = Some(self.index);
        job.job_modify_index = Some(self.index);
        job.stable = Some(false);
        job.status = Some(old.and_then(|o| o.status.clone()).unwrap_or_default());
        job.submit_time =
            Some(job.submit_time.filter(|t| *t > 0 && old.and_then(|o| o.submit_time) != Some(*t)).unwrap_or(now.0));
        self.put_submission(key, version, old.map(Job::version), submission);
        self.put_children(key, &job, now);
        self.csi_of_job(&job, now);
        self.put_summary(key, &job);
        let row = Arc::new(job);
        self.put(table::JobVersions, (key.clone(), version), first_row(&row));
        self.prune_versions(key);
        self.put(table::Jobs, key.clone(), row);
        self.work(key);
        version
    }

    /// A version without text of its own carries the text of the one before.
    fn put_submission(&mut self, key: &NamespacedId, version: u64, before: Option<u64>, given: Option<&JobSubmission>) {
        let row = match given {
            Some(given) => Some(Arc::new(given.clone())),
            None => before.and_then(|v| self.state.job_submission(key, v).cloned()),
        };
        if let Some(row) = row {
            self.put(table::JobSubmissions, (key.clone(), version), row);
        }
    }

    fn put_children(&mut self, key: &NamespacedId, job: &Job, now: UnixNanos) {
        if job.is_periodic() {
            self.set_launch(key, now);
        }
        let Some(parent) = parent(job) else { return };
        if let Some(secs) = launch_secs(key, &parent) {
            self.set_launch(&parent, UnixNanos::from_secs(secs));
        }
    }

    fn put_summary(&mut self, key: &NamespacedId, job: &Job) {
        let created = job.create_index.unwrap_or(0);
        let index = self.index;
        let work = self.work(key);
        match work.summary.as_mut().filter(|s| s.create_index == created) {
            None => work.summary = Some(new_summary(job, index)),
            Some(summary) => {
                for group in job.groups() {
                    if !summary.groups.contains_key(group.name()) {
                        summary.groups.insert(Arc::from(group.name()), Default::default());
                    }
                }
            }
        }
        work.summary_changed = true;
    }

    /// Source: `reference/semantics.md` §8.3, version retention.
    fn prune_versions(&mut self, key: &NamespacedId) {
        let tagged = |job: &Job| job.version_tag.is_some();
        let untagged: Vec<Arc<Job>> = self.state.job_versions(key).filter(|j| !tagged(j)).cloned().collect();
        if untagged.len() > VERSIONS {
            let newest_stable = untagged.iter().position(|j| j.stable == Some(true));
            let at = if newest_stable == Some(VERSIONS) { VERSIONS - 1 } else { VERSIONS };
            self.take(table::JobVersions, &(key.clone(), untagged[at].version()));
        }
        let kept: Vec<u64> = self.state.job_versions(key).map(|j| j.version()).collect();
        let gone: Vec<u64> = self
            .state
            .tables
            .job_submissions
            .range((key.clone(), 0)..=(key.clone(), u64::MAX))
            .map(|((_, version), _)| *version)
            .filter(|version| !kept.contains(version))
            .collect();
        for version in gone {
            self.take(table::JobSubmissions, &(key.clone(), version));
        }
    }

    /// What became of a version while it was the newest: its row is left with that. Until then only the job's own row follows,
    /// because each change of a version's row is one of all its allocations.
    fn keep_status(&mut self, key: &NamespacedId, old: &Job) {
        let Some(row) = self.state.job_version(key, old.version()) else { return };
        if row.status == old.status {
            return;
        }
        let row = Arc::new(Job { status: old.status.clone(), ..Job::clone(row) });
        self.put(table::JobVersions, (key.clone(), old.version()), row.clone());
        self.relink(key, &row);
    }

    /// Replaces one version of a job, and the current row when it is that version.
    fn change_version(&mut self, key: &NamespacedId, version: u64, change: impl Fn(&mut Job)) -> bool {
        let Some(row) = self.state.job_version(key, version) else { return false };
        let mut changed = Job::clone(row);
        change(&mut changed);
        changed.modify_index = Some(self.index);
        let changed = Arc::new(changed);
        self.put(table::JobVersions, (key.clone(), version), changed.clone());
        self.relink(key, &changed);
        if let Some(current) = self.state.job(key).filter(|j| j.version() == version) {
            let mut current = Job::clone(current);
            change(&mut current);
            current.modify_index = Some(self.index);
            self.put_job_row(key, current);
        }
        self.touch(Table::Jobs);
        true
    }

    /// Allocations of the version point to its new row: the old one is given back, and a restored server has no other.
    fn relink(&mut self, key: &NamespacedId, version: &Arc<Job>) {
        let runs = |a: &&Arc<Allocation>| {
            Some(a.job_version) == version.version && Some(a.job_create_index) == version.create_index
        };
        let rows: Vec<Arc<Allocation>> = self.state.allocs_by_job(key).filter(runs).cloned().collect();
        for row in rows {
            let row = Allocation { job: version.clone(), ..Allocation::clone(&row) };
            table::Allocs::put(&mut self.state.tables, row.id, Arc::new(row));
        }
    }

    pub(crate) fn mark_stable(&mut self, key: &NamespacedId, version: u64, stable: bool) -> bool {
        self.change_version(key, version, |job| job.stable = Some(stable))
    }
}

/// A version's own row, which its allocations show: a job that nobody has looked at yet waits, or waits for launches.
fn first_row(job: &Arc<Job>) -> Arc<Job> {
    if job.status.as_deref().is_some_and(|status| !status.is_empty()) {
        return job.clone();
    }
    let status = if job.is_periodic() || job.is_parameterized() { "running" } else { "pending" };
    Arc::new(Job { status: Some(status.to_owned()), ..Job::clone(job) })
}

/// The launch time in a periodic child's id: `<parent>/periodic-<unix seconds>`. Only servers make children, so it is a time of
/// theirs; one that nanoseconds can't hold is the last they can.
fn launch_secs(child: &NamespacedId, parent: &NamespacedId) -> Option<i64> {
    child.id.as_str().strip_prefix(parent.id.as_str())?.strip_prefix("/periodic-")?.parse().ok()
}

pub(crate) fn deregister(txn: &mut Txn<'_>, command: &DeregisterJob) -> Reply {
    let key = &command.job;
    let Some(old) = txn.state.job(key).cloned() else { return txn.done() };
    if command.no_shutdown_delay {
        let wish = DesiredTransition { no_shutdown_delay: Some(true), ..DesiredTransition::default() };
        let allocs: Vec<_> = txn.state.allocs_by_job(key).filter(|a| !a.terminal()).map(|a| a.id).collect();
        for id in allocs {
            txn.transition(id, &wish, command.now);
        }
    }
    if command.purge {
        purge(txn, key, &old, command.now);
    } else if !old.stopped() {
        let stopped = Job { stop: Some(true), submit_time: Some(command.now.0), ..Job::clone(&old) };
        txn.put_version(key, stopped, Some(&old), None, command.now);
    }
    write_eval(txn, command.eval.as_ref(), txn.index);
    txn.done()
}

fn purge(txn: &mut Txn<'_>, key: &NamespacedId, old: &Job, now: UnixNanos) {
    txn.forget_summary(key);
    txn.take(table::Jobs, key);
    txn.take(table::JobSummaries, key);
    txn.take(table::PeriodicLaunches, key);
    txn.take(table::ScalingEvents, key);
    volumes::job_gone(txn, key);
    let versions: Vec<u64> = txn.state.job_versions(key).map(|j| j.version()).collect();
    for version in versions {
        txn.take(table::JobVersions, &(key.clone(), version));
        txn.take(table::JobSubmissions, &(key.clone(), version));
    }
    if let Some(parent) = parent(old) {
        let mut delta = ChildrenDelta::default();
        delta.add(old.status.as_deref().unwrap_or_default(), -1);
        delta.add("dead", 1);
        txn.write_children(&parent, delta);
    }
    let deployments: Vec<_> = txn.state.deployments_by_job(key).map(|d| d.id).collect();
    for id in deployments {
        txn.remove_deployment(id);
    }
    complete_pending(txn, key, now);
}

/// Evaluations of a purged job that nobody worked on yet have nothing left to do.
fn complete_pending(txn: &mut Txn<'_>, key: &NamespacedId, now: UnixNanos) {
    let pending: Vec<EvalId> = txn.state.evals_by_job(key).filter(|e| !e.terminal()).map(|e| e.id).collect();
    for id in pending {
        let Some(old) = txn.state.eval(id).cloned() else { continue };
        let row = Evaluation {
            status: EvalStatus::Complete,
            status_description: Arc::from(format!("job {} deleted", key.id)),
            modify_index: txn.index,
            modify_time: now,
            ..Evaluation::clone(&old)
        };
        txn.write_eval(Arc::new(row), Some(&old));
    }
}

pub(crate) fn set_stability(
    txn: &mut Txn<'_>,
    key: &NamespacedId,
    version: u64,
    stable: bool,
) -> Result<Reply, Rejection> {
    if !txn.mark_stable(key, version, stable) {
        return Err(Rejection::JobNotFound);
    }
    Ok(txn.done())
}

/// Names a version, or takes the name (of whatever version has it) away.
pub(crate) fn tag(
    txn: &mut Txn<'_>,
    key: &NamespacedId,
    version: u64,
    name: &str,
    description: &str,
    now: UnixNanos,
    remove: bool,
) -> Result<Reply, Rejection> {
    let tag_of = |job: &Job| job.version_tag.as_ref().and_then(|t| t.name.clone());
    let holder = txn.state.job_versions(key).find(|j| tag_of(j).as_deref() == Some(name)).map(|j| j.version());
    match (remove, holder) {
        (true, None) => {
            return Err(Rejection::Other(format!("tag {name:?} not found on job {:?}", key.id.as_str())));
        }
        (true, Some(version)) => {
            txn.change_version(key, version, |job| job.version_tag = None);
        }
        (false, Some(holder)) if holder != version => {
            let job = key.id.as_str();
            return Err(Rejection::Other(format!("tag {name:?} already exists on a different version of job {job:?}")));
        }
        (false, _) => {
            let tag = JobVersionTag {
                name: Some(name.to_owned()),
                description: Some(description.to_owned()),
                tagged_time: Some(now.0),
            };
            if !txn.change_version(key, version, |job| job.version_tag = Some(tag.clone())) {
                return Err(Rejection::VersionNotFound(version));
            }
        }
    }
    Ok(txn.done())
}
