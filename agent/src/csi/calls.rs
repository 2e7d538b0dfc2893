//! Calls of a plugin over its socket. Each ends in time, and what comes back is bounded.

use std::error::Error as _;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tarpan_model::csi::{ControllerInfo, CsiInfo, NodeInfo};
use tarpan_rpc::Message;
use tarpan_rpc::csi::v1::controller_client::ControllerClient;
use tarpan_rpc::csi::v1::identity_client::IdentityClient;
use tarpan_rpc::csi::v1::node_client::NodeClient;
use tarpan_rpc::csi::{Call, Failed, FailedKind, v1};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tower::service_fn;

use crate::ground::{self, Dir, Kind};

/// What the socket is called in its directory.
pub(super) const SOCKET: &str = "csi.sock";
/// How long a call may take that changes something.
pub(super) const LONG: Duration = Duration::from_secs(120);
/// How long a plugin may take to say how it is.
pub(super) const SHORT: Duration = Duration::from_secs(10);
/// Bytes of one answer.
const MOST: usize = 4 << 20;
/// Bytes of a text that goes into the node's row, and of a plugin's sentence.
const MOST_TEXT: usize = 256;
const MOST_SENTENCE: usize = 1024;
/// Names of a place, and bytes of each and its value.
const MOST_SEGMENTS: usize = 32;

/// The way to the plugin whose socket is in `dir`; connected when something is asked.
pub(super) fn channel(dir: PathBuf) -> Channel {
    let connect = move |_: Uri| {
        let dir = dir.clone();
        async move { connect(dir).await.map(TokioIo::new) }
    };
    Endpoint::from_static("http://csi.invalid").connect_timeout(SHORT).connect_with_connector_lazy(service_fn(connect))
}

/// The plugin may put anything where its socket should be: a link to another's socket is not followed.
async fn connect(dir: PathBuf) -> std::io::Result<UnixStream> {
    let found = crate::blocking(move || Dir::trusted(&dir)?.find_plain(SOCKET.as_ref())).await;
    let found = found.map_err(|error: ground::Error| std::io::Error::other(crate::chain(&error)))?;
    if found.meta().kind() != Kind::Socket {
        return Err(std::io::Error::other(format!("{SOCKET} is {}, and no socket", found.meta().kind())));
    }
    UnixStream::connect(format!("/proc/self/fd/{}", found.as_raw_fd())).await
}

fn identity(channel: &Channel) -> IdentityClient<Channel> {
    IdentityClient::new(channel.clone()).max_decoding_message_size(MOST)
}

pub(super) fn node(channel: &Channel) -> NodeClient<Channel> {
    NodeClient::new(channel.clone()).max_decoding_message_size(MOST)
}

/// Waits for the answer of a call, no longer than `most`.
pub(super) async fn within<T>(
    most: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(most, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(failed(&status)),
        Err(_) => Err(Failed {
            message: format!("the plugin did not answer within {} s", most.as_secs()),
            kind: FailedKind::Unreachable,
        }),
    }
}

fn failed(status: &Status) -> Failed {
    let kind = match status.code() {
        // It is no word of the plugin's, but of the way to it.
        _ if status.source().is_some() => FailedKind::Unreachable,
        Code::NotFound => FailedKind::NotFound,
        Code::FailedPrecondition | Code::Aborted | Code::ResourceExhausted => FailedKind::NotYet,
        Code::Unavailable | Code::DeadlineExceeded => FailedKind::Unreachable,
        _ => FailedKind::Other,
    };
    let said = match status.message() {
        "" => format!("{:?}", status.code()),
        text => format!("{:?}: {}", status.code(), cut(text, MOST_SENTENCE)),
    };
    Failed { message: format!("the plugin says {said}"), kind }
}

/// No task of this node is the plugin.
pub(super) fn absent(plugin: &str) -> Failed {
    let message = format!("CSI plugin {plugin} does not run on this node");
    Failed { message, kind: FailedKind::Unreachable }
}

