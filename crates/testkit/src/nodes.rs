//! Nodes as they register.

use std::sync::Arc;

use tarpan_model::Node;
use tarpan_model::ids::NodeId;
use tarpan_model::node::DriverInfo;
use tarpan_model::resources::{NodeAddress, NodeNetwork, NodeReserved, NodeResources};
use uuid::Uuid;

/// The id of node `i`: apart from what `CountingIds` gives.
pub fn id(i: u32) -> NodeId {
    NodeId(Uuid::from_u128((0xA0DE << 64) | u128::from(i)))
}

/// Node `i`, ready: 4 cores of 1 GHz, 8 GB, 100 GB, drivers `mock`, `raw_exec` and `docker`, one address.
pub fn ready(i: u32) -> Node {
    let mut node = Node::new(id(i), &format!("node-{i}"), "dc1");
    node.secret_id = Uuid::from_u128((0x5EC << 64) | u128::from(i));
    node.http_addr = format!("127.0.0.1:{}", 10_000 + i % 50_000);
    for (key, value) in [
        ("kernel.name", "linux"),
        ("cpu.arch", "amd64"),
        ("os.name", "debian"),
        ("os.version", "12"),
        ("nomad.version", "2.0.6"),
        ("nomad.service_discovery", "true"),
        ("os.signals", "SIGHUP,SIGINT,SIGKILL,SIGTERM,SIGUSR1"),
    ] {
        node.attributes.insert(Arc::from(key), Arc::from(value));
    }
    node.attributes.insert(Arc::from("unique.hostname"), node.name.clone());
    for driver in ["mock", "raw_exec", "docker"] {
        node.attributes.insert(Arc::from(format!("driver.{driver}")), Arc::from("1"));
        let info = DriverInfo { detected: true, healthy: true, ..DriverInfo::default() };
        node.drivers.insert(Arc::from(driver), info);
    }
    node.resources = NodeResources {
        cpu_mhz: 4_000,
        cpu_cores: 4,
        reservable_cores: (0..4).collect(),
        memory_mb: 8_192,
        disk_mb: 100_000,
        networks: vec![NodeNetwork {
            mode: "host".to_owned(),
            device: "eth0".to_owned(),
            speed_mbits: 1_000,
            addresses: vec![NodeAddress {
                family: "ipv4".to_owned(),
                alias: "default".to_owned(),
                address: format!("10.0.{}.{}", i / 250 % 250, i % 250 + 1),
                ..NodeAddress::default()
            }],
            ..NodeNetwork::default()
        }],
        devices: Vec::new(),
        min_dynamic_port: 20_000,
        max_dynamic_port: 32_000,
    };
    node.reserved = NodeReserved::default();
    node.computed_class = Arc::from("v1:1");
    node
}

/// Node `i` with other sizes.
pub fn sized(i: u32, cpu_mhz: i64, memory_mb: i64) -> Node {
    let mut node = ready(i);
    node.resources.cpu_mhz = cpu_mhz;
    node.resources.memory_mb = memory_mb;
    node
}
