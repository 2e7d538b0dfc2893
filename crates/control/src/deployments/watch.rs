//! One look at one active deployment: what should happen to it now?

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alloc::DesiredTransition;
use tarpan_model::deployment::DeploymentGroup;
use tarpan_model::ids::{AllocId, IdSource};
use tarpan_model::{Allocation, ClientStatus, Deployment, DeploymentStatus, EvalStatus, UnixNanos};
use tarpan_state::command::UpdateDeployment;
use tarpan_state::{Command, State};

use super::change::{UNHEALTHY, change, evaluation, failed};
use crate::follow_ups;

const DEADLINE: &str = "Failed due to progress deadline";

/// The first of: give up, promote, replace or go on; `None` when it goes its way.
pub(super) fn look(
    state: &State,
    deployment: &Arc<Deployment>,
    now: UnixNanos,
    deadlines_count: bool,
    ids: &mut dyn IdSource,
) -> Option<Command> {
    let allocs: Vec<&Arc<Allocation>> = state.allocs_by_deployment(deployment.id).collect();
    if let Some(group) = hopeless(deployment, &allocs) {
        return Some(failed(state, deployment, UNHEALTHY, group.auto_revert, now, ids));
    }
    if deployment.status == DeploymentStatus::Paused {
        return None;
    }
    if may_promote_itself(deployment, &allocs) {
        let change = UpdateDeployment { promote: Some(Vec::new()), ..change(state, deployment, now, ids) };
        return Some(Command::UpdateDeployment(Box::new(change)));
    }
    let late: Vec<&DeploymentGroup> =
        deployment.groups.iter().filter(|(name, g)| missed_deadline(name, g, &allocs, now)).map(|(_, g)| g).collect();
    if !late.is_empty() && deadlines_count {
        return Some(failed(state, deployment, DEADLINE, late.iter().any(|g| g.auto_revert), now, ids));
    }
    go_on(state, deployment, &allocs, now, ids)
}

/// The group of an unhealthy allocation that will not be replaced.
fn hopeless<'a>(deployment: &'a Deployment, allocs: &[&Arc<Allocation>]) -> Option<&'a DeploymentGroup> {
    allocs.iter().filter(|a| health(a) == Some(false)).find_map(|alloc| {
        let group = deployment.groups.get(&alloc.task_group)?;
        (group.progress_deadline.0 == 0 || !replaceable(alloc)).then_some(group)
    })
}

fn health(alloc: &Allocation) -> Option<bool> {
    alloc.deployment_status.and_then(|s| s.healthy)
}

/// To be replaced: it was never well, or it was and failed since, which nobody else looks at while the rollout goes on.
fn is_bad(alloc: &Allocation) -> bool {
    health(alloc) == Some(false) || (health(alloc) == Some(true) && alloc.client_status == ClientStatus::Failed)
}

fn replaceable(alloc: &Allocation) -> bool {
    let seen = alloc.deployment_status.map_or(alloc.modify_time, |s| s.timestamp);
    follow_ups::eligible(alloc, follow_ups::failed_at(alloc.task_states.values(), seen))
}

/// All canaries of all groups are placed and well, and every group with canaries wants it so.
fn may_promote_itself(deployment: &Deployment, allocs: &[&Arc<Allocation>]) -> bool {
    let with_canaries = || deployment.groups.values().filter(|g| g.desired_canaries > 0);
    deployment.requires_promotion()
        && with_canaries().all(|group| {
            let well = |id: &AllocId| allocs.iter().any(|a| a.id == *id && !a.terminal() && health(a) == Some(true));
            group.auto_promote
                && group.placed_canaries.len() as u64 >= group.desired_canaries
                && group.placed_canaries.iter().filter(|id| well(id)).count() as u64 == group.desired_canaries
        })
}

/// Everything that the group is to have is there and well; a group that waits for promotion is not done.
fn done(name: &str, group: &DeploymentGroup, allocs: &[&Arc<Allocation>]) -> bool {
    if group.desired_canaries > 0 && !group.promoted {
        return false;
    }
    let well = |a: &&&Arc<Allocation>| &*a.task_group == name && !a.terminal() && health(a) == Some(true);
    allocs.iter().filter(well).count() as u64 >= group.desired_total
}

fn missed_deadline(name: &str, group: &DeploymentGroup, allocs: &[&Arc<Allocation>], now: UnixNanos) -> bool {
    if group.require_progress_by.is_zero() || group.require_progress_by > now || done(name, group, allocs) {
        return false;
    }
    let needed =
        if group.desired_canaries > 0 && !group.promoted { group.desired_canaries } else { group.desired_total };
    group.healthy_allocs < needed
}

/// The earliest time by which a group that is not done must have moved on.
pub(super) fn deadline(state: &State, deployment: &Deployment) -> Option<UnixNanos> {
    if deployment.status == DeploymentStatus::Paused {
        return None;
    }
    let allocs: Vec<&Arc<Allocation>> = state.allocs_by_deployment(deployment.id).collect();
    let open = deployment.groups.iter().filter(|(name, g)| !g.require_progress_by.is_zero() && !done(name, g, &allocs));
    let waits = open.filter(|(_, g)| {
        // Canaries that are well wait for a person, without a deadline.
        !(g.desired_canaries > 0 && !g.promoted && g.healthy_allocs >= g.desired_canaries)
    });
    waits.map(|(_, g)| g.require_progress_by).min()
}

/// Lets unhealthy allocations be replaced, and has the job looked at when an allocation became well since the last look.
fn go_on(
    state: &State,
    deployment: &Arc<Deployment>,
    allocs: &[&Arc<Allocation>],
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Option<Command> {
    let wish = DesiredTransition { reschedule: Some(true), ..DesiredTransition::default() };
    let replace: BTreeMap<AllocId, DesiredTransition> = allocs
        .iter()
        .filter(|a| is_bad(a) && a.transition.reschedule != Some(true) && !a.server_terminal())
        .map(|a| (a.id, wish))
        .collect();
    let became_well = allocs.iter().filter(|a| health(a) == Some(true));
    let newest = became_well.filter_map(|a| a.deployment_status).map(|s| s.modify_index).max().unwrap_or(0);
    if replace.is_empty() && newest <= seen(state, deployment) {
        return None;
    }
    let evals: Vec<_> = evaluation(state, deployment, now, ids).into_iter().collect();
    if evals.is_empty() {
        return None;
    }
    Some(match replace.is_empty() {
        true => Command::UpsertEvals { evals, now },
        false => Command::SetTransitions { allocs: replace, evals, now },
    })
}

/// A rollout is over: what failed while it was the watcher's, and is not replaced, is everybody's again.
pub(super) fn leave(state: &State, deployment: &Deployment, now: UnixNanos, ids: &mut dyn IdSource) -> Option<Command> {
    let left = |a: &Arc<Allocation>| {
        a.client_status == ClientStatus::Failed && !a.server_terminal() && a.next.is_none() && a.followup_eval.is_none()
    };
    if deployment.active() || !state.allocs_by_deployment(deployment.id).any(left) {
        return None;
    }
    let evals = vec![evaluation(state, deployment, now, ids)?];
    Some(Command::UpsertEvals { evals, now })
}

/// The newest state that an evaluation of the job looked at, or will look at.
fn seen(state: &State, deployment: &Deployment) -> u64 {
    state
        .evals_by_job(&deployment.job_key())
        .filter(|e| e.status != EvalStatus::Canceled)
        .map(|e| if e.terminal() { e.snapshot_index } else { e.snapshot_index.max(e.create_index) })
        .max()
        .unwrap_or(0)
}
