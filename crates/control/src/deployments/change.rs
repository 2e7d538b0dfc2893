//! What is done to a rollout, as commands: a step of its status, its failure, the way back.

use std::sync::Arc;

use tarpan_model::deployment::DeploymentUpdate;
use tarpan_model::ids::{EvalId, IdSource};
use tarpan_model::{Deployment, DeploymentStatus, Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::UpdateDeployment;
use tarpan_state::{Command, State};

pub(super) const UNHEALTHY: &str = "Failed due to unhealthy allocations";

/// A command that does nothing yet, with the evaluation that looks at its effects.
pub(super) fn change(
    state: &State,
    deployment: &Deployment,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> UpdateDeployment {
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
pub(super) fn evaluation(
    state: &State,
    deployment: &Deployment,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Option<Evaluation> {
    let job = state.job(&deployment.job_key())?;
    let priority = if deployment.eval_priority > 0 { deployment.eval_priority } else { job.priority() };
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::DeploymentWatcher, now);
    Some(Evaluation { deployment_id: Some(deployment.id), priority, ..eval })
}

pub(super) fn status(deployment: &Deployment, status: DeploymentStatus, text: &str) -> Option<DeploymentUpdate> {
    Some(DeploymentUpdate { id: deployment.id, status, description: Arc::from(text) })
}

/// The failure of a deployment, with the way back when `revert` is asked for and there is one.
pub(super) fn failed(
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
