//! What a server says of itself, and how gossip tells one from another.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tarpan_control::servers::ServerId;

/// A server in its own words. Fields may be added: who does not know them skips them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    pub id: ServerId,
    pub name: String,
    pub region: String,
    #[serde(rename = "dc")]
    pub datacenter: String,
    /// `host:port`
    #[serde(rename = "rpc")]
    pub rpc_addr: String,
    /// `host:port`
    #[serde(rename = "http")]
    pub http_addr: String,
    #[serde(rename = "v")]
    pub version: String,
    /// How many servers it waits for before there is a cluster; 0: it joins one that is there.
    pub expect: usize,
    /// It is part of a cluster, or was.
    #[serde(rename = "state")]
    pub has_state: bool,
    /// It is about to leave and will not come back by itself.
    #[serde(rename = "bye")]
    pub leaving: bool,
}

/// A server at an address, in one of its lives. Of two at one address the later one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Where it gossips.
    pub addr: SocketAddr,
    /// Grows with each life, and with each change of what it says.
    pub bump: u64,
    #[serde(serialize_with = "named", deserialize_with = "from_named")]
    pub about: About,
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Identity> {
        Some(Identity { bump: self.bump.saturating_add(1), ..self.clone() })
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        self.bump > adversary.bump
    }
}

/// The codec of the packets knows no names: later releases could say no more than this one.
fn named<S: Serializer>(about: &About, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&tarpan_rpc::pack(about))
}

fn from_named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<About, D::Error> {
    let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
    tarpan_rpc::unpack(&bytes).map_err(serde::de::Error::custom)
}
