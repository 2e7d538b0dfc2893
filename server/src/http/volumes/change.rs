//! Making, changing and deleting host volumes, which takes their nodes; and letting go of claims.
//!
//! State hears of it first, then the node is asked, then state hears what came of it. What was begun is ended whether or not the
//! caller waits for it.

use std::time::Duration;

use futures::StreamExt as _;
use tarpan_api::convert;
use tarpan_api::wire::{HostVolumeDeleteResponse, HostVolumeRequest, HostVolumeResponse, VolumeCapability};
use tarpan_control::volumes::{self as control, Begun, Made, VolumeError, Wanted};
use tarpan_model::ids::IdSource;
use tarpan_model::name::quoted;
use tarpan_model::volume::{AccessMode, AttachmentMode, Capability, HostVolume};
use tarpan_model::{ClaimId, NodeId, UnixNanos, VolumeId};
use tarpan_rpc::agent::HttpRequest;
use tarpan_rpc::{HOST_VOLUME, HostVolumeAnswer};
use tarpan_state::State;

use crate::http::context::Context;
use crate::http::error::{ApiError, again};
use crate::http::on_node;
use crate::http::reply::Outcome;
use crate::node_request::NodeRequestError;

/// How long a node may take; its plugins have less.
const PATIENCE: Duration = Duration::from_secs(180);
/// Bytes of what a node answers.
const MOST: usize = 64 << 10;

/// `PUT /v1/volume/host/create`
pub async fn create(cx: Context) -> Outcome {
    to_its_end(make(cx, "create", control::create)).await
}

/// `PUT /v1/volume/host/register`
pub async fn register(cx: Context) -> Outcome {
    to_its_end(make(cx, "register", control::register)).await
}

/// `DELETE /v1/volume/host/:id`
pub async fn delete(cx: Context) -> Outcome {
    to_its_end(remove(cx)).await
}

/// Runs it whether or not the caller stays.
async fn to_its_end(work: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|_| Err(ApiError::internal("this server ended meanwhile")))
}

type Decide = fn(&State, Wanted, UnixNanos, &mut dyn IdSource) -> Result<Begun, VolumeError>;

async fn make(cx: Context, operation: &'static str, decide: Decide) -> Outcome {
    let wanted = wanted(&cx)?;
    let (volume, before) = again!(begin(&cx, wanted.clone(), decide))?;
    match ask(&cx, operation, &volume).await {
        Ok(HostVolumeAnswer::Made { path, bytes }) => {
            let made = Made { path, bytes };
            let index = again!(note_made(&cx, volume.id, &made))?;
            let warnings = control::warning(&volume, &made).unwrap_or_default();
            let state = cx.server.state();
            let now = state.host_volume(volume.id).ok_or_else(|| ApiError::not_found("volume not found"))?;
            let volume = Some(convert::host_volume(now));
            cx.written(index, &HostVolumeResponse { volume, warnings, index })
        }
        Ok(HostVolumeAnswer::Deleted) => Err(not_made(&cx, &volume, before, "its node did something else").await),
        Ok(HostVolumeAnswer::Failed(why)) => Err(not_made(&cx, &volume, before, &why).await),
        Err(NoAnswer::NotAsked(why)) => Err(not_made(&cx, &volume, before, &why).await),
        Err(NoAnswer::Unknown(why)) => Err(ApiError::internal(format!(
            "volume {} stays pending, because its node {} did not say what came of it ({why}): it is ready when the node has \
             it, or delete it",
            volume.id, volume.node_id
        ))),
    }
}

/// The volume as its node is to make it, and what there was of it.
async fn begin(cx: &Context, wanted: Wanted, decide: Decide) -> Result<(HostVolume, Option<HostVolume>), ApiError> {
    let state = cx.server.state();
    let before = wanted.id.and_then(|id| state.host_volume(id)).map(|row| HostVolume::clone(row));
    if let Some(before) = &before {
        cx.object(before.namespace.as_str())?;
    }
    let begun = decide(&state, wanted, cx.now(), &mut cx.ids())?;
    cx.object(begun.volume.namespace.as_str())?;
    cx.propose(begun.command).await?;
    Ok((begun.volume, before))
}

