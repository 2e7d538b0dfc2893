//! Raft between servers, over gRPC: messages of the raft library as MessagePack with names, entries as the log has them.

use std::future::Future;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use openraft::error::{
    Fatal, NetworkError, PayloadTooLarge, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{ErrorSubject, OptionalSend, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_rpc::server::raft_client::RaftClient;
use tarpan_rpc::server::{AppendRequest, RaftBytes};
use tokio::time::Instant;
use tonic::transport::Channel;

use super::links::{Links, Use};
use super::log::{self, LogStore};
use super::types::{Entry, ServerId, ServerNode, SnapshotMeta, Types, Vote};

/// Bytes of entries in one message; an entry that is larger travels alone.
const MAX_ENTRIES: usize = 4 << 20;
/// From one try to reach a server to the next. The library's half a second is as long as a lease: one lost heartbeat would cost a leader
/// its followers.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes of a snapshot in one message.
const CHUNK: usize = 1 << 20;

type Rpc<T> = Result<T, RPCError<ServerId, ServerNode, RaftError<ServerId>>>;

/// Makes clients of other servers.
pub struct Network {
    pub links: Links,
    pub store: LogStore,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: ServerId, node: &ServerNode) -> Peer {
        Peer {
            target,
            rpc_addr: node.rpc_addr.clone(),
            links: self.links.clone(),
            store: self.store.clone(),
            pace: Pace::default(),
        }
    }
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
    rpc_addr: String,
    links: Links,
    store: LogStore,
    pace: Pace,
}

/// How many entries the other side takes in the time that an answer may take, which is short: that of a heartbeat. What was not answered
/// comes again, and would be as late again if it were as much.
struct Pace {
    most: usize,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { most: usize::MAX }
    }
}

impl Pace {
    /// May so many be sent? Until [`Pace::taken`] half of them is the most: who stops waiting for the answer does not say so.
    fn send(&mut self, entries: usize) -> Result<(), PayloadTooLarge> {
        if entries > self.most {
            return Err(PayloadTooLarge::new_entries_hint(self.most as u64));
        }
        if entries > 0 {
            self.most = (entries / 2).max(1);
        }
        Ok(())
    }

    /// So many were taken in time.
    fn taken(&mut self, entries: usize) {
        if entries > 0 {
            self.most = entries.saturating_mul(2);
        }
    }
}

impl Peer {
    fn connected(&self, purpose: Use) -> Result<RaftClient<Channel>, Unreachable> {
        let error = || Unreachable::new(&std::io::Error::other(format!("{} is no address", self.rpc_addr)));
        self.links.to(&self.rpc_addr, purpose).ok_or_else(error)
    }

    /// What the other side answered: its result, or why there is none.
    fn answered<T: DeserializeOwned>(&self, answer: Result<tonic::Response<RaftBytes>, tonic::Status>) -> Rpc<T> {
        let answer = answer.map_err(|status| RPCError::Unreachable(Unreachable::new(&status)))?;
        let result: Result<T, RaftError<ServerId>> =
            read(answer.get_ref()).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        self.links.heard(self.target);
        result.map_err(|e| RPCError::RemoteError(RemoteError::new(self.target, e)))
    }
}

pub fn message<T: Serialize>(value: &T) -> RaftBytes {
    RaftBytes { data: Bytes::from(tarpan_rpc::pack(value)) }
}

pub fn read<T: DeserializeOwned>(message: &RaftBytes) -> Result<T, tarpan_rpc::UnpackError> {
    tarpan_rpc::unpack(&message.data)
}

/// The bytes of `entries`, as many as one message carries.
fn carried(entries: Vec<Bytes>) -> Result<Vec<Bytes>, PayloadTooLarge> {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += entry.len();
        bytes <= MAX_ENTRIES
    });
    match fits.count() {
        fits if fits == entries.len() || entries.len() == 1 => Ok(entries),
        fits => Err(PayloadTooLarge::new_entries_hint(fits.max(1) as u64)),
    }
}

/// The request that a message holds.
pub fn append_request(message: &AppendRequest) -> Result<AppendEntriesRequest<Types>, String> {
    let mut request: AppendEntriesRequest<Types> =
        tarpan_rpc::unpack(&message.head).map_err(|e| tarpan_rpc::why(&e))?;
    let entry = |bytes: &Bytes| log::decode::<Entry>(bytes, ErrorSubject::Logs).map_err(|e| e.to_string());
    request.entries = message.entries.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(request)
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<ServerId>> {
        let entries = carried(self.store.packed(&std::mem::take(&mut rpc.entries)))?;
        let count = entries.len();
        self.pace.send(count)?;
        let mut request = tonic::Request::new(AppendRequest { head: tarpan_rpc::pack(&rpc).into(), entries });
        request.set_timeout(option.hard_ttl());
        let sent = Instant::now();
        let answer = self.answered(self.connected(Use::Words)?.append_entries(request).await)?;
        self.pace.taken(count);
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            self.links.taken(self.target, sent);
        }
        Ok(answer)
    }

    async fn vote(&mut self, rpc: VoteRequest<ServerId>, option: RPCOption) -> Rpc<VoteResponse<ServerId>> {
        let mut request = tonic::Request::new(message(&rpc));
        request.set_timeout(option.hard_ttl());
        self.answered(self.connected(Use::Words)?.vote(request).await)
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(AGAIN))
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
        let mut client = self.connected(Use::Snapshots)?;
        let sending = client.install_snapshot(futures::stream::iter([head]).chain(futures::stream::iter(chunks)));
        let answer = tokio::select! {
            closed = cancel => return Err(closed.into()),
            answer = sending => answer.map_err(|status| Unreachable::new(&status))?,
        };
        let result: Result<SnapshotResponse<ServerId>, Fatal<ServerId>> =
            read(answer.get_ref()).map_err(|e| NetworkError::new(&e))?;
        self.links.heard(self.target);
        result.map_err(|e| RemoteError::new(self.target, e).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_comes_again_as_less() {
        let mut pace = Pace::default();
        let sent = |pace: &mut Pace, n| pace.send(n).map_err(|e| e.entries_hint());
        assert_eq!(sent(&mut pace, 300), Ok(()));
        assert_eq!(sent(&mut pace, 300), Err(150), "nobody said that it was taken");
        assert_eq!(sent(&mut pace, 0), Ok(()));
        pace.taken(0);
        assert_eq!(sent(&mut pace, 151), Err(150), "a heartbeat says nothing of it");
        assert_eq!(sent(&mut pace, 150), Ok(()));
        pace.taken(150);
        assert_eq!(sent(&mut pace, 301), Err(300));
        for _ in 0..20 {
            let _ = sent(&mut pace, 1);
        }
        assert_eq!(sent(&mut pace, 1), Ok(()), "one goes always");
    }

    #[test]
    fn a_message_carries_as_many_entries_as_have_room() {
        let entries = |sizes: &[usize]| sizes.iter().map(|n| Bytes::from(vec![0; *n])).collect::<Vec<_>>();
        let hint = |sizes: &[usize]| carried(entries(sizes)).map(|all| all.len()).map_err(|e| e.entries_hint());
        let half = MAX_ENTRIES / 2;
        assert_eq!(hint(&[]), Ok(0));
        assert_eq!(hint(&[half, half]), Ok(2));
        assert_eq!(hint(&[half, half, 1]), Err(2));
        assert_eq!(hint(&[MAX_ENTRIES + 1]), Ok(1), "it has to go somehow");
        assert_eq!(hint(&[MAX_ENTRIES + 1, 1]), Err(1));
    }
}
