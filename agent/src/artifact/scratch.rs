//! Where what is fetched lies until it is whole.
//!
//! `<alloc_dir>/.artifacts/<16 hex>`: on the file system of the tasks, below a directory that nobody but the agent enters. The
//! scratch directory itself belongs to the user of the process that fetches.

use std::path::{Path, PathBuf};

use super::ArtifactError;
use crate::ground::{Attr, Dir};

/// Below the directory of the allocations.
const PLACE: &str = ".artifacts";

/// It goes away with this value.
pub(super) struct Scratch {
    dir: Dir,
    parent: Dir,
    name: PathBuf,
}

impl Scratch {
    /// `alloc`: the directory of the allocation.
    pub fn new(alloc: &Path) -> Result<Scratch, ArtifactError> {
        let root = alloc.parent().ok_or_else(|| ArtifactError::Destination(String::new()))?;
        let parent = Dir::trusted(root)?.make_dir(Path::new(PLACE), Attr::mode(0o700))?;
        let name = PathBuf::from(format!("{:016x}", rand::random::<u64>()));
        let dir = parent.make_dir(&name, Attr::mode(0o700))?;
        Ok(Scratch { dir, parent, name })
    }

    pub fn dir(&self) -> &Dir {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Ok(parent) = self.parent.again() else { return };
        let name = std::mem::take(&mut self.name);
        let remove = move || {
            if let Err(error) = parent.remove_tree(&name) {
                tracing::debug!("removing what was fetched: {}", crate::chain(&error));
            }
        };
        // What was fetched may be large, and this may be a thread of the runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Removes what an agent left that died with all it had started: nothing of it is anybody's. Call it before anything is
/// fetched.
pub fn sweep(alloc_root: &Path) {
    let swept = Dir::trusted(alloc_root).and_then(|root| root.remove_tree(Path::new(PLACE)));
    if let Err(error) = swept {
        tracing::warn!("removing what an earlier agent had begun to fetch: {}", crate::chain(&error));
    }
}

/// Bytes that the disk can spare for what comes.
pub(crate) fn room(dir: &Dir) -> u64 {
    let found = rustix::fs::fstatvfs(dir);
    found.map_or(u64::MAX, |disk| spare(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
}

/// What strangers' bytes may take of a disk: the node and its other tasks write there too.
pub(super) fn spare(available: u64, size: u64) -> u64 {
    const RESERVE: u64 = 1 << 30;
    available.saturating_sub(RESERVE.min(size / 20))
}
