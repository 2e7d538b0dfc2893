//! Dynamic host volumes of this node: made, kept over restarts, and deleted, as servers ask.
//!
//! What is about to be made or deleted is on disk before it happens, so that an agent which died in between goes on with it at its
//! next start ([`HostVolumes::settle`]). What is there the node reports by name and id; servers take that for the volume's state.
//! [`mkdir`] is the plugin that every node has, [`plugin`] those of the operator.

mod mkdir;
mod plugin;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarpan_model::node::HostVolume as OnNode;
use tarpan_model::volume::HostVolume;
use tarpan_model::{Node, SortedMap, VolumeId, name};
use tarpan_rpc::HostVolumeAnswer as Answer;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::plugin::{Listing, Made, Place};
use crate::options::Options;
use crate::store::Store;

/// Volumes of one node.
const MOST: usize = 10_000;
/// Plugins that run at the same time.
const AT_ONCE: usize = 8;
/// How often the directory of plugins is looked at, and what could not be settled is tried again.
const LOOK: Duration = Duration::from_secs(10);
/// After which time one that did not say what it is is asked again.
const AGAIN: Duration = Duration::from_secs(30);
/// How long the first look may take before the node registers without what is slow.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// Where the volumes stand in the agent's store.
const KEPT: &str = "host_volumes";
/// How the node says which plugins it has: `plugins.host_volume.NAME.version`.
const ATTRIBUTE: &str = "plugins.host_volume.";

/// A look at the directory of plugins.
struct Look {
    listing: Listing,
    /// Each of them said what it is.
    complete: bool,
    at: Instant,
}

impl Look {
    fn holds(&self, listing: &Listing) -> bool {
        self.listing == *listing && (self.complete || self.at.elapsed() < AGAIN)
    }
}

/// A volume as the agent remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    volume: HostVolume,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Its plugin was asked, or is about to be.
    Making,
    /// It is there.
    Made,
    /// Its plugin was asked to delete it, or is about to be.
    Deleting,
}

/// The dynamic host volumes of a node.
pub struct HostVolumes {
    place: Place,
    /// Names that the configuration has taken.
    fixed: BTreeMap<String, OnNode>,
    store: Store,
    held: Mutex<Held>,
    slots: Semaphore,
}

#[derive(Default)]
struct Held {
    records: BTreeMap<VolumeId, Record>,
    /// Something is done to these right now.
    busy: BTreeSet<VolumeId>,
    /// These are there: seen by this agent.
    there: BTreeSet<VolumeId>,
    plugins: BTreeMap<String, String>,
}

/// A volume that something is done to, until this is dropped.
struct Busy<'a> {
    volumes: &'a HostVolumes,
    id: VolumeId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.volumes.lock().busy.remove(&self.id);
    }
}

