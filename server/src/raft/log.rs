//! The raft log and the vote, in sled.
//!
//! The promise: what was acknowledged survives `kill -9` and a power cut. `append` hands its callback to one flusher
//! thread, which takes every callback that waits, flushes once and completes them all; the vote is flushed before
//! `save_vote` returns. In development mode nothing is flushed and nothing outlives the process.
//!
//! Trees: `log` (big-endian index -> entry), `meta` (`id`, `vote`, `committed`, `purged`). Every value starts with a
//! version byte; the rest is MessagePack with names, in large entries packed by LZ4 behind its length. The newest
//! entries are also kept as values, so that applying what was just appended does not read it back.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::{Entry, LogId, ServerId, StorageError, Types, Vote};

/// Written before every value: the encoding it has.
const VERSION: u8 = 1;
const PACKED: u8 = 2;
/// Bytes of sled's page cache: the log is written once and hardly read.
const CACHE_BYTES: u64 = 8 << 20;
/// Entries kept as values, and the bytes they may stand for: until they are read, and from then on.
const UNREAD: Room = Room { entries: 256, bytes: 16 << 20 };
const READ: Room = Room { entries: 64, bytes: 256 << 10 };
/// Entries from this size on are packed: placements of one plan repeat each other, and sled keeps what it wrote in memory.
const PACK_FROM: usize = 2048;

/// The log store; clones share it.
#[derive(Clone)]
pub struct LogStore {
    db: sled::Db,
    log: sled::Tree,
    meta: sled::Tree,
    durable: bool,
    tail: Arc<Mutex<Tail>>,
    flusher: mpsc::Sender<LogFlushed<Types>>,
}

/// How much may be kept.
struct Room {
    entries: usize,
    bytes: usize,
}

/// The newest entries, contiguous, with the size of their encoding.
///
/// Applying reads each once, soon after it was appended; followers read the same ones at about the same time. What was
/// read stays for those that lag a little, in less room: a large plan would be held in memory for long otherwise.
#[derive(Default)]
struct Tail {
    entries: VecDeque<(u64, Entry, usize)>,
    bytes: usize,
    /// Entries below it were read.
    read: u64,
}

impl Tail {
    fn push(&mut self, index: u64, entry: Entry, size: usize) {
        if self.entries.back().is_some_and(|(last, ..)| *last + 1 != index) {
            self.clear();
        }
        self.entries.push_back((index, entry, size));
        self.bytes += size;
        self.shrink(&UNREAD, index);
        self.shrink(&READ, self.read);
    }

    /// Drops the oldest entries below `end` until the rest has room.
    fn shrink(&mut self, room: &Room, end: u64) {
        while self.entries.len() > room.entries || self.bytes > room.bytes {
            let Some((_, _, size)) = self.entries.pop_front_if(|(index, ..)| *index < end) else { break };
            self.bytes -= size;
        }
    }

    fn clear(&mut self) {
        *self = Tail::default();
    }

    /// Entries `from..to`, when all of them are here.
    fn range(&mut self, from: u64, to: u64) -> Option<Vec<Entry>> {
        let (first, last) = (self.entries.front()?.0, self.entries.back()?.0);
        if from < first || to > last + 1 || from >= to {
            return None;
        }
        let range = (from - first) as usize..(to - first) as usize;
        let entries = self.entries.range(range).map(|(_, entry, _)| entry.clone()).collect();
        self.read = self.read.max(to);
        self.shrink(&READ, self.read);
        Some(entries)
    }
}

impl LogStore {
    /// Opens or creates the store in `dir`. Not `durable`: nothing is flushed, and the files go with the last handle.
    pub fn open(dir: &Path, durable: bool) -> Result<LogStore, sled::Error> {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .temporary(!durable)
            .mode(sled::Mode::HighThroughput)
            .open()?;
        let (log, meta) = (db.open_tree("log")?, db.open_tree("meta")?);
        let (flusher, waiting) = mpsc::channel();
        let flushed = db.clone();
        std::thread::Builder::new().name("raft-flush".to_owned()).spawn(move || flush(&flushed, &waiting))?;
        Ok(LogStore { db, log, meta, durable, tail: Arc::default(), flusher })
    }

    /// The number of the server that owns this store: `fresh` when it is new.
    pub fn server_id(&self, fresh: ServerId) -> Result<ServerId, StorageError> {
        if let Some(id) = self.get("id")? {
            return Ok(id);
        }
        self.put("id", &fresh)?;
        self.flush()?;
        Ok(fresh)
    }

