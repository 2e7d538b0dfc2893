//! Allocations of this node: usage, checks, restart, signal, collection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use serde::Deserialize;
use tarpan_api::wire::{
    AllocResourceUsage, CheckQueryResult, CpuStats, MemoryStats, ResourceUsage, TaskResourceUsage, UsageHistory,
};
use tarpan_model::AllocId;

use super::body;
use super::error::Error;
use super::flag::flag;
use crate::allocs::Allocs;
use crate::devices;
use crate::driver::{Handle, TaskUsage};
use crate::runner::{Refusal, Runner};
use crate::usage::Span;

/// Shortest span over which a CPU rate means something.
const SPAN: Duration = Duration::from_millis(200);

/// The runner of an allocation by its full id.
pub fn find(allocs: &Allocs, id: &str) -> Result<Arc<Runner>, Error> {
    let unknown = || Error::not_found(format!("Unknown allocation {id:?}"));
    allocs.get(id.parse::<AllocId>().map_err(|_| unknown())?).ok_or_else(unknown)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    task: Option<String>,
}

pub async fn stats(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<AllocResourceUsage>, Error> {
    let runner = find(&allocs, &alloc)?;
    let mut handles = runner.handles();
    if let Some(task) = asked.task.filter(|t| !t.is_empty()) {
        if runner.alloc().group().and_then(|g| g.task(&task)).is_none() {
            return Err(Error::bad(format!("allocation has no task {task:?}")));
        }
        handles.retain(|name, _| *name == task);
    }
    let node = allocs.context.node();
    let core_mhz = node.resources.cpu_mhz as f64 / f64::from(node.resources.cpu_cores.max(1));
    let one = |(name, handle): (String, Arc<dyn Handle>)| {
        let key = (runner.id, name.clone());
        async move { (name, usage(key, &*handle, core_mhz).await) }
    };
    let all = futures::future::join_all(handles.into_iter().map(one)).await;
    let timestamp = crate::wall().0;
    let mut sum = ResourceUsage {
        memory_stats: Some(MemoryStats::default()),
        cpu_stats: Some(CpuStats::default()),
        device_stats: Some(Vec::new()),
    };
    let alloc = runner.alloc();
    let given = |name: &str| alloc.resources.tasks.get(name).map(|task| task.devices.clone()).unwrap_or_default();
    let devices = match alloc.resources.tasks.values().any(|task| !task.devices.is_empty()) {
        true => allocs.context.devices.stats().await,
        false => Vec::new(),
    };
    let mut tasks = BTreeMap::new();
    for (name, usage) in all {
        let Some(mut usage) = usage else { continue };
        let own = devices::of_task(&devices, &given(&name));
        sum.device_stats.get_or_insert_default().extend(own.iter().cloned());
        usage.device_stats = Some(own).filter(|own| !own.is_empty());
        add(&mut sum, &usage);
        tasks.insert(name, TaskResourceUsage { resource_usage: Some(usage), timestamp, pids: BTreeMap::new() });
    }
    Ok(Json(AllocResourceUsage { resource_usage: Some(sum), tasks, timestamp }))
}

/// `span`: `hour` (where nothing is said) or `day`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AskedHistory {
    span: String,
}

/// Errors: another word.
pub fn span(asked: &AskedHistory) -> Result<Span, Error> {
    asked.span.parse().map_err(Error::bad)
}

/// What the allocation used over time.
pub async fn history(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<AskedHistory>,
) -> Result<Json<UsageHistory>, Error> {
    let runner = find(&allocs, &alloc)?;
    Ok(Json(allocs.usage.of_alloc(runner.id, span(&asked)?)))
}

type Sample = (Instant, TaskUsage);
type Key = (AllocId, String);

/// The last figures of each task that somebody asked for: rates need two.
static SAMPLES: Mutex<BTreeMap<Key, Sample>> = Mutex::new(BTreeMap::new());

fn sample(key: &Key) -> Option<Sample> {
    SAMPLES.lock().expect("no panic while held").get(key).copied()
}

