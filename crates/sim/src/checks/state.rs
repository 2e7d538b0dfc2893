//! Promises about state, whoever changed it: looked at for what an entry touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tarpan_model::ids::{NamespacedId, NodeId};
use tarpan_model::resources::Amount;
use tarpan_model::{Allocation, ClientStatus, Deployment, DeploymentStatus, JobType, Node};
use tarpan_state::{Change, Event, State};

use crate::world::World;

type Found = Result<(), (&'static str, String)>;

impl World {
    pub(super) fn check_state(&mut self, s: usize, before: &State, events: &[Event]) {
        let (mut nodes, mut jobs) = (BTreeSet::new(), BTreeSet::new());
        for event in events {
            match &event.change {
                Change::Allocation { row, gone } => {
                    nodes.insert(row.node_id);
                    jobs.insert(row.job_key());
                    if *gone && row.terminal() {
                        self.checks.removed.insert(row.id);
                    }
                }
                Change::Node { row, gone: false } => drop(nodes.insert(row.id)),
                Change::Deployment { row, .. } => {
                    jobs.insert(row.job_key());
                    if row.status == DeploymentStatus::Failed {
                        self.checks.given_up.insert((row.job_key(), row.job_version));
                    }
                }
                Change::Job { row, .. } => drop(jobs.insert(row.key())),
                _ => {}
            }
        }
        let state = &self.checks.truth;
        let found = nodes
            .iter()
            .try_for_each(|node| capacity(state, *node))
            .and_then(|()| jobs.iter().try_for_each(|job| names(state, job)))
            .and_then(|()| jobs.iter().try_for_each(|job| canaries(state, job)))
            .and_then(|()| jobs.iter().try_for_each(|job| constraints(state, job)))
            .and_then(|()| stay_over(before, events));
        if let Err((promise, what)) = found {
            self.checks.fail(s, promise, &what);
        }
    }
}

fn live<'a>(state: &'a State, job: &NamespacedId) -> impl Iterator<Item = &'a Arc<Allocation>> {
    state.allocs_by_job(job).filter(|a| !a.terminal())
}

/// No node carries more than it has, and what state counts is what is there.
fn capacity(state: &State, id: NodeId) -> Found {
    const PROMISE: &str = "no node is over capacity";
    let Some(node) = state.node(id) else { return Ok(()) };
    let mut used = Amount::default();
    let mut ports: BTreeMap<u16, usize> = BTreeMap::new();
    for alloc in state.allocs_by_node(id).filter(|a| !a.terminal()) {
        used += alloc.demand();
        alloc.resources.ports.iter().for_each(|port| *ports.entry(port.value).or_default() += 1);
    }
    let (has, kept) = (&node.resources, &node.reserved);
    let fits = |used: i64, has: i64, kept: i64| used <= has - kept;
    if !(fits(used.cpu_mhz, has.cpu_mhz, kept.cpu_mhz)
        && fits(used.memory_mb, has.memory_mb, kept.memory_mb)
        && fits(used.disk_mb, has.disk_mb, kept.disk_mb))
    {
        return Err((PROMISE, format!("{} has {has:?} and gives {used:?}", node.name)));
    }
    if let Some((port, users)) = ports.iter().find(|(_, users)| **users > 1) {
        return Err((PROMISE, format!("{} gives port {port} to {users}", node.name)));
    }
    let counted = state.usage(id).map(|usage| usage.used).unwrap_or_default();
    if counted != used {
        return Err(("what state counts is what is there", format!("{}: {counted:?}, not {used:?}", node.name)));
    }
    Ok(())
}

/// It is out of touch, or came back and nobody has decided yet which of two stays.
fn is_undecided(alloc: &Allocation) -> bool {
    alloc.client_status == ClientStatus::Unknown
        || alloc.client_states.last().is_some_and(|(status, _)| *status == ClientStatus::Unknown)
}

fn is_canary(state: &State, alloc: &Allocation) -> bool {
    let on_trial = |d: &Arc<Deployment>| {
        d.groups.get(&alloc.task_group).is_some_and(|g| !g.promoted && g.placed_canaries.contains(&alloc.id))
    };
    alloc.deployment_status.is_some_and(|s| s.canary)
        || alloc.deployment_id.and_then(|id| state.deployment(id)).is_some_and(on_trial)
}

/// A canary, promoted or not, stands beside what it is to replace, of an earlier version, until a plan says what goes.
fn may_stand_beside(state: &State, one: &Allocation, other: &Allocation) -> bool {
    let placed_as_canary = |a: &Allocation| {
        let deployment = a.deployment_id.and_then(|id| state.deployment(id));
        let group = deployment.and_then(|d| d.groups.get(&a.task_group));
        group.is_some_and(|g| g.placed_canaries.contains(&a.id))
    };
    let (old, new) = if one.job_version < other.job_version { (one, other) } else { (other, one) };
    old.job_version < new.job_version && placed_as_canary(new)
}

