//! Network namespaces of allocations: each is kept by a file that it is mounted on, named after the allocation.
//!
//! The directory is the agent's own, below its state directory: no task sees it.

#![allow(clippy::disallowed_methods, reason = "the agent's own directory of namespaces")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use tarpan_model::AllocId;

/// The namespace of the thread that opens it.
const OWN: &str = "/proc/thread-self/ns/net";

/// The namespaces of one agent.
#[derive(Clone, Debug)]
pub struct Namespaces {
    dir: PathBuf,
}

impl Namespaces {
    pub fn new(state_dir: &Path) -> Namespaces {
        Namespaces { dir: state_dir.join("netns") }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn open(&self, id: AllocId) -> io::Result<File> {
        File::open(self.path(id))
    }

    pub fn path(&self, id: AllocId) -> PathBuf {
        self.dir.join(id.to_string())
    }

    /// Whether it is there: a file alone, as it is after a restart of the machine, is none.
    pub fn is_there(&self, id: AllocId) -> bool {
        statfs(&self.path(id)).is_ok_and(|s| s.filesystem_type() == NSFS_MAGIC)
    }

    pub fn make(&self, id: AllocId) -> io::Result<()> {
        if self.is_there(id) {
            return Ok(());
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.dir)?;
        let path = self.path(id);
        File::create(&path)?;
        apart(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(mount(Some(OWN), &path, None::<&Path>, MsFlags::MS_BIND, None::<&Path>)?)
        })
    }

    /// Does something in the namespace.
    pub fn within<T: Send>(&self, id: AllocId, call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        within(&self.open(id)?, call)
    }

    /// It lives on for whoever is still in it. One that is not there is fine.
    pub fn remove(&self, id: AllocId) -> io::Result<()> {
        let path = self.path(id);
        // Mounted more than once where an earlier agent made it twice.
        while self.is_there(id) {
            umount2(&path, MntFlags::MNT_DETACH)?;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Allocations that a file is there for, whatever follows their id in its name.
    pub fn all(&self) -> Vec<AllocId> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let id = |path: PathBuf| uuid::Uuid::parse_str(path.file_stem()?.to_str()?).ok();
        entries.filter_map(|e| id(e.path())).map(AllocId).collect()
    }
}

/// That of the calling thread.
pub fn own() -> io::Result<File> {
    File::open(OWN)
}

/// That of a process, where it is another than the agent's.
pub fn other_than_own(pid: u32) -> io::Result<Option<File>> {
    let (own, other) = (own()?, File::open(format!("/proc/{pid}/ns/net"))?);
    let identity = |file: &File| file.metadata().map(|m| (m.dev(), m.ino()));
    Ok((identity(&own)? != identity(&other)?).then_some(other))
}

/// Does something in a namespace.
pub fn within<T: Send>(namespace: &File, call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    apart(|| {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
        call()
    })
}

/// Does something on a thread of its own, which may go to another namespace: no other work ever runs on it.
pub fn apart<T: Send>(call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, call)?.join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
