//! The gRPC service that agents call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tarpan_model::ids::{Namespace, NodeId};
use tarpan_rpc::agent::agents_server::{Agents, AgentsServer};
use tarpan_rpc::agent::{
    BulkDown, BulkUp, FromAgent, FromServer, HttpHead, HttpPart, HttpRequest, ServiceSet, SignIdentitiesRequest,
    SignedIdentities, WatchServiceRequest, http_part,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tower::ServiceExt;

use super::host::Host;
use super::{Down, bulk, identities, register, session};
use crate::guests::GuestInfo;
use crate::watch::Watch;

/// Largest message of an agent: a forwarded upload is the largest.
const MAX_MESSAGE: usize = 64 << 20;
const CHUNKS: usize = 16;

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

    /// The caller is the agent of a node that has introduced itself: it knows the node's secret.
    fn known_node<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
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

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for AgentService {
    type SessionStream = Downs;
    type BulkStream = ReceiverStream<Result<BulkDown, Status>>;
    type WatchServiceStream = ReceiverStream<Result<ServiceSet, Status>>;
    type HttpStream = Answers<HttpPart>;

    async fn session(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::SessionStream>, Status> {
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

    async fn http(&self, request: Request<HttpRequest>) -> Result<Response<Self::HttpStream>, Status> {
        self.known_node(&request)?;
        let request = into_http(request.into_inner())?;
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let (head, body) = answer.into_parts();
        let head = HttpHead {
            status: head.status.as_u16().into(),
            headers: head
                .headers
                .iter()
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
        };
        let head = Ok(HttpPart { body: Some(http_part::Body::Head(head)) });
        let data = body.into_data_stream().map(|chunk| match chunk {
            Ok(data) => Ok(HttpPart { body: Some(http_part::Body::Data(data)) }),
            Err(error) => Err(Status::internal(error.to_string())),
        });
        Ok(Response::new(Box::pin(futures::stream::iter([head]).chain(data))))
    }
}

fn into_http(request: HttpRequest) -> Result<http::Request<Body>, Status> {
    let bad = |e: http::Error| Status::invalid_argument(e.to_string());
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(request.path.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(request.body)).map_err(bad)
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
