//! Volumes that are mounted for allocations of this node.
//!
//! What is about to be mounted is written down before ([`Entry`], flushed), and forgotten when the plugin has unmounted it: an agent that
//! comes back knows of all that may be there. Calls of plugins may be made twice, so what was begun is simply done again. A volume is staged
//! once for all who use it alike, and unstaged after the last of them. One thing at a time is done with a volume.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarpan_model::csi::{AttachmentMode, CsiVolume};
use tarpan_model::{AllocId, name};
use tarpan_rpc::csi::{Detach, Failed, FailedKind, capability, v1};

use super::{Kind, Plugins, calls};
use crate::ground::{Attr, Dir};
use crate::store::Store;

/// How often a call that mounts is made, and the first wait between two; it doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// Under which name entries are kept.
const KEPT: &str = "csi-mounts";

/// A volume that is to be mounted for an allocation.
pub(crate) struct Wanted<'a> {
    pub detach: Detach,
    pub volume: &'a CsiVolume,
    pub publish_context: std::collections::HashMap<String, String>,
}

/// What may be mounted: from before it is until after it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    detach: Detach,
    /// The plugin said that it is.
    mounted: bool,
}

impl Entry {
    fn is(&self, detach: &Detach) -> bool {
        (&self.detach.namespace, &*self.detach.volume, self.detach.alloc)
            == (&detach.namespace, &*detach.volume, detach.alloc)
            && usage(&self.detach) == usage(detach)
    }
}

pub(crate) struct Mounts {
    root: PathBuf,
    store: Store,
    entries: Mutex<Vec<Entry>>,
    /// By namespace and id of the volume.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Where volumes of allocations are, by the names that their groups give them.
    given: Mutex<BTreeMap<(AllocId, String), PathBuf>>,
}

/// The directory of a plugin's volumes.
pub(super) fn base(root: &Path, plugin: &str) -> PathBuf {
    root.join("node").join(plugin)
}

/// Who uses a volume alike shares what is staged.
fn usage(detach: &Detach) -> String {
    let write = if detach.write { "rw" } else { "ro" };
    format!("{write}-{}-{}", detach.how.attachment, detach.how.access)
}

/// Below the plugin's directory: where the volume is staged.
fn staging(detach: &Detach) -> PathBuf {
    Path::new("staging").join(detach.namespace.as_str()).join(&detach.volume).join(usage(detach))
}

/// Below the plugin's directory: where the allocation has it.
fn target(detach: &Detach) -> PathBuf {
    Path::new("per-alloc").join(detach.alloc.to_string()).join(&detach.volume).join(usage(detach))
}

fn other(message: String) -> Failed {
    Failed { message, kind: FailedKind::Other }
}

/// Every name that becomes a part of a path is one.
fn names(detach: &Detach) -> Result<(), Failed> {
    for (what, text) in
        [("plugin", &*detach.plugin), ("namespace", detach.namespace.as_str()), ("volume", &*detach.volume)]
    {
        name::part(text).map_err(|wrong| other(format!("the {what} {} {wrong}", name::quoted(text))))?;
    }
    Ok(())
}

impl Mounts {
    pub(super) fn new(root: PathBuf, store: Store) -> Mounts {
        let entries = Mutex::new(store.kept(KEPT).unwrap_or_default());
        Mounts { root, store, entries, turns: Mutex::default(), given: Mutex::default() }
    }

    /// Where the volume is that the group of `alloc` calls `name`.
    pub(crate) fn given(&self, alloc: AllocId, name: &str) -> Option<PathBuf> {
        self.given.lock().expect("no panic while held").get(&(alloc, name.to_owned())).cloned()
    }

    pub(crate) fn give(&self, alloc: AllocId, name: &str, path: PathBuf) {
        self.given.lock().expect("no panic while held").insert((alloc, name.to_owned()), path);
    }

    /// What of an allocation's may be mounted, by an earlier agent or by this one.
    pub(crate) fn of(&self, alloc: AllocId) -> Vec<Detach> {
        let entries = self.entries.lock().expect("no panic while held");
        entries.iter().filter(|entry| entry.detach.alloc == alloc).map(|entry| entry.detach.clone()).collect()
    }

