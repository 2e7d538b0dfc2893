//! Ports, cores and devices: things of a node that are given out by number or name.
//!
//! A [`Ledger`] holds what the running plan gives and takes back on top of the snapshot's usage. Ports are kept by number
//! for all addresses of a node together: stricter than one set an address, never wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tarpan_model::resources::{AllocatedDevice, AllocatedResources, NodeDeviceGroup, PortMapping};
use tarpan_model::{Node, measure};

use crate::columns::{NodeIndex, Row, usable_cores};
use crate::compile::{DeviceAsk, Group, Network, PortAsk};
use crate::constraint::{Constraint, Target};
use crate::rng::Rng;

/// What the plan changes on one node.
#[derive(Debug, Default)]
struct Changes {
    ports: BTreeMap<u16, i32>,
    cores: BTreeMap<u16, i32>,
    devices: BTreeMap<(String, String), i32>,
}

/// What the plan changes, by node.
#[derive(Debug, Default)]
pub struct Ledger {
    nodes: HashMap<NodeIndex, Changes>,
}

/// Devices for one ask of a task.
#[derive(Debug)]
pub struct Chosen {
    pub task: String,
    pub device: AllocatedDevice,
    /// The weights of the wishes that it fulfils.
    wished: f64,
}

/// Why a node can't give what was asked: the text counted in `DimensionExhausted`.
pub type Shortage = Arc<str>;

impl Ledger {
    pub fn take(&mut self, node: NodeIndex, resources: &AllocatedResources) {
        self.add(node, resources, 1);
    }

    pub fn give_back(&mut self, node: NodeIndex, resources: &AllocatedResources) {
        self.add(node, resources, -1);
    }

    fn add(&mut self, node: NodeIndex, resources: &AllocatedResources, by: i32) {
        let owns = |t: &tarpan_model::resources::TaskResources| !t.cores.is_empty() || !t.devices.is_empty();
        if resources.ports.is_empty() && !resources.tasks.values().any(owns) {
            return;
        }
        let changes = self.nodes.entry(node).or_default();
        for port in &resources.ports {
            *changes.ports.entry(port.value).or_default() += by;
        }
        for task in resources.tasks.values() {
            for core in &task.cores {
                *changes.cores.entry(*core).or_default() += by;
            }
            for device in &task.devices {
                for id in &device.ids {
                    let key = (device_name(&device.vendor, &device.type_, &device.name), id.clone());
                    *changes.devices.entry(key).or_default() += by;
                }
            }
        }
    }

    fn port_free(&self, index: NodeIndex, row: &Row, port: u16) -> bool {
        let used = row.usage.as_ref().and_then(|u| u.ports.get(&port)).copied().unwrap_or(0) as i32;
        let change = self.nodes.get(&index).and_then(|c| c.ports.get(&port)).copied().unwrap_or(0);
        used + change <= 0 && !row.reserved_ports.iter().any(|(low, high)| (*low..=*high).contains(&port))
    }

    /// Could the network ask be met? Cheap: no port is chosen yet.
    pub fn network_fits(&self, index: NodeIndex, row: &Row, network: &Network) -> Result<(), Shortage> {
        for port in &network.ports {
            if address(&row.node, &port.host_network).is_none() {
                return Err(Arc::from(format!("network: no addresses available for {} network", port.host_network)));
            }
            if port.value != 0 && !port.ignore_collision && !self.port_free(index, row, port.value) {
                return Err(collision(port));
            }
        }
        Ok(())
    }

    /// Chooses the ports of `network` on a node.
    pub fn choose_ports(
        &self,
        index: NodeIndex,
        row: &Row,
        network: &Network,
        rng: &mut Rng,
    ) -> Result<Vec<PortMapping>, Shortage> {
        let mut chosen: Vec<PortMapping> = Vec::with_capacity(network.ports.len());
        let statics = || network.ports.iter().filter(|p| p.value != 0).map(|p| p.value);
        for ask in &network.ports {
            let host_ip = address(&row.node, &ask.host_network).ok_or_else(|| {
                Arc::from(format!("network: no addresses available for {} network", ask.host_network))
            })?;
            let value = if ask.value != 0 {
                let twice = chosen.iter().any(|c| c.value == ask.value);
                if !ask.ignore_collision && (twice || !self.port_free(index, row, ask.value)) {
                    return Err(collision(ask));
                }
                ask.value
            } else {
                let good = |port: u16| {
                    self.port_free(index, row, port)
                        && !chosen.iter().any(|c| c.value == port)
                        && !statics().any(|s| s == port)
                };
                dynamic_port(&row.node, rng, good).ok_or_else(|| Arc::from("network: dynamic port selection failed"))?
            };
            chosen.push(PortMapping {
                label: ask.label.clone(),
                value,
                to: if ask.to < 0 { value } else { ask.to as u16 },
                host_ip,
                host_network: ask.host_network.clone(),
                is_static: ask.value != 0,
                ignore_collision: ask.ignore_collision,
            });
        }
        Ok(chosen)
    }