async fn note_made(cx: &Context, id: VolumeId, made: &Made) -> Result<u64, ApiError> {
    let command = control::made(&cx.server.state(), id, made, cx.now());
    let command = command.ok_or_else(|| ApiError::not_found("volume not found"))?;
    Ok(cx.propose(command).await?.0)
}

async fn not_made(cx: &Context, volume: &HostVolume, before: Option<HostVolume>, why: &str) -> ApiError {
    let forgotten = cx.propose(control::not_made(volume, before.as_ref(), cx.now())).await;
    if let Err(error) = forgotten {
        tracing::warn!(volume = %volume.id, "forgetting a volume that was not made: {}", error.message);
    }
    let what = if before.is_some() { "changed" } else { "made" };
    ApiError::internal(format!("volume {:?} was not {what} on node {}: {why}", volume.name, volume.node_id))
}

async fn remove(cx: Context) -> Outcome {
    let Ok(id) = cx.path.get("volume").parse::<VolumeId>() else { return Err(ApiError::not_found("volume not found")) };
    let force = cx.query.flag("force")?;
    let (volume, reachable) = again!(mark(&cx, id, force))?;
    let left = if reachable { ask(&cx, "delete", &volume).await } else { Ok(HostVolumeAnswer::Deleted) };
    let node = volume.node_id;
    match left {
        Ok(HostVolumeAnswer::Deleted) => {}
        Err(_) if force => {}
        Ok(HostVolumeAnswer::Failed(why)) => {
            keep(&cx, id).await;
            return Err(ApiError::internal(format!("volume {id} was not deleted on node {node}: {why}")));
        }
        Ok(HostVolumeAnswer::Made { .. }) => {
            keep(&cx, id).await;
            return Err(ApiError::internal(format!("volume {id} was not deleted: node {node} did something else")));
        }
        Err(NoAnswer::NotAsked(why)) => {
            keep(&cx, id).await;
            return Err(ApiError::internal(format!(
                "volume {id} was not deleted, because node {node} can't be asked ({why}): force forgets it, and leaves what is there"
            )));
        }
        Err(NoAnswer::Unknown(why)) => {
            return Err(ApiError::internal(format!(
                "node {node} did not say what came of deleting volume {id} ({why}): ask for it again"
            )));
        }
    }
    let (index, _) = cx.propose(control::deleted(id)).await?;
    cx.written(index, &HostVolumeDeleteResponse { index })
}

/// Marks it as being deleted; whether its node is there to be asked.
async fn mark(cx: &Context, id: VolumeId, force: bool) -> Result<(HostVolume, bool), ApiError> {
    let deletion = control::delete(&*cx.state()?, id, cx.now())?;
    if !deletion.reachable && !force {
        let node = deletion.volume.node_id;
        return Err(ApiError::internal(format!(
            "volume {id} can't be deleted while its node {node} is down or gone: force forgets it, and leaves what is there"
        )));
    }
    cx.propose(deletion.command).await?;
    Ok((deletion.volume, deletion.reachable))
}

async fn keep(cx: &Context, id: VolumeId) {
    let Some(command) = control::kept(&cx.server.state(), id, cx.now()) else { return };
    if let Err(error) = cx.propose(command).await {
        tracing::warn!(volume = %id, "a volume stays marked as being deleted: {}", error.message);
    }
}

/// `DELETE /v1/volumes/claim/:id`
pub async fn delete_claim(cx: Context) -> Outcome {
    let Ok(id) = cx.path.get("claim").parse::<ClaimId>() else { return Err(VolumeError::NoClaim.into()) };
    let command = control::delete_claim(&*cx.state()?, id, cx.now(), &mut cx.ids())?;
    let (index, _) = cx.propose(command).await?;
    cx.written_empty(index)
}

/// Why a node did not answer.
enum NoAnswer {
    /// It heard nothing of it.
    NotAsked(String),
    /// It may have done what it was asked, or do it still.
    Unknown(String),
}

