//! What an agent finds on its machine, beside what it remembers: looked at before anything is started.
//!
//! A start that a record knows is its runner's. Others are adopted where the record wants that task to run, and ended where
//! it does not. Allocations that no record knows wait here until the servers have spoken: their row adopts what runs, and
//! "forget" ends it. So a lost store costs no running task, and no task runs twice.

#![allow(clippy::disallowed_methods, reason = "the agent's own directory of runs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarpan_model::alloc::TaskStateKind;
use tarpan_model::{AllocId, Allocation, UnixNanos};

use crate::allocs::{Allocs, Found};
use crate::context::Context;
use crate::driver::mark::remove;
use crate::driver::{Driver, Mark, Place, Strays, Trace};
use crate::store::{Record, TaskRecord};

/// How long a driver may look.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what ended and was not removed is looked for.
const SWEEP: Duration = Duration::from_secs(120);
/// How often runs that are nobody's are looked for at most.
const SHORTEST: Duration = Duration::from_secs(1);

type Drivers = BTreeMap<String, Arc<dyn Driver>>;

pub(crate) async fn survey(drivers: &Drivers, place: &Place) -> Vec<Trace> {
    let one = |driver: Arc<dyn Driver>| async move {
        match tokio::time::timeout(PATIENCE, driver.survey(place)).await {
            Ok(Ok(traces)) => traces,
            Ok(Err(error)) => {
                tracing::debug!(driver = driver.name(), "looking for what runs: {error}");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(driver = driver.name(), "looking for what runs: it does not answer");
                Vec::new()
            }
        }
    };
    futures::future::join_all(drivers.values().cloned().map(one)).await.into_iter().flatten().collect()
}

/// Looks at the machine, settles what belongs to known allocations, and gives the rest.
pub async fn look(context: &Context, records: &mut [Record]) -> Found {
    let (drivers, place) = (&context.drivers, context.place());
    let traces = survey(drivers, &place).await;
    let (known, mut unknown) = (sort(traces, records), directories(&place));
    for (id, trace) in known.unknown {
        unknown.entry(id).or_default().push(trace);
    }
    unknown.retain(|id, _| !records.iter().any(|r| r.alloc.id == *id));
    for mark in &known.over {
        tracing::warn!(alloc_id = %mark.alloc_id, task = mark.task, driver = mark.driver, "a run that is over is removed");
        if let Some(driver) = drivers.get(&mark.driver) {
            remove(driver, mark).await;
        }
    }
    if !known.over.is_empty() {
        let runs = named(&known.over);
        context.tell("Strays", format!("found at the agent's start, nobody's any more, ended and removed: {runs}"));
    }
    for (id, traces) in &unknown {
        let running: Vec<&str> = traces.iter().filter(|t| t.running).map(|t| &*t.mark.task).collect();
        if !running.is_empty() {
            tracing::warn!(alloc_id = %id, tasks = ?running, "tasks run of an allocation that this agent has no record of: the servers are asked");
        }
    }
    unknown
}

/// So many are named in one sentence.
const NAMED: usize = 5;

/// What they are, for a sentence.
fn named<'a>(marks: impl IntoIterator<Item = &'a Mark>) -> String {
    let all: Vec<String> = marks
        .into_iter()
        .map(|mark| format!("task {} ({}) of allocation {}", mark.task, mark.driver, mark.alloc_id))
        .collect();
    match all.len().checked_sub(NAMED) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..NAMED].join(", ")),
    }
}

/// Allocations with a directory, of runs or of their own. Then only files may be left of them.
fn directories(place: &Place) -> Found {
    let inside = |dir: &PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let entries = [&place.tasks, &place.alloc_root].into_iter().flat_map(inside);
    let ids = entries.filter_map(|e| uuid::Uuid::parse_str(e.file_name().to_str()?).ok());
    ids.map(|id| (AllocId(id), Vec::new())).collect()
}

#[derive(Debug, Default)]
struct Sorted {
    over: Vec<Mark>,
    unknown: Vec<(AllocId, Trace)>,
}

