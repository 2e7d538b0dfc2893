//! What is asked for dynamic host volumes, turned into commands: which node makes one, what may be changed, what may be deleted.
//!
//! Making and deleting take a node, which may fail or never answer: state knows of it before the node is asked. [`create`] and
//! [`delete`] give the first command, [`made`], [`not_made`], [`deleted`] and [`kept`] the one after the node's answer. The state
//! that a volume shows follows from what its node reports (`HostVolume::state_on`).
//! Source: `reference/semantics.md` §15.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tarpan_model::ids::{ClaimId, IdSource, Namespace, VolumeId};
use tarpan_model::job::Constraint;
use tarpan_model::name::{self, MAX_PATH, quoted};
use tarpan_model::volume::{AccessMode, Capability, HostVolume, HostVolumeState};
use tarpan_model::{EvalId, Evaluation, Node, NodeId, NodeStatus, Trigger, UnixNanos};
use tarpan_scheduler::constraint::Constraint as Compiled;
use tarpan_state::guard::Guard;
use tarpan_state::{Command, State};

use crate::places;

/// The plugin of who names none: the field's word, which a client has only where somebody put a plugin of that name there.
const DEFAULT_PLUGIN: &str = "default";
/// Rules of one volume.
const MAX_CONSTRAINTS: usize = 64;
/// Bytes of all parameters: they become one variable of a process's environment.
const MAX_PARAMETERS: usize = 32 << 10;

/// Why something is not done for a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    #[error("volume not found")]
    NotFound,
    #[error("task group host volume claim not found")]
    NoClaim,
    /// The request asks for what can't be, whatever the state.
    #[error("{0}")]
    Asked(String),
    /// The cluster as it is does not allow it.
    #[error("{0}")]
    Refused(String),
}

/// A volume as somebody wants it. Empty texts: nothing was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Of the volume that is to be changed.
    pub id: Option<VolumeId>,
    pub namespace: String,
    pub name: String,
    pub plugin_id: String,
    pub node_pool: String,
    pub node_id: Option<NodeId>,
    pub constraints: Vec<Constraint>,
    pub capacity_min_bytes: u64,
    pub capacity_max_bytes: u64,
    /// What a registered one has.
    pub capacity_bytes: u64,
    pub capabilities: Vec<Capability>,
    pub parameters: BTreeMap<String, String>,
    pub host_path: String,
}

/// A volume on its way, and the command to begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// With its node: this is what the node is told.
    pub volume: HostVolume,
    pub command: Command,
}

/// A new volume on a node that can make it, or a change of one that nobody uses.
pub fn create(state: &State, wanted: Wanted, now: UnixNanos, ids: &mut dyn IdSource) -> Result<Begun, VolumeError> {
    check(state, &wanted)?;
    if let Some(id) = wanted.id {
        return change(state, id, wanted, now);
    }
    if !wanted.host_path.is_empty() {
        let text = "host_path is for volumes that are registered: where a plugin makes one, it says the path";
        return Err(VolumeError::Asked(text.to_owned()));
    }
    let plugin = some_or(&wanted.plugin_id, DEFAULT_PLUGIN).to_owned();
    let node = place(state, &wanted, &plugin)?;
    Ok(begun(new(wanted, plugin, node, false, ids), 0, now))
}

