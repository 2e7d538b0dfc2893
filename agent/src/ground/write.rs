//! Making and changing things below a directory: no link is ever followed, no way is gone twice.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, Error, Kind, Meta, walk};

/// Permissions and owner of what is made. An owner is only set by root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub mode: u32,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Attr {
    pub fn mode(mode: u32) -> Attr {
        Attr { mode, uid: None, gid: None }
    }

    pub fn owned(self, uid: u32, gid: u32) -> Attr {
        Attr { uid: Some(uid), gid: Some(gid), ..self }
    }

    /// Whether something has it already.
    pub fn is(&self, meta: &Meta) -> bool {
        let same = |wanted: Option<u32>, is: u32| wanted.is_none_or(|w| w == is);
        meta.mode() == self.mode && same(self.uid, meta.uid()) && same(self.gid, meta.gid())
    }

    /// Sets it on an open file or directory, where it differs.
    pub fn set(&self, fd: impl AsFd) -> std::io::Result<()> {
        let meta = Meta::of(&fd)?;
        let other = |wanted: Option<u32>, is: u32| wanted.filter(|w| *w != is);
        let (uid, gid) = (other(self.uid, meta.uid()), other(self.gid, meta.gid()));
        if (uid.is_some() || gid.is_some()) && rustix::process::geteuid().is_root() {
            let (uid, gid) = (uid.map(rustix::fs::Uid::from_raw), gid.map(rustix::fs::Gid::from_raw));
            rustix::fs::fchown(&fd, uid, gid)?;
        }
        // After the owner: a change of owner takes set-id bits away.
        if Meta::of(&fd)?.mode() != self.mode {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(self.mode))?;
        }
        Ok(())
    }
}

impl Dir {
    /// The directory that `path` lies in, and its name there.
    fn parent(&self, path: &Path) -> Result<(Dir, OsString), Error> {
        let mut names = walk::names(path)?;
        let name = names.pop().ok_or_else(|| Error::Name { path: path.to_owned() })?;
        Ok((self.dir(&names.iter().collect::<std::path::PathBuf>())?, name))
    }

    /// Sets permissions and owner of the directory itself.
    pub fn set(&self, attr: Attr) -> Result<(), Error> {
        let fd = self.opened().map_err(Error::io("opening", &self.path))?;
        attr.set(fd).map_err(|source| Error::Io {
            doing: "setting the permissions of",
            path: self.path.clone(),
            source,
        })
    }

    /// A directory below, made where it is missing, in a directory that is there; it has these permissions afterwards.
    pub fn make_dir(&self, path: &Path, attr: Attr) -> Result<Dir, Error> {
        let (parent, name) = self.parent(path)?;
        let made = parent.make(&name)?;
        made.0.set(attr)?;
        Ok(made.0)
    }

    /// Like [`Dir::make_dir`]; a link, a pipe or the like that has the name goes away for it. A file stays: it may hold
    /// something.
    pub fn renew_dir(&self, path: &Path, attr: Attr) -> Result<Dir, Error> {
        match self.make_dir(path, attr) {
            Err(Error::Link { .. }) => {}
            Err(Error::NotADirectory { kind, .. }) if kind != Kind::File => {}
            done => return done,
        }
        self.remove_file(path)?;
        self.make_dir(path, attr)
    }

    /// A directory below; those of the way that are missing are made with these permissions, the others stay as they are.
    pub fn make_dirs(&self, path: &Path, attr: Attr) -> Result<Dir, Error> {
        let mut at = self.again()?;
        for name in walk::names(path)? {
            let (next, new) = at.make(&name)?;
            if new {
                next.set(attr)?;
            }
            at = next;
        }
        Ok(at)
    }

    fn make(&self, name: &OsStr) -> Result<(Dir, bool), Error> {
        let made = rustix::fs::mkdirat(&self.fd, Path::new(name), Mode::from_raw_mode(0o700));
        match made {
            Ok(()) | Err(Errno::EXIST) => Ok((self.dir(Path::new(name))?, made.is_ok())),
            Err(errno) => Err(Error::io("creating", &self.path.join(name))(errno)),
        }
    }

    /// A file that was not there before.
    pub fn create_new(&self, path: &Path, mode: u32) -> Result<File, Error> {
        let (parent, name) = self.parent(path)?;
        parent.create_here(&name, mode)
    }

