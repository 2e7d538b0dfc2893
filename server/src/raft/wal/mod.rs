//! The log's files: what raft must not forget, in the order in which it was told.
//!
//! A folder of segments, `0000000001.log` and so on, each begun when the one before it is full. A segment is a magic
//! number and records ([`record`]): entries, and what is known beside them ([`Facts`]), which each segment repeats at its
//! start, so that older ones can go. Where each entry stands is kept in memory and read from the files at the start.
//!
//! What a start makes of damage: bytes at the very end that nobody was promised are the rest of a write that a crash cut
//! short, and are dropped with a sentence. Anything else is an [`OpenError`] that names the file and the ways out.
//!
//! A write that finds no room changes nothing: the same write may be tried again.

mod open;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::open::OpenError;
use self::record::{ENTRY_HEAD, HEAD, Record};
use super::types::{LogId, ServerId, Vote};

const MAGIC: &[u8; 8] = b"TARPLOG\x01";
/// A segment that is larger gets no more entries.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What is known beside the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The server that owns the log.
    #[serde(default)]
    pub id: Option<ServerId>,
    #[serde(default)]
    pub vote: Option<Vote>,
    /// Entries up to this one are gone.
    #[serde(default)]
    pub purged: Option<LogId>,
    /// The last entry when this was written.
    #[serde(default)]
    pub last: Option<LogId>,
    /// Servers of a cluster that was recovered without them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub former: BTreeSet<ServerId>,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
struct At {
    id: LogId,
    segment: u64,
    /// Of its record.
    offset: u64,
    /// Of its record, in all.
    length: u32,
}

/// One file.
#[derive(Clone, Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: Arc<File>,
    /// The entry after which the next segment begins; the newest segment has none yet.
    last: Option<LogId>,
}

/// The open log.
pub struct Wal {
    dir: PathBuf,
    /// Not flushed when `false`.
    keeps: bool,
    facts: Facts,
    committed: Option<LogId>,
    /// `committed` as the files have it.
    committed_written: Option<LogId>,
    /// Oldest first, contiguous.
    index: VecDeque<At>,
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// Bytes of the newest segment: in all, and on disk.
    end: u64,
    durable: u64,
    /// What was written after `durable`: written again when flushing finds no room.
    unflushed: Vec<u8>,
    /// What a crash left at the end, where it is only read.
    pub cut: Option<Cut>,
    /// Held as long as the log is open.
    lock: Option<File>,
}

/// A write that a crash cut short: nobody was promised anything of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// What one flush is to make durable.
pub struct Flush {
    file: Arc<File>,
    segment: u64,
    end: u64,
}

impl Flush {
    /// Waits for the disk.
    pub fn run(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Wal {
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn committed(&self) -> Option<LogId> {
        self.committed
    }

    /// Goes into the files with the next write.
    pub fn set_committed(&mut self, committed: Option<LogId>) {
        self.committed = committed;
    }

    /// The newest entry, or the one up to which all are gone.
    pub fn last(&self) -> Option<LogId> {
        self.index.back().map(|at| at.id).or(self.facts.purged)
    }

    /// The oldest entry that is there.
    pub fn first(&self) -> Option<LogId> {
        self.index.front().map(|at| at.id)
    }

    /// The newest file, for sentences.
    pub fn path(&self) -> &Path {
        self.segments.back().map_or(&self.dir, |s| &s.path)
    }

    /// Writes entries behind the last one. All or none: after an error the same entries may be tried again.
    pub fn append<B: AsRef<[u8]>>(&mut self, entries: &[(LogId, B)]) -> io::Result<()> {
        if self.end >= SEGMENT_BYTES {
            self.begin_segment_if_there_is_room()?;
        }
        let mut bytes =
            Vec::with_capacity(entries.iter().map(|(_, data)| data.as_ref().len() + HEAD + ENTRY_HEAD).sum());
        self.note_committed(&mut bytes);
        let mut places = Vec::with_capacity(entries.len());
        let segment = self.segments.back().expect("one is open").number;
        for (id, data) in entries {
            let offset = bytes.len();
            record::write(&mut bytes, self.durable, &Record::Entry { id: *id, data: data.as_ref() });
            let length = u32::try_from(bytes.len() - offset).expect("an entry is smaller than 4 GiB");
            places.push(At { id: *id, segment, offset: self.end + offset as u64, length });
        }
        self.write(&bytes)?;
        self.committed_written = self.committed;
        for at in places {
            self.index_entry(at);
        }
        Ok(())
    }

    /// Changes what is known beside the entries.
    pub fn change(&mut self, change: impl FnOnce(&mut Facts)) -> io::Result<()> {
        let mut facts = self.facts.clone();
        change(&mut facts);
        facts.last = self.last();
        let mut bytes = Vec::new();
        self.note_committed(&mut bytes);
        record::write(&mut bytes, self.durable, &Record::Facts(&pack(&facts)));
        self.write(&bytes)?;
        self.committed_written = self.committed;
        self.facts = facts;
        Ok(())
    }

    /// Takes entries from `from` on out.
    pub fn truncate(&mut self, from: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        record::write(&mut bytes, self.durable, &Record::Truncate { from });
        self.write(&bytes)?;
        self.drop_from(from);
        Ok(())
    }

    /// Lets entries up to `upto` go, and the files that hold nothing else.
    pub fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.change(|facts| facts.purged = facts.purged.max(Some(upto)))?;
        self.drop_purged();
        while self.segments.len() > 1 && self.segments[0].last <= self.facts.purged {
            std::fs::remove_file(&self.segments[0].path)?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Bytes of the entries behind `index`.
    pub fn bytes_after(&self, index: u64) -> u64 {
        self.index.iter().rev().take_while(|at| at.id.index > index).map(|at| u64::from(at.length)).sum()
    }

    /// The id of entry `index`.
    pub fn id_of(&self, index: u64) -> Option<LogId> {
        self.at(index).map(|at| at.id)
    }

    fn at(&self, index: u64) -> Option<&At> {
        let first = self.index.front()?.id.index;
        self.index.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// The data of the entries in `range` that are there. Errors name the file.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<Vec<u8>>> {
        let Some(first) = self.index.front().map(|at| at.id.index) else { return Ok(Vec::new()) };
        let from = range.start.max(first);
        (from..range.end).map_while(|index| self.at(index)).map(|at| self.read_one(at)).collect()
    }

    fn read_one(&self, at: &At) -> io::Result<Vec<u8>> {
        let oldest = self.segments[0].number;
        let segment = &self.segments[(at.segment - oldest) as usize];
        let named = |what: &str| {
            let (path, offset, index) = (segment.path.display(), at.offset, at.id.index);
            io::Error::new(io::ErrorKind::InvalidData, format!("{path}: entry {index} at byte {offset} {what}"))
        };
        let mut bytes = vec![0; at.length as usize];
        segment.file.read_exact_at(&mut bytes, at.offset).map_err(|e| named(&format!("can't be read: {e}")))?;
        match record::read(&bytes) {
            Ok((_, Record::Entry { id, .. }, _)) if id == at.id => Ok(bytes.split_off(HEAD + ENTRY_HEAD)),
            _ => Err(named("does not match its checksum")),
        }
    }

    /// What has to be flushed; `None`: nothing.
    pub fn to_flush(&self) -> Option<Flush> {
        let newest = self.segments.back()?;
        let flush = || Flush { file: newest.file.clone(), segment: newest.number, end: self.end };
        (self.keeps && self.durable < self.end).then(flush)
    }

    /// The flush was done.
    pub fn flushed(&mut self, flush: &Flush) {
        let newest = self.segments.back().map(|s| s.number);
        if newest == Some(flush.segment) && flush.end > self.durable {
            self.unflushed.drain(..(flush.end - self.durable) as usize);
            self.durable = flush.end;
        }
    }

    /// The flush found no room: what it was to keep may be gone from the system's memory, and is written again.
    pub fn write_again(&self) -> io::Result<()> {
        let newest = self.segments.back().expect("one is open");
        newest.file.write_all_at(&self.unflushed, self.durable)
    }

    /// Flushes everything.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(flush) = self.to_flush() {
            flush.run()?;
            self.flushed(&flush);
        }
        Ok(())
    }

    /// Writes behind the end. On an error the end stays where it was.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let newest = self.segments.back().expect("one is open");
        if let Err(error) = newest.file.write_all_at(bytes, self.end) {
            // What was written of it gives its room back; if that fails too, the next try overwrites it.
            let _ = newest.file.set_len(self.end);
            return Err(error);
        }
        self.end += bytes.len() as u64;
        if self.keeps {
            self.unflushed.extend_from_slice(bytes);
        } else {
            self.durable = self.end;
        }
        Ok(())
    }

