//! What is asked of plugins' controllers, in the words of CSI.
//!
//! Any healthy controller of the plugin may answer. What one says goes into rows only within bounds: it is a stranger's word.

use std::collections::BTreeMap;

use tarpan_model::csi::{Capability, Claim, CsiVolume, Topology, TopologyRequest};
use tarpan_model::{NodeId, NodeStatus};
use tarpan_rpc::Message;
use tarpan_rpc::csi::{Ask, Call, Failed, FailedKind, capability, v1};

use super::node;
use crate::sessions::host::Host;

/// Bytes of an id that a plugin gives, and of all that it says of one volume besides.
const MOST_ID: usize = 1024;
const MOST_CONTEXT: usize = 64 << 10;
/// Places that one volume is reachable from.
const MOST_PLACES: usize = 256;

pub(crate) type Texts = BTreeMap<String, String>;

fn other(message: impl Into<String>) -> Failed {
    Failed { message: message.into(), kind: FailedKind::Other }
}

/// Nodes with a healthy controller of the plugin, in the order in which they are asked.
fn controllers(host: &Host, plugin: &str) -> Result<Vec<NodeId>, Failed> {
    let state = host.state();
    let Some(row) = state.csi_plugin(plugin) else { return Err(other(format!("plugin not found: {plugin}"))) };
    let well = state.csi_controllers(row).filter(|(node, info)| info.healthy && node.status == NodeStatus::Ready);
    let nodes: Vec<NodeId> = well.map(|(node, _)| node.id).collect();
    match nodes.is_empty() {
        true if row.controllers.is_empty() => Err(other("plugin has no controller")),
        true => Err(Failed {
            message: format!("no controller of plugin {plugin} is healthy"),
            kind: FailedKind::Unreachable,
        }),
        false => Ok(nodes),
    }
}

/// Asks one controller after the other until one can be reached.
async fn call<A: Message + Default>(
    host: &Host,
    plugin: &str,
    call: Call,
    request: &impl Message,
) -> Result<A, Failed> {
    let request = request.encode_to_vec();
    let mut last = None;
    for node in controllers(host, plugin)? {
        let ask = Ask::Controller { plugin: plugin.to_owned(), call, request: request.clone() };
        match node::ask(host, node, &ask).await {
            Ok(answer) => {
                return A::decode(&*answer)
                    .map_err(|error| other(format!("plugin {plugin} answers what can't be read: {error}")));
            }
            Err(failed) if failed.kind == FailedKind::Unreachable => last = Some(failed),
            Err(failed) => return Err(failed),
        }
    }
    Err(last.unwrap_or_else(|| other("plugin has no controller")))
}

fn texts(map: &Texts) -> std::collections::HashMap<String, String> {
    map.clone().into_iter().collect()
}

/// A map that a plugin gave, in an order of its own.
fn taken(plugin: &str, map: std::collections::HashMap<String, String>) -> Result<Texts, Failed> {
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    match bytes <= MOST_CONTEXT {
        true => Ok(map.into_iter().collect()),
        false => {
            Err(other(format!("plugin {plugin} says {bytes} bytes of one volume: at most {MOST_CONTEXT} are kept")))
        }
    }
}

fn topology(place: &Topology) -> v1::Topology {
    v1::Topology { segments: texts(place) }
}

fn capabilities(volume: &CsiVolume) -> Vec<v1::VolumeCapability> {
    volume.capabilities.iter().map(|how| capability(*how, volume.mount_options.as_ref())).collect()
}

