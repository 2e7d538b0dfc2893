//! Deployments.

use tarpan_model::Deployment;
use tarpan_model::deployment::DeploymentGroup;

use crate::timestamp::Timestamp;
use crate::wire;

pub fn deployment(row: &Deployment) -> wire::Deployment {
    wire::Deployment {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        job_id: row.job_id.to_string(),
        job_version: row.job_version,
        job_modify_index: row.job_modify_index,
        job_spec_modify_index: row.job_spec_modify_index,
        job_create_index: row.job_create_index,
        is_multiregion: false,
        task_groups: row.groups.iter().map(|(name, group)| (name.to_string(), state(group))).collect(),
        status: row.status.to_string(),
        status_description: row.status_description.to_string(),
        eval_priority: row.eval_priority,
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
    }
}

fn state(row: &DeploymentGroup) -> wire::DeploymentState {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    wire::DeploymentState {
        auto_revert: row.auto_revert,
        auto_promote: row.auto_promote,
        progress_deadline: row.progress_deadline,
        require_progress_by: Timestamp(row.require_progress_by),
        promoted: row.promoted,
        placed_canaries: row.placed_canaries.iter().map(ToString::to_string).collect(),
        desired_canaries: count(row.desired_canaries),
        desired_total: count(row.desired_total),
        placed_allocs: count(row.placed_allocs),
        healthy_allocs: count(row.healthy_allocs),
        unhealthy_allocs: count(row.unhealthy_allocs),
    }
}
