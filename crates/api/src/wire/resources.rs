//! What an allocation was given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::job::CNIConfig;
use tarpan_model::job::DNSConfig;
use tarpan_model::job::TaskLifecycle;
use tarpan_model::wire::Wire;

use crate::is_default;
use crate::null_default;

/// `AllocatedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct AllocatedResources {
    #[serde(rename = "Tasks", deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, AllocatedTaskResources>,
    #[serde(rename = "TaskLifecycles", deserialize_with = "null_default")]
    pub task_lifecycles: BTreeMap<String, Option<TaskLifecycle>>,
    #[serde(rename = "Shared", deserialize_with = "null_default")]
    pub shared: AllocatedSharedResources,
}

/// `AllocatedTaskResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedTaskResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: AllocatedCpuResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: AllocatedMemoryResources,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "Devices", deserialize_with = "null_default")]
    pub devices: Vec<AllocatedDeviceResource>,
}

/// `AllocatedSharedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedSharedResources {
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "DiskMB", deserialize_with = "null_default")]
    pub disk_mb: i64,
    #[serde(rename = "Ports", deserialize_with = "null_default")]
    pub ports: Vec<AllocatedPortMapping>,
}

/// `AllocatedCpuResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "ReservedCores", deserialize_with = "null_default")]
    pub reserved_cores: Vec<u64>,
}

/// `AllocatedMemoryResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedMemoryResources {
    #[serde(rename = "MemoryMB", deserialize_with = "null_default")]
    pub memory_mb: i64,
    #[serde(rename = "MemoryMaxMB", deserialize_with = "null_default")]
    pub memory_max_mb: i64,
}

/// `AllocatedDeviceResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedDeviceResource {
    #[serde(rename = "Vendor", deserialize_with = "null_default")]
    pub vendor: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "DeviceIDs", deserialize_with = "null_default")]
    pub device_ids: Vec<String>,
}

/// `NetworkResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkResource {
    #[serde(rename = "Mode", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub mode: String,
    #[serde(rename = "Device", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub device: String,
    #[serde(rename = "CIDR", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub cidr: String,
    #[serde(rename = "IP", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ip: String,
    #[serde(rename = "Hostname", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub hostname: String,
    #[serde(rename = "MBits", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub mbits: i64,
    #[serde(rename = "DNS", skip_serializing_if = "is_default")]
    pub dns: Option<DNSConfig>,
    #[serde(rename = "ReservedPorts", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub reserved_ports: Vec<Port>,
    #[serde(rename = "DynamicPorts", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub dynamic_ports: Vec<Port>,
    #[serde(rename = "CNI", skip_serializing_if = "is_default")]
    pub cni: Option<CNIConfig>,
}

/// `Port` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    #[serde(rename = "Label", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub label: String,
    #[serde(rename = "Value", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub value: i64,
    #[serde(rename = "To", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub to: i64,
    #[serde(rename = "HostNetwork", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub host_network: String,
    #[serde(rename = "IgnoreCollision", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ignore_collision: bool,
}

/// `AllocatedPortMapping` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatedPortMapping {
    #[serde(rename = "Label", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub label: String,
    #[serde(rename = "Value", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub value: i64,
    #[serde(rename = "To", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub to: i64,
    #[serde(rename = "HostIP", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub host_ip: String,
    #[serde(rename = "IgnoreCollision", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub ignore_collision: bool,
}
