//! What a node would carry, by difference to what state counts for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::ids::{AllocId, NodeId, VolumeId};
use tarpan_model::job::TaskGroup;
use tarpan_model::resources::Amount;
use tarpan_model::volume::{AccessMode, Capability, HostVolumeState, host_requests, source};
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
    volumes: Volumes,
}

/// What of dynamic host volumes it takes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Volumes {
    /// One that it mounts may not be used any more.
    gone: bool,
    /// Those that it writes to as the only one who may.
    alone: Vec<VolumeId>,
    /// All that it writes to.
    written: Vec<VolumeId>,
}

impl Volumes {
    /// Of an allocation on a node; `group` as it runs.
    fn of(state: &State, node: NodeId, alloc: &Allocation, group: &TaskGroup) -> Volumes {
        let mut taken = Volumes::default();
        for request in host_requests(group) {
            let name = source(request, alloc.index());
            let reported = state.node(node).and_then(|row| row.host_volumes.get(&*name));
            let Some(reported) = reported.filter(|volume| !volume.id.is_empty()) else { continue };
            let known = reported.id.parse().ok().and_then(|id| state.host_volume(id));
            let Some(volume) = known.filter(|volume| volume.state == HostVolumeState::Ready && !volume.deleting) else {
                taken.gone = true;
                continue;
            };
            if request.read_only != Some(true) {
                taken.written.push(volume.id);
                let asked = Capability::asked(request).ok().map(|asked| asked.access_mode);
                if asked == Some(AccessMode::SingleNodeSingleWriter) {
                    taken.alone.push(volume.id);
                }
            }
        }
        taken
    }
}

impl Taken {
    /// A row that did not come from state may not be linked to its job: the version that state has decides then.
    pub(super) fn of(state: &State, node: NodeId, alloc: &Allocation) -> Taken {
        let group = match &alloc.job.id {
            Some(_) => alloc.group(),
            None => {
                let job = state.job_version(&alloc.job_key(), alloc.job_version);
                job.and_then(|job| job.group(&alloc.task_group))
            }
        };
        let mut taken = Taken {
            amount: alloc.resources.demand(group),
            volumes: group
                .filter(|g| g.volumes.is_some())
                .map(|g| Volumes::of(state, node, alloc, g))
                .unwrap_or_default(),
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
                difference.count(&Taken::of(self.state, self.node, known), -1);
            }
            if let Some(taken) = taken {
                difference.count(taken, 1);
                shared_ports.extend(taken.ports.iter().filter(|(_, shared)| *shared).map(|(port, _)| *port));
            }
        }
        self.volumes_fit()
            && amount_fits(node, usage, &difference)
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

impl Balance<'_> {
    /// Volumes that new allocations mount are there, and who is to write alone does.
    fn volumes_fit(&self) -> bool {
        let known = |id: AllocId| self.state.alloc(id).is_some_and(|a| !a.terminal() && a.node_id == self.node);
        let new: Vec<&Taken> =
            self.changed.iter().filter(|(id, _)| !known(**id)).filter_map(|(_, taken)| taken.as_ref()).collect();
        let others = |volume: VolumeId| {
            let planned =
                self.changed.values().flatten().filter(|taken| taken.volumes.written.contains(&volume)).count();
            let Some(row) = self.state.host_volume(volume) else { return planned };
            let writes = |alloc: &&Arc<Allocation>| {
                !alloc.terminal() && !self.changed.contains_key(&alloc.id) && row.written_by(alloc)
            };
            planned + self.state.users_of(row).filter(writes).count()
        };
        new.iter().all(|taken| !taken.volumes.gone && taken.volumes.alone.iter().all(|volume| others(*volume) <= 1))
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
