//! Questions about CSI volumes, their snapshots and plugins, and what can be done to them.

use std::collections::BTreeMap;

use super::call::{Call, calls};
use super::{Answer, Client, Query};
use crate::transport::Error;
use crate::wire::{
    CsiPlugin, CsiPluginListStub, CsiSecrets, CsiSnapshots, CsiVolListStub, CsiVolume, CsiVolumesExternal,
    CsiVolumesRequest, CsiVolumesResponse,
};

calls! {
    /// In the order of namespaces and ids; by the parameters `plugin_id` and `node_id` those of a plugin, or those that a node has.
    csi_volumes(query: &Query) -> Vec<CsiVolListStub> { Call::get(query.on("/v1/volumes")).with("type", "csi") }

    /// One volume, with the allocations that have it. `claims`: and how far each claim is.
    csi_volume(query: &Query, id: &str, claims: bool) -> CsiVolume {
        Call::get(query.at("/v1/volume/csi/{}", id)).flag("claims", claims)
    }

    /// Takes volumes in that are there already.
    register_csi_volumes(query: &Query, request: &CsiVolumesRequest) -> CsiVolumesResponse {
        Call::put(query.on("/v1/volumes"), request)
    }

    /// Has their plugins make volumes.
    create_csi_volume(query: &Query, id: &str, request: &CsiVolumesRequest) -> CsiVolumesResponse {
        Call::put(query.at("/v1/volume/csi/{}/create", id), request)
    }

    /// Has its plugin destroy a volume.
    delete_csi_volume(query: &Query, id: &str, secrets: &BTreeMap<String, String>) -> () {
        Call::delete_what(query.at("/v1/volume/csi/{}/delete", id), &CsiSecrets { secrets: secrets.clone() })
    }

    /// Forgets a volume. `force`: also one whose claims are not given back yet.
    deregister_csi_volume(query: &Query, id: &str, force: bool) -> () {
        Call::delete(query.at("/v1/volume/csi/{}", id)).flag("force", force)
    }

    /// Gives back what ended allocations of a node have of a volume.
    detach_csi_volume(query: &Query, id: &str, node: &str) -> () {
        Call::delete(query.at("/v1/volume/csi/{}/detach", id)).with("node", node)
    }

    /// What the plugin itself has, by its own pages.
    csi_volumes_external(query: &Query, plugin: &str) -> CsiVolumesExternal {
        Call::get(query.on("/v1/volumes/external")).with("plugin_id", plugin)
    }

    csi_snapshots(query: &Query, plugin: &str) -> CsiSnapshots {
        Call::get(query.on("/v1/volumes/snapshot")).with("plugin_id", plugin)
    }

    create_csi_snapshots(query: &Query, request: &CsiSnapshots) -> CsiSnapshots {
        Call::put(query.on("/v1/volumes/snapshot"), request)
    }

    delete_csi_snapshot(query: &Query, plugin: &str, id: &str, secrets: &BTreeMap<String, String>) -> () {
        let secrets = CsiSecrets { secrets: secrets.clone() };
        Call::delete_what(query.on("/v1/volumes/snapshot"), &secrets).with("plugin_id", plugin).with("snapshot_id", id)
    }

    csi_plugins(query: &Query) -> Vec<CsiPluginListStub> { Call::get(query.on("/v1/plugins")).with("type", "csi") }

    csi_plugin(query: &Query, id: &str) -> CsiPlugin { Call::get(query.at("/v1/plugin/csi/{}", id)) }
}
