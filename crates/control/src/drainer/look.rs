//! One look at the nodes that drain: what may go now, and which of them are done?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tarpan_model::alloc::DesiredTransition;
use tarpan_model::ids::{AllocId, EvalId, IdSource, NamespacedId};
use tarpan_model::job::MigrateStrategy;
use tarpan_model::node::{DrainStrategy, NodeEvent};
use tarpan_model::{Allocation, ClientStatus, Dur, Evaluation, JobType, Node, Trigger, UnixNanos};
use tarpan_state::{Command, State};

/// The event of a drain that ended by itself; state tells by it that the drain was not canceled.
const COMPLETE: &str = "Node drain complete";

/// Allocations marked in one entry of the log, unless one job has more. Source: `reference/semantics.md` §11.4.
const MARKS: usize = 7_281;

/// What a look gives.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub commands: Vec<Command>,
    /// Jobs that still have something on a draining node.
    pub jobs: BTreeSet<NamespacedId>,
    /// When time alone changes the answer.
    pub again: Option<UnixNanos>,
}

/// Marks what may move now, and ends the drains of nodes that are empty.
pub(super) fn look<'a>(
    state: &State,
    nodes: impl Iterator<Item = &'a Arc<Node>>,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Seen {
    let mut seen = Seen::default();
    let mut marked: BTreeMap<NamespacedId, Vec<&Arc<Allocation>>> = BTreeMap::new();
    let mut waiting: BTreeMap<(NamespacedId, &str), Vec<&Arc<Allocation>>> = BTreeMap::new();
    for node in nodes {
        let Some(drain) = &node.drain else { continue };
        let left = Left::on(state, node, drain);
        let over = deadline_reached(drain, now);
        if left.is_empty() {
            seen.commands.push(complete(node, over, now));
            continue;
        }
        if !over && !drain.force_deadline.is_zero() {
            seen.wake(drain.force_deadline);
        }
        let last = left.work.is_empty();
        let system = left.system.into_iter().map(|alloc| (alloc, over || last, false));
        let work = left.work.into_iter().map(|alloc| (alloc, over, true));
        for (alloc, at_once, in_waves) in work.chain(system) {
            seen.jobs.insert(alloc.job_key());
            if alloc.terminal() || alloc.transition.should_migrate() {
                continue;
            }
            if at_once {
                marked.entry(alloc.job_key()).or_default().push(alloc);
            } else if in_waves && alloc.job.job_type() == JobType::Service {
                waiting.entry((alloc.job_key(), &alloc.task_group)).or_default().push(alloc);
            }
        }
    }
    for ((key, group), candidates) in waiting {
        let gone = marked.get(&key).map_or(&[][..], Vec::as_slice);
        let wave = Wave::of(state, &key, group, gone, now);
        if let Some(at) = wave.again {
            seen.wake(at);
        }
        if wave.size > 0 {
            marked.entry(key).or_default().extend(in_order(candidates).into_iter().take(wave.size));
        }
    }
    seen.commands.extend(mark(state, marked, now, ids));
    seen
}

impl Seen {
    fn wake(&mut self, at: UnixNanos) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }
}

/// What still runs, or may still run, on a draining node.
struct Left<'a> {
    work: Vec<&'a Arc<Allocation>>,
    /// Of system and sysbatch jobs, unless these are ignored; and CSI plugins.
    system: Vec<&'a Arc<Allocation>>,
}