    fn create_here(&self, name: &OsStr, mode: u32) -> Result<File, Error> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::openat(&self.fd, Path::new(name), flags, Mode::from_raw_mode(mode));
        fd.map(File::from).map_err(Error::io("creating", &self.path.join(name)))
    }

    /// An empty file of that name, whatever had the name before; a directory stays, and is an error.
    pub fn create(&self, path: &Path, mode: u32) -> Result<File, Error> {
        let (parent, name) = self.parent(path)?;
        // A task may put something there again and again: it wins the name, not the file.
        for _ in 0..16 {
            parent.remove_here(&name)?;
            match parent.create_here(&name, mode) {
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        Err(Error::io("creating", &self.path.join(path))(Errno::EXIST))
    }

    /// A file to write at its end: the one that is there, if it is a regular file of one name, else a new one.
    pub fn append(&self, path: &Path, mode: u32) -> Result<File, Error> {
        let (parent, name) = self.parent(path)?;
        match parent.find_plain(Path::new(&name)) {
            Ok(found) => found.open(OFlags::WRONLY | OFlags::APPEND),
            Err(error) if error.not_found() => parent.create_here(&name, mode),
            Err(error) => Err(error),
        }
    }

    /// Opens a file that is there to change it in place, if it is a regular file of one name.
    pub fn change(&self, path: &Path) -> Result<File, Error> {
        self.find_plain(path)?.open(OFlags::RDWR)
    }

    /// A new file under a name of its own in this directory, to be filled and then moved to where it belongs.
    pub fn temporary(&self, hint: &str) -> Result<(File, OsString), Error> {
        let name = OsString::from(format!(".{hint}.{:016x}", rand::random::<u64>()));
        // Nobody else reads it while it is being written.
        Ok((self.create_here(&name, 0o600)?, name))
    }

    /// Writes a file so that readers see the old or the new one whole. What was there before, a link too, is replaced.
    pub fn replace(&self, path: &Path, bytes: &[u8], attr: Attr) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        let (mut file, temporary) = parent.temporary("new")?;
        let written = file.write_all(bytes).and_then(|()| attr.set(&file));
        let failed = |source| Error::Io { doing: "writing", path: self.path.join(path), source };
        let done = written.map_err(failed).and_then(|()| parent.rename(&temporary, &parent, &name));
        if done.is_err() {
            let _ = parent.remove_here(&temporary);
        }
        done
    }

    /// Moves an entry of this directory to another one.
    pub fn rename(&self, from: &OsStr, to: &Dir, name: &OsStr) -> Result<(), Error> {
        let moved = rustix::fs::renameat(&self.fd, Path::new(single(from)?), &to.fd, Path::new(single(name)?));
        moved.map_err(Error::io("moving", &self.path.join(from)))
    }

    /// Makes a symbolic link; what it leads to is not looked at.
    pub fn symlink(&self, path: &Path, target: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        let made = rustix::fs::symlinkat(target, &parent.fd, Path::new(&name));
        made.map_err(Error::io("linking", &self.path.join(path)))
    }

    /// Takes a name away, of anything but a directory; one that is not there is gone already.
    pub fn remove_file(&self, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        parent.remove_here(&name)
    }

    pub(super) fn remove_here(&self, name: &OsStr) -> Result<(), Error> {
        match rustix::fs::unlinkat(&self.fd, Path::new(name), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(Error::IsADirectory { path: self.path.join(name) }),
            Err(errno) => Err(Error::io("removing", &self.path.join(name))(errno)),
        }
    }

    /// Takes an empty directory away; one that is not there is gone already.
    pub fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::unlinkat(&parent.fd, Path::new(&name), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("removing", &self.path.join(path))(errno)),
        }
    }

    /// Whether there is anything of that name, a link that leads nowhere too.
    pub fn has(&self, path: &Path) -> bool {
        self.find_plain(path).map_or_else(|error| matches!(error, Error::Link { .. }), |_| true)
    }
}

/// A name that leads nowhere else.
fn single(name: &OsStr) -> Result<&OsStr, Error> {
    match walk::names(Path::new(name)) {
        Ok(names) if names.len() == 1 && names[0] == name => Ok(name),
        _ => Err(Error::Name { path: name.into() }),
    }
}
