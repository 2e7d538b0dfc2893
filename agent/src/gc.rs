//! Removes ended allocations from the node: directories, records, runners. `reference/semantics.md` 20.1.

use std::sync::Arc;

use tarpan_model::AllocId;
use tokio::sync::watch;

use crate::allocs::Allocs;
use crate::runner::Runner;

/// Looks now and then whether ended allocations take too much room.
pub async fn run(allocs: Arc<Allocs>, mut stopped: watch::Receiver<bool>) {
    let interval = allocs.context.options.gc.interval;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(interval) => {}
        }
        while let Some(reason) = pressure(&allocs) {
            let oldest = ended(&allocs);
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

/// Ended allocations, the one that ended first in front.
fn ended(allocs: &Allocs) -> Vec<Arc<Runner>> {
    let mut all: Vec<Arc<Runner>> = allocs.all().into_iter().filter(|r| r.finished()).collect();
    all.sort_by_key(|r| (r.ended_at(), r.id));
    all
}

fn pressure(allocs: &Allocs) -> Option<&'static str> {
    let gc = &allocs.context.options.gc;
    if allocs.count() > gc.max_allocs {
        return Some("more allocations than gc_max_allocs");
    }
    let disk = crate::fingerprint::disk(&allocs.context.alloc_root)?;
    if disk.used_percent > gc.disk_usage_threshold {
        return Some("disk usage");
    }
    (disk.inodes_percent > gc.inode_usage_threshold).then_some("inode usage")
}

/// Ends an allocation if need be, and removes everything of it.
pub async fn collect(allocs: Arc<Allocs>, id: AllocId) {
    let Some(runner) = allocs.get(id) else { return crate::found::forget(&allocs, id).await };
    runner.destroy();
    runner.wait_finished().await;
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
