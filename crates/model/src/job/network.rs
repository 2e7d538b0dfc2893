//! Networks and ports of a group.

use tarpan_model_derive::Block;

use crate::schema::TextMap;

/// The `network` block, in group, resources (deprecated).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "NetworkResource")]
pub struct NetworkResource {
    /// none, bridge, host, cni/<name>; driver-created.
    #[field(json = "Mode", hcl = "mode", default = "host", zero)]
    pub mode: Option<String>,
    /// legacy.
    #[field(json = "Device", hcl = "device", zero)]
    pub device: Option<String>,
    /// legacy, not parsed meaningfully.
    #[field(json = "CIDR", hcl = "cidr", zero)]
    pub cidr: Option<String>,
    /// legacy.
    #[field(json = "IP", hcl = "ip", zero)]
    pub ip: Option<String>,
    /// The `dns` of this network.
    #[field(json = "DNS", hcl = "dns")]
    pub dns: Option<DNSConfig>,
    /// not for HCL use; JSON ReservedPorts holds static ports.
    #[field(json = "ReservedPorts", hcl = "reserved_ports")]
    pub reserved_ports: Option<Vec<Port>>,
    /// label block.
    #[field(json = "DynamicPorts", hcl = "port")]
    pub dynamic_ports: Option<Vec<Port>>,
    /// bridge only; must be DNS label.
    #[field(json = "Hostname", hcl = "hostname", zero, interpolated)]
    pub hostname: Option<String>,
    /// deprecated, warning.
    #[field(json = "MBits", hcl = "mbits", unit = "Mbit/s")]
    pub mbits: Option<i64>,
    /// The `cni` of this network.
    #[field(json = "CNI", hcl = "cni")]
    pub cni: Option<CNIConfig>,
}

/// The `dns` block, in network.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "DNSConfig")]
pub struct DNSConfig {
    /// The `servers` of this dns.
    #[field(json = "Servers", hcl = "servers", zero, interpolated)]
    pub servers: Option<Vec<String>>,
    /// The `searches` of this dns.
    #[field(json = "Searches", hcl = "searches", zero, interpolated)]
    pub searches: Option<Vec<String>>,
    /// The `options` of this dns.
    #[field(json = "Options", hcl = "options", zero, interpolated)]
    pub options: Option<Vec<String>>,
}

/// The `cni` block, in network.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "CNIConfig")]
pub struct CNIConfig {
    /// map; no `;` in keys/values.
    #[field(json = "Args", hcl = "args", zero, interpolated)]
    pub args: Option<TextMap>,
}

/// The `port` block, in network (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Port")]
pub struct Port {
    /// The block's label.
    /// label [a-zA-Z0-9_]; unique in group.
    #[field(json = "Label", label, zero)]
    pub label: Option<String>,
    /// 1..65535; >0 goes into ReservedPorts else DynamicPorts.
    #[field(json = "Value", hcl = "static", default = "0", zero)]
    pub value: Option<i64>,
    /// 0..65535; -1 = same as allocated host port.
    #[field(json = "To", hcl = "to", default = "0", zero)]
    pub to: Option<i64>,
    /// client host_network name.
    #[field(json = "HostNetwork", hcl = "host_network", default = "default", zero)]
    pub host_network: Option<String>,
    /// host mode static only.
    #[field(json = "IgnoreCollision", hcl = "ignore_collision", default = "false", zero)]
    pub ignore_collision: Option<bool>,
}