    /// Nothing of the allocation's is mounted any more, or everything that could be done about it was.
    pub(crate) fn take_back(&self, alloc: AllocId) {
        self.given.lock().expect("no panic while held").retain(|(of, _), _| *of != alloc);
    }

    /// Where it is mounted already, by what was written down and by what the kernel says.
    pub(crate) async fn mounted(&self, detach: &Detach) -> Option<PathBuf> {
        let known = self.entries.lock().expect("no panic while held").iter().any(|e| e.is(detach) && e.mounted);
        let path = base(&self.root, &detach.plugin).join(target(detach));
        (known && is_there(&path).await).then_some(path)
    }

    fn turn(&self, detach: &Detach) -> Arc<tokio::sync::Mutex<()>> {
        let key = format!("{}/{}", detach.namespace, detach.volume);
        let mut turns = self.turns.lock().expect("no panic while held");
        // Those that nobody has are made anew when they are wanted.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(key).or_default().clone()
    }

    /// Writes down what is about to be, or is, or is not any more.
    async fn write(&self, detach: &Detach, entry: Option<Entry>) {
        {
            let mut entries = self.entries.lock().expect("no panic while held");
            entries.retain(|known| !known.is(detach));
            entries.extend(entry);
            self.store.keep(KEPT, &*entries);
        }
        self.store.flush().await;
    }

    /// Has the plugin mount a volume; where it is then. May be called again for one that is.
    pub(crate) async fn publish(&self, plugins: &Plugins, wanted: &Wanted<'_>) -> Result<PathBuf, Failed> {
        let detach = &wanted.detach;
        names(detach)?;
        let turn = self.turn(detach);
        let _turn = turn.lock().await;
        let plugin = plugins.find(&detach.plugin, Kind::mounts).ok_or_else(|| calls::absent(&detach.plugin))?;
        self.write(detach, Some(Entry { detach: detach.clone(), mounted: false })).await;
        crate::crash::point("csi-written");
        self.make_dirs(detach).await?;
        let how = capability(detach.how, wanted.volume.mount_options.as_ref());
        let map = |map: &BTreeMap<String, String>| map.clone().into_iter().collect();
        let staged = if stages(&plugin) { plugin.seen.join(staging(detach)) } else { PathBuf::new() };
        if stages(&plugin) {
            let request = v1::NodeStageVolumeRequest {
                volume_id: detach.external_id.clone(),
                publish_context: wanted.publish_context.clone(),
                staging_target_path: text(&staged),
                volume_capability: Some(how.clone()),
                secrets: map(&wanted.volume.secrets),
                volume_context: map(&wanted.volume.context),
            };
            again(|| {
                let (mut client, request) = (calls::node(&plugin.channel), request.clone());
                async move { calls::within(calls::LONG, client.node_stage_volume(request)).await }
            })
            .await?;
            crate::crash::point("csi-staged");
        }
        let request = v1::NodePublishVolumeRequest {
            volume_id: detach.external_id.clone(),
            publish_context: wanted.publish_context.clone(),
            staging_target_path: text(&staged),
            target_path: text(&plugin.seen.join(target(detach))),
            volume_capability: Some(how),
            readonly: !detach.write,
            secrets: map(&wanted.volume.secrets),
            volume_context: map(&wanted.volume.context),
        };
        again(|| {
            let (mut client, request) = (calls::node(&plugin.channel), request.clone());
            async move { calls::within(calls::LONG, client.node_publish_volume(request)).await }
        })
        .await?;
        crate::crash::point("csi-published");
        let path = base(&self.root, &detach.plugin).join(target(detach));
        if !is_there(&path).await {
            // Its task would write to this node's disk, and lose it.
            return Err(other(
                "the plugin says that it mounted the volume, and nothing is mounted where it should be".to_owned(),
            ));
        }
        self.write(detach, Some(Entry { detach: detach.clone(), mounted: true })).await;
        Ok(path)
    }

