//! Raft's gRPC side: what other servers ask of this one.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use openraft::error::{Fatal, RaftError};
use openraft::raft::{AppendEntriesResponse, VoteRequest};
use tarpan_rpc::server::raft_server::{Raft as RaftRpc, RaftServer};
use tarpan_rpc::server::{AppendRequest, RaftBytes};
use tarpan_state::{Command, Envelope, Reply};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::admission::Admission;
use super::batch::{Batcher, NotWritten};
use super::links::{Links, MAX_MESSAGE, Use};
use super::log::LogStore;
use super::lookout;
use super::membership::Promises;
use super::network::{SnapshotHead, append_request, message, read};
use super::types::{Known, Raft, ServerId, Snapshot, Vote, shown_id};
use super::{LEADER_PATIENCE, RESTORE_PATIENCE};
use crate::errors::ProposeError;
use crate::publish::Published;

/// Answers other servers.
#[derive(Clone)]
pub(crate) struct RaftService {
    pub(super) raft: Raft,
    pub(super) batcher: Batcher,
    pub(super) admission: Admission,
    pub(super) links: Links,
    pub(super) promises: Promises,
    pub(super) store: LogStore,
    pub(super) published: Arc<Published>,
    /// Servers of a cluster that was recovered without them.
    pub(super) former: BTreeSet<ServerId>,
}

impl RaftService {
    /// A server of the cluster as it was before it was recovered without that one: it would have this one follow it, back to what was.
    fn refuse_former(&self, leader: ServerId) -> Result<(), Status> {
        if !self.former.contains(&leader) {
            return Ok(());
        }
        let metrics = self.raft.server_metrics();
        match metrics.borrow().membership_config.membership().get_node(&leader) {
            Some(_) => Ok(()),
            None => {
                Err(Status::permission_denied(format!("the cluster was recovered without server {}", shown_id(leader))))
            }
        }
    }

    /// Takes a word of a leader for a sign of its life; `false`: this server knows of a later one.
    fn hears(&self, vote: &Vote) -> bool {
        let follows = vote.is_committed() && *vote >= self.raft.metrics().borrow().vote;
        if follows {
            self.links.led(vote.leader_id().node_id);
        }
        follows
    }

    pub fn into_server(self) -> RaftServer<RaftService> {
        RaftServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }
}

/// Has the leader commit an encoded command, before `deadline`.
pub async fn forward(raft: &Raft, links: &Links, encoded: Bytes, deadline: Instant) -> Result<(u64, Reply), Status> {
    let address = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader.ok_or_else(|| Status::unavailable("no leader"))?;
        metrics.membership_config.membership().get_node(&leader).map(|n| n.rpc_addr.clone())
    };
    let client = address.and_then(|a| links.to(&a, Use::Words));
    let mut client = client.ok_or_else(|| Status::unavailable("the leader's address is not known"))?;
    let mut request = Request::new(RaftBytes { data: encoded });
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    let answer = client.propose(request).await?;
    read(answer.get_ref()).map_err(|e| Status::internal(e.to_string()))
}

fn bad(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl RaftRpc for RaftService {
    async fn append_entries(&self, request: Request<AppendRequest>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let rpc = append_request(request.get_ref()).map_err(bad)?;
        let leader = rpc.vote.leader_id().node_id;
        self.refuse_former(leader)?;
        // Before it is written, which may take longer than a leader is waited for.
        self.hears(&rpc.vote);
        let result: Result<AppendEntriesResponse<ServerId>, RaftError<ServerId>> = self.raft.append_entries(rpc).await;
        if !matches!(&result, Ok(AppendEntriesResponse::HigherVote(_)) | Err(_)) {
            self.links.led(leader);
        }
        Ok(Response::new(message(&result)))
    }

    async fn vote(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let rpc: VoteRequest<ServerId> = read(request.get_ref()).map_err(bad)?;
        self.refuse_former(rpc.vote.leader_id().node_id)?;
        let result: Result<_, RaftError<ServerId>> = self.raft.vote(rpc).await;
        Ok(Response::new(message(&result)))
    }

    async fn install_snapshot(&self, request: Request<Streaming<RaftBytes>>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let mut parts = request.into_inner();
        let head = parts.message().await?.ok_or_else(|| bad("an empty snapshot"))?;
        let head: SnapshotHead = read(&head).map_err(bad)?;
        let leader = head.vote.leader_id().node_id;
        self.refuse_former(leader)?;
        let file = self.raft.begin_receiving_snapshot().await.map_err(|e| Status::internal(e.to_string()))?;
        let mut file = *file;
        while let Some(part) = parts.message().await? {
            self.links.led(leader);
            file.write_all(&part.data).map_err(|e| Status::internal(e.to_string()))?;
        }
        let snapshot = Snapshot { meta: head.meta, snapshot: Box::new(file) };
        let result: Result<_, Fatal<ServerId>> = self.raft.install_full_snapshot(head.vote, snapshot).await;
        Ok(Response::new(message(&result)))
    }

    async fn form(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let voters = read(request.get_ref()).map_err(bad)?;
        Ok(Response::new(message(&self.promises.agrees(&voters).await)))
    }

    async fn history(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let state = self.published.state();
        let known: Known = (state.index(), state.lineage().newest().to_vec());
        Ok(Response::new(message(&known)))
    }

    async fn leads(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let vote: Vote = read(request.get_ref()).map_err(bad)?;
        self.refuse_former(vote.leader_id().node_id)?;
        Ok(Response::new(message(&self.hears(&vote))))
    }

    async fn ballot(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let ballot = read(request.get_ref()).map_err(bad)?;
        Ok(Response::new(message(&lookout::would(&self.raft, &self.store, &self.links, &ballot))))
    }

    async fn propose(&self, request: Request<RaftBytes>) -> Result<Response<RaftBytes>, Status> {
        self.admission.check(&request).await?;
        let encoded = request.into_inner().data;
        let envelope: Envelope = tarpan_rpc::unpack(&encoded).map_err(bad)?;
        let restores = matches!(envelope.command, Command::FinishRestore { .. });
        let patience = if restores { RESTORE_PATIENCE } else { LEADER_PATIENCE };
        match self.batcher.write(envelope, encoded, Instant::now() + patience).await {
            Ok(done) => Ok(Response::new(message(&done))),
            Err(NotWritten::NotLeader) => Err(Status::failed_precondition("not the leader")),
            Err(NotWritten::Failed(ProposeError::NoRoom(why))) => Err(Status::resource_exhausted(&*why)),
            Err(NotWritten::Failed(error @ ProposeError::NoMajority)) => {
                Err(Status::deadline_exceeded(error.to_string()))
            }
            Err(NotWritten::Failed(error)) => Err(Status::internal(error.to_string())),
        }
    }
}
