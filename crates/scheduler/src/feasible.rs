//! Which nodes can run a group at all: pool, datacenter, constraints, drivers, devices, network, volumes.
//!
//! What nodes of one computed class have in common is looked at once a class; what only one node has (unique attributes,
//! volumes, addresses) once a node. Every node that is filtered is counted under its reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::{Node, go};
use tarpan_state::State;

use crate::columns::{NodeIndex, Nodes, Row};
use crate::compile::{Compiled, Group, Network, VolumeAsk};
use crate::constraint::Constraint;
use crate::csi;
use crate::ports::device_matches;

/// Why a node can't run a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub reason: Arc<str>,
    /// The driver or volume that is missing, for the sentence.
    pub missing: Option<Arc<str>>,
    /// Said of the job as a whole rather than of the group.
    pub of_job: bool,
}

impl Filtered {
    fn new(reason: impl Into<Arc<str>>) -> Filtered {
        Filtered { reason: reason.into(), missing: None, of_job: false }
    }
}

/// Counts of nodes that can't run a group.
#[derive(Clone, Debug, Default)]
pub struct FilterCounts {
    pub nodes: u64,
    pub by_reason: BTreeMap<Arc<str>, u64>,
    /// By node class, where a node has one.
    pub by_class: BTreeMap<Arc<str>, u64>,
    /// What is missing by name, for sentences.
    pub missing: BTreeMap<Arc<str>, u64>,
}

impl FilterCounts {
    pub fn add(&mut self, row: &Row, filtered: &Filtered) {
        self.nodes += 1;
        *self.by_reason.entry(filtered.reason.clone()).or_default() += 1;
        if !row.node.node_class.is_empty() {
            *self.by_class.entry(row.node.node_class.clone()).or_default() += 1;
        }
        if let Some(missing) = &filtered.missing {
            *self.missing.entry(missing.clone()).or_default() += 1;
        }
    }
}

/// Answers of one pass, by class.
pub struct Feasibility {
    by_class: Vec<Option<Result<(), Filtered>>>,
    /// CSI volumes, their plugins, and who claims them; `None`: the group asks for none.
    csi: Option<State>,
    /// Some constraint looks at what only one node has.
    pub escaped: bool,
}

impl Feasibility {
    pub fn new(nodes: &Nodes, job: &Compiled, group: &Group) -> Feasibility {
        let unique = job.constraints.iter().chain(&group.constraints).any(|c| c.unique);
        let csi = (!group.csi_volumes.is_empty()).then(|| nodes.csi.clone());
        Feasibility { by_class: vec![None; nodes.class_bound()], escaped: unique || csi.is_some(), csi }
    }

    /// Can this node run the group? `index` is the instance, for volumes of one's own.
    pub fn check(&mut self, row: &Row, job: &Compiled, group: &Group) -> Result<(), Filtered> {
        let known = &mut self.by_class[row.class as usize];
        let by_class = match known {
            Some(answer) => answer,
            None => known.insert(check_class(&row.node, job, group)),
        };
        by_class.clone()?;
        check_node(&row.node, job, group)?;
        match &self.csi {
            Some(state) => csi::check(state, &row.node, job, group).map_err(Filtered::new),
            None => Ok(()),
        }
    }

    /// May instance `index` have its own CSI volumes on this node?
    pub fn has_own_csi(&self, node: &Node, job: &Compiled, group: &Group, index: u32) -> bool {
        self.csi.as_ref().is_none_or(|state| csi::check_own(state, node, job, group, index))
    }

    /// What is known of computed classes: could a node of it take the group?
    pub fn eligibility(&self, nodes: &Nodes) -> BTreeMap<Arc<str>, bool> {
        let named = nodes.rows().iter().filter(|row| !row.node.computed_class.is_empty());
        named
            .filter_map(|row| {
                let answer = self.by_class[row.class as usize].as_ref()?;
                Some((row.node.computed_class.clone(), answer.is_ok()))
            })
            .collect()
    }
}

/// Nodes that a job may use at all: ready, in its pool and its datacenters.
///
/// Also counts: nodes ready in the pool, and of these by datacenter those in the job's datacenters.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    pub nodes: Vec<NodeIndex>,
    pub in_pool: u64,
    pub available: BTreeMap<Arc<str>, u64>,
}

impl Candidates {
    pub fn new(nodes: &Nodes, job: &Compiled) -> Candidates {
        let mut found = Candidates { nodes: Vec::with_capacity(nodes.len()), ..Candidates::default() };
        // Few datacenters and many nodes: match each name once.
        let mut known: Vec<(Arc<str>, bool, u64)> = Vec::new();
        for (index, row) in nodes.rows().iter().enumerate() {
            if !row.schedulable || !in_pool(&row.node, job) {
                continue;
            }
            found.in_pool += 1;
            let name = &row.node.datacenter;
            let at = known.iter().position(|(dc, ..)| dc == name).unwrap_or_else(|| {
                known.push((name.clone(), job.datacenters.matches(name), 0));
                known.len() - 1
            });
            if known[at].1 {
                known[at].2 += 1;
                found.nodes.push(index as NodeIndex);
            }
        }
        found.available = known.into_iter().filter(|k| k.1).map(|(dc, _, count)| (dc, count)).collect();
        found
    }
}

