//! The raft log and the vote, as raft asks for them: the files ([`super::wal`]) with the newest entries as values.
//!
//! The promise: what was acknowledged survives `kill -9` and a power cut. `append` hands its callback to one flusher
//! thread, which takes every callback that waits, flushes once and completes them all; the vote is flushed before
//! `save_vote` returns. In development mode nothing is flushed and nothing outlives the process.
//!
//! An entry starts with a version byte; the rest is MessagePack with names, in large entries packed by LZ4 behind its length.
//! The newest entries are also kept as values, so that applying what was just appended does not read it back.
//!
//! A write that finds no room is held until there is some ([`super::room`]): raft would take an error for the end.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use bytes::Bytes;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::room::{self, Room};
use super::snapshots::Snapshots;
use super::types::{Entry, LogId, ServerId, StorageError, Types, Vote};
use super::wal::{Facts, OpenError, Wal};

/// Written before every value: the encoding it has.
const VERSION: u8 = 1;
const PACKED: u8 = 2;
/// Entries kept as values, and the bytes they may stand for: until they are read, and from then on.
const UNREAD: Kept = Kept { entries: 256, bytes: 16 << 20 };
const READ: Kept = Kept { entries: 64, bytes: 256 << 10 };
/// Bytes that one packed byte stands for at most.
const LZ4_MOST: usize = 255;
/// Entries from this size on are packed: placements of one plan repeat each other.
const PACK_FROM: usize = 2048;

/// The log store; clones share it.
#[derive(Clone)]
pub struct LogStore {
    wal: Arc<Mutex<Wal>>,
    tail: Arc<Mutex<Tail>>,
    flusher: Option<mpsc::Sender<LogFlushed<Types>>>,
    room: Room,
    /// Entries behind the older of them are kept.
    snapshots: Snapshots,
}

/// How much may be kept.
struct Kept {
    entries: usize,
    bytes: usize,
}

/// The newest entries, contiguous, with the size of their encoding and the bytes that are on disk.
///
/// Applying reads each once, soon after it was appended; followers read the same ones at about the same time. What was
/// read stays for those that lag a little, in less room: a large plan would be held in memory for long otherwise.
#[derive(Default)]
struct Tail {
    entries: VecDeque<Recent>,
    bytes: usize,
    /// Entries below it were read.
    read: u64,
}

/// One of the newest entries.
struct Recent {
    entry: Entry,
    /// Of its encoding before it was packed, which is about what it takes in memory.
    size: usize,
    packed: Bytes,
}

impl Tail {
    fn push(&mut self, recent: Recent) {
        let index = recent.entry.log_id.index;
        if self.entries.back().is_some_and(|last| last.entry.log_id.index + 1 != index) {
            self.clear();
        }
        self.bytes += recent.size;
        self.entries.push_back(recent);
        self.shrink(&UNREAD, index);
        self.shrink(&READ, self.read);
    }

    /// Drops the oldest entries below `end` until the rest has room.
    fn shrink(&mut self, room: &Kept, end: u64) {
        while self.entries.len() > room.entries || self.bytes > room.bytes {
            let Some(oldest) = self.entries.pop_front_if(|oldest| oldest.entry.log_id.index < end) else { break };
            self.bytes -= oldest.size;
        }
    }

    fn clear(&mut self) {
        *self = Tail::default();
    }

    /// Entries `from..to`, when all of them are here.
    fn range(&mut self, from: u64, to: u64) -> Option<Vec<Entry>> {
        let (first, last) = (self.entries.front()?.entry.log_id.index, self.entries.back()?.entry.log_id.index);
        if from < first || to > last + 1 || from >= to {
            return None;
        }
        let range = (from - first) as usize..(to - first) as usize;
        let entries = self.entries.range(range).map(|recent| recent.entry.clone()).collect();
        self.read = self.read.max(to);
        self.shrink(&READ, self.read);
        Some(entries)
    }