/// Tells a record's own starts from others; what a record lost is put into it. Touches records only.
fn sort(traces: Vec<Trace>, records: &mut [Record]) -> Sorted {
    let mut sorted = Sorted::default();
    let mut strangers = Vec::new();
    let mut present = BTreeSet::new();
    for trace in traces {
        let id = trace.mark.alloc_id;
        let Some(record) = records.iter().find(|r| r.alloc.id == id) else {
            sorted.unknown.push((id, trace));
            continue;
        };
        match record.handles.get(&trace.mark.task).is_some_and(|task| owns(task, &trace.mark)) {
            true => drop(present.insert((id, trace.mark.task))),
            false => strangers.push(trace),
        }
    }
    for Trace { mark, running } in strangers {
        let record = records.iter_mut().find(|r| r.alloc.id == mark.alloc_id).expect("found above");
        let state = record.states.get(&*mark.task).map(|s| s.state);
        let task = record.handles.entry(mark.task.clone()).or_default();
        let wanted = state == Some(TaskStateKind::Running) || task.mark.is_some();
        let taken = task.exit.is_some() || !present.insert((mark.alloc_id, mark.task.clone()));
        if running && wanted && !taken {
            *task = adopted(mark);
        } else {
            sorted.over.push(mark);
        }
    }
    sorted
}

fn owns(task: &TaskRecord, mark: &Mark) -> bool {
    let by_handle = || task.handle["run_dir"].as_str().is_some_and(|dir| mark.run_dir.as_os_str() == dir);
    task.mark.as_ref().is_some_and(|own| own.id == mark.id) || by_handle()
}

fn adopted(mark: Mark) -> TaskRecord {
    TaskRecord { driver: mark.driver.clone(), prepared: true, mark: Some(mark), adopted: true, ..TaskRecord::default() }
}

/// What the lost record of an allocation must have said, by its row and by what was found of it.
pub fn record(context: &Context, alloc: Allocation, traces: Vec<Trace>) -> Record {
    let mut handles: BTreeMap<String, TaskRecord> = BTreeMap::new();
    // What runs wins over what has ended.
    let (running, ended): (Vec<Trace>, Vec<Trace>) = traces.into_iter().partition(|t| t.running);
    for Trace { mark, .. } in running.into_iter().chain(ended) {
        let dead = alloc.task_states.get(&*mark.task).is_some_and(|s| s.state == TaskStateKind::Dead);
        if !dead && !handles.contains_key(&mark.task) {
            handles.insert(mark.task.clone(), adopted(mark));
        } else if let Some(driver) = context.drivers.get(&mark.driver).cloned() {
            tokio::spawn(async move { remove(&driver, &mark).await });
        }
    }
    let healthy = alloc.deployment_status.and_then(|d| d.healthy);
    let states = (*alloc.task_states).clone();
    Record { alloc, states, healthy, handles, born: None, made: Vec::new() }
}

/// The servers know nothing of it: what was found is ended and removed.
pub async fn forget(allocs: &Allocs, id: AllocId) {
    let Some(traces) = allocs.take_found(id) else { return };
    let context = &allocs.context;
    let runs = named(traces.iter().filter(|trace| trace.running).map(|trace| &trace.mark));
    let ran =
        if runs.is_empty() { "nothing of it ran".to_owned() } else { format!("what ran of it was ended: {runs}") };
    context.tell(
        "Strays",
        format!("the servers know nothing of allocation {id}, which was found on this node: {ran}; its network and its files were removed"),
    );
    for trace in traces {
        if let Some(driver) = context.drivers.get(&trace.mark.driver) {
            remove(driver, &trace.mark).await;
        }
    }
    if let Err(error) = context.remove_network(id).await {
        tracing::warn!(alloc_id = %id, "removing the network of an allocation: {error}");
    }
    context.remove_files(id).await;
}

