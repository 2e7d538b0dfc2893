//! The handle to a running server. `start` makes one.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tarpan_control::broker::BrokerStats;
use tarpan_model::{Dur, NodeId, UnixNanos};
use tarpan_rpc::agent::HttpRequest;
use tarpan_state::{Command, Reply, State};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock;
use crate::control::Control;
use crate::descriptors;
use crate::errors::ProposeError;
use crate::events::EventFeed;
use crate::meter::Meter;
use crate::node_request::{NodeRequestError, NodeResponse};
use crate::options::{MemberInfo, Options, RaftStats};
use crate::publish::Published;
use crate::raft::Consensus;
use crate::sessions::bulk;
use crate::sessions::host::Host;
use crate::trouble::Changes;
use crate::watch::Watch;

/// A running server; clones are the same one.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub options: Options,
    pub rpc_addr: SocketAddr,
    pub published: Arc<Published>,
    pub consensus: Arc<Consensus>,
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

    /// The newest applied snapshot.
    pub fn state(&self) -> Arc<State> {
        self.0.published.state()
    }

    /// Commits a command: the raft index it was applied at, and what it did.
    ///
    /// Waits for a leader for a few seconds; other commands may share its raft entry.
    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ProposeError> {
        let begun = std::time::Instant::now();
        let done = self.0.consensus.propose(command).await;
        self.0.meter.committed(begun);
        done
    }

    /// The newest state once one of `watch` changed after raft index `past`, or when `until` has come.
    ///
    /// May come back early: look at what was asked for again, and wait again from the new state's index.
    pub async fn wait(&self, watch: &[Watch], past: u64, until: Instant) -> Arc<State> {
        self.0.published.wait(watch, past, until).await
    }

    /// The newest state once it holds everything up to raft index `index`, or when `until` has come.
    pub async fn wait_index(&self, index: u64, until: Instant) -> Arc<State> {
        self.0.published.at_least(index, until).await
    }

    /// Every change after `after_index`, as it is applied.
    pub fn subscribe(&self, after_index: u64) -> EventFeed {
        self.0.published.ring.subscribe(after_index)
    }

    /// Has a node answer a `/v1` request through its session.
    pub async fn node_request(&self, node: NodeId, request: HttpRequest) -> Result<NodeResponse, NodeRequestError> {
        bulk::request(&self.0.host, node, request).await
    }

    /// `host:port` of the leader's RPC; `None` while there is none.
    pub fn leader(&self) -> Option<String> {
        self.0.consensus.leader_rpc_addr()
    }

    /// Does this server lead?
    pub fn is_leader(&self) -> bool {
        self.0.consensus.leadership().me
    }

    /// The servers of the region, this one included.
    pub fn members(&self) -> Vec<MemberInfo> {
        self.0.consensus.members()
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
            self.0.consensus.shutdown().await;
        })
    }
}
