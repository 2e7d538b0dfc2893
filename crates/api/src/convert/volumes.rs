//! Host volumes and claims to them.

use tarpan_model::volume as row;

use crate::wire;

pub fn host_volume(row: &row::HostVolume) -> wire::HostVolume {
    wire::HostVolume {
        namespace: row.namespace.to_string(),
        id: row.id.to_string(),
        name: row.name.to_string(),
        plugin_id: row.plugin_id.to_string(),
        node_pool: row.node_pool.to_string(),
        node_id: row.node_id.to_string(),
        constraints: row.constraints.clone(),
        capacity_min_bytes: bytes(row.capacity_min_bytes),
        capacity_max_bytes: bytes(row.capacity_max_bytes),
        capacity_bytes: bytes(row.capacity_bytes),
        capabilities: row.capabilities.iter().map(capability).collect(),
        parameters: row.parameters.clone(),
        host_path: row.host_path.clone(),
        state: row.state.to_string(),
        create_index: row.create_index,
        create_time: row.create_time.0,
        modify_index: row.modify_index,
        modify_time: row.modify_time.0,
        allocations: Vec::new(),
    }
}

pub fn host_volume_stub(row: &row::HostVolume) -> wire::HostVolumeStub {
    wire::HostVolumeStub {
        namespace: row.namespace.to_string(),
        id: row.id.to_string(),
        name: row.name.to_string(),
        plugin_id: row.plugin_id.to_string(),
        node_pool: row.node_pool.to_string(),
        node_id: row.node_id.to_string(),
        capacity_bytes: bytes(row.capacity_bytes),
        state: row.state.to_string(),
        create_index: row.create_index,
        create_time: row.create_time.0,
        modify_index: row.modify_index,
        modify_time: row.modify_time.0,
    }
}

/// Shared with volumes of other types.
pub fn capability(row: &row::Capability) -> wire::VolumeCapability {
    wire::VolumeCapability {
        attachment_mode: row.attachment_mode.to_string(),
        access_mode: row.access_mode.to_string(),
    }
}

pub fn host_volume_claim(row: &row::HostVolumeClaim) -> wire::TaskGroupHostVolumeClaim {
    wire::TaskGroupHostVolumeClaim {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        job_id: row.job_id.to_string(),
        task_group_name: row.task_group.to_string(),
        alloc_id: row.alloc_id.to_string(),
        volume_id: row.volume_id.to_string(),
        volume_name: row.volume_name.to_string(),
        create_index: row.create_index,
        modify_index: row.modify_index,
    }
}

fn bytes(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
