//! One raft entry as one line of JSON.

use bytes::Bytes;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use tarpan_api::convert;
use tarpan_state::event::Change;
use tarpan_state::{Event, State, Topic};

use super::topics::{Named, Wanted};
use crate::http::csi::shown as csi;

/// What a line says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// What changed, and the object itself.
    Objects,
    /// What changed: topic, key, and the keys of what it belongs to, its node and evaluation among them. For readers that read again what they show.
    Names,
}

/// The wanted events of an entry; `None` when there are none. `state` is asked for what rows do not say: who signs for them.
pub fn of(index: u64, events: &[Event], wanted: &Wanted, state: &State, says: Says) -> Option<Bytes> {
    let shown: Vec<(Named, &Event)> = events
        .iter()
        .filter(|event| is_shown(&event.change))
        .map(|event| (Named::of(event), event))
        .filter(|(named, _)| wanted.has(named))
        .collect();
    if shown.is_empty() {
        return None;
    }
    let line = Line { index, events: &shown, state, says };
    match serde_json::to_vec(&line) {
        Ok(line) => Some(line.into()),
        Err(why) => {
            tracing::error!(%why, index, "writing events as JSON");
            None
        }
    }
}

/// A row that is gone is shown as none, a service as it was; of other rows nobody hears that they are.
fn is_shown(change: &Change) -> bool {
    match change {
        Change::Evaluation { gone, .. } | Change::Allocation { gone, .. } | Change::Deployment { gone, .. } => !gone,
        Change::Job { .. }
        | Change::Node { .. }
        | Change::Service { .. }
        | Change::HostVolume { .. }
        | Change::CSIVolume { .. }
        | Change::CSIPlugin { .. } => true,
    }
}

struct Line<'a> {
    index: u64,
    events: &'a [(Named, &'a Event)],
    state: &'a State,
    says: Says,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("Index", &self.index)?;
        map.serialize_entry("Events", &List(self))?;
        map.end()
    }
}

struct List<'a>(&'a Line<'a>);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Line { index, events, state, says } = *self.0;
        let mut seq = s.serialize_seq(Some(events.len()))?;
        for (named, event) in events {
            match says {
                Says::Objects => seq.serialize_element(&One { index, named, event, state })?,
                Says::Names => seq.serialize_element(&Name { named, event })?,
            }
        }
        seq.end()
    }
}

struct One<'a> {
    index: u64,
    named: &'a Named,
    event: &'a Event,
    state: &'a State,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let named = self.named;
        let mut map = s.serialize_map(Some(7))?;
        map.serialize_entry("Topic", named.topic.name())?;
        map.serialize_entry("Type", self.event.kind)?;
        map.serialize_entry("Key", &named.key)?;
        map.serialize_entry("Namespace", &named.namespace)?;
        let keys = Some(&named.filter_keys).filter(|keys| !keys.is_empty());
        map.serialize_entry("FilterKeys", &keys)?;
        map.serialize_entry("Index", &self.index)?;
        map.serialize_entry("Payload", &Payload(&self.event.change, self.state))?;
        map.end()
    }
}

/// An event without its object.
struct Name<'a> {
    named: &'a Named,
    event: &'a Event,
}

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let more = match &self.event.change {
            Change::Allocation { row, .. } => vec![row.node_id.to_string(), row.eval_id.to_string()],
            Change::HostVolume { row, .. } => vec![row.node_id.to_string()],
            _ => Vec::new(),
        };
        let keys: Vec<&String> = self.named.filter_keys.iter().chain(&more).filter(|key| !key.is_empty()).collect();
        let mut map = s.serialize_map(Some(3))?;
        map.serialize_entry("Topic", self.named.topic.name())?;
        map.serialize_entry("Key", &self.named.key)?;
        map.serialize_entry("FilterKeys", &keys)?;
        map.end()
    }
}

struct Payload<'a>(&'a Change, &'a State);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(1))?;
        // The row stands under the name of its topic, but for volumes and plugins.
        let name = match self.0.topic() {
            Topic::CSIVolume | Topic::HostVolume => "Volume",
            Topic::CSIPlugin => "Plugin",
            topic => topic.name(),
        };
        match self.0 {
            Change::Job { row, gone } => map.serialize_entry(name, &(!gone).then(|| row.stored()))?,
            Change::Evaluation { row, .. } => map.serialize_entry(name, &convert::evaluation(row))?,
            Change::Allocation { row, .. } => {
                let key = self.1.signing_key(row.create_index).map(|key| key.id);
                map.serialize_entry(name, &convert::allocation(row, false).signed_by(key))?;
            }
            Change::Deployment { row, .. } => map.serialize_entry(name, &convert::deployment(row))?,
            Change::Node { row, gone } => map.serialize_entry(name, &(!gone).then(|| convert::node(row)))?,
            Change::Service { row, .. } => map.serialize_entry(name, row)?,
            Change::CSIVolume { row, .. } => map.serialize_entry(name, &csi::volume(self.1, row))?,
            Change::CSIPlugin { row, .. } => map.serialize_entry(name, &csi::plugin_stub(self.1, row))?,
            Change::HostVolume { row, .. } => map.serialize_entry(name, &convert::host_volume(row))?,
        }
        map.end()
    }
}
