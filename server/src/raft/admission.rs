//! Whose calls are taken: those of the region's other servers, told by their addresses.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Status};

use super::types::{Raft, ServerId};
use crate::guests::GuestInfo;

/// Knows the other servers; clones know the same.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(super) raft: Raft,
    pub(super) me: ServerId,
    /// The servers, as gossip has them.
    pub(super) around: watch::Receiver<Arc<Around>>,
}

/// `host:port` of the RPC of servers that gossip knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Of this region.
    pub region: Vec<String>,
    /// Of others.
    pub elsewhere: Vec<String>,
}

impl Admission {
    /// The caller sits at the address of another server of this region. That is all that can be known without certificates.
    pub async fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.among(request, self.others()).await
    }

    /// The same, of any region.
    pub async fn check_kin<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut all = self.others();
        all.extend(self.around.borrow().elsewhere.iter().cloned());
        self.among(request, all).await
    }

    async fn among<T>(&self, request: &Request<T>, servers: Vec<String>) -> Result<(), Status> {
        let guest = GuestInfo::of(request).ok_or_else(|| Status::internal("a call without a connection"))?;
        if guest.was_a_server() {
            return Ok(());
        }
        for address in servers {
            let resolved = tokio::net::lookup_host(&address).await;
            if resolved.is_ok_and(|mut all| all.any(|a| a.ip().to_canonical() == guest.from)) {
                guest.is_a_server();
                return Ok(());
            }
        }
        Err(Status::permission_denied(format!("{} is not the address of another server", guest.from)))
    }

    /// `host:port` of every other server, of the cluster or about to be.
    fn others(&self) -> Vec<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let nodes = metrics.membership_config.membership().nodes();
        let others = nodes.filter(|(id, _)| **id != self.me).map(|(_, node)| node.rpc_addr.clone());
        others.chain(self.around.borrow().region.iter().cloned()).collect()
    }
}
