//! The lines of the list of jobs, kept from one request to the next: what changed since is made anew, the rest stands.
//!
//! A page that is open asks several times a second while the cluster moves, and each answer tells of all jobs. States are persistent
//! maps: what differs between the one that the lines were made of and a newer one is found without looking through both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tarpan_app::overview::Line;
use tarpan_app::rows::{Counts, JobRow};
use tarpan_model::{Allocation, ClientStatus, Job, NamespacedId};
use tarpan_state::{JobSummary, State};

/// Lines of jobs that are no children of others.
#[derive(Default)]
pub struct Lines(Mutex<Made>);

#[derive(Default)]
struct Made {
    /// `None`: of none.
    of: Option<State>,
    lines: Arc<BTreeMap<NamespacedId, Arc<Line>>>,
}

/// More are made anew each time: they are not worth the memory between two requests that may be far apart.
const MOST_KEPT: usize = 100_000;

impl Lines {
    /// The lines as `state` has them.
    pub fn of(&self, state: &State) -> Arc<BTreeMap<NamespacedId, Arc<Line>>> {
        if state.counts().jobs > MOST_KEPT {
            return Arc::new(all(state));
        }
        let mut made = self.0.lock().expect("no panic while held");
        let Made { of, lines } = &mut *made;
        match of {
            None => *lines = Arc::new(all(state)),
            // Another request saw more than this one does.
            Some(before) if before.index() > state.index() => return Arc::new(all(state)),
            Some(before) => {
                let changed = state.jobs_changed(before);
                let lines = if changed.is_empty() { return lines.clone() } else { Arc::make_mut(lines) };
                for key in changed {
                    match state.job(&key).and_then(|job| line_of(state, &key, job)) {
                        Some(line) => drop(lines.insert(key, Arc::new(line))),
                        None => drop(lines.remove(&key)),
                    }
                }
            }
        }
        *of = Some(state.of_jobs());
        lines.clone()
    }
}

fn all(state: &State) -> BTreeMap<NamespacedId, Arc<Line>> {
    state.jobs().filter_map(|(key, job)| Some((key.clone(), Arc::new(line_of(state, key, job)?)))).collect()
}

/// The line of a job that is no child of another.
fn line_of(state: &State, key: &NamespacedId, job: &Job) -> Option<Line> {
    (!is_child(job)).then(|| line(state, key, job))
}

/// A job's line, without the allocations that run.
pub fn line(state: &State, key: &NamespacedId, job: &Job) -> Line {
    Line::of(row(state, key, job))
}

pub fn is_child(job: &Job) -> bool {
    job.parent_id.as_deref().is_some_and(|parent| !parent.is_empty())
}

pub fn runs(alloc: &Allocation) -> bool {
    alloc.client_status == ClientStatus::Running
}

/// The allocations of this incarnation of the job.
pub fn current<'a>(state: &'a State, key: &'a NamespacedId, job: &Job) -> impl Iterator<Item = &'a Arc<Allocation>> {
    let incarnation = job.create_index.unwrap_or(0);
    state.allocs_by_job(key).filter(move |alloc| alloc.job_create_index == incarnation)
}

fn row(state: &State, key: &NamespacedId, job: &Job) -> JobRow {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let summary = state.job_summary(key);
    let deployment = state.latest_deployment(key).filter(|d| d.active());
    let canaries = deployment.map_or((0, 0), |_| {
        let canaries = current(state, key, job).filter(|a| runs(a)).filter_map(|a| a.deployment_status);
        let canaries = canaries.filter(|status| status.canary);
        canaries.fold((0, 0), |(n, healthy), s| (n + 1, healthy + u64::from(s.healthy == Some(true))))
    });
    let parent = job.is_periodic() || job.is_parameterized();
    JobRow {
        id: job.id().to_owned(),
        name: Some(text(&job.name)).filter(|name| !name.is_empty()).unwrap_or_else(|| job.id().to_owned()),
        namespace: job.namespace().to_owned(),
        parent: text(&job.parent_id),
        kind: kind(job),
        node_pool: text(&job.node_pool),
        datacenters: job.datacenters.clone().unwrap_or_default(),
        priority: job.priority(),
        status: text(&job.status),
        stop: job.stopped(),
        version: Some(job.version()),
        submitted: job.submit_time.unwrap_or(0),
        changed_index: job.modify_index.unwrap_or(0),
        counts: summary.map(|s| counts(s)).unwrap_or_default(),
        children: summary.filter(|_| parent).map(|s| {
            let children = s.children.unwrap_or_default();
            [children.pending, children.running, children.dead]
        }),
        wanted: job.groups().iter().fold(0, |total: u64, group| total.saturating_add(group.count())),
        canaries,
        deploying: deployment.is_some(),
        needs_promotion: deployment.is_some_and(|d| d.requires_promotion()),
        running: Vec::new(),
    }
}

fn kind(job: &Job) -> String {
    if job.is_periodic() {
        "periodic".to_owned()
    } else if job.is_parameterized() {
        "parameterized".to_owned()
    } else {
        job.job_type().to_string()
    }
}

fn counts(summary: &JobSummary) -> Counts {
    summary.groups.values().fold(Counts::default(), |sum, group| Counts {
        queued: sum.queued + group.queued,
        starting: sum.starting + group.starting,
        running: sum.running + group.running,
        complete: sum.complete + group.complete,
        failed: sum.failed + group.failed,
        lost: sum.lost + group.lost,
        unknown: sum.unknown + group.unknown,
    })
}
