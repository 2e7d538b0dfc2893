//! The messages between agents and servers, between servers, and between an agent and its plugins, as compiled from `proto/`.
//!
//! Rows travel as MessagePack with names inside protobuf messages: see [`pack`] and [`unpack`].

mod codec;
pub mod csi;
mod host_volumes;

pub use host_volumes::{HOST_VOLUME, HostVolumeAnswer};
pub use prost::Message;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Between an agent and a server.
pub mod agent {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("tarpan.agent.v1");
}

/// Between servers.
pub mod server {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("tarpan.server.v1");
}

/// Between an agent and a plugin.
pub mod plugin {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("tarpan.plugin.v1");
}

/// Metadata of `Agents.Bulk`, `WatchService`, `Disk` and `Http`: the id of the node that asks, as text.
pub const NODE_HEADER: &str = "tarpan-node";
/// The node's secret, which only it and the servers know.
pub const SECRET_HEADER: &str = "tarpan-node-secret";

/// Where an agent answers its server, and nobody else, with what the disk of an allocation keeps.
pub fn disk_path(alloc: &str) -> String {
    format!("{DISK}/{alloc}")
}

/// [`disk_path`] without the allocation.
pub const DISK: &str = "/internal/disk";

/// Bytes of a message, or of a file, that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("decoding a {what}")]
pub struct UnpackError {
    what: &'static str,
    #[source]
    source: rmp_serde::decode::Error,
}

/// A value as MessagePack with names: new fields may be added, old readers skip them.
pub fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("model types serialise to memory")
}

/// Lists and maps inside each other. The reader goes down with them, even through what it skips, on a stack that has an end;
/// a job that came as JSON is less than half as deep.
const MAX_DEPTH: usize = 320;

/// The value back.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UnpackError> {
    let mut rows = rmp_serde::Deserializer::from_read_ref(bytes);
    rows.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut rows).map_err(|source| UnpackError { what: std::any::type_name::<T>(), source })
}

/// An error with its cause, as one sentence.
pub fn why(error: &UnpackError) -> String {
    format!("{error}: {}", error.source)
}
