//! The handle to a running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tarpan_control::broker::BrokerStats;
use tarpan_model::{Dur, NodeId, UnixNanos};
use tarpan_rpc::agent::HttpRequest;
use tarpan_state::{Command, Reply, State};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::control::Control;
use crate::descriptors;
use crate::doors::Doors;
use crate::events::EventFeed;
use crate::guests;
use crate::keyring::Keyring;
use crate::meter::Meter;
use crate::node_request::{NodeRequestError, NodeResponse};
use crate::options::{MemberInfo, Options, RaftStats};
use crate::publish::Published;
use crate::raft::{Consensus, ServerNode};
use crate::sessions::{AgentService, Reports, Sessions, Streams, bulk};
use crate::trouble::Changes;
use crate::watch::Watch;

/// Calls an agent may have open at a time: each blocking query that it forwards is one.
const MAX_STREAMS: u32 = 16_384;
/// Headers of one call, in bytes: an agent sends an id and a secret.
const MAX_HEADERS: u32 = 16 << 10;
/// How often a connection is asked whether it still is one, and how long it may take to say so. A suspended agent is gone after
/// that; it connects again when it goes on.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(30));

/// A running server; clones are the same one.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub options: Options,
    pub rpc_addr: SocketAddr,
    pub published: Arc<Published>,
    pub consensus: Arc<Consensus>,
    pub control: Arc<Control>,
    pub sessions: Arc<Sessions>,
    pub streams: Streams,
    pub reports: Reports,
    pub troubles: Changes,
    pub keyring: Keyring,
    pub meter: Arc<Meter>,
    stop: watch::Sender<bool>,
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
    /// What is kept on disk is damaged or does not fit together.
    #[error("{what}. {ways}")]
    Damaged { what: String, ways: String },
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
    /// The disk is full. What was handed in before that may be committed once there is room.
    #[error("{0}")]
    NoRoom(Arc<str>),
    #[error("the server shuts down")]
    Shutdown,
}

impl Server {
    /// Opens the store, starts raft, listens for agents and runs the control loops. Comes back before there is a leader.
    pub async fn start(options: Options) -> Result<Server, StartError> {
        let bind = |source| StartError::Bind { addr: options.rpc_bind, source };
        let listener = TcpListener::bind(options.rpc_bind).await.map_err(bind)?;
        let rpc_addr = listener.local_addr().map_err(bind)?;
        let me = ServerNode {
            name: options.name.clone(),
            datacenter: options.datacenter.clone(),
            rpc_addr: advertised(&options, rpc_addr),
            http_addr: options.http_advertise.clone(),
        };
        let published = Arc::new(Published::new(State::default(), options.event_buffer_size));
        let consensus = Arc::new(Consensus::start(&options, me, published.clone()).await?);
        let meter = Arc::<Meter>::default();
        let control = Arc::new(Control::new(&options, published.clone(), consensus.clone(), meter.clone()));
        let reports = Reports::start(published.clone(), consensus.clone());
        let (sessions, stop) = (Arc::<Sessions>::default(), watch::Sender::new(false));
        let (streams, troubles) = (Streams::default(), Changes::default());
        let keyring = Keyring::default();
        let inner = Inner {
            options,
            rpc_addr,
            published,
            consensus,
            control,
            sessions,
            streams,
            reports,
            troubles,
            keyring,
            meter,
            stop,
        };
        let server = Server(Arc::new(inner));
        server.spawn(listener);
        Ok(server)
    }

    /// The loops and the gRPC listener, until shutdown.
    fn spawn(&self, listener: TcpListener) {
        let Inner { published, consensus, control, sessions, stop, .. } = &*self.0;
        tokio::spawn(sessions.clone().route(published.clone(), stop.subscribe()));
        let kicked = sessions.clone();
        let kick = move |node| kicked.kick(node, "no heartbeat came in time");
        tokio::spawn(control.clone().run(stop.subscribe(), kick));
        tokio::spawn(Changes::run(self.clone(), stop.subscribe()));
        let mut stopping = stop.subscribe();
        let routes = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(PING.0))
            .http2_keepalive_timeout(Some(PING.1))
            .add_service(AgentService::new(self.clone()).into_server())
            .add_service(consensus.service().into_server());
        let options = &self.0.options;
        let doors = Doors::new(options.rpc_max_conns_per_client, options.rpc_max_conns);
        let incoming = guests::incoming(listener, doors, options.rpc_handshake_timeout);
        tokio::spawn(async move {
            let stopped = async {
                let _ = stopping.wait_for(|s| *s).await;
            };
            tokio::select! {
                served = routes.serve_with_incoming(incoming) => if let Err(error) = served {
                    tracing::error!(%error, "the RPC listener ended");
                },
                () = stopped => {}
            }
        });
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
        bulk::request(self, node, request).await
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

    /// `host:port` of every server's RPC.
    pub(crate) fn rpc_servers(&self) -> Vec<String> {
        self.members().into_iter().map(|m| m.rpc_addr).collect()
    }

    /// What keeps this server from its work, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        let stopped =
            || self.0.consensus.stopped().map(|why| format!("raft has stopped for good: {why}; restart the agent"));
        self.no_room().map(|why| why.to_string()).or_else(stopped).or_else(descriptors::trouble)
    }

    /// Why nothing is accepted; `None`: there is room on the disk.
    pub fn no_room(&self) -> Option<Arc<str>> {
        self.0.consensus.no_room()
    }

    /// How long, in all, this process did not run though it was alive.
    pub fn stood_still(&self) -> Dur {
        crate::clock::lost()
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
        self.0.sessions.len()
    }

    /// Has this server a session with the node?
    pub fn has_session(&self, node: NodeId) -> bool {
        self.0.sessions.get(node).is_some()
    }

    /// Removes everything that nobody needs, whatever its age.
    pub async fn collect_garbage(&self) {
        self.0.control.collect(true).await;
    }

    pub fn now(&self) -> UnixNanos {
        crate::control::now()
    }

    /// A fresh random id.
    pub fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// Ends sessions and loops, flushes the store.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        self.0.consensus.shutdown().await;
    }
}

/// What others are told: the configured address, else the bound one.
fn advertised(options: &Options, bound: SocketAddr) -> String {
    match options.rpc_advertise.as_str() {
        "" => bound.to_string(),
        configured => configured.to_owned(),
    }
}
