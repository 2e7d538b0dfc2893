//! Removes ended allocations from the node: directories, records, runners. `reference/semantics.md` 20.1.

use std::sync::Arc;

use tarpan_model::AllocId;
use tokio::sync::watch;

use crate::alloc_dir::AllocDir;
use crate::context::Context;
use crate::runner::Runner;

/// Looks now and then whether ended allocations take too much room.
pub async fn run(context: Arc<Context>, mut stopped: watch::Receiver<bool>) {
    let interval = context.options.gc.interval;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(interval) => {}
        }
        while let Some(reason) = pressure(&context) {
            let oldest = ended(&context);
            let batch: Vec<AllocId> =
                oldest.iter().take(context.options.gc.parallel_destroys.max(1)).map(|r| r.id).collect();
            if batch.is_empty() {
                break;
            }
            tracing::debug!(reason, count = batch.len(), "collecting ended allocations");
            futures::future::join_all(batch.into_iter().map(|id| collect(context.clone(), id))).await;
        }
    }
}

/// Ended allocations, the one that ended first in front.
fn ended(context: &Context) -> Vec<Arc<Runner>> {
    let mut all: Vec<Arc<Runner>> = context.all_runners().into_iter().filter(|r| r.finished()).collect();
    all.sort_by_key(|r| (r.ended_at(), r.id));
    all
}

fn pressure(context: &Context) -> Option<&'static str> {
    let gc = &context.options.gc;
    if context.runners.read().expect("no panic while held").len() > gc.max_allocs {
        return Some("more allocations than gc_max_allocs");
    }
    let disk = crate::fingerprint::disk(&context.alloc_root)?;
    if disk.used_percent > gc.disk_usage_threshold {
        return Some("disk usage");
    }
    (disk.inodes_percent > gc.inode_usage_threshold).then_some("inode usage")
}

/// Ends an allocation if need be, and removes everything of it.
pub async fn collect(context: Arc<Context>, id: AllocId) {
    let Some(runner) = context.runner(id) else { return crate::found::forget(&context, id).await };
    runner.destroy();
    runner.wait_finished().await;
    if !runner.remove().await {
        return;
    }
    runner.leave();
    context.store.remove(id);
    if context.history.found(id) {
        context.outbox.drop_report(id);
    }
    context.runners.write().expect("no panic while held").remove(&id);
}

/// Directories of an allocation of which nothing runs any more.
#[allow(clippy::disallowed_methods, reason = "the directory of the allocation's runs, which no task sees")]
pub(crate) async fn remove_files(context: &Context, id: AllocId) {
    let dir = AllocDir::new(&context.alloc_root, id);
    let runs = context.state_dir.join("tasks").join(id.to_string());
    let removed = tokio::task::spawn_blocking(move || {
        let _ = std::fs::remove_dir_all(runs);
        dir.destroy()
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(alloc_id = %id, "removing the directory of an allocation: {error}");
    }
}

/// Everything that has ended, at once.
pub async fn collect_all(context: Arc<Context>) {
    let all = ended(&context).into_iter().map(|r| collect(context.clone(), r.id));
    futures::future::join_all(all).await;
}
