//! What nodes, allocations and tasks use right now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::wire::Wire;

use crate::null_default;
use crate::timestamp::Timestamp;

/// `AllocResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct AllocResourceUsage {
    #[serde(rename = "ResourceUsage")]
    pub resource_usage: Option<ResourceUsage>,
    #[serde(rename = "Tasks", deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, TaskResourceUsage>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
}

/// `TaskResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct TaskResourceUsage {
    #[serde(rename = "ResourceUsage")]
    pub resource_usage: Option<ResourceUsage>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
    #[serde(rename = "Pids", deserialize_with = "null_default")]
    pub pids: BTreeMap<String, ResourceUsage>,
}

/// `ResourceUsage` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct ResourceUsage {
    #[serde(rename = "MemoryStats")]
    pub memory_stats: Option<MemoryStats>,
    #[serde(rename = "CpuStats")]
    pub cpu_stats: Option<CpuStats>,
    /// Of the devices that were given; `None` of a task without any.
    #[serde(rename = "DeviceStats")]
    pub device_stats: Option<Vec<DeviceGroupStats>>,
}

/// `MemoryStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct MemoryStats {
    #[serde(rename = "RSS", deserialize_with = "null_default")]
    pub rss: u64,
    #[serde(rename = "Cache", deserialize_with = "null_default")]
    pub cache: u64,
    #[serde(rename = "Swap", deserialize_with = "null_default")]
    pub swap: u64,
    #[serde(rename = "MappedFile", deserialize_with = "null_default")]
    pub mapped_file: u64,
    #[serde(rename = "Usage", deserialize_with = "null_default")]
    pub usage: u64,
    #[serde(rename = "MaxUsage", deserialize_with = "null_default")]
    pub max_usage: u64,
    #[serde(rename = "KernelUsage", deserialize_with = "null_default")]
    pub kernel_usage: u64,
    #[serde(rename = "KernelMaxUsage", deserialize_with = "null_default")]
    pub kernel_max_usage: u64,
    #[serde(rename = "Measured", deserialize_with = "null_default")]
    pub measured: Vec<String>,
}

/// `CpuStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct CpuStats {
    #[serde(rename = "SystemMode", deserialize_with = "null_default")]
    pub system_mode: f64,
    #[serde(rename = "UserMode", deserialize_with = "null_default")]
    pub user_mode: f64,
    #[serde(rename = "TotalTicks", deserialize_with = "null_default")]
    pub total_ticks: f64,
    #[serde(rename = "ThrottledPeriods", deserialize_with = "null_default")]
    pub throttled_periods: u64,
    #[serde(rename = "ThrottledTime", deserialize_with = "null_default")]
    pub throttled_time: u64,
    #[serde(rename = "Percent", deserialize_with = "null_default")]
    pub percent: f64,
    #[serde(rename = "Measured", deserialize_with = "null_default")]
    pub measured: Vec<String>,
}

/// `DeviceGroupStats` on the wire: by instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct DeviceGroupStats {
    #[serde(rename = "Vendor", deserialize_with = "null_default")]
    pub vendor: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "InstanceStats", deserialize_with = "null_default")]
    pub instance_stats: BTreeMap<String, DeviceStats>,
}

/// `DeviceStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct DeviceStats {
    /// The figure that is shown first.
    #[serde(rename = "Summary")]
    pub summary: Option<StatValue>,
    #[serde(rename = "Stats")]
    pub stats: Option<StatObject>,
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: Timestamp,
}

/// `StatObject` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct StatObject {
    #[serde(rename = "Nested", deserialize_with = "null_default")]
    pub nested: BTreeMap<String, StatObject>,
    #[serde(rename = "Attributes", deserialize_with = "null_default")]
    pub attributes: BTreeMap<String, StatValue>,
}

/// `StatValue` on the wire: one of the values is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct StatValue {
    #[serde(rename = "FloatNumeratorVal", skip_serializing_if = "Option::is_none")]
    pub float_numerator: Option<f64>,
    #[serde(rename = "FloatDenominatorVal", skip_serializing_if = "Option::is_none")]
    pub float_denominator: Option<f64>,
    #[serde(rename = "IntNumeratorVal", skip_serializing_if = "Option::is_none")]
    pub int_numerator: Option<i64>,
    #[serde(rename = "IntDenominatorVal", skip_serializing_if = "Option::is_none")]
    pub int_denominator: Option<i64>,
    #[serde(rename = "StringVal", skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    #[serde(rename = "BoolVal", skip_serializing_if = "Option::is_none")]
    pub bool: Option<bool>,
    #[serde(rename = "Unit", deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(rename = "Desc", deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub desc: String,
}

