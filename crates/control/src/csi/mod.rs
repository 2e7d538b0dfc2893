//! CSI volumes: what is asked for them, who may claim them, and how claims are given back.
//!
//! A claim belongs to an allocation. It ends when its allocation does, and [`release`] is the one place that says what is left to
//! be done until it is forgotten; the leader does it, step by step, each written down.
//! Source: `reference/semantics.md` §15.1.

pub mod claim;
pub mod register;
pub mod release;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tarpan_model::csi::{CsiVolume, CsiVolumeKey};
use tarpan_model::{UnixNanos, name};
use tarpan_state::{Command, Guard, State};

/// Why a wish about a volume is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsiError {
    #[error("volume not found")]
    NotFound,
    #[error("plugin not found: {0}")]
    NoPlugin(String),
    #[error("{0}")]
    Refused(String),
}

/// Writes the volume, unless somebody else wrote it since.
pub(crate) fn put(state: &State, volume: CsiVolume, claims: bool, now: UnixNanos) -> Command {
    let guard = guard(state, &volume.key());
    Command::PutCsiVolume { volume: Box::new(volume), claims, now }.guarded(vec![guard])
}

pub(crate) fn guard(state: &State, (namespace, id): &CsiVolumeKey) -> Guard {
    let modify_index = state.csi_volume(namespace, id).map(|row| row.modify_index);
    Guard::CsiVolume { namespace: namespace.clone(), id: id.clone(), modify_index }
}

/// The longest id of a volume or a plugin.
const MAX_ID: usize = 255;

/// It becomes parts of paths on nodes, and of addresses of pages.
fn id(what: &str, id: &str) -> Result<(), String> {
    name::text(id, MAX_ID).map_err(|wrong| format!("{what} {} {wrong}", name::quoted(id)))?;
    match id.contains('/') || matches!(id, "." | "..") {
        true => Err(format!("{what} {} can't be a part of a path", name::quoted(id))),
        false => Ok(()),
    }
}

/// Plugins of which no node and no job tells any more, `before` and since.
pub fn unused_plugins(state: &State, before: UnixNanos) -> Option<Command> {
    let wanted: std::collections::BTreeSet<&str> = state.csi_plugin_groups().map(|(id, ..)| id).collect();
    let unused = state.csi_plugins().filter(|row| {
        row.nodes.is_empty()
            && row.controllers.is_empty()
            && row.modify_time <= before
            && !wanted.contains(&*row.id)
            && !state.csi_volumes().any(|volume| volume.plugin == row.id)
    });
    let ids: Vec<Arc<str>> = unused.map(|row| row.id.clone()).collect();
    (!ids.is_empty()).then(|| Command::DeleteCsiPlugins { ids, seen: state.index() })
}
