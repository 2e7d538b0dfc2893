//! Networks and ports of a group.

use tarpan_model_derive::Block;

use crate::schema::TextMap;

/// The `network` block, in group, resources (deprecated).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "NetworkResource")]
pub struct NetworkResource {
    /// `host` shares the node’s network, `bridge` gives the group its own behind a bridge, `none` gives it none, `cni/<name>` a configured one.
    #[field(json = "Mode", hcl = "mode", default = "host", zero, stored = "given")]
    pub mode: Option<String>,
    /// legacy.
    #[field(json = "Device", hcl = "device", zero, stored = "given")]
    pub device: Option<String>,
    /// legacy, not parsed meaningfully.
    #[field(json = "CIDR", hcl = "cidr", zero, stored = "given")]
    pub cidr: Option<String>,
    /// legacy.
    #[field(json = "IP", hcl = "ip", zero, stored = "given")]
    pub ip: Option<String>,
    /// DNS settings inside the allocation.
    #[field(json = "DNS", hcl = "dns", stored = "given")]
    pub dns: Option<DNSConfig>,
    /// not for HCL use; JSON ReservedPorts holds static ports.
    #[field(json = "ReservedPorts", hcl = "reserved_ports", stored = "given")]
    pub reserved_ports: Option<Vec<Port>>,
    /// A port by its label: one chosen by the scheduler, or `static`.
    #[field(json = "DynamicPorts", hcl = "port", stored = "given")]
    pub dynamic_ports: Option<Vec<Port>>,
    /// Host name inside the allocation; in bridge mode.
    #[field(json = "Hostname", hcl = "hostname", zero, interpolated, stored = "given")]
    pub hostname: Option<String>,
    /// deprecated, warning.
    #[field(json = "MBits", hcl = "mbits", default = "0", unit = "Mbit/s", stored = "given")]
    pub mbits: Option<i64>,
    /// Arguments for the CNI plugins.
    #[field(json = "CNI", hcl = "cni", stored = "given")]
    pub cni: Option<CNIConfig>,
}

/// The `dns` block, in network.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "DNSConfig")]
pub struct DNSConfig {
    /// The `servers` of this dns.
    #[field(json = "Servers", hcl = "servers", interpolated)]
    pub servers: Option<Vec<String>>,
    /// The `searches` of this dns.
    #[field(json = "Searches", hcl = "searches", interpolated)]
    pub searches: Option<Vec<String>>,
    /// The `options` of this dns.
    #[field(json = "Options", hcl = "options", interpolated)]
    pub options: Option<Vec<String>>,
}

/// The `cni` block, in network.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "CNIConfig")]
pub struct CNIConfig {
    /// map; no `;` in keys/values.
    #[field(json = "Args", hcl = "args", interpolated)]
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
    /// The port on the node; left out, the scheduler chooses one.
    #[field(json = "Value", hcl = "static", default = "0", zero, stored = "given")]
    pub value: Option<i64>,
    /// The port inside the allocation’s network; -1 for the same number as on the node.
    #[field(json = "To", hcl = "to", default = "0", zero, stored = "given")]
    pub to: Option<i64>,
    /// Network of the node that the port is on.
    #[field(json = "HostNetwork", hcl = "host_network", default = "default", zero)]
    pub host_network: Option<String>,
    /// Let several allocations of a node ask for the same static port, in host mode.
    #[field(json = "IgnoreCollision", hcl = "ignore_collision", default = "false", zero, stored = "given")]
    pub ignore_collision: Option<bool>,
}
