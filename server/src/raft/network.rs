//! Raft between servers, over gRPC: messages of the raft library as MessagePack with names.

use std::future::Future;
use std::io::Read;

use bytes::Bytes;
use futures::StreamExt;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_rpc::server::RaftBytes;
use tarpan_rpc::server::raft_client::RaftClient;
use tonic::transport::{Channel, Endpoint};

use super::types::{ServerId, ServerNode, SnapshotMeta, Types, Vote};

/// Largest message a server takes.
pub const MAX_MESSAGE: usize = 128 << 20;
/// Bytes of a snapshot in one message.
const CHUNK: usize = 1 << 20;

type Rpc<T> = Result<T, RPCError<ServerId, ServerNode, RaftError<ServerId>>>;

/// Makes clients of other servers.
pub struct Network;

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: ServerId, node: &ServerNode) -> Peer {
        Peer { target, client: client(&node.rpc_addr) }
    }
}

/// A client that connects when it is first used; `None` when the address makes no sense.
pub fn client(rpc_addr: &str) -> Option<RaftClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{rpc_addr}")).ok()?;
    let channel = endpoint.tcp_nodelay(true).connect_lazy();
    Some(RaftClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
}

/// The first message of a snapshot; the file's bytes follow.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct SnapshotHead {
    pub vote: Vote,
    pub meta: SnapshotMeta,
}

/// One other server.
pub struct Peer {
    target: ServerId,
    client: Option<RaftClient<Channel>>,
}

impl Peer {
    fn connected(&self) -> Result<RaftClient<Channel>, Unreachable> {
        self.client.clone().ok_or_else(|| Unreachable::new(&std::io::Error::other("its RPC address is not one")))
    }
}

pub fn message<T: Serialize>(value: &T) -> RaftBytes {
    RaftBytes { data: Bytes::from(tarpan_rpc::pack(value)) }
}

pub fn read<T: DeserializeOwned>(message: &RaftBytes) -> Result<T, tarpan_rpc::UnpackError> {
    tarpan_rpc::unpack(&message.data)
}

/// What the other side answered: its result, or why there is none.
fn answered<T: DeserializeOwned>(
    target: ServerId,
    answer: Result<tonic::Response<RaftBytes>, tonic::Status>,
) -> Rpc<T> {
    let answer = answer.map_err(|status| RPCError::Unreachable(Unreachable::new(&status)))?;
    let result: Result<T, RaftError<ServerId>> =
        read(answer.get_ref()).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
    result.map_err(|e| RPCError::RemoteError(RemoteError::new(target, e)))
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<ServerId>> {
        let mut request = tonic::Request::new(message(&rpc));
        request.set_timeout(option.hard_ttl());
        answered(self.target, self.connected()?.append_entries(request).await)
    }

    async fn vote(&mut self, rpc: VoteRequest<ServerId>, option: RPCOption) -> Rpc<VoteResponse<ServerId>> {
        let mut request = tonic::Request::new(message(&rpc));
        request.set_timeout(option.hard_ttl());
        answered(self.target, self.connected()?.vote(request).await)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<ServerId>, StreamingError<Types, Fatal<ServerId>>> {
        let head = message(&SnapshotHead { vote, meta: snapshot.meta });
        let mut file = *snapshot.snapshot;
        let chunks = std::iter::from_fn(move || {
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk).ok().filter(|n| *n > 0)?;
            chunk.truncate(length);
            Some(RaftBytes { data: chunk.into() })
        });
        let mut client = self.connected()?;
        let sending = client.install_snapshot(futures::stream::iter([head]).chain(futures::stream::iter(chunks)));
        let answer = tokio::select! {
            closed = cancel => return Err(closed.into()),
            answer = sending => answer.map_err(|status| Unreachable::new(&status))?,
        };
        let result: Result<SnapshotResponse<ServerId>, Fatal<ServerId>> =
            read(answer.get_ref()).map_err(|e| NetworkError::new(&e))?;
        result.map_err(|e| RemoteError::new(self.target, e).into())
    }
}
