//! What allocations use, sampled while a page shows them: for charts and for the lines of lists.

use leptos::prelude::*;
use serde_json::Value;
use tarpan_api::wire::{
    AllocResourceUsage, CpuStats, DeviceGroupStats, DeviceStats, MemoryStats, ResourceUsage, StatValue,
    TaskResourceUsage,
};
use tarpan_api::{Client, Query, calls};
use tarpan_model::wire::{Light, Wire as _};

use crate::context::client;
use crate::dom;

/// Samples of the use of one or more allocations, newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// MHz.
    pub cpu: Vec<f64>,
    /// MiB.
    pub memory: Vec<f64>,
    /// MHz and MiB by task, of the newest sample.
    pub tasks: Vec<(String, (f64, f64))>,
    /// Figures of devices in the newest sample, as they came: the first page shows none, and need not know how to read them.
    devices: Vec<Value>,
}

/// Samples kept.
pub const SAMPLES: usize = 60;

impl Usage {
    /// Adds one sample: the sum over the answers ([`AllocResourceUsage`]) of `allocs`.
    pub fn add(&mut self, allocs: &[&Value]) {
        self.tasks.clear();
        self.devices.clear();
        let mut sum = (0.0, 0.0);
        for alloc in allocs {
            let alloc = Light::<AllocResourceUsage>::of(alloc);
            let mut total = (0.0, 0.0);
            for (name, usage) in alloc.named(AllocResourceUsage::FIELDS.tasks) {
                let used = numbers(usage.inside(TaskResourceUsage::FIELDS.resource_usage));
                let Some((cpu, memory)) = used else { continue };
                match self.tasks.iter_mut().find(|(n, _)| n == name) {
                    Some((_, task)) => *task = (task.0 + cpu, task.1 + memory),
                    None => self.tasks.push((name.clone(), (cpu, memory))),
                }
                total = (total.0 + cpu, total.1 + memory);
            }
            let all = alloc.inside(AllocResourceUsage::FIELDS.resource_usage);
            self.devices.push(all.inside(ResourceUsage::FIELDS.device_stats).kept());
            let total = numbers(alloc.inside(AllocResourceUsage::FIELDS.resource_usage)).unwrap_or(total);
            sum = (sum.0 + total.0, sum.1 + total.1);
        }
        for (list, value) in [(&mut self.cpu, sum.0), (&mut self.memory, sum.1)] {
            list.push(value);
            if list.len() > SAMPLES {
                list.remove(0);
            }
        }
    }

    /// The first figure of a device, by `vendor/type/name[id]`.
    pub fn device(&self, name: &str) -> Option<String> {
        let groups = self.devices.iter().flat_map(|list| Light::<Vec<DeviceGroupStats>>::of(list).items());
        groups.flat_map(figures).find(|(n, _)| n == name).map(|(_, figure)| figure)
    }

    /// MHz and MiB of a task, in the newest sample.
    pub fn task(&self, name: &str) -> Option<(f64, f64)> {
        self.tasks.iter().find(|(n, _)| n == name).map(|(_, used)| *used)
    }

    /// The newest sample: MHz and MiB.
    pub fn newest(&self) -> Option<(f64, f64)> {
        Some((*self.cpu.last()?, *self.memory.last()?))
    }
}

/// `vendor/type/name[id]`, and its first figure: `3 / 16 GiB`.
fn figures(group: Light<'_, DeviceGroupStats>) -> Vec<(String, String)> {
    let (vendor, type_) = (group.text(DeviceGroupStats::FIELDS.vendor), group.text(DeviceGroupStats::FIELDS.type_));
    let name = group.text(DeviceGroupStats::FIELDS.name);
    let instances = group.named(DeviceGroupStats::FIELDS.instance_stats).map(|(id, stats)| {
        let summary = stats.inside(DeviceStats::FIELDS.summary);
        let figure = StatValue {
            float_numerator: summary.inside(StatValue::FIELDS.float_numerator).number(),
            float_denominator: summary.inside(StatValue::FIELDS.float_denominator).number(),
            unit: summary.text(StatValue::FIELDS.unit).to_owned(),
            ..StatValue::default()
        };
        (device_name(vendor, type_, name, id), figure.text())
    });
    instances.collect()
}

/// How a page names an instance of a device.
pub fn device_name(vendor: &str, type_: &str, name: &str, id: &str) -> String {
    format!("{vendor}/{type_}/{name}[{id}]")
}