pub fn in_pool(node: &Node, job: &Compiled) -> bool {
    job.every_pool() || node.node_pool == job.node_pool
}

/// In the job's pool and datacenters, whatever its status.
pub fn in_scope(node: &Node, job: &Compiled) -> bool {
    in_pool(node, job) && job.datacenters.matches(&node.datacenter)
}

fn check_class(node: &Node, job: &Compiled, group: &Group) -> Result<(), Filtered> {
    let shared = |c: &&Constraint| !c.unique;
    if let Some(failed) = job.constraints.iter().filter(shared).find(|c| !c.holds(node)) {
        return Err(Filtered { of_job: true, ..Filtered::new(failed.reason.clone()) });
    }
    if let Some(driver) = group.drivers.iter().find(|driver| !has_driver(node, driver)) {
        return Err(Filtered {
            missing: Some(Arc::from(format!("driver {driver}"))),
            ..Filtered::new("missing drivers")
        });
    }
    if let Some(failed) = group.constraints.iter().filter(shared).find(|c| !c.holds(node)) {
        return Err(Filtered::new(failed.reason.clone()));
    }
    for ask in &group.devices {
        let healthy: usize = node
            .resources
            .devices
            .iter()
            .filter(|d| device_matches(d, ask))
            .map(|d| d.instances.iter().filter(|i| i.healthy).count())
            .max()
            .unwrap_or(0);
        if healthy < ask.count {
            return Err(Filtered::new("missing devices"));
        }
    }
    Ok(())
}

fn check_node(node: &Node, job: &Compiled, group: &Group) -> Result<(), Filtered> {
    let own = |c: &&Constraint| c.unique;
    if let Some(failed) = job.constraints.iter().filter(own).find(|c| !c.holds(node)) {
        return Err(Filtered { of_job: true, ..Filtered::new(failed.reason.clone()) });
    }
    if let Some(failed) = group.constraints.iter().filter(own).find(|c| !c.holds(node)) {
        return Err(Filtered::new(failed.reason.clone()));
    }
    if let Some(network) = &group.network {
        check_network(node, network)?;
    }
    if let Some(volume) = group.host_volumes.iter().find(|volume| !has_volume(node, volume)) {
        let missing = Some(Arc::from(format!("host volume {}", volume.source)));
        return Err(Filtered { missing, ..Filtered::new("missing compatible host volumes") });
    }
    Ok(())
}

/// Found and healthy; nodes that only tell by attribute are believed.
fn has_driver(node: &Node, driver: &str) -> bool {
    match node.drivers.get(driver) {
        Some(info) => info.detected && info.healthy,
        None => {
            let told = node.attributes.get(format!("driver.{driver}").as_str());
            told.and_then(|text| go::boolean(text)) == Some(true)
        }
    }
}

fn check_network(node: &Node, network: &Network) -> Result<(), Filtered> {
    let mode = &*network.mode;
    let networks = &node.resources.networks;
    // `host` needs nothing but the host; a missing address shows when a port is asked for.
    if mode != "host" && mode != "none" && !networks.iter().any(|n| n.mode == mode) {
        return Err(Filtered::new("missing network"));
    }
    let known = |name: &str| networks.iter().flat_map(|n| &n.addresses).any(|a| a.alias == name);
    match network.ports.iter().find(|port| &*port.host_network != "default" && !known(&port.host_network)) {
        Some(port) => {
            let (name, label) = (&port.host_network, &port.label);
            Err(Filtered::new(format!("missing host network \"{name}\" for port \"{label}\"")))
        }
        None => Ok(()),
    }
}

/// With `per_alloc` any instance's volume will do here; each instance finds its own when it is placed.
fn has_volume(node: &Node, ask: &VolumeAsk) -> bool {
    // Nobody keeps claims to what the configuration has.
    let fits = |volume: &tarpan_model::node::HostVolume| {
        (ask.read_only || !volume.read_only) && (!ask.sticky || !volume.id.is_empty())
    };
    if ask.per_alloc {
        let prefix = format!("{}[", ask.source);
        return node.host_volumes.iter().any(|(name, volume)| name.starts_with(&prefix) && fits(volume));
    }
    node.host_volumes.get(ask.source.as_str()).is_some_and(fits)
}

/// Has the node the volumes of instance `index`?
pub fn has_own_volumes(node: &Node, group: &Group, index: u32) -> bool {
    group.host_volumes.iter().filter(|v| v.per_alloc).all(|ask| {
        let name = format!("{}[{index}]", ask.source);
        node.host_volumes.get(name.as_str()).is_some_and(|volume| ask.read_only || !volume.read_only)
    })
}
