//! When to elect: this server has not heard of a leader for a while, and most of the others have not either.
//!
//! The raft library waits for its lease and then for a time drawn by lot, and asks nobody: a server that comes back from behind a broken
//! link ends a leadership that was well. Here each waits for the lease and its turn among the voters, and then asks the others whether
//! they miss the leader too and would have it (a pre-vote). The election itself is the library's.

use std::time::Duration;

use openraft::ServerState;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Request;

use super::links::{LEASE, Links, Use};
use super::log::LogStore;
use super::network::{message, read};
use super::room::Room;
use super::types::{LogId, Raft, ServerId, ServerNode};

/// On top of that: so that the lease of the others is over, too.
const MARGIN: Duration = Duration::from_millis(30);
/// Between the turns of two voters: about what an election takes.
const TURN: Duration = Duration::from_millis(60);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);
/// Who looks so much later than it meant to has had no time to hear the leader either.
const LATE: Duration = Duration::from_millis(100);
/// How long the others have to say whether they would.
const ANSWER: Duration = Duration::from_millis(250);
/// From one try to the next.
const AGAIN: Duration = Duration::from_millis(200);
/// How long raft has to begin the election that it was told to call. Tries would queue up before one that is busy, and be made one after
/// the other when nobody wants them any more.
const BEGIN: Duration = Duration::from_secs(5);

/// How long who was told that it would be elected has for its election, before this server asks for itself: two at a time split the vote.
const YIELD: Duration = Duration::from_millis(300);

/// Asks: would you elect me?
#[derive(Serialize, Deserialize)]
pub struct Ballot {
    /// The last entry of who asks.
    pub last: Option<LogId>,
}

/// Looks out until raft ends. Who has no room to write calls no election: it could neither vote for itself nor lead.
pub async fn look_out(raft: Raft, store: LogStore, me: ServerId, links: Links, room: Room) {
    let mut pause = LOOK;
    loop {
        let slept = Instant::now();
        tokio::time::sleep(pause).await;
        let late = slept.elapsed().saturating_sub(pause);
        if late > LATE {
            links.excuse(late);
        }
        pause = LOOK;
        let voters = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            if metrics.running_state.is_err() {
                return;
            }
            let membership = metrics.membership_config.membership();
            let voters: Vec<(ServerId, ServerNode)> =
                membership.voter_ids().filter_map(|id| Some((id, membership.get_node(&id)?.clone()))).collect();
            if metrics.state == ServerState::Leader {
                links.leads(me);
                pause = LEASE / 5;
                continue;
            }
            if !voters.iter().any(|(id, _)| *id == me) {
                continue;
            }
            voters
        };
        let patience = LEASE + MARGIN + TURN * turn(me, &voters, links.last_leader());
        if let Some(left) = patience.checked_sub(links.leader_silence()).filter(|left| !left.is_zero()) {
            pause = left.max(LOOK);
            continue;
        }
        if let Some(left) = links.since_yielding().and_then(|since| YIELD.checked_sub(since)) {
            pause = left.max(LOOK);
            continue;
        }
        if room.lacking().is_none() && wanted(&store, me, &links, &voters).await {
            tracing::info!("no leader is heard of: calling an election");
            let term = raft.metrics().borrow().current_term;
            if raft.trigger().elect().await.is_err() {
                return;
            }
            let begun = raft.wait(Some(BEGIN)).metrics(|now| now.current_term > term, "the election begins").await;
            tracing::debug!(?begun, "an election was called");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Which of the voters this one is, beginning behind the one that led: nobody waits for the dead.
fn turn(me: ServerId, voters: &[(ServerId, ServerNode)], led: Option<ServerId>) -> u32 {
    let mut ids: Vec<ServerId> = voters.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    let behind = led.and_then(|led| ids.iter().position(|id| *id == led)).map_or(0, |at| at + 1);
    let voters = ids.len().max(1);
    ids.rotate_left(behind % voters);
    u32::try_from(ids.iter().position(|id| *id == me).unwrap_or(0)).unwrap_or(0)
}

/// Would most of the voters have this one?
async fn wanted(store: &LogStore, me: ServerId, links: &Links, voters: &[(ServerId, ServerNode)]) -> bool {
    let ballot = message(&Ballot { last: store.last() });
    let asked = voters.iter().filter(|(id, _)| *id != me).map(|(_, node)| {
        let (client, ballot) = (links.to(&node.rpc_addr, Use::Words), ballot.clone());
        async move {
            let mut request = Request::new(ballot);
            request.set_timeout(ANSWER);
            let answer = tokio::time::timeout(ANSWER, client?.ballot(request)).await.ok()?.ok()?;
            read::<bool>(answer.get_ref()).ok()
        }
    });
    let answers = futures::future::join_all(asked).await;
    let votes = 1 + answers.into_iter().filter(|a| *a == Some(true)).count();
    votes > voters.len() / 2
}

/// Would this server elect who asks?
pub fn would(raft: &Raft, store: &LogStore, links: &Links, ballot: &Ballot) -> bool {
    let leads = raft.server_metrics().borrow().state == ServerState::Leader;
    let would = !leads && links.leader_silence() >= LEASE && ballot.last >= store.last();
    if would {
        links.yields();
    }
    would
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_begin_behind_the_one_that_led() {
        let voters: Vec<_> = [9, 3, 5].map(|id| (id, ServerNode::default())).into();
        let turns = |led| [3, 5, 9].map(|me| turn(me, &voters, led));
        assert_eq!(turns(None), [0, 1, 2]);
        assert_eq!(turns(Some(3)), [2, 0, 1]);
        assert_eq!(turns(Some(9)), [0, 1, 2]);
        assert_eq!(turns(Some(77)), [0, 1, 2], "one that was removed");
    }
}
