//! Sorts allocations by what their node and their own state say: stay, move, lost, out of touch, back again.

use tarpan_model::alloc::Allocation;
use tarpan_model::{ClientStatus, DesiredStatus, Dur, NodeStatus, UnixNanos};

use crate::columns::Nodes;

/// What has to be done about an allocation, as far as node and state tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Stays, or is looked at further.
    Untainted,
    /// To be moved to another node.
    Migrate,
    /// Its node is gone.
    Lost,
    /// Its node is out of touch; it may come back.
    Disconnecting,
    /// Its node came back.
    Reconnecting,
    /// Its node stayed away for too long.
    Expiring,
    Ignore,
}

/// A node as its allocations see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taint {
    None,
    Draining,
    Disconnected,
    Down,
    Gone,
}

pub fn taint(nodes: &Nodes, alloc: &Allocation) -> Taint {
    match nodes.node(alloc.node_id) {
        None => Taint::Gone,
        Some(node) => match node.status {
            NodeStatus::Down => Taint::Down,
            NodeStatus::Disconnected => Taint::Disconnected,
            _ if node.drain.is_some() => Taint::Draining,
            _ => Taint::None,
        },
    }
}

/// When it was last marked unknown; `None` when it is not.
pub fn unknown_since(alloc: &Allocation) -> Option<UnixNanos> {
    alloc.client_states.iter().rev().find(|(status, _)| *status == ClientStatus::Unknown).map(|(_, time)| *time)
}

/// The last change of its state was to unknown, whatever it reports now.
pub fn needs_reconnect(alloc: &Allocation) -> bool {
    matches!(alloc.client_status, ClientStatus::Unknown | ClientStatus::Running | ClientStatus::Failed)
        && alloc.client_states.last().is_some_and(|(status, _)| *status == ClientStatus::Unknown)
}

/// How long its node may be out of touch before it is lost; zero: at once.
pub fn lost_after(alloc: &Allocation) -> Dur {
    alloc.group().and_then(|g| g.disconnect.as_ref()).and_then(|d| d.lost_after).unwrap_or(Dur::ZERO)
}

fn replace_on_disconnect(alloc: &Allocation) -> bool {
    alloc.group().and_then(|g| g.disconnect.as_ref()).and_then(|d| d.replace).unwrap_or(true)
}

/// Unknown for longer than its group allows.
pub fn expired(alloc: &Allocation, now: UnixNanos) -> bool {
    if alloc.client_status != ClientStatus::Unknown {
        return false;
    }
    let allowed = lost_after(alloc);
    allowed.nanos() > 0 && unknown_since(alloc).is_some_and(|since| since + allowed <= now)
}

/// The first rule that matches wins.
pub fn classify(alloc: &Allocation, taint: Taint, now: UnixNanos) -> Bucket {
    let reconnect = needs_reconnect(alloc);
    let transition = &alloc.transition;
    let status = alloc.client_status;
    let is_canary = alloc.deployment_status.is_some_and(|s| s.canary);
    let run = alloc.desired_status == DesiredStatus::Run;
    if reconnect && run && status == ClientStatus::Failed {
        return Bucket::Reconnecting;
    }
    if !reconnect {
        if alloc.server_terminal() {
            let stays = transition.migrate_disable_placement == Some(true);
            return if stays { Bucket::Untainted } else { Bucket::Ignore };
        }
        if alloc.terminal() {
            return if is_canary && transition.should_migrate() { Bucket::Migrate } else { Bucket::Untainted };
        }
    }
    if expired(alloc, now) {
        return Bucket::Expiring;
    }
    if reconnect && status == ClientStatus::Failed && !run {
        return Bucket::Ignore;
    }
    if taint == Taint::Disconnected {
        return match status {
            ClientStatus::Unknown => Bucket::Untainted,
            ClientStatus::Pending => Bucket::Lost,
            _ if lost_after(alloc).nanos() == 0 => Bucket::Lost,
            _ => Bucket::Disconnecting,
        };
    }
    if transition.should_migrate() {
        return Bucket::Migrate;
    }
    match taint {
        Taint::None if reconnect => Bucket::Reconnecting,
        Taint::None => Bucket::Untainted,
        Taint::Gone => Bucket::Lost,
        Taint::Down if !replace_on_disconnect(alloc) => match status {
            ClientStatus::Unknown => Bucket::Untainted,
            ClientStatus::Running => Bucket::Disconnecting,
            _ => Bucket::Lost,
        },
        Taint::Down => Bucket::Lost,
        // Draining, but the drainer has not asked for this one yet.
        Taint::Draining | Taint::Disconnected => Bucket::Untainted,
    }
}