    fn note_committed(&self, bytes: &mut Vec<u8>) {
        if let Some(committed) = self.committed.filter(|_| self.committed != self.committed_written) {
            record::write(bytes, self.durable, &Record::Committed(committed));
        }
    }

    fn index_entry(&mut self, at: At) {
        if self.index.back().is_some_and(|last| last.id.index.checked_add(1) != Some(at.id.index)) {
            // Entries are contiguous; behind a gap (a snapshot took its place) the log begins anew.
            self.index.clear();
        }
        self.index.push_back(at);
    }

    fn drop_from(&mut self, from: u64) {
        while self.index.pop_back_if(|at| at.id.index >= from).is_some() {}
    }

    fn drop_purged(&mut self) {
        let Some(purged) = self.facts.purged else { return };
        while self.index.pop_front_if(|at| at.id.index <= purged.index).is_some() {}
    }

    /// A full segment is closed and the next one begun. Without room for it the old one is written on.
    fn begin_segment_if_there_is_room(&mut self) -> io::Result<()> {
        self.flush()?;
        match self.begin_segment() {
            Err(error) if super::room::is_missing(&error) => Ok(()),
            done => done,
        }
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |s| s.number + 1);
        let path = self.dir.join(format!("{number:010}.log"));
        let facts = Facts { last: self.last(), ..self.facts.clone() };
        let mut bytes = MAGIC.to_vec();
        record::write(&mut bytes, 0, &Record::Facts(&pack(&facts)));
        if let Some(committed) = self.committed {
            record::write(&mut bytes, 0, &Record::Committed(committed));
        }
        // Under its own name only once it is whole: a segment that begins in another way is a damaged one.
        let unfinished = path.with_extension("unfinished");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
        if let Err(error) = self.fill(&file, &bytes, &unfinished, &path) {
            let _ = std::fs::remove_file(&unfinished);
            return Err(error);
        }
        if let Some(full) = self.segments.back_mut() {
            full.last = facts.last;
        }
        self.segments.push_back(Segment { number, path, file: Arc::new(file), last: None });
        (self.end, self.durable) = (bytes.len() as u64, bytes.len() as u64);
        self.unflushed.clear();
        Ok(())
    }

    fn fill(&self, file: &File, bytes: &[u8], unfinished: &Path, path: &Path) -> io::Result<()> {
        file.write_all_at(bytes, 0)?;
        if self.keeps {
            file.sync_all()?;
        }
        std::fs::rename(unfinished, path)?;
        if self.keeps {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}

fn pack(facts: &Facts) -> Vec<u8> {
    rmp_serde::to_vec_named(facts).expect("facts serialise to memory")
}
