//! Starting a server: its parts are made and tied together, and its loops and listener run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_front::doors::Doors;
use tarpan_state::State;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::control::Control;
use crate::csi::reaper;
use crate::errors::StartError;
use crate::gossip::{About, Gossip, How};
use crate::members::Members;
use crate::meter::Meter;
use crate::options::Options;
use crate::peers::PeerService;
use crate::publish::Published;
use crate::raft::{Consensus, ServerNode};
use crate::server::{Inner, Server};
use crate::sessions::grpc::AgentService;
use crate::sessions::host::Host;
use crate::trouble::Changes;
use crate::{guests, web};

/// Calls an agent may have open at a time: each blocking query that it forwards is one.
const MAX_STREAMS: u32 = 16_384;
/// Headers of one call, in bytes: an agent sends an id and a secret.
const MAX_HEADERS: u32 = 16 << 10;
/// How often a connection is asked whether it still is one, and how long it may take to say so. A suspended agent is gone after
/// that; it connects again when it goes on.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(30));

impl Server {
    /// Opens the store, starts raft, listens for agents and runs the control loops. Comes back before there is a leader.
    ///
    /// A box, so that all of it is compiled here: a bare future is compiled, with raft's loops and whatever else it awaits, by who
    /// awaits it.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Server, StartError>> {
        Box::pin(Server::open(options))
    }

    async fn open(options: Options) -> Result<Server, StartError> {
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
        let gossip = Gossip::start(&how(&options), about(&options, &consensus)).await?;
        let members = Arc::new(Members::new(gossip, consensus.clone(), options.region.clone()));
        let meter = Arc::<Meter>::default();
        let control = Arc::new(Control::new(&options, published.clone(), consensus.clone(), meter.clone()));
        let region = options.region.clone();
        let host = Arc::new(Host::new(region, published.clone(), consensus.clone(), control.clone()));
        let (troubles, stop) = (Changes::default(), watch::Sender::new(false));
        let inner = Inner { options, rpc_addr, published, consensus, members, control, host, troubles, meter, stop };
        let server = Server(Arc::new(inner));
        server.spawn(listener);
        Ok(server)
    }

    /// The loops and the gRPC listener, until shutdown.
    fn spawn(&self, listener: TcpListener) {
        let Inner { options, published, consensus, members, control, host, stop, .. } = &*self.0;
        tokio::spawn(members.clone().run(options.autopilot, stop.subscribe()));
        tokio::spawn(host.sessions.clone().route(published.clone(), stop.subscribe()));
        tokio::spawn(host.holding.clone().tell(host.sessions.clone(), stop.subscribe()));
        let kicked = host.clone();
        let kick = move |node| {
            kicked.sessions.kick(node, "no heartbeat came in time");
            kicked.holding.end(node);
        };
        let (claimed, interval) = (host.clone(), options.csi_volume_claim_gc_interval);
        let give_back = move || -> BoxFuture<'static, ()> { Box::pin(reaper::run(claimed.clone(), interval)) };
        tokio::spawn(control.clone().run(stop.subscribe(), kick, give_back));
        let (server, stopped) = (self.clone(), stop.subscribe());
        tokio::spawn(async move { server.troubles().follow(|| server.trouble(), stopped).await });
        let mut stopping = stop.subscribe();
        let routes = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(PING.0))
            .http2_keepalive_timeout(Some(PING.1))
            .add_service(AgentService::new(host.clone(), web::router(self.clone())).into_server())
            .add_service(PeerService::new(host.clone(), crate::http::router(self.clone())).into_server())
            .add_service(consensus.service().into_server());
        let doors = Doors::new(options.rpc_max_conns_per_client, options.rpc_max_conns);
        let incoming = guests::incoming(listener, doors, options.tls.clone(), options.rpc_handshake_timeout);
        tokio::spawn(async move {
            let stopped = async {
                let _ = stopping.wait_for(|s| *s).await;
            };
            // Connections are told to end, too: who had one would go on asking a server that has stopped.
            if let Err(error) = routes.serve_with_incoming_shutdown(incoming, stopped).await {
                tracing::error!(%error, "the RPC listener ended");
            }
        });
    }
}

fn how(options: &Options) -> How {
    let keyring = options.data_dir.as_ref().map(|dir| dir.join("server").join("gossip.keyring"));
    let (advertise, keys) = (options.gossip_advertise.clone(), options.gossip_keys.clone());
    How { bind: options.gossip_bind, advertise, keys, keyring }
}

/// What the others are told of this server.
fn about(options: &Options, consensus: &Consensus) -> About {
    let ServerNode { name, datacenter, rpc_addr, http_addr } = consensus.me().clone();
    About {
        id: consensus.id(),
        name,
        region: options.region.clone(),
        datacenter,
        rpc_addr,
        http_addr,
        version: tarpan_api::API_VERSION.to_owned(),
        expect: options.bootstrap_expect,
        ..About::default()
    }
}

/// What others are told: the configured address, else the bound one.
fn advertised(options: &Options, bound: SocketAddr) -> String {
    match options.rpc_advertise.as_str() {
        "" => bound.to_string(),
        configured => match configured.strip_suffix(":0") {
            // The port was the system's choice.
            Some(host) => format!("{host}:{}", bound.port()),
            None => configured.to_owned(),
        },
    }
}