    /// Makes everything that was written durable.
    pub fn flush(&self) -> Result<(), StorageError> {
        if self.durable {
            self.db.flush().map_err(|e| failed(ErrorSubject::Store, ErrorVerb::Write, &e))?;
        }
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StorageError> {
        let bytes = self.meta.get(key).map_err(|e| failed(ErrorSubject::Store, ErrorVerb::Read, &e))?;
        bytes.map(|b| decode(&b, ErrorSubject::Store)).transpose()
    }

    fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StorageError> {
        let put = self.meta.insert(key, encode(value));
        put.map(|_| ()).map_err(|e| failed(ErrorSubject::Store, ErrorVerb::Write, &e))
    }

    /// Takes entries out of the log.
    fn remove(&self, range: impl RangeBounds<u64>) -> Result<(), StorageError> {
        let fail = |e: sled::Error| failed(ErrorSubject::Logs, ErrorVerb::Delete, &e);
        let mut batch = sled::Batch::default();
        for key in self.log.range(keys(&range)).keys() {
            batch.remove(key.map_err(fail)?);
        }
        self.log.apply_batch(batch).map_err(fail)
    }

    fn read(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(i) => *i,
            Bound::Excluded(i) => *i + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(i) => i.saturating_add(1),
            Bound::Excluded(i) => *i,
            Bound::Unbounded => u64::MAX,
        };
        if let Some(entries) = self.tail.lock().expect("no panic while held").range(from, to) {
            return Ok(entries);
        }
        let rows = self.log.range(keys(&range));
        rows.values()
            .map(|row| {
                let bytes = row.map_err(|e| failed(ErrorSubject::Logs, ErrorVerb::Read, &e))?;
                decode(&bytes, ErrorSubject::Logs)
            })
            .collect()
    }
}

/// Completes callbacks, as many a flush as wait. Ends when the last store handle is gone.
fn flush(db: &sled::Db, waiting: &mpsc::Receiver<LogFlushed<Types>>) {
    while let Ok(first) = waiting.recv() {
        let mut callbacks = vec![first];
        callbacks.extend(waiting.try_iter());
        let result = db.flush();
        for callback in callbacks {
            let result = result.as_ref().map(|_| ()).map_err(|e| std::io::Error::other(e.to_string()));
            callback.log_io_completed(result);
        }
    }
}

fn keys(range: &impl RangeBounds<u64>) -> (Bound<[u8; 8]>, Bound<[u8; 8]>) {
    let key = |bound: Bound<&u64>| bound.map(|i| i.to_be_bytes());
    (key(range.start_bound()), key(range.end_bound()))
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    value
        .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
        .expect("raft types serialise to memory");
    bytes
}

/// The same value, smaller where it is large.
fn pack(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < PACK_FROM {
        return bytes;
    }
    let mut packed = lz4_flex::compress_prepend_size(&bytes[1..]);
    packed.insert(0, PACKED);
    packed
}

fn decode<T: DeserializeOwned>(bytes: &[u8], subject: ErrorSubject<ServerId>) -> Result<T, StorageError> {
    let fail = |e: &(dyn std::error::Error + 'static)| {
        StorageError::from(StorageIOError::new(subject.clone(), ErrorVerb::Read, AnyError::error(e.to_string())))
    };
    match bytes.split_first() {
        Some((&VERSION, rest)) => rmp_serde::from_slice(rest).map_err(|e| fail(&e)),
        Some((&PACKED, rest)) => {
            let bytes = lz4_flex::decompress_size_prepended(rest).map_err(|e| fail(&e))?;
            rmp_serde::from_slice(&bytes).map_err(|e| fail(&e))
        }
        _ => Err(fail(&std::io::Error::other("the store was written by another release"))),
    }
}

