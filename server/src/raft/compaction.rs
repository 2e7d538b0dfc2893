//! Snapshots by bytes: the raft library counts entries, and a few thousand large ones are gigabytes that a start has to read.

use std::io;
use std::time::Duration;

use super::log::LogStore;
use super::snapshots::Snapshots;
use super::types::Raft;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Has a snapshot made whenever the log behind the newest one is larger than it and than `least` bytes: of a large state a snapshot takes as
/// long to write as what it saves reading. Until raft ends.
pub async fn by_bytes(raft: Raft, store: LogStore, snapshots: Snapshots, least: u64) {
    let mut metrics = raft.metrics();
    while tokio::time::timeout(LOOK, metrics.wait_for(|m| m.running_state.is_err())).await.is_err() {
        let newest = raft.metrics().borrow().snapshot.map_or(0, |id| id.index);
        let (store, snapshots) = (store.clone(), snapshots.clone());
        let due = move || Ok(store.bytes_after(newest) > least.max(snapshots.newest_bytes()?));
        match tokio::task::spawn_blocking(due).await.map_err(io::Error::other).flatten() {
            // While one is being made nothing more comes of it.
            Ok(true) => _ = raft.trigger().snapshot().await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "looking how large the newest snapshot is"),
        }
    }
}