    /// The lowest free cores; `None` when there are too few.
    pub fn choose_cores(&self, index: NodeIndex, row: &Row, wanted: usize) -> Option<Vec<u16>> {
        let changes = self.nodes.get(&index);
        let free = usable_cores(&row.node).filter(|core| {
            let used = row.usage.as_ref().is_some_and(|u| u.cores.contains(core)) as i32;
            used + changes.and_then(|c| c.cores.get(core)).copied().unwrap_or(0) <= 0
        });
        let chosen: Vec<u16> = free.take(wanted).collect();
        (chosen.len() == wanted).then_some(chosen)
    }

    /// Free, healthy instances for each ask, in the order of the asks; one kind of device for one ask: the one that is wished for
    /// most, of equals the first.
    pub fn choose_devices(&self, index: NodeIndex, row: &Row, asks: &[DeviceAsk]) -> Result<Vec<Chosen>, Shortage> {
        let mut chosen: Vec<Chosen> = Vec::new();
        for ask in asks {
            let mut matched = false;
            let mut best: Option<Chosen> = None;
            for group in row.node.resources.devices.iter().filter(|group| device_matches(group, ask)) {
                matched = true;
                let Some(device) = self.free_instances(index, row, group, ask.count, &chosen) else { continue };
                let wished = wished(group, ask);
                if best.as_ref().is_none_or(|best| wished > best.wished) {
                    best = Some(Chosen { task: ask.task.clone(), device, wished });
                }
            }
            match best {
                Some(best) => chosen.push(best),
                None if matched => return Err(Arc::from("devices: no devices available")),
                None => return Err(Arc::from("devices: no devices match request")),
            }
        }
        Ok(chosen)
    }

    fn free_instances(
        &self,
        index: NodeIndex,
        row: &Row,
        group: &NodeDeviceGroup,
        count: usize,
        chosen: &[Chosen],
    ) -> Option<AllocatedDevice> {
        let changes = self.nodes.get(&index);
        let name = device_name(&group.vendor, &group.type_, &group.name);
        let is_free = |id: &str| {
            let key = (name.clone(), id.to_owned());
            let used = row.usage.as_ref().and_then(|u| u.devices.get(&key)).copied().unwrap_or(0) as i32;
            let taken = chosen
                .iter()
                .map(|chosen| &chosen.device)
                .any(|d| device_name(&d.vendor, &d.type_, &d.name) == name && d.ids.iter().any(|i| i == id));
            used + changes.and_then(|c| c.devices.get(&key)).copied().unwrap_or(0) <= 0 && !taken
        };
        let free = group.instances.iter().filter(|i| i.healthy && is_free(&i.id));
        let ids: Vec<String> = free.map(|i| i.id.clone()).take(count).collect();
        (ids.len() == count).then(|| AllocatedDevice {
            vendor: group.vendor.clone(),
            type_: group.type_.clone(),
            name: group.name.clone(),
            ids,
        })
    }

    /// How far what would be chosen is what the group wishes for, from -1 to 1; `None`: it has no such wishes.
    pub fn device_score(&self, index: NodeIndex, row: &Row, asks: &[DeviceAsk]) -> Option<f64> {
        let weights: f64 = asks.iter().flat_map(|ask| &ask.affinities).map(|(_, _, weight)| weight.abs()).sum();
        if weights == 0.0 {
            return None;
        }
        let chosen = self.choose_devices(index, row, asks).ok()?;
        Some(chosen.iter().map(|chosen| chosen.wished).sum::<f64>() / weights)
    }

