//! What a node has and what of it is reserved.

use tarpan_model::{measure, resources as row};

use crate::wire::{
    Attribute, NetworkResource, NodeCpuResources, NodeDevice, NodeDeviceResource, NodeDiskResources,
    NodeMemoryResources, NodeNetworkAddress, NodeNetworkResource, NodeProcessorResources, NodeReservedCpuResources,
    NodeReservedNetworkResources, NodeReservedResources, NodeResources, ProcessorTopology,
};

pub fn node_resources(r: &row::NodeResources) -> NodeResources {
    let reservable: Vec<u64> = r.reservable_cores.iter().map(|c| u64::from(*c)).collect();
    NodeResources {
        cpu: NodeCpuResources {
            cpu_shares: r.cpu_mhz,
            total_cpu_cores: r.cpu_cores.into(),
            reservable_cpu_cores: reservable,
        },
        processors: NodeProcessorResources { topology: topology(r) },
        memory: NodeMemoryResources { memory_mb: r.memory_mb },
        disk: NodeDiskResources { disk_mb: r.disk_mb },
        devices: r.devices.iter().map(device).collect(),
        node_networks: r.networks.iter().map(network).collect(),
        networks: r.networks.iter().filter_map(legacy_network).collect(),
        min_dynamic_port: r.min_dynamic_port.into(),
        max_dynamic_port: r.max_dynamic_port.into(),
    }
}

pub fn node_reserved(r: &row::NodeReserved) -> NodeReservedResources {
    NodeReservedResources {
        cpu: NodeReservedCpuResources {
            cpu_shares: r.cpu_mhz,
            reserved_cpu_cores: r.cores.iter().map(|c| u64::from(*c)).collect(),
        },
        memory: NodeMemoryResources { memory_mb: r.memory_mb },
        disk: NodeDiskResources { disk_mb: r.disk_mb },
        networks: NodeReservedNetworkResources { reserved_host_ports: r.ports.clone() },
    }
}

/// Cores of equal speed on one NUMA node: what a row knows.
fn topology(r: &row::NodeResources) -> ProcessorTopology {
    let cores = i64::from(r.cpu_cores).max(1);
    ProcessorTopology {
        nodes: vec![0],
        distances: None,
        override_withhold_compute: 0,
        override_total_compute: r.cpu_mhz,
        cores: (0..u64::from(r.cpu_cores)).map(|id| crate::wire::ProcessorCore::new(id, r.cpu_mhz / cores)).collect(),
    }
}

fn network(n: &row::NodeNetwork) -> NodeNetworkResource {
    NodeNetworkResource {
        mode: n.mode.clone(),
        device: n.device.clone(),
        mac_address: n.mac.clone(),
        speed: n.speed_mbits,
        addresses: n.addresses.iter().map(address).collect(),
    }
}

fn address(a: &row::NodeAddress) -> NodeNetworkAddress {
    NodeNetworkAddress {
        family: a.family.clone(),
        alias: a.alias.clone(),
        address: a.address.clone(),
        reserved_ports: a.reserved_ports.clone(),
        gateway: a.gateway.clone(),
    }
}

/// The older form of a host network: its first address.
fn legacy_network(n: &row::NodeNetwork) -> Option<NetworkResource> {
    if n.mode == "bridge" {
        return Some(NetworkResource { mode: n.mode.clone(), ..NetworkResource::default() });
    }
    let first = n.addresses.first()?;
    let bits = if first.family == "ipv6" { 128 } else { 32 };
    Some(NetworkResource {
        mode: n.mode.clone(),
        device: n.device.clone(),
        cidr: format!("{}/{bits}", first.address),
        ip: first.address.clone(),
        mbits: n.speed_mbits,
        ..NetworkResource::default()
    })
}

fn device(d: &row::NodeDeviceGroup) -> NodeDeviceResource {
    let instance = |i: &row::NodeDevice| NodeDevice {
        id: i.id.clone(),
        healthy: i.healthy,
        health_description: i.health_description.clone(),
    };
    NodeDeviceResource {
        vendor: d.vendor.clone(),
        type_: d.type_.clone(),
        name: d.name.clone(),
        instances: d.instances.iter().map(instance).collect(),
        attributes: d.attributes.iter().map(|(key, text)| (key.clone(), attribute(text))).collect(),
    }
}

/// A number with or without a unit that is known, a flag, or a text.
fn attribute(text: &str) -> Attribute {
    let number = measure::split(text).filter(|(_, unit)| unit.is_empty() || measure::unit(unit).is_some());
    match number {
        Some((number, unit)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Attribute { int: Some(number as i64), unit: unit.to_owned(), ..Attribute::default() }
        }
        Some((number, unit)) => Attribute { float: Some(number), unit: unit.to_owned(), ..Attribute::default() },
        None => match text.parse::<bool>() {
            Ok(flag) => Attribute { bool: Some(flag), ..Attribute::default() },
            Err(_) => Attribute { string: Some(text.to_owned()), ..Attribute::default() },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_devices_have_types() {
        for (text, expected) in [
            ("16 GiB", r#"{"Int":16,"Unit":"GiB"}"#),
            ("1.5 GHz", r#"{"Float":1.5,"Unit":"GHz"}"#),
            ("8", r#"{"Int":8}"#),
            ("true", r#"{"Bool":true}"#),
            ("535.129.03", r#"{"String":"535.129.03"}"#),
            ("8 apples", r#"{"String":"8 apples"}"#),
        ] {
            let attribute = attribute(text);
            assert_eq!(serde_json::to_string(&attribute).expect("serialises"), expected);
            assert_eq!(attribute.text(), text);
        }
    }
}
