//! What a node has and what of it tasks may not have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::null_default;
use crate::null_list;
use crate::wire::NetworkResource;

/// `NodeResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: NodeCpuResources,
    #[serde(rename = "Processors", deserialize_with = "null_default")]
    pub processors: NodeProcessorResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: NodeMemoryResources,
    #[serde(rename = "Disk", deserialize_with = "null_default")]
    pub disk: NodeDiskResources,
    #[serde(rename = "Devices", deserialize_with = "null_default", serialize_with = "null_list")]
    pub devices: Vec<NodeDeviceResource>,
    #[serde(rename = "NodeNetworks", deserialize_with = "null_default")]
    pub node_networks: Vec<NodeNetworkResource>,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: Vec<NetworkResource>,
    #[serde(rename = "MinDynamicPort", deserialize_with = "null_default")]
    pub min_dynamic_port: i64,
    #[serde(rename = "MaxDynamicPort", deserialize_with = "null_default")]
    pub max_dynamic_port: i64,
}

/// `NodeCpuResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "TotalCpuCores", deserialize_with = "null_default")]
    pub total_cpu_cores: u64,
    #[serde(rename = "ReservableCpuCores", deserialize_with = "null_default")]
    pub reservable_cpu_cores: Vec<u64>,
}

/// `NodeMemoryResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMemoryResources {
    #[serde(rename = "MemoryMB", deserialize_with = "null_default")]
    pub memory_mb: i64,
}

/// `NodeDiskResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDiskResources {
    #[serde(rename = "DiskMB", deserialize_with = "null_default")]
    pub disk_mb: i64,
}

/// `NodeNetworkResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeNetworkResource {
    #[serde(rename = "Mode", deserialize_with = "null_default")]
    pub mode: String,
    #[serde(rename = "Device", deserialize_with = "null_default")]
    pub device: String,
    #[serde(rename = "MacAddress", deserialize_with = "null_default")]
    pub mac_address: String,
    #[serde(rename = "Speed", deserialize_with = "null_default")]
    pub speed: i64,
    #[serde(rename = "Addresses", deserialize_with = "null_default")]
    pub addresses: Vec<NodeNetworkAddress>,
}

/// `NodeNetworkAddress` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeNetworkAddress {
    #[serde(rename = "Family", deserialize_with = "null_default")]
    pub family: String,
    #[serde(rename = "Alias", deserialize_with = "null_default")]
    pub alias: String,
    #[serde(rename = "Address", deserialize_with = "null_default")]
    pub address: String,
    #[serde(rename = "ReservedPorts", deserialize_with = "null_default")]
    pub reserved_ports: String,
    #[serde(rename = "Gateway", deserialize_with = "null_default")]
    pub gateway: String,
}

/// `NodeDeviceResource` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDeviceResource {
    #[serde(rename = "Vendor", deserialize_with = "null_default")]
    pub vendor: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Instances", deserialize_with = "null_default")]
    pub instances: Vec<NodeDevice>,
    #[serde(rename = "Attributes", deserialize_with = "null_default")]
    pub attributes: BTreeMap<String, Attribute>,
}

/// `Attribute` of a device on the wire: one of the values is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribute {
    #[serde(rename = "Float", skip_serializing_if = "Option::is_none")]
    pub float: Option<f64>,
    #[serde(rename = "Int", skip_serializing_if = "Option::is_none")]
    pub int: Option<i64>,
    #[serde(rename = "String", skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    #[serde(rename = "Bool", skip_serializing_if = "Option::is_none")]
    pub bool: Option<bool>,
    #[serde(rename = "Unit", deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

impl Attribute {
    /// The attribute as people read it: `16 GiB`.
    pub fn text(&self) -> String {
        let value = self.int.map(|n| n.to_string()).or_else(|| self.float.map(|n| n.to_string()));
        let value = value.or_else(|| self.string.clone()).or_else(|| self.bool.map(|b| b.to_string()));
        format!("{} {}", value.unwrap_or_default(), self.unit).trim_end().to_owned()
    }
}

/// `NodeDevice` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDevice {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Healthy", deserialize_with = "null_default")]
    pub healthy: bool,
    #[serde(rename = "HealthDescription", deserialize_with = "null_default")]
    pub health_description: String,
}

/// `NodeReservedResources` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedResources {
    #[serde(rename = "Cpu", deserialize_with = "null_default")]
    pub cpu: NodeReservedCpuResources,
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: NodeMemoryResources,
    #[serde(rename = "Disk", deserialize_with = "null_default")]
    pub disk: NodeDiskResources,
    #[serde(rename = "Networks", deserialize_with = "null_default")]
    pub networks: NodeReservedNetworkResources,
}

/// Compute that tasks may not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedCpuResources {
    #[serde(rename = "CpuShares", deserialize_with = "null_default")]
    pub cpu_shares: i64,
    #[serde(rename = "ReservedCpuCores", deserialize_with = "null_default", serialize_with = "null_list")]
    pub reserved_cpu_cores: Vec<u64>,
}

/// Ports that tasks may not have, as `22,80,8500-8600`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReservedNetworkResources {
    #[serde(rename = "ReservedHostPorts", deserialize_with = "null_default")]
    pub reserved_host_ports: String,
}

/// The processors of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeProcessorResources {
    #[serde(rename = "Topology", deserialize_with = "null_default")]
    pub topology: ProcessorTopology,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessorTopology {
    /// NUMA nodes.
    #[serde(rename = "Nodes", deserialize_with = "null_default")]
    pub nodes: Vec<u64>,
    /// How far NUMA nodes are from each other; `None` where nobody knows.
    #[serde(rename = "Distances")]
    pub distances: Option<Vec<Vec<u64>>>,
    #[serde(rename = "Cores", deserialize_with = "null_default")]
    pub cores: Vec<ProcessorCore>,
    /// MHz of all cores together; 0: what the cores say.
    #[serde(rename = "OverrideTotalCompute", deserialize_with = "null_default")]
    pub override_total_compute: i64,
    /// MHz that nobody is to use. The wire's own spelling.
    #[serde(rename = "OverrideWitholdCompute", deserialize_with = "null_default")]
    pub override_withhold_compute: i64,
}

/// One core. Speeds in MHz.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessorCore {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: u64,
    #[serde(rename = "SocketID", deserialize_with = "null_default")]
    pub socket_id: u64,
    #[serde(rename = "NodeID", deserialize_with = "null_default")]
    pub node_id: u64,
    /// As fast as cores of the machine are; false of one that saves power.
    #[serde(rename = "Grade", deserialize_with = "null_default")]
    pub grade: bool,
    #[serde(rename = "Disable", deserialize_with = "null_default")]
    pub disable: bool,
    #[serde(rename = "BaseSpeed", deserialize_with = "null_default")]
    pub base_speed: i64,
    #[serde(rename = "MaxSpeed", deserialize_with = "null_default")]
    pub max_speed: i64,
    #[serde(rename = "GuessSpeed", deserialize_with = "null_default")]
    pub guess_speed: i64,
}

impl ProcessorCore {
    /// A core of socket and NUMA node 0.
    pub fn new(id: u64, mhz: i64) -> ProcessorCore {
        ProcessorCore { id, grade: true, base_speed: mhz, ..ProcessorCore::default() }
    }
}
