//! What people ask of volumes: to register one, to change it, to forget it.

use tarpan_model::csi::CsiVolume;
use tarpan_model::{Namespace, UnixNanos};
use tarpan_state::{Command, State};

use super::{CsiError, guard, id, put};

/// What is wrong with a volume as it was asked for, all in one sentence.
fn validate(volume: &CsiVolume) -> Result<(), CsiError> {
    let mut wrong: Vec<String> = Vec::new();
    if volume.id.is_empty() {
        wrong.push("missing volume id".to_owned());
    } else if let Err(text) = id("volume id", &volume.id) {
        wrong.push(text);
    }
    if volume.plugin.is_empty() {
        wrong.push("missing plugin id".to_owned());
    } else if let Err(text) = id("plugin id", &volume.plugin) {
        wrong.push(text);
    }
    if volume.capabilities.is_empty() {
        wrong.push("must include at least one capability block".to_owned());
    }
    if !volume.clone_id.is_empty() && !volume.snapshot_id.is_empty() {
        wrong.push("only one of clone_id and snapshot_id can be given".to_owned());
    }
    let (least, most) = (volume.requested_capacity_min, volume.requested_capacity_max);
    if least < 0 || most < 0 || (most > 0 && least > most) {
        wrong.push(format!("capacity_min {least} and capacity_max {most} leave no size between them"));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(CsiError::Refused(format!("validation: {}", wrong.join(", ")))),
    }
}

/// The volume as it would be: a new one, or a known one with what may be changed of it.
///
/// What the plugin has made stays as it is: size, ids and contents of a known volume are not changed here.
pub fn wished(state: &State, wish: CsiVolume) -> Result<CsiVolume, CsiError> {
    validate(&wish)?;
    if state.csi_plugin(&wish.plugin).is_none() {
        return Err(CsiError::NoPlugin(wish.plugin.to_string()));
    }
    match state.csi_volume(&wish.namespace, &wish.id) {
        None => Ok(CsiVolume { claims: Default::default(), ..wish }),
        Some(old) => merged(old, wish),
    }
}

fn merged(old: &CsiVolume, wish: CsiVolume) -> Result<CsiVolume, CsiError> {
    for (what, old, new) in [
        ("name", &*old.name, &*wish.name),
        ("external ID", &*old.external_id, &*wish.external_id),
        ("clone ID", &*old.clone_id, &*wish.clone_id),
        ("snapshot ID", &*old.snapshot_id, &*wish.snapshot_id),
        ("plugin ID", &*old.plugin, &*wish.plugin),
    ] {
        if !new.is_empty() && new != old {
            return Err(CsiError::Refused(format!("volume {what} can't be changed: it is {old:?}")));
        }
    }
    if let Some(how) = old.claims.values().map(|c| c.how).find(|how| !wish.capabilities.contains(how)) {
        let text = format!(
            "the capability access_mode {:?}, attachment_mode {:?} is in use by an allocation and can't be taken away",
            how.access.as_str(),
            how.attachment.as_str()
        );
        return Err(CsiError::Refused(text));
    }
    if wish.requested_capacity_min > old.capacity.max(old.requested_capacity_max) && old.capacity > 0 {
        let text = format!(
            "capacity_min {} is more than the volume's {} bytes: volumes can't be made larger yet",
            wish.requested_capacity_min, old.capacity
        );
        return Err(CsiError::Refused(text));
    }
    let mut row = old.clone();
    row.capabilities = wish.capabilities;
    row.mount_options = wish.mount_options;
    row.secrets = wish.secrets;
    if !wish.parameters.is_empty() {
        row.parameters = wish.parameters;
    }
    if !wish.context.is_empty() {
        row.context = wish.context;
    }
    if wish.requested_topologies.is_some() && old.topologies.is_empty() {
        row.requested_topologies = wish.requested_topologies;
    }
    Ok(row)
}

/// Writes a volume that [`wished`] gave on this very state.
pub fn register(state: &State, volume: CsiVolume, now: UnixNanos) -> Command {
    put(state, volume, false, now)
}

/// Forgets a volume. `force`: also one whose claims are not given back yet, where all their allocations have ended.
pub fn deregister(state: &State, namespace: &Namespace, id: &str, force: bool) -> Result<Command, CsiError> {
    let volume = state.csi_volume(namespace, id).ok_or(CsiError::NotFound)?;
    let runs = |alloc: &tarpan_model::AllocId| state.alloc(*alloc).is_some_and(|row| !row.terminal());
    let claimed = if force { volume.claims.keys().any(runs) } else { !volume.claims.is_empty() };
    if claimed {
        return Err(CsiError::Refused(format!("volume in use: {id}")));
    }
    let command = Command::DeleteCsiVolume { namespace: namespace.clone(), id: volume.id.clone() };
    Ok(command.guarded(vec![guard(state, &volume.key())]))
}