impl StatValue {
    /// The figure as people read it: `3 / 16 GiB`.
    pub fn text(&self) -> String {
        let number = |value: f64| ((value * 100.0).round() / 100.0).to_string();
        let value = self.float_numerator.map(number).or_else(|| self.int_numerator.map(|n| n.to_string()));
        let of = self.float_denominator.map(number).or_else(|| self.int_denominator.map(|n| n.to_string()));
        let value = value.or_else(|| self.string.clone()).or_else(|| self.bool.map(|b| b.to_string()));
        let parts = [value.unwrap_or_default(), of.map(|of| format!("/ {of}")).unwrap_or_default(), self.unit.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// `HostStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStats {
    #[serde(rename = "Memory")]
    pub memory: Option<HostMemoryStats>,
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: Vec<HostCPUStats>,
    #[serde(rename = "DiskStats", deserialize_with = "null_default")]
    pub disk_stats: Vec<HostDiskStats>,
    #[serde(rename = "AllocDirStats")]
    pub alloc_dir_stats: Option<HostDiskStats>,
    #[serde(rename = "Uptime", deserialize_with = "null_default")]
    pub uptime: u64,
    #[serde(rename = "CPUTicksConsumed", deserialize_with = "null_default")]
    pub cpu_ticks_consumed: f64,
    /// By group of devices; `None` where the node has none.
    #[serde(rename = "DeviceStats")]
    pub device_stats: Option<Vec<DeviceGroupStats>>,
    /// Nanoseconds since 1970.
    #[serde(rename = "Timestamp", deserialize_with = "null_default")]
    pub timestamp: i64,
}

/// `HostMemoryStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostMemoryStats {
    #[serde(rename = "Total", deserialize_with = "null_default")]
    pub total: u64,
    #[serde(rename = "Available", deserialize_with = "null_default")]
    pub available: u64,
    #[serde(rename = "Used", deserialize_with = "null_default")]
    pub used: u64,
    #[serde(rename = "Free", deserialize_with = "null_default")]
    pub free: u64,
}

/// `HostCPUStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostCPUStats {
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: String,
    #[serde(rename = "User", deserialize_with = "null_default")]
    pub user: f64,
    #[serde(rename = "System", deserialize_with = "null_default")]
    pub system: f64,
    #[serde(rename = "Idle", deserialize_with = "null_default")]
    pub idle: f64,
    #[serde(rename = "TotalPercent", deserialize_with = "null_default")]
    pub total_percent: f64,
    #[serde(rename = "TotalTicks", deserialize_with = "null_default")]
    pub total_ticks: f64,
}

/// `HostDiskStats` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostDiskStats {
    #[serde(rename = "Device", deserialize_with = "null_default")]
    pub device: String,
    #[serde(rename = "Mountpoint", deserialize_with = "null_default")]
    pub mountpoint: String,
    #[serde(rename = "Size", deserialize_with = "null_default")]
    pub size: u64,
    #[serde(rename = "Used", deserialize_with = "null_default")]
    pub used: u64,
    #[serde(rename = "Available", deserialize_with = "null_default")]
    pub available: u64,
    #[serde(rename = "UsedPercent", deserialize_with = "null_default")]
    pub used_percent: f64,
    #[serde(rename = "InodesUsedPercent", deserialize_with = "null_default")]
    pub inodes_used_percent: f64,
}

/// What an allocation or a node used over time, in evenly spaced slots: ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct UsageHistory {
    /// Length of a slot, in nanoseconds.
    #[serde(rename = "Step", deserialize_with = "null_default")]
    pub step: i64,
    /// When the newest slot ends, in Unix nanoseconds.
    #[serde(rename = "Until", deserialize_with = "null_default")]
    pub until: i64,
    /// Of the node, or of all tasks together.
    #[serde(rename = "Whole", deserialize_with = "null_default")]
    pub whole: UsageSeries,
    /// By task; a node has none.
    #[serde(rename = "Tasks", deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, UsageSeries>,
}

/// Slots, the oldest first; `null` where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct UsageSeries {
    /// MHz, the mean of each slot.
    #[serde(rename = "CPU", deserialize_with = "null_default")]
    pub cpu: Vec<Option<f64>>,
    /// Bytes, the most of each slot.
    #[serde(rename = "Memory", deserialize_with = "null_default")]
    pub memory: Vec<Option<u64>>,
}
