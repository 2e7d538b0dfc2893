//! What an allocation was given, in the wire's present form and in the older one that tools still read.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tarpan_model::Allocation;
use tarpan_model::job::TaskLifecycle;
use tarpan_model::resources::{AllocatedDevice, AllocatedResources, PortMapping, TaskResources};

use super::null_if_empty;

/// `AllocatedResources`.
#[derive(Serialize)]
pub(super) struct Given<'a> {
    #[serde(rename = "Tasks")]
    tasks: Tasks<'a>,
    #[serde(rename = "TaskLifecycles")]
    lifecycles: Lifecycles<'a>,
    #[serde(rename = "Shared")]
    shared: Shared<'a>,
}

impl<'a> From<&'a Allocation> for Given<'a> {
    fn from(row: &'a Allocation) -> Self {
        Given { tasks: Tasks(&row.resources), lifecycles: Lifecycles(row), shared: Shared::from(&*row.resources) }
    }
}

struct Tasks<'a>(&'a AllocatedResources);

impl Serialize for Tasks<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.tasks.iter().map(|(name, given)| (name, TaskGiven::from(given))))
    }
}

struct Lifecycles<'a>(&'a Allocation);

impl Serialize for Lifecycles<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let group = self.0.group();
        let of = |name: &str| -> Option<&TaskLifecycle> { group?.task(name)?.lifecycle.as_ref() };
        s.collect_map(self.0.resources.tasks.keys().map(|name| (name, of(name))))
    }
}

#[derive(Serialize)]
struct TaskGiven<'a> {
    #[serde(rename = "Cpu")]
    cpu: Cpu<'a>,
    #[serde(rename = "Memory")]
    memory: Memory,
    #[serde(rename = "Networks")]
    networks: Option<()>,
    #[serde(rename = "Devices", serialize_with = "null_if_empty")]
    devices: Vec<Device<'a>>,
}

impl<'a> From<&'a TaskResources> for TaskGiven<'a> {
    fn from(given: &'a TaskResources) -> Self {
        TaskGiven {
            cpu: Cpu { shares: given.cpu_mhz, cores: &given.cores },
            memory: Memory { memory_mb: given.memory_mb, max_mb: given.memory_mb_max },
            networks: None,
            devices: given.devices.iter().map(Device::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct Cpu<'a> {
    #[serde(rename = "CpuShares")]
    shares: i64,
    #[serde(rename = "ReservedCores", serialize_with = "null_if_empty")]
    cores: &'a [u16],
}

#[derive(Serialize)]
struct Memory {
    #[serde(rename = "MemoryMB")]
    memory_mb: i64,
    #[serde(rename = "MemoryMaxMB")]
    max_mb: i64,
}

#[derive(Serialize)]
struct Device<'a> {
    #[serde(rename = "Vendor")]
    vendor: &'a str,
    #[serde(rename = "Type")]
    type_: &'a str,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "DeviceIDs")]
    ids: &'a [String],
}

impl<'a> From<&'a AllocatedDevice> for Device<'a> {
    fn from(row: &'a AllocatedDevice) -> Self {
        Device { vendor: &row.vendor, type_: &row.type_, name: &row.name, ids: &row.ids }
    }
}

#[derive(Serialize)]
struct Shared<'a> {
    #[serde(rename = "Networks", serialize_with = "null_if_empty")]
    networks: Vec<Network<'a>>,
    #[serde(rename = "DiskMB")]
    disk_mb: i64,
    #[serde(rename = "Ports", serialize_with = "null_if_empty")]
    ports: Vec<Mapped<'a>>,
}

impl<'a> From<&'a AllocatedResources> for Shared<'a> {
    fn from(row: &'a AllocatedResources) -> Self {
        Shared {
            networks: network(row).into_iter().collect(),
            disk_mb: row.disk_mb,
            ports: row.ports.iter().map(Mapped::from).collect(),
        }
    }
}

/// The group's network; `None` when it has none.
pub(super) fn network(row: &AllocatedResources) -> Option<Network<'_>> {
    if row.network_mode.is_empty() && row.ports.is_empty() {
        return None;
    }
    let port = |p| Port::from(p);
    let (fixed, dynamic): (Vec<_>, Vec<_>) = row.ports.iter().partition(|p| p.is_static);
    Some(Network {
        mode: &row.network_mode,
        ip: row.ports.first().map_or("", |p| &p.host_ip),
        hostname: &row.hostname,
        reserved: fixed.into_iter().map(port).collect(),
        dynamic: dynamic.into_iter().map(port).collect(),
    })
}

