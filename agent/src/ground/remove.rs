//! Removing whole trees that a task made, as deep and as wide as it liked.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Dir, Error};

/// Levels that are gone down with an open directory each. What lies deeper is moved up first: a tree of a hundred
/// thousand levels must cost neither as many descriptors nor the stack.
const DEPTH: usize = 32;
/// Tries at a directory that fills again while it is emptied: something that escaped its task still writes there.
const PASSES: usize = 8;
/// Names taken from a directory at a time: it may hold millions.
const BATCH: usize = 4096;

impl Dir {
    /// Removes whatever has that name, with all that is below. Mounts are not entered: they are an error. What is not
    /// there is gone already.
    pub fn remove_tree(&self, path: &Path) -> Result<(), Error> {
        let mut names = super::names(path)?;
        let name = names.pop().ok_or_else(|| Error::Name { path: path.to_owned() })?;
        let parent = match self.dir(&names.iter().collect::<PathBuf>()) {
            Err(error) if error.not_found() => return Ok(()),
            found => found?,
        };
        let device = parent.meta()?.device();
        let mut removal = Removal { top: &parent, device, lifted: vec![name] };
        while let Some(name) = removal.lifted.pop() {
            removal.entry(&parent, &name, 0)?;
        }
        Ok(())
    }
}

struct Removal<'a> {
    /// Where deep directories are moved to.
    top: &'a Dir,
    device: u64,
    /// Names at the top that are still to be removed.
    lifted: Vec<OsString>,
}

impl Removal<'_> {
    fn entry(&mut self, parent: &Dir, name: &OsStr, depth: usize) -> Result<(), Error> {
        match parent.remove_here(name) {
            // Some file systems say "not permitted" of a directory.
            Err(Error::IsADirectory { .. }) => self.directory(parent, name, depth),
            Err(error) => match parent.entry(name) {
                Ok(meta) if meta.is_dir() => self.directory(parent, name, depth),
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    fn directory(&mut self, parent: &Dir, name: &OsStr, depth: usize) -> Result<(), Error> {
        if depth >= DEPTH {
            return self.lift(parent, name);
        }
        for _ in 0..PASSES {
            match rustix::fs::unlinkat(parent, Path::new(name), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                // It became something else a moment ago.
                Err(Errno::NOTDIR) => return parent.remove_here(name),
                Err(errno) => return Err(Error::io("removing", &parent.path().join(name))(errno)),
            }
            self.empty(parent, name, depth)?;
        }
        match rustix::fs::unlinkat(parent, Path::new(name), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("removing", &parent.path().join(name))(errno)),
        }
    }

    fn empty(&mut self, parent: &Dir, name: &OsStr, depth: usize) -> Result<(), Error> {
        let dir = match parent.dir(Path::new(name)) {
            Err(error) if error.not_found() => return Ok(()),
            found => found?,
        };
        if dir.meta()?.device() != self.device {
            return Err(Error::io("removing", dir.path())(Errno::XDEV));
        }
        loop {
            let batch = some_names(&dir)?;
            for name in &batch {
                self.entry(&dir, name, depth + 1)?;
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Moves a directory that lies too deep up to the top, to be removed there afterwards.
    fn lift(&mut self, parent: &Dir, name: &OsStr) -> Result<(), Error> {
        let up = OsString::from(format!(".removed.{:016x}", rand::random::<u64>()));
        parent.rename(name, self.top, &up)?;
        self.lifted.push(up);
        Ok(())
    }
}

fn some_names(dir: &Dir) -> Result<Vec<OsString>, Error> {
    let failed = || Error::io("listing", dir.path());
    let mut names = Vec::new();
    for entry in dir.opened().and_then(rustix::fs::Dir::new).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(OsString::from_vec(name));
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}