async fn usage(key: Key, handle: &dyn Handle, core_mhz: f64) -> Option<ResourceUsage> {
    let before = match sample(&key).filter(|(at, _)| at.elapsed() >= SPAN && at.elapsed() < Duration::from_secs(60)) {
        Some(before) => before,
        None => {
            let first = (Instant::now(), handle.usage().await?);
            tokio::time::sleep(SPAN).await;
            first
        }
    };
    let (at, now) = (Instant::now(), handle.usage().await?);
    let span = at.duration_since(before.0).as_nanos().max(1) as f64;
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 100.0 / span;
    let percent = rate(now.cpu_ns, before.1.cpu_ns);
    let cpu = CpuStats {
        system_mode: rate(now.system_ns, before.1.system_ns),
        user_mode: rate(now.user_ns, before.1.user_ns),
        total_ticks: percent / 100.0 * core_mhz,
        throttled_periods: now.throttled_periods,
        throttled_time: now.throttled_ns,
        percent,
        measured: ["System Mode", "User Mode", "Percent", "Throttled Periods", "Throttled Time"]
            .map(str::to_owned)
            .to_vec(),
    };
    let memory = MemoryStats {
        rss: now.rss,
        cache: now.cache,
        swap: now.swap,
        usage: now.memory,
        max_usage: now.memory_max,
        measured: ["RSS", "Cache", "Swap", "Usage", "Max Usage"].map(str::to_owned).to_vec(),
        ..MemoryStats::default()
    };
    let mut samples = SAMPLES.lock().expect("no panic while held");
    samples.retain(|_, (at, _)| at.elapsed() < Duration::from_secs(60));
    samples.insert(key, (at, now));
    Some(ResourceUsage { memory_stats: Some(memory), cpu_stats: Some(cpu), device_stats: None })
}

fn add(sum: &mut ResourceUsage, one: &ResourceUsage) {
    if let (Some(sum), Some(one)) = (&mut sum.memory_stats, &one.memory_stats) {
        sum.rss += one.rss;
        sum.cache += one.cache;
        sum.swap += one.swap;
        sum.usage += one.usage;
        sum.max_usage += one.max_usage;
        sum.measured.clone_from(&one.measured);
    }
    if let (Some(sum), Some(one)) = (&mut sum.cpu_stats, &one.cpu_stats) {
        sum.system_mode += one.system_mode;
        sum.user_mode += one.user_mode;
        sum.total_ticks += one.total_ticks;
        sum.throttled_periods += one.throttled_periods;
        sum.throttled_time += one.throttled_time;
        sum.percent += one.percent;
        sum.measured.clone_from(&one.measured);
    }
}

/// `history` (ours): with the runs that are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AskedChecks {
    history: Option<String>,
}

pub async fn checks(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<AskedChecks>,
) -> Result<Json<Option<BTreeMap<String, CheckQueryResult>>>, Error> {
    let mut checks = find(&allocs, &alloc)?.checks();
    if !flag(asked.history.as_deref(), false)? {
        checks.values_mut().for_each(|check| check.history.clear());
    }
    // `null` where there are none.
    Ok(Json(Some(checks).filter(|checks| !checks.is_empty())))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Restart {
    #[serde(rename = "TaskName")]
    task: Option<String>,
    #[serde(rename = "AllTasks")]
    all: Option<bool>,
}

fn done() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "Index": 0 }))
}

pub async fn restart(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    bytes: Bytes,
) -> Result<Json<serde_json::Value>, Error> {
    let runner = find(&allocs, &alloc)?;
    let asked: Restart = body::decode_optional(&bytes)?;
    runner.restart(asked.task, asked.all == Some(true)).await.map_err(refusal)?;
    Ok(done())
}

fn refusal(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoTask(_) => Error::not_found(refusal.to_string()),
        Refusal::NotRunning | Refusal::AllAndOne | Refusal::Ending | Refusal::Gone | Refusal::Signal(_) => {
            Error::internal(refusal.to_string())
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Signal {
    #[serde(rename = "Task")]
    task: Option<String>,
    #[serde(rename = "Signal")]
    signal: Option<String>,
}

pub async fn signal(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    bytes: Bytes,
) -> Result<Json<serde_json::Value>, Error> {
    let runner = find(&allocs, &alloc)?;
    let asked: Signal = body::decode_optional(&bytes)?;
    let signal = asked.signal.filter(|s| !s.is_empty()).unwrap_or_else(|| "SIGKILL".to_owned());
    runner.signal(asked.task, signal).await.map_err(refusal)?;
    Ok(done())
}

pub async fn gc(State(allocs): State<Arc<Allocs>>, Path(alloc): Path<String>) -> Result<(), Error> {
    let runner = find(&allocs, &alloc)?;
    if !runner.finished() {
        return Err(Error::internal(format!("Could not garbage collect allocation {alloc:?}: it has not ended")));
    }
    crate::gc::collect(allocs, runner.id).await;
    Ok(())
}