    /// The bytes of this very entry, when it is here.
    fn packed(&self, id: LogId) -> Option<Bytes> {
        let first = self.entries.front()?.entry.log_id.index;
        let recent = self.entries.get(usize::try_from(id.index.checked_sub(first)?).ok()?)?;
        (recent.entry.log_id == id).then(|| recent.packed.clone())
    }
}

impl LogStore {
    /// Opens or creates the store in `dir`. Not `durable`: nothing is flushed.
    pub fn open(dir: &Path, durable: bool, room: Room, snapshots: Snapshots) -> Result<LogStore, OpenError> {
        let wal = Arc::new(Mutex::new(Wal::open(dir, durable)?));
        let flusher = durable.then(|| {
            let (flusher, waiting) = mpsc::channel();
            let (wal, room) = (wal.clone(), room.clone());
            let thread = std::thread::Builder::new().name("raft-flush".to_owned());
            thread.spawn(move || flush(&wal, &room, &waiting)).expect("a thread can be started");
            flusher
        });
        Ok(LogStore { wal, tail: Arc::default(), flusher, room, snapshots })
    }

    /// The number of the server that owns this store: `fresh` when it is new.
    pub fn server_id(&self, fresh: ServerId) -> io::Result<ServerId> {
        let mut wal = self.wal();
        if let Some(id) = wal.facts().id {
            return Ok(id);
        }
        wal.change(|facts| facts.id = Some(fresh))?;
        wal.flush()?;
        Ok(fresh)
    }

    /// The last entry that was written, or the one up to which all are gone.
    pub fn last(&self) -> Option<LogId> {
        let wal = self.wal();
        wal.last().or(wal.facts().purged)
    }

    /// The entry up to which all are gone.
    pub fn purged(&self) -> Option<LogId> {
        self.wal().facts().purged
    }

    /// Bytes of the entries behind `index`.
    pub fn bytes_after(&self, index: u64) -> u64 {
        self.wal().bytes_after(index)
    }

    /// Servers of a cluster that was recovered without them.
    pub fn former(&self) -> BTreeSet<ServerId> {
        self.wal().facts().former.clone()
    }

    /// Neither an entry nor a vote was ever written.
    pub fn is_blank(&self) -> bool {
        let wal = self.wal();
        wal.last().is_none() && wal.facts().vote.is_none()
    }

    /// Begins a new log behind a snapshot: entries up to `last` count as gone.
    pub fn begin_behind(&self, id: ServerId, last: LogId) -> io::Result<()> {
        let mut wal = self.wal();
        let vote = Vote::new(last.leader_id.term, id);
        wal.change(|facts| *facts = Facts { id: Some(id), vote: Some(vote), purged: Some(last), ..Facts::default() })?;
        wal.flush()
    }

    /// Makes everything that was written durable.
    pub fn flush(&self) -> io::Result<()> {
        let mut wal = self.wal();
        if wal.committed().is_some() {
            wal.change(|_| {})?;
        }
        wal.flush()
    }

    fn wal(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock().expect("no panic while held")
    }

    /// Does `write`, again and again while there is no room.
    async fn hold<T>(
        &self,
        subject: ErrorSubject<ServerId>,
        verb: ErrorVerb,
        mut write: impl FnMut(&mut Wal) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let mut held = None;
        loop {
            let (done, path) = {
                let mut wal = self.wal();
                (write(&mut wal), wal.path().to_owned())
            };
            match done {
                Ok(done) => return Ok(done),
                Err(error) if room::is_missing(&error) && !self.room.ended() => {
                    held.get_or_insert_with(|| self.room.held(&path, &error));
                    tokio::time::sleep(room::RETRY).await;
                }
                Err(error) => return Err(failed(subject, verb, &path, &error)),
            }
        }
    }

    /// Entries as the log holds them: the newest ones are shared by all who send them.
    pub fn packed(&self, entries: &[Entry]) -> Vec<Bytes> {
        let known: Vec<Option<Bytes>> = {
            let tail = self.tail.lock().expect("no panic while held");
            entries.iter().map(|entry| tail.packed(entry.log_id)).collect()
        };
        let pairs = entries.iter().zip(known);
        pairs.map(|(entry, known)| known.unwrap_or_else(|| pack(encode(entry)).into())).collect()
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
        let wal = self.wal();
        let rows = wal.read(from..to).map_err(|e| failed(ErrorSubject::Logs, ErrorVerb::Read, wal.path(), &e))?;
        drop(wal);
        rows.iter().map(|bytes| decode(bytes, ErrorSubject::Logs)).collect()
    }
}

