//! The node table as a scheduler wants it: one row a node, in id order, with what is free already computed.
//!
//! Kept between evaluations. [`Nodes::refresh`] compares row pointers with a snapshot and recomputes only what changed, so
//! looking at a cluster where nothing happened costs a walk over pointers.

use std::collections::HashMap;
use std::sync::Arc;

use tarpan_model::Node;
use tarpan_model::ids::NodeId;
use tarpan_model::resources::Amount;
use tarpan_state::{NodeUsage, State};

/// A node by its place in [`Nodes`]; good until the next refresh.
pub type NodeIndex = u32;

/// What is left of a node's divisible resources; may be below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Free {
    pub cpu_mhz: i64,
    pub memory_mb: i64,
    pub disk_mb: i64,
    pub cores: i64,
}

impl Free {
    pub fn take(&mut self, amount: &Amount) {
        self.cpu_mhz -= amount.cpu_mhz;
        self.memory_mb -= amount.memory_mb;
        self.disk_mb -= amount.disk_mb;
        self.cores -= amount.cores;
    }
    pub fn give(&mut self, amount: &Amount) {
        self.cpu_mhz += amount.cpu_mhz;
        self.memory_mb += amount.memory_mb;
        self.disk_mb += amount.disk_mb;
        self.cores += amount.cores;
    }
}

/// One node and what follows from its row and its usage.
#[derive(Debug)]
pub struct Row {
    pub node: Arc<Node>,
    pub usage: Option<Arc<NodeUsage>>,
    /// What tasks may have in all: resources less what is reserved.
    pub total: Free,
    pub free: Free,
    /// Computed class, numbered; nodes without one have a number of their own.
    pub class: u32,
    /// Ports that tasks may not have, as inclusive ranges.
    pub reserved_ports: Vec<(u16, u16)>,
    /// May new allocations be placed here?
    pub schedulable: bool,
}

/// All nodes of a snapshot, in id order.
#[derive(Default)]
pub struct Nodes {
    rows: Vec<Row>,
    by_id: HashMap<NodeId, NodeIndex>,
    classes: HashMap<Arc<str>, u32>,
    next_class: u32,
    /// CSI volumes, their plugins, and who claims them.
    pub csi: State,
}

impl Nodes {
    /// Brings the rows up to the snapshot.
    pub fn refresh(&mut self, state: &State) {
        let mut usages = state.usages().peekable();
        let mut at = 0;
        let mut same_nodes = true;
        for node in state.nodes() {
            while usages.next_if(|(id, _)| *id < node.id).is_some() {}
            let usage = usages.next_if(|(id, _)| *id == node.id).map(|(_, usage)| usage);
            match self.rows.get(at) {
                Some(row) if row.node.id == node.id => self.refresh_row(at, node, usage),
                _ => {
                    same_nodes = false;
                    break;
                }
            }
            at += 1;
        }
        if !same_nodes || at != self.rows.len() {
            self.rebuild(state);
        }
        self.csi = state.of_csi();
    }

    fn refresh_row(&mut self, at: usize, node: &Arc<Node>, usage: Option<&Arc<NodeUsage>>) {
        let row = &mut self.rows[at];
        if !Arc::ptr_eq(&row.node, node) {
            let class = self.class_of(node);
            self.rows[at] = Row::new(node, usage, class);
        } else if row.usage.as_ref().map(Arc::as_ptr) != usage.map(Arc::as_ptr) {
            row.usage = usage.cloned();
            row.free = free_of(row.total, usage);
        }
    }

    fn rebuild(&mut self, state: &State) {
        let mut old: HashMap<NodeId, Row> = self.rows.drain(..).map(|row| (row.node.id, row)).collect();
        self.by_id.clear();
        if self.next_class as usize > 4 * old.len() + 1024 {
            // Numbers of nodes without a class pile up as they change: start over.
            (self.next_class, old) = (0, HashMap::new());
            self.classes.clear();
        }
        for node in state.nodes() {
            let at = self.rows.len();
            self.by_id.insert(node.id, at as NodeIndex);
            let usage = state.usage(node.id);
            match old.remove(&node.id) {
                Some(row) => {
                    self.rows.push(row);
                    self.refresh_row(at, node, usage);
                }
                None => {
                    let class = self.class_of(node);
                    self.rows.push(Row::new(node, usage, class));
                }
            }
        }
    }

    fn class_of(&mut self, node: &Node) -> u32 {
        let mut fresh = || {
            self.next_class += 1;
            self.next_class - 1
        };
        if node.computed_class.is_empty() {
            return fresh();
        }
        *self.classes.entry(node.computed_class.clone()).or_insert_with(fresh)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
    pub fn row(&self, index: NodeIndex) -> &Row {
        &self.rows[index as usize]
    }
    pub fn find(&self, id: NodeId) -> Option<NodeIndex> {
        self.by_id.get(&id).copied()
    }
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.find(id).map(|index| &self.row(index).node)
    }
    /// Class numbers are below this.
    pub fn class_bound(&self) -> usize {
        self.next_class as usize
    }
}

impl Row {
    fn new(node: &Arc<Node>, usage: Option<&Arc<NodeUsage>>, class: u32) -> Row {
        let (has, reserved) = (&node.resources, &node.reserved);
        let total = Free {
            cpu_mhz: has.cpu_mhz - reserved.cpu_mhz,
            memory_mb: has.memory_mb - reserved.memory_mb,
            disk_mb: has.disk_mb - reserved.disk_mb,
            cores: usable_cores(node).count() as i64,
        };
        let mut reserved_ports = port_ranges(&reserved.ports);
        for address in has.networks.iter().flat_map(|n| &n.addresses) {
            reserved_ports.extend(port_ranges(&address.reserved_ports));
        }
        Row {
            node: node.clone(),
            usage: usage.cloned(),
            total,
            free: free_of(total, usage),
            class,
            reserved_ports,
            schedulable: node.is_schedulable(),
        }
    }

    /// MHz of one core; 0 when unknown.
    pub fn core_mhz(&self) -> i64 {
        match self.node.resources.cpu_cores {
            0 => 0,
            cores => self.node.resources.cpu_mhz / i64::from(cores),
        }
    }
}

fn free_of(total: Free, usage: Option<&Arc<NodeUsage>>) -> Free {
    let mut free = total;
    if let Some(usage) = usage {
        free.take(&usage.used);
    }
    free
}

/// Cores that tasks may reserve, in order.
pub fn usable_cores(node: &Node) -> impl Iterator<Item = u16> + '_ {
    let has = &node.resources;
    let listed = has.reservable_cores.iter().copied();
    let all = if has.reservable_cores.is_empty() { 0..has.cpu_cores } else { 0..0 };
    listed.chain(all).filter(|core| !node.reserved.cores.contains(core))
}

/// `22,80,8500-8600` as inclusive ranges; what can't be read is left out.
pub fn port_ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
    };
    text.split(',').filter_map(|part| range(part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_port_ranges() {
        assert_eq!(port_ranges("22, 80,8500-8600,x"), [(22, 22), (80, 80), (8500, 8600)]);
        assert_eq!(port_ranges(""), []);
    }

    #[test]
    fn reserved_cores_are_not_usable() {
        let mut node = Node::new(NodeId::NIL, "n", "dc1");
        node.resources.cpu_cores = 4;
        node.reserved.cores = vec![0];
        assert_eq!(usable_cores(&node).collect::<Vec<_>>(), [1, 2, 3]);
        node.resources.reservable_cores = vec![0, 2];
        assert_eq!(usable_cores(&node).collect::<Vec<_>>(), [2]);
    }
}
