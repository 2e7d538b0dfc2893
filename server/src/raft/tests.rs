//! The raft library's own storage suite, and the promise that what was acknowledged is there after a crash.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tarpan_model::NamespacedId;
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, State};

use super::log::LogStore;
use super::machine::Machine;
use super::snapshots::Snapshots;
use super::types::{ServerNode, StorageError, Types};
use super::*;

struct Build;

impl StoreBuilder<Types, LogStore, Machine, tempfile::TempDir> for Build {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let snapshots = Snapshots::open(dir.path().join("snapshots"), true).expect("a new folder");
        let room = Room::new(dir.path());
        let log = LogStore::open(&dir.path().join("raft"), true, room.clone(), snapshots.clone()).expect("a new store");
        let published = Arc::new(Published::new(State::default(), 16));
        let machine = Machine::open(snapshots, room, published).expect("an empty machine");
        Ok((dir, log, machine))
    }
}

#[test]
fn store_passes_the_suite_of_the_raft_library() {
    Suite::test_all(Build).expect("every case");
}

pub(super) fn options(data_dir: Option<&std::path::Path>) -> Options {
    Options { data_dir: data_dir.map(Into::into), ..Options::default() }
}

pub(super) async fn try_start(options: &Options) -> Result<(Consensus, Arc<Published>), StartError> {
    let published = Arc::new(Published::new(State::default(), 16));
    let me = ServerNode { name: "a".to_owned(), ..ServerNode::default() };
    Ok((Consensus::start(options, me, published.clone()).await?, published))
}

/// The lock of a store that was open goes with the last task that holds it: soon.
pub(super) async fn start(options: &Options) -> (Consensus, Arc<Published>) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match try_start(options).await {
            Ok(started) => return started,
            Err(error) => assert!(Instant::now() < end, "{error}: {:?}", std::error::Error::source(&error)),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn register(id: &str) -> Command {
    let job = tarpan_testkit::jobs::batch(id, 1);
    Command::RegisterJob(Box::new(RegisterJob {
        job,
        eval: None,
        submission: None,
        enforce_index: None,
        preserve_counts: false,
        now: tarpan_testkit::START,
    }))
}

pub(super) fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

#[tokio::test(flavor = "multi_thread")]
async fn single_server_leads_at_once_and_batches() {
    let began = Instant::now();
    let (consensus, published) = start(&options(None)).await;
    let consensus = Arc::new(consensus);
    consensus.propose(register("first")).await.expect("a leader");
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
    let many: Vec<_> = (0..200)
        .map(|i| {
            let consensus = consensus.clone();
            tokio::spawn(async move { consensus.propose(register(&format!("job-{i}"))).await })
        })
        .collect();
    let mut indexes = BTreeSet::new();
    for one in many {
        indexes.insert(one.await.expect("no panic").expect("committed").0);
    }
    assert!(indexes.len() < 150, "200 commands took {} entries", indexes.len());
    let state = published.state();
    assert!((0..200).all(|i| state.job(&key(&format!("job-{i}"))).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = options(Some(dir.path()));
    let (consensus, _) = start(&options).await;
    let (index, _) = consensus.propose(register("kept")).await.expect("committed");
    let (id, term) = (consensus.id, consensus.leadership().term);
    consensus.raft.shutdown().await.expect("stops"); // and no flush: only what was promised
    drop(consensus);
    let (consensus, published) = start(&options).await;
    assert_eq!(consensus.id, id);
    let deadline = Instant::now() + Duration::from_secs(5);
    assert!(consensus.read_index(deadline).await.expect("it leads") >= index, "who reads sees what was acknowledged");
    assert!(consensus.leadership().term > term, "it was elected again, instead of leading on");
    let state = published.at_least(index, Instant::now() + Duration::from_secs(5)).await;
    assert!(state.job(&key("kept")).is_some());
    consensus.propose(register("more")).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_carries_the_state_and_the_log_goes_on_from_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = options(Some(dir.path()));
    let (consensus, _) = start(&options).await;
    let (index, _) = consensus.propose(register("before")).await.expect("committed");
    consensus.raft.trigger().snapshot().await.expect("asked for");
    let patience = Some(Duration::from_secs(10));
    let wait = consensus.raft.wait(patience);
    let taken = wait.metrics(|m| m.snapshot.is_some_and(|s| s.index >= index), "snapshot");
    taken.await.expect("a snapshot");
    consensus.raft.trigger().purge_log(index).await.expect("asked for");
    let (index, _) = consensus.propose(register("after")).await.expect("committed");
    consensus.raft.shutdown().await.expect("stops");
    drop(consensus);
    let (_consensus, published) = start(&options).await;
    let state = published.at_least(index, Instant::now() + Duration::from_secs(5)).await;
    assert!(state.job(&key("before")).is_some() && state.job(&key("after")).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_the_log_make_a_snapshot_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = Options { snapshot_bytes: 4 << 10, ..options(Some(dir.path())) };
    let (consensus, _) = start(&options).await;
    for i in 0..20 {
        consensus.propose(register(&format!("job-{i}"))).await.expect("committed");
    }
    let wait = consensus.raft.wait(Some(Duration::from_secs(30)));
    let taken = wait.metrics(|m| m.snapshot.is_some(), "snapshot");
    taken.await.expect("a snapshot");
}
