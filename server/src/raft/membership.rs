//! Who belongs to the cluster, as raft has it: formed, grown and shrunk here, one change at a time. `crate::members` says when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::{ChangeMembers, ServerState};
use tarpan_control::servers::{Change, Member};
use tarpan_rpc::server::LeadRequest;
use tarpan_state::{Seen, Standing};
use tokio::time::{Instant, timeout};

use super::admission::Around;
use super::links::{LEASE, Links, Use};
use super::types::{Known, Raft};
use super::{Consensus, ServerId, ServerNode, network};
use crate::options::Options;

/// How long a server that agreed to form a cluster agrees to no other, and how long it has to say so.
const PROMISE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);
/// How long writing what was handed in may take before another one leads.
const HAND_OVER: Duration = Duration::from_secs(1);

/// What this server agreed to be part of. Each agrees to one cluster at a time, so that no two are formed.
#[derive(Clone)]
pub(crate) struct Promises {
    raft: Raft,
    me: ServerId,
    given: Arc<Mutex<Option<Promise>>>,
}

/// To whom, and when.
type Promise = (BTreeSet<ServerId>, Instant);

impl Promises {
    pub fn new(raft: Raft, me: ServerId) -> Promises {
        Promises { raft, me, given: Arc::default() }
    }

    /// Would this server take part in a new cluster of exactly these?
    pub async fn agrees(&self, voters: &BTreeSet<ServerId>) -> bool {
        if !voters.contains(&self.me) || self.raft.is_initialized().await.unwrap_or(true) {
            return false;
        }
        let mut given = self.given.lock().expect("no panic while held");
        match &*given {
            Some((other, at)) if other != voters && at.elapsed() < PROMISE => false,
            _ => {
                *given = Some((voters.clone(), Instant::now()));
                true
            }
        }
    }
}

/// Why the membership was not changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MembershipError(String);

/// A member of the cluster, as raft has it.
#[derive(Clone, Debug)]
pub(crate) struct RaftMember {
    pub id: ServerId,
    pub node: ServerNode,
    pub voter: bool,
    pub leader: bool,
}

