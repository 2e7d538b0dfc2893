//! What a node has and what an allocation takes. CPU in MHz, memory and disk in MB (2^20 bytes).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::TaskGroup;

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
    pub fn total(&self) -> Amount {
        let mut sum = Amount { disk_mb: self.disk_mb, ..Amount::default() };
        for task in self.tasks.values() {
            sum.add_task(task);
        }
        sum
    }

    /// The most that runs at any one time, and the group's disk: what counts against a node.
    ///
    /// Tasks run in three phases: prestart tasks that end; main tasks with sidecars and poststart tasks; poststop tasks.
    /// A prestart sidecar counts in the first two. Reserved cores of all tasks are kept throughout. Without `group` every
    /// task counts as a main one.
    /// Source: the field's comparison of an allocation with a node.
    pub fn demand(&self, group: Option<&TaskGroup>) -> Amount {
        let Some(group) = group.filter(|g| g.tasks().iter().any(|t| t.hook().is_some())) else {
            return self.total();
        };
        let (mut before, mut main, mut after) = (Amount::default(), Amount::default(), Amount::default());
        let mut cores = 0;
        for (name, given) in self.tasks.iter() {
            let lifecycle = group.task(name).and_then(|t| t.lifecycle.as_ref());
            let sidecar = lifecycle.is_some_and(|l| l.sidecar == Some(true));
            match lifecycle.and_then(|l| l.hook.as_deref()) {
                Some("prestart") => {
                    before.add_task(given);
                    if sidecar {
                        main.add_task(given);
                    }
                }
                Some("poststop") => after.add_task(given),
                _ => main.add_task(given),
            }
            cores += given.cores.len() as i64;
        }
        let most = |part: fn(&Amount) -> i64| part(&before).max(part(&main)).max(part(&after));
        Amount {
            cpu_mhz: most(|a| a.cpu_mhz),
            memory_mb: most(|a| a.memory_mb),
            memory_mb_max: most(|a| a.memory_mb_max),
            disk_mb: self.disk_mb,
            cores,
        }
    }
}

impl Amount {
    fn add_task(&mut self, task: &TaskResources) {
        self.cpu_mhz += task.cpu_mhz;
        self.memory_mb += task.memory_mb;
        self.memory_mb_max += if task.memory_mb_max > 0 { task.memory_mb_max } else { task.memory_mb };
        self.cores += task.cores.len() as i64;
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.cpu_mhz += other.cpu_mhz;
        self.memory_mb += other.memory_mb;
        self.memory_mb_max += other.memory_mb_max;
        self.disk_mb += other.disk_mb;
        self.cores += other.cores;
    }
}

impl std::ops::SubAssign for Amount {
    fn sub_assign(&mut self, other: Amount) {
        self.cpu_mhz -= other.cpu_mhz;
        self.memory_mb -= other.memory_mb;
        self.memory_mb_max -= other.memory_mb_max;
        self.disk_mb -= other.disk_mb;
        self.cores -= other.cores;
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
