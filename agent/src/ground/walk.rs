//! The way from a directory to what lies below it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Dir, Error, Kind, Meta};

/// Links on one way, as many as the kernel itself would follow.
const MOST_LINKS: usize = 40;
/// Steps of one way with links in it: each is opened from the top, so long ways cost the square of their length.
const MOST_STEPS: usize = 1024;
/// A handle that only names a thing: opening it wakes no device, waits for no pipe and needs no permission on it.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) fn has_openat2() -> bool {
    rustix::fs::openat2(CWD, "/", HANDLE, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok()
}

/// The names on a way: a leading `/` means the top, `..` may not climb above it.
pub fn names(path: &Path) -> Result<Vec<OsString>, Error> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => drop(names.pop().ok_or(Error::Escapes)?),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

/// Something below a directory, held by a handle: it stays this very thing, whatever happens to its name.
#[derive(Debug)]
pub struct Found {
    handle: OwnedFd,
    meta: Meta,
    real: PathBuf,
    link: Option<Meta>,
    dir: PathBuf,
    ways: super::Ways,
}

impl Found {
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The way to it from the top, without links.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// What the path itself named, when that was a link.
    pub fn link(&self) -> Option<&Meta> {
        self.link.as_ref()
    }

    fn shown(&self) -> PathBuf {
        self.dir.join(&self.real)
    }

    /// Opens it to read: a regular file only.
    pub fn file(&self) -> Result<File, Error> {
        self.open(OFlags::RDONLY)
    }

    /// Opens it in the way asked: the handle is a regular file, so nothing can wait or wake. Writing needs a file with one
    /// name: another name may be in another's directory.
    pub(super) fn open(&self, flags: OFlags) -> Result<File, Error> {
        let path = || self.shown();
        match self.meta.kind() {
            Kind::File => {}
            Kind::Dir => return Err(Error::IsADirectory { path: path() }),
            kind => return Err(Error::Kind { path: path(), kind }),
        }
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        if self.meta.links() > 1 && (writes || !self.ways.links_guarded) {
            return Err(Error::SeveralNames { path: path() });
        }
        // The one way to open a handle's own file: through the kernel's name for the handle. Not waiting also covers a
        // lease that the task took on the file.
        let own = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::open(own, flags, Mode::empty()).map_err(Error::io("opening", &path()))?;
        Ok(File::from(fd))
    }

    /// Gives it further permission bits, when it is a regular file of one name.
    pub fn permit(&self, bits: u32) -> Result<(), Error> {
        if self.meta.links() > 1 {
            return Err(Error::SeveralNames { path: self.shown() });
        }
        let file = self.file()?;
        let mode = Mode::from_raw_mode(self.meta.mode() | bits);
        rustix::fs::fchmod(file, mode).map_err(Error::io("setting the permissions of", &self.shown()))
    }

    /// Everything in the file, when it is no larger than `most` bytes.
    pub fn bytes(&self, most: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self.file()?.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| Error::Io { doing: "reading", path: self.shown(), source })?;
        if bytes.len() as u64 > most {
            return Err(Error::TooLarge { path: self.shown(), most });
        }
        Ok(bytes)
    }

    /// It as a directory.
    pub fn into_dir(self) -> Result<Dir, Error> {
        let path = self.shown();
        match self.meta.kind() {
            Kind::Dir => Ok(Dir { fd: self.handle, path, ways: self.ways }),
            kind => Err(Error::NotADirectory { path, kind }),
        }
    }
}

impl AsRawFd for Found {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.handle.as_raw_fd()
    }
}

impl Dir {
    /// Finds what `path` names below here. Links are followed as long as they stay below.
    pub fn find(&self, path: &Path) -> Result<Found, Error> {
        let names = names(path)?;
        // Mostly there is no link on the way: then one call finds it.
        match self.handle(&names) {
            Ok((handle, meta)) if meta.kind() != Kind::Link => Ok(self.found(handle, meta, names, None)),
            Ok(_) | Err(Errno::LOOP | Errno::NOTDIR) => self.find_over_links(path, names),
            Err(errno) => Err(Error::io("opening", &self.path.join(path))(errno)),
        }
    }

