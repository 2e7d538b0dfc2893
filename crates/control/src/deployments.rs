//! Watches rollouts: health, deadlines, promotion, roll-back; and what operators ask of them.
//!
//! Reads: active deployments, their allocations, the evaluations of their jobs, `now`. Gives: commands. A nudge (an event) says
//! "look again"; looking reads everything anew.
//! Source: `reference/semantics.md` §10.

mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::deployment::DeploymentUpdate;
use tarpan_model::duration::MILLISECOND;
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, IdSource};
use tarpan_model::{Deployment, DeploymentStatus, Dur, Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::UpdateDeployment;
use tarpan_state::{Change, Command, Event, State};

/// Changes of one deployment within this time are looked at together.
const GATHER: Dur = Dur(200 * MILLISECOND);

/// How long agents have to report after a new leader began. Source: what they take to connect again, twice.
const SETTLE: Dur = Dur::from_secs(60);

const RUNNING: &str = "Deployment is running";
const PAUSED: &str = "Deployment is paused";
const MARKED_FAILED: &str = "Deployment marked as failed";
const UNHEALTHY: &str = "Failed due to unhealthy allocations";
const DEADLINE: &str = "Failed due to progress deadline";

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

/// A command that does nothing yet, with the evaluation that looks at its effects.
fn change(state: &State, deployment: &Deployment, now: UnixNanos, ids: &mut dyn IdSource) -> UpdateDeployment {
    UpdateDeployment {
        id: deployment.id,
        status: None,
        promote: None,
        healthy: Vec::new(),
        unhealthy: Vec::new(),
        revert_to: None,
        eval: evaluation(state, deployment, now, ids),
        now,
    }
}

/// `None` when the job is gone.
fn evaluation(state: &State, deployment: &Deployment, now: UnixNanos, ids: &mut dyn IdSource) -> Option<Evaluation> {
    let job = state.job(&deployment.job_key())?;
    let priority = if deployment.eval_priority > 0 { deployment.eval_priority } else { job.priority() };
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::DeploymentWatcher, now);
    Some(Evaluation { deployment_id: Some(deployment.id), priority, ..eval })
}

fn status(deployment: &Deployment, status: DeploymentStatus, text: &str) -> Option<DeploymentUpdate> {
    Some(DeploymentUpdate { id: deployment.id, status, description: Arc::from(text) })
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

/// The failure of a deployment, with the way back when `revert` is asked for and there is one.
fn failed(
    state: &State,
    deployment: &Deployment,
    reason: &str,
    revert: bool,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Command {
    let back = if revert { roll_back(state, deployment) } else { RollBack::NotAsked };
    let mut change = change(state, deployment, now, ids);
    let text = match &back {
        RollBack::NotAsked => reason.to_owned(),
        RollBack::To(job) => format!("{reason} - rolling back to job version {}", job.version()),
        RollBack::Same(version) => {
            format!("{reason} - not rolling back to stable job version {version} as current job has same specification")
        }
        RollBack::None => format!("{reason} - no stable job version to auto revert to"),
    };
    change.status = status(deployment, DeploymentStatus::Failed, &text);
    if let RollBack::To(job) = back {
        // A version of its own, submitted now.
        change.revert_to = Some(Box::new(Job { submit_time: Some(now.0), ..Job::clone(&job) }));
    }
    Command::UpdateDeployment(Box::new(change))
}

enum RollBack {
    NotAsked,
    To(Arc<Job>),
    /// The stable version asks for what runs already.
    Same(u64),
    None,
}

fn roll_back(state: &State, deployment: &Deployment) -> RollBack {
    let key = deployment.job_key();
    let Some(current) = state.job(&key) else { return RollBack::None };
    let Some(stable) = state.job_versions(&key).find(|j| j.stable == Some(true)) else { return RollBack::None };
    if asks_the_same(stable, current) { RollBack::Same(stable.version()) } else { RollBack::To(stable.clone()) }
}

/// Equal but for what the servers write into a job.
fn asks_the_same(a: &Job, b: &Job) -> bool {
    let bare = |job: &Job| Job {
        status: None,
        status_description: None,
        stable: None,
        version: None,
        version_tag: None,
        create_index: None,
        modify_index: None,
        job_modify_index: None,
        submit_time: None,
        ..job.clone()
    };
    bare(a) == bare(b)
}

/// Active deployments, on the leader.
#[derive(Debug, Default)]
pub struct Deployments {
    /// When to look at each again.
    due: BTreeMap<DeploymentId, UnixNanos>,
    /// Not given up for its deadline before this: a new leader has yet to hear what became of the allocations.
    spared: BTreeMap<DeploymentId, UnixNanos>,
}

impl Deployments {
    /// For a new leader.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.due = state.deployments().filter(|d| d.active()).map(|d| (d.id, now)).collect();
        self.spared = self.due.keys().map(|id| (*id, now + SETTLE)).collect();
    }

    /// Not the leader any more.
    pub fn disable(&mut self) {
        *self = Deployments::default();
    }

    /// Notes which deployments to look at again.
    pub fn observe(&mut self, events: &[Event], now: UnixNanos) {
        for event in events {
            match &event.change {
                Change::Deployment { id, row: Some(row), .. } if row.active() => self.look(*id, now + GATHER),
                Change::Deployment { id, .. } => {
                    self.due.remove(id);
                    self.spared.remove(id);
                }
                Change::Allocation { row: Some(row), .. } => {
                    if let Some(id) = row.deployment_id {
                        self.look(id, now + GATHER);
                    }
                }
                _ => {}
            }
        }
    }

    fn look(&mut self, id: DeploymentId, at: UnixNanos) {
        let due = self.due.entry(id).or_insert(at);
        *due = (*due).min(at);
    }

    /// Commands due at `now`.
    pub fn step(&mut self, state: &State, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<Command> {
        let due: Vec<DeploymentId> = self.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        let mut commands = Vec::new();
        for id in due {
            self.due.remove(&id);
            let Some(deployment) = state.deployment(id).filter(|d| d.active()) else { continue };
            let spared = self.spared.get(&id).copied().filter(|until| *until > now);
            match watch::look(state, deployment, now, spared.is_none(), ids) {
                Some(command) => {
                    // What the command changes comes back as events; it may also fail to be written.
                    self.look(id, now + Dur::from_secs(5));
                    commands.push(command);
                }
                None => {
                    if let Some(at) = watch::deadline(state, deployment) {
                        self.look(id, at.max(now + GATHER).max(spared.unwrap_or(at)));
                    }
                }
            }
        }
        commands
    }

    /// When [`Deployments::step`] has something to look at.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
mod tests;