/// `NetworkResource`.
#[derive(Serialize)]
pub(super) struct Network<'a> {
    #[serde(rename = "Mode", skip_serializing_if = "str::is_empty")]
    mode: &'a str,
    #[serde(rename = "IP", skip_serializing_if = "str::is_empty")]
    ip: &'a str,
    #[serde(rename = "Hostname", skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    #[serde(rename = "ReservedPorts", skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<Port<'a>>,
    #[serde(rename = "DynamicPorts", skip_serializing_if = "Vec::is_empty")]
    dynamic: Vec<Port<'a>>,
}

fn zero(value: &u16) -> bool {
    *value == 0
}

#[derive(Serialize)]
struct Port<'a> {
    #[serde(rename = "Label", skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(rename = "Value", skip_serializing_if = "zero")]
    value: u16,
    #[serde(rename = "To", skip_serializing_if = "zero")]
    to: u16,
    #[serde(rename = "HostNetwork", skip_serializing_if = "str::is_empty")]
    host_network: &'a str,
    #[serde(rename = "IgnoreCollision", skip_serializing_if = "std::ops::Not::not")]
    ignore_collision: bool,
}

impl<'a> From<&'a PortMapping> for Port<'a> {
    fn from(row: &'a PortMapping) -> Self {
        Port {
            label: &row.label,
            value: row.value,
            to: row.to,
            host_network: &row.host_network,
            ignore_collision: row.ignore_collision,
        }
    }
}

#[derive(Serialize)]
struct Mapped<'a> {
    #[serde(rename = "Label", skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(rename = "Value", skip_serializing_if = "zero")]
    value: u16,
    #[serde(rename = "To", skip_serializing_if = "zero")]
    to: u16,
    #[serde(rename = "HostIP", skip_serializing_if = "str::is_empty")]
    host_ip: &'a str,
    #[serde(rename = "IgnoreCollision", skip_serializing_if = "std::ops::Not::not")]
    ignore_collision: bool,
}

impl<'a> From<&'a PortMapping> for Mapped<'a> {
    fn from(row: &'a PortMapping) -> Self {
        Mapped {
            label: &row.label,
            value: row.value,
            to: row.to,
            host_ip: &row.host_ip,
            ignore_collision: row.ignore_collision,
        }
    }
}

/// The older `Resources` of an allocation, of its shared part or of one task.
pub(super) struct Legacy<'a> {
    pub cpu: i64,
    pub cores: usize,
    pub memory_mb: i64,
    pub memory_max_mb: i64,
    pub disk_mb: i64,
    pub network: Option<Network<'a>>,
}

impl Serialize for Legacy<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(10))?;
        map.serialize_entry("CPU", &self.cpu)?;
        map.serialize_entry("Cores", &self.cores)?;
        map.serialize_entry("MemoryMB", &self.memory_mb)?;
        map.serialize_entry("MemoryMaxMB", &self.memory_max_mb)?;
        map.serialize_entry("DiskMB", &self.disk_mb)?;
        map.serialize_entry("IOPS", &0)?;
        map.serialize_entry("Networks", &self.network.as_ref().map(|n| [n]))?;
        map.serialize_entry("Devices", &None::<()>)?;
        map.serialize_entry("NUMA", &None::<()>)?;
        map.serialize_entry("SecretsMB", &0)?;
        map.end()
    }
}

impl<'a> Legacy<'a> {
    /// Everything together.
    pub fn all(row: &'a AllocatedResources) -> Legacy<'a> {
        let sum = row.total();
        Legacy {
            cpu: sum.cpu_mhz,
            cores: row.tasks.values().map(|t| t.cores.len()).sum(),
            memory_mb: sum.memory_mb,
            memory_max_mb: sum.memory_mb_max,
            disk_mb: row.disk_mb,
            network: network(row),
        }
    }

    /// What tasks share.
    pub fn shared(row: &'a AllocatedResources) -> Legacy<'a> {
        Legacy { cpu: 0, cores: 0, memory_mb: 0, memory_max_mb: 0, disk_mb: row.disk_mb, network: network(row) }
    }

    fn task(given: &TaskResources) -> Legacy<'static> {
        Legacy {
            cpu: given.cpu_mhz,
            cores: given.cores.len(),
            memory_mb: given.memory_mb,
            memory_max_mb: given.memory_mb_max,
            disk_mb: 0,
            network: None,
        }
    }
}

/// The older `TaskResources`.
pub(super) struct LegacyTasks<'a>(pub &'a AllocatedResources);

impl Serialize for LegacyTasks<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.tasks.iter().map(|(name, given)| (name, Legacy::task(given))))
    }
}