    /// Finds what `path` names below here when there is no link on the way.
    pub fn find_plain(&self, path: &Path) -> Result<Found, Error> {
        let names = names(path)?;
        let shown = || self.path.join(path);
        match self.handle(&names) {
            Ok((_, meta)) if meta.kind() == Kind::Link => Err(Error::Link { path: shown() }),
            Ok((handle, meta)) => Ok(self.found(handle, meta, names, None)),
            Err(Errno::LOOP) => Err(Error::Link { path: shown() }),
            Err(errno) => Err(Error::io("opening", &shown())(errno)),
        }
    }

    /// A directory below, no link on the way.
    pub fn dir(&self, path: &Path) -> Result<Dir, Error> {
        self.find_plain(path)?.into_dir()
    }

    /// Where one of its own entries leads, when that is a link.
    pub fn target(&self, name: &OsStr) -> Result<PathBuf, Error> {
        let target = rustix::fs::readlinkat(&self.fd, Path::new(name), Vec::new());
        let target = target.map_err(Error::io("reading the link", &self.path.join(name)))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
    }

    /// A regular file below, to read; links that stay below are followed.
    pub fn read(&self, path: &Path) -> Result<File, Error> {
        self.find(path)?.file()
    }

    fn found(&self, handle: OwnedFd, meta: Meta, names: Vec<OsString>, link: Option<Meta>) -> Found {
        Found { handle, meta, real: names.iter().collect(), link, dir: self.path.clone(), ways: self.ways }
    }

    fn find_over_links(&self, path: &Path, names: Vec<OsString>) -> Result<Found, Error> {
        let failed = || Error::io("opening", &self.path.join(path));
        let too_many = || Error::Links { path: self.path.join(path) };
        let mut todo = VecDeque::from(names);
        let (mut real, mut link, mut links) = (Vec::new(), None, 0);
        let mut reached = self.handle(&real).map_err(failed())?;
        for _ in 0..MOST_STEPS {
            let Some(name) = todo.pop_front() else {
                return Ok(self.found(reached.0, reached.1, real, link));
            };
            match name.as_bytes() {
                b"." => {}
                b".." => drop(real.pop().ok_or(Error::Escapes)?),
                _ => real.push(name),
            }
            reached = self.handle(&real).map_err(failed())?;
            if reached.1.kind() != Kind::Link {
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(too_many());
            }
            if todo.is_empty() && link.is_none() {
                link = Some(reached.1);
            }
            let target = rustix::fs::readlinkat(&reached.0, "", Vec::new()).map_err(failed())?;
            real.pop();
            self.follow(Path::new(OsStr::from_bytes(target.to_bytes())), &mut real, &mut todo)?;
        }
        Err(too_many())
    }

    /// Puts a link's target before what is left of the way. One from the root of all must name this directory.
    fn follow(&self, target: &Path, real: &mut Vec<OsString>, todo: &mut VecDeque<OsString>) -> Result<(), Error> {
        let target = match target.is_absolute() {
            true => {
                real.clear();
                target.strip_prefix(&self.path).map_err(|_| Error::Escapes)?
            }
            false => target,
        };
        // The step that is made even when the target has none of its own: the link itself must not be handed out.
        todo.push_front(OsString::from("."));
        for part in target.components().rev() {
            match part {
                Component::Normal(name) => todo.push_front(name.to_owned()),
                Component::ParentDir => todo.push_front(OsString::from("..")),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        Ok(())
    }

    /// A handle on what these names lead to; the last one may be a link, which is then what is handed out.
    fn handle(&self, names: &[OsString]) -> rustix::io::Result<(OwnedFd, Meta)> {
        let fd = match names {
            [] => rustix::fs::openat(&self.fd, ".", HANDLE, Mode::empty())?,
            _ if self.ways.openat2 => self.at_once(&names.iter().collect::<PathBuf>())?,
            _ => self.step_by_step(names)?,
        };
        let meta = Meta::of(&fd)?;
        Ok((fd, meta))
    }

    fn at_once(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.fd, path, HANDLE, Mode::empty(), resolve)
    }

    fn step_by_step(&self, names: &[OsString]) -> rustix::io::Result<OwnedFd> {
        let mut at = None;
        for name in names {
            let next = match &at {
                None => rustix::fs::openat(&self.fd, Path::new(name), HANDLE, Mode::empty())?,
                Some(fd) if Meta::of(fd)?.kind() == Kind::Link => return Err(Errno::LOOP),
                Some(fd) => rustix::fs::openat(fd, Path::new(name), HANDLE, Mode::empty())?,
            };
            at = Some(next);
        }
        at.ok_or(Errno::INVAL)
    }
}
