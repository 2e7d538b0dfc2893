//! What a server is started with, and what it says of itself and its peers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// How a server is to run. [`Options::default`] is a development server on a free loopback port.
#[derive(Clone, Debug)]
pub struct Options {
    pub region: String,
    pub datacenter: String,
    pub name: String,
    /// `None`: development mode, nothing outlives the process and nothing is flushed.
    pub data_dir: Option<PathBuf>,
    /// Where gRPC listens; port 0 picks a free one.
    pub rpc_bind: SocketAddr,
    /// `host:port` that agents and other servers are told; empty: the address that was bound.
    pub rpc_advertise: String,
    /// Where the field's servers gossip. Nothing listens there: it is what lists of servers show.
    pub gossip_port: u16,
    /// `host:port` of this server's HTTP API.
    pub http_advertise: String,
    /// How many servers wait for each other before the first election. 1: elects itself at once.
    pub bootstrap_expect: usize,
    /// Least time between a node's heartbeats; grows with the number of nodes.
    pub heartbeat_ttl: Duration,
    /// How much longer than its heartbeat interval a node may stay silent.
    pub heartbeat_grace: Duration,
    /// What nodes get after leadership changed, before they have spoken to the new leader.
    pub failover_heartbeat_ttl: Duration,
    pub max_heartbeats_per_second: f64,
    /// Evaluations worked on at a time.
    pub num_schedulers: usize,
    pub eval_gc_threshold: Duration,
    pub batch_eval_gc_threshold: Duration,
    pub job_gc_threshold: Duration,
    pub deployment_gc_threshold: Duration,
    pub node_gc_threshold: Duration,
    /// RPC connections that one client address may hold, and all together; 0: any number.
    pub rpc_max_conns_per_client: usize,
    pub rpc_max_conns: usize,
    /// How long an RPC connection may take to begin.
    pub rpc_handshake_timeout: Duration,
    /// Events kept for subscribers that resume.
    pub event_buffer_size: usize,
    /// Allocations that one job may ask for; 0: no bound.
    pub job_max_count: u64,
    /// Bytes of source text kept with a version; 0: none is kept.
    pub job_max_source_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Options {
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            name: "server-1".to_owned(),
            data_dir: None,
            rpc_bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            rpc_advertise: String::new(),
            gossip_port: 4648,
            http_advertise: String::new(),
            bootstrap_expect: 1,
            heartbeat_ttl: Duration::from_secs(10),
            heartbeat_grace: Duration::from_secs(10),
            failover_heartbeat_ttl: Duration::from_secs(300),
            max_heartbeats_per_second: 50.0,
            num_schedulers: std::thread::available_parallelism().map_or(1, usize::from),
            eval_gc_threshold: HOUR,
            batch_eval_gc_threshold: 24 * HOUR,
            job_gc_threshold: 4 * HOUR,
            deployment_gc_threshold: HOUR,
            node_gc_threshold: 24 * HOUR,
            rpc_max_conns_per_client: 0,
            rpc_max_conns: 0,
            rpc_handshake_timeout: Duration::from_secs(5),
            event_buffer_size: 16_384,
            job_max_count: 50_000,
            job_max_source_size: 1_000_000,
        }
    }
}

/// A server of the region, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberInfo {
    /// Number in the raft configuration.
    pub id: u64,
    pub name: String,
    pub region: String,
    pub datacenter: String,
    /// `host:port`
    pub rpc_addr: String,
    /// `host:port`
    pub http_addr: String,
    pub bootstrap_expect: usize,
    pub leader: bool,
    pub voter: bool,
    /// This very server.
    pub me: bool,
}

/// Where raft stands on this server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RaftStats {
    /// `leader`, `follower`, `candidate`, `learner`.
    pub state: String,
    pub term: u64,
    pub last_log_index: u64,
    pub last_applied: u64,
    pub commit_index: u64,
    pub last_snapshot_index: u64,
    pub peers: usize,
}
