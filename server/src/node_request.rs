//! A `/v1` request answered by a node, carried through the node's own session.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use tarpan_model::NodeId;
use tokio::sync::mpsc;

/// Bytes as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// What the node answered. Dropping it tells the node that nobody listens any more.
pub struct NodeResponse {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: ByteStream,
    /// Bytes for the node after the request: frames of an exec session. Dropping it closes that direction only.
    pub send: mpsc::Sender<Bytes>,
}

/// Why a node did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRequestError {
    #[error("Unknown node {0}")]
    UnknownNode(NodeId),
    /// It has no session with this server.
    #[error("No path to node")]
    NoPath(NodeId),
    /// The agent refused or failed: an HTTP status and a sentence.
    #[error("{message}")]
    Agent { status: u16, message: String },
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
}
