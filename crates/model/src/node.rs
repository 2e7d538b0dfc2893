//! A node: one machine that runs allocations, as its agent reported it and as the servers judge it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::csi::CsiInfo;
use crate::duration::Dur;
use crate::ids::NodeId;
use crate::resources::{NodeReserved, NodeResources};
use crate::sorted::SortedMap;
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// What the servers hold of a node's health.
    NodeStatus {
        Initializing = "initializing",
        Ready = "ready",
        Down = "down",
        Disconnected = "disconnected",
    }
);

text_enum!(
    /// Whether new allocations may come to a node.
    Eligibility {
        Eligible = "eligible",
        Ineligible = "ineligible",
    }
);

/// One machine that runs allocations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// Known to the agent and the servers only; never shown.
    #[serde(default)]
    pub secret_id: uuid::Uuid,
    pub name: Arc<str>,
    pub datacenter: Arc<str>,
    pub node_class: Arc<str>,
    pub node_pool: Arc<str>,
    /// `host:port` of the node's HTTP API.
    #[serde(default)]
    pub http_addr: String,
    #[serde(default)]
    pub tls_enabled: bool,
    #[serde(default)]
    pub cgroup_parent: String,
    /// Fingerprinted facts such as `kernel.name`; see `reference/runtime.md`, "Fingerprint attributes".
    pub attributes: SortedMap<Arc<str>, Arc<str>>,
    pub meta: SortedMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    pub resources: NodeResources,
    pub reserved: NodeReserved,
    pub drivers: SortedMap<Arc<str>, DriverInfo>,
    #[serde(default)]
    pub host_volumes: SortedMap<Arc<str>, HostVolume>,
    /// Controllers of CSI plugins that run here, and the plugins that mount volumes here, by plugin id.
    #[serde(default)]
    pub csi_controllers: SortedMap<Arc<str>, CsiInfo>,
    #[serde(default)]
    pub csi_nodes: SortedMap<Arc<str>, CsiInfo>,
    /// Its dynamic host volumes go with it when it is collected.
    #[serde(default)]
    pub gc_volumes_on_node_gc: bool,
    #[serde(default)]
    pub host_networks: BTreeMap<String, HostNetwork>,
    /// Hash over what scheduling can see that is not unique to the node; equal classes are feasible alike.
    #[serde(default)]
    pub computed_class: Arc<str>,
    pub status: NodeStatus,
    #[serde(default)]
    pub status_description: String,
    pub eligibility: Eligibility,
    #[serde(default)]
    pub drain: Option<DrainStrategy>,
    #[serde(default)]
    pub last_drain: Option<DrainMetadata>,
    /// 0: no limit.
    #[serde(default)]
    pub max_allocs: i64,
    /// The last ten or so, oldest first.
    #[serde(default)]
    pub events: Vec<NodeEvent>,
    #[serde(default)]
    pub status_updated_at: UnixNanos,
    #[serde(default)]
    pub last_missed_heartbeat_index: u64,
    #[serde(default)]
    pub last_alloc_update_index: u64,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub modify_index: u64,
}

impl Node {
    /// A ready, eligible node without facts: a start for fingerprints and tests.
    pub fn new(id: NodeId, name: &str, datacenter: &str) -> Node {
        Node {
            id,
            secret_id: uuid::Uuid::nil(),
            name: Arc::from(name),
            datacenter: Arc::from(datacenter),
            node_class: Arc::from(""),
            node_pool: Arc::from("default"),
            http_addr: String::new(),
            tls_enabled: false,
            cgroup_parent: String::new(),
            attributes: SortedMap::new(),
            meta: SortedMap::new(),
            links: BTreeMap::new(),
            resources: NodeResources { min_dynamic_port: 20_000, max_dynamic_port: 32_000, ..NodeResources::default() },
            reserved: NodeReserved::default(),
            drivers: SortedMap::new(),
            host_volumes: SortedMap::new(),
            csi_controllers: SortedMap::new(),
            csi_nodes: SortedMap::new(),
            gc_volumes_on_node_gc: false,
            host_networks: BTreeMap::new(),
            computed_class: Arc::from(""),
            status: NodeStatus::Ready,
            status_description: String::new(),
            eligibility: Eligibility::Eligible,
            drain: None,
            last_drain: None,
            max_allocs: 0,
            events: Vec::new(),
            status_updated_at: UnixNanos::ZERO,
            last_missed_heartbeat_index: 0,
            last_alloc_update_index: 0,
            create_index: 0,
            modify_index: 0,
        }
    }

    /// May new allocations be placed here now?
    pub fn is_schedulable(&self) -> bool {
        self.status == NodeStatus::Ready && self.eligibility == Eligibility::Eligible && self.drain.is_none()
    }
}

/// A task driver as found on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriverInfo {
    #[serde(default)]
    pub attributes: SortedMap<Arc<str>, Arc<str>>,
    pub detected: bool,
    pub healthy: bool,
    #[serde(default)]
    pub health_description: String,
    #[serde(default)]
    pub update_time: UnixNanos,
}

/// A directory of the node that groups may claim by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostVolume {
    pub path: String,
    pub read_only: bool,
    /// Set for dynamic volumes only.
    #[serde(default)]
    pub id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNetwork {
    pub cidr: String,
    pub interface: String,
    pub reserved_ports: String,
}

/// A drain that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStrategy {
    /// Negative: force at once; zero: wait without end.
    pub deadline: Dur,
    pub ignore_system_jobs: bool,
    pub force_deadline: UnixNanos,
    pub started_at: UnixNanos,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainMetadata {
    pub started_at: UnixNanos,
    pub updated_at: UnixNanos,
    /// draining, complete or canceled.
    pub status: String,
    #[serde(default)]
    pub accessor_id: String,
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// Something that happened to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvent {
    pub message: String,
    /// Drain, Driver, Cluster, Scheduler …
    pub subsystem: String,
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    pub timestamp: UnixNanos,
    #[serde(default)]
    pub create_index: u64,
}