impl HostVolumes {
    /// Reads what an earlier agent wrote; nothing is looked at yet. The directory of volumes is made where it is missing; the
    /// error is that of making it.
    #[allow(clippy::disallowed_methods, reason = "the agent's own directories, which no task names")]
    pub fn open(options: &Options, store: Store) -> std::io::Result<HostVolumes> {
        let (volumes, plugins) = (options.host_volumes_dir(), options.host_volume_plugin_dir());
        std::fs::create_dir_all(&volumes)?;
        let volumes = volumes.canonicalize()?;
        let plugins = plugins.canonicalize().unwrap_or(plugins);
        let records: Vec<Record> = store.kept(KEPT).unwrap_or_default();
        let records = records.into_iter().map(|record| (record.volume.id, record)).collect();
        Ok(HostVolumes {
            place: Place { volumes, plugins, patience: options.host_volume_patience },
            fixed: options.host_volumes.clone(),
            store,
            held: Mutex::new(Held { records, ..Held::default() }),
            slots: Semaphore::new(AT_ONCE),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("no panic while held")
    }

    /// Says in the node which plugins and volumes there are; whether that is other than before.
    pub fn describe(&self, node: &mut Node) -> bool {
        let held = self.lock();
        let mut attributes = node.attributes.clone();
        attributes.retain(|key, _| !key.starts_with(ATTRIBUTE));
        let own = std::iter::once((mkdir::NAME, mkdir::VERSION));
        for (plugin, version) in held.plugins.iter().map(|(k, v)| (k.as_str(), v.as_str())).chain(own) {
            attributes.insert(Arc::from(format!("{ATTRIBUTE}{plugin}.version")), Arc::from(version));
        }
        let fixed = self.fixed.iter().map(|(name, volume)| (Arc::from(name.as_str()), volume.clone()));
        let made = held.there.iter().filter_map(|id| held.records.get(id)).map(|record| {
            let volume = &record.volume;
            let id = volume.id.to_string();
            (volume.name.clone(), OnNode { path: volume.host_path.clone(), read_only: false, id })
        });
        // The configuration comes last: its names are its own.
        let mut host_volumes = SortedMap::new();
        for (name, volume) in made.chain(fixed) {
            host_volumes.insert(name, volume);
        }
        let changed = attributes != node.attributes || host_volumes != node.host_volumes;
        node.attributes = attributes;
        node.host_volumes = host_volumes;
        changed
    }

    /// Writes down what there is; it is on disk when this returns.
    async fn keep(&self) {
        let records: Vec<Record> = self.lock().records.values().cloned().collect();
        self.store.keep(KEPT, &records);
        self.store.flush().await;
    }

    /// Nobody else does something to the volume, or to one of its name. The error is a sentence.
    fn begin(&self, volume: &HostVolume) -> Result<Busy<'_>, String> {
        let id = volume.id;
        name::part(&volume.name).map_err(|why| format!("volume name {} {why}", name::quoted(&volume.name)))?;
        let mut held = self.lock();
        if let Some(other) = held.records.values().find(|r| r.volume.name == volume.name && r.volume.id != id) {
            return Err(format!("volume {} of this node has the name {:?} already", other.volume.id, volume.name));
        }
        if self.fixed.contains_key(&*volume.name) {
            return Err(format!("the configuration of this node has a host_volume {:?} already", volume.name));
        }
        if held.records.len() >= MOST && !held.records.contains_key(&id) {
            return Err(format!("this node has {MOST} volumes, and no room for more"));
        }
        if !held.busy.insert(id) {
            return Err(format!("something is done to volume {id} already: try again when that is over"));
        }
        Ok(Busy { volumes: self, id })
    }

    /// Makes a volume, or changes one that is there. What is half made of a new one is deleted again.
    pub async fn create(&self, volume: HostVolume) -> Answer {
        let busy = match self.begin(&volume) {
            Ok(busy) => busy,
            Err(why) => return Answer::Failed(why),
        };
        let before = self.lock().records.get(&volume.id).cloned();
        self.write(Record { volume: volume.clone(), stage: Stage::Making }).await;
        crate::crash::point("host volume to be made");
        let made = self.make(&volume).await;
        crate::crash::point("host volume made");
        let answer = match made {
            Ok(made) => {
                let path = made.path.to_string_lossy().into_owned();
                let volume = HostVolume { host_path: path.clone(), capacity_bytes: made.bytes, ..volume };
                self.there(volume).await;
                Answer::Made { path, bytes: made.bytes }
            }
            Err(why) => {
                self.take_back(volume, before).await;
                Answer::Failed(why)
            }
        };
        drop(busy);
        answer
    }

    /// It could not be made or changed: one that was there stays, of a new one nothing does.
    async fn take_back(&self, volume: HostVolume, before: Option<Record>) {
        let id = volume.id;
        match before {
            Some(before) if before.stage == Stage::Made => self.write(before).await,
            _ => {
                if let Err(error) = self.unmake(&volume).await {
                    tracing::warn!(volume = %id, "something may be left of a volume that could not be made: {error}");
                }
                self.forget(id).await;
            }
        }
    }

    /// Takes in a directory that an operator made.
    pub async fn register(&self, volume: HostVolume) -> Answer {
        let busy = match self.begin(&volume) {
            Ok(busy) => busy,
            Err(why) => return Answer::Failed(why),
        };
        let path = PathBuf::from(&volume.host_path);
        let looked = crate::blocking(move || plugin::usable(&path)).await;
        if let Err(why) = looked {
            return Answer::Failed(format!("{} can't be a volume: {why}", name::quoted(&volume.host_path)));
        }
        let (path, bytes) = (volume.host_path.clone(), volume.capacity_bytes);
        self.there(volume).await;
        drop(busy);
        Answer::Made { path, bytes }
    }

    /// Deletes a volume with all that is in it; one that was registered is only forgotten. What this node does not know is handed
    /// to the plugin nevertheless: its state may be lost, and deleting bears finding nothing.
    pub async fn delete(&self, volume: HostVolume) -> Answer {
        let busy = match self.begin(&volume) {
            Ok(busy) => busy,
            Err(why) => return Answer::Failed(why),
        };
        let before = self.lock().records.get(&volume.id).cloned();
        if volume.registered {
            self.forget(volume.id).await;
            drop(busy);
            return Answer::Deleted;
        }
        self.write(Record { volume: volume.clone(), stage: Stage::Deleting }).await;
        crate::crash::point("host volume to be deleted");
        let deleted = self.unmake(&volume).await;
        crate::crash::point("host volume deleted");
        let answer = match deleted {
            Ok(()) => {
                self.forget(volume.id).await;
                Answer::Deleted
            }
            Err(why) => {
                if let Some(before) = before.filter(|before| before.stage == Stage::Made) {
                    self.there(before.volume).await;
                }
                Answer::Failed(why)
            }
        };
        drop(busy);
        answer
    }

    /// Writes a record whose volume is not, or not yet, to be used.
    async fn write(&self, record: Record) {
        {
            let mut held = self.lock();
            let id = record.volume.id;
            if record.stage == Stage::Deleting {
                held.there.remove(&id);
            }
            held.records.insert(id, record);
        }
        self.keep().await;
    }

    async fn there(&self, volume: HostVolume) {
        {
            let mut held = self.lock();
            held.there.insert(volume.id);
            held.records.insert(volume.id, Record { volume, stage: Stage::Made });
        }
        self.keep().await;
    }

    async fn forget(&self, id: VolumeId) {
        {
            let mut held = self.lock();
            held.there.remove(&id);
            held.records.remove(&id);
        }
        self.keep().await;
    }

    async fn make(&self, volume: &HostVolume) -> Result<Made, String> {
        let (place, volume) = (self.place.clone(), volume.clone());
        self.run(move || match &*volume.plugin_id {
            _ if volume.registered => {
                let path = PathBuf::from(&volume.host_path);
                plugin::usable(&path).map(|()| Made { path, bytes: volume.capacity_bytes })
            }
            mkdir::NAME => {
                let path = mkdir::create(&place.volumes, volume.id, &volume.parameters);
                path.map(|path| Made { path, bytes: 0 })
            }
            _ => plugin::create(&place, &volume),
        })
        .await
    }

    async fn unmake(&self, volume: &HostVolume) -> Result<(), String> {
        let (place, volume) = (self.place.clone(), volume.clone());
        self.run(move || match &*volume.plugin_id {
            mkdir::NAME => mkdir::delete(&place.volumes, volume.id),
            _ => plugin::delete(&place, &volume),
        })
        .await
    }

    /// Where it may wait, and a bounded number at a time.
    async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        let _slot = self.slots.acquire().await;
        crate::blocking(call).await
    }

