//! The gRPC service that agents call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::Stream;
use tarpan_model::ids::{Namespace, NodeId};
use tarpan_rpc::agent::agents_server::{Agents, AgentsServer};
use tarpan_rpc::agent::{
    BulkDown, BulkUp, ClaimVolumeRequest, ClaimedVolume, DiskPart, DiskRequest, DrainRequest, DrainState, FromAgent,
    FromServer, HttpRequest, ServiceSet, SignIdentitiesRequest, SignedIdentities, WatchServiceRequest,
};
use tarpan_tls::view::{client_name, server_name};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::host::Host;
use super::{Down, bulk, claims, disks, drain, identities, register, session};
use crate::forwarded;
use crate::guests::GuestInfo;
use crate::watch::Watch;

/// Largest message of an agent: a forwarded upload is the largest.
const MAX_MESSAGE: usize = 64 << 20;
const CHUNKS: usize = 16;

/// Pieces of a disk as they come.
type DiskParts = Pin<Box<dyn Stream<Item = Result<DiskPart, Status>> + Send>>;

/// Answers agents.
#[derive(Clone)]
pub(crate) struct AgentService {
    host: Arc<Host>,
    router: axum::Router,
}

impl AgentService {
    /// `router`: answers requests that agents forward.
    pub fn new(host: Arc<Host>, router: axum::Router) -> AgentService {
        AgentService { host, router }
    }

    /// Where certificates say what their holders are: the caller's is one of the region's clients, or servers.
    fn by_name<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let options = self.host.consensus.options();
        let (Some(tls), Some(guest)) = (options.tls.as_ref().filter(|tls| tls.names_count()), GuestInfo::of(request))
        else {
            return Ok(());
        };
        let (client, server) = (client_name(&options.region), server_name(&options.region));
        match &guest.certified {
            Some(certified) if !certified.is_for(&client) && !certified.is_for(&server) => {
                let why = format!("its certificate is for {}, not for {client} or {server}", certified.names());
                tls.say(&format!("refused {} as an agent", guest.from), &why);
                Err(Status::permission_denied(why))
            }
            _ => Ok(()),
        }
    }

    /// The caller is the agent of a node that has introduced itself: it knows the node's secret.
    fn known_node<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        self.by_name(request)?;
        let id = |name| {
            let text = request.metadata().get(name).and_then(|v| v.to_str().ok());
            text.and_then(|t| t.parse::<uuid::Uuid>().ok())
        };
        let (Some(node), Some(secret)) = (id(tarpan_rpc::NODE_HEADER), id(tarpan_rpc::SECRET_HEADER)) else {
            return Err(Status::unauthenticated("only the agents of registered nodes may ask this"));
        };
        register::check_caller(&self.host.state(), NodeId(node), secret)?;
        if let Some(guest) = GuestInfo::of(request) {
            guest.is_known();
        }
        Ok(NodeId(node))
    }

    pub fn into_server(self) -> AgentsServer<AgentService> {
        AgentsServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }
}

/// What waits for an agent, as the stream of its session. The first message is the welcome: the agent has made itself known.
pub(crate) struct Downs {
    waiting: mpsc::Receiver<Down>,
    guest: Option<GuestInfo>,
}

impl Stream for Downs {
    type Item = Result<FromServer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.waiting.poll_recv(cx).map(|down| down.map(|down| *down));
        if let Poll::Ready(Some(Ok(_))) = &next
            && let Some(guest) = self.guest.take()
        {
            guest.is_known();
        }
        next
    }
}

#[tonic::async_trait]
impl Agents for AgentService {
    type SessionStream = Downs;
    type BulkStream = ReceiverStream<Result<BulkDown, Status>>;
    type WatchServiceStream = ReceiverStream<Result<ServiceSet, Status>>;
    type DiskStream = DiskParts;
    type HttpStream = forwarded::Parts;

    async fn session(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::SessionStream>, Status> {
        self.by_name(&request)?;
        let (down, receiver) = mpsc::channel(session::DOWN_QUEUE);
        let guest = GuestInfo::of(&request);
        tokio::spawn(session::run(self.host.clone(), request.into_inner(), down));
        Ok(Response::new(Downs { waiting: receiver, guest }))
    }

    async fn bulk(&self, request: Request<Streaming<BulkUp>>) -> Result<Response<Self::BulkStream>, Status> {
        self.known_node(&request)?;
        let (down, receiver) = mpsc::channel(CHUNKS);
        let (host, up) = (self.host.clone(), request.into_inner());
        tokio::spawn(async move {
            if let Err(status) = bulk::answer(&host, up, down.clone()).await {
                let _ = down.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn watch_service(
        &self,
        request: Request<WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        self.known_node(&request)?;
        let (down, receiver) = mpsc::channel(2);
        tokio::spawn(watch_service(self.host.clone(), request.into_inner(), down));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn sign_identities(
        &self,
        request: Request<SignIdentitiesRequest>,
    ) -> Result<Response<SignedIdentities>, Status> {
        let node = self.known_node(&request)?;
        identities::sign(&self.host, node, &request.into_inner()).map(Response::new)
    }

    async fn disk(&self, request: Request<DiskRequest>) -> Result<Response<Self::DiskStream>, Status> {
        let node = self.known_node(&request)?;
        let parts = disks::open(&self.host, node, &request.into_inner()).await?;
        Ok(Response::new(Box::pin(parts)))
    }

    async fn claim_volume(&self, request: Request<ClaimVolumeRequest>) -> Result<Response<ClaimedVolume>, Status> {
        let node = self.known_node(&request)?;
        claims::claim(&self.host, node, &request.into_inner()).await.map(Response::new)
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainState>, Status> {
        let node = self.known_node(&request)?;
        drain::drain(&self.host, node, request.into_inner()).await.map(Response::new)
    }

    async fn http(&self, request: Request<HttpRequest>) -> Result<Response<forwarded::Parts>, Status> {
        self.known_node(&request)?;
        Ok(Response::new(forwarded::answer(&self.router, request.into_inner()).await?))
    }
}

/// Sends the instances of a service, now and after each change, until the agent goes.
async fn watch_service(host: Arc<Host>, asked: WatchServiceRequest, down: mpsc::Sender<Result<ServiceSet, Status>>) {
    let namespace = Namespace::new(&asked.namespace);
    let watch = [Watch::Service((namespace.clone(), asked.name.as_str().into()))];
    let mut state = host.state();
    let mut last: Option<Bytes> = None;
    loop {
        let rows: Vec<_> = state.service(&namespace, &asked.name).collect();
        let services = Bytes::from(tarpan_rpc::pack(&rows));
        if last.as_ref() != Some(&services) {
            last = Some(services.clone());
            if down.send(Ok(ServiceSet { services })).await.is_err() {
                return;
            }
        }
        let far = Instant::now() + std::time::Duration::from_secs(86_400);
        let past = state.index();
        state = tokio::select! {
            state = host.published.wait(&watch, past, far) => state,
            () = down.closed() => return,
        };
    }
}