fn failed(subject: ErrorSubject<ServerId>, verb: ErrorVerb, error: &sled::Error) -> StorageError {
    StorageIOError::new(subject, verb, AnyError::new(error)).into()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(range)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let last_purged_log_id: Option<LogId> = self.get("purged")?;
        let last = self.log.last().map_err(|e| failed(ErrorSubject::Logs, ErrorVerb::Read, &e))?;
        let last = last.map(|(_, bytes)| decode::<Entry>(&bytes, ErrorSubject::Logs)).transpose()?;
        Ok(LogState { last_purged_log_id, last_log_id: last.map(|e| e.log_id).or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.put("vote", vote)?;
        self.flush()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.get("vote")
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.put("committed", &committed)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.get::<Option<LogId>>("committed")?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = sled::Batch::default();
        let mut tail = self.tail.lock().expect("no panic while held");
        for mut entry in entries {
            let bytes = encode(&entry);
            let (index, size) = (entry.log_id.index, bytes.len());
            batch.insert(&index.to_be_bytes(), pack(bytes));
            if let openraft::EntryPayload::Normal(commands) = &mut entry.payload {
                *commands = commands.values_only();
            }
            tail.push(index, entry, size);
        }
        drop(tail);
        self.log.apply_batch(batch).map_err(|e| failed(ErrorSubject::Logs, ErrorVerb::Write, &e))?;
        if self.durable {
            self.flusher.send(callback).expect("the flusher lives as long as the store");
        } else {
            callback.log_io_completed(Ok(()));
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.tail.lock().expect("no panic while held").clear();
        self.remove(log_id.index..)?;
        self.flush()
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.put("purged", &log_id)?;
        self.tail.lock().expect("no panic while held").clear();
        self.remove(..=log_id.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(index: u64) -> Entry {
        Entry {
            log_id: LogId::new(openraft::CommittedLeaderId::new(1, 1), index),
            payload: openraft::EntryPayload::Blank,
        }
    }

    #[test]
    fn large_values_are_packed_and_read_back() {
        let text = "the same again and again ".repeat(1000);
        let packed = pack(encode(&text));
        assert!(packed[0] == PACKED && packed.len() < text.len() / 10, "{} bytes", packed.len());
        assert_eq!(decode::<String>(&packed, ErrorSubject::Logs).expect("readable"), text);
        let small = pack(encode(&"small"));
        assert_eq!(small[0], VERSION);
        assert_eq!(decode::<String>(&small, ErrorSubject::Logs).expect("readable"), "small");
        assert!(decode::<String>(&[PACKED, 9, 9], ErrorSubject::Logs).is_err());
        assert!(decode::<String>(&[9], ErrorSubject::Logs).is_err());
    }

    /// An entry of one large command.
    fn large(index: u64) -> Entry {
        let mut ids = tarpan_model::ids::CountingIds(1);
        let jobs = (0..50).map(|i| tarpan_testkit::jobs::service(&format!("job-{i}"), 1));
        let evals = jobs.map(|job| tarpan_testkit::evals::register(&job, &mut ids)).collect();
        let command = tarpan_state::Command::UpsertEvals { evals, now: tarpan_testkit::START };
        let envelope = tarpan_state::Envelope { id: tarpan_state::CommandId(7), command };
        let bytes = super::super::types::encode(&envelope);
        let commands = super::super::types::Commands::new(vec![envelope], vec![bytes]);
        Entry { payload: openraft::EntryPayload::Normal(commands), ..blank(index) }
    }

    #[test]
    fn entries_of_earlier_releases_are_read_among_packed_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = LogStore::open(dir.path(), true).expect("opens");
        let (plain, packed) = (encode(&large(1)), pack(encode(&large(2))));
        assert!((plain[0], packed[0]) == (VERSION, PACKED) && packed.len() < plain.len() / 2);
        store.log.insert(1u64.to_be_bytes(), plain).expect("written");
        store.log.insert(2u64.to_be_bytes(), packed).expect("written");
        store.log.insert(3u64.to_be_bytes(), encode(&blank(3))).expect("written");
        store.flush().expect("flushed");
        let read = store.read(1..4).expect("all are readable");
        assert_eq!(read.iter().map(|e| e.log_id.index).collect::<Vec<_>>(), [1, 2, 3]);
        for entry in &read[..2] {
            let openraft::EntryPayload::Normal(commands) = &entry.payload else { panic!("commands") };
            let openraft::EntryPayload::Normal(written) = large(1).payload else { panic!("commands") };
            assert_eq!(commands.envelopes[0].command, written.envelopes[0].command);
        }
    }

    #[test]
    fn the_tail_keeps_what_was_not_read_and_a_little_of_what_was() {
        let mut tail = Tail::default();
        (1..=100).for_each(|i| tail.push(i, blank(i), 100 << 10));
        assert_eq!(tail.range(1, 101).expect("all are here").len(), 100);
        assert!(tail.range(1, 2).is_none(), "read before");
        assert_eq!(tail.range(100, 101).expect("the newest ones stay").len(), 1);
        (101..=1000).for_each(|i| tail.push(i, blank(i), 1));
        assert!(tail.entries.len() <= UNREAD.entries && tail.range(1000, 1001).is_some());
        tail.push(1001, blank(1001), 64 << 20);
        assert!(tail.range(1001, 1002).is_some(), "the newest one is kept whatever its size");
        tail.push(2000, blank(2000), 1);
        assert!(tail.range(1001, 1002).is_none() && tail.range(2000, 2001).is_some(), "a gap starts it anew");
    }
}
