//! The CSI volumes that a group asks for: claimed from the servers, and mounted by the node's plugins before the first task.
//!
//! What is mounted is written down by [`crate::csi`]. The claim is given back by the servers when the allocation has ended, whether or not
//! this agent is there to unmount; here it is only unmounted at once.
//! Source: `reference/semantics.md` §17.6.

use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_model::csi::{AccessMode, AttachmentMode, Capability, CsiVolume};
use tarpan_model::job::VolumeRequest;
use tarpan_rpc::agent::ClaimVolumeRequest;
use tarpan_rpc::csi::{Detach, Failed, FailedKind};
use tokio::time::Instant;
use tonic::Code;

use super::{AllocScope, Hook, Making, Notes};
use crate::csi::Wanted;
use crate::runner::event;

/// Waits between tries: from the first, doubling, to the second.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a volume is waited for that others have, or whose plugin is not there.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Volumes;

/// What the group asks for: names and requests.
fn wanted(scope: &AllocScope) -> Vec<(String, VolumeRequest)> {
    let volumes = scope.alloc.group().and_then(|group| group.volumes.clone()).unwrap_or_default();
    volumes.into_iter().filter(|(_, request)| request.type_.as_deref() == Some("csi")).collect()
}

impl Hook<AllocScope> for Volumes {
    fn name(&self) -> &'static str {
        "csi"
    }

    fn wanted(&self, scope: &AllocScope) -> bool {
        !wanted(scope).is_empty()
    }

    fn make<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> Making<'a, AllocScope> {
        Box::pin(async move {
            let made = mount_all(scope).await;
            made.map_err(|text| format!("failed to setup alloc: pre-run hook \"csi_hook\" failed: {text}"))
        })
    }

    /// What can not be unmounted now is when the servers ask for it.
    fn undo<'a>(&'a self, scope: &'a AllocScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let plugins = &scope.context.csi;
            for detach in plugins.mounts.of(scope.alloc.id) {
                if let Err(failed) = plugins.mounts.unpublish(plugins, &detach).await {
                    tracing::warn!(alloc_id = %scope.alloc.id, volume = detach.volume, "unmounting a volume: {failed}");
                }
            }
            plugins.mounts.take_back(scope.alloc.id);
        })
    }
}

async fn mount_all(scope: &AllocScope) -> Result<(), String> {
    let tasks = scope.alloc.group().map(|group| group.tasks().to_vec()).unwrap_or_default();
    let mounts = |task: &tarpan_model::job::Task| {
        scope.context.drivers.get(task.driver()).is_some_and(|driver| driver.supports_mounts())
    };
    if !tasks.iter().any(mounts) {
        return Err("no task supports CSI".to_owned());
    }
    for (name, request) in wanted(scope) {
        let path = mount(scope, &name, &request).await.map_err(|text| format!("volume {name:?}: {text}"))?;
        scope.context.csi.mounts.give(scope.alloc.id, &name, path);
    }
    Ok(())
}

async fn mount(scope: &AllocScope, name: &str, request: &VolumeRequest) -> Result<std::path::PathBuf, String> {
    let plugins = &scope.context.csi;
    if let Some(path) = already(scope, request).await {
        return Ok(path);
    }
    let begun = Instant::now();
    let (mut wait, mut told) = (WAITS.0, String::new());
    loop {
        let failed = match claim(scope, name).await {
            Ok((volume, publish_context)) => {
                let detach = detach(scope, &volume)?;
                let wanted = Wanted { detach, volume: &volume, publish_context };
                match plugins.mounts.publish(plugins, &wanted).await {
                    Ok(path) => return Ok(path),
                    // The plugin of this node may come a moment later than its volumes are wanted.
                    Err(failed) => failed,
                }
            }
            Err(failed) => failed,
        };
        let hopeless = matches!(failed.kind, FailedKind::NotFound | FailedKind::Other);
        if hopeless || begun.elapsed() >= PATIENCE {
            return Err(failed.message);
        }
        if told != failed.message {
            tell(scope, &format!("Waiting for volume {name:?}: {}", failed.message));
            told = failed.message;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAITS.1);
    }
}

fn tell(scope: &AllocScope, text: &str) {
    let tasks = scope.alloc.group().map_or(0, |group| group.tasks().len());
    (0..tasks).for_each(|index| scope.inbox.notice(index, event::hook_message(text)));
}

/// An earlier agent had it mounted, and it is.
async fn already(scope: &AllocScope, request: &VolumeRequest) -> Option<std::path::PathBuf> {
    let source = tarpan_model::volume::source(request, scope.alloc.index());
    let mounts = &scope.context.csi.mounts;
    let known = mounts
        .of(scope.alloc.id)
        .into_iter()
        .find(|detach| detach.volume == source && how(request) == Some(detach.how) && detach.write == writes(request));
    mounts.mounted(&known?).await
}

fn how(request: &VolumeRequest) -> Option<Capability> {
    let access = AccessMode::parse(request.access_mode.as_deref()?)?;
    let attachment = AttachmentMode::parse(request.attachment_mode.as_deref()?)?;
    Some(Capability { access, attachment })
}

fn writes(request: &VolumeRequest) -> bool {
    request.read_only != Some(true)
}

type Claimed = (CsiVolume, std::collections::HashMap<String, String>);

/// Asks a server for the claim. [`FailedKind::NotYet`]: others have it, or no server can be reached.
async fn claim(scope: &AllocScope, name: &str) -> Result<Claimed, Failed> {
    let asked = ClaimVolumeRequest { alloc_id: scope.alloc.id.0.as_bytes().to_vec().into(), volume: name.to_owned() };
    let answer = scope.context.session.wait().await.client().await.claim_volume(asked).await;
    let answer = answer.map_err(|status| {
        let hopeless = matches!(status.code(), Code::NotFound | Code::FailedPrecondition | Code::PermissionDenied);
        let kind = if hopeless { FailedKind::Other } else { FailedKind::NotYet };
        Failed { message: status.message().to_owned(), kind }
    })?;
    let answer = answer.into_inner();
    let volume = tarpan_rpc::unpack(&answer.volume)
        .map_err(|error| Failed { message: tarpan_rpc::why(&error), kind: FailedKind::Other })?;
    Ok((volume, answer.publish_context))
}

/// What was granted, as it is mounted.
fn detach(scope: &AllocScope, volume: &CsiVolume) -> Result<Detach, String> {
    let claim = volume.claims.get(&scope.alloc.id).ok_or("the servers granted a claim that is not there")?;
    Ok(Detach {
        plugin: volume.plugin.to_string(),
        namespace: volume.namespace.clone(),
        volume: volume.id.to_string(),
        external_id: volume.remote_id().to_owned(),
        alloc: scope.alloc.id,
        write: claim.write,
        how: claim.how,
    })
}
