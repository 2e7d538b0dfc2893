//! What operators ask of a rollout.

use std::sync::Arc;

use tarpan_model::ids::{AllocId, DeploymentId, IdSource};
use tarpan_model::{Deployment, DeploymentStatus, UnixNanos};
use tarpan_state::command::UpdateDeployment;
use tarpan_state::{Command, State};

use super::change::{UNHEALTHY, change, failed, status};

const RUNNING: &str = "Deployment is running";
const PAUSED: &str = "Deployment is paused";
const MARKED_FAILED: &str = "Deployment marked as failed";

/// Why a wish about a deployment was refused; texts are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    #[error("deployment not found")]
    NotFound,
    #[error("can't {0} terminal deployment")]
    Terminal(&'static str),
    #[error("can't set health of allocations for a terminal deployment")]
    TerminalHealth,
    #[error("Task group {group:?} has {have}/{need} healthy allocations")]
    NotHealthy { group: String, have: u64, need: u64 },
    #[error("{0}")]
    Other(String),
}

/// The deployment, refused with `over` when nothing can be done to it any more.
fn active(state: &State, id: DeploymentId, over: DeploymentError) -> Result<&Arc<Deployment>, DeploymentError> {
    let deployment = state.deployment(id).ok_or(DeploymentError::NotFound)?;
    if deployment.active() { Ok(deployment) } else { Err(over) }
}

/// Promotes all groups, or those named.
pub fn promote(
    state: &State,
    id: DeploymentId,
    groups: Option<Vec<Arc<str>>>,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    let deployment = active(state, id, DeploymentError::Terminal("promote"))?;
    let groups = groups.unwrap_or_default();
    for (name, group) in &deployment.groups {
        let chosen = groups.is_empty() || groups.contains(name);
        if !chosen || group.desired_canaries == 0 || group.promoted {
            continue;
        }
        let canaries = group.placed_canaries.iter().filter_map(|id| state.alloc(*id));
        let well = |a: &&Arc<tarpan_model::Allocation>| {
            !a.terminal() && a.deployment_status.is_some_and(|s| s.healthy == Some(true))
        };
        let have = canaries.filter(well).count() as u64;
        if have < group.desired_canaries {
            let need = group.desired_canaries;
            return Err(DeploymentError::NotHealthy { group: name.to_string(), have, need });
        }
    }
    let change = UpdateDeployment { promote: Some(groups), ..change(state, deployment, now, ids) };
    Ok(Command::UpdateDeployment(Box::new(change)))
}

/// Pauses, or goes on.
pub fn pause(
    state: &State,
    id: DeploymentId,
    pause: bool,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    let deployment = active(state, id, DeploymentError::Terminal(if pause { "pause" } else { "resume" }))?;
    let mut change = change(state, deployment, now, ids);
    change.status = match pause {
        true => status(deployment, DeploymentStatus::Paused, PAUSED),
        false => status(deployment, DeploymentStatus::Running, RUNNING),
    };
    if pause {
        change.eval = None;
    }
    Ok(Command::UpdateDeployment(Box::new(change)))
}

/// Gives a rollout up; rolls back when any group says so.
pub fn fail(
    state: &State,
    id: DeploymentId,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    let deployment = active(state, id, DeploymentError::Terminal("fail"))?;
    let revert = deployment.groups.values().any(|g| g.auto_revert);
    Ok(failed(state, deployment, MARKED_FAILED, revert, now, ids))
}

/// Health set by hand. Unhealthy ones fail the deployment.
pub fn set_health(
    state: &State,
    id: DeploymentId,
    healthy: Vec<AllocId>,
    unhealthy: Vec<AllocId>,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, DeploymentError> {
    let deployment = active(state, id, DeploymentError::TerminalHealth)?;
    if healthy.is_empty() && unhealthy.is_empty() {
        return Err(DeploymentError::Other("must specify at least one healthy/unhealthy allocation ID".to_owned()));
    }
    for alloc in healthy.iter().chain(&unhealthy) {
        let belongs = state.alloc(*alloc).is_some_and(|a| a.deployment_id == Some(id));
        if !belongs {
            return Err(DeploymentError::Other(format!("alloc {alloc} is not part of deployment {id}")));
        }
    }
    let mut command = if unhealthy.is_empty() {
        Command::UpdateDeployment(Box::new(change(state, deployment, now, ids)))
    } else {
        let groups = unhealthy.iter().filter_map(|id| state.alloc(*id)).map(|a| &a.task_group);
        let revert = groups.filter_map(|g| deployment.groups.get(g)).any(|g| g.auto_revert);
        failed(state, deployment, UNHEALTHY, revert, now, ids)
    };
    if let Command::UpdateDeployment(change) = &mut command {
        (change.healthy, change.unhealthy) = (healthy, unhealthy);
    }
    Ok(command)
}