/// Takes in a directory that somebody made on a node.
pub fn register(state: &State, wanted: Wanted, now: UnixNanos, ids: &mut dyn IdSource) -> Result<Begun, VolumeError> {
    check(state, &wanted)?;
    let known = wanted.id.and_then(|id| state.host_volume(id));
    let node = wanted.node_id.or(known.map(|volume| volume.node_id));
    let path =
        if wanted.host_path.is_empty() { known.map(|v| v.host_path.clone()) } else { Some(wanted.host_path.clone()) };
    let (Some(node), Some(path)) = (node, path) else {
        let text = "a volume is registered where it is: node_id and host_path are needed";
        return Err(VolumeError::Asked(text.to_owned()));
    };
    if !path.starts_with('/') || path.len() > MAX_PATH || path.contains('\0') {
        return Err(VolumeError::Asked(format!("host_path is an absolute path, not {}", quoted(&path))));
    }
    if let Some(known) = known {
        if !known.registered {
            let text = format!("volume {} was made by plugin {}: create changes it", known.id, known.plugin_id);
            return Err(VolumeError::Asked(text));
        }
        let wanted = Wanted { host_path: path, ..wanted };
        return change(state, known.id, wanted, now);
    }
    let Some(node) = state.node(node) else {
        return Err(VolumeError::Refused(format!("node {node} does not exist")));
    };
    in_pool(&wanted, node)?;
    if name_taken(state, node.id, &wanted.name, wanted.id) {
        return Err(taken(node, &wanted.name));
    }
    let (capacity_bytes, id, plugin) = (wanted.capacity_bytes, wanted.id, wanted.plugin_id.clone());
    let volume = new(wanted, plugin, node, true, ids);
    // An operator may know it by an id already, as from a cluster before this one.
    let volume = HostVolume { host_path: path, capacity_bytes, id: id.unwrap_or(volume.id), ..volume };
    Ok(begun(volume, 0, now))
}

fn new(wanted: Wanted, plugin: String, node: &Node, registered: bool, ids: &mut dyn IdSource) -> HostVolume {
    HostVolume {
        id: VolumeId(ids.next_uuid()),
        namespace: Namespace::new(some_or(&wanted.namespace, "default")),
        name: Arc::from(wanted.name),
        plugin_id: Arc::from(plugin),
        node_pool: node.node_pool.clone(),
        node_id: node.id,
        constraints: wanted.constraints,
        capacity_min_bytes: wanted.capacity_min_bytes,
        capacity_max_bytes: wanted.capacity_max_bytes,
        capacity_bytes: 0,
        capabilities: wanted.capabilities,
        parameters: wanted.parameters,
        host_path: String::new(),
        state: HostVolumeState::Pending,
        deleting: false,
        registered,
        create_index: 0,
        create_time: UnixNanos::ZERO,
        modify_index: 0,
        modify_time: UnixNanos::ZERO,
    }
}

/// `modify_index`: of the row that the decision was made on; 0: there was none.
fn begun(volume: HostVolume, modify_index: u64, now: UnixNanos) -> Begun {
    let mut guards = vec![Guard::HostVolume { id: volume.id, modify_index }];
    if modify_index == 0 {
        guards.push(Guard::FreeName { node: volume.node_id, name: volume.name.clone() });
    } else {
        guards.push(Guard::Unused { volume: volume.id });
    }
    let command = Command::UpsertHostVolume { volume: Box::new(volume.clone()), now };
    Begun { volume, command: command.guarded(guards) }
}

/// What is where can't be changed, and nothing while somebody mounts it.
fn change(state: &State, id: VolumeId, wanted: Wanted, now: UnixNanos) -> Result<Begun, VolumeError> {
    let old = state.host_volume(id).ok_or(VolumeError::NotFound)?;
    let stays = |what: &str, asked: &str, is: &str| match asked.is_empty() || asked == is {
        true => Ok(()),
        false => Err(VolumeError::Asked(format!(
            "{what} of volume {id} is {is:?} and can't be changed to {}",
            quoted(asked)
        ))),
    };
    stays("namespace", &wanted.namespace, old.namespace.as_str())?;
    stays("name", &wanted.name, &old.name)?;
    stays("plugin_id", &wanted.plugin_id, &old.plugin_id)?;
    stays("node_pool", &wanted.node_pool, &old.node_pool)?;
    stays("node_id", &wanted.node_id.map(|id| id.to_string()).unwrap_or_default(), &old.node_id.to_string())?;
    stays("host_path", &wanted.host_path, &old.host_path)?;
    refuse_used(state, old)?;
    if old.deleting {
        return Err(VolumeError::Refused(format!("volume {id} is being deleted")));
    }
    if wanted.capacity_max_bytes > 0 && wanted.capacity_max_bytes < old.capacity_bytes {
        let (max, has) = (wanted.capacity_max_bytes, old.capacity_bytes);
        return Err(VolumeError::Asked(format!(
            "capacity_max of {max} bytes is less than the {has} that volume {id} has"
        )));
    }
    let registered_size = if wanted.capacity_bytes > 0 { wanted.capacity_bytes } else { old.capacity_bytes };
    let volume = HostVolume {
        constraints: wanted.constraints,
        capacity_min_bytes: wanted.capacity_min_bytes,
        capacity_max_bytes: wanted.capacity_max_bytes,
        capacity_bytes: if old.registered { registered_size } else { old.capacity_bytes },
        capabilities: wanted.capabilities,
        parameters: wanted.parameters,
        ..HostVolume::clone(old)
    };
    Ok(begun(volume, old.modify_index, now))
}

