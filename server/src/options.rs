//! What a server is started with, and what it says of itself and its peers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
pub use tarpan_control::servers::AutopilotConfig;
use tarpan_tls::Tls;

pub use crate::gossip::{Key, KeyError};

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
    /// Where it gossips with other servers; port 0 picks a free one.
    pub gossip_bind: SocketAddr,
    /// `host:port` that other servers are told; empty: the address that was bound.
    pub gossip_advertise: String,
    /// Gossip is sealed with the first and taken with any. Empty: it is not sealed.
    pub gossip_keys: Vec<Key>,
    /// Servers to join.
    pub joins: Joins,
    pub autopilot: AutopilotConfig,
    /// `host:port` of this server's HTTP API.
    pub http_advertise: String,
    /// How many servers wait for each other before the first election. 1: elects itself at once; 0: waits to be taken into a cluster.
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
    pub csi_plugin_gc_threshold: Duration,
    /// How often a step of giving back a claim is tried again that did not work.
    pub csi_volume_claim_gc_interval: Duration,
    /// RPC connections that one client address may hold, and all together; 0: any number.
    pub rpc_max_conns_per_client: usize,
    pub rpc_max_conns: usize,
    /// How long an RPC connection may take to begin.
    pub rpc_handshake_timeout: Duration,
    /// What agents and servers speak on the RPC port; `None`: in clear.
    pub tls: Option<Arc<Tls>>,
    /// Raft entries between snapshots, and those kept behind the last one for servers that lag.
    pub snapshot_threshold: u64,
    pub trailing_logs: u64,
    /// A snapshot is also made once the log behind the newest one has more bytes than this, and than that one.
    pub snapshot_bytes: u64,
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
            gossip_bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            gossip_advertise: String::new(),
            gossip_keys: Vec::new(),
            joins: Joins::default(),
            autopilot: AutopilotConfig::default(),
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
            csi_plugin_gc_threshold: HOUR,
            csi_volume_claim_gc_interval: Duration::from_secs(300),
            rpc_max_conns_per_client: 0,
            rpc_max_conns: 0,
            rpc_handshake_timeout: Duration::from_secs(5),
            tls: None,
            snapshot_threshold: 8192,
            trailing_logs: 1024,
            snapshot_bytes: 64 << 20,
            event_buffer_size: 16_384,
            job_max_count: 50_000,
            job_max_source_size: 1_000_000,
        }
    }
}

/// Servers to join, each `host[:port]` of its gossip.
#[derive(Clone, Debug)]
pub struct Joins {
    /// Tried once, at the start: the server ends when one does not answer.
    pub start: Vec<String>,
    /// Tried until each has answered.
    pub retry: Vec<String>,
    pub interval: Duration,
    /// Tries before the server gives up and ends; 0: any number.
    pub most: u32,
}

/// `host:port` of what was written as a server to join; without a port the field's, 4648.
pub fn join_address(written: &str) -> String {
    const PORT: u16 = 4648;
    if written.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{written}]:{PORT}");
    }
    match written.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => written.to_owned(),
        _ => format!("{written}:{PORT}"),
    }
}

impl Default for Joins {
    fn default() -> Self {
        Joins { start: Vec::new(), retry: Vec::new(), interval: Duration::from_secs(30), most: 0 }
    }
}

/// How a server is, by gossip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    #[default]
    Alive,
    Leaving,
    Left,
    Failed,
}

/// A server of any region, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberInfo {
    /// Number in the raft configuration.
    pub id: u64,
    pub status: MemberStatus,
    /// `host:port` where it gossips; empty: gossip does not know it.
    pub gossip_addr: String,
    pub name: String,
    pub region: String,
    pub datacenter: String,
    /// `host:port`
    pub rpc_addr: String,
    /// `host:port`
    pub http_addr: String,
    /// The API's version that it speaks.
    pub version: String,
    pub bootstrap_expect: usize,
    /// It belongs to the cluster of this region.
    pub in_raft: bool,
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

#[cfg(test)]
mod tests {
    use super::join_address;

    #[test]
    fn a_server_to_join_has_the_fields_port_where_none_is_written() {
        for (written, meant) in [
            ("10.0.0.1", "10.0.0.1:4648"),
            ("10.0.0.1:77", "10.0.0.1:77"),
            ("fe80::1", "[fe80::1]:4648"),
            ("[fe80::1]:77", "[fe80::1]:77"),
            ("servers.example", "servers.example:4648"),
        ] {
            assert_eq!(join_address(written), meant);
        }
    }
}
