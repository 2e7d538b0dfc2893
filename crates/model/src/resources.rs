//! What a node has and what an allocation takes. CPU in MHz, memory and disk in MB (2^20 bytes).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What one task was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskResources {
    pub cpu_mhz: i64,
    pub memory_mb: i64,
    /// Zero: no more than `memory_mb`; -1: no limit.
    pub memory_mb_max: i64,
    /// Core ids reserved for this task alone; filled only where the task asked for `cores`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<AllocatedDevice>,
}

/// Device instances given to a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocatedDevice {
    pub vendor: String,
    pub type_: String,
    pub name: String,
    pub ids: Vec<String>,
}

/// A port of an allocation: `value` on the host at `host_ip`, `to` inside the task's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub label: Arc<str>,
    pub value: u16,
    /// 0: the same as `value`.
    pub to: u16,
    pub host_ip: Arc<str>,
    pub host_network: Arc<str>,
    /// Asked for by number in the jobspec.
    #[serde(default)]
    pub is_static: bool,
    #[serde(default)]
    pub ignore_collision: bool,
}

/// What an allocation was given. The part equal for all allocations of a group is behind one `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocatedResources {
    /// By task name. Shared between allocations of one job version unless cores or devices differ.
    pub tasks: Arc<BTreeMap<String, TaskResources>>,
    pub disk_mb: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// `host`, `bridge`, `none` or `cni/NAME`; empty when the group has no network.
    #[serde(default)]
    pub network_mode: Arc<str>,
    #[serde(default)]
    pub hostname: Arc<str>,
}

/// A sum of the divisible resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub cpu_mhz: i64,
    pub memory_mb: i64,
    pub memory_mb_max: i64,
    pub disk_mb: i64,
    pub cores: i64,
}

impl AllocatedResources {
    /// The sum over the tasks, and the group's disk.
    ///
    /// Prestart and poststop tasks do not run beside the main ones; the field still counts the largest phase, and the
    /// scheduler's dense form does so when it places. Here every task counts.
    pub fn total(&self) -> Amount {
        let mut sum = Amount { disk_mb: self.disk_mb, ..Amount::default() };
        for task in self.tasks.values() {
            sum.cpu_mhz += task.cpu_mhz;
            sum.memory_mb += task.memory_mb;
            sum.memory_mb_max += if task.memory_mb_max > 0 { task.memory_mb_max } else { task.memory_mb };
            sum.cores += task.cores.len() as i64;
        }
        sum
    }
}

/// What a node has, before what is reserved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeResources {
    /// Total compute: cores times MHz.
    pub cpu_mhz: i64,
    pub cpu_cores: u16,
    /// Cores that tasks may reserve.
    #[serde(default)]
    pub reservable_cores: Vec<u16>,
    pub memory_mb: i64,
    pub disk_mb: i64,
    #[serde(default)]
    pub networks: Vec<NodeNetwork>,
    #[serde(default)]
    pub devices: Vec<NodeDeviceGroup>,
    /// Range of dynamic ports, inclusive; the field's default is 20000 to 32000.
    pub min_dynamic_port: u16,
    pub max_dynamic_port: u16,
}

/// An address group of a node, by host network name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeNetwork {
    /// `host` or `bridge`.
    pub mode: String,
    pub device: String,
    pub mac: String,
    pub speed_mbits: i64,
    pub addresses: Vec<NodeAddress>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Name of the host network, `default` for the main one.
    pub alias: String,
    pub address: String,
    /// Port specification such as `22,8000-8100`.
    #[serde(default)]
    pub reserved_ports: String,
    #[serde(default)]
    pub gateway: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeDeviceGroup {
    pub vendor: String,
    pub type_: String,
    pub name: String,
    pub instances: Vec<NodeDevice>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeDevice {
    pub id: String,
    pub healthy: bool,
    #[serde(default)]
    pub health_description: String,
}

/// What tasks may not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeReserved {
    pub cpu_mhz: i64,
    #[serde(default)]
    pub cores: Vec<u16>,
    pub memory_mb: i64,
    pub disk_mb: i64,
    /// Port specification such as `22,80,8500-8600`.
    #[serde(default)]
    pub ports: String,
}