/// What its node made of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub path: String,
    /// 0: the plugin does not say.
    pub bytes: u64,
}

/// The node has it. `None`: the volume is gone meanwhile.
pub fn made(state: &State, id: VolumeId, made: &Made, now: UnixNanos) -> Option<Command> {
    let row = HostVolume::clone(state.host_volume(id)?);
    let guard = Guard::HostVolume { id, modify_index: row.modify_index };
    let volume = HostVolume { host_path: made.path.clone(), capacity_bytes: made.bytes, ..row };
    Some(Command::UpsertHostVolume { volume: Box::new(volume), now }.guarded(vec![guard]))
}

/// What is worth knowing of what a node made: it has another size than was asked.
pub fn warning(volume: &HostVolume, made: &Made) -> Option<String> {
    let (bytes, min, max) = (made.bytes, volume.capacity_min_bytes, volume.capacity_max_bytes);
    match bytes {
        0 if min > 0 || max > 0 => Some(format!(
            "plugin {:?} does not say how large the volume is: it may not hold it to a size",
            volume.plugin_id
        )),
        0 => None,
        bytes if bytes < min => Some(format!("the volume has {bytes} bytes, fewer than the {min} that were asked")),
        bytes if max > 0 && bytes > max => {
            Some(format!("the volume has {bytes} bytes, more than the {max} that were asked"))
        }
        _ => None,
    }
}

/// Its node could not make it: state forgets a new volume, and an old one stays as `before`.
pub fn not_made(volume: &HostVolume, before: Option<&HostVolume>, now: UnixNanos) -> Command {
    match before {
        Some(before) => Command::UpsertHostVolume { volume: Box::new(before.clone()), now },
        None => Command::DeleteHostVolume { id: volume.id },
    }
}

/// A deletion on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    pub volume: HostVolume,
    /// Marks it, so that nothing is placed on it any more.
    pub command: Command,
    /// Its node is there to be asked.
    pub reachable: bool,
}

/// Begins to delete a volume that nobody mounts. Beginning again goes on with it.
pub fn delete(state: &State, id: VolumeId, now: UnixNanos) -> Result<Deletion, VolumeError> {
    let old = state.host_volume(id).ok_or(VolumeError::NotFound)?;
    refuse_used(state, old)?;
    let volume = HostVolume { deleting: true, ..HostVolume::clone(old) };
    let guards = vec![Guard::HostVolume { id, modify_index: old.modify_index }, Guard::Unused { volume: id }];
    let command = Command::UpsertHostVolume { volume: Box::new(volume.clone()), now }.guarded(guards);
    let reachable = state.node(old.node_id).is_some_and(|node| node.status != NodeStatus::Down);
    Ok(Deletion { volume, command, reachable })
}

/// The node does not have it any more, or never will be asked.
pub fn deleted(id: VolumeId) -> Command {
    Command::DeleteHostVolume { id }
}

