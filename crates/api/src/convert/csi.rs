//! CSI volumes and what nodes say of plugins. What is counted over nodes and jobs is added by who has the state.

use tarpan_model::csi as row;

use crate::timestamp::Timestamp;
use crate::wire;

/// In place of what is never shown.
const HIDDEN: &str = "[REDACTED]";

/// A volume without secrets, and without what is known of its plugin and allocations.
pub fn csi_volume(row: &row::CsiVolume) -> wire::CsiVolume {
    let how = row.in_use();
    wire::CsiVolume {
        id: row.id.to_string(),
        name: row.name.clone(),
        external_id: row.external_id.clone(),
        namespace: row.namespace.to_string(),
        requested_topologies: row.requested_topologies.as_ref().map(|asked| wire::CsiTopologyRequest {
            required: asked.required.iter().map(topology).collect(),
            preferred: asked.preferred.iter().map(topology).collect(),
        }),
        topologies: row.topologies.iter().map(topology).collect(),
        access_mode: how.map(|how| how.access.to_string()).unwrap_or_default(),
        attachment_mode: how.map(|how| how.attachment.to_string()).unwrap_or_default(),
        mount_options: row.mount_options.as_ref().map(|options| wire::CsiMountOptions {
            fs_type: options.fs_type.clone(),
            mount_flags: hidden(!options.flags.is_empty()).into_iter().collect(),
        }),
        secrets: row.secrets.keys().map(|key| (key.clone(), HIDDEN.to_owned())).collect(),
        parameters: row.parameters.clone(),
        context: row.context.clone(),
        capacity: row.capacity,
        requested_capacity_min: row.requested_capacity_min,
        requested_capacity_max: row.requested_capacity_max,
        requested_capabilities: row.capabilities.iter().map(capability).collect(),
        clone_id: row.clone_id.clone(),
        snapshot_id: row.snapshot_id.clone(),
        plugin_id: row.plugin.to_string(),
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
        ..wire::CsiVolume::default()
    }
}

fn hidden(there: bool) -> Option<String> {
    there.then(|| HIDDEN.to_owned())
}

/// The same in a list.
pub fn csi_volume_stub(row: &row::CsiVolume) -> wire::CsiVolListStub {
    let how = row.in_use();
    wire::CsiVolListStub {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        name: row.name.clone(),
        external_id: row.external_id.clone(),
        topologies: row.topologies.iter().map(topology).collect(),
        access_mode: how.map(|how| how.access.to_string()).unwrap_or_default(),
        attachment_mode: how.map(|how| how.attachment.to_string()).unwrap_or_default(),
        current_readers: row.readers() as u64,
        current_writers: row.writers() as u64,
        plugin_id: row.plugin.to_string(),
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time.0,
        modify_time: row.modify_time.0,
        ..wire::CsiVolListStub::default()
    }
}

fn topology(segments: &row::Topology) -> wire::CsiTopology {
    wire::CsiTopology { segments: segments.clone() }
}

fn capability(row: &row::Capability) -> wire::VolumeCapability {
    wire::VolumeCapability { attachment_mode: row.attachment.to_string(), access_mode: row.access.to_string() }
}

/// What a node says of the plugin `id`.
pub fn csi_info(id: &str, row: &row::CsiInfo) -> wire::CsiInfo {
    wire::CsiInfo {
        plugin_id: id.to_owned(),
        alloc_id: row.alloc.to_string(),
        healthy: row.healthy,
        health_description: row.health_description.clone(),
        update_time: Timestamp(row.update_time),
        provider: row.provider.clone(),
        provider_version: row.version.clone(),
        requires_controller_plugin: row.requires_controller,
        requires_topologies: row.requires_topologies,
        controller_info: row.controller.as_ref().map(controller),
        node_info: row.node.as_ref().map(|node| wire::CsiNodeInfo {
            id: node.id.clone(),
            max_volumes: node.max_volumes,
            accessible_topology: node.topology.as_ref().map(topology),
            requires_node_stage_volume: node.stages,
            supports_stats: node.stats,
            supports_expand: node.expand,
            supports_condition: node.condition,
        }),
    }
}

fn controller(row: &row::ControllerInfo) -> wire::CsiControllerInfo {
    wire::CsiControllerInfo {
        supports_create_delete: row.create_delete,
        supports_attach_detach: row.attach_detach,
        supports_list_volumes: row.list_volumes,
        supports_get_capacity: row.capacity,
        supports_create_delete_snapshot: row.snapshots,
        supports_list_snapshots: row.list_snapshots,
        supports_clone: row.clone,
        supports_read_only_attach: row.read_only_attach,
        supports_expand: row.expand,
        supports_list_volumes_attached_nodes: row.list_attached_nodes,
        supports_condition: row.condition,
        supports_get: row.get,
    }
}
