//! What tasks and the node use: now, and over the last hour and the last day.
//!
//! Reads: the handles of running tasks, the kernel's counts of the node. Gives: [`UsageHistory`] for the node's own routes. Kept in
//! memory, five kilobytes a task; what an allocation used goes with it, and all of it with the agent. Start at [`History::run`].

pub(crate) mod host;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use tarpan_api::wire::UsageHistory;
use tarpan_model::{AllocId, Dur};
use tokio::sync::watch;

pub(crate) use self::series::Span;
use self::series::{Series, Used};
use crate::allocs::Allocs;
use crate::driver::{Handle, TaskUsage};

/// How long a driver may take to say what its task uses.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tasks that are asked about at the same time.
const AT_ONCE: usize = 16;

type Key = (AllocId, String);

/// What was used since the agent began.
pub(crate) struct History {
    begun: Instant,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tasks: BTreeMap<Key, Task>,
    node: Series,
}

#[derive(Default)]
struct Task {
    series: Series,
    /// When CPU time was last read, and how much it was, in nanoseconds: rates need two.
    last: Option<(Duration, u64)>,
}

impl Default for History {
    fn default() -> History {
        History { begun: Instant::now(), kept: Mutex::default() }
    }
}

impl History {
    /// Measures until the agent ends.
    pub(crate) async fn run(allocs: Arc<Allocs>, mut stopped: watch::Receiver<bool>) {
        let mut host = host::Cpu::default();
        loop {
            tokio::select! {
                _ = stopped.wait_for(|s| *s) => return,
                () = tokio::time::sleep(Span::Hour.step()) => {}
            }
            let node = allocs.context.node();
            let (mhz, cores) = (node.resources.cpu_mhz as f64, f64::from(node.resources.cpu_cores.max(1)));
            allocs.usage.measure(&allocs, mhz / cores).await;
            let used = Used { cpu: host.busy() * mhz, memory: host::memory().used };
            allocs.usage.kept().node.add(allocs.usage.begun.elapsed(), used);
        }
    }

    /// One look at every running task.
    pub(crate) async fn measure(&self, allocs: &Allocs, core_mhz: f64) {
        let runners = allocs.all();
        let mut looks = Vec::new();
        for runner in &runners {
            looks.extend(runner.handles().into_iter().map(|(task, handle)| self.look((runner.id, task), handle)));
        }
        let found: Vec<_> = futures::stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        let mut kept = self.kept();
        for (key, at, usage) in found.into_iter().flatten() {
            let task = kept.tasks.entry(key).or_default();
            if let Some(cpu) = task.rate(at, usage.cpu_ns) {
                task.series.add(at, Used { cpu: cpu * core_mhz, memory: usage.memory.max(usage.rss) });
            }
        }
        // Those that were collected.
        kept.tasks.retain(|(alloc, _), _| runners.iter().any(|r| r.id == *alloc));
    }

    /// Time and figures; `None` where the driver has none, or is too slow.
    fn look(&self, key: Key, handle: Arc<dyn Handle>) -> BoxFuture<'_, Option<(Key, Duration, TaskUsage)>> {
        Box::pin(async move {
            let found = tokio::time::timeout(PATIENCE, handle.usage()).await.ok().flatten()?;
            Some((key, self.begun.elapsed(), found))
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic while held")
    }

    /// What an allocation used, by task and as a whole.
    pub(crate) fn of_alloc(&self, alloc: AllocId, span: Span) -> UsageHistory {
        let now = self.begun.elapsed();
        let kept = self.kept();
        let of_it = kept.tasks.range((alloc, String::new())..).take_while(|((id, _), _)| *id == alloc);
        let slots: BTreeMap<&String, _> = of_it.map(|((_, task), t)| (task, t.series.until(span, now))).collect();
        let tasks = slots.iter().map(|(task, slots)| ((*task).clone(), series::shown(slots))).collect();
        UsageHistory { tasks, whole: series::shown(&series::sum(slots.values())), ..self.frame(span, now) }
    }

    /// What the node used, with all that runs on it.
    pub(crate) fn of_node(&self, span: Span) -> UsageHistory {
        let now = self.begun.elapsed();
        UsageHistory { whole: series::shown(&self.kept().node.until(span, now)), ..self.frame(span, now) }
    }

    fn frame(&self, span: Span, now: Duration) -> UsageHistory {
        let step = span.step();
        let into = Duration::from_nanos((now.as_nanos() % step.as_nanos()) as u64);
        let until = crate::wall() + Dur::from(step - into);
        UsageHistory { step: Dur::from(step).0, until: until.0, ..UsageHistory::default() }
    }
}

impl Task {
    /// Cores that were busy since the last look; `None` at the first, and after a new start.
    fn rate(&mut self, at: Duration, cpu_ns: u64) -> Option<f64> {
        let (before, used) = self.last.replace((at, cpu_ns))?;
        let span = at.checked_sub(before).filter(|span| !span.is_zero())?;
        Some(cpu_ns.checked_sub(used)? as f64 / span.as_nanos() as f64)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_task_that_began_anew_used_nothing_negative() {
        let mut task = Task::default();
        let seconds = Duration::from_secs;
        assert_eq!(task.rate(seconds(10), 5_000_000_000), None);
        assert_eq!(task.rate(seconds(20), 10_000_000_000), Some(0.5));
        assert_eq!(task.rate(seconds(30), 1_000_000_000), None, "another process");
        assert_eq!(task.rate(seconds(40), 2_000_000_000), Some(0.1));
    }

    #[test]
    fn an_allocation_is_the_sum_of_its_tasks() {
        let history = History::default();
        let (one, other) = (AllocId(Uuid::from_u128(1)), AllocId(Uuid::from_u128(2)));
        let now = history.begun.elapsed();
        for (alloc, task, cpu) in [(one, "a", 10.0), (one, "b", 5.0), (other, "a", 100.0)] {
            let mut kept = history.kept();
            let task = kept.tasks.entry((alloc, task.to_owned())).or_default();
            task.series.add(now, Used { cpu, memory: 2048 });
        }
        let found = history.of_alloc(one, Span::Hour);
        assert_eq!((found.step, found.tasks.len()), (10_000_000_000, 2));
        assert_eq!((found.whole.cpu, found.whole.memory), (vec![Some(15.0)], vec![Some(4096)]));
        assert_eq!(found.tasks["b"].cpu, [Some(5.0)]);
        let ends = found.until - crate::wall().0;
        assert!((0..=found.step).contains(&ends), "the newest slot ends soon: {ends}");
        assert!(history.of_alloc(AllocId(Uuid::from_u128(3)), Span::Day).whole.cpu.is_empty());
    }
}
