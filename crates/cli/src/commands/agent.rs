//! `agent`: one process in the server role, the client role or both, until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tarpan_config::AgentConfig;
use tarpan_config::agent::{ServerConfig, parse_size};
use tarpan_launch::{Addresses, AgentFlags, Connections, Program, RunningServer, ServerRole, handshake, name};
use tarpan_model::duration::Dur;
use tarpan_server::{Key, Server};
use tarpan_tls::Tls;

use crate::command::{Command, Fail, Outcome};
use crate::commands::version;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(flatten)]
    flags: AgentFlags,
    args: Vec<String>,
}

impl Command for Agent {
    const PATH: &'static str = "agent";
    const ABOUT: &'static str = "Runs an agent: a server, a client or both.";
    const DETAILS: &'static str = "The agent runs until it is interrupted. Configuration comes from -config files and \
        directories in their order; flags stand above them. \"agent -dev\" needs no configuration at all.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let called = if output::program() == "nomad" { "Nomad" } else { "Tarpan" };
        let program = Program { called, version: version::number(), server: Some(Arc::new(Role)) };
        tarpan_launch::run(self.flags, program).await.map_err(Fail::new)?;
        Ok(0)
    }

    fn execute(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| Fail::new(format!("Error starting the runtime: {e}")))?;
        let outcome = runtime.block_on(self.run());
        // What still runs in the background has had its chance.
        runtime.shutdown_timeout(std::time::Duration::from_millis(500));
        outcome
    }
}

/// Of each worker thread. The addresses of pages are listed on one, which nests as deeply as their views do: more than tokio's 2 MiB.
/// Address space only; what is not touched costs nothing.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// What this program has besides the client role.
struct Role;

impl ServerRole for Role {
    fn start<'a>(
        &'a self,
        config: &'a AgentConfig,
        addresses: &'a Addresses,
        connections: Connections,
        tls: &'a Arc<Tls>,
    ) -> BoxFuture<'a, Result<Arc<dyn RunningServer>, String>> {
        Box::pin(async move {
            let options = server_options(config, addresses, connections, tls)?;
            let server = Server::start(options).await.map_err(|e| tarpan_launch::chain(&e))?;
            Ok(Arc::new(Running(server)) as Arc<dyn RunningServer>)
        })
    }
}

struct Running(Server);

impl RunningServer for Running {
    fn rpc_addr(&self) -> SocketAddr {
        self.0.rpc_addr()
    }

    fn router(&self, pages: bool) -> Router {
        match pages {
            true => tarpan_server::router(self.0.clone()),
            false => tarpan_server::http::router(self.0.clone()),
        }
    }

    fn join(&self) -> BoxFuture<'static, Result<(), String>> {
        let server = self.0.clone();
        async move { server.join_configured().await }.boxed()
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.leave())
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.shutdown())
    }
}

/// What the server role is started with.
fn server_options(
    config: &AgentConfig,
    addresses: &Addresses,
    connections: Connections,
    tls: &Arc<Tls>,
) -> Result<tarpan_server::Options, String> {
    // Named one by one: a key that nothing reads does not compile here.
    let ServerConfig {
        enabled: _,
        bootstrap_expect,
        raft_snapshot_threshold,
        raft_trailing_logs,
        encrypt,
        server_join: _,
        start_join: _,
        retry_join: _,
        retry_interval: _,
        retry_max: _,
        data_dir,
        num_schedulers,
        heartbeat_grace,
        min_heartbeat_ttl,
        failover_heartbeat_ttl,
        max_heartbeats_per_second,
        node_gc_threshold,
        job_gc_threshold,
        eval_gc_threshold,
        batch_eval_gc_threshold,
        deployment_gc_threshold,
        csi_plugin_gc_threshold,
        csi_volume_claim_gc_interval,
        event_buffer_size,
        job_max_count,
        job_max_source_size,
    } = config.server.clone();
    let default = tarpan_server::Options::default();
    let data_dir = data_dir.or_else(|| config.data_dir.as_ref().map(|d| d.join("server")));
    let key = encrypt.filter(|key| !key.is_empty()).map(|key| Key::parse(&key));
    let key = key.transpose().map_err(|e| format!("\"server.encrypt\": {e}"))?;
    Ok(tarpan_server::Options {
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        name: name(config),
        data_dir: if config.dev { None } else { data_dir },
        rpc_bind: addresses.rpc,
        rpc_advertise: addresses.rpc_advertise.clone(),
        gossip_bind: addresses.serf,
        gossip_advertise: addresses.serf_advertise.clone(),
        gossip_keys: key.into_iter().collect(),
        joins: server_joins(config),
        autopilot: autopilot(&config.autopilot),
        http_advertise: addresses.http_advertise.clone(),
        bootstrap_expect,
        heartbeat_ttl: min_heartbeat_ttl.to_std(),
        heartbeat_grace: heartbeat_grace.to_std(),
        failover_heartbeat_ttl: failover_heartbeat_ttl.to_std(),
        max_heartbeats_per_second,
        num_schedulers: num_schedulers.unwrap_or(default.num_schedulers),
        eval_gc_threshold: eval_gc_threshold.to_std(),
        batch_eval_gc_threshold: batch_eval_gc_threshold.to_std(),
        job_gc_threshold: job_gc_threshold.to_std(),
        deployment_gc_threshold: deployment_gc_threshold.to_std(),
        node_gc_threshold: node_gc_threshold.to_std(),
        csi_plugin_gc_threshold: csi_plugin_gc_threshold.to_std(),
        csi_volume_claim_gc_interval: csi_volume_claim_gc_interval.to_std(),
        snapshot_threshold: raft_snapshot_threshold.unwrap_or(default.snapshot_threshold),
        trailing_logs: raft_trailing_logs.unwrap_or(default.trailing_logs),
        snapshot_bytes: default.snapshot_bytes,
        event_buffer_size: event_buffer_size.unwrap_or(default.event_buffer_size),
        rpc_max_conns_per_client: config.limits.rpc_max_conns_per_client,
        rpc_max_conns: connections.rpc,
        rpc_handshake_timeout: handshake(config.limits.rpc_handshake_timeout),
        tls: tls.rpc().then(|| tls.clone()),
        job_max_count,
        job_max_source_size: parse_size(&job_max_source_size).unwrap_or(default.job_max_source_size),
    })
}

fn autopilot(config: &tarpan_config::agent::AutopilotConfig) -> tarpan_server::AutopilotConfig {
    tarpan_server::AutopilotConfig {
        cleanup_dead_servers: config.cleanup_dead_servers,
        last_contact_threshold: config.last_contact_threshold,
        max_trailing_logs: config.max_trailing_logs,
        min_quorum: config.min_quorum,
        server_stabilization_time: config.server_stabilization_time,
    }
}

/// Whom the server joins, each with a port.
fn server_joins(config: &AgentConfig) -> tarpan_server::Joins {
    let joins = config.server.joins();
    let default = tarpan_server::Joins::default();
    let ports = |names: &[String]| names.iter().map(|n| tarpan_server::join_address(n)).collect();
    tarpan_server::Joins {
        start: ports(&joins.start_join),
        retry: ports(&joins.retry_join),
        interval: joins.retry_interval.map_or(default.interval, Dur::to_std),
        most: joins.retry_max.unwrap_or(default.most),
    }
}