    /// The directories that the plugin mounts on; of a device the plugin makes the file.
    async fn make_dirs(&self, detach: &Detach) -> Result<(), Failed> {
        let (root, plugin, mut at) = (self.root.clone(), detach.plugin.clone(), target(detach));
        if detach.how.attachment == AttachmentMode::BlockDevice {
            at.pop();
        }
        let staged = staging(detach);
        let make = move || {
            let base = Dir::trusted(&root)?.make_dirs(&Path::new("node").join(&plugin), Attr::mode(0o755))?;
            base.make_dirs(&staged, Attr::mode(0o755))?;
            base.make_dirs(&at, Attr::mode(0o755)).map(drop)
        };
        let made: Result<(), crate::ground::Error> = crate::blocking(make).await;
        made.map_err(|error| other(format!("making the directories of a volume: {}", crate::chain(&error))))
    }

    /// Has the plugin unmount what an allocation has of a volume. What is not mounted is no error.
    pub(crate) async fn unpublish(&self, plugins: &Plugins, detach: &Detach) -> Result<(), Failed> {
        names(detach)?;
        let turn = self.turn(detach);
        let _turn = turn.lock().await;
        let known = self.entries.lock().expect("no panic while held").iter().any(|entry| entry.is(detach));
        // Every mount is written down before it is made; but a plugin may have gone on with a call that nobody waited for any more.
        if !known && !is_there(&base(&self.root, &detach.plugin).join(target(detach))).await {
            return Ok(());
        }
        let plugin = plugins.find(&detach.plugin, Kind::mounts).ok_or_else(|| calls::absent(&detach.plugin))?;
        let request = v1::NodeUnpublishVolumeRequest {
            volume_id: detach.external_id.clone(),
            target_path: text(&plugin.seen.join(target(detach))),
        };
        gone(calls::within(calls::LONG, calls::node(&plugin.channel).node_unpublish_volume(request)).await)?;
        crate::crash::point("csi-unpublished");
        if is_there(&base(&self.root, &detach.plugin).join(target(detach))).await {
            return Err(other("the plugin says that it unmounted the volume, and it is still mounted".to_owned()));
        }
        let last = !self.shared(detach);
        if last && stages(&plugin) {
            let request = v1::NodeUnstageVolumeRequest {
                volume_id: detach.external_id.clone(),
                staging_target_path: text(&plugin.seen.join(staging(detach))),
            };
            gone(calls::within(calls::LONG, calls::node(&plugin.channel).node_unstage_volume(request)).await)?;
        }
        self.remove_dirs(detach, last).await;
        self.write(detach, None).await;
        Ok(())
    }

    /// Others of this node use what is staged.
    fn shared(&self, detach: &Detach) -> bool {
        let entries = self.entries.lock().expect("no panic while held");
        entries.iter().any(|entry| {
            !entry.is(detach) && entry.detach.plugin == detach.plugin && staging(&entry.detach) == staging(detach)
        })
    }

    /// Empty directories go. What holds something stays, mounted or not: it may be the volume.
    async fn remove_dirs(&self, detach: &Detach, last: bool) {
        let base = base(&self.root, &detach.plugin);
        let (target, staging) = (target(detach), staging(detach));
        crate::blocking(move || {
            let Ok(base) = Dir::trusted(&base) else { return };
            for path in [Some(target), last.then_some(staging)].into_iter().flatten() {
                // With the directories of the volume and of the allocation, where they are empty then.
                for at in path.ancestors().take(3) {
                    if base.remove_dir(at).is_err() {
                        break;
                    }
                }
            }
        })
        .await;
    }
}

/// A device is a file that is bound there, which is a mount as well.
async fn is_there(path: &Path) -> bool {
    let path = path.to_owned();
    crate::blocking(move || crate::ground::is_mount_point(&path)).await
}

fn stages(plugin: &super::Running) -> bool {
    plugin.info.node.as_ref().is_some_and(|node| node.stages)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A plugin that knows nothing of it has nothing of it.
fn gone<T>(answer: Result<T, Failed>) -> Result<(), Failed> {
    match answer {
        Err(failed) if failed.kind != FailedKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

/// Makes a call a few times, unless the plugin says that there is no use in it.
async fn again<T, F: Future<Output = Result<T, Failed>>>(mut call: impl FnMut() -> F) -> Result<T, Failed> {
    let mut wait = PAUSE;
    for _ in 1..TRIES {
        match call().await {
            Err(failed) if failed.kind != FailedKind::NotFound => {}
            done => return done,
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    call().await
}