fn source(volume: &CsiVolume) -> Option<v1::VolumeContentSource> {
    use v1::volume_content_source::{Snapshot, Type, Volume};
    let from = match (volume.clone_id.as_str(), volume.snapshot_id.as_str()) {
        ("", "") => return None,
        ("", snapshot) => Type::Snapshot(Snapshot { snapshot_id: snapshot.to_owned() }),
        (volume, _) => Type::Volume(Volume { volume_id: volume.to_owned() }),
    };
    Some(v1::VolumeContentSource { r#type: Some(from) })
}

/// Has the volume made; with what the plugin says of it.
pub(crate) async fn create(host: &Host, mut volume: CsiVolume) -> Result<CsiVolume, Failed> {
    let plugin = volume.plugin.to_string();
    let (least, most) = (volume.requested_capacity_min, volume.requested_capacity_max);
    let wanted =
        volume.requested_topologies.as_ref().map(|TopologyRequest { required, preferred }| v1::TopologyRequirement {
            requisite: required.iter().map(topology).collect(),
            preferred: preferred.iter().map(topology).collect(),
        });
    let request = v1::CreateVolumeRequest {
        name: volume.name.clone(),
        capacity_range: (least > 0 || most > 0)
            .then_some(v1::CapacityRange { required_bytes: least, limit_bytes: most }),
        volume_capabilities: capabilities(&volume),
        parameters: texts(&volume.parameters),
        secrets: texts(&volume.secrets),
        volume_content_source: source(&volume),
        accessibility_requirements: wanted,
    };
    let answer: v1::CreateVolumeResponse = call(host, &plugin, Call::CreateVolume, &request).await?;
    let made = answer.volume.filter(|made| !made.volume_id.is_empty());
    let made = made.ok_or_else(|| other(format!("plugin {plugin} made a volume and does not say its id")))?;
    if made.volume_id.len() > MOST_ID || made.accessible_topology.len() > MOST_PLACES {
        return Err(other(format!("plugin {plugin} says more of a volume than is kept")));
    }
    volume.external_id = made.volume_id;
    volume.capacity = made.capacity_bytes.max(0);
    volume.context = taken(&plugin, made.volume_context)?;
    let places = made.accessible_topology.into_iter().map(|place| taken(&plugin, place.segments));
    volume.topologies = places.collect::<Result<_, _>>()?;
    Ok(volume)
}

/// Has the volume destroyed; one that the plugin does not know is.
pub(crate) async fn delete(host: &Host, volume: &CsiVolume, secrets: &Texts) -> Result<(), Failed> {
    let mut all = volume.secrets.clone();
    all.extend(secrets.clone());
    let request = v1::DeleteVolumeRequest { volume_id: volume.remote_id().to_owned(), secrets: texts(&all) };
    match call::<v1::DeleteVolumeResponse>(host, &volume.plugin, Call::DeleteVolume, &request).await {
        Err(failed) if failed.kind != FailedKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

/// Is the volume what it is registered as?
pub(crate) async fn validate(host: &Host, volume: &CsiVolume) -> Result<(), Failed> {
    let request = v1::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.remote_id().to_owned(),
        volume_context: texts(&volume.context),
        volume_capabilities: capabilities(volume),
        parameters: texts(&volume.parameters),
        secrets: texts(&volume.secrets),
    };
    let answer: v1::ValidateVolumeCapabilitiesResponse = call(host, &volume.plugin, Call::Validate, &request).await?;
    match answer.confirmed {
        Some(_) => Ok(()),
        None => Err(other(format!("the plugin does not confirm the volume's capabilities: {}", cut(&answer.message)))),
    }
}

/// Puts the volume where the claim's node can reach it. Gives what the node's plugin is to be told of that.
pub(crate) async fn publish(host: &Host, volume: &CsiVolume, claim: &Claim) -> Result<Texts, Failed> {
    let request = v1::ControllerPublishVolumeRequest {
        volume_id: volume.remote_id().to_owned(),
        node_id: claim.external_node.clone(),
        volume_capability: Some(how(volume, claim.how)),
        readonly: !claim.write,
        secrets: texts(&volume.secrets),
        volume_context: texts(&volume.context),
    };
    let answer: v1::ControllerPublishVolumeResponse = call(host, &volume.plugin, Call::Publish, &request).await?;
    taken(&volume.plugin, answer.publish_context)
}

fn how(volume: &CsiVolume, how: Capability) -> v1::VolumeCapability {
    capability(how, volume.mount_options.as_ref())
}

/// Takes the volume off a node; where the plugin knows nothing of that, it is off.
pub(crate) async fn unpublish(host: &Host, volume: &CsiVolume, claim: &Claim) -> Result<(), Failed> {
    let request = v1::ControllerUnpublishVolumeRequest {
        volume_id: volume.remote_id().to_owned(),
        node_id: claim.external_node.clone(),
        secrets: texts(&volume.secrets),
    };
    match call::<v1::ControllerUnpublishVolumeResponse>(host, &volume.plugin, Call::Unpublish, &request).await {
        Err(failed) if failed.kind != FailedKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

/// A page of what the plugin has.
pub(crate) async fn volumes(
    host: &Host,
    plugin: &str,
    most: i32,
    token: &str,
) -> Result<v1::ListVolumesResponse, Failed> {
    let request = v1::ListVolumesRequest { max_entries: most, starting_token: token.to_owned() };
    call(host, plugin, Call::ListVolumes, &request).await
}

pub(crate) async fn snapshots(
    host: &Host,
    plugin: &str,
    (most, token): (i32, &str),
    secrets: &Texts,
) -> Result<v1::ListSnapshotsResponse, Failed> {
    let request = v1::ListSnapshotsRequest {
        max_entries: most,
        starting_token: token.to_owned(),
        secrets: texts(secrets),
        ..v1::ListSnapshotsRequest::default()
    };
    call(host, plugin, Call::ListSnapshots, &request).await
}

/// A snapshot of `volume` that is to be called `name`.
pub(crate) async fn create_snapshot(
    host: &Host,
    volume: &CsiVolume,
    name: &str,
    (secrets, parameters): (&Texts, &Texts),
) -> Result<v1::Snapshot, Failed> {
    let mut all = volume.secrets.clone();
    all.extend(secrets.clone());
    let request = v1::CreateSnapshotRequest {
        source_volume_id: volume.remote_id().to_owned(),
        name: name.to_owned(),
        secrets: texts(&all),
        parameters: texts(parameters),
    };
    let answer: v1::CreateSnapshotResponse = call(host, &volume.plugin, Call::CreateSnapshot, &request).await?;
    answer.snapshot.ok_or_else(|| other(format!("plugin {} made a snapshot and does not say which", volume.plugin)))
}

pub(crate) async fn delete_snapshot(host: &Host, plugin: &str, id: &str, secrets: &Texts) -> Result<(), Failed> {
    let request = v1::DeleteSnapshotRequest { snapshot_id: id.to_owned(), secrets: texts(secrets) };
    match call::<v1::DeleteSnapshotResponse>(host, plugin, Call::DeleteSnapshot, &request).await {
        Err(failed) if failed.kind != FailedKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

/// A sentence of a plugin's, no longer than people read.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(1024)]
}
