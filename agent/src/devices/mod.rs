//! Devices of the node: what there is, what a task needs to use what it was given, and figures of them.
//!
//! Who knows devices is a [`Source`]: the agent itself (`nvidia`), or a plugin (`external`). What a source does not tell any more stays
//! shown as it was, unhealthy, with the reason: its tasks go on, and nobody gets it anew.

mod external;
pub(crate) mod nvidia;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_api::Timestamp;
use tarpan_api::wire::{DeviceGroupStats, DeviceStats, StatObject, StatValue};
use tarpan_model::Node;
use tarpan_model::resources::{AllocatedDevice, NodeDeviceGroup};

pub(crate) use self::external::External;
pub(crate) use self::nvidia::Nvidia;
use crate::driver::{DeviceNode, Mount};

/// Kinds of devices of one source, instances of each, and attributes.
const MOST_GROUPS: usize = 64;
const MOST_INSTANCES: usize = 256;
const MOST_ATTRIBUTES: usize = 64;
/// Bytes of a name, an id, an attribute.
const LONGEST: usize = 128;
/// How long a source may take over figures.
const FIGURES: Duration = Duration::from_secs(5);

/// What a task gets with its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    pub nodes: Vec<DeviceNode>,
}

/// A figure of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    pub value: f64,
    /// 0: there is no whole.
    pub of: f64,
    pub unit: String,
    pub description: String,
}

/// Figures of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub vendor: String,
    pub type_: String,
    pub name: String,
    pub id: String,
    pub summary: Option<Figure>,
    pub all: BTreeMap<String, Figure>,
}

/// Somebody who knows devices. Errors are sentences.
pub(crate) trait Source: Send + Sync {
    fn name(&self) -> &str;
    fn look(&self) -> BoxFuture<'_, Result<Vec<NodeDeviceGroup>, String>>;
    /// What a task is given that gets these instances, all of them this source's.
    fn reserve(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Reservation, String>>;
    fn figures(&self) -> BoxFuture<'_, Result<Vec<Figures>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// All devices of a node.
#[derive(Default)]
pub(crate) struct Devices {
    sources: Vec<Known>,
}

struct Known {
    source: Arc<dyn Source>,
    groups: Mutex<Vec<NodeDeviceGroup>>,
}

impl Devices {
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Devices {
        let known = |source| Known { source, groups: Mutex::default() };
        Devices { sources: sources.into_iter().map(known).collect() }
    }

    /// Has all sources look; whether the node changed by it.
    pub async fn look(&self, node: &mut Node, patience: Duration) -> bool {
        let one = |known: &'_ Known| {
            let source = known.source.clone();
            async move {
                let found = tokio::time::timeout(patience, source.look()).await;
                found.unwrap_or_else(|_| Err("it does not answer".to_owned()))
            }
        };
        let all = futures::future::join_all(self.sources.iter().map(one)).await;
        let mut devices = Vec::new();
        for (known, found) in self.sources.iter().zip(all) {
            let mut groups = known.groups.lock().expect("no panic while held");
            match found {
                Ok(found) => *groups = sane(found, known.source.name()),
                Err(why) => silent(&mut groups, &why),
            }
            devices.extend(groups.iter().cloned());
        }
        let changed = node.resources.devices != devices;
        node.resources.devices = devices;
        changed
    }

    /// What a task is given with its devices. The error is a sentence for its events.
    pub async fn reserve(&self, given: &[AllocatedDevice]) -> Result<Reservation, String> {
        let mut wanted: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for device in given {
            let kind = format!("{}/{}/{}", device.vendor, device.type_, device.name);
            let at = self.sources.iter().position(|known| known.has(device));
            let at =
                at.ok_or_else(|| format!("devices: this node has no {kind} any more, which the task was given"))?;
            wanted.entry(at).or_default().extend(device.ids.iter().cloned());
        }
        let mut all = Reservation::default();
        for (at, ids) in wanted {
            let source = &self.sources[at].source;
            let given = source.reserve(ids).await.map_err(|why| format!("devices of {}: {why}", source.name()))?;
            all.env.extend(given.env);
            all.mounts.extend(given.mounts);
            for node in given.nodes {
                check(&node).map_err(|why| format!("devices of {}: {why}", source.name()))?;
                if !all.nodes.contains(&node) {
                    all.nodes.push(node);
                }
            }
        }
        Ok(all)
    }

    /// Figures of all instances, by kind, as `/v1` shows them.
    pub async fn stats(&self) -> Vec<DeviceGroupStats> {
        let one = |known: &'_ Known| {
            let source = known.source.clone();
            async move { tokio::time::timeout(FIGURES, source.figures()).await }
        };
        let all = futures::future::join_all(self.sources.iter().map(one)).await;
        let mut groups: BTreeMap<(String, String, String), DeviceGroupStats> = BTreeMap::new();
        for figures in all.into_iter().flatten().flatten().flatten() {
            let key = (figures.vendor.clone(), figures.type_.clone(), figures.name.clone());
            let group = groups.entry(key).or_insert_with(|| DeviceGroupStats {
                vendor: figures.vendor.clone(),
                type_: figures.type_.clone(),
                name: figures.name.clone(),
                instance_stats: BTreeMap::new(),
            });
            group.instance_stats.insert(figures.id.clone(), stats(figures));
        }
        groups.into_values().collect()
    }
}