/// MHz and MiB; nothing where nothing was measured.
fn numbers(usage: Light<'_, ResourceUsage>) -> Option<(f64, f64)> {
    let memory = usage.inside(ResourceUsage::FIELDS.memory_stats);
    let bytes = memory.count(MemoryStats::FIELDS.rss).max(memory.count(MemoryStats::FIELDS.usage));
    let ticks = usage.inside(ResourceUsage::FIELDS.cpu_stats).float(CpuStats::FIELDS.total_ticks);
    usage.is_there().then_some((ticks, bytes as f64 / 1_048_576.0))
}

/// The use of each of what allocations are summed by.
pub type Samples<K> = Vec<(K, Usage)>;

/// The use of one.
pub fn of<'a, K: PartialEq>(samples: &'a Samples<K>, key: &K) -> Option<&'a Usage> {
    samples.iter().find(|(k, _)| k == key).map(|(_, usage)| usage)
}

/// Samples the allocations of `wanted` every `every_ms`, while the page shows: pairs of what they are summed by, and allocation id;
/// those summed together stand together. What is no longer wanted is forgotten.
pub fn poll<K>(wanted: Signal<Vec<(K, String)>>, every_ms: i32) -> RwSignal<Samples<K>>
where
    K: Clone + PartialEq + Send + Sync + 'static,
{
    let found = RwSignal::new(Samples::<K>::new());
    let client = client();
    Effect::new(move |_| {
        let client = client.clone();
        leptos::task::spawn_local(async move {
            loop {
                let Some(asked) = wanted.try_get_untracked() else { return };
                if dom::visible() && !asked.is_empty() {
                    let answers = ask(&client, asked.iter().map(|(_, id)| id.clone()).collect()).await;
                    if found.try_update(|f| *f = added(std::mem::take(f), &asked, &answers)).is_none() {
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

/// What allocations use now. A node that does not answer, or an allocation that has just ended, is no news.
async fn ask(client: &Client, allocs: Vec<String>) -> Vec<Option<Value>> {
    let asking = allocs.into_iter().map(|id| async move {
        let call = calls::allocation_stats(&Query::new(), &id).part::<Value>();
        client.call(&call).await.ok().map(|a| a.value)
    });
    futures::future::join_all(asking).await
}

/// `before` with one more sample of each key in `asked`, and without what was not asked for.
fn added<K: Clone + PartialEq>(mut before: Samples<K>, asked: &[(K, String)], answers: &[Option<Value>]) -> Samples<K> {
    let mut after = Samples::new();
    let mut answers = answers.iter();
    for same in asked.chunk_by(|a, b| a.0 == b.0) {
        let key = &same[0].0;
        let mut usage = match before.iter().position(|(k, _)| k == key) {
            Some(at) => before.swap_remove(at).1,
            None => Usage::default(),
        };
        let sample: Vec<&Value> = answers.by_ref().take(same.len()).flatten().collect();
        if !sample.is_empty() {
            usage.add(&sample);
        }
        if !usage.cpu.is_empty() {
            after.push((key.clone(), usage));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_and_kept() {
        let one = ResourceUsage {
            memory_stats: Some(MemoryStats { rss: 2 << 20, ..Default::default() }),
            cpu_stats: Some(CpuStats { total_ticks: 30.0, ..Default::default() }),
            ..Default::default()
        };
        let task = TaskResourceUsage { resource_usage: Some(one), ..Default::default() };
        let sample = AllocResourceUsage {
            tasks: [("a".to_owned(), task.clone()), ("b".to_owned(), task)].into(),
            ..Default::default()
        };
        let sample = serde_json::to_value(sample).expect("a sample");
        let mut usage = Usage::default();
        (0..SAMPLES + 5).for_each(|_| usage.add(&[&sample]));
        assert_eq!((usage.cpu.len(), usage.newest()), (SAMPLES, Some((60.0, 4.0))));
        assert_eq!(usage.task("a"), Some((30.0, 2.0)));
        usage.add(&[&sample, &sample]);
        assert_eq!((usage.newest(), usage.task("a")), (Some((120.0, 8.0)), Some((60.0, 4.0))));
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let answer = |ticks: f64| Some(serde_json::json!({ "ResourceUsage": { "CpuStats": { "TotalTicks": ticks } } }));
        let asked = |keys: &[&'static str]| keys.iter().map(|k| (*k, String::new())).collect::<Vec<_>>();
        let first = added(Vec::new(), &asked(&["a", "a", "b"]), &[answer(1.0), answer(2.0), answer(5.0)]);
        assert_eq!((&of(&first, &"a").expect("a").cpu, &of(&first, &"b").expect("b").cpu), (&vec![3.0], &vec![5.0]));
        let second = added(first, &asked(&["b", "c"]), &[None, answer(7.0)]);
        assert_eq!(
            second.iter().map(|(k, u)| (*k, u.cpu.as_slice())).collect::<Vec<_>>(),
            [("b", &[5.0][..]), ("c", &[7.0])]
        );
    }
}
