//! Reports of many nodes become one command: what comes within a tick, or while one is being written, shares the next.

use std::sync::Arc;
use std::time::Duration;

use tarpan_control::follow_ups;
use tarpan_model::alloc::AllocUpdate;
use tarpan_state::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::chance::ids;
use crate::clock::now;
use crate::publish::Published;
use crate::raft::Consensus;

/// Least time between two commands: a single report goes at once, a flood shares.
const TICK: Duration = Duration::from_millis(8);
/// Updates in one command.
const MAX_UPDATES: usize = 4096;
/// Reports that may wait: sessions beyond it stop reading their agents.
const QUEUE: usize = 1024;

struct Report {
    updates: Vec<AllocUpdate>,
    written: oneshot::Sender<bool>,
}

/// Where sessions hand reports in.
#[derive(Clone)]
pub(crate) struct Reports(mpsc::Sender<Report>);

impl Reports {
    pub fn start(published: Arc<Published>, consensus: Arc<Consensus>) -> Reports {
        let (sender, reports) = mpsc::channel(QUEUE);
        tokio::spawn(run(published, consensus, reports));
        Reports(sender)
    }

    /// Hands a report in; the receiver says whether it was committed.
    pub async fn hand_in(&self, updates: Vec<AllocUpdate>) -> oneshot::Receiver<bool> {
        let (written, answer) = oneshot::channel();
        let _ = self.0.send(Report { updates, written }).await;
        answer
    }
}

async fn run(published: Arc<Published>, consensus: Arc<Consensus>, mut reports: mpsc::Receiver<Report>) {
    let mut last = Instant::now() - TICK;
    while let Some(first) = reports.recv().await {
        // Refused reports would come again at once, from every agent.
        consensus.room().await;
        tokio::time::sleep_until(last + TICK).await;
        last = Instant::now();
        let (mut updates, mut written) = (first.updates, vec![first.written]);
        while updates.len() < MAX_UPDATES {
            let Ok(next) = reports.try_recv() else { break };
            updates.extend(next.updates);
            written.push(next.written);
        }
        let now = now();
        let evals = follow_ups::client_updates(&published.state(), &updates, now, &mut ids());
        let done = consensus.propose(Command::UpdateAllocs { updates, evals, now }).await;
        if let Err(error) = &done {
            tracing::warn!(%error, "writing reports of agents");
        }
        for one in written {
            let _ = one.send(done.is_ok());
        }
    }
}