/// Those of `all` that were given.
pub(crate) fn of_task(all: &[DeviceGroupStats], given: &[AllocatedDevice]) -> Vec<DeviceGroupStats> {
    let one = |device: &AllocatedDevice| {
        let same =
            |g: &&DeviceGroupStats| g.vendor == device.vendor && g.type_ == device.type_ && g.name == device.name;
        let group = all.iter().find(same)?;
        let own = group.instance_stats.iter().filter(|(id, _)| device.ids.contains(id));
        Some(DeviceGroupStats { instance_stats: own.map(|(id, s)| (id.clone(), s.clone())).collect(), ..group.clone() })
    };
    given.iter().filter_map(one).collect()
}

fn stats(figures: Figures) -> DeviceStats {
    let attributes = figures.all.into_iter().map(|(name, figure)| (name, value(figure))).collect();
    DeviceStats {
        summary: figures.summary.map(value),
        stats: Some(StatObject { nested: BTreeMap::new(), attributes }),
        timestamp: Timestamp(crate::wall()),
    }
}

fn value(figure: Figure) -> StatValue {
    StatValue {
        float_numerator: Some(figure.value),
        float_denominator: Some(figure.of).filter(|of| *of != 0.0),
        unit: figure.unit,
        desc: figure.description,
        ..StatValue::default()
    }
}

impl Known {
    fn has(&self, device: &AllocatedDevice) -> bool {
        let groups = self.groups.lock().expect("no panic while held");
        groups.iter().any(|group| {
            let kind = group.vendor == device.vendor && group.type_ == device.type_ && group.name == device.name;
            kind && device.ids.iter().all(|id| group.instances.iter().any(|instance| instance.id == *id))
        })
    }
}

/// What a source says, without what can't be: it becomes part of names that people and schedulers compare.
fn sane(found: Vec<NodeDeviceGroup>, source: &str) -> Vec<NodeDeviceGroup> {
    let plain = |text: &str| !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    let mut groups: Vec<NodeDeviceGroup> = Vec::new();
    for mut group in found {
        let named = plain(&group.vendor) && plain(&group.type_) && plain(&group.name);
        let twice = groups.iter().any(|g| (&g.vendor, &g.type_, &g.name) == (&group.vendor, &group.type_, &group.name));
        if !named || group.vendor.contains('/') || group.type_.contains('/') || twice || groups.len() == MOST_GROUPS {
            tracing::debug!(
                source,
                "a kind of devices is passed over: {:?}/{:?}/{:?}",
                group.vendor,
                group.type_,
                group.name
            );
            continue;
        }
        group.instances.retain(|instance| plain(&instance.id));
        group.instances.sort_by(|a, b| a.id.cmp(&b.id));
        group.instances.dedup_by(|a, b| a.id == b.id);
        group.instances.truncate(MOST_INSTANCES);
        group.attributes.retain(|key, value| plain(key) && plain(value));
        while group.attributes.len() > MOST_ATTRIBUTES {
            group.attributes.pop_last();
        }
        groups.push(group);
    }
    groups
}

/// Of a source that says nothing: what was there may be, and can't be counted on.
fn silent(groups: &mut [NodeDeviceGroup], why: &str) {
    for instance in groups.iter_mut().flat_map(|group| &mut group.instances) {
        instance.healthy = false;
        instance.health_description = why.to_owned();
    }
}

/// Device files lie in `/dev`, on both sides, by plain names.
fn check(node: &DeviceNode) -> Result<(), String> {
    let inside = |path: &std::path::Path| {
        let plain = |c| matches!(c, std::path::Component::Normal(_));
        path.strip_prefix("/dev").is_ok_and(|rest| rest.components().count() > 0 && rest.components().all(plain))
    };
    match (inside(&node.source) && inside(&node.target), node.permissions.chars().all(|c| "rwm".contains(c))) {
        (false, _) => Err(format!("{} as {} is no file below /dev", node.source.display(), node.target.display())),
        (_, false) => Err(format!("permissions {:?} are none of r, w and m", node.permissions)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