fn tell(alloc: &Allocation) -> String {
    let (id, version, status) = (alloc.id.short(), alloc.job_version, alloc.client_status);
    let (deployment, wish) = (alloc.deployment_id.map(|d| d.short()), alloc.transition);
    format!("{id} of version {version}, {status} since {}, rollout {deployment:?}, {wish:?}", alloc.create_index)
}

/// It has the number of the one whose place it took. Numbers are had twice after a node came back, or after something failed where
/// enough others run (the reconciler replaces it even so, as the field does); they are handed on until a look finds too many.
fn inherits(state: &State, alloc: &Allocation) -> bool {
    alloc.reschedule.is_some()
        || alloc.previous.and_then(|id| state.alloc(id)).is_some_and(|old| old.name == alloc.name)
}

/// Of one name one is alive, but for canaries and what is out of touch (whose number nobody else gets, so that another one is had
/// twice); of system jobs one a node.
fn names(state: &State, job: &NamespacedId) -> Found {
    let mut seen: BTreeMap<(&str, Option<NodeId>), &Arc<Allocation>> = BTreeMap::new();
    if state.job(job).is_none_or(|job| job.stopped()) {
        return Ok(()); // all of them are to go
    }
    let mut spare = live(state, job).filter(|a| is_undecided(a)).count();
    for alloc in live(state, job).filter(|a| !is_undecided(a) && !is_canary(state, a)) {
        let system = matches!(alloc.job.job_type(), JobType::System | JobType::SysBatch);
        let place = (&*alloc.name, system.then_some(alloc.node_id));
        // Looked at when one of the two is new: what was let through then is not asked again.
        let new = |a: &Allocation| a.create_index == state.index();
        let twice = seen.insert(place, alloc).filter(|other| !may_stand_beside(state, alloc, other));
        let twice = twice.filter(|other| {
            let made = |a: &Allocation| new(a) && !inherits(state, a);
            made(alloc) || made(other)
        });
        if let Some(other) = twice {
            if spare > 0 {
                spare -= 1;
                continue;
            }
            let text = format!("{}: {} and {}", alloc.name, tell(alloc), tell(other));
            return Err(("no two of one name are alive", text));
        }
    }
    Ok(())
}

/// No more canaries than were asked for.
fn canaries(state: &State, job: &NamespacedId) -> Found {
    for deployment in state.deployments_by_job(job).filter(|d| d.active()) {
        for (name, group) in deployment.groups.iter().filter(|(_, g)| !g.promoted) {
            let of_group = |a: &&Arc<Allocation>| a.task_group == *name && a.deployment_id == Some(deployment.id);
            let canaries =
                live(state, job).filter(of_group).filter(|a| is_canary(state, a) && !is_undecided(a)).count();
            if canaries as u64 > group.desired_canaries {
                let text = format!("{job} has {canaries} of {} in {}", group.desired_canaries, deployment.id.short());
                return Err(("no more canaries than asked for", text));
            }
        }
    }
    Ok(())
}

/// Each allocation is where its version may be.
fn constraints(state: &State, job: &NamespacedId) -> Found {
    const PROMISE: &str = "no constraint is broken";
    let mut hosts: BTreeMap<(u64, NodeId), &Arc<Allocation>> = BTreeMap::new();
    for alloc in live(state, job) {
        let Some(node) = state.node(alloc.node_id) else { continue };
        for constraint in alloc.job.constraints.iter().flatten() {
            let (left, right) = (constraint.l_target.as_deref(), constraint.r_target.as_deref());
            let holds = match constraint.operand.as_deref() {
                Some("distinct_hosts") => {
                    is_undecided(alloc) || hosts.insert((alloc.job_version, alloc.node_id), alloc).is_none()
                }
                _ => left.and_then(|left| attribute(node, left)) == right,
            };
            if !holds {
                let text = format!("{} {} on {}: {constraint:?}", alloc.name, alloc.id.short(), node.name);
                return Err((PROMISE, text));
            }
        }
    }
    Ok(())
}

/// The few attributes that jobs of a run ask for.
fn attribute<'a>(node: &'a Node, target: &str) -> Option<&'a str> {
    match target {
        "${node.class}" => Some(&node.node_class),
        "${node.datacenter}" => Some(&node.datacenter),
        _ => None,
    }
}

/// What ended does not run again. (A node that was given up for lost may know better.)
fn stay_over(before: &State, events: &[Event]) -> Found {
    for event in events {
        let Change::Allocation { row, gone: false } = &event.change else { continue };
        let ended = |a: &Allocation| matches!(a.client_status, ClientStatus::Complete | ClientStatus::Failed);
        if before.alloc(row.id).is_some_and(|old| ended(old)) && !row.client_terminal() {
            return Err(("what ended stays over", format!("{} {} is {}", row.name, row.id.short(), row.client_status)));
        }
    }
    Ok(())
}
