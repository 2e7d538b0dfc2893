//! What a node would carry, by difference to what state counts for it.

use std::collections::BTreeMap;

use tarpan_model::ids::{AllocId, NodeId};
use tarpan_model::resources::Amount;
use tarpan_model::{Allocation, Node};
use tarpan_state::{NodeUsage, State};

/// What one allocation takes of its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    amount: Amount,
    /// Port on the host, and whether others may have it too.
    ports: Vec<(u16, bool)>,
    cores: Vec<u16>,
    /// `vendor/type/name` and id.
    devices: Vec<(String, String)>,
}

impl Taken {
    /// A row that did not come from state may not be linked to its job: the version that state has decides then.
    pub(super) fn of(state: &State, alloc: &Allocation) -> Taken {
        let amount = match &alloc.job.id {
            Some(_) => alloc.demand(),
            None => {
                let job = state.job_version(&alloc.job_key(), alloc.job_version);
                alloc.resources.demand(job.and_then(|job| job.group(&alloc.task_group)))
            }
        };
        let mut taken = Taken {
            amount,
            ports: alloc.resources.ports.iter().map(|p| (p.value, p.ignore_collision)).collect(),
            ..Taken::default()
        };
        for task in alloc.resources.tasks.values() {
            taken.cores.extend(&task.cores);
            for device in &task.devices {
                let name = tarpan_state::usage::device_name(device);
                taken.devices.extend(device.ids.iter().map(|id| (name.clone(), id.clone())));
            }
        }
        taken
    }
}

/// A node with changes laid over what state says: for each changed allocation what it would take.
pub(super) struct Balance<'a> {
    state: &'a State,
    node: NodeId,
    changed: BTreeMap<AllocId, Option<Taken>>,
}

/// Sums of differences.
#[derive(Default)]
struct Difference {
    amount: Amount,
    allocs: i64,
    ports: BTreeMap<u16, i64>,
    cores: BTreeMap<u16, i64>,
    devices: BTreeMap<(String, String), i64>,
}

impl Difference {
    fn count(&mut self, taken: &Taken, sign: i64) {
        match sign {
            1 => self.amount += taken.amount,
            _ => self.amount -= taken.amount,
        }
        self.allocs += sign;
        for (port, _) in &taken.ports {
            *self.ports.entry(*port).or_default() += sign;
        }
        for core in &taken.cores {
            *self.cores.entry(*core).or_default() += sign;
        }
        for device in &taken.devices {
            *self.devices.entry(device.clone()).or_default() += sign;
        }
    }
}

impl<'a> Balance<'a> {
    pub(super) fn new(state: &'a State, node: NodeId) -> Balance<'a> {
        Balance { state, node, changed: BTreeMap::new() }
    }

    /// From now on the allocation takes this; the last word counts.
    pub(super) fn set(&mut self, alloc: AllocId, taken: Option<Taken>) {
        self.changed.insert(alloc, taken);
    }

    /// Would all of it fit the node?
    pub(super) fn fits(&self, node: &Node) -> bool {
        let none = NodeUsage::default();
        let usage = self.state.usage(self.node).map_or(&none, |usage| usage);
        let mut difference = Difference::default();
        let mut shared_ports = Vec::new();
        for (id, taken) in &self.changed {
            let known = self.state.alloc(*id).filter(|a| !a.terminal() && a.node_id == self.node);
            if let Some(known) = known {
                difference.count(&Taken::of(self.state, known), -1);
            }
            if let Some(taken) = taken {
                difference.count(taken, 1);
                shared_ports.extend(taken.ports.iter().filter(|(_, shared)| *shared).map(|(port, _)| *port));
            }
        }
        amount_fits(node, usage, &difference)
            && difference.ports.iter().all(|(port, more)| {
                let users = i64::from(usage.ports.get(port).copied().unwrap_or(0)) + more;
                *more <= 0 || users <= 1 || shared_ports.contains(port)
            })
            && difference.cores.iter().all(|(core, more)| {
                let users = usage.cores.iter().filter(|c| *c == core).count() as i64 + more;
                *more <= 0 || (users <= 1 && !node.reserved.cores.contains(core))
            })
            && difference.devices.iter().all(|(device, more)| {
                let users = i64::from(usage.devices.get(device).copied().unwrap_or(0)) + more;
                *more <= 0 || (users <= 1 && has_device(node, device))
            })
    }
}

/// The node has this instance, and it works.
fn has_device(node: &Node, (name, id): &(String, String)) -> bool {
    let groups = node.resources.devices.iter();
    let mut of_kind = groups.filter(|group| *name == format!("{}/{}/{}", group.vendor, group.type_, group.name));
    of_kind.any(|group| group.instances.iter().any(|instance| instance.id == *id && instance.healthy))
}

/// A dimension that the change does not ask more of does not stand in its way.
fn amount_fits(node: &Node, usage: &NodeUsage, difference: &Difference) -> bool {
    let (has, kept, more) = (&node.resources, &node.reserved, &difference.amount);
    let fits = |total: i64, reserved: i64, used: i64, more: i64| more <= 0 || used + more <= total - reserved;
    fits(has.cpu_mhz, kept.cpu_mhz, usage.used.cpu_mhz, more.cpu_mhz)
        && fits(has.memory_mb, kept.memory_mb, usage.used.memory_mb, more.memory_mb)
        && fits(has.disk_mb, kept.disk_mb, usage.used.disk_mb, more.disk_mb)
        && (node.max_allocs <= 0 || fits(node.max_allocs, 0, i64::from(usage.allocs), difference.allocs))
}
