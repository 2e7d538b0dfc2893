//! A leader's signs of life, beside its log.
//!
//! Raft's heartbeats wait their turn behind the flush of entries, here and at the follower. A disk that is busy with a snapshot can take
//! longer for one than a lease lasts: a leader that is well would be deposed for it, again and again under load. So it says by a word of
//! its own that it leads, and who hears that does not miss it. Only elections are held off by it: what may be read without asking
//! follows from entries and heartbeats alone ([`Links::holds_lease`]).

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::ServerState;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Request;

use super::links::{LEASE, Links, Use};
use super::network::{message, read};
use super::room::Room;
use super::types::{Raft, ServerId};

/// From one sign to the next.
const EVERY: Duration = Duration::from_millis(LEASE.as_millis() as u64 / 5);
/// A leader that does nothing for so long gives no more signs: another one may be able to.
const STUCK: Duration = Duration::from_secs(3);

/// Gives signs while this server leads, until raft ends. Who has no room to write gives none: others may have.
pub async fn give(raft: Raft, me: ServerId, links: Links, room: Room) {
    let mut pulse = Pulse::new();
    let mut told: BTreeMap<ServerId, JoinHandle<()>> = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let (vote, others) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            if metrics.running_state.is_err() {
                return;
            }
            if metrics.state != ServerState::Leader {
                pulse = Pulse::new();
                continue;
            }
            let membership = metrics.membership_config.membership();
            let others: Vec<(ServerId, String)> = membership
                .voter_ids()
                .filter(|id| *id != me)
                .filter_map(|id| Some((id, membership.get_node(&id)?.rpc_addr.clone())))
                .collect();
            (metrics.vote, others)
        };
        if !pulse.beats(&raft) || room.lacking().is_some() {
            continue;
        }
        told.retain(|_, telling| !telling.is_finished());
        for (id, rpc_addr) in others {
            if told.contains_key(&id) {
                continue;
            }
            let Some(mut client) = links.to(&rpc_addr, Use::Words) else { continue };
            let mut request = Request::new(message(&vote));
            request.set_timeout(LEASE);
            let links = links.clone();
            let telling = async move {
                let answer = tokio::time::timeout(LEASE, client.leads(request)).await;
                if let Ok(Ok(answer)) = answer
                    && read::<bool>(answer.get_ref()).unwrap_or(false)
                {
                    links.heard(id);
                }
            };
            told.insert(id, tokio::spawn(telling));
        }
    }
}

/// Whether raft does what it is asked.
struct Pulse {
    last: Instant,
    asked: Option<oneshot::Receiver<()>>,
}

impl Pulse {
    fn new() -> Pulse {
        Pulse { last: Instant::now(), asked: None }
    }

    /// It has done something a short while ago.
    fn beats(&mut self, raft: &Raft) -> bool {
        let answered = self.asked.as_mut().map(oneshot::Receiver::try_recv);
        match answered {
            Some(Err(oneshot::error::TryRecvError::Empty)) => {}
            Some(Ok(()) | Err(oneshot::error::TryRecvError::Closed)) | None => {
                if answered == Some(Ok(())) {
                    self.last = Instant::now();
                }
                let (answer, asked) = oneshot::channel();
                raft.external_request(move |_| _ = answer.send(()));
                self.asked = Some(asked);
            }
        }
        self.last.elapsed() < STUCK
    }
}
