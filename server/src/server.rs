//! The handle to a running server. `start` makes one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use futures::future::BoxFuture;
use http::Response;
use tarpan_control::broker::BrokerStats;
use tarpan_control::servers::{Change, Health, Member};
use tarpan_front::descriptors;
use tarpan_model::{Dur, NodeId, UnixNanos};
use tarpan_rpc::agent::HttpRequest;
use tarpan_state::{Command, Reply, State};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use crate::clock;
use crate::control::Control;
use crate::errors::ProposeError;
use crate::events::EventFeed;
use crate::gossip::KeyChange;
use crate::members::Members;
use crate::meter::Meter;
use crate::node_request::{NodeRequestError, NodeResponse};
use crate::options::{MemberInfo, Options, RaftStats};
use crate::peers;
use crate::publish::Published;
use crate::raft::Consensus;
use crate::sessions::host::Host;
use crate::trouble::Changes;
use crate::watch::Watch;

/// A leader that was not heard of for so long counts as gone: another one would have been elected.
const SILENT: std::time::Duration = std::time::Duration::from_secs(2);

/// A running server; clones are the same one.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub options: Options,
    pub rpc_addr: SocketAddr,
    pub published: Arc<Published>,
    pub consensus: Arc<Consensus>,
    pub members: Arc<Members>,
    pub control: Arc<Control>,
    /// What sessions of agents have of this server.
    pub host: Arc<Host>,
    pub troubles: Changes,
    pub meter: Arc<Meter>,
    pub stop: watch::Sender<bool>,
}

