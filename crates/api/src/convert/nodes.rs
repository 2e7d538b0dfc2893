//! Nodes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tarpan_model::Node;
use tarpan_model::ids::NodeId;
use tarpan_model::node as row;

use super::{csi_info, node_reserved, node_resources, texts};
use crate::timestamp::Timestamp;
use crate::wire;

/// A node; its secret is never shown.
pub fn node(row: &Node) -> wire::Node {
    wire::Node {
        id: row.id.to_string(),
        secret_id: String::new(),
        datacenter: row.datacenter.to_string(),
        name: row.name.to_string(),
        cgroup_parent: row.cgroup_parent.clone(),
        http_addr: row.http_addr.clone(),
        tls_enabled: row.tls_enabled,
        attributes: texts(row.attributes.iter()),
        node_resources: Some(node_resources(&row.resources)),
        reserved_resources: Some(node_reserved(&row.reserved)),
        links: row.links.clone(),
        meta: texts(row.meta.iter()),
        node_class: row.node_class.to_string(),
        node_pool: row.node_pool.to_string(),
        computed_class: row.computed_class.to_string(),
        drain: row.drain.is_some(),
        drain_strategy: row.drain.as_ref().map(|d| wire::DrainStrategy {
            deadline: d.deadline,
            ignore_system_jobs: d.ignore_system_jobs,
            force_deadline: Timestamp(d.force_deadline),
            started_at: Timestamp(d.started_at),
        }),
        scheduling_eligibility: row.eligibility.to_string(),
        status: row.status.to_string(),
        status_description: row.status_description.clone(),
        identity_signing_key_id: String::new(),
        status_updated_at: row.status_updated_at.secs(),
        events: row.events.iter().map(event).collect(),
        drivers: row.drivers.iter().map(|(name, info)| (name.to_string(), driver(info))).collect(),
        host_volumes: row.host_volumes.iter().map(|(name, v)| (name.to_string(), host_volume(name, v))).collect(),
        csi_controller_plugins: row.csi_controllers.iter().map(|(id, i)| (id.to_string(), csi_info(id, i))).collect(),
        csi_node_plugins: row.csi_nodes.iter().map(|(id, i)| (id.to_string(), csi_info(id, i))).collect(),
        gc_volumes_on_node_gc: row.gc_volumes_on_node_gc,
        host_networks: row.host_networks.iter().map(|(name, n)| (name.clone(), host_network(name, n))).collect(),
        last_drain: row.last_drain.as_ref().map(drain_metadata),
        node_max_allocs: row.max_allocs,
        last_missed_heartbeat_index: row.last_missed_heartbeat_index,
        last_alloc_update_index: row.last_alloc_update_index,
        create_index: row.create_index,
        modify_index: row.modify_index,
    }
}

fn event(row: &row::NodeEvent) -> wire::NodeEvent {
    wire::NodeEvent {
        message: row.message.clone(),
        subsystem: row.subsystem.clone(),
        details: row.details.clone(),
        timestamp: Timestamp(row.timestamp),
        create_index: row.create_index,
    }
}

fn driver(row: &row::DriverInfo) -> wire::DriverInfo {
    wire::DriverInfo {
        attributes: texts(row.attributes.iter()),
        detected: row.detected,
        healthy: row.healthy,
        health_description: row.health_description.clone(),
        update_time: Timestamp(row.update_time),
    }
}

fn host_volume(name: &str, row: &row::HostVolume) -> wire::ClientHostVolumeConfig {
    wire::ClientHostVolumeConfig {
        name: name.to_owned(),
        path: row.path.clone(),
        read_only: row.read_only,
        id: row.id.clone(),
    }
}

fn host_network(name: &str, row: &row::HostNetwork) -> wire::ClientHostNetworkConfig {
    wire::ClientHostNetworkConfig {
        name: name.to_owned(),
        cidr: row.cidr.clone(),
        interface: row.interface.clone(),
        reserved_ports: row.reserved_ports.clone(),
    }
}

fn drain_metadata(row: &row::DrainMetadata) -> wire::DrainMetadata {
    wire::DrainMetadata {
        started_at: Timestamp(row.started_at),
        updated_at: Timestamp(row.updated_at),
        status: row.status.clone(),
        accessor_id: row.accessor_id.clone(),
        meta: row.meta.clone(),
    }
}

/// What a stub is to hold besides the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStubOptions {
    pub resources: bool,
    /// The attribute `os.name`.
    pub os: bool,
}

/// A node as lists show it; see [`crate::wire::NodeListStub`].
pub struct NodeStub<'a> {
    row: &'a Node,
    options: NodeStubOptions,
    usage: Option<wire::NodeUse>,
}

pub fn node_stub(row: &Node, options: NodeStubOptions) -> NodeStub<'_> {
    NodeStub { row, options, usage: None }
}

impl NodeStub<'_> {
    /// With what is taken of the node.
    pub fn with_usage(self, usage: wire::NodeUse) -> Self {
        NodeStub { usage: Some(usage), ..self }
    }
}

impl Serialize for NodeStub<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fields<'a, D: Serialize, V: Serialize> {
            address: &'a str,
            #[serde(rename = "ID")]
            id: NodeId,
            #[serde(skip_serializing_if = "Option::is_none")]
            attributes: Option<BTreeMap<&'static str, &'a str>>,
            datacenter: &'a str,
            name: &'a str,
            node_pool: &'a str,
            node_class: &'a str,
            version: &'a str,
            drain: bool,
            scheduling_eligibility: &'static str,
            status: &'static str,
            status_description: &'a str,
            drivers: D,
            host_volumes: V,
            #[serde(skip_serializing_if = "Option::is_none")]
            node_resources: Option<wire::NodeResources>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reserved_resources: Option<wire::NodeReservedResources>,
            last_drain: Option<wire::DrainMetadata>,
            create_index: u64,
            modify_index: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage: Option<wire::NodeUse>,
        }
        let row = self.row;
        let attribute = |name: &str| row.attributes.get(name).map_or("", |v| &**v);
        Fields {
            address: row.http_addr.rsplit_once(':').map_or(&*row.http_addr, |(host, _)| host),
            id: row.id,
            attributes: self.options.os.then(|| BTreeMap::from([("os.name", attribute("os.name"))])),
            datacenter: &row.datacenter,
            name: &row.name,
            node_pool: &row.node_pool,
            node_class: &row.node_class,
            version: attribute("nomad.version"),
            drain: row.drain.is_some(),
            scheduling_eligibility: row.eligibility.as_str(),
            status: row.status.as_str(),
            status_description: &row.status_description,
            drivers: Drivers(row),
            host_volumes: Volumes(row),
            node_resources: self.options.resources.then(|| node_resources(&row.resources)),
            reserved_resources: self.options.resources.then(|| node_reserved(&row.reserved)),
            last_drain: row.last_drain.as_ref().map(drain_metadata),
            create_index: row.create_index,
            modify_index: row.modify_index,
            usage: self.usage,
        }
        .serialize(s)
    }
}

struct Drivers<'a>(&'a Node);

impl Serialize for Drivers<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.drivers.iter().map(|(name, info)| (name, driver(info))))
    }
}

struct Volumes<'a>(&'a Node);

impl Serialize for Volumes<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.host_volumes.iter().map(|(name, v)| (name, host_volume(name, v))))
    }
}
