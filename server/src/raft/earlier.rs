//! Takes over the log of an earlier release, which kept it in sled.
//!
//! The new log is written beside the old one and takes its place at the end, so that it may be interrupted at any time. The old
//! one stays as `raft.before`.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use openraft::ErrorSubject;
use serde::de::DeserializeOwned;

use super::log::decode;
use super::types::{Entry, LogId, StorageError};
use super::wal::{Facts, Wal};

/// Entries written at a time.
const CHUNK: usize = 256;

/// Why it could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error("the log of an earlier release in {path} is damaged: {why}")]
    Damaged { path: String, why: String },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Open(#[from] super::wal::OpenError),
}

/// Turns `dir/raft` of an earlier release into today's; does nothing where it is of today.
pub fn take_over(dir: &Path) -> Result<(), TakeOverError> {
    let (raft, new, before) = (dir.join("raft"), dir.join("raft.new"), dir.join("raft.before"));
    if !raft.exists() && new.exists() && before.exists() {
        std::fs::rename(&new, &raft)?; // the last step of one that was interrupted
    }
    if !raft.join("db").exists() {
        return Ok(());
    }
    tracing::info!(path = %raft.display(), "taking over the log of an earlier release");
    if new.exists() {
        std::fs::remove_dir_all(&new)?;
    }
    let damaged = |why: String| TakeOverError::Damaged { path: raft.display().to_string(), why };
    // Its library panics on some damage.
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| read(&raft)));
    let (facts, committed, entries) = read
        .map_err(|panic| damaged(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned())))?
        .map_err(|error| damaged(error.to_string()))?;
    let mut wal = Wal::open(&new, true)?;
    wal.change(|new| *new = facts)?;
    wal.set_committed(committed);
    for chunk in entries.chunks(CHUNK) {
        wal.append(chunk)?;
    }
    wal.change(|_| {})?;
    wal.flush()?;
    drop(wal);
    std::fs::rename(&raft, &before)?;
    std::fs::rename(&new, &raft)?;
    Ok(())
}

type Contents = (Facts, Option<LogId>, Vec<(LogId, Vec<u8>)>);

fn read(raft: &Path) -> Result<Contents, Box<dyn std::error::Error>> {
    let db = sled::Config::new().path(raft).flush_every_ms(None).open()?;
    let (log, meta) = (db.open_tree("log")?, db.open_tree("meta")?);
    let (id, vote, purged) = (fact(&meta, "id")?, fact(&meta, "vote")?, fact(&meta, "purged")?);
    let facts = Facts { id, vote, purged, ..Facts::default() };
    let committed = fact::<Option<LogId>>(&meta, "committed")?.flatten();
    let mut entries = Vec::new();
    for value in log.iter().values() {
        let value = value?.to_vec();
        let entry: Entry = decode(&value, ErrorSubject::Logs)?;
        entries.push((entry.log_id, value));
    }
    Ok((facts, committed, entries))
}

fn fact<T: DeserializeOwned>(meta: &sled::Tree, key: &str) -> Result<Option<T>, Box<dyn std::error::Error>> {
    let bytes = meta.get(key)?;
    let value: Option<Result<T, StorageError>> = bytes.map(|b| decode(&b, ErrorSubject::Store));
    Ok(value.transpose()?)
}

#[cfg(test)]
mod tests {
    use super::super::log::encode;
    use super::super::types::Vote;
    use super::*;

    fn id(index: u64) -> LogId {
        LogId::new(openraft::CommittedLeaderId::new(1, 7), index)
    }

    /// As the earlier release wrote it.
    fn earlier(raft: &Path) {
        let db = sled::open(raft).expect("opens");
        let (log, meta) = (db.open_tree("log").expect("a tree"), db.open_tree("meta").expect("a tree"));
        for index in 5..20u64 {
            let entry = Entry { log_id: id(index), payload: openraft::EntryPayload::Blank };
            log.insert(index.to_be_bytes(), encode(&entry)).expect("written");
        }
        meta.insert("id", encode(&7u64)).expect("written");
        meta.insert("vote", encode(&Vote::new_committed(1, 7))).expect("written");
        meta.insert("purged", encode(&id(4))).expect("written");
        meta.insert("committed", encode(&Some(id(18)))).expect("written");
        db.flush().expect("flushed");
    }

    fn check(dir: &Path) {
        take_over(dir).expect("taken over");
        let wal = Wal::open(&dir.join("raft"), true).expect("opens");
        assert_eq!((wal.facts().id, wal.facts().vote), (Some(7), Some(Vote::new_committed(1, 7))));
        assert_eq!((wal.facts().purged, wal.last(), wal.committed()), (Some(id(4)), Some(id(19)), Some(id(18))));
        let entries = wal.read(0..100).expect("readable");
        let first: Entry = decode(&entries[0], ErrorSubject::Logs).expect("an entry");
        assert_eq!((entries.len(), first.log_id), (15, id(5)));
    }

    #[test]
    fn a_log_of_an_earlier_release_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        earlier(&dir.path().join("raft"));
        std::fs::create_dir(dir.path().join("raft.new")).expect("an earlier try was interrupted");
        check(dir.path());
        assert!(dir.path().join("raft.before").exists());
        check(dir.path());
        std::fs::rename(dir.path().join("raft"), dir.path().join("raft.new"))
            .expect("interrupted before the last step");
        check(dir.path());
    }

    #[test]
    fn a_damaged_one_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let raft = dir.path().join("raft");
        earlier(&raft);
        std::fs::write(raft.join("conf"), b"not a configuration").expect("written");
        let error = take_over(dir.path()).expect_err("damaged").to_string();
        assert!(error.contains(&raft.display().to_string()) && error.contains("damaged"), "{error}");
    }
}