impl Server {
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Where gRPC listens.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.0.rpc_addr
    }

    /// How often the state was replaced as a whole.
    pub(crate) fn replacements(&self) -> u64 {
        *self.0.published.replacements().borrow()
    }

    /// The newest applied snapshot.
    pub fn state(&self) -> Arc<State> {
        self.0.published.state()
    }

    /// The newest state, which holds everything that was acknowledged before this was asked, on whichever server. Errors when this one
    /// has not got so far when `until` has come: its disk may be full, or slow.
    pub async fn fresh_state(&self, until: Instant) -> Result<Arc<State>, ProposeError> {
        let index = self.0.consensus.read_index(until).await?;
        let lags = || match self.no_room() {
            Some(why) => ProposeError::NoRoom(why),
            None => ProposeError::Behind { at: self.state().index(), index },
        };
        self.0.published.holding(index, until).await.ok_or_else(lags)
    }

    /// Is there a leader, as far as this server can tell now?
    pub fn knows_leader(&self) -> bool {
        self.leader().is_some() && (self.is_leader() || self.0.consensus.links().leader_silence() < SILENT)
    }

    /// How long ago the leader was heard of; zero on the leader.
    pub fn last_contact(&self) -> Dur {
        if self.is_leader() { Dur::ZERO } else { self.0.consensus.links().leader_silence().into() }
    }

    /// Commits a command: the raft index it was applied at, and what it did.
    ///
    /// Waits for a leader for a few seconds; other commands may share its raft entry. This server's state holds it then.
    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ProposeError> {
        let begun = std::time::Instant::now();
        let done = self.0.host.propose(command).await;
        self.0.meter.committed(begun);
        done
    }

    /// The newest state once one of `watch` changed after raft index `past`, or when `until` has come.
    ///
    /// May come back early: look at what was asked for again, and wait again from the new state's index.
    pub async fn wait(&self, watch: &[Watch], past: u64, until: Instant) -> Arc<State> {
        self.0.published.wait(watch, past, until).await
    }

    /// Every change after `after_index`, as it is applied.
    pub fn subscribe(&self, after_index: u64) -> EventFeed {
        self.0.published.ring.subscribe(after_index)
    }

    /// Has a node answer a `/v1` request through its session.
    pub async fn node_request(&self, node: NodeId, request: HttpRequest) -> Result<NodeResponse, NodeRequestError> {
        peers::node_request(&self.0.host, node, request).await
    }

    /// Has another server answer a `/v1` request as if it had come there.
    pub(crate) async fn http(
        &self,
        region: &str,
        rpc_addr: &str,
        request: HttpRequest,
    ) -> Result<Response<Body>, Status> {
        peers::http(self.0.consensus.links(), region, rpc_addr, request).await
    }

    /// The same of a request that asks for another protocol: where that server agrees, `caller` is connected to it.
    pub(crate) async fn tunnel(
        &self,
        region: &str,
        rpc_addr: &str,
        request: http::Request<Body>,
        caller: hyper::upgrade::OnUpgrade,
    ) -> Result<Response<Body>, Status> {
        peers::tunnel::ask(self.0.consensus.links(), region, rpc_addr, request, caller).await
    }

    /// As the leader: takes a member out of raft. The error is a sentence.
    pub async fn remove_peer(&self, id: u64) -> Result<(), String> {
        self.0.consensus.change(&Change::Remove(id), None).await.map_err(|e| e.to_string())
    }

    /// As the leader: has another voter lead, the named one or the one that is nearest. Who that was; the error is a sentence.
    pub async fn hand_over(&self, to: Option<u64>) -> Result<u64, String> {
        self.0.consensus.hand_over(to).await.map_err(|e| e.to_string())
    }

    /// `host:port` of the leader's RPC; `None` while there is none.
    pub fn leader(&self) -> Option<String> {
        self.0.consensus.leader_rpc_addr()
    }

    /// Does this server lead?
    pub fn is_leader(&self) -> bool {
        self.0.consensus.leadership().me
    }

    /// All servers that are known, of every region, this one included.
    pub fn members(&self) -> Vec<MemberInfo> {
        self.0.members.list()
    }

    /// `host:port` of the RPC of this region's servers that answer, this one first.
    pub fn rpc_addrs(&self) -> Vec<String> {
        self.0.consensus.rpc_addrs()
    }

    /// Where this server gossips, as the others are told.
    pub fn gossip_addr(&self) -> SocketAddr {
        self.0.members.gossip().addr()
    }

    /// The keys that gossip takes, as base64, the one in use first.
    pub(crate) async fn gossip_keys(&self) -> Vec<String> {
        self.0.members.gossip().keys().await
    }

    /// Changes the keys of gossip on this server alone. The error is a sentence.
    pub(crate) async fn change_gossip_key(&self, change: KeyChange, key: &str) -> Result<(), String> {
        self.0.members.gossip().change_key(change, key).await.map_err(|e| e.to_string())
    }

    /// Joins whoever gossips at `host[:port]`: how many did. Errors are sentences.
    pub async fn join(&self, address: &str) -> Result<usize, String> {
        self.0.members.gossip().join(address).await.map_err(|e| e.to_string())
    }

    /// Joins whom the configuration names, for as long as it takes. The error: it is not to be tried any more.
    pub async fn join_configured(&self) -> Result<(), String> {
        self.0.members.join(&self.0.options.joins).await
    }

    /// Takes this server out of the cluster for good, where others go on without it; waits for that a few seconds.
    pub async fn leave(&self) {
        self.0.members.leave().await;
    }

    /// Has servers of a name that do not answer count as ones that left; `forget`: as ones that never were. How many that were.
    pub async fn force_leave(&self, name: &str, forget: bool) -> usize {
        self.0.members.force_leave(name, forget).await
    }

    /// How the members of the cluster are, as this leader finds them, by their numbers.
    pub fn health(&self) -> BTreeMap<u64, Health> {
        self.0.members.health()
    }

    /// Voters that may fail before nothing can be written; `None`: this server does not lead.
    pub fn failure_tolerance(&self) -> Option<usize> {
        self.0.members.tolerance()
    }

    /// What the leader measures of each member; `None`: this server does not lead.
    pub fn measured(&self) -> Option<BTreeMap<u64, Member>> {
        self.0.consensus.measured()
    }

    /// What keeps this server from its work, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        let stopped =
            || self.0.consensus.stopped().map(|why| format!("raft has stopped for good: {why}; restart the agent"));
        self.no_room().map(|why| why.to_string()).or_else(stopped).or_else(descriptors::trouble)
    }

    /// Tells when that may have changed.
    pub(crate) fn troubles(&self) -> &Changes {
        &self.0.troubles
    }

    /// Why nothing is accepted; `None`: there is room on the disk.
    pub fn no_room(&self) -> Option<Arc<str>> {
        self.0.consensus.no_room()
    }

    /// How long, in all, this process did not run though it was alive.
    pub fn stood_still(&self) -> Dur {
        clock::lost()
    }

    pub fn raft_stats(&self) -> RaftStats {
        self.0.consensus.stats()
    }

    /// Evaluations on their way to workers; all zero on a server that does not lead.
    pub fn broker_stats(&self) -> BrokerStats {
        self.0.control.broker_stats()
    }

    /// Evaluations that wait for room.
    pub fn blocked_evals(&self) -> usize {
        self.0.control.blocked()
    }

    /// Agents connected to this server.
    pub fn sessions(&self) -> usize {
        self.0.host.sessions.len()
    }

    /// Has this server a session with the node?
    pub fn has_session(&self, node: NodeId) -> bool {
        self.0.host.sessions.get(node).is_some()
    }

    /// Removes everything that nobody needs, whatever its age.
    pub async fn collect_garbage(&self) {
        self.0.control.collect(true).await;
    }

    pub fn now(&self) -> UnixNanos {
        clock::now()
    }

    /// A fresh random id.
    pub fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// Ends sessions and loops, flushes the store.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.stop.send_replace(true);
            self.0.members.gossip().end().await;
            self.0.consensus.shutdown().await;
        })
    }
}
