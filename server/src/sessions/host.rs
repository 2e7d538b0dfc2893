//! What sessions of agents have of their server.

use std::sync::Arc;

use tarpan_state::{Command, Reply, State};

use super::Sessions;
use super::reports::Reports;
use super::streams::Streams;
use crate::control::Control;
use crate::errors::ProposeError;
use crate::keyring::Keyring;
use crate::publish::Published;
use crate::raft::Consensus;

pub(crate) struct Host {
    pub region: String,
    pub published: Arc<Published>,
    pub consensus: Arc<Consensus>,
    /// For heartbeats.
    pub control: Arc<Control>,
    pub sessions: Arc<Sessions>,
    pub streams: Streams,
    pub reports: Reports,
    /// Signs who tasks are.
    pub keyring: Keyring,
}

impl Host {
    pub fn new(region: String, published: Arc<Published>, consensus: Arc<Consensus>, control: Arc<Control>) -> Host {
        let reports = Reports::start(published.clone(), consensus.clone());
        let (sessions, streams, keyring) = Default::default();
        Host { region, published, consensus, control, sessions, streams, reports, keyring }
    }

    pub fn state(&self) -> Arc<State> {
        self.published.state()
    }

    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ProposeError> {
        self.consensus.propose(command).await
    }

    /// `host:port` of every server's RPC.
    pub fn rpc_servers(&self) -> Vec<String> {
        self.consensus.members().into_iter().map(|m| m.rpc_addr).collect()
    }
}
