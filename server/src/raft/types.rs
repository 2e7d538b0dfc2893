//! The types raft is made of here: what an entry carries, what applying answers, who a server is.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tarpan_state::{Envelope, Reply};

/// Number of a server in the raft configuration: drawn once a data directory, never used again.
pub type ServerId = u64;

/// A server's number as others are shown it, who expect a UUID.
pub fn shown_id(id: ServerId) -> String {
    uuid::Uuid::from_u64_pair(id, 0).to_string()
}

/// That number again, in that form or in plain digits.
pub fn read_id(text: &str) -> Option<ServerId> {
    let uuid = || uuid::Uuid::parse_str(text).ok().filter(|id| id.as_u64_pair().1 == 0);
    text.parse().ok().or_else(|| Some(uuid()?.as_u64_pair().0))
}

openraft::declare_raft_types!(
    /// Ties the parts together for openraft.
    pub Types:
        D = Commands,
        R = Replies,
        NodeId = ServerId,
        Node = ServerNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = std::fs::File,
        AsyncRuntime = openraft::TokioRuntime,
);

pub type Raft = openraft::Raft<Types>;
pub type LogId = openraft::LogId<ServerId>;
pub type Vote = openraft::Vote<ServerId>;
pub type Membership = openraft::StoredMembership<ServerId, ServerNode>;
pub type StorageError = openraft::StorageError<ServerId>;
pub type SnapshotMeta = openraft::SnapshotMeta<ServerId, ServerNode>;
pub type Snapshot = openraft::Snapshot<Types>;
pub type Entry = openraft::Entry<Types>;

/// A server, as the raft configuration holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNode {
    pub name: String,
    pub datacenter: String,
    /// `host:port`
    pub rpc_addr: String,
    /// `host:port`
    pub http_addr: String,
}

/// What one entry carries: commands that are applied in order, each on its own.
///
/// Stored as a list of byte strings, each an [`Envelope`] in MessagePack with names. The leader that encoded them keeps
/// the values beside the bytes, so that applying does not decode what was just encoded.
#[derive(Clone, Default)]
pub struct Commands {
    pub envelopes: Arc<Vec<Envelope>>,
    encoded: Vec<Bytes>,
}

impl Commands {
    /// `encoded[i]` is the encoding of `envelopes[i]`.
    pub fn new(envelopes: Vec<Envelope>, encoded: Vec<Bytes>) -> Commands {
        assert_eq!(envelopes.len(), encoded.len());
        Commands { envelopes: Arc::new(envelopes), encoded }
    }

    /// The same without the bytes: for keeping in memory once they are in the log.
    pub fn values_only(&self) -> Commands {
        Commands { envelopes: self.envelopes.clone(), encoded: Vec::new() }
    }
}

/// A command's bytes as entries hold them.
pub fn encode(envelope: &Envelope) -> Bytes {
    tarpan_rpc::pack(envelope).into()
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} commands", self.envelopes.len())
    }
}

impl Serialize for Commands {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.encoded.len() == self.envelopes.len() {
            s.collect_seq(self.encoded.iter().map(|b| serde_bytes::Bytes::new(b)))
        } else {
            s.collect_seq(self.envelopes.iter().map(|e| serde_bytes::ByteBuf::from(encode(e).to_vec())))
        }
    }
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Commands, D::Error> {
        let encoded = Vec::<serde_bytes::ByteBuf>::deserialize(d)?;
        let envelopes: Result<Vec<Envelope>, _> = encoded.iter().map(|b| tarpan_rpc::unpack(b)).collect();
        let envelopes = envelopes.map_err(serde::de::Error::custom)?;
        Ok(Commands { envelopes: Arc::new(envelopes), encoded: Vec::new() })
    }
}

/// What a server has applied: up to which index, in the last of these epochs.
pub type Known = (u64, Vec<tarpan_state::Epoch>);

/// What the commands of one entry did, in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Replies {
    /// Of the state that has them.
    pub index: u64,
    pub each: Vec<Reply>,
}