    /// Goes on with what an earlier agent began, and has each plugin make again what it made: a machine that started anew has its
    /// directories, and not what was mounted there. What fails is tried again by the next call.
    async fn settle(&self) {
        let open: Vec<Record> = {
            let held = self.lock();
            held.records.values().filter(|record| !held.there.contains(&record.volume.id)).cloned().collect()
        };
        let all = open.into_iter().map(|record| self.settle_one(record));
        futures::future::join_all(all).await;
    }

    async fn settle_one(&self, record: Record) {
        let Record { volume, stage } = record;
        let id = volume.id;
        let Ok(_busy) = self.begin(&volume) else { return };
        // It may be settled, or gone, since it was looked at.
        let as_before =
            |held: &Held| held.records.get(&id).is_some_and(|r| r.stage == stage) && !held.there.contains(&id);
        if !as_before(&self.lock()) {
            return;
        }
        let outcome = match stage {
            Stage::Deleting => match self.unmake(&volume).await {
                Ok(()) => {
                    self.forget(id).await;
                    Ok(())
                }
                Err(why) => Err(why),
            },
            Stage::Making | Stage::Made => match self.make(&volume).await {
                Ok(made) => {
                    let host_path = made.path.to_string_lossy().into_owned();
                    self.there(HostVolume { host_path, capacity_bytes: made.bytes, ..volume }).await;
                    Ok(())
                }
                Err(why) => Err(why),
            },
        };
        if let Err(why) = outcome {
            tracing::warn!(volume = %id, "a host volume is not there: {why}");
        }
    }

    /// Asks plugins what they are, where the directory changed since `before`, or one of them did not say it for some time.
    async fn look(&self, before: &mut Option<Look>) {
        let place = self.place.clone();
        let listing = crate::blocking(move || plugin::list(&place.plugins)).await;
        if before.as_ref().is_some_and(|before| before.holds(&listing)) {
            return;
        }
        let (place, asked) = (self.place.clone(), listing.clone());
        let found = self.run(move || plugin::versions(&place, &asked)).await;
        *before = Some(Look { complete: found.len() == listing.len(), listing, at: Instant::now() });
        self.lock().plugins = found;
    }

    /// Before the node registers: what is quick is known then.
    pub async fn first_look(self: &Arc<Self>) {
        let volumes = self.clone();
        // What is begun comes to its end, whoever waits for it.
        let all = tokio::spawn(async move {
            volumes.look(&mut None).await;
            volumes.settle().await;
        });
        let _ = tokio::time::timeout(FIRST_LOOK, all).await;
    }

    /// Keeps looking until the agent ends; `tell` is called after each look.
    pub async fn watch(self: Arc<Self>, tell: impl Fn() + Send, mut stopped: watch::Receiver<bool>) {
        let mut listing = None;
        loop {
            self.look(&mut listing).await;
            self.settle().await;
            tell();
            tokio::select! {
                _ = stopped.wait_for(|s| *s) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}
