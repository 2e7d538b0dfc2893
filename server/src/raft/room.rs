//! Is there room on the disk? While there is not, nothing is accepted; when there is again, all goes on by itself.
//!
//! Raft takes an error of its store for the end. So a write that finds no room is held and tried again ([`Room::held`]), and
//! before it comes to that, commands are refused while less than a reserve is left ([`Room::look`]): what was accepted, votes
//! and snapshots still fit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How long a held write waits before it is tried again, and how often the free space is looked at.
pub const RETRY: Duration = Duration::from_millis(250);
/// Kept free for what was accepted already: some batches of the largest commands' usual size, a new segment, a vote.
const RESERVE: u64 = 32 << 20;
/// Of a small disk the reserve is this part.
const PART: u64 = 16;

/// The room of one server's folder; clones share it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// Why nothing is accepted.
    lacking: watch::Sender<Option<Arc<str>>>,
    /// Writes that wait for room.
    held: AtomicUsize,
    ended: AtomicBool,
}

/// Does the system say that there is no room? Quotas count.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A write that waits for room, until this is dropped.
pub struct Held<'a>(&'a Room);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Room {
    pub fn new(dir: &Path) -> Room {
        let inner = Inner {
            dir: dir.to_owned(),
            lacking: watch::Sender::new(None),
            held: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        };
        Room(Arc::new(inner))
    }

    /// Why nothing is accepted; `None`: there is room.
    pub fn lacking(&self) -> Option<Arc<str>> {
        self.0.lacking.borrow().clone()
    }

    /// Waits until there is room.
    pub async fn there(&self) {
        let _ = self.0.lacking.subscribe().wait_for(Option::is_none).await;
    }

    /// Waits until room has been lacking for `patience`, and says why.
    pub async fn lacking_for(&self, patience: Duration) -> Arc<str> {
        let mut lacking = self.0.lacking.subscribe();
        loop {
            let why = lacking.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            if tokio::time::timeout(patience, lacking.wait_for(Option::is_none)).await.is_err() {
                return why.unwrap_or_default();
            }
        }
    }

    /// A write found no room: it waits, and nothing more is accepted meanwhile.
    pub fn held(&self, what: &Path, error: &io::Error) -> Held<'_> {
        self.0.held.fetch_add(1, Ordering::SeqCst);
        self.say(Some(format!("no room to write {}: {error}; {ENDS}", what.display())));
        Held(self)
    }

    /// Looks at the free space. Called every [`RETRY`].
    pub fn look(&self) {
        let (free, total) = match space(&self.0.dir) {
            Ok(space) => space,
            Err(error) => return tracing::debug!(%error, "looking at the free space"),
        };
        let lacks = self.lacking().is_some();
        if self.0.held.load(Ordering::SeqCst) == 0 {
            match enough(free, total, lacks) {
                true => self.say(None),
                false if lacks => {}
                false => self.say(Some(format!(
                    "no room: the disk of {} has {} KiB free and {} KiB are kept in reserve; {ENDS}",
                    self.0.dir.display(),
                    free >> 10,
                    reserve(total) >> 10,
                ))),
            }
        }
    }

    fn say(&self, why: Option<String>) {
        self.0.lacking.send_if_modified(|known| match (known.is_some(), why) {
            (false, Some(why)) => {
                tracing::error!("{why}");
                *known = Some(why.into());
                true
            }
            (true, None) => {
                tracing::warn!("there is room on the disk again: commands are accepted");
                *known = None;
                true
            }
            _ => false,
        });
    }

    /// Writes that wait give up.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }

    pub fn ended(&self) -> bool {
        self.0.ended.load(Ordering::SeqCst)
    }
}

const ENDS: &str = "nothing is accepted until there is room again, what was acknowledged is kept, reading goes on";

fn reserve(total: u64) -> u64 {
    RESERVE.min(total / PART)
}

/// Once lacking, twice the reserve is asked for: else it would come and go with every write.
fn enough(free: u64, total: u64, lacks: bool) -> bool {
    let reserve = reserve(total);
    free >= if lacks { reserve * 2 } else { reserve }
}

/// Bytes that this process may still write there, and the size of it all.
fn space(dir: &Path) -> io::Result<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    let block = stat.fragment_size();
    // What is set aside for root is there for root.
    let free = if nix::unistd::geteuid().is_root() { stat.blocks_free() } else { stat.blocks_available() };
    Ok((free * block, stat.blocks() * block))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_is_a_part_of_a_small_disk_and_fixed_on_a_large_one() {
        for (free, total, lacks, there) in [
            (33 * MIB, 1 << 40, false, true),
            (31 * MIB, 1 << 40, false, false),
            (33 * MIB, 1 << 40, true, false),
            (65 * MIB, 1 << 40, true, true),
            (2 * MIB, 16 * MIB, false, true),
            (MIB / 2, 16 * MIB, false, false),
            (MIB, 16 * MIB, true, false),
            (2 * MIB, 16 * MIB, true, true),
        ] {
            assert_eq!(enough(free, total, lacks), there, "{free} of {total}, lacking before: {lacks}");
        }
    }

    #[tokio::test]
    async fn a_held_write_is_a_reason_until_it_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let room = Room::new(dir.path());
        room.look();
        assert_eq!(room.lacking(), None);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_missing(&full) && !is_missing(&io::Error::from(io::ErrorKind::NotFound)));
        let held = room.held(&dir.path().join("0000000001.log"), &full);
        room.look();
        let why = room.lacking_for(Duration::from_millis(20)).await;
        assert!(why.contains("no room to write") && why.contains("0000000001.log"), "{why}");
        drop(held);
        room.look();
        room.there().await;
        assert_eq!(room.lacking(), None);
    }
}
