//! What tasks and the node use: now, and over the last hour and the last day.
//!
//! Reads: the handles of running tasks, the kernel's counts of the node. Gives: [`UsageHistory`] for the node's own routes. Kept in
//! memory, five kilobytes a task; what an allocation used goes with it, and all of it with the agent. `allocs.rs` looks.

pub(crate) mod host;
mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use tarpan_api::wire::UsageHistory;
use tarpan_model::{AllocId, Dur};

pub(crate) use self::series::Span;
use self::series::{Series, Used};
use crate::driver::{Handle, TaskUsage};

/// How long a driver may take to say what its task uses.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tasks that are asked about at the same time.
const AT_ONCE: usize = 16;

type Key = (AllocId, String);
/// Tasks that run.
pub(crate) type Running = Vec<(Key, Arc<dyn Handle>)>;

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
    /// One look at these tasks, which are all that run. `kept`: the allocations whose past is still asked for.
    pub(crate) async fn look_at_tasks(&self, running: Running, kept: &BTreeSet<AllocId>, core_mhz: f64) {
        let looks: Vec<_> = running.into_iter().map(|(key, handle)| self.look(key, handle)).collect();
        let found: Vec<_> = futures::stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        let mut all = self.kept();
        for (key, at, usage) in found.into_iter().flatten() {
            let task = all.tasks.entry(key).or_default();
            if let Some(cpu) = task.rate(at, usage.cpu_ns) {
                task.series.add(at, Used { cpu: cpu * core_mhz, memory: usage.memory.max(usage.rss) });
            }
        }
        all.tasks.retain(|(alloc, _), _| kept.contains(alloc));
    }

    /// One look at the node, which has `mhz` in all.
    pub(crate) fn look_at_node(&self, cpu: &mut host::Cpu, mhz: f64) {
        let used = Used { cpu: cpu.busy() * mhz, memory: host::memory().used };
        self.kept().node.add(self.begun.elapsed(), used);
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
