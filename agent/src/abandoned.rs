//! What dev agents left that were killed: each had a temporary directory of its own, which nobody looks after again.
//!
//! A living one holds a lock in its directory. The next dev agent ends and removes what belongs to directories whose lock nobody
//! holds: tasks, networks, mounts, files. Only directories of this very user are looked at: anybody may make one of that name.

#![allow(clippy::disallowed_methods, reason = "directories that dev agents of this user made, and no task's")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tarpan_model::AllocId;

use crate::alloc_dir::AllocDir;
use crate::driver::mark::remove;
use crate::driver::{Driver, Place};
use crate::network::Networks;

/// What the name of a dev agent's temporary directory begins with.
pub const PREFIX: &str = "tarpan-dev-";

/// Held by a living dev agent.
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held as long as the file is open")] Flock<File>);

fn lock_file(state_dir: &Path) -> PathBuf {
    state_dir.join("dev.lock")
}

/// Says that the agent of this directory lives, until what this gives is dropped.
pub(crate) fn hold(state_dir: &Path) -> io::Result<Lock> {
    let fresh = state_dir.join("dev.lock.new");
    let lock = try_lock(File::create(&fresh)?)?;
    // It appears locked: nobody sees it as that of a dead one.
    std::fs::rename(&fresh, lock_file(state_dir))?;
    Ok(Lock(lock))
}

fn try_lock(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// Ends and removes what dead dev agents left below `temp`; gives the directories, which are gone then.
pub(crate) async fn clean(
    temp: &Path,
    drivers: &BTreeMap<String, Arc<dyn Driver>>,
    networks: &Networks,
    cgroup_parent: &str,
) -> Vec<PathBuf> {
    let mut cleaned = Vec::new();
    for (dir, _lock) in dead(temp) {
        let state_dir = dir.join("client");
        let place = Place {
            alloc_root: dir.join("alloc"),
            tasks: state_dir.join("tasks"),
            cgroup_parent: cgroup_parent.to_owned(),
        };
        tracing::warn!("a dev agent that was killed left {}: what ran for it is ended and removed", dir.display());
        for trace in crate::found::survey(drivers, &place).await {
            if let Some(driver) = drivers.get(&trace.mark.driver) {
                remove(driver, &trace.mark).await;
            }
        }
        remove_networks(drivers, networks.of_another(&state_dir)).await;
        let gone = crate::blocking(move || {
            allocs(&place.alloc_root).into_iter().for_each(|id| drop(AllocDir::new(&place.alloc_root, id).destroy()));
            std::fs::remove_dir_all(&dir).map(|()| dir)
        });
        match gone.await {
            Ok(dir) => cleaned.push(dir),
            Err(error) => tracing::warn!("removing what a dev agent left: {error}"),
        }
    }
    cleaned
}

async fn remove_networks(drivers: &BTreeMap<String, Arc<dyn Driver>>, networks: Networks) {
    let networks = Arc::new(networks);
    let look = networks.clone();
    let ids = match crate::blocking(move || look.traces()).await {
        Ok(ids) => ids,
        Err(error) => return tracing::warn!("looking for networks of a dev agent that was killed: {error}"),
    };
    for id in ids {
        for driver in drivers.values() {
            driver.leave(id, &networks.namespace(id)).await;
        }
        let networks = networks.clone();
        if let Err(error) = crate::blocking(move || networks.remove(id)).await {
            tracing::warn!(alloc_id = %id, "removing a network of a dev agent that was killed: {error}");
        }
    }
}

fn allocs(root: &Path) -> Vec<AllocId> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.filter_map(|e| uuid::Uuid::parse_str(e.file_name().to_str()?).ok()).map(AllocId).collect()
}

/// Directories of dev agents that are no more, each with its lock: two that start at a time do not both clean up.
fn dead(temp: &Path) -> Vec<(PathBuf, Flock<File>)> {
    let me = nix::unistd::geteuid().as_raw();
    let one = |entry: std::fs::DirEntry| {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        if !named || !ours {
            return None;
        }
        let dir = entry.path().canonicalize().ok()?;
        let lock = try_lock(File::open(lock_file(&dir.join("client"))).ok()?).ok()?;
        Some((dir, lock))
    };
    std::fs::read_dir(temp).into_iter().flatten().flatten().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_whose_lock_is_held_is_that_of_a_living_agent() {
        let temp = tempfile::tempdir().expect("a directory");
        let state_dir = |name: &str| {
            let dir = temp.path().join(name).join("client");
            std::fs::create_dir_all(&dir).expect("made");
            dir
        };
        let living = hold(&state_dir("tarpan-dev-living")).expect("held");
        drop(hold(&state_dir("tarpan-dev-dead")).expect("held"));
        drop(hold(&state_dir("something-else")).expect("held"));
        // One that is just starting.
        state_dir("tarpan-dev-young");
        let names = || -> Vec<_> { dead(temp.path()).into_iter().map(|(dir, _)| dir).collect() };
        let root = temp.path().canonicalize().expect("there");
        assert_eq!(names(), [root.join("tarpan-dev-dead")]);
        drop(living);
        assert_eq!(names().len(), 2);
        let (held, others) = (dead(temp.path()), dead(temp.path()));
        assert!(held.len() == 2 && others.is_empty(), "one cleans up");
    }
}
