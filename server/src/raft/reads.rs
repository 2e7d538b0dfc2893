//! What is asked of the leader beside commands: up to which index a state holds everything that was acknowledged before (what a read that
//! may not be stale waits for), and which server holds a node's session.

use openraft::ServerState;
use openraft::error::RaftError;
use std::time::Duration;

use bytes::Bytes;
use tarpan_model::NodeId;
use tarpan_rpc::server::peers_client::PeersClient;
use tarpan_rpc::server::{Ends, Held, NodeRef, ReadIndexRequest};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::Consensus;
use super::links::Use;
use super::types::ServerId;
use crate::errors::ProposeError;

/// How long the leader has to take in what it is told, or to say what it knows.
const TELLING: Duration = Duration::from_secs(2);

impl Consensus {
    /// The index that a state must have reached, so that a read of it sees whatever was acknowledged until now. Asks the leader.
    pub async fn read_index(&self, deadline: Instant) -> Result<u64, ProposeError> {
        loop {
            let leadership = self.leadership();
            if leadership.me {
                if let Some(index) = self.own_read_index(deadline).await? {
                    return Ok(index);
                }
            } else if let Some(address) = self.leader_rpc_addr() {
                let client = self.links.peer(&address, Use::Words);
                if let Some(mut client) = client {
                    let mut request = Request::new(ReadIndexRequest {});
                    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
                    match timeout_at(deadline, client.read_index(request)).await {
                        Ok(Ok(answer)) => return Ok(answer.get_ref().index),
                        Ok(Err(error)) => tracing::debug!(%error, "asking the leader for the index to read at"),
                        Err(_) => return Err(ProposeError::NoMajority),
                    }
                }
            }
            self.leader_changed(deadline).await?;
        }
    }

    /// Tells the leader which sessions this server holds.
    pub async fn hold(&self, held: Held) -> Result<Ends, Status> {
        let mut request = Request::new(held);
        request.set_timeout(TELLING);
        Ok(self.leader()?.hold(request).await?.into_inner())
    }

    /// `host:port` of the server that holds a node's session, as the leader knows it.
    pub async fn holder(&self, node: NodeId) -> Option<String> {
        let mut request = Request::new(NodeRef { node: Bytes::copy_from_slice(node.0.as_bytes()) });
        request.set_timeout(TELLING);
        let answer = self.leader().ok()?.holder(request).await.ok()?.into_inner();
        Some(answer.rpc_addr).filter(|address| !address.is_empty())
    }

    fn leader(&self) -> Result<PeersClient<Channel>, Status> {
        let client = self.leader_rpc_addr().and_then(|address| self.links.peer(&address, Use::Words));
        client.ok_or_else(|| Status::unavailable("no leader"))
    }

    /// The same of the leader itself; `None`: this server does not lead, or not for certain yet.
    pub async fn own_read_index(&self, deadline: Instant) -> Result<Option<u64>, ProposeError> {
        let applied = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(self.id);
            let voters: Vec<ServerId> = metrics.membership_config.membership().voter_ids().collect();
            // Before an entry of its own term is applied a leader does not know what was acknowledged in earlier ones.
            let own = metrics.last_applied.filter(|id| leads && id.leader_id.term == metrics.current_term);
            own.is_some_and(|_| self.links.holds_lease(self.id, &voters))
        };
        // What is applied was published before: the index is the state's, which a restore puts ahead of the log's.
        if applied {
            return Ok(Some(self.published.state().index()));
        }
        match timeout_at(deadline, self.raft.ensure_linearizable()).await {
            Ok(Ok(_)) => Ok(Some(self.published.state().index())),
            Ok(Err(RaftError::APIError(_))) => Ok(None),
            Ok(Err(RaftError::Fatal(error))) => Err(ProposeError::Log(error.to_string())),
            Err(_) => Err(ProposeError::NoMajority),
        }
    }
}