/// Removes networks of allocations that are nobody's: an agent may have died over the removal, or lost what it knew. What is
/// `known` is asked after the look, so that nothing is taken for nobody's that was only made meanwhile.
pub async fn clean_networks(context: &Context, known: impl FnOnce() -> BTreeSet<AllocId>) {
    let networks = context.networks.clone();
    let mut ids = match crate::blocking(move || networks.traces()).await {
        Ok(ids) => ids,
        Err(error) => return tracing::warn!("looking for networks that are nobody's: {error}"),
    };
    for driver in context.drivers.values() {
        let joined = tokio::time::timeout(PATIENCE, driver.joined(context.networks.dir())).await.unwrap_or_default();
        let id = |path: PathBuf| uuid::Uuid::parse_str(path.file_name()?.to_str()?).ok().map(AllocId);
        ids.extend(joined.into_iter().filter_map(id));
    }
    let known = known();
    for id in ids.into_iter().filter(|id| !known.contains(id)) {
        context.tell(
            "Strays",
            format!("a network was left of allocation {id}, which is not here any more: it was removed"),
        );
        if let Err(error) = context.remove_network(id).await {
            tracing::warn!(alloc_id = %id, "removing a network: {error}");
        }
    }
}

/// Now and then removes what has ended and was left behind: an agent or an engine may have died over the removal.
pub async fn sweep(allocs: Arc<Allocs>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        sweep_once(&allocs).await;
    }
}

pub(crate) async fn sweep_once(allocs: &Allocs) {
    let context = &allocs.context;
    for trace in survey(&context.drivers, &context.place()).await.into_iter().filter(|t| !t.running) {
        let mark = trace.mark;
        let waits = allocs.found().contains(&mark.alloc_id);
        let current = allocs.get(mark.alloc_id).is_some_and(|r| r.runs(&mark));
        if !waits
            && !current
            && let Some(driver) = context.drivers.get(&mark.driver)
        {
            tracing::info!(alloc_id = %mark.alloc_id, task = mark.task, "removing what is left of a run that ended");
            remove(driver, &mark).await;
        }
    }
    let known = || allocs.all().iter().map(|r| r.id).chain(allocs.found()).collect();
    clean_networks(context, known).await;
}

/// Ends runs that are nobody's, by the driver's rules: an engine may start late what an agent has long given up.
pub async fn end_strays(allocs: Arc<Allocs>, driver: Arc<dyn Driver>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    let Some(rules) = driver.strays() else { return };
    let mut since = Since::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(rules.period.max(SHORTEST)) => {}
        }
        end_strays_once(&allocs, &driver, rules, &mut since).await;
    }
}

/// When a run was first seen to be nobody's, by its mark's id.
type Since = BTreeMap<String, UnixNanos>;

pub(crate) async fn end_strays_once(allocs: &Allocs, driver: &Arc<dyn Driver>, rules: Strays, since: &mut Since) {
    let place = allocs.context.place();
    let Ok(Ok(traces)) = tokio::time::timeout(PATIENCE, driver.survey(&place)).await else { return };
    let marks: Vec<Mark> =
        traces.into_iter().filter(|t| t.running).map(|t| t.mark).filter(|m| is_strange(allocs, m)).collect();
    for mark in due(marks, since, crate::now(), rules.grace) {
        let (alloc_id, task) = (mark.alloc_id, &mark.task);
        match rules.dry_run {
            true => tracing::warn!(%alloc_id, task, driver = driver.name(), "a run is nobody's; dry_run leaves it"),
            false => {
                allocs.context.tell("Strays", format!("a run was nobody's, and was ended: {}", named([&mark])));
                remove(driver, &mark).await;
            }
        }
    }
}

/// Nobody's: no runner has it, and nobody is still asked whose it is.
fn is_strange(allocs: &Allocs, mark: &Mark) -> bool {
    if allocs.found().contains(&mark.alloc_id) {
        return false;
    }
    let Some(runner) = allocs.get(mark.alloc_id) else { return true };
    // Until the servers have spoken a task may be held that is not found again. Runs of older agents carry no mark: a handle on the
    // task is one on them.
    let told = *allocs.context.contacted.borrow();
    told && !runner.runs(mark) && !runner.handles().contains_key(&mark.task)
}

