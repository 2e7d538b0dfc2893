//! The one place where the agent opens what lies below a directory that a task can write.
//!
//! A task owns its directories: between two looks it may put a link, a pipe or a device where a file was, or a link where
//! a directory was. So nothing here is opened by a whole path. A [`Dir`] is an open directory; what lies below it is found
//! step by step, without following links (`openat2` does it in one call where the kernel has it), as a bare handle that
//! touches nothing; the handle is looked at, and only a regular file or a directory is opened, through that same handle.
//!
//! Reading follows a link that stays inside (`current -> release-1`): the link is read here and its target is looked for
//! from the top again. Writing never follows links.
//!
//! Start at [`Dir::trusted`] and [`Dir::find`]; the way below a directory is in [`walk`], writing in [`write`], removing
//! whole trees in [`remove`], mounts in [`mounts`]. All of it blocks: [`Threads`] is where the async side lets it run.

mod meta;
mod mounts;
mod remove;
mod threads;
mod walk;
mod write;

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

pub use meta::{Kind, Meta};
pub use mounts::is_mount_point;
pub use threads::{Busy, Threads};
pub use walk::{Found, names};
pub use write::Attr;

/// Most entries of one directory that are listed: a task may make millions, and the list is held in memory.
pub const MOST_ENTRIES: usize = 100_000;

/// Why something below a directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Path escapes the alloc directory")]
    Escapes,
    #[error("{path} is {kind}: only regular files and directories are opened here")]
    Kind { path: PathBuf, kind: Kind },
    #[error("{path} is {kind}, not a directory")]
    NotADirectory { path: PathBuf, kind: Kind },
    #[error("{path} is a directory")]
    IsADirectory { path: PathBuf },
    /// Something was to be written through it.
    #[error("{path} is a symbolic link, and nothing is written through links")]
    Link { path: PathBuf },
    #[error("{path} leads over too many symbolic links")]
    Links { path: PathBuf },
    #[error("{path} is a file with several names (hard links), which may be somebody else's")]
    SeveralNames { path: PathBuf },
    #[error("{path} has more than {most} entries")]
    Entries { path: PathBuf, most: usize },
    #[error("{path} is larger than {most} bytes")]
    TooLarge { path: PathBuf, most: u64 },
    #[error("{path} can't be the name of a file")]
    Name { path: PathBuf },
    #[error("{doing} {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// There is nothing of that name.
    pub fn not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Something stands in the way that is neither a regular file of its own nor a directory.
    pub fn is_odd(&self) -> bool {
        match self {
            Error::Kind { .. } | Error::Link { .. } | Error::SeveralNames { .. } | Error::IsADirectory { .. } => true,
            Error::NotADirectory { .. } => true,
            Error::Escapes | Error::Links { .. } | Error::Entries { .. } | Error::TooLarge { .. } => false,
            Error::Name { .. } | Error::Io { .. } => false,
        }
    }

    fn io(doing: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Error + use<> {
        let path = path.to_owned();
        move |errno| Error::Io { doing, path, source: errno.into() }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::IsADirectory { .. } => std::io::ErrorKind::IsADirectory,
            Error::NotADirectory { .. } => std::io::ErrorKind::NotADirectory,
            _ => std::io::ErrorKind::PermissionDenied,
        };
        std::io::Error::new(kind, crate::chain(&error))
    }
}

/// What the kernel does for us; the other way each is tested too.
#[derive(Clone, Copy, Debug)]
struct Ways {
    /// `openat2` (Linux 5.6; some sandboxes refuse it).
    openat2: bool,
    /// `fs.protected_hardlinks`: nobody gives a second name to a file that he may not write.
    links_guarded: bool,
}

impl Ways {
    fn of_this_machine() -> Ways {
        static FOUND: std::sync::OnceLock<Ways> = std::sync::OnceLock::new();
        *FOUND.get_or_init(|| Ways { openat2: walk::has_openat2(), links_guarded: hard_links_guarded() })
    }
}

#[allow(clippy::disallowed_methods, reason = "a file of the kernel, which no task writes")]
fn hard_links_guarded() -> bool {
    std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.trim() != "0")
}

/// An open directory: what is below it is reached from here and from nowhere else.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// Where it was when it was opened: for messages, and for links that name it.
    path: PathBuf,
    ways: Ways,
}

impl Dir {
    /// Opens a directory by its path. The caller vouches that no task can write anything above it: the agent's own
    /// `alloc_dir`, or an allocation's directory in it.
    pub fn trusted(path: &Path) -> Result<Dir, Error> {
        Dir::with(path, Ways::of_this_machine())
    }

    fn with(path: &Path, ways: Ways) -> Result<Dir, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(Error::io("opening", path))?;
        Ok(Dir { fd, path: path.to_owned(), ways })
    }

    /// The same directory again.
    pub fn again(&self) -> Result<Dir, Error> {
        let fd =
            self.fd.try_clone().map_err(|source| Error::Io { doing: "opening", path: self.path.clone(), source })?;
        Ok(Dir { fd, path: self.path.clone(), ways: self.ways })
    }

    /// Where it was when it was opened. To be shown, not to be opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn meta(&self) -> Result<Meta, Error> {
        Meta::of(&self.fd).map_err(Error::io("looking at", &self.path))
    }

    /// More than a bare handle: to list it, or to set what it is.
    fn opened(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, ".", flags, Mode::empty())
    }

    /// The names in it, in no order.
    pub fn names(&self) -> Result<Vec<OsString>, Error> {
        let failed = || Error::io("listing", &self.path);
        let mut found = Vec::new();
        let entries = self.opened().and_then(rustix::fs::Dir::new).map_err(failed())?;
        for entry in entries {
            let name = entry.map_err(failed())?.file_name().to_bytes().to_vec();
            if matches!(name.as_slice(), b"." | b"..") {
                continue;
            }
            if found.len() == MOST_ENTRIES {
                return Err(Error::Entries { path: self.path.clone(), most: MOST_ENTRIES });
            }
            found.push(OsString::from_vec(name));
        }
        Ok(found)
    }

    /// What one of its own entries is, links not followed.
    pub fn entry(&self, name: &std::ffi::OsStr) -> Result<Meta, Error> {
        let stat = rustix::fs::statat(&self.fd, Path::new(name), AtFlags::SYMLINK_NOFOLLOW);
        stat.map(Meta::from).map_err(Error::io("looking at", &self.path.join(name)))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
