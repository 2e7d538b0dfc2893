//! Commands and plans in a few words, for the trace.

use tarpan_model::{Allocation, Plan};
use tarpan_state::{Command, State};

pub(crate) fn command(command: &Command, state: &State) -> String {
    match command {
        Command::Guarded { command: inner, .. } => command_of(inner, state),
        other => command_of(other, state),
    }
}

fn command_of(command: &Command, state: &State) -> String {
    match command {
        Command::RegisterJob(c) => format!("RegisterJob {}", c.job.id()),
        Command::DeregisterJob(c) => format!("DeregisterJob {} purge {}", c.job.id, c.purge),
        Command::UpsertEvals { evals, .. } => {
            let evals = evals.iter().map(|e| format!("{} {} {} {}", e.id.short(), e.job_id, e.triggered_by, e.status));
            format!("UpsertEvals {}", evals.collect::<Vec<_>>().join(", "))
        }
        Command::ApplyPlan(c) => {
            format!("ApplyPlan {} {}: {}", c.plan.eval_id.short(), c.plan.job.id, plan(state, &c.plan))
        }
        Command::UpsertNode { node, .. } => format!("UpsertNode {}", node.name),
        Command::UpdateNodeStatus { node, status, .. } => format!("UpdateNodeStatus {} {status}", last(*node)),
        Command::UpdateNodeDrain { node, strategy, .. } => {
            format!("UpdateNodeDrain {} {}", last(*node), if strategy.is_some() { "on" } else { "off" })
        }
        Command::UpdateAllocs { updates, .. } => {
            let updates = updates.iter().map(|u| format!("{} {}", u.id.short(), u.client_status));
            format!("UpdateAllocs {}", updates.collect::<Vec<_>>().join(", "))
        }
        Command::SetTransitions { allocs, .. } => {
            let ids = allocs.keys().map(|id| id.short());
            format!("SetTransitions {}", ids.collect::<Vec<_>>().join(", "))
        }
        Command::UpdateDeployment(c) => {
            let status = c.status.as_ref().map_or("", |s| s.status.as_str());
            let promote = if c.promote.is_some() { "promote" } else { "" };
            format!("UpdateDeployment {} {status}{promote}", c.id.short())
        }
        Command::Reap { evals, allocs, .. } => format!("Reap {} evals, {} allocs", evals.len(), allocs.len()),
        Command::Noop => "Noop".to_owned(),
        Command::Guarded { .. } => "Guarded".to_owned(),
        Command::ScaleJob(c) => format!("ScaleJob {}", c.job.id),
        Command::SetJobStability { job, .. } => format!("SetJobStability {}", job.id),
        Command::ReapDeployments { deployments } => format!("ReapDeployments {}", deployments.len()),
        Command::UpdateNodeEligibility { node, eligibility, .. } => {
            format!("UpdateNodeEligibility {} {eligibility}", last(*node))
        }
        Command::DeregisterNode { node, .. } => format!("DeregisterNode {}", last(*node)),
        Command::UpsertServices { .. } => "UpsertServices".to_owned(),
        Command::DeleteServices { .. } => "DeleteServices".to_owned(),
        Command::SetPeriodicLaunch { job, .. } => format!("SetPeriodicLaunch {}", job.id),
        Command::SetSchedulerConfig { .. } => "SetSchedulerConfig".to_owned(),
        Command::UpsertHostVolume { volume, .. } => {
            format!("UpsertHostVolume {} on {} {}", volume.name, last(volume.node_id), volume.state)
        }
        Command::DeleteHostVolume { id } => format!("DeleteHostVolume {}", id.short()),
        Command::DeleteHostVolumeClaim { id, .. } => format!("DeleteHostVolumeClaim {}", id.short()),
        Command::InitRootKey(_) => "InitRootKey".to_owned(),
        Command::PutCsiVolume { volume, .. } => format!("PutCsiVolume {} {} claims", volume.id, volume.claims.len()),
        Command::DeleteCsiVolume { id, .. } => format!("DeleteCsiVolume {id}"),
        Command::DeleteCsiPlugins { ids, .. } => format!("DeleteCsiPlugins {}", ids.join(", ")),
        Command::StageRestore { number, .. } => format!("StageRestore part {number}"),
        Command::FinishRestore { .. } => "FinishRestore".to_owned(),
        Command::TagJobVersion { job, .. } => format!("TagJobVersion {}", job.id),
    }
}

/// Nodes of a run are numbered by the end of their ids.
fn last(node: tarpan_model::NodeId) -> String {
    format!("n{}", (node.0.as_u128() & 0xFFFF).saturating_sub(1))
}

/// What a plan does, one piece after the other.
pub(crate) fn plan(state: &State, plan: &Plan) -> String {
    let name = |a: &Allocation| format!("{} {} on {}", a.name, a.id.short(), last(a.node_id));
    let stops = plan.stops.values().flatten().map(|stop| {
        let what = state.alloc(stop.id).map_or_else(|| stop.id.short(), |a| name(a));
        format!("stop {what} ({})", stop.description)
    });
    let places = plan.placements.values().flatten().map(|a| match state.alloc(a.id) {
        Some(old) if old.create_index != old.modify_index => {
            format!("rewrite {} {} to {}", name(a), old.client_status, a.client_status)
        }
        _ => format!("place {}", name(a)),
    });
    let preempted = plan.preemptions.values().flatten().map(|p| format!("preempt {}", p.id.short()));
    let deployment = plan.deployment.iter().map(|d| format!("deployment {}", d.id.short()));
    let updates = plan.deployment_updates.iter().map(|u| format!("deployment {} {}", u.id.short(), u.status));
    stops.chain(places).chain(preempted).chain(deployment).chain(updates).collect::<Vec<_>>().join(", ")
}
