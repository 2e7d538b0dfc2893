//! Whose calls are taken: those of the region's other servers, told by their certificates where these say who is one, else by their
//! addresses.

use std::sync::Arc;

use tarpan_tls::Tls;
use tarpan_tls::view::{Certified, server_name};
use tokio::sync::watch;
use tonic::{Request, Status};

use super::types::{Raft, ServerId};
use crate::guests::{GuestInfo, Servers};

/// Knows the other servers; clones know the same.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(super) raft: Raft,
    pub(super) me: ServerId,
    /// The servers, as gossip has them.
    pub(super) around: watch::Receiver<Arc<Around>>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) region: Arc<str>,
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
    /// The caller is another server of this region: its certificate says so, or, where certificates say nothing, it sits at the
    /// address of one.
    pub async fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let name = server_name(&self.region);
        match self.by_name(request, |certified| certified.is_for(&name), &name) {
            Some(known) => known,
            None => self.among(request, self.others(), Servers::Own).await,
        }
    }

    /// The same, of any region.
    pub async fn check_kin<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if let Some(known) = self.by_name(request, Certified::is_for_a_server, "a server of any region") {
            return known;
        }
        let mut all = self.others();
        all.extend(self.around.borrow().elsewhere.iter().cloned());
        self.among(request, all, Servers::Kin).await
    }

    /// What the caller's certificate makes of it; `None`: certificates do not say who is a server, or it showed none because it is
    /// still let in without TLS.
    fn by_name<T>(
        &self,
        request: &Request<T>,
        is: impl Fn(&Certified) -> bool,
        wanted: &str,
    ) -> Option<Result<(), Status>> {
        let tls = self.tls.as_ref().filter(|tls| tls.names_count())?;
        let guest = GuestInfo::of(request)?;
        let certified = guest.certified.clone()?;
        if is(&certified) {
            guest.is_known();
            return Some(Ok(()));
        }
        let why = format!("its certificate is for {}, not for {wanted}", certified.names());
        tls.say(&format!("refused {} as a server", guest.from), &why);
        Some(Err(Status::permission_denied(why)))
    }

    async fn among<T>(&self, request: &Request<T>, addresses: Vec<String>, servers: Servers) -> Result<(), Status> {
        let guest = GuestInfo::of(request).ok_or_else(|| Status::internal("a call without a connection"))?;
        if guest.was_one_of(servers) {
            return Ok(());
        }
        for address in addresses {
            let resolved = tokio::net::lookup_host(&address).await;
            if resolved.is_ok_and(|mut all| all.any(|a| a.ip().to_canonical() == guest.from)) {
                guest.is_one_of(servers);
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