async fn ask(cx: &Context, operation: &str, volume: &HostVolume) -> Result<HostVolumeAnswer, NoAnswer> {
    let body = serde_json::to_vec(volume).map_err(|e| NoAnswer::NotAsked(e.to_string()))?;
    let request = HttpRequest {
        method: "POST".to_owned(),
        path: format!("{HOST_VOLUME}/{operation}"),
        body: body.into(),
        ..HttpRequest::default()
    };
    let answered = async {
        let response = on_node::tell(cx, volume.node_id, request).await.map_err(|why| match why {
            NodeRequestError::Timeout(_) => NoAnswer::Unknown(why.to_string()),
            why => NoAnswer::NotAsked(why.to_string()),
        })?;
        if !response.status.is_success() {
            return Err(NoAnswer::NotAsked(format!("its agent answers {}", response.status)));
        }
        // What could be sent stays open: closing it would end the answer.
        let (mut parts, _open) = (response.body, response.send);
        let mut text = Vec::new();
        while let Some(part) = parts.next().await {
            text.extend_from_slice(&part.map_err(|e| NoAnswer::Unknown(e.to_string()))?);
            if text.len() > MOST {
                return Err(NoAnswer::Unknown(format!("it says more than {MOST} bytes")));
            }
        }
        serde_json::from_slice(&text).map_err(|e| NoAnswer::Unknown(format!("what it says can't be read: {e}")))
    };
    let bounded = tokio::time::timeout(PATIENCE, answered).await;
    bounded.unwrap_or_else(|_| Err(NoAnswer::Unknown(format!("nothing within {} s", PATIENCE.as_secs()))))
}

/// What the body asks for.
fn wanted(cx: &Context) -> Result<Wanted, ApiError> {
    let request: HostVolumeRequest = cx.decode()?;
    let volume = request.volume.ok_or_else(|| ApiError::bad_request("missing volume definition"))?;
    let bytes = |what: &str, value: i64| {
        u64::try_from(value).map_err(|_| ApiError::bad_request(format!("{what} can't be negative, as {value} is")))
    };
    let namespace = if volume.namespace.is_empty() { cx.std.namespace.clone() } else { volume.namespace };
    Ok(Wanted {
        id: id::<VolumeId>("ID", &volume.id)?,
        namespace,
        name: volume.name,
        plugin_id: volume.plugin_id,
        node_pool: volume.node_pool,
        node_id: id::<NodeId>("NodeID", &volume.node_id)?,
        constraints: volume.constraints,
        capacity_min_bytes: bytes("RequestedCapacityMinBytes", volume.capacity_min_bytes)?,
        capacity_max_bytes: bytes("RequestedCapacityMaxBytes", volume.capacity_max_bytes)?,
        capacity_bytes: bytes("CapacityBytes", volume.capacity_bytes)?,
        capabilities: volume.capabilities.iter().map(capability).collect::<Result<_, _>>()?,
        parameters: volume.parameters,
        host_path: volume.host_path,
    })
}

fn id<T: std::str::FromStr>(what: &str, text: &str) -> Result<Option<T>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| ApiError::bad_request(format!("{what} {} is no id: those are UUIDs, in full", quoted(text)));
    text.parse().map(Some).map_err(wrong)
}

fn capability(said: &VolumeCapability) -> Result<Capability, ApiError> {
    let access = AccessMode::parse(&said.access_mode);
    let attachment = AttachmentMode::parse(&said.attachment_mode);
    match (access, attachment) {
        (Some(access_mode), Some(attachment_mode)) => Ok(Capability { attachment_mode, access_mode }),
        (None, _) => {
            let modes = AccessMode::OF_HOST.map(AccessMode::as_str).join(", ");
            Err(ApiError::bad_request(format!("invalid access mode {}: there are {modes}", quoted(&said.access_mode))))
        }
        (_, None) => Err(ApiError::bad_request(format!(
            "invalid attachment mode {}: there are file-system, block-device",
            quoted(&said.attachment_mode)
        ))),
    }
}