    /// What an allocation of `group` is given on a node: `shared` as it is, or a copy with ports, cores and devices.
    pub fn give(
        &self,
        index: NodeIndex,
        row: &Row,
        group: &Group,
        shared: &Arc<AllocatedResources>,
        rng: &mut Rng,
    ) -> Result<Arc<AllocatedResources>, Shortage> {
        if !group.has_own_resources {
            return Ok(shared.clone());
        }
        let mut given = AllocatedResources::clone(shared);
        if let Some(network) = &group.network {
            given.ports = self.choose_ports(index, row, network, rng)?;
        }
        if !group.cores.is_empty() || !group.devices.is_empty() {
            let tasks = Arc::make_mut(&mut given.tasks);
            let wanted = group.cores.iter().map(|(_, n)| usize::from(*n)).sum();
            let mut cores = self.choose_cores(index, row, wanted).ok_or_else(|| Arc::from("cores"))?.into_iter();
            for (task, count) in &group.cores {
                if let Some(task) = tasks.get_mut(task) {
                    task.cores = cores.by_ref().take(usize::from(*count)).collect();
                    task.cpu_mhz = row.core_mhz() * i64::from(*count);
                }
            }
            for chosen in self.choose_devices(index, row, &group.devices)? {
                if let Some(task) = tasks.get_mut(&chosen.task) {
                    task.devices.push(chosen.device);
                }
            }
        }
        Ok(Arc::new(given))
    }
}

fn collision(port: &PortAsk) -> Shortage {
    Arc::from(format!("network: reserved port collision {}={}", port.label, port.value))
}

/// The node's address in a host network, IPv4 before IPv6.
///
/// The default network of a node that reported no addresses is the node's own address.
pub fn address(node: &Node, host_network: &str) -> Option<Arc<str>> {
    let all = || node.resources.networks.iter().flat_map(|n| &n.addresses).filter(|a| a.alias == host_network);
    let found = all().find(|a| a.family != "ipv6").or_else(|| all().next());
    match found {
        Some(found) => Some(Arc::from(found.address.as_str())),
        None if host_network == "default" => node.attributes.get("unique.network.ip-address").cloned(),
        None => None,
    }
}

/// Twenty random probes of the node's range, then every port of it.
fn dynamic_port(node: &Node, rng: &mut Rng, good: impl Fn(u16) -> bool) -> Option<u16> {
    let (low, high) = match (node.resources.min_dynamic_port, node.resources.max_dynamic_port) {
        (0, _) | (_, 0) => (20_000, 32_000),
        range => range,
    };
    let width = usize::from(high.saturating_sub(low)) + 1;
    (0..20)
        .map(|_| low + rng.below(width) as u16)
        .find(|port| good(*port))
        .or_else(|| (low..=high).find(|port| good(*port)))
}

/// `vendor/type/name`: the key of usage.
pub fn device_name(vendor: &str, type_: &str, name: &str) -> String {
    format!("{vendor}/{type_}/{name}")
}

/// Does the kind of device fit the name asked for and its constraints?
pub fn device_matches(device: &NodeDeviceGroup, ask: &DeviceAsk) -> bool {
    let named = match ask.id.as_slice() {
        [type_] => *type_ == device.type_,
        [vendor, type_] => *vendor == device.vendor && *type_ == device.type_,
        [vendor, type_, name] => *vendor == device.vendor && *type_ == device.type_ && *name == device.name,
        _ => false,
    };
    named && ask.constraints.iter().all(|(target, constraint)| holds(device, target, constraint))
}

/// The weights of the wishes that the kind of device fulfils.
fn wished(device: &NodeDeviceGroup, ask: &DeviceAsk) -> f64 {
    let fulfilled = ask.affinities.iter().filter(|(target, wish, _)| holds(device, target, wish));
    fulfilled.map(|(_, _, weight)| weight).sum()
}

/// Whether this is so of a kind of device. Amounts with units are compared by what they are: `16 GiB` is more than `900 MB`.
fn holds(device: &NodeDeviceGroup, target: &str, constraint: &Constraint) -> bool {
    let inner = target.strip_prefix("${device.").and_then(|t| t.strip_suffix('}')).unwrap_or_default();
    let ids = || device.instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>().join(",");
    let left: Option<Arc<str>> = match inner {
        "model" => Some(Arc::from(device.name.as_str())),
        "vendor" => Some(Arc::from(device.vendor.as_str())),
        "type" => Some(Arc::from(device.type_.as_str())),
        "ids" => Some(Arc::from(ids().as_str())),
        other => other.strip_prefix("attr.").and_then(|key| device.attributes.get(key)).map(|v| Arc::from(v.as_str())),
    };
    let right = match &constraint.right {
        Target::Literal(text) => Some(text.clone()),
        _ => None,
    };
    let amount = |text: &Option<Arc<str>>| text.as_deref().and_then(measure::parse);
    match (amount(&left), amount(&right)) {
        (Some(l), Some(r)) if l.family == r.family => {
            let plain = |amount: f64| Some(Arc::from(amount.to_string()));
            constraint.operator.holds(plain(l.amount), plain(r.amount))
        }
        _ => constraint.operator.holds(left, right),
    }
}
