//! Opening the log: reads every segment, and tells what a crash left from what is damaged.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{self, Broken, HEAD, Record};
use super::{At, Cut, Facts, MAGIC, Segment, Wal};

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another process has {} open", path.display())]
    Locked { path: PathBuf },
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Damaged { path: PathBuf, offset: u64, why: &'static str },
    #[error("{} is missing", path.display())]
    Missing { path: PathBuf },
}

impl OpenError {
    /// Is it the content that is wrong? Then there are other ways out than for what the system refuses.
    pub fn is_damage(&self) -> bool {
        matches!(self, OpenError::Damaged { .. } | OpenError::Missing { .. })
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { path: path.to_owned(), source }
}

impl Wal {
    /// Opens or creates the log in `dir`. Without `keeps` nothing is flushed.
    pub fn open(dir: &Path, keeps: bool) -> Result<Wal, OpenError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let mut wal = Wal::closed(dir, keeps);
        wal.lock = Some(lock(&dir.join("lock"))?);
        wal.load_all(false)?;
        wal.committed_written = wal.committed;
        if wal.segments.is_empty() {
            wal.begin_segment().map_err(at(dir))?;
        }
        Ok(wal)
    }

    /// Does a folder hold the files of a log?
    pub fn is_in(dir: &Path) -> bool {
        std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|entry| number_of(&entry.path()).is_some()))
    }

    /// Nothing is read of it yet.
    pub fn closed(dir: &Path, keeps: bool) -> Wal {
        Wal {
            dir: dir.to_owned(),
            keeps,
            facts: Facts::default(),
            committed: None,
            committed_written: None,
            index: VecDeque::new(),
            segments: VecDeque::new(),
            end: 0,
            durable: 0,
            unflushed: Vec::new(),
            cut: None,
            lock: None,
        }
    }

    /// Reads all of it and changes nothing, while no server has it open. After an error it holds what comes before that.
    pub fn load_to_read(&mut self) -> Result<(), OpenError> {
        self.lock = lock_to_read(&self.dir.join("lock"))?;
        self.load_all(true)
    }

    fn load_all(&mut self, only_read: bool) -> Result<(), OpenError> {
        let paths = self.paths(only_read)?;
        let newest = paths.last().map(|(number, _)| *number);
        for (number, path) in paths {
            self.check_number(number)?;
            self.load(number, path, newest == Some(number), only_read)?;
        }
        Ok(())
    }

    /// Nothing was ever told to it.
    #[cfg(test)]
    pub fn is_new(&self) -> bool {
        self.facts == Facts { last: None, ..Facts::default() } && self.index.is_empty() && self.segments.len() == 1
    }

    /// Segments, oldest first. One that was not finished is removed: nothing was promised in it.
    fn paths(&self, only_read: bool) -> Result<Vec<(u64, PathBuf)>, OpenError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let path = entry.map_err(at(&self.dir))?.path();
            if !only_read && path.extension().is_some_and(|e| e == "unfinished") {
                std::fs::remove_file(&path).map_err(at(&path))?;
            }
            found.extend(number_of(&path).map(|n| (n, path)));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn check_number(&self, number: u64) -> Result<(), OpenError> {
        match self.segments.back() {
            Some(before) if before.number + 1 != number => {
                let path = self.dir.join(format!("{:010}.log", before.number + 1));
                Err(OpenError::Missing { path })
            }
            _ => Ok(()),
        }
    }

    fn load(&mut self, number: u64, path: PathBuf, newest: bool, only_read: bool) -> Result<(), OpenError> {
        let bytes = std::fs::read(&path).map_err(at(&path))?;
        let file = OpenOptions::new().read(true).write(!only_read).open(&path).map_err(at(&path))?;
        let damaged = |offset: usize, why| OpenError::Damaged { path: path.clone(), offset: offset as u64, why };
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(damaged(0, "it does not begin as a log of this release does"));
        }
        if let Some(before) = self.segments.back_mut() {
            before.last = self.index.back().map(|at| at.id).or(self.facts.purged);
        }
        let mut offset = MAGIC.len();
        while offset < bytes.len() {
            let (record, length) = match record::read(&bytes[offset..]) {
                Ok((_, record, length)) => (record, length),
                Err(broken) => match promised_behind(&bytes, offset) || !newest {
                    true if broken == Broken::Short => return Err(damaged(offset, "the file ends within a record")),
                    true => return Err(damaged(offset, "a record does not match its checksum")),
                    false => break,
                },
            };
            let first = offset == MAGIC.len();
            let place = (number, offset as u64, u32::try_from(length).expect("records are smaller than 4 GiB"));
            self.take(record, place, first).map_err(|why| damaged(offset, why))?;
            offset += length;
        }
        if offset == MAGIC.len() {
            return Err(damaged(offset, "its first record is missing"));
        }
        if only_read {
            let rest = (bytes.len() - offset) as u64;
            self.cut = (rest > 0).then(|| Cut { path: path.clone(), offset: offset as u64, bytes: rest });
        } else if offset < bytes.len() {
            tracing::warn!(
                path = %path.display(), byte = offset, dropped = bytes.len() - offset,
                "the raft log ends with a write that was cut short; it was never acknowledged and is dropped"
            );
            file.set_len(offset as u64).map_err(at(&path))?;
        }
        (self.end, self.durable) = (offset as u64, offset as u64);
        if newest && self.keeps && !only_read {
            // What is read now may only have been on its way to the disk when the last process ended.
            file.sync_all().map_err(at(&path))?;
        }
        self.segments.push_back(Segment { number, path, file: Arc::new(file), last: None });
        Ok(())
    }

    /// One record, in the order of the files. `first` of its segment.
    fn take(&mut self, record: Record<'_>, place: (u64, u64, u32), first: bool) -> Result<(), &'static str> {
        match record {
            Record::Entry { id, .. } => {
                let (segment, offset, length) = place;
                self.index_entry(At { id, segment, offset, length });
            }
            Record::Truncate { from } => self.drop_from(from),
            Record::Committed(id) => self.committed = self.committed.max(Some(id)),
            Record::Facts(bytes) => {
                let facts: Facts = tarpan_rpc::unpack(bytes).map_err(|_| "a record can't be read")?;
                if first && self.segments.is_empty() {
                    // Older files are gone: entries before this one are too.
                    let purged = facts.purged.max(facts.last);
                    self.facts = Facts { purged, ..facts };
                } else if first && facts.last != self.last() {
                    return Err("it does not go on where the file before it ends");
                } else {
                    self.facts = Facts { purged: facts.purged.max(self.facts.purged), ..facts };
                }
                self.drop_purged();
            }
        }
        if first && !matches!(record, Record::Facts(_)) { Err("its first record is missing") } else { Ok(()) }
    }
}

/// Does a whole record behind `broken` say that the bytes at `broken` had been made durable?
fn promised_behind(bytes: &[u8], broken: usize) -> bool {
    (broken + 1..bytes.len().saturating_sub(HEAD)).any(|offset| {
        let durable = u64::from_le_bytes(bytes[offset + 8..offset + HEAD].try_into().expect("eight bytes"));
        // Looked at first: of most offsets it says already that no record begins there.
        durable > broken as u64 && durable <= offset as u64 && record::read(&bytes[offset..]).is_ok()
    })
}

/// Of a segment, by its name.
fn number_of(path: &Path) -> Option<u64> {
    path.extension().filter(|e| *e == "log")?;
    path.file_stem()?.to_str()?.parse().ok()
}

/// Shared with others who read. `None`: no server ever had it open.
fn lock_to_read(path: &Path) -> Result<Option<File>, OpenError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(at(path)(source)),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(at(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(at(path)(source)),
    }
}
