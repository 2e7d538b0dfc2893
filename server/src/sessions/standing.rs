//! Whether this server may say what a node should have: its state must hold all that the agent was told.
//!
//! A server that reads its log again after a start is behind for a moment. One whose data directory was replaced by an older
//! copy never holds what the agent saw: it went another way. Absence decides about a node's tasks in neither case.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tarpan_control::nodes;
use tarpan_model::ids::NamespacedId;
use tarpan_model::{AllocId, NodeId, Trigger};
use tarpan_rpc::agent::{AllocVersion, Epoch, Hello};
use tarpan_state::{Seen, Standing, State};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::host::Host;
use crate::clock::now;

/// How long an agent waits for its answer while the state is behind; it gives up on a silent server after 5 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// An allocation that the agent was told in a history which this state does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Astray {
    /// Where the histories part.
    pub since: u64,
    /// `None` until the agent has said it: nothing decides about the allocation before.
    pub of: Option<Of>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub job: NamespacedId,
    pub create_index: u64,
}

impl Astray {
    /// Whether it is by a decision that `state` has no such allocation: what both histories knew was removed since, and
    /// of what was placed in the other one a person must have said something about its job.
    pub fn decided(&self, state: &State) -> bool {
        let Some(of) = &self.of else { return false };
        let asked = |e: &Arc<tarpan_model::Evaluation>| {
            e.create_index >= self.since && matches!(e.triggered_by, Trigger::JobRegister | Trigger::JobDeregister)
        };
        of.create_index < self.since
            || state.job(&of.job).is_some_and(|j| j.job_modify_index.unwrap_or(0) >= self.since)
            || state.evals_by_job(&of.job).any(asked)
    }
}

/// What an agent says it holds of one allocation.
pub(super) struct Have {
    pub id: AllocId,
    pub index: u64,
    pub astray: Option<Astray>,
}

impl Have {
    pub fn of(version: &AllocVersion) -> Option<Have> {
        let astray = version.astray.as_ref().map(|astray| {
            let job = NamespacedId::new(astray.namespace.as_str(), astray.job_id.as_str());
            Astray { since: astray.since, of: Some(Of { job, create_index: astray.create_index }) }
        });
        Some(Have { id: AllocId(Uuid::from_slice(&version.alloc_id).ok()?), index: version.alloc_modify_index, astray })
    }
}

/// What the agent has seen. One of an earlier release names no epochs: then what it holds says how far that is.
pub(super) fn seen(hello: &Hello) -> Seen {
    let held = hello.have.iter().map(|have| have.alloc_modify_index).max().unwrap_or(0);
    let epoch = |epoch: &Epoch| {
        let id = Uuid::from_slice(&epoch.id).ok()?.as_u128();
        Some(tarpan_state::Epoch { id, start: epoch.start })
    };
    Seen { index: hello.seen_index.max(held), epochs: hello.seen_epochs.iter().filter_map(epoch).collect() }
}

pub(super) fn told(epochs: &[tarpan_state::Epoch]) -> Vec<Epoch> {
    let epoch = |epoch: &tarpan_state::Epoch| Epoch {
        id: Bytes::copy_from_slice(Uuid::from_u128(epoch.id).as_bytes()),
        start: epoch.start,
    };
    epochs.iter().map(epoch).collect()
}

/// A state of which an agent may be told: it holds what was `seen`, or went another way (then from which index on).
pub(super) async fn caught_up(host: &Host, seen: &Seen) -> Result<(Arc<State>, Option<u64>), Status> {
    let until = Instant::now() + PATIENCE;
    let mut state = host.state();
    loop {
        let standing = state.lineage().standing(state.index(), seen);
        match standing {
            Standing::Holds if state.lineage().settled() => return Ok((state, None)),
            Standing::Forked { at } if state.lineage().settled() => return Ok((state, Some(at))),
            _ if Instant::now() >= until => {
                let (index, seen) = (state.index(), seen.index);
                let text = format!(
                    "this server's state (index {index}) has not caught up with what the agent was told (index {seen})"
                );
                return Err(Status::unavailable(text));
            }
            _ => state = host.published.at_least(state.index() + 1, until).await,
        }
    }
}

/// A state whose newest term has a name: what an agent is told of it can be found again.
pub(super) async fn settled(host: &Host) -> Result<Arc<State>, Status> {
    caught_up(host, &Seen::default()).await.map(|(state, _)| state)
}

/// Writes into the node's history that the state is another than the agent knew.
pub(super) async fn note(host: &Host, node: NodeId, astray: usize) -> Result<(), Status> {
    let Some(command) = nodes::astray(&host.state(), node, astray, now()) else { return Ok(()) };
    host.propose(command).await.map(drop).map_err(|error| Status::unavailable(error.to_string()))
}
