//! Applying commands: the only way in which state changes. One file a subject; [`Txn`] carries one command.
//!
//! Reads: the state and the command. Gives: a reply a command, and events for whatever changed, all of a command's events
//! under one type (the wire's). A command is checked before it changes anything, so that a refused one leaves no trace.

mod allocs;
mod csi;
mod deployments;
mod evals;
mod jobs;
mod nodes;
mod plan;
mod reap;
mod restore;
mod scaling;
mod services;
mod settings;
mod txn;
mod volumes;

use std::sync::Arc;

pub use jobs::same_spec;
pub(crate) use txn::Txn;

use crate::command::{Command, CommandId, Envelope, Rejection, Reply};
use crate::event::{Event, REPORTED};
use crate::state::State;

/// How many ids of applied commands are remembered. A proposer tries again for ten seconds, in which no more are written.
const RECENT: usize = 200_000;

impl State {
    /// Applies the entry at `index` of the log: each command in order, each on its own. Gives one reply a command, in the same order.
    ///
    /// A refused command changes nothing. A command whose id was applied lately answers as it did then.
    pub fn apply(&mut self, index: u64, batch: &[Envelope]) -> Vec<Reply> {
        self.index = index + self.ahead;
        batch.iter().map(|envelope| self.apply_once(envelope)).collect()
    }

    /// A leader's term begins with this entry, which changes nothing. Its first [`Command::Noop`] names it.
    pub fn begin_term(&mut self, index: u64) {
        self.index = index + self.ahead;
        Arc::make_mut(&mut self.lineage).begin(self.index);
    }

    fn apply_once(&mut self, envelope: &Envelope) -> Reply {
        let index = self.index;
        if let Some(reply) = self.recent.get(&envelope.id) {
            return Reply::clone(reply);
        }
        if envelope.command == Command::Noop {
            Arc::make_mut(&mut self.lineage).name(envelope.id.0, index);
        }
        let reply = run(self, index, &envelope.command).unwrap_or_else(Reply::Refused);
        self.remember(envelope.id, Arc::new(reply.clone()));
        reply
    }

    pub(crate) fn remember(&mut self, id: CommandId, reply: Arc<Reply>) {
        let next = self.recent_order.get_max().map_or(0, |(n, _)| n + 1);
        self.recent.insert(id, reply);
        self.recent_order.insert(next, id);
        while self.recent_order.len() > RECENT {
            let Some((oldest, id)) = self.recent_order.get_min().copied() else { break };
            self.recent_order.remove(&oldest);
            self.recent.remove(&id);
        }
    }

    /// Was the whole state put in place by an entry since the last call?
    pub fn take_replaced(&mut self) -> bool {
        std::mem::take(&mut self.replaced)
    }

