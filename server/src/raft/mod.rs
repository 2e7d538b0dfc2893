//! Consensus: raft and its store. Types of openraft and sled end here.
//!
//! One server is a raft of one that elects itself at once. An entry is a list of commands ([`batch`]); what was
//! acknowledged is on disk ([`log`]). A command that reaches a follower is carried to the leader; its id makes a second
//! try harmless.
#![allow(clippy::result_large_err, reason = "the raft library's traits and errors are as large as they are")]

mod admission;
mod batch;
mod compaction;
mod earlier;
mod encoded;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fuzz;
mod links;
mod log;
mod lookout;
mod machine;
mod membership;
mod network;
pub mod offline;
mod reads;
mod recovery;
mod room;
mod service;
mod signs;
mod snapshots;
mod start;
#[cfg(test)]
mod tests;
mod types;
mod wal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{ChangeMembers, Config, ServerState, SnapshotPolicy};
use tarpan_state::{Command, Reply};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use self::admission::{Admission, Around};
pub(crate) use self::batch::Ticket;
use self::batch::{Batcher, NotWritten};
pub(crate) use self::encoded::Encoded;
use self::links::LEASE;
pub(crate) use self::links::{Links, MAX_MESSAGE, Use};
use self::log::LogStore;
use self::membership::Promises;
pub(crate) use self::membership::RaftMember;
use self::network::Network;
use self::room::Room;
pub(crate) use self::service::RaftService;
use self::start::Opened;
use self::types::Raft;
pub(crate) use self::types::{ServerId, ServerNode, shown_id};
use crate::errors::{ProposeError, StartError};
use crate::options::{Options, RaftStats};
use crate::publish::Published;

/// Largest command that is taken.
const MAX_COMMAND: usize = 64 << 20;
/// How long a command looks for a leader that can have it committed.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How long the one that puts another state in place has.
const RESTORE_PATIENCE: Duration = Duration::from_secs(300);
const HEARTBEAT_MS: u64 = 100;

/// A running raft node.
pub(crate) struct Consensus {
    raft: Raft,
    id: ServerId,
    me: ServerNode,
    options: Options,
    store: LogStore,
    batcher: Batcher,
    room: Room,
    links: Links,
    promises: Promises,
    published: Arc<Published>,
    /// The servers, as gossip has them.
    around: watch::Sender<Arc<Around>>,
    /// Development mode's folder, removed at the end.
    _temporary: Option<tempfile::TempDir>,
}

/// Who leads, as this server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub leader: Option<ServerId>,
    pub term: u64,
    pub me: bool,
}

