//! CSI volumes and plugins as `/v1` shows them: with what is counted over nodes, jobs and allocations.

use std::collections::BTreeMap;

use tarpan_api::convert::{self, StubOptions};
use tarpan_api::wire::{self, AllocListStub};
use tarpan_model::csi::{CsiPlugin, CsiVolume};
use tarpan_model::{AllocId, NamespacedId};
use tarpan_state::{PluginHealth, State};

use crate::http::page::value_of;

/// What is known of a volume's plugin.
struct Plugin {
    provider: String,
    version: String,
    controller_required: bool,
    controllers: (u64, u64),
    nodes: (u64, u64),
}

fn expected(jobs: &BTreeMap<NamespacedId, u64>) -> u64 {
    jobs.values().sum()
}

fn plugin_of(state: &State, volume: &CsiVolume) -> Plugin {
    let none = CsiPlugin::default();
    let row = state.csi_plugin(&volume.plugin).map_or(&none, |row| row);
    let health = state.csi_health(row);
    Plugin {
        provider: row.provider.clone(),
        version: row.version.clone(),
        controller_required: row.controller_required,
        controllers: (health.controllers_healthy, expected(&health.controllers_expected)),
        nodes: (health.nodes_healthy, expected(&health.nodes_expected)),
    }
}

/// A volume in a list.
pub fn stub(state: &State, row: &CsiVolume) -> wire::CsiVolListStub {
    let plugin = plugin_of(state, row);
    wire::CsiVolListStub {
        schedulable: state.csi_schedulable(row),
        provider: plugin.provider,
        controller_required: plugin.controller_required,
        controllers_healthy: plugin.controllers.0,
        controllers_expected: plugin.controllers.1,
        nodes_healthy: plugin.nodes.0,
        nodes_expected: plugin.nodes.1,
        ..convert::csi_volume_stub(row)
    }
}

/// A volume without the allocations that have it.
pub fn volume(state: &State, row: &CsiVolume) -> wire::CsiVolume {
    let plugin = plugin_of(state, row);
    wire::CsiVolume {
        schedulable: state.csi_schedulable(row),
        provider: plugin.provider,
        provider_version: plugin.version,
        controller_required: plugin.controller_required,
        controllers_healthy: plugin.controllers.0,
        controllers_expected: plugin.controllers.1,
        nodes_healthy: plugin.nodes.0,
        nodes_expected: plugin.nodes.1,
        ..convert::csi_volume(row)
    }
}

/// The same with those that have it; `claims`: and how far each claim is, which is ours.
pub fn with_allocations(state: &State, row: &CsiVolume, claims: bool) -> wire::CsiVolume {
    let mut shown = volume(state, row);
    for (id, claim) in &row.claims {
        let stub = alloc(state, *id);
        let side = if claim.write { &mut shown.write_allocs } else { &mut shown.read_allocs };
        side.insert(id.to_string(), stub.clone());
        shown.allocations.extend(stub);
        if claims {
            shown.claims.push(wire::CsiClaim {
                alloc_id: id.to_string(),
                node_id: claim.node.to_string(),
                write: claim.write,
                state: claim.state.to_string(),
                reason: claim.reason.clone(),
                since: claim.since.0,
            });
        }
    }
    shown
}

fn alloc(state: &State, id: AllocId) -> Option<AllocListStub> {
    let row = state.alloc(id)?;
    serde_json::from_value(value_of(&convert::alloc_stub(row, StubOptions::default()))).ok()
}

/// A plugin in a list.
pub fn plugin_stub(state: &State, row: &CsiPlugin) -> wire::CsiPluginListStub {
    let health = state.csi_health(row);
    wire::CsiPluginListStub {
        id: row.id.to_string(),
        provider: row.provider.clone(),
        controller_required: row.controller_required,
        controllers_healthy: health.controllers_healthy,
        controllers_expected: expected(&health.controllers_expected),
        nodes_healthy: health.nodes_healthy,
        nodes_expected: expected(&health.nodes_expected),
        create_index: row.create_index,
        modify_index: row.modify_index,
    }
}

/// A plugin; `sees`: whose allocations the caller may know of.
pub fn plugin(state: &State, row: &CsiPlugin, sees: impl Fn(&str) -> bool) -> wire::CsiPlugin {
    let health = state.csi_health(row);
    let infos = |found: &mut dyn Iterator<
        Item = (&std::sync::Arc<tarpan_model::Node>, &tarpan_model::csi::CsiInfo),
    >| {
        found.map(|(node, info)| (node.id.to_string(), convert::csi_info(&row.id, info))).collect::<BTreeMap<_, _>>()
    };
    let (controllers, nodes) = (infos(&mut state.csi_controllers(row)), infos(&mut state.csi_nodes(row)));
    let mut ids: Vec<AllocId> =
        state.csi_controllers(row).chain(state.csi_nodes(row)).map(|(_, info)| info.alloc).collect();
    ids.sort_unstable();
    ids.dedup();
    let visible = |id: &AllocId| state.alloc(*id).is_some_and(|alloc| sees(alloc.namespace.as_str()));
    let PluginHealth { controllers_healthy, nodes_healthy, controllers_expected, nodes_expected } = health;
    wire::CsiPlugin {
        id: row.id.to_string(),
        provider: row.provider.clone(),
        version: row.version.clone(),
        controller_required: row.controller_required,
        controllers,
        nodes,
        allocations: ids.into_iter().filter(visible).filter_map(|id| alloc(state, id)).collect(),
        controllers_healthy,
        controllers_expected: expected(&controllers_expected),
        nodes_healthy,
        nodes_expected: expected(&nodes_expected),
        controller_jobs: jobs(&controllers_expected, &sees),
        node_jobs: jobs(&nodes_expected, &sees),
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
    }
}

/// By namespace and id.
fn jobs(
    expected: &BTreeMap<NamespacedId, u64>,
    sees: &impl Fn(&str) -> bool,
) -> BTreeMap<String, BTreeMap<String, wire::CsiJobDescription>> {
    let mut all: BTreeMap<String, BTreeMap<String, _>> = BTreeMap::new();
    for (key, expected) in expected.iter().filter(|(key, _)| sees(key.namespace.as_str())) {
        let (namespace, id) = (key.namespace.to_string(), key.id.to_string());
        let job = wire::CsiJobDescription { namespace: namespace.clone(), id: id.clone(), expected: *expected };
        all.entry(namespace).or_default().insert(id, job);
    }
    all
}