/// The node could not delete it: it may be used again. `None`: it is gone meanwhile.
pub fn kept(state: &State, id: VolumeId, now: UnixNanos) -> Option<Command> {
    let volume = HostVolume { deleting: false, ..HostVolume::clone(state.host_volume(id)?) };
    Some(Command::UpsertHostVolume { volume: Box::new(volume), now })
}

/// Lets a group go to another volume, and has its job looked at.
pub fn delete_claim(
    state: &State,
    id: ClaimId,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<Command, VolumeError> {
    let claim = state.host_volume_claim(id).ok_or(VolumeError::NoClaim)?;
    let job = state.job(&claim.job_key()).filter(|job| !job.stopped());
    let eval = job.map(|job| Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::JobRegister, now));
    Ok(Command::DeleteHostVolumeClaim { id, evals: eval.into_iter().collect() })
}

fn refuse_used(state: &State, volume: &HostVolume) -> Result<(), VolumeError> {
    const SHOWN: usize = 5;
    let users: Vec<String> = state.users_of(volume).map(|alloc| alloc.id.to_string()).collect();
    if users.is_empty() {
        return Ok(());
    }
    let more = if users.len() > SHOWN { format!(" and {} more", users.len() - SHOWN) } else { String::new() };
    let shown = users.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    Err(VolumeError::Refused(format!("volume {} in use by allocations: {shown}{more}", volume.id)))
}

fn some_or<'a>(text: &'a str, or: &'a str) -> &'a str {
    if text.is_empty() { or } else { text }
}

/// Rules of a volume that need no node.
fn check(state: &State, wanted: &Wanted) -> Result<(), VolumeError> {
    let asked = |text: String| Err(VolumeError::Asked(text));
    let namespace = some_or(&wanted.namespace, "default");
    if !places::namespace_exists(state, namespace) {
        return asked(format!("the volume is in nonexistent namespace {}", quoted(namespace)));
    }
    if (wanted.id.is_none() || !wanted.name.is_empty())
        && let Err(why) = name::part(&wanted.name)
    {
        return asked(format!("volume name {} {why}", quoted(&wanted.name)));
    }
    if let Some(Err(why)) = Some(&wanted.plugin_id).filter(|id| !id.is_empty()).map(|id| name::part(id)) {
        return asked(format!("plugin_id {} {why}", quoted(&wanted.plugin_id)));
    }
    if wanted.capabilities.is_empty() {
        return asked("must include at least one capability block".to_owned());
    }
    let of_host = |c: &&Capability| !AccessMode::OF_HOST.contains(&c.access_mode);
    if let Some(wrong) = wanted.capabilities.iter().find(of_host) {
        let modes = AccessMode::OF_HOST.map(AccessMode::as_str).join(", ");
        return asked(format!(
            "access_mode {:?} is none of a host volume: those are {modes}",
            wrong.access_mode.as_str()
        ));
    }
    let (min, max) = (wanted.capacity_min_bytes, wanted.capacity_max_bytes);
    if max > 0 && min > max {
        return asked(format!("capacity_max ({max}) must be at least capacity_min ({min})"));
    }
    if wanted.constraints.len() > MAX_CONSTRAINTS {
        return asked(format!("a volume has at most {MAX_CONSTRAINTS} constraints, not {}", wanted.constraints.len()));
    }
    let bytes: usize = wanted.parameters.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_PARAMETERS {
        return asked(format!("the parameters have {bytes} bytes; {MAX_PARAMETERS} are the most"));
    }
    Ok(())
}

fn in_pool(wanted: &Wanted, node: &Node) -> Result<(), VolumeError> {
    if wanted.node_pool.is_empty() || *wanted.node_pool == *node.node_pool {
        return Ok(());
    }
    let (asked, is) = (quoted(&wanted.node_pool), &node.node_pool);
    Err(VolumeError::Asked(format!("node {} is in pool {is:?} and not in {asked}", node.id)))
}

