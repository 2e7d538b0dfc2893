//! Removes ended allocations from the node: directories, records, runners. `reference/semantics.md` 20.1.

use std::sync::Arc;

use tarpan_model::{AllocId, UnixNanos};
use tokio::sync::watch;

use crate::allocs::Allocs;
use crate::options::GcOptions;
use crate::runner::Runner;

/// Looks whether ended allocations take too much room: now and then, and when one has come or ended.
pub async fn run(allocs: Arc<Allocs>, mut stopped: watch::Receiver<bool>) {
    let interval = allocs.context.options.gc.interval;
    loop {
        let in_time = tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(interval) => true,
            () = allocs.context.crowd.notified() => false,
        };
        if in_time {
            let context = allocs.context.clone();
            crate::blocking(move || context.kept_logs.trim()).await;
        }
        while let Some(reason) = pressure(&allocs) {
            let mut oldest = ended(&allocs);
            oldest.retain(|runner| !held(&allocs, runner));
            let batch: Vec<AllocId> =
                oldest.iter().take(allocs.context.options.gc.parallel_destroys.max(1)).map(|r| r.id).collect();
            if batch.is_empty() {
                break;
            }
            tracing::debug!(reason, count = batch.len(), "collecting ended allocations");
            futures::future::join_all(batch.into_iter().map(|id| collect(allocs.clone(), id))).await;
        }
    }
}

/// How long what another node may take over is kept from being collected for room.
const HOLD: UnixNanos = UnixNanos::from_secs(10 * 60);

/// Its disk migrates, and nobody has come for it yet.
fn held(allocs: &Allocs, runner: &Runner) -> bool {
    let taken = || allocs.context.neighbours.get(runner.id).is_none_or(|neighbour| neighbour.taken());
    crate::disk::migrates(&runner.alloc()) && is_held(taken(), runner.ended_at(), crate::now())
}

fn is_held(taken: bool, ended_at: UnixNanos, now: UnixNanos) -> bool {
    !taken && now.0.saturating_sub(ended_at.0) < HOLD.0
}

/// Ended allocations, the one that ended first in front.
fn ended(allocs: &Allocs) -> Vec<Arc<Runner>> {
    let mut all: Vec<Arc<Runner>> = allocs.all().into_iter().filter(|r| r.finished()).collect();
    all.sort_by_key(|r| (r.ended_at(), r.id));
    all
}

fn pressure(allocs: &Allocs) -> Option<&'static str> {
    let disk = crate::fingerprint::disk(&allocs.context.alloc_root);
    let percents = disk.map(|disk| (disk.used_percent, disk.inodes_percent));
    too_much(&allocs.context.options.gc, allocs.count(), percents)
}

/// Which bound is passed by so many allocations, the ended ones among them, on a disk of which so much is used: bytes and inodes in
/// percent.
fn too_much(gc: &GcOptions, count: usize, disk: Option<(f64, f64)>) -> Option<&'static str> {
    if count > gc.max_allocs {
        return Some("more allocations than gc_max_allocs");
    }
    let (bytes, inodes) = disk?;
    if bytes > gc.disk_usage_threshold {
        return Some("more of the disk is used than gc_disk_usage_threshold");
    }
    (inodes > gc.inode_usage_threshold).then_some("more inodes are used than gc_inode_usage_threshold")
}

/// Ends an allocation if need be, and removes everything of it but the end of its output.
pub async fn collect(allocs: Arc<Allocs>, id: AllocId) {
    remove(allocs, id, true).await;
}

/// The same for an allocation that the servers have forgotten: nobody can ask for its output any more.
pub async fn forget(allocs: Arc<Allocs>, id: AllocId) {
    let context = allocs.context.clone();
    crate::blocking(move || context.kept_logs.forget(id)).await;
    remove(allocs, id, false).await;
}

async fn remove(allocs: Arc<Allocs>, id: AllocId, keeps: bool) {
    let Some(runner) = allocs.get(id) else { return crate::found::forget(&allocs, id).await };
    runner.destroy();
    runner.wait_finished().await;
    if keeps {
        let (context, root, alloc) = (allocs.context.clone(), runner.dir.root.clone(), runner.alloc());
        crate::blocking(move || context.kept_logs.keep(&root, &alloc)).await;
    }
    if !runner.remove().await {
        return;
    }
    runner.leave();
    // What it is told meanwhile it still writes down: a record would be back.
    runner.left().await;
    allocs.context.store.remove(id);
    if allocs.history.found(id) {
        allocs.context.outbox.drop_report(id);
    }
    allocs.remove(id);
}

/// Everything that has ended, at once.
pub async fn collect_all(allocs: Arc<Allocs>) {
    let all = ended(&allocs).into_iter().map(|r| collect(allocs.clone(), r.id));
    futures::future::join_all(all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_one() {
        let gc = GcOptions {
            disk_usage_threshold: 80.0,
            inode_usage_threshold: 70.0,
            max_allocs: 3,
            ..GcOptions::default()
        };
        for (count, disk, key) in [
            (3, Some((80.0, 70.0)), ""),
            (3, None, ""),
            (4, None, "gc_max_allocs"),
            (0, Some((80.1, 0.0)), "gc_disk_usage_threshold"),
            (0, Some((0.0, 70.1)), "gc_inode_usage_threshold"),
        ] {
            let found = too_much(&gc, count, disk);
            assert_eq!(found.is_some(), !key.is_empty(), "{count} {disk:?}");
            assert!(found.is_none_or(|text| text.contains(key)), "{found:?}");
        }
    }

    #[test]
    fn what_another_node_may_take_is_held_for_a_while() {
        let ended = UnixNanos::from_secs(1000);
        let at = |minutes: i64| UnixNanos::from_secs(1000 + minutes * 60);
        assert!(is_held(false, ended, ended) && is_held(false, ended, at(9)));
        assert!(!is_held(false, ended, at(10)), "nobody came");
        assert!(!is_held(true, ended, ended), "it was taken");
    }
}