/// One line, no longer than `most` bytes: it is shown to people.
fn cut(text: &str, most: usize) -> String {
    let text = &text[..text.floor_char_boundary(most)];
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Has the controller service do something; the request and its answer as they are.
pub(super) async fn controller(channel: &Channel, call: Call, request: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut client = ControllerClient::new(channel.clone()).max_decoding_message_size(MOST);
    let unreadable = |error: &dyn std::error::Error| Failed {
        message: format!("the server's request can't be read: {}", crate::chain(error)),
        kind: FailedKind::Other,
    };
    macro_rules! ask {
        ($method:ident) => {{
            let request = Message::decode(request).map_err(|error| unreadable(&error))?;
            Ok(within(LONG, client.$method(tonic::Request::new(request))).await?.encode_to_vec())
        }};
    }
    match call {
        Call::CreateVolume => ask!(create_volume),
        Call::DeleteVolume => ask!(delete_volume),
        Call::Publish => ask!(controller_publish_volume),
        Call::Unpublish => ask!(controller_unpublish_volume),
        Call::Validate => ask!(validate_volume_capabilities),
        Call::ListVolumes => ask!(list_volumes),
        Call::CreateSnapshot => ask!(create_snapshot),
        Call::DeleteSnapshot => ask!(delete_snapshot),
        Call::ListSnapshots => ask!(list_snapshots),
    }
}

/// Is the plugin ready? The error is a sentence.
pub(super) async fn probe(channel: &Channel) -> Result<(), String> {
    let answer = within(SHORT, identity(channel).probe(v1::ProbeRequest {})).await.map_err(|why| why.to_string())?;
    match answer.ready.is_none_or(|ready| ready.value) {
        true => Ok(()),
        false => Err("the plugin says that it is not ready".to_owned()),
    }
}

/// What the plugin says of itself. Who it belongs to and whether it is healthy is the caller's to say.
pub(super) async fn describe(channel: &Channel, kind: super::Kind) -> Result<CsiInfo, Failed> {
    let mut who = identity(channel);
    let info = within(SHORT, who.get_plugin_info(v1::GetPluginInfoRequest {})).await?;
    let can = within(SHORT, who.get_plugin_capabilities(v1::GetPluginCapabilitiesRequest {})).await?;
    let has = |number: i32| {
        use v1::plugin_capability::Type;
        can.capabilities.iter().any(|c| matches!(&c.r#type, Some(Type::Service(s)) if s.r#type == number))
    };
    let controller = match kind.controls() {
        true => Some(controller_info(channel).await?),
        false => None,
    };
    let node = match kind.mounts() {
        true => Some(node_info(channel).await?),
        false => None,
    };
    Ok(CsiInfo {
        provider: cut(&info.name, MOST_TEXT),
        version: cut(&info.vendor_version, MOST_TEXT),
        requires_controller: has(1),
        requires_topologies: has(2),
        controller,
        node,
        ..CsiInfo::default()
    })
}

async fn controller_info(channel: &Channel) -> Result<ControllerInfo, Failed> {
    let mut client = ControllerClient::new(channel.clone()).max_decoding_message_size(MOST);
    let asked = client.controller_get_capabilities(v1::ControllerGetCapabilitiesRequest {});
    let answer = within(SHORT, asked).await?;
    let has = |number: i32| {
        use v1::controller_service_capability::Type;
        answer.capabilities.iter().any(|c| matches!(&c.r#type, Some(Type::Rpc(rpc)) if rpc.r#type == number))
    };
    Ok(ControllerInfo {
        create_delete: has(1),
        attach_detach: has(2),
        list_volumes: has(3),
        capacity: has(4),
        snapshots: has(5),
        list_snapshots: has(6),
        clone: has(7),
        read_only_attach: has(8),
        expand: has(9),
        list_attached_nodes: has(10),
        condition: has(11),
        get: has(12),
    })
}

async fn node_info(channel: &Channel) -> Result<NodeInfo, Failed> {
    let can = within(SHORT, node(channel).node_get_capabilities(v1::NodeGetCapabilitiesRequest {})).await?;
    let info = within(SHORT, node(channel).node_get_info(v1::NodeGetInfoRequest {})).await?;
    let has = |number: i32| {
        use v1::node_service_capability::Type;
        can.capabilities.iter().any(|c| matches!(&c.r#type, Some(Type::Rpc(rpc)) if rpc.r#type == number))
    };
    let too_long = |what: &str| Failed {
        message: format!("the plugin's {what} is longer than {MOST_TEXT} bytes"),
        kind: FailedKind::Other,
    };
    if info.node_id.len() > MOST_TEXT {
        return Err(too_long("name for this node"));
    }
    let topology = info.accessible_topology.map(|place| place.segments);
    if topology.iter().any(|place| place.len() > MOST_SEGMENTS)
        || topology.iter().flatten().any(|(name, value)| name.len().max(value.len()) > MOST_TEXT)
    {
        return Err(too_long("place of this node"));
    }
    Ok(NodeInfo {
        id: info.node_id,
        max_volumes: info.max_volumes_per_node.max(0),
        topology: topology.map(|place| place.into_iter().collect()),
        stages: has(1),
        stats: has(2),
        expand: has(3),
        condition: has(4),
    })
}
