//! What allocations use, sampled while a page shows them: for charts and for the lines of lists.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::wire::{AllocResourceUsage, ResourceUsage};

use crate::dom;
use crate::pages::client;

/// Samples of the use of one or more allocations, newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// MHz.
    pub cpu: Vec<f64>,
    /// MiB.
    pub memory: Vec<f64>,
    /// MHz and MiB by task, of the newest sample.
    pub tasks: BTreeMap<String, (f64, f64)>,
}

/// Samples kept.
pub const SAMPLES: usize = 60;

impl Usage {
    /// Adds one sample: the sum over `allocs`.
    pub fn add(&mut self, allocs: &[AllocResourceUsage]) {
        self.tasks.clear();
        let mut sum = (0.0, 0.0);
        for alloc in allocs {
            let tasks = alloc.tasks.iter().filter_map(|(name, t)| Some((name, numbers(t.resource_usage.as_ref()?))));
            let mut total = (0.0, 0.0);
            for (name, (cpu, memory)) in tasks {
                let task = self.tasks.entry(name.clone()).or_default();
                *task = (task.0 + cpu, task.1 + memory);
                total = (total.0 + cpu, total.1 + memory);
            }
            let total = alloc.resource_usage.as_ref().map_or(total, numbers);
            sum = (sum.0 + total.0, sum.1 + total.1);
        }
        for (list, value) in [(&mut self.cpu, sum.0), (&mut self.memory, sum.1)] {
            list.push(value);
            if list.len() > SAMPLES {
                list.remove(0);
            }
        }
    }

    /// The newest sample: MHz and MiB.
    pub fn newest(&self) -> Option<(f64, f64)> {
        Some((*self.cpu.last()?, *self.memory.last()?))
    }
}

/// MHz and MiB.
fn numbers(usage: &ResourceUsage) -> (f64, f64) {
    let cpu = usage.cpu_stats.as_ref().map_or(0.0, |c| c.total_ticks);
    let memory = usage.memory_stats.as_ref().map_or(0.0, |m| m.rss.max(m.usage) as f64 / 1_048_576.0);
    (cpu, memory)
}

/// Samples the allocations of `wanted` every `every_ms`, while the page shows: pairs of what they are summed by, and allocation id.
/// What is no longer wanted is forgotten.
pub fn poll<K>(wanted: Signal<Vec<(K, String)>>, every_ms: i32) -> RwSignal<BTreeMap<K, Usage>>
where
    K: Clone + Ord + Send + Sync + 'static,
{
    let found = RwSignal::new(BTreeMap::<K, Usage>::new());
    let client = client();
    Effect::new(move |_| {
        let client = client.clone();
        leptos::task::spawn_local(async move {
            loop {
                let Some(asked) = wanted.try_get_untracked() else { return };
                if dom::visible() && !asked.is_empty() {
                    let asking = asked.iter().map(|(key, id)| {
                        let path = format!("/v1/client/allocation/{id}/stats");
                        let client = client.clone();
                        async move { (key, client.get::<AllocResourceUsage>(&path).await) }
                    });
                    let mut samples = BTreeMap::<K, Vec<AllocResourceUsage>>::new();
                    for (key, answer) in futures::future::join_all(asking).await {
                        // A node that does not answer, or an allocation that has just ended, is no news.
                        samples.entry(key.clone()).or_default().extend(answer.ok().map(|a| a.value));
                    }
                    let kept = found.try_update(|found| {
                        found.retain(|key, _| samples.contains_key(key));
                        for (key, sample) in samples.into_iter().filter(|(_, s)| !s.is_empty()) {
                            found.entry(key).or_default().add(&sample);
                        }
                    });
                    if kept.is_none() {
                        return;
                    }
                }
                // Soon again while the page does not know yet what it shows.
                dom::sleep_ms(if asked.is_empty() { 500 } else { every_ms }).await;
            }
        });
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpan_api::wire::{CpuStats, MemoryStats, TaskResourceUsage};

    #[test]
    fn samples_are_summed_and_kept() {
        let one = ResourceUsage {
            memory_stats: Some(MemoryStats { rss: 2 << 20, ..Default::default() }),
            cpu_stats: Some(CpuStats { total_ticks: 30.0, ..Default::default() }),
        };
        let task = TaskResourceUsage { resource_usage: Some(one), ..Default::default() };
        let sample = AllocResourceUsage {
            tasks: [("a".to_owned(), task.clone()), ("b".to_owned(), task)].into(),
            ..Default::default()
        };
        let mut usage = Usage::default();
        (0..SAMPLES + 5).for_each(|_| usage.add(std::slice::from_ref(&sample)));
        assert_eq!((usage.cpu.len(), usage.newest()), (SAMPLES, Some((60.0, 4.0))));
        assert_eq!(usage.tasks["a"], (30.0, 2.0));
        usage.add(&[sample.clone(), sample]);
        assert_eq!((usage.newest(), usage.tasks["a"]), (Some((120.0, 8.0)), (60.0, 4.0)));
    }
}
