//! Raft's gRPC side: what other servers ask of this one.

use std::io::Write;

use bytes::Bytes;
use openraft::error::{Fatal, RaftError};
use tarpan_rpc::server::RaftBytes;
use tarpan_rpc::server::raft_server::{Raft as RaftRpc, RaftServer};
use tarpan_state::{Envelope, Reply};
use tonic::{Request, Response, Status, Streaming};

use super::batch::{Batcher, NotWritten};
use super::network::{self, SnapshotHead, message, read};
use super::types::{Raft, ServerId, Snapshot};
use crate::errors::ProposeError;
use crate::guests::GuestInfo;

/// Answers other servers.
#[derive(Clone)]
pub(crate) struct RaftService {
    raft: Raft,
    batcher: Batcher,
    me: ServerId,
}

impl RaftService {
    pub fn new(raft: Raft, batcher: Batcher, me: ServerId) -> RaftService {
        RaftService { raft, batcher, me }
    }

    /// The caller sits at the address of another server of this cluster. That is all that can be known without certificates.
    async fn peer<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let guest = GuestInfo::of(request).ok_or_else(|| Status::internal("a call without a connection"))?;
        if guest.was_a_server() {
            return Ok(());
        }
        for address in self.others() {
            let resolved = tokio::net::lookup_host(&address).await;
            if resolved.is_ok_and(|mut all| all.any(|a| a.ip().to_canonical() == guest.from)) {
                guest.is_a_server();
                return Ok(());
            }
        }
        Err(Status::permission_denied(format!("{} is not the address of another server of this cluster", guest.from)))
    }

    /// `host:port` of every other server of the cluster.
    fn others(&self) -> Vec<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let nodes = metrics.membership_config.membership().nodes();
        nodes.filter(|(id, _)| **id != self.me).map(|(_, node)| node.rpc_addr.clone()).collect()
    }

    pub fn into_server(self) -> RaftServer<RaftService> {
        RaftServer::new(self)
            .max_decoding_message_size(network::MAX_MESSAGE)
            .max_encoding_message_size(network::MAX_MESSAGE)
    }
}

/// Has the leader commit an encoded command.
pub async fn forward(raft: &Raft, encoded: Bytes) -> Result<(u64, Reply), Status> {
    let address = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader.ok_or_else(|| Status::unavailable("no leader"))?;
        metrics.membership_config.membership().get_node(&leader).map(|n| n.rpc_addr.clone())
    };
    let client = address.and_then(|a| network::client(&a));
    let mut client = client.ok_or_else(|| Status::unavailable("the leader's address is not known"))?;
    let answer = client.propose(RaftBytes { data: encoded }).await?;
    read(answer.get_ref()).map_err(|e| Status::internal(e.to_string()))
}

fn bad(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl RaftRpc for RaftService {
    async fn append_entries(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.peer(&request).await?;
        let rpc = read(request.get_ref()).map_err(bad)?;
        let result: Result<_, RaftError<ServerId>> = self.raft.append_entries(rpc).await;
        Ok(Response::new(message(&result)))
    }

    async fn vote(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.peer(&request).await?;
        let rpc = read(request.get_ref()).map_err(bad)?;
        let result: Result<_, RaftError<ServerId>> = self.raft.vote(rpc).await;
        Ok(Response::new(message(&result)))
    }

    async fn install_snapshot(&self, request: Request<Streaming<RaftBytes>>) -> Result<Response<RaftBytes>, Status> {
        self.peer(&request).await?;
        let mut parts = request.into_inner();
        let head = parts.message().await?.ok_or_else(|| bad("an empty snapshot"))?;
        let head: SnapshotHead = read(&head).map_err(bad)?;
        let file = self.raft.begin_receiving_snapshot().await.map_err(|e| Status::internal(e.to_string()))?;
        let mut file = *file;
        while let Some(part) = parts.message().await? {
            file.write_all(&part.data).map_err(|e| Status::internal(e.to_string()))?;
        }
        let snapshot = Snapshot { meta: head.meta, snapshot: Box::new(file) };
        let result: Result<_, Fatal<ServerId>> = self.raft.install_full_snapshot(head.vote, snapshot).await;
        Ok(Response::new(message(&result)))
    }

    async fn propose(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.peer(&request).await?;
        let encoded = request.into_inner().data;
        let envelope: Envelope = tarpan_rpc::unpack(&encoded).map_err(bad)?;
        match self.batcher.write(envelope, encoded).await {
            Ok(done) => Ok(Response::new(message(&done))),
            Err(NotWritten::NotLeader) => Err(Status::failed_precondition("not the leader")),
            Err(NotWritten::Failed(ProposeError::NoRoom(why))) => Err(Status::resource_exhausted(&*why)),
            Err(NotWritten::Failed(error)) => Err(Status::internal(error.to_string())),
        }
    }
}
