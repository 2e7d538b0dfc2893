//! What a proposer looked at, looked at again where its command is applied.
//!
//! Between the snapshot that a rule was tested on and the application of the command others may write. A command in
//! [`crate::Command::Guarded`] changes nothing unless all its guards hold: it answers [`crate::Rejection::Changed`], and the proposer
//! decides anew on the newer state, so that it says what it would have said had it come later. The rules themselves stay in one place:
//! a second copy of each beside the tables would have to give the same answers for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::ids::{AllocId, DeploymentId, Namespace, NamespacedId, NodeId, VolumeId};
use tarpan_model::{Job, NodeStatus};

use crate::state::State;

/// One thing that has to be as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// The job's definition has this `job_modify_index`; `None`: there is no such job.
    Job {
        key: NamespacedId,
        job_modify_index: Option<u64>,
    },
    /// No child of `parent` was dispatched with this token.
    Token {
        parent: NamespacedId,
        token: String,
    },
    /// No rollout of the job is under way.
    NoRollout {
        job: NamespacedId,
    },
    /// The job is there and launches children.
    Launches {
        job: NamespacedId,
    },
    /// Operators have jobs taken in.
    RegistrationOn,
    /// The deployment was not written since.
    Deployment {
        id: DeploymentId,
        modify_index: u64,
    },
    /// All of these are the deployment's.
    Members {
        deployment: DeploymentId,
        allocs: Vec<AllocId>,
    },
    Alloc {
        id: AllocId,
    },
    /// The job is dead with all that belongs to it, and no version of it is kept by a tag.
    Over {
        job: NamespacedId,
    },
    /// The volume was not written since; `None`: there is no such volume.
    CsiVolume {
        namespace: Namespace,
        id: Arc<str>,
        modify_index: Option<u64>,
    },
    /// The node is down and nothing is expected of it.
    Silent {
        node: NodeId,
    },
    /// The host volume was not written since; 0: there is none of this id.
    HostVolume {
        id: VolumeId,
        modify_index: u64,
    },
    /// No allocation that is not over mounts the host volume.
    Unused {
        volume: VolumeId,
    },
    /// No host volume of the node has this name.
    FreeName {
        node: NodeId,
        name: Arc<str>,
    },
}

impl Guard {
    /// For rules about the job as it is in `state`.
    pub fn job(state: &State, key: &NamespacedId) -> Guard {
        let job_modify_index = state.job(key).map(|job| job.job_modify_index.unwrap_or(0));
        Guard::Job { key: key.clone(), job_modify_index }
    }

    pub fn holds(&self, state: &State) -> bool {
        match self {
            Guard::Job { key, .. } => *self == Guard::job(state, key),
            Guard::Token { parent, token } => state.dispatched_with(parent, token).is_none(),
            Guard::NoRollout { job } => {
                let created = state.job(job).and_then(|job| job.create_index);
                state.latest_deployment(job).is_none_or(|d| !d.active() || Some(d.job_create_index) != created)
            }
            Guard::Launches { job } => state.job(job).is_some_and(|job| !job.stopped() && job.is_periodic()),
            Guard::RegistrationOn => !state.scheduler_config().reject_job_registration,
            Guard::Deployment { id, modify_index } => {
                state.deployment(*id).is_some_and(|d| d.modify_index == *modify_index)
            }
            Guard::Members { deployment, allocs } => {
                allocs.iter().all(|id| state.alloc(*id).is_some_and(|a| a.deployment_id == Some(*deployment)))
            }
            Guard::Alloc { id } => state.alloc(*id).is_some(),
            Guard::Over { job } => {
                let live = state.job_live(job);
                let dead = state.job(job).is_some_and(|job| job.status.as_deref() == Some("dead"));
                let tagged = state.job_versions(job).any(|version| version.version_tag.is_some());
                dead && !tagged && (live.allocs, live.evals, live.deployments) == (0, 0, 0)
            }
            Guard::CsiVolume { namespace, id, modify_index } => {
                state.csi_volume(namespace, id).map(|volume| volume.modify_index) == *modify_index
            }
            Guard::HostVolume { id, modify_index } => {
                state.host_volume(*id).map_or(0, |volume| volume.modify_index) == *modify_index
            }
            Guard::Unused { volume } => {
                state.host_volume(*volume).is_none_or(|volume| state.users_of(volume).next().is_none())
            }
            Guard::FreeName { node, name } => state.host_volumes_by_node(*node).all(|volume| volume.name != *name),
            Guard::Silent { node } => {
                state.node(*node).is_some_and(|n| n.status == NodeStatus::Down)
                    && state.allocs_by_node(*node).all(|a| a.terminal())
            }
        }
    }
}

impl State {
    /// The child of `parent` that was dispatched with this token; nothing is dispatched with an empty one.
    pub fn dispatched_with(&self, parent: &NamespacedId, token: &str) -> Option<&Arc<Job>> {
        let with = |job: &&Arc<Job>| job.dispatch_idempotency_token.as_deref() == Some(token);
        self.job_children(parent).filter(|_| !token.is_empty()).find(with)
    }
}