impl<'a> Left<'a> {
    fn on(state: &'a State, node: &Node, drain: &DrainStrategy) -> Left<'a> {
        let live = state.allocs_by_node(node.id).filter(|a| !a.client_terminal());
        let of_system = |a: &Allocation| matches!(a.job.job_type(), JobType::System | JobType::SysBatch);
        // What unmounts the volumes of the others goes after them, whatever its type.
        let (mut system, work): (Vec<_>, Vec<_>) = live.partition(|a| of_system(a) || is_csi_plugin(a));
        if drain.ignore_system_jobs {
            system.retain(|a| !of_system(a));
        }
        Left { work, system }
    }

    fn is_empty(&self) -> bool {
        self.work.is_empty() && self.system.is_empty()
    }
}

fn is_csi_plugin(alloc: &Allocation) -> bool {
    alloc.group().is_some_and(|group| group.tasks().iter().any(|task| task.csi_plugin_config.is_some()))
}

/// Forced, or its time is over.
fn deadline_reached(drain: &DrainStrategy, now: UnixNanos) -> bool {
    drain.deadline.0 < 0 || (!drain.force_deadline.is_zero() && drain.force_deadline <= now)
}

/// How many allocations of a group may leave now.
struct Wave {
    size: usize,
    /// When one more counts as settled, should its node never say so.
    again: Option<UnixNanos>,
}

impl Wave {
    /// Settled allocations beyond `count - max_parallel`, all when the group is not wanted any more; `gone` do not count.
    fn of(state: &State, key: &NamespacedId, group: &str, gone: &[&Arc<Allocation>], now: UnixNanos) -> Wave {
        let job = state.job(key).filter(|job| !job.stopped());
        let Some(wanted) = job.and_then(|job| job.groups().iter().find(|g| g.name() == group)) else {
            return Wave { size: usize::MAX, again: None };
        };
        let max_parallel = wanted.migrate.as_ref().and_then(|m| m.max_parallel).unwrap_or(1);
        let needed = i64::try_from(wanted.count()).unwrap_or(i64::MAX).saturating_sub(max_parallel);
        let gone: BTreeSet<AllocId> = gone.iter().map(|a| a.id).collect();
        let counts = |a: &&Arc<Allocation>| {
            &*a.task_group == group && !a.terminal() && !a.transition.should_migrate() && !gone.contains(&a.id)
        };
        let times = state.allocs_by_job(key).filter(counts).filter_map(|a| settles(a));
        let (settled, later): (Vec<_>, Vec<_>) = times.partition(|at| *at <= now);
        let size = usize::try_from(settled.len() as i64 - needed).unwrap_or(0);
        Wave { size, again: later.into_iter().min() }
    }
}

/// From when on an allocation counts as there; `None`: not known yet.
///
/// With a verdict on its health, whichever: one that is given up as unhealthy must not hold the others for ever. A node that
/// watches gives its verdict by the group's `healthy_deadline`: what runs without one after that is not watched.
/// Source: `reference/semantics.md` §11.4 for the verdict.
fn settles(alloc: &Allocation) -> Option<UnixNanos> {
    if alloc.deployment_status.is_some_and(|s| s.healthy.is_some()) {
        return Some(UnixNanos::ZERO);
    }
    let given = |m: &MigrateStrategy| m.healthy_deadline;
    let time = alloc.group().and_then(|g| g.migrate.as_ref()).and_then(given).unwrap_or(Dur::from_secs(300));
    (alloc.client_status == ClientStatus::Running).then_some(alloc.create_time + time)
}

/// What is not well goes first, then the oldest.
fn in_order(mut allocs: Vec<&Arc<Allocation>>) -> Vec<&Arc<Allocation>> {
    let well = |a: &Allocation| a.deployment_status.is_some_and(|s| s.healthy == Some(true));
    allocs.sort_by_key(|a| (well(a), a.create_index, a.id));
    allocs
}

/// Each job's marks and its evaluation stand in one command.
fn mark(
    state: &State,
    marked: BTreeMap<NamespacedId, Vec<&Arc<Allocation>>>,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Vec<Command> {
    let mut commands = Vec::new();
    let (mut allocs, mut evals) = (BTreeMap::<AllocId, DesiredTransition>::new(), Vec::new());
    for (key, rows) in marked {
        if !allocs.is_empty() && allocs.len() + rows.len() > MARKS {
            let full = (std::mem::take(&mut allocs), std::mem::take(&mut evals));
            commands.push(Command::SetTransitions { allocs: full.0, evals: full.1, now });
        }
        evals.extend(rows.first().map(|alloc| evaluation(state, &key, alloc, now, ids)));
        allocs.extend(rows.into_iter().map(|alloc| (alloc.id, wish(alloc))));
    }
    if !allocs.is_empty() {
        commands.push(Command::SetTransitions { allocs, evals, now });
    }
    commands
}

/// A drained batch allocation is stopped and not placed again: it had until the deadline to finish.
fn wish(alloc: &Allocation) -> DesiredTransition {
    let batch = alloc.job.job_type() == JobType::Batch;
    DesiredTransition {
        migrate: Some(true),
        migrate_disable_placement: batch.then_some(true),
        ..DesiredTransition::default()
    }
}

fn evaluation(
    state: &State,
    key: &NamespacedId,
    alloc: &Allocation,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Evaluation {
    let job = state.job(key).unwrap_or(&alloc.job);
    let id = EvalId(ids.next_uuid());
    Evaluation::for_job(id, job, Trigger::NodeDrain, now)
}

/// The end of a drain; the node stays ineligible.
fn complete(node: &Node, deadline_reached: bool, now: UnixNanos) -> Command {
    let details = match deadline_reached {
        true => [("deadline_reached".to_owned(), "true".to_owned())].into(),
        false => BTreeMap::new(),
    };
    let event = NodeEvent {
        message: COMPLETE.to_owned(),
        subsystem: "Drain".to_owned(),
        details,
        timestamp: now,
        ..NodeEvent::default()
    };
    Command::UpdateNodeDrain {
        node: node.id,
        strategy: None,
        mark_eligible: false,
        event: Some(event),
        now,
        evals: Vec::new(),
        meta: BTreeMap::new(),
    }
}
