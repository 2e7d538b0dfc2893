//! The deployment of a system job's version, and how fast it may replace.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::deployment::{DeploymentGroup, DeploymentUpdate};
use tarpan_model::ids::{DeploymentId, IdSource};
use tarpan_model::{Deployment, DeploymentStatus, Evaluation, UnixNanos};

use super::compare::Missing;
use crate::compile::{Compiled, Group};
use crate::reconcile::AllocRef;

const RUNNING: &str = "Deployment is running";
const SUCCESSFUL: &str = "Deployment completed successfully";

/// The rollout of the current version, if there is one.
pub struct Rollout<'a> {
    eval: &'a Evaluation,
    now: UnixNanos,
    /// Of this version, whatever became of it.
    current: Option<&'a Arc<Deployment>>,
    updates: Vec<DeploymentUpdate>,
    new: Option<Deployment>,
    /// Some allocation of this version exists.
    had_version: bool,
    /// Nodes that can run a group, by group.
    runnable: Vec<u64>,
}

impl<'a> Rollout<'a> {
    pub fn new(
        job: &Compiled,
        latest: Option<&'a Arc<Deployment>>,
        eval: &'a Evaluation,
        now: UnixNanos,
        allocs: &[AllocRef<'_>],
        runnable: Vec<u64>,
    ) -> Rollout<'a> {
        let (version, created) = (job.job.version(), job.job.create_index.unwrap_or(0));
        let same = |d: &Deployment| d.job_version == version && d.job_create_index == created;
        let mut updates = Vec::new();
        if let Some(old) = latest.filter(|d| !same(d) && d.active()) {
            updates.push(update(old, DeploymentStatus::Cancelled, "Cancelled due to newer version of job"));
        }
        Rollout {
            eval,
            now,
            current: latest.filter(|d| same(d)),
            updates,
            new: None,
            had_version: allocs.iter().any(|a| a.job_version == version && a.job_create_index == created),
            runnable,
        }
    }

    /// Begins a deployment where this version has none and does something.
    pub fn begin(&mut self, job: &Compiled, ids: &mut dyn IdSource, replace: &[(AllocRef<'_>, Missing<'_>)]) {
        let wanted = !self.had_version || !replace.is_empty();
        let sysbatch = job.type_ == tarpan_model::JobType::SysBatch;
        if self.current.is_some() || !wanted || sysbatch {
            return;
        }
        let anywhere = job.groups.iter().any(|g| self.runnable[g.index] > 0);
        let groups: BTreeMap<Arc<str>, DeploymentGroup> = job
            .groups
            .iter()
            .filter(|g| g.count > 0 && (self.runnable[g.index] > 0 || !anywhere))
            .filter_map(|g| {
                let update = g.update?;
                let group = DeploymentGroup {
                    auto_revert: update.auto_revert,
                    auto_promote: update.auto_promote,
                    progress_deadline: update.progress_deadline,
                    desired_total: self.runnable[g.index],
                    ..DeploymentGroup::default()
                };
                Some((g.name.clone(), group))
            })
            .collect();
        if groups.is_empty() {
            return;
        }
        self.new = Some(Deployment {
            id: DeploymentId(ids.next_uuid()),
            namespace: self.eval.namespace.clone(),
            job_id: self.eval.job_id.clone(),
            job_version: job.job.version(),
            job_modify_index: job.job.modify_index.unwrap_or(0),
            job_spec_modify_index: job.job.job_modify_index.unwrap_or(0),
            job_create_index: job.job.create_index.unwrap_or(0),
            groups,
            // With nothing to do anywhere it is over at once.
            status: if anywhere { DeploymentStatus::Running } else { DeploymentStatus::Successful },
            status_description: Arc::from(if anywhere { RUNNING } else { SUCCESSFUL }),
            eval_priority: self.eval.priority,
            create_index: 0,
            modify_index: 0,
            create_time: self.now,
            modify_time: self.now,
        });
    }

    /// The rollout whose watcher has the job looked at again.
    pub fn active(&self) -> Option<&Deployment> {
        self.new.as_ref().or(self.current.map(|d| &**d).filter(|d| d.active()))
    }

    /// The deployment that allocations of `group` belong to.
    pub fn id_for(&self, group: &str) -> Option<DeploymentId> {
        self.active().filter(|d| d.groups.contains_key(group)).map(|d| d.id)
    }

    /// How many of the group may be replaced now. Those of this rollout whose health is not known yet count.
    pub fn limit(&self, group: &Group, ignored: &[AllocRef<'_>]) -> usize {
        let Some(update) = group.update else { return usize::MAX };
        use DeploymentStatus::{Failed, Initializing, Paused, Pending};
        if self.current.is_some_and(|d| matches!(d.status, Failed | Paused | Pending | Initializing)) {
            return 0;
        }
        let Some(deployment) = self.active() else { return update.max_parallel as usize };
        let waiting = ignored.iter().filter(|a| {
            a.task_group == group.name
                && a.deployment_id == Some(deployment.id)
                && a.deployment_status.and_then(|s| s.healthy).is_none()
        });
        (update.max_parallel as usize).saturating_sub(waiting.count())
    }

    /// What the plan says of deployments. `complete`: nothing was left to do on any node.
    pub fn end(&mut self, job: &Compiled, complete: bool) -> (Option<Deployment>, Vec<DeploymentUpdate>) {
        if let Some(current) = self.current.filter(|d| d.active() && complete && self.new.is_none()) {
            // Nodes may have left since.
            let runnable = |name: &str| job.group(name).map_or(0, |g| self.runnable[g.index]);
            if current.groups.iter().all(|(name, g)| g.healthy_allocs >= g.desired_total.min(runnable(name))) {
                self.updates.push(update(current, DeploymentStatus::Successful, SUCCESSFUL));
            }
        }
        (self.new.take(), std::mem::take(&mut self.updates))
    }
}

fn update(deployment: &Deployment, status: DeploymentStatus, reason: &str) -> DeploymentUpdate {
    DeploymentUpdate { id: deployment.id, status, description: Arc::from(reason) }
}
