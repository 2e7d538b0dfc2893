//! How CSI plugins are, counted over the nodes that told of them and the jobs that ask for them.
//!
//! Source: `reference/semantics.md` §15.1.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::csi::{CsiInfo, CsiPlugin, CsiVolume};
use tarpan_model::ids::{Namespace, NamespacedId, NodeId};
use tarpan_model::{Job, JobType, Node, NodeStatus, TaskGroup};

use crate::state::State;
use crate::tables::Tables;

/// How many parts of a plugin are well, and how many there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginHealth {
    pub controllers_healthy: u64,
    pub nodes_healthy: u64,
    /// By job.
    pub controllers_expected: BTreeMap<NamespacedId, u64>,
    pub nodes_expected: BTreeMap<NamespacedId, u64>,
}

impl State {
    /// What [`State::csi_schedulable`] and claims are looked at with, and nothing else: to be kept without the rest of a state
    /// that grows old. Empty where there is no volume.
    pub fn of_csi(&self) -> State {
        if self.tables.csi_volumes.is_empty() {
            return State::default();
        }
        let Tables { csi_volumes, csi_volumes_claimed, csi_plugins, nodes, allocs, .. } = self.tables.clone();
        let tables = Tables { csi_volumes, csi_volumes_claimed, csi_plugins, nodes, allocs, ..Tables::default() };
        State { index: self.index, tables, ..State::default() }
    }

    /// The volume of the namespace whose id begins so.
    pub fn csi_volume_like(&self, namespace: &Namespace, prefix: &str) -> Option<&Arc<CsiVolume>> {
        let from = (namespace.clone(), Arc::<str>::from(prefix));
        let (_, first) = self.tables.csi_volumes.range(from..).next()?;
        (first.namespace == *namespace && first.id.starts_with(prefix)).then_some(first)
    }

    /// Nodes where a controller of the plugin is, with what it says of itself.
    pub fn csi_controllers(&self, plugin: &CsiPlugin) -> impl Iterator<Item = (&Arc<Node>, &CsiInfo)> {
        let node =
            move |id: &NodeId| self.node(*id).and_then(|node| Some((node, node.csi_controllers.get(&plugin.id)?)));
        plugin.controllers.iter().filter_map(node)
    }

    /// Nodes where the plugin mounts volumes.
    pub fn csi_nodes(&self, plugin: &CsiPlugin) -> impl Iterator<Item = (&Arc<Node>, &CsiInfo)> {
        let node = move |id: &NodeId| self.node(*id).and_then(|node| Some((node, node.csi_nodes.get(&plugin.id)?)));
        plugin.nodes.iter().filter_map(node)
    }

    pub fn csi_health(&self, plugin: &CsiPlugin) -> PluginHealth {
        let mut health = PluginHealth {
            controllers_healthy: self.csi_controllers(plugin).filter(well).count() as u64,
            nodes_healthy: self.csi_nodes(plugin).filter(well).count() as u64,
            ..PluginHealth::default()
        };
        for (_, kind, job, group) in self.csi_plugin_groups().filter(|(id, ..)| **id == *plugin.id) {
            let expected = self.expected(job, group);
            if matches!(kind, "controller" | "monolith") {
                *health.controllers_expected.entry(job.key()).or_default() += expected;
            }
            if matches!(kind, "node" | "monolith") {
                *health.nodes_expected.entry(job.key()).or_default() += expected;
            }
        }
        health
    }

    /// A job that runs on every node has no count: what there is of it is expected.
    fn expected(&self, job: &Job, group: &TaskGroup) -> u64 {
        if !matches!(job.job_type(), JobType::System | JobType::SysBatch) {
            return group.count();
        }
        let summary = self.job_summary(&job.key());
        summary.and_then(|s| s.groups.get(group.name())).map_or(0, |g| g.running + g.queued + g.starting)
    }

    /// Can the volume be used at all now: is its plugin there and well?
    pub fn csi_schedulable(&self, volume: &CsiVolume) -> bool {
        self.csi_plugin(&volume.plugin).is_some_and(|plugin| {
            self.csi_nodes(plugin).any(|found| well(&found))
                && (!plugin.controller_required || self.csi_controllers(plugin).any(|found| well(&found)))
        })
    }
}

/// Healthy by its own word, on a node that answers.
fn well((node, info): &(&Arc<Node>, &CsiInfo)) -> bool {
    info.healthy && node.status == NodeStatus::Ready
}
