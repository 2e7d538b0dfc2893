//! The raft library's own storage suite, and the promise that what was acknowledged is there after a crash.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tarpan_model::NamespacedId;
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
        let log = LogStore::open(&dir.path().join("raft"), true).expect("a new store");
        let snapshots = Snapshots::open(dir.path().join("snapshots"), true).expect("a new folder");
        let published = Arc::new(Published::new(State::default(), 16));
        let machine = Machine::open(snapshots, published).expect("an empty machine");
        Ok((dir, log, machine))
    }
}

#[test]
fn store_passes_the_suite_of_the_raft_library() {
    Suite::test_all(Build).expect("every case");
}

fn options(data_dir: Option<&std::path::Path>) -> Options {
    Options { data_dir: data_dir.map(Into::into), ..Options::default() }
}

async fn start(options: &Options) -> (Consensus, Arc<Published>) {
    let published = Arc::new(Published::new(State::default(), 16));
    let me = ServerNode { name: "a".to_owned(), ..ServerNode::default() };
    (Consensus::start(options, me, published.clone()).await.expect("starts"), published)
}

fn launch(id: &str, at: i64) -> Command {
    Command::SetPeriodicLaunch { job: NamespacedId::new("default", id), launch: tarpan_model::UnixNanos(at) }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_server_leads_at_once_and_batches() {
    let began = Instant::now();
    let (consensus, published) = start(&options(None)).await;
    let consensus = Arc::new(consensus);
    consensus.propose(launch("first", 1)).await.expect("a leader");
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
    let many: Vec<_> = (0..200)
        .map(|i| {
            let consensus = consensus.clone();
            tokio::spawn(async move { consensus.propose(launch(&format!("job-{i}"), i)).await })
        })
        .collect();
    let mut indexes = BTreeSet::new();
    for one in many {
        indexes.insert(one.await.expect("no panic").expect("committed").0);
    }
    assert!(indexes.len() < 150, "200 commands took {} entries", indexes.len());
    let state = published.state();
    assert!((0..200).all(|i| state.periodic_launch(&NamespacedId::new("default", format!("job-{i}"))).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = options(Some(dir.path()));
    let (consensus, _) = start(&options).await;
    let (index, _) = consensus.propose(launch("kept", 7)).await.expect("committed");
    let id = consensus.id;
    consensus.raft.shutdown().await.expect("stops"); // and no flush: only what was promised
    drop(consensus);
    let (consensus, published) = start(&options).await;
    assert_eq!(consensus.id, id);
    let state = published.at_least(index, Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(state.periodic_launch(&NamespacedId::new("default", "kept")).map(|l| l.launch.0), Some(7));
    consensus.propose(launch("more", 8)).await.expect("goes on");
}
