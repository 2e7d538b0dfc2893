//! The deployment of the job's current version: which one it is, when one begins, when it is done.

use std::sync::Arc;

use tarpan_model::deployment::{DeploymentGroup, DeploymentUpdate};
use tarpan_model::ids::DeploymentId;
use tarpan_model::{Deployment, DeploymentStatus};

use super::Reconciler;
use crate::compile::Group;

const STOPPED: &str = "Cancelled because job is stopped";
const NEWER: &str = "Cancelled due to newer version of job";
const RUNNING: &str = "Deployment is running";
const NEEDS_PROMOTION: &str = "Deployment is running but requires manual promotion";
const AUTO_PROMOTION: &str = "Deployment is running pending automatic promotion";
const SUCCESSFUL: &str = "Deployment completed successfully";

impl<'a> Reconciler<'a, '_> {
    /// Tells the current deployment from an old one, and cancels one that is out of date.
    pub(super) fn look_at_deployment(&mut self) {
        let Some(deployment) = self.input.deployment else { return };
        let reason = match self.input.job {
            None => Some(STOPPED),
            Some(compiled) => {
                let job = &compiled.job;
                let same = deployment.job_version == job.version()
                    && deployment.job_create_index == job.create_index.unwrap_or(0);
                (!same).then_some(NEWER)
            }
        };
        if let Some(reason) = reason {
            if deployment.active() {
                self.update_deployment(deployment, DeploymentStatus::Cancelled, reason);
            }
            self.old = Some(deployment);
        } else if deployment.status == DeploymentStatus::Successful {
            self.old = Some(deployment);
        } else {
            use DeploymentStatus::{Failed, Initializing, Paused, Pending};
            self.paused = matches!(deployment.status, Paused | Pending | Initializing);
            self.failed = deployment.status == Failed;
            self.current = Some(deployment);
        }
    }

    fn update_deployment(&mut self, deployment: &Deployment, status: DeploymentStatus, reason: &str) {
        let update = DeploymentUpdate { id: deployment.id, status, description: Arc::from(reason) };
        self.changes.deployment_updates.push(update);
    }

    /// The running deployment of this version, whose watcher decides about failed allocations.
    pub(super) fn watching(&self) -> Option<DeploymentId> {
        self.current.filter(|d| d.active()).map(|d| d.id)
    }

    /// The group's part in the current deployment, or what it would be in a new one.
    pub(super) fn group_state(&self, group: &Group) -> (DeploymentGroup, bool) {
        if let Some(state) = self.current.and_then(|d| d.groups.get(&group.name)) {
            return (state.clone(), true);
        }
        let state = group.update.map(|update| DeploymentGroup {
            auto_revert: update.auto_revert,
            auto_promote: update.auto_promote,
            progress_deadline: update.progress_deadline,
            ..DeploymentGroup::default()
        });
        (state.unwrap_or_default(), false)
    }

    /// The group takes part in this version's deployment; the first one to do so begins it.
    pub(super) fn join_deployment(&mut self, group: &Group, state: DeploymentGroup) {
        let Some(compiled) = self.input.job else { return };
        if self.changes.deployment.is_none() {
            let deployment = match self.current {
                Some(current) => Deployment::clone(current),
                None => self.new_deployment(compiled),
            };
            self.changes.deployment = Some(deployment);
        }
        if let Some(deployment) = &mut self.changes.deployment {
            deployment.groups.insert(group.name.clone(), state);
        }
    }

    fn new_deployment(&mut self, compiled: &crate::compile::Compiled) -> Deployment {
        let (job, eval) = (&compiled.job, self.input.eval);
        Deployment {
            id: DeploymentId(self.ids.next_uuid()),
            namespace: eval.namespace.clone(),
            job_id: eval.job_id.clone(),
            job_version: job.version(),
            job_modify_index: job.modify_index.unwrap_or(0),
            job_spec_modify_index: job.job_modify_index.unwrap_or(0),
            job_create_index: job.create_index.unwrap_or(0),
            groups: std::collections::BTreeMap::new(),
            status: DeploymentStatus::Running,
            status_description: Arc::from(RUNNING),
            eval_priority: eval.priority,
            create_index: 0,
            modify_index: 0,
            create_time: self.input.now,
            modify_time: self.input.now,
        }
    }

    /// Says what the new deployment waits for, and ends the current one when every group is done.
    pub(super) fn finish_deployment(&mut self) {
        if let Some(deployment) = &mut self.changes.deployment
            && deployment.requires_promotion()
        {
            let mut canaries = deployment.groups.values().filter(|g| g.desired_canaries > 0);
            let auto = canaries.all(|g| g.auto_promote);
            deployment.status_description = Arc::from(if auto { AUTO_PROMOTION } else { NEEDS_PROMOTION });
        }
        if let Some(current) = self.current.filter(|d| d.active())
            && self.groups_complete
            && self.changes.deployment.is_none()
        {
            self.update_deployment(current, DeploymentStatus::Successful, SUCCESSFUL);
        }
    }
}
