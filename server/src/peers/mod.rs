//! What the servers of a region ask each other beside raft: who holds which node's session, what a node answers, how new a state must be.
//!
//! `holding` is the directory of sessions, `node` carries requests to the server that holds one, `tunnel` what changes the protocol to
//! another region, [`PeerService`] answers the others.

pub(crate) mod holding;
mod node;
pub(crate) mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::{Stream, StreamExt as _};
use tarpan_model::NodeId;
use tarpan_rpc::Message as _;
use tarpan_rpc::agent::{HttpPart, HttpRequest};
use tarpan_rpc::server::peers_server::{Peers, PeersServer};
use tarpan_rpc::server::{
    Ends, Held, HolderRef, HttpAnswer, HttpCall, Index, LeadRequest, Led, NodeRef, ReadIndexRequest, ToNode,
    TunnelBytes, to_node,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::forwarded;
use crate::node_request::{NodeRequestError, NodeResponse};
use crate::raft::{Admission, Links, MAX_MESSAGE, Use};
use crate::sessions::bulk;
use crate::sessions::host::Host;

/// How long a leader has to make sure that it leads.
const SURE: Duration = Duration::from_secs(5);

/// Has a node answer a request, whichever server holds its session.
pub(crate) async fn node_request(
    host: &Host,
    node: NodeId,
    request: HttpRequest,
) -> Result<NodeResponse, NodeRequestError> {
    if host.sessions.get(node).is_some() {
        return bulk::request(host, node, request).await;
    }
    if host.state().node(node).is_none() {
        return Err(NodeRequestError::UnknownNode(node));
    }
    let consensus = &host.consensus;
    let holder = match consensus.leadership().me {
        true => host.holding.elsewhere(node).and_then(|id| consensus.rpc_addr_of(id)),
        false => consensus.holder(node).await,
    };
    match holder.filter(|address| *address != consensus.me().rpc_addr) {
        Some(address) => node::ask(consensus.links(), &address, node, request).await,
        None => Err(NodeRequestError::NoPath(node)),
    }
}

/// Has the server at `rpc_addr`, of that region, answer a request as if it had come there.
pub(crate) async fn http(
    links: &Links,
    region: &str,
    rpc_addr: &str,
    request: HttpRequest,
) -> Result<http::Response<Body>, Status> {
    let client = links.peer_in(region, rpc_addr, Use::Nodes);
    let mut client = client.ok_or_else(|| Status::unavailable(format!("{rpc_addr} is no address")))?;
    let answer = client.http(HttpCall { request: request.encode_to_vec().into() }).await?.into_inner();
    let parts = answer.map(|part| HttpPart::decode(part?.part).map_err(|e| Status::internal(e.to_string())));
    forwarded::response(Box::pin(parts)).await
}

/// Answers other servers.
#[derive(Clone)]
pub(crate) struct PeerService {
    host: Arc<Host>,
    admission: Admission,
    router: axum::Router,
}

impl PeerService {
    /// `router`: answers requests that other servers forward.
    pub fn new(host: Arc<Host>, router: axum::Router) -> PeerService {
        let admission = host.consensus.admission();
        PeerService { host, admission, router }
    }

    pub fn into_server(self) -> PeersServer<PeerService> {
        PeersServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    /// Errors where another server leads: what is asked is the leader's to know.
    fn leads(&self) -> Result<(), Status> {
        match self.host.consensus.leadership().me {
            true => Ok(()),
            false => Err(Status::failed_precondition("not the leader")),
        }
    }
}

type Answers = std::pin::Pin<Box<dyn Stream<Item = Result<HttpAnswer, Status>> + Send>>;

fn node_of(bytes: &[u8]) -> Result<NodeId, Status> {
    let id = uuid::Uuid::from_slice(bytes).map_err(|_| Status::invalid_argument("ids are 16 bytes"))?;
    Ok(NodeId(id))
}

#[tonic::async_trait]
impl Peers for PeerService {
    async fn hold(&self, request: Request<Held>) -> Result<Response<Ends>, Status> {
        self.admission.check(&request).await?;
        self.leads()?;
        Ok(Response::new(self.host.holding.take_in(request.get_ref())))
    }

    async fn holder(&self, request: Request<NodeRef>) -> Result<Response<HolderRef>, Status> {
        self.admission.check(&request).await?;
        self.leads()?;
        let (node, consensus) = (node_of(&request.get_ref().node)?, &self.host.consensus);
        let rpc_addr = match self.host.sessions.get(node) {
            Some(_) => Some(consensus.me().rpc_addr.clone()),
            None => self.host.holding.elsewhere(node).and_then(|id| consensus.rpc_addr_of(id)),
        };
        Ok(Response::new(HolderRef { rpc_addr: rpc_addr.unwrap_or_default() }))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<Index>, Status> {
        self.admission.check(&request).await?;
        let unavailable = |error: crate::ProposeError| Status::unavailable(error.to_string());
        let sure = self.host.consensus.own_read_index(Instant::now() + SURE).await.map_err(unavailable)?;
        let index = sure.ok_or_else(|| Status::failed_precondition("not the leader"))?;
        // What was acknowledged is published.
        Ok(Response::new(Index { index: index.max(self.host.state().index()) }))
    }

    async fn lead(&self, request: Request<LeadRequest>) -> Result<Response<Led>, Status> {
        self.admission.check(&request).await?;
        self.host.consensus.elect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(Led {}))
    }

    type HttpStream = Answers;

    async fn http(&self, request: Request<HttpCall>) -> Result<Response<Answers>, Status> {
        self.admission.check_kin(&request).await?;
        let asked = HttpRequest::decode(request.into_inner().request);
        let asked = asked.map_err(|e| Status::invalid_argument(e.to_string()))?;
        let parts = forwarded::answer(&self.router, asked).await?;
        Ok(Response::new(Box::pin(parts.map(|part| Ok(HttpAnswer { part: part?.encode_to_vec().into() })))))
    }

    type TunnelStream = tunnel::Said;

    async fn tunnel(&self, request: Request<Streaming<TunnelBytes>>) -> Result<Response<tunnel::Said>, Status> {
        self.admission.check_kin(&request).await?;
        Ok(Response::new(tunnel::answer(self.router.clone(), request.into_inner())))
    }

    type NodeStream = node::Parts;

    async fn node(&self, request: Request<Streaming<ToNode>>) -> Result<Response<node::Parts>, Status> {
        self.admission.check(&request).await?;
        let mut up = request.into_inner();
        let Some(to_node::Body::Ask(ask)) = up.message().await?.and_then(|m| m.body) else {
            return Err(Status::invalid_argument("the first message asks"));
        };
        let asked = HttpRequest::decode(ask.request).map_err(|e| Status::invalid_argument(e.to_string()))?;
        // Here and nowhere else: a session that has moved on is found anew by who asks again.
        let answered = bulk::request(&self.host, node_of(&ask.node)?, asked).await;
        Ok(Response::new(node::answer(answered, up)))
    }
}
