//! What sessions of agents have of their server.

use std::sync::Arc;
use std::time::Duration;

use tarpan_state::{Command, Reply, State};
use tokio::time::Instant;

use super::Sessions;
use super::reports::Reports;
use super::streams::Streams;
use crate::control::Control;
use crate::errors::ProposeError;
use crate::keyring::Keyring;
use crate::peers::holding::Holding;
use crate::publish::Published;
use crate::raft::Consensus;

/// How long a server takes at most to apply what another has committed; one that is further behind says what it knows.
pub(crate) const APPLY_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Host {
    pub region: String,
    pub published: Arc<Published>,
    pub consensus: Arc<Consensus>,
    pub holding: Holding,
    pub sessions: Arc<Sessions>,
    pub streams: Streams,
    pub reports: Reports,
    /// Signs who tasks are.
    pub keyring: Keyring,
}

impl Host {
    pub fn new(region: String, published: Arc<Published>, consensus: Arc<Consensus>, control: Arc<Control>) -> Host {
        let reports = Reports::start(published.clone(), consensus.clone());
        let holding = Holding::new(control, consensus.clone());
        let (sessions, streams, keyring) = Default::default();
        Host { region, published, consensus, holding, sessions, streams, reports, keyring }
    }

    pub fn state(&self) -> Arc<State> {
        self.published.state()
    }

    /// Commits a command; this server's state holds it when this comes back.
    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ProposeError> {
        let done = self.consensus.propose(command).await?;
        self.published.at_least(done.0, Instant::now() + APPLY_WAIT).await;
        Ok(done)
    }

    /// `host:port` of every server's RPC.
    pub fn rpc_servers(&self) -> Vec<String> {
        self.consensus.rpc_addrs()
    }
}