    /// What was changed since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

fn run(state: &mut State, index: u64, command: &Command) -> Result<Reply, Rejection> {
    if let Command::Guarded { guards, command } = command {
        return match guards.iter().all(|guard| guard.holds(state)) {
            true => run(state, index, command),
            false => Err(Rejection::Changed),
        };
    }
    match command {
        Command::StageRestore { id, number, part } => return restore::stage(state, *id, *number, part),
        Command::FinishRestore { id, length } => return restore::finish(state, *id, *length),
        _ => {}
    }
    let mut txn = Txn::new(state, index, kind(command));
    let reply = match command {
        // Above.
        Command::Noop | Command::Guarded { .. } | Command::StageRestore { .. } | Command::FinishRestore { .. } => {
            Ok(txn.done())
        }
        Command::RegisterJob(register) => jobs::register(&mut txn, register),
        Command::ScaleJob(scale) => scaling::scale(&mut txn, scale),
        Command::DeregisterJob(deregister) => Ok(jobs::deregister(&mut txn, deregister)),
        Command::SetJobStability { job, version, stable } => jobs::set_stability(&mut txn, job, *version, *stable),
        Command::TagJobVersion { job, version, name, description, now, remove } => {
            jobs::tag(&mut txn, job, *version, name, description, *now, *remove)
        }
        Command::UpsertEvals { evals, .. } => Ok(evals::upsert(&mut txn, evals)),
        Command::Reap { evals, allocs, seen } => Ok(reap::evals_and_allocs(&mut txn, evals, allocs, *seen)),
        Command::ReapDeployments { deployments } => Ok(reap::deployments(&mut txn, deployments)),
        Command::ApplyPlan(plan) => plan::apply(&mut txn, plan),
        Command::UpsertNode { node, now, evals } => nodes::upsert(&mut txn, node, *now, evals),
        Command::UpdateNodeStatus { node, status, event, now, evals } => {
            nodes::set_status(&mut txn, *node, *status, event.as_ref(), *now, evals)
        }
        Command::UpdateNodeEligibility { node, eligibility, event, evals, .. } => {
            nodes::set_eligibility(&mut txn, *node, *eligibility, event.as_ref(), evals)
        }
        Command::UpdateNodeDrain { node, strategy, mark_eligible, event, now, evals, meta } => {
            let drain = nodes::Drain { strategy: strategy.as_ref(), mark_eligible: *mark_eligible, meta };
            nodes::set_drain(&mut txn, *node, &drain, event.as_ref(), *now, evals)
        }
        Command::DeregisterNode { node, now, evals } => nodes::deregister(&mut txn, *node, *now, evals),
        Command::UpdateAllocs { updates, evals, now } => Ok(allocs::client_updates(&mut txn, updates, evals, *now)),
        Command::SetTransitions { allocs, evals, now } => Ok(allocs::transitions(&mut txn, allocs, evals, *now)),
        Command::UpsertServices { services } => Ok(services::upsert(&mut txn, services)),
        Command::DeleteServices { ids, node } => Ok(services::delete(&mut txn, ids, *node)),
        Command::UpdateDeployment(update) => deployments::update(&mut txn, update),
        Command::SetPeriodicLaunch { job, launch } => settings::periodic_launch(&mut txn, job, *launch),
        Command::SetSchedulerConfig { config, check_index } => {
            settings::scheduler_config(&mut txn, config, *check_index)
        }
        Command::UpsertHostVolume { volume, now } => Ok(volumes::upsert(&mut txn, volume, *now)),
        Command::DeleteHostVolume { id } => volumes::delete(&mut txn, *id),
        Command::DeleteHostVolumeClaim { id, evals } => volumes::delete_claim(&mut txn, *id, evals),
        Command::InitRootKey(key) => settings::init_root_key(&mut txn, key),
        Command::PutCsiVolume { volume, now, .. } => Ok(csi::put_volume(&mut txn, volume, *now)),
        Command::DeleteCsiVolume { namespace, id } => csi::delete_volume(&mut txn, namespace, id),
        Command::DeleteCsiPlugins { ids, seen } => Ok(csi::delete_plugins(&mut txn, ids, *seen)),
    };
    txn.finish();
    reply
}

/// The wire's event type for everything that a command changes.
///
/// Source: `reference/runtime.md`, "Event stream".
fn kind(command: &Command) -> &'static str {
    match command {
        Command::Guarded { command, .. } => kind(command),
        Command::Noop
        | Command::SetPeriodicLaunch { .. }
        | Command::SetSchedulerConfig { .. }
        | Command::InitRootKey(_)
        | Command::DeleteHostVolumeClaim { .. }
        | Command::StageRestore { .. }
        | Command::FinishRestore { .. } => "",
        Command::RegisterJob(_)
        | Command::ScaleJob(_)
        | Command::SetJobStability { .. }
        | Command::TagJobVersion { .. } => "JobRegistered",
        Command::DeregisterJob(_) => "JobDeregistered",
        Command::UpsertEvals { .. } | Command::Reap { .. } => "EvaluationUpdated",
        Command::ReapDeployments { .. } => "DeploymentStatusUpdate",
        Command::ApplyPlan(_) => "PlanResult",
        Command::UpsertNode { .. } => "NodeRegistration",
        Command::UpdateNodeStatus { .. } => "NodeStreamEvent",
        Command::UpdateNodeEligibility { .. } => "NodeEligibility",
        Command::UpdateNodeDrain { .. } => "NodeDrain",
        Command::DeregisterNode { .. } => "NodeDeregistration",
        Command::UpdateAllocs { .. } => REPORTED,
        Command::SetTransitions { .. } => "AllocationUpdateDesiredStatus",
        Command::UpsertHostVolume { .. } => "HostVolumeRegistered",
        Command::DeleteHostVolume { .. } => "HostVolumeDeleted",
        Command::UpsertServices { .. } => "ServiceRegistration",
        Command::DeleteServices { .. } => "ServiceDeregistration",
        Command::PutCsiVolume { claims: true, .. } => "CSIVolumeClaim",
        Command::PutCsiVolume { .. } => "CSIVolumeRegistered",
        Command::DeleteCsiVolume { .. } => "CSIVolumeDeregistered",
        Command::DeleteCsiPlugins { .. } => "CSIPluginDeleted",
        Command::UpdateDeployment(update) if update.promote.is_some() => "DeploymentPromotion",
        Command::UpdateDeployment(update) if !update.healthy.is_empty() || !update.unhealthy.is_empty() => {
            "DeploymentAllocHealth"
        }
        Command::UpdateDeployment(_) => "DeploymentStatusUpdate",
    }
}