impl Consensus {
    /// Opens the store and starts raft; a single server calls its own election.
    pub async fn start(options: &Options, me: ServerNode, published: Arc<Published>) -> Result<Consensus, StartError> {
        let temporary = match options.data_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|e| store_error("a temporary folder", e))?),
        };
        let dir: PathBuf = match (&options.data_dir, &temporary) {
            (Some(dir), _) => dir.join("server"),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => unreachable!("one of them is there"),
        };
        let opened = start::open(&dir, temporary.is_none(), published.clone())?;
        let Opened { store, machine, id, room, snapshots, recovered } = opened;
        let config = config(options).map_err(|e| StartError::Raft(e.into()))?;
        let links = Links::new(options);
        let network = Network { links: links.clone(), store: store.clone() };
        let raft = Raft::new(id, Arc::new(config), network, store.clone(), machine).await;
        let raft = raft.map_err(|e| StartError::Raft(e.into()))?;
        let batcher = Batcher::start(raft.clone(), room.clone());
        tokio::spawn(look_for_room(room.clone()));
        let snapshot_bytes = options.snapshot_bytes;
        tokio::spawn(compaction::by_bytes(raft.clone(), store.clone(), snapshots, snapshot_bytes));
        tokio::spawn(lookout::look_out(raft.clone(), store.clone(), id, links.clone(), room.clone()));
        tokio::spawn(signs::give(raft.clone(), id, links.clone(), room.clone()));
        let options = options.clone();
        let around = watch::Sender::default();
        let promises = Promises::new(raft.clone(), id);
        let consensus = Consensus {
            raft,
            id,
            me,
            options,
            store,
            batcher,
            room,
            links,
            promises,
            published,
            around,
            _temporary: temporary,
        };
        consensus.begin(recovered).await.map_err(StartError::Raft)?;
        Ok(consensus)
    }

    /// A new single server becomes a cluster of one; one that was that before need not wait for its election timer.
    async fn begin(&self, recovered: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.raft.is_initialized().await? {
            if recovered {
                self.tell_membership_again();
            }
            let voters: BTreeSet<ServerId> = self.raft.metrics().borrow().membership_config.voter_ids().collect();
            if voters == BTreeSet::from([self.id]) {
                self.raft.trigger().elect().await?;
                if !recovered {
                    self.tell_new_address().await;
                }
            }
        } else if self.options.bootstrap_expect == 1 {
            self.raft.initialize(BTreeMap::from([(self.id, self.me.clone())])).await?;
        }
        Ok(())
    }

    /// Writes this server's addresses and name where they are not what the configuration has.
    async fn tell_new_address(&self) {
        let known = self.raft.metrics().borrow().membership_config.membership().get_node(&self.id).cloned();
        if known.as_ref() == Some(&self.me) {
            return;
        }
        let (raft, nodes) = (self.raft.clone(), BTreeMap::from([(self.id, self.me.clone())]));
        tokio::spawn(async move {
            let elected = raft.wait(Some(LEADER_PATIENCE)).state(ServerState::Leader, "to write its address").await;
            if elected.is_ok()
                && let Err(error) = raft.change_membership(ChangeMembers::SetNodes(nodes), true).await
            {
                tracing::warn!(%error, "writing this server's new address");
            }
        });
    }

    /// After a recovery: whoever leads writes the membership as an entry of its own, so that it counts for all, whatever they hold of the old one.
    fn tell_membership_again(&self) {
        let (raft, id, nodes) = (self.raft.clone(), self.id, BTreeMap::from([(self.id, self.me.clone())]));
        tokio::spawn(async move {
            let led = raft.wait(None).metrics(|m| m.current_leader.is_some(), "somebody leads").await;
            if led.is_ok_and(|metrics| metrics.current_leader == Some(id))
                && let Err(error) = raft.change_membership(ChangeMembers::SetNodes(nodes), true).await
            {
                tracing::warn!(%error, "writing the membership of a recovered cluster");
            }
        });
    }

    /// Commits a command, wherever the leader is. The same bytes travel on every try.
    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ProposeError> {
        let Encoded { envelope, bytes: encoded } = Encoded::new(command);
        if encoded.len() > MAX_COMMAND {
            return Err(ProposeError::TooLarge { size: encoded.len(), limit: MAX_COMMAND });
        }
        // A whole state is read while it is applied.
        let restores = matches!(envelope.command, Command::FinishRestore { .. });
        let deadline = Instant::now() + if restores { RESTORE_PATIENCE } else { LEADER_PATIENCE };
        loop {
            let leadership = self.leadership();
            if leadership.leader.is_some() && !leadership.me {
                match service::forward(&self.raft, &self.links, encoded.clone(), deadline).await {
                    Ok(done) => return Ok(done),
                    Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                        return Err(ProposeError::NoRoom(status.message().into()));
                    }
                    Err(status) if status.code() == tonic::Code::DeadlineExceeded => {
                        return Err(ProposeError::NoMajority);
                    }
                    Err(error) => tracing::debug!(%error, "carrying a command to the leader"),
                }
            } else if leadership.me {
                match self.batcher.write(envelope.clone(), encoded.clone(), deadline).await {
                    Ok(done) => return Ok(done),
                    Err(NotWritten::Failed(error)) => return Err(error),
                    Err(NotWritten::NotLeader) => {}
                }
            }
            self.leader_changed(deadline).await?;
        }
    }

    /// Why nothing is accepted; `None`: there is room on the disk.
    pub fn no_room(&self) -> Option<Arc<str>> {
        self.room.lacking()
    }

    /// Waits until there is room on the disk.
    pub async fn room(&self) {
        self.room.there().await;
    }

    /// Why raft has stopped for good; `None`: it runs.
    pub fn stopped(&self) -> Option<String> {
        self.raft.metrics().borrow().running_state.as_ref().err().map(ToString::to_string)
    }

    /// Hands a command to this server's log, in the order of calls; only a leader's will be committed.
    pub async fn enqueue(&self, command: Encoded) -> Ticket {
        self.batcher.enqueue(command.envelope, command.bytes).await
    }

    /// Waits for another look at who leads; says so when `deadline` has come.
    async fn leader_changed(&self, deadline: Instant) -> Result<(), ProposeError> {
        if Instant::now() >= deadline {
            return Err(self.room.lacking().map_or(ProposeError::NoLeader, ProposeError::NoRoom));
        }
        let mut metrics = self.raft.server_metrics();
        metrics.borrow_and_update();
        let pause = Duration::from_millis(50);
        let _ = tokio::time::timeout(pause, metrics.changed()).await;
        Ok(())
    }

    pub fn leadership(&self) -> Leadership {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader;
        Leadership {
            leader,
            term: metrics.vote.leader_id().term,
            me: metrics.state == ServerState::Leader && leader == Some(self.id),
        }
    }

    /// Follows who leads.
    pub fn leaderships(&self) -> watch::Receiver<Leadership> {
        let (sender, receiver) = watch::channel(self.leadership());
        let (id, mut metrics) = (self.id, self.raft.server_metrics());
        tokio::spawn(async move {
            while metrics.changed().await.is_ok() {
                let now = {
                    let m = metrics.borrow_and_update();
                    let me = m.state == ServerState::Leader && m.current_leader == Some(id);
                    Leadership { leader: m.current_leader, term: m.vote.leader_id().term, me }
                };
                sender.send_if_modified(|before| std::mem::replace(before, now) != now);
                if sender.is_closed() {
                    return;
                }
            }
        });
        receiver
    }

    pub fn leader_rpc_addr(&self) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let node = metrics.membership_config.membership().get_node(&metrics.current_leader?)?;
        Some(node.rpc_addr.clone())
    }

    pub fn stats(&self) -> RaftStats {
        let metrics = self.raft.metrics();
        let m = metrics.borrow();
        let applied = m.last_applied.map_or(0, |id| id.index);
        RaftStats {
            state: format!("{:?}", m.state).to_lowercase(),
            term: m.current_term,
            last_log_index: m.last_log_index.unwrap_or(0),
            last_applied: applied,
            commit_index: applied,
            last_snapshot_index: m.snapshot.map_or(0, |id| id.index),
            peers: m.membership_config.nodes().count().saturating_sub(1),
        }
    }

    /// Whose calls are taken.
    pub fn admission(&self) -> Admission {
        Admission {
            raft: self.raft.clone(),
            me: self.id,
            around: self.around.subscribe(),
            tls: self.options.tls.clone(),
            region: self.options.region.as_str().into(),
        }
    }

    pub fn service(&self) -> RaftService {
        RaftService {
            raft: self.raft.clone(),
            batcher: self.batcher.clone(),
            admission: self.admission(),
            links: self.links.clone(),
            promises: self.promises.clone(),
            store: self.store.clone(),
            published: self.published.clone(),
            former: self.store.former(),
        }
    }

    /// Stops raft and flushes the store.
    pub async fn shutdown(&self) {
        self.room.end();
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "stopping raft");
        }
        if let Err(error) = self.store.flush() {
            tracing::error!(%error, "flushing the raft store");
        }
    }
}

/// Looks at the free space until raft ends.
async fn look_for_room(room: Room) {
    while !room.ended() {
        room.look();
        tokio::time::sleep(room::RETRY).await;
    }
}

fn config(options: &Options) -> Result<Config, openraft::ConfigError> {
    Config {
        cluster_name: "tarpan".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        // The longer one is the lease; when to elect is the lookout's affair.
        election_timeout_min: HEARTBEAT_MS * 2,
        election_timeout_max: LEASE.as_millis() as u64,
        enable_elect: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_threshold.max(1)),
        max_in_snapshot_log_to_keep: options.trailing_logs,
        // Who lags by more gets a snapshot: reading old entries one by one takes longer.
        replication_lag_threshold: options.snapshot_threshold.max(1) + options.trailing_logs,
        purge_batch_size: 256,
        ..Config::default()
    }
    .validate()
}

fn store_error(path: &str, source: std::io::Error) -> StartError {
    StartError::Store { path: path.to_owned(), source: source.into() }
}