/// Completes callbacks, as many a flush as wait. Ends when the last store handle is gone.
fn flush(wal: &Mutex<Wal>, room: &Room, waiting: &mpsc::Receiver<LogFlushed<Types>>) {
    while let Ok(first) = waiting.recv() {
        let mut callbacks = vec![first];
        callbacks.extend(waiting.try_iter());
        let result = flush_once(wal, room);
        for callback in callbacks {
            let result = result.as_ref().copied().map_err(|e| io::Error::other(e.to_string()));
            callback.log_io_completed(result);
        }
    }
}

/// Flushes what was written; the disk is waited for without the lock. Without room it is tried again.
#[allow(clippy::disallowed_methods, reason = "on the thread of the log's flushes")]
fn flush_once(wal: &Mutex<Wal>, room: &Room) -> io::Result<()> {
    let lock = || wal.lock().expect("no panic while held");
    let mut held = None;
    loop {
        let Some(flush) = lock().to_flush() else { return Ok(()) };
        match flush.run() {
            Ok(()) => {
                lock().flushed(&flush);
                return Ok(());
            }
            Err(error) if room::is_missing(&error) && !room.ended() => {
                held.get_or_insert_with(|| room.held(lock().path(), &error));
                std::thread::sleep(room::RETRY);
                match lock().write_again() {
                    Err(error) if !room::is_missing(&error) => return Err(error),
                    _ => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
}

pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    value
        .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
        .expect("raft types serialise to memory");
    bytes
}

/// The same value, smaller where it is large.
pub fn pack(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < PACK_FROM {
        return bytes;
    }
    let mut packed = lz4_flex::compress_prepend_size(&bytes[1..]);
    packed.insert(0, PACKED);
    packed
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8], subject: ErrorSubject<ServerId>) -> Result<T, StorageError> {
    let fail = |e: &(dyn std::error::Error + 'static)| {
        StorageError::from(StorageIOError::new(subject.clone(), ErrorVerb::Read, AnyError::error(e.to_string())))
    };
    let read = |bytes: &[u8]| tarpan_rpc::unpack(bytes).map_err(|e| fail(&io::Error::other(tarpan_rpc::why(&e))));
    match bytes.split_first() {
        Some((&VERSION, rest)) => read(rest),
        Some((&PACKED, rest)) => read(&unpacked(rest).map_err(|e| fail(&e))?),
        _ => Err(fail(&io::Error::other("the store was written by another release"))),
    }
}

/// What LZ4 made smaller. The length before it is not believed where so few bytes can't stand for so many.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, lz4_flex::block::DecompressError> {
    let (length, packed) = lz4_flex::block::uncompressed_size(bytes)?;
    let most = packed.len().saturating_mul(LZ4_MOST);
    if length > most {
        return Err(lz4_flex::block::DecompressError::OutputTooSmall { expected: length, actual: most });
    }
    lz4_flex::block::decompress(packed, length)
}

fn failed(subject: ErrorSubject<ServerId>, verb: ErrorVerb, path: &Path, error: &io::Error) -> StorageError {
    let error = AnyError::error(format!("{}: {error}", path.display()));
    StorageIOError::new(subject, verb, error).into()
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
        let wal = self.wal();
        Ok(LogState { last_purged_log_id: wal.facts().purged, last_log_id: wal.last() })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.hold(ErrorSubject::Vote, ErrorVerb::Write, |wal| {
            if wal.facts().vote != Some(*vote) {
                wal.change(|facts| facts.vote = Some(*vote))?;
            }
            wal.flush()
        })
        .await
    }

    /// Who led begins as a follower: that it was elected is not said. The library would have it lead on at once, in a term of which it does
    /// not know yet what was committed last; reads would miss what had been acknowledged.
    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let wal = self.wal();
        let facts = wal.facts();
        let own = |vote: &Vote| facts.id == Some(vote.leader_id.node_id);
        Ok(facts.vote.map(|vote| Vote { committed: vote.committed && !own(&vote), ..vote }))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.wal().set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.wal().committed())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut rows, mut recent) = (Vec::new(), Vec::new());
        for mut entry in entries {
            let bytes = encode(&entry);
            let size = bytes.len();
            let packed = Bytes::from(pack(bytes));
            rows.push((entry.log_id, packed.clone()));
            if let openraft::EntryPayload::Normal(commands) = &mut entry.payload {
                *commands = commands.values_only();
            }
            recent.push(Recent { entry, size, packed });
        }
        self.hold(ErrorSubject::Logs, ErrorVerb::Write, |wal| wal.append(&rows)).await?;
        let mut tail = self.tail.lock().expect("no panic while held");
        recent.into_iter().for_each(|one| tail.push(one));
        drop(tail);
        match &self.flusher {
            Some(flusher) => flusher.send(callback).expect("the flusher lives as long as the store"),
            None => callback.log_io_completed(Ok(())),
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.tail.lock().expect("no panic while held").clear();
        self.hold(ErrorSubject::Logs, ErrorVerb::Delete, |wal| {
            wal.truncate(log_id.index)?;
            wal.flush()
        })
        .await
    }

    /// Lets go of less than raft asks for: what follows the older snapshot stays, should the newer one be damaged.
    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let oldest = self.snapshots.log_is_kept_from();
        let upto = {
            let wal = self.wal();
            match oldest {
                // A snapshot of another server took the place of the whole log.
                _ if wal.last().is_none_or(|last| last.index < log_id.index) => Some(log_id),
                // One snapshot alone: nothing goes of a log that begins at the beginning.
                Some(0) if wal.facts().purged.is_none() => None,
                Some(oldest @ 1..) if oldest <= log_id.index => wal.id_of(oldest - 1),
                _ => Some(log_id),
            }
        };
        let Some(upto) = upto else { return Ok(()) };
        self.tail.lock().expect("no panic while held").clear();
        self.hold(ErrorSubject::Logs, ErrorVerb::Delete, |wal| wal.purge(upto)).await
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
        let snapshots = Snapshots::open(dir.path().join("snapshots"), true).expect("opens");
        let store = LogStore::open(&dir.path().join("raft"), true, Room::new(dir.path()), snapshots).expect("opens");
        let (plain, packed) = (encode(&large(1)), pack(encode(&large(2))));
        assert!((plain[0], packed[0]) == (VERSION, PACKED) && packed.len() < plain.len() / 2);
        let rows = [(1, plain), (2, packed), (3, encode(&blank(3)))].map(|(i, b)| (blank(i).log_id, Bytes::from(b)));
        store.wal().append(&rows).expect("written");
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
        let recent = |i, size| Recent { entry: blank(i), size, packed: Bytes::from(vec![i as u8]) };
        (1..=100).for_each(|i| tail.push(recent(i, 100 << 10)));
        assert_eq!(tail.range(1, 101).expect("all are here").len(), 100);
        assert!(tail.range(1, 2).is_none(), "read before");
        assert_eq!(tail.range(100, 101).expect("the newest ones stay").len(), 1);
        (101..=1000).for_each(|i| tail.push(recent(i, 1)));
        assert!(tail.entries.len() <= UNREAD.entries && tail.range(1000, 1001).is_some());
        tail.push(recent(1001, 64 << 20));
        assert_eq!(tail.packed(blank(1001).log_id), Some(Bytes::from(vec![1001_u64 as u8])));
        assert!(tail.range(1001, 1002).is_some(), "the newest one is kept whatever its size");
        tail.push(recent(2000, 1));
        assert_eq!(tail.packed(blank(1001).log_id), None);
        assert!(tail.range(1001, 1002).is_none() && tail.range(2000, 2001).is_some(), "a gap starts it anew");
    }
}
