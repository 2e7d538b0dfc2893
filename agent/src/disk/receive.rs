//! Unpacks what comes of another node's disk: below a directory of its own, by `ground`, within bounds.

use std::cell::Cell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::send::{DEPTH, END};
use crate::alloc_dir::below;
use crate::artifact::{Headers, room};
use crate::ground::{self, Attr, Dir};

/// Pieces that may wait for the disk.
const PIECES: usize = 8;
/// Entries of one disk.
const MOST_ENTRIES: u64 = 1_000_000;
/// Bytes between two files: names and attributes are held in memory.
const HEADER_BYTES: u64 = 1 << 20;
/// Bytes of the sentence that says why there is no more.
const WHY: u64 = 1 << 10;

/// Why a disk was not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("it was cut off")]
    CutOff,
    #[error("reading it")]
    Read(#[source] std::io::Error),
    #[error("the node it is on says: {0}")]
    Other(String),
    #[error("it holds {0:?}, which is no part of a disk")]
    Foreign(String),
    #[error("it holds more than {MOST_ENTRIES} files and directories")]
    Many,
    #[error("it is larger than the {0} bytes that the node's disk has to spare")]
    NoRoom(u64),
    #[error(transparent)]
    Ground(#[from] ground::Error),
    #[error("writing {name:?}")]
    Write {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("unpacking it panicked: {0}")]
    Bug(String),
}

impl Error {
    /// The way is broken, and what is sent may be whole.
    pub fn cut_off(&self) -> bool {
        matches!(self, Error::CutOff)
    }
}

/// Bytes as they come, for a thread that reads.
pub(crate) struct Pipe {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

pub(crate) fn pipe() -> (mpsc::Sender<Bytes>, Pipe) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, Pipe { pieces, piece: Bytes::new() })
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let read = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

/// Says when there was nothing more to read.
struct Ending<R> {
    inner: R,
    ended: Rc<Cell<bool>>,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.ended.set(self.ended.get() || (read == 0 && !buffer.is_empty()));
        Ok(read)
    }
}

/// Everything that comes, below `to`. It is whole when this gives no error.
pub(crate) fn unpack(from: impl Read, to: &Dir, kept: &[(PathBuf, &'static str)]) -> Result<(), Error> {
    let room = room(to);
    let (ended, headers) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(Some(HEADER_BYTES))));
    let from = Headers { inner: Ending { inner: from, ended: ended.clone() }, left: headers.clone() };
    let mut archive = tar::Archive::new(from);
    let mut unpacking = Unpacking { to, kept, room, left: room, entries: MOST_ENTRIES };
    let cut = |error: std::io::Error| if ended.get() { Error::CutOff } else { Error::Read(error) };
    let mut entries = archive.entries().map_err(Error::Read)?;
    loop {
        headers.set(Some(HEADER_BYTES));
        let Some(entry) = entries.next() else { return Err(Error::CutOff) };
        headers.set(None);
        let mut entry = entry.map_err(cut)?;
        let path = entry.path().map_err(Error::Read)?.into_owned();
        if path == Path::new(END) {
            let mut why = String::new();
            (&mut entry).take(WHY).read_to_string(&mut why).map_err(Error::Read)?;
            return if why.is_empty() { Ok(()) } else { Err(Error::Other(why)) };
        }
        unpacking.entry(&mut entry, &path).map_err(|error| match error {
            Error::Read(_) if ended.get() => Error::CutOff,
            error => error,
        })?;
    }
}

struct Unpacking<'a> {
    to: &'a Dir,
    kept: &'a [(PathBuf, &'static str)],
    room: u64,
    left: u64,
    entries: u64,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, path: &Path) -> Result<(), Error> {
        self.entries = self.entries.checked_sub(1).ok_or(Error::Many)?;
        let foreign = || Error::Foreign(path.to_string_lossy().into_owned());
        let inside = below(Path::new(""), &path.to_string_lossy()).map_err(|_| foreign())?;
        let kept = self.kept.iter().any(|(parent, name)| inside.starts_with(parent.join(name)));
        if inside != path || !kept || path.components().count() > DEPTH + 2 {
            return Err(foreign());
        }
        let header = entry.header();
        let id = |id: std::io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).ok_or_else(foreign);
        let (uid, gid) = (id(header.uid())?, id(header.gid())?);
        // No set-id bits from another node.
        let mode = header.mode().map_err(|_| foreign())? & 0o1777;
        let parent = path.parent().unwrap_or(Path::new(""));
        match header.entry_type() {
            tar::EntryType::Directory => {
                // The agent goes on writing into it, whoever it is.
                self.to.make_dirs(path, Attr::mode(0o700))?.set(Attr::mode(mode | 0o700).owned(uid, gid))?;
            }
            tar::EntryType::Regular => {
                self.to.make_dirs(parent, Attr::mode(0o755))?;
                let file = self.to.create(path, 0o600)?;
                let written = self.copy(entry, &file, path)?;
                let failed = |source| Error::Write { name: path.to_string_lossy().into_owned(), source };
                if written < entry.header().size().unwrap_or(0) {
                    return Err(Error::CutOff);
                }
                Attr::mode(mode & 0o777).owned(uid, gid).set(&file).map_err(failed)?;
                let modified =
                    UNIX_EPOCH + Duration::from_secs(entry.header().mtime().unwrap_or(0).min(u64::from(u32::MAX)));
                file.set_modified(modified).map_err(failed)?;
            }
            tar::EntryType::Symlink => {
                // It is never followed here; where it leads is for the task to see, as it was.
                let target = entry.link_name().map_err(Error::Read)?.ok_or_else(foreign)?;
                self.to.make_dirs(parent, Attr::mode(0o755))?;
                self.to.remove_file(path)?;
                self.to.symlink(path, &target)?;
            }
            _ => return Err(foreign()),
        }
        Ok(())
    }

    fn copy<R: Read>(&mut self, from: &mut R, mut to: &std::fs::File, path: &Path) -> Result<u64, Error> {
        use std::io::Write;
        let mut buffer = vec![0u8; 64 << 10];
        let mut written = 0;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(written),
                Ok(read) => read,
                Err(error) => return Err(Error::Read(error)),
            };
            self.left = self.left.checked_sub(read as u64).ok_or(Error::NoRoom(self.room))?;
            let failed = |source| Error::Write { name: path.to_string_lossy().into_owned(), source };
            to.write_all(&buffer[..read]).map_err(failed)?;
            written += read as u64;
        }
    }
}