/// `id`: of the volume that is to have the name. A node may report it already: servers had forgotten it by force.
fn name_taken(state: &State, node: NodeId, name: &str, id: Option<VolumeId>) -> bool {
    let other = |reported: &tarpan_model::node::HostVolume| id.is_none_or(|id| reported.id != id.to_string());
    let reported = state.node(node).and_then(|node| node.host_volumes.get(name)).is_some_and(other);
    reported || state.host_volumes_by_node(node).any(|volume| *volume.name == *name)
}

fn taken(node: &Node, name: &str) -> VolumeError {
    VolumeError::Refused(format!("node {} has a volume {} already", node.id, quoted(name)))
}

/// Why nodes can't make a volume: how many for each reason.
#[derive(Default)]
struct Reasons(BTreeMap<String, usize>);

impl Reasons {
    fn add(&mut self, reason: String) {
        *self.0.entry(reason).or_default() += 1;
    }

    fn sentence(&self, looked: usize) -> String {
        let mut text = format!("no node can make the volume; of {looked} that were looked at");
        for (n, (reason, count)) in self.0.iter().enumerate() {
            let _ = write!(text, "{} {count} {reason}", if n == 0 { "," } else { ";" });
        }
        text
    }
}

/// The node that makes it: ready, in the pool, with the plugin, as the constraints say, without a volume of that name. Of several
/// the one with the fewest volumes, so that they spread.
fn place<'a>(state: &'a State, wanted: &Wanted, plugin: &str) -> Result<&'a Node, VolumeError> {
    if let Some(id) = wanted.node_id {
        let Some(node) = state.node(id) else {
            return Err(VolumeError::Refused(format!("node {id} does not exist")));
        };
        in_pool(wanted, node)?;
    }
    let pool = if wanted.node_id.is_some() { "all" } else { some_or(&wanted.node_pool, "default") };
    if !places::node_pool_exists(state, pool) {
        return Err(VolumeError::Asked(format!("node pool {} does not exist", quoted(pool))));
    }
    let constraints: Vec<Compiled> = wanted.constraints.iter().map(Compiled::compile).collect();
    let (mut reasons, mut looked) = (Reasons::default(), 0);
    let mut best: Option<(usize, &Node)> = None;
    let asked = |node: &&Arc<Node>| {
        wanted.node_id.is_none_or(|id| node.id == id) && (pool == "all" || *node.node_pool == *pool)
    };
    for node in state.nodes().filter(asked) {
        looked += 1;
        if let Some(reason) = why_not(state, node, wanted, plugin, &constraints) {
            reasons.add(reason);
            continue;
        }
        let volumes = state.host_volumes_by_node(node.id).count();
        if best.is_none_or(|(least, _)| volumes < least) {
            best = Some((volumes, &**node));
        }
    }
    match best {
        Some((_, node)) => Ok(node),
        None if looked == 0 => Err(VolumeError::Refused(format!("no node is in pool {}", quoted(pool)))),
        None => Err(VolumeError::Refused(reasons.sentence(looked))),
    }
}

fn why_not(state: &State, node: &Node, wanted: &Wanted, plugin: &str, constraints: &[Compiled]) -> Option<String> {
    if node.status != NodeStatus::Ready {
        return Some(format!("is {}", node.status));
    }
    if !node.attributes.contains_key(format!("plugins.host_volume.{plugin}.version").as_str()) {
        return Some(format!("has no host volume plugin {}", quoted(plugin)));
    }
    if let Some(failed) = constraints.iter().find(|constraint| !constraint.holds(node)) {
        return Some(format!("does not meet {:?}", failed.reason));
    }
    if name_taken(state, node.id, &wanted.name, None) {
        return Some(format!("has a volume {} already", quoted(&wanted.name)));
    }
    let total = node.attributes.get("unique.storage.bytestotal").and_then(|text| text.parse::<u64>().ok());
    if total.is_some_and(|total| total < wanted.capacity_min_bytes) {
        return Some("has a smaller disk than capacity_min".to_owned());
    }
    None
}

#[cfg(test)]
mod tests;
