//! The tar of what a disk keeps: regular files, directories and links as they are, with their owners.

use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::ground::{Dir, Error, Kind, Meta};

/// The last entry: empty, or why there is no more. Without it a tar was cut off.
pub(super) const END: &str = ".tarpan-end";
/// Levels of directories: each is held open.
pub(super) const DEPTH: usize = 100;
/// Bytes in one piece, and pieces that may wait for a slow reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;

/// Pieces of the tar as they are made, on a thread of its own. It ends when nobody reads any more.
pub(crate) fn stream(
    root: std::path::PathBuf,
    kept: Vec<(std::path::PathBuf, &'static str)>,
    done: impl FnOnce() + Send + 'static,
) -> mpsc::Receiver<std::io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let pieces = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE) };
        let made = Dir::trusted(&root).map_err(std::io::Error::from).and_then(|root| write(&root, &kept, pieces));
        match made {
            Ok(()) => done(),
            Err(error) => drop(sender.blocking_send(Err(error))),
        }
    });
    receiver
}

struct Pieces {
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE)));
        self.sender.blocking_send(Ok(piece)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

/// Writes what is kept below `root`. What can't be read ends it, and is told in the last entry.
pub(super) fn write(root: &Dir, kept: &[(std::path::PathBuf, &'static str)], to: impl Write) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(to);
    let mut why = String::new();
    for (parent, name) in kept {
        let path = parent.join(name);
        match root.dir(&path) {
            Ok(dir) => {
                if let Err(failed) = directory(&mut tar, &dir, &path, 0) {
                    match failed {
                        Failed::Reading(text) => why = text,
                        Failed::Writing(error) => return Err(error),
                    }
                    break;
                }
            }
            // The task took it away, or put something else there: nothing of it is kept.
            Err(error) if error.not_found() || error.is_odd() => {}
            Err(error) => {
                why = crate::chain(&error);
                break;
            }
        }
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(why.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, END, why.as_bytes())?;
    tar.into_inner()?.flush()
}

enum Failed {
    /// A sentence about the disk.
    Reading(String),
    Writing(std::io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Reading(crate::chain(&error))
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Failed {
        Failed::Writing(error)
    }
}

fn header(kind: tar::EntryType, meta: &Meta, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode());
    header.set_uid(u64::from(meta.uid()));
    header.set_gid(u64::from(meta.gid()));
    header.set_mtime(u64::try_from(meta.modified_ns() / 1_000_000_000).unwrap_or(0));
    header.set_size(size);
    header
}

fn directory(tar: &mut tar::Builder<impl Write>, dir: &Dir, path: &Path, depth: usize) -> Result<(), Failed> {
    if depth > DEPTH {
        return Err(Failed::Reading(format!("{} is more than {DEPTH} levels deep", path.display())));
    }
    tar.append_data(&mut header(tar::EntryType::Directory, &dir.meta()?, 0), path, std::io::empty())?;
    for name in dir.names()? {
        let (below, meta) = (path.join(&name), dir.entry(&name)?);
        match meta.kind() {
            Kind::Dir => directory(tar, &dir.dir(Path::new(&name))?, &below, depth + 1)?,
            Kind::File => {
                let found = dir.find_plain(Path::new(&name))?;
                let size = found.meta().len();
                // One that gets shorter meanwhile is filled up: the size stands before it.
                let bytes = found.file()?.chain(std::io::repeat(0)).take(size);
                tar.append_data(&mut header(tar::EntryType::Regular, found.meta(), size), below, bytes)?;
            }
            Kind::Link => {
                let target = dir.target(&name)?;
                tar.append_link(&mut header(tar::EntryType::Symlink, &meta, 0), below, target)?;
            }
            // Pipes, sockets and devices are of this machine.
            Kind::Pipe | Kind::Socket | Kind::CharDevice | Kind::BlockDevice | Kind::Unknown => {}
        }
    }
    Ok(())
}
