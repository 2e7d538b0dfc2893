//! What non-terminal allocations take of a node, kept by difference.

use std::sync::Arc;

use tarpan_model::Allocation;
use tarpan_model::resources::AllocatedDevice;

use crate::state::{NodeUsage, State};

impl NodeUsage {
    /// Counts an allocation in.
    pub fn add(&mut self, alloc: &Allocation) {
        self.used += alloc.demand();
        self.allocs += 1;
        for port in &alloc.resources.ports {
            *self.ports.entry(port.value).or_default() += 1;
        }
        for task in alloc.resources.tasks.values() {
            self.cores.extend(&task.cores);
            for device in &task.devices {
                for id in &device.ids {
                    *self.devices.entry((device_name(device), id.clone())).or_default() += 1;
                }
            }
        }
        self.cores.sort_unstable();
    }

    /// Counts an allocation out that was counted in.
    pub fn remove(&mut self, alloc: &Allocation) {
        self.used -= alloc.demand();
        self.allocs = self.allocs.saturating_sub(1);
        for port in &alloc.resources.ports {
            count_down(&mut self.ports, &port.value);
        }
        for task in alloc.resources.tasks.values() {
            for core in &task.cores {
                if let Ok(at) = self.cores.binary_search(core) {
                    self.cores.remove(at);
                }
            }
            for device in &task.devices {
                for id in &device.ids {
                    count_down(&mut self.devices, &(device_name(device), id.clone()));
                }
            }
        }
    }
}

/// `vendor/type/name`.
pub fn device_name(device: &AllocatedDevice) -> String {
    format!("{}/{}/{}", device.vendor, device.type_, device.name)
}

fn count_down<K: Ord>(counts: &mut std::collections::BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl State {
    /// Carries the change of a row over to its node.
    pub(crate) fn use_node(&mut self, row: &Allocation, old: Option<&Allocation>) {
        let old = old.filter(|o| !o.terminal());
        let row = (!row.terminal()).then_some(row);
        match (old, row) {
            (None, None) => return,
            // The common report: the same allocation, a step further.
            (Some(old), Some(row))
                if Arc::ptr_eq(&old.resources, &row.resources) && Arc::ptr_eq(&old.job, &row.job) =>
            {
                return;
            }
            _ => {}
        }
        let node = old.or(row).expect("one of them is there").node_id;
        if let Some(old) = old {
            self.leave(node, old);
        }
        if let Some(row) = row {
            let usage = self.node_usage.entry(node).or_default();
            Arc::make_mut(usage).add(row);
        }
    }

    /// A row goes away.
    pub(crate) fn leave_node(&mut self, old: &Allocation) {
        if !old.terminal() {
            self.leave(old.node_id, old);
        }
    }

    fn leave(&mut self, node: tarpan_model::NodeId, old: &Allocation) {
        let Some(usage) = self.node_usage.get_mut(&node) else { return };
        let usage = Arc::make_mut(usage);
        usage.remove(old);
        if usage.allocs == 0 {
            self.node_usage.remove(&node);
        }
    }
}
