//! Requests to nodes that wait for their answers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tarpan_model::NodeId;
use tokio::sync::oneshot;

use crate::node_request::{NodeRequestError, NodeResponse};

pub(crate) type Answer = Result<NodeResponse, NodeRequestError>;

/// Requests that wait for their node.
#[derive(Default)]
pub(crate) struct Streams {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, (NodeId, oneshot::Sender<Answer>)>>,
}

impl Streams {
    pub fn wait(&self, node: NodeId) -> (u64, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.waiting.lock().expect("no panic while held").insert(id, (node, answer));
        (id, answered)
    }

    /// Takes the waiting request, if it is this node's.
    pub fn take(&self, id: u64, node: NodeId) -> Option<oneshot::Sender<Answer>> {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.get(&id).filter(|(asked, _)| *asked == node)?;
        waiting.remove(&id).map(|(_, answer)| answer)
    }

    /// The agent can't answer.
    pub fn failed(&self, id: u64, node: NodeId, code: u32, message: String) {
        if let Some(answer) = self.take(id, node) {
            let status = u16::try_from(code).unwrap_or(500);
            let _ = answer.send(Err(NodeRequestError::Agent { status, message }));
        }
    }
}