impl Consensus {
    /// The members of the cluster; none before there is one.
    pub fn members(&self) -> Vec<RaftMember> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
        let member = |(id, node): (&ServerId, &ServerNode)| RaftMember {
            id: *id,
            node: node.clone(),
            voter: voters.contains(id),
            leader: metrics.current_leader == Some(*id),
        };
        membership.nodes().map(member).collect()
    }

    /// `host:port` of every server of the region that agents may turn to, this one first.
    pub fn rpc_addrs(&self) -> Vec<String> {
        let mut all = vec![self.me.rpc_addr.clone()];
        let mut others = self.around.borrow().region.clone();
        if others.is_empty() {
            others = self.members().into_iter().map(|m| m.node.rpc_addr).collect();
        }
        all.extend(others.into_iter().filter(|a| *a != self.me.rpc_addr));
        all
    }

    pub fn links(&self) -> &Links {
        &self.links
    }

    /// `host:port` of a member's RPC.
    pub fn rpc_addr_of(&self, id: ServerId) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        Some(metrics.membership_config.membership().get_node(&id)?.rpc_addr.clone())
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// This server, as the others are told of it.
    pub fn me(&self) -> &ServerNode {
        &self.me
    }

    pub fn id(&self) -> ServerId {
        self.id
    }

    /// Has this server been part of a cluster, or is it?
    pub async fn has_state(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(true)
    }

    /// Forms a cluster of servers that have no state, this one among them.
    pub async fn form(&self, voters: BTreeMap<ServerId, ServerNode>) -> Result<(), MembershipError> {
        self.raft.initialize(voters).await.map_err(|e| MembershipError(e.to_string()))
    }

    /// Does a server, this one or another, agree to be part of a new cluster of exactly these?
    pub async fn asks_to_form(&self, id: ServerId, node: &ServerNode, voters: &BTreeSet<ServerId>) -> bool {
        if id == self.id {
            return self.promises.agrees(voters).await;
        }
        let Some(mut client) = self.links.to(&node.rpc_addr, Use::Words) else { return false };
        let mut request = tonic::Request::new(network::message(voters));
        request.set_timeout(ANSWER);
        match client.form(request).await {
            Ok(answer) => network::read(answer.get_ref()).unwrap_or(false),
            Err(status) => {
                tracing::debug!(%status, server = node.name, "asking to form a cluster");
                false
            }
        }
    }

    /// Servers whose calls are taken.
    pub fn meet(&self, around: Around) {
        self.around.send_if_modified(|known| {
            let changed = **known != around;
            if changed {
                *known = Arc::new(around);
            }
            changed
        });
    }

    /// The cluster's members as the leader measures them; `None`: this server does not lead.
    pub fn measured(&self) -> Option<BTreeMap<ServerId, Member>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let replication = metrics.replication.as_ref()?;
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
        let member = |id: ServerId| {
            let (last_contact, last_index) = match id == self.id {
                true => (Some(Duration::ZERO), metrics.last_log_index.unwrap_or(0)),
                false => (self.links.silence(id), replication.get(&id).and_then(|r| r.map(|id| id.index)).unwrap_or(0)),
            };
            Member { voter: voters.contains(&id), last_contact: last_contact.map(Into::into), last_index }
        };
        Some(membership.nodes().map(|(id, _)| (*id, member(*id))).collect())
    }

    /// Calls an election, whatever the others hear of the leader: he has asked for it. Again when their lease is over, should they not yet.
    pub async fn elect(&self) -> Result<(), MembershipError> {
        for _ in 0..2 {
            self.raft.trigger().elect().await.map_err(|e| MembershipError(e.to_string()))?;
            let patience = Some(LEASE + LEASE / 5);
            if self.raft.wait(patience).state(ServerState::Leader, "it was asked to lead").await.is_ok() {
                return Ok(());
            }
        }
        Err(MembershipError("most of the voters elect somebody else".to_owned()))
    }

    /// As the leader: has another voter lead, the named one or the one that is nearest. Who that was. What is handed in meanwhile waits.
    pub async fn hand_over(&self, to: Option<ServerId>) -> Result<ServerId, MembershipError> {
        let failed = |why: &str| MembershipError(why.to_owned());
        let members = self.measured().ok_or_else(|| failed("not the leader"))?;
        let others = || members.iter().filter(|(id, m)| m.voter && **id != self.id);
        let chosen = match to {
            Some(id) => others().find(|(other, _)| **other == id),
            None => others().max_by_key(|(_, m)| m.last_index),
        };
        let id = *chosen.ok_or_else(|| failed("there is no such voter beside this one"))?.0;
        let client = self.rpc_addr_of(id).and_then(|address| self.links.peer(&address, Use::Words));
        let mut client = client.ok_or_else(|| failed("its address is not known"))?;
        // A vote for somebody else is refused for a lease from its own election on.
        tokio::time::sleep_until(self.links.leading_since() + LEASE + LEASE / 10).await;
        let _paused =
            timeout(HAND_OVER, self.batcher.pause()).await.map_err(|_| failed("what was handed in is not written"))?;
        let last = self.store.last();
        let waiting = self.raft.wait(Some(HAND_OVER));
        let caught_up = waiting.metrics(
            |m| m.replication.as_ref().is_none_or(|r| r.get(&id).is_some_and(|matched| *matched >= last)),
            "it has all entries",
        );
        caught_up.await.map_err(|_| failed("it lags behind"))?;
        let mut request = tonic::Request::new(LeadRequest {});
        request.set_timeout(ANSWER);
        client.lead(request).await.map_err(|status| failed(status.message()))?;
        Ok(id)
    }

    /// As the leader: writes what a member says of itself.
    pub async fn describe(&self, id: ServerId, node: ServerNode) -> Result<(), MembershipError> {
        let nodes = ChangeMembers::SetNodes(BTreeMap::from([(id, node)]));
        self.raft.change_membership(nodes, true).await.map(|_| ()).map_err(|e| MembershipError(e.to_string()))
    }

    /// As the leader: whether a server that is to join holds nothing that this cluster does not know. One that was part of a cluster which
    /// went another way has applied what can't be taken back.
    pub async fn standing(&self, node: &ServerNode) -> Result<Standing, MembershipError> {
        let unknown = || MembershipError(format!("{} is no address", node.rpc_addr));
        let mut client = self.links.to(&node.rpc_addr, Use::Words).ok_or_else(unknown)?;
        let mut request = tonic::Request::new(network::message(&()));
        request.set_timeout(ANSWER);
        let (index, epochs): Known = match client.history(request).await {
            Ok(answer) => network::read(answer.get_ref()).map_err(|e| MembershipError(e.to_string()))?,
            // One of an earlier release, which can't say.
            Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(Standing::Holds),
            Err(status) => return Err(MembershipError(status.message().to_owned())),
        };
        let state = self.published.state();
        Ok(state.lineage().standing(state.index(), &Seen { index, epochs }))
    }

    /// Makes one change, as the leader. It is on its way when this comes back without an error.
    pub async fn change(&self, change: &Change, node: Option<ServerNode>) -> Result<(), MembershipError> {
        let one = |id: &ServerId| BTreeSet::from([*id]);
        let done = match change {
            Change::AddLearner(id) => {
                let node = node.ok_or_else(|| MembershipError(format!("nothing is known of server {id}")))?;
                self.raft.add_learner(*id, node, false).await.map(|_| ())
            }
            Change::Promote(id) => {
                self.raft.change_membership(ChangeMembers::AddVoterIds(one(id)), true).await.map(|_| ())
            }
            Change::Remove(id) if *id == self.id => {
                return Err(MembershipError("this server leads: transfer the leadership first".to_owned()));
            }
            Change::Remove(id) => {
                let voter = self.raft.metrics().borrow().membership_config.voter_ids().any(|v| v == *id);
                let changes = match voter {
                    true => ChangeMembers::RemoveVoters(one(id)),
                    false => ChangeMembers::RemoveNodes(one(id)),
                };
                self.raft.change_membership(changes, false).await.map(|_| ())
            }
        };
        done.map_err(|e| MembershipError(e.to_string()))
    }
}
