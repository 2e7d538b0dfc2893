//! Questions about volumes, and what can be done to them.

use super::call::{Call, calls};
use super::{Answer, Client, Query};
use crate::transport::Error;
use crate::wire::{
    HostVolume, HostVolumeDeleteResponse, HostVolumeRequest, HostVolumeResponse, HostVolumeStub,
    TaskGroupHostVolumeClaim,
};

calls! {
    /// In the order of namespaces and ids; by the parameters `node_id` and `node_pool` those of a node or pool.
    host_volumes(query: &Query) -> Vec<HostVolumeStub> { Call::get(query.on("/v1/volumes")).with("type", "host") }

    /// One host volume, with the allocations that mount it.
    host_volume(query: &Query, id: &str) -> HostVolume { Call::get(query.at("/v1/volume/host/{}", id)) }

    /// Has a plugin make it on a node; one with an id is changed.
    create_host_volume(query: &Query, request: &HostVolumeRequest) -> HostVolumeResponse {
        Call::put(query.on("/v1/volume/host/create"), request)
    }

    /// Takes a directory in that is there already.
    register_host_volume(query: &Query, request: &HostVolumeRequest) -> HostVolumeResponse {
        Call::put(query.on("/v1/volume/host/register"), request)
    }

    /// `force`: also where its node can't be asked.
    delete_host_volume(query: &Query, id: &str, force: bool) -> HostVolumeDeleteResponse {
        Call::delete(query.at("/v1/volume/host/{}", id)).flag("force", force)
    }

    /// What groups with sticky volumes hold; by the parameters `job_id`, `task_group` and `volume_name`.
    host_volume_claims(query: &Query) -> Vec<TaskGroupHostVolumeClaim> { Call::get(query.on("/v1/volumes/claims")) }

    delete_host_volume_claim(query: &Query, id: &str) -> () { Call::delete(query.at("/v1/volumes/claim/{}", id)) }
}