/// Those that were nobody's for all of `grace`; who is somebody's again is forgotten.
fn due(strange: Vec<Mark>, since: &mut Since, now: UnixNanos, grace: Duration) -> Vec<Mark> {
    since.retain(|id, _| strange.iter().any(|mark| mark.id == *id));
    let over = |mark: &Mark| now.since(*since.entry(mark.id.clone()).or_insert(now)).to_std() >= grace;
    strange.into_iter().filter(over).collect()
}

#[cfg(test)]
mod tests {
    use tarpan_model::TaskState;

    use super::*;

    fn trace(alloc: AllocId, suffix: &str, running: bool) -> Trace {
        let id = format!("{alloc}/web/{suffix}");
        let run_dir = PathBuf::from(format!("/tasks/{alloc}/web-{suffix}"));
        let driver = "raw_exec".to_owned();
        let mark = Mark {
            driver,
            alloc_id: alloc,
            task: "web".to_owned(),
            id,
            run_dir,
            logs: None,
            cgroup_parent: String::new(),
        };
        Trace { mark, running }
    }

    fn record(state: TaskStateKind, own: Option<&str>) -> Record {
        let alloc = crate::test_support::alloc("web");
        let mark = own.map(|suffix| trace(alloc.id, suffix, true).mark);
        let handles = BTreeMap::from([("web".to_owned(), TaskRecord { mark, ..TaskRecord::default() })]);
        let states = [(Arc::from("web"), TaskState { state, ..TaskState::default() })].into_iter().collect();
        Record { alloc, states, healthy: None, handles, born: None, made: Vec::new() }
    }

    #[test]
    fn a_run_is_ended_when_it_was_nobodys_for_the_whole_grace() {
        let at = |seconds: i64| UnixNanos(seconds * 1_000_000_000);
        let id = AllocId(uuid::Uuid::from_u128(9));
        let marks = || vec![trace(id, "a", true).mark];
        let (mut since, grace) = (Since::new(), Duration::from_secs(10));
        let mut ended = |marks: Vec<Mark>, now: i64| due(marks, &mut since, at(now), grace).len();
        assert_eq!([ended(marks(), 0), ended(marks(), 9), ended(marks(), 10)], [0, 0, 1]);
        // Somebody has it in between.
        assert_eq!([ended(marks(), 20), ended(Vec::new(), 21), ended(marks(), 22), ended(marks(), 31)], [1, 0, 0, 0]);
        assert_eq!(ended(marks(), 32), 1);
    }

    /// What a record says, what the machine shows, and what becomes of it: the run that the record then holds, and what is removed.
    #[test]
    fn runs_are_told_apart() {
        use TaskStateKind::{Dead, Pending, Running};
        for (what, state, own, seen, holds, removed) in [
            ("its own run", Running, Some("a"), vec![("a", true)], Some("a"), vec![]),
            ("its own run and an older one", Running, Some("b"), vec![("a", false), ("b", true)], Some("b"), vec!["a"]),
            ("a run that the record lost", Running, Some("a"), vec![("b", true)], Some("b"), vec![]),
            ("a run of a dead task", Dead, None, vec![("a", true)], None, vec!["a"]),
            ("the rest of a run before a restart", Pending, None, vec![("a", false)], None, vec!["a"]),
            ("two that run, one is its own", Running, Some("a"), vec![("b", true), ("a", true)], Some("a"), vec!["b"]),
        ] {
            let mut records = [record(state, own)];
            let id = records[0].alloc.id;
            let seen = seen.into_iter().map(|(suffix, running)| trace(id, suffix, running)).collect();
            let sorted = sort(seen, &mut records);
            let suffix = |mark: &Mark| mark.id.rsplit('/').next().expect("three parts").to_owned();
            let held = records[0].handles["web"].mark.as_ref().map(suffix);
            let over: Vec<String> = sorted.over.iter().map(suffix).collect();
            assert_eq!((held.as_deref(), over), (holds, removed.into_iter().map(str::to_owned).collect()), "{what}");
            assert!(sorted.unknown.is_empty());
        }
        let stranger = AllocId(uuid::Uuid::from_u128(9));
        let sorted = sort(vec![trace(stranger, "a", true)], &mut []);
        assert_eq!(sorted.unknown.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [stranger]);
    }
}
