//! What watchers and operators do to deployments.

use std::sync::Arc;

use tarpan_model::alloc::AllocDeploymentStatus;
use tarpan_model::deployment::{Deployment, DeploymentUpdate};
use tarpan_model::ids::AllocId;
use tarpan_model::{Allocation, DeploymentStatus, Evaluation, Job, UnixNanos};

use super::txn::Txn;
use crate::command::{Rejection, Reply, UpdateDeployment};

const RUNNING: &str = "Deployment is running";

pub(crate) fn update(txn: &mut Txn<'_>, command: &UpdateDeployment) -> Result<Reply, Rejection> {
    let Some(deployment) = txn.state.deployment(command.id) else {
        return Err(Rejection::DeploymentNotFound);
    };
    if !deployment.active() {
        let status = deployment.status.as_str();
        let text = format!("Deployment {:?} has terminal status {status:?}:", command.id.to_string());
        return Err(Rejection::Other(text));
    }
    let rolled_out = (Some(deployment.job_create_index), deployment.job_version);
    for (ids, healthy) in [(&command.healthy, true), (&command.unhealthy, false)] {
        for id in ids {
            set_health(txn, *id, healthy, command.now);
        }
    }
    if let Some(groups) = &command.promote {
        promote(txn, command, groups);
    }
    if let Some(status) = &command.status {
        txn.deployment_status(status, command.now);
    }
    let mut job_modify_index = None;
    if let Some(job) = &command.revert_to {
        let job = Job { version_tag: None, ..Job::clone(job) };
        let key = job.key();
        // A version that was registered meanwhile is not taken back: what failed is the one before it.
        let current = |old: &Arc<Job>| (old.create_index, old.version()) == rolled_out;
        if let Some(old) = txn.state.job(&key).filter(|old| current(old)).cloned() {
            let submission = txn.state.job_submission(&key, job.version()).cloned();
            txn.put_version(&key, job, Some(&old), submission.as_deref(), command.now);
            job_modify_index = Some(txn.index);
        }
    }
    if let Some(eval) = &command.eval {
        let job_modify_index = job_modify_index.unwrap_or(eval.job_modify_index);
        txn.put_eval(Evaluation { job_modify_index, ..eval.clone() });
    }
    Ok(txn.done())
}

fn set_health(txn: &mut Txn<'_>, id: AllocId, healthy: bool, now: UnixNanos) {
    let Some(old) = txn.state.alloc(id).cloned() else { return };
    let known = old.deployment_status.unwrap_or_default();
    let status = AllocDeploymentStatus { healthy: Some(healthy), timestamp: now, modify_index: txn.index, ..known };
    let row = Allocation {
        deployment_status: Some(status),
        modify_index: txn.index,
        modify_time: now,
        ..Allocation::clone(&old)
    };
    txn.put_alloc(row, Some(&old));
}

fn promote(txn: &mut Txn<'_>, command: &UpdateDeployment, groups: &[Arc<str>]) {
    let Some(deployment) = txn.deployment(command.id) else { return };
    let mut canaries = Vec::new();
    for (name, group) in &mut deployment.groups {
        if !(groups.is_empty() || groups.contains(name)) {
            continue;
        }
        // Groups without canaries are promoted with the others: so the field says it.
        group.promoted = true;
        let runs = group.desired_canaries > 0 || !group.require_progress_by.is_zero();
        if group.progress_deadline.0 > 0 && runs {
            group.require_progress_by = command.now + group.progress_deadline;
        }
        canaries.extend(group.placed_canaries.iter().copied());
    }
    deployment.modify_time = command.now;
    if !deployment.requires_promotion() {
        deployment.status_description = Arc::from(RUNNING);
    }
    for id in canaries {
        clear_canary(txn, id, command.now);
    }
}

/// A promoted canary is an allocation like any other.
fn clear_canary(txn: &mut Txn<'_>, id: AllocId, now: UnixNanos) {
    let Some(old) = txn.state.alloc(id).cloned() else { return };
    let Some(status) = old.deployment_status.filter(|s| s.canary && s.healthy == Some(true)) else { return };
    let row = Allocation {
        deployment_status: Some(AllocDeploymentStatus { canary: false, ..status }),
        modify_index: txn.index,
        alloc_modify_index: txn.index,
        modify_time: now,
        ..Allocation::clone(&old)
    };
    txn.put_alloc(row, Some(&old));
}

impl Txn<'_> {
    /// Sets a status with its effects: deadlines start again, a successful version is stable.
    pub(crate) fn deployment_status(&mut self, update: &DeploymentUpdate, now: UnixNanos) {
        let Some(deployment) = self.deployment(update.id) else { return };
        deployment.status = update.status;
        deployment.status_description = update.description.clone();
        deployment.modify_time = now;
        if matches!(update.status, DeploymentStatus::Paused | DeploymentStatus::Running) {
            restart_deadlines(deployment, now);
        }
        if update.status == DeploymentStatus::Successful {
            let (key, version) = (deployment.job_key(), deployment.job_version);
            let created = deployment.job_create_index;
            let same = self.state.job_version(&key, version).is_some_and(|j| j.create_index == Some(created));
            if same {
                self.mark_stable(&key, version, true);
            }
        }
    }
}

fn restart_deadlines(deployment: &mut Deployment, now: UnixNanos) {
    for group in deployment.groups.values_mut() {
        if group.progress_deadline.0 > 0 && !group.require_progress_by.is_zero() {
            group.require_progress_by = now + group.progress_deadline;
        }
    }
}
