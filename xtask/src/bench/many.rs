//! Very many allocations at once on simulated nodes: `cargo xtask bench -many`.
//!
//! Jobs of 50,000 are handed in one after the other, and everything is watched until all run: how long it takes, that no node is
//! called dead, that the counts of jobs add up at every look, and how long a small job waits beside them. Then memory, and a page of a list.
//! A figure never fails it; a node called dead or a count that does not add up does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tarpan_api::{Query, calls};
use tarpan_end2end::{Agent, Lab};

use super::crew::Crew;
use super::program;
use crate::shell::heading;

/// Allocations of a job: as many as one may have by default.
const EACH: usize = 50_000;
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks: each costs the server what it counts.
const LOOK: Duration = Duration::from_millis(200);

/// What one run came to.
pub struct Many {
    pub allocs: usize,
    pub nodes: usize,
    /// From the first job handed in.
    pub placed: Duration,
    pub running: Duration,
    /// How long a job of one allocation, handed in right behind them, took to be placed.
    pub beside: Duration,
    /// Processor time of the server until all ran, in seconds.
    pub processor: f64,
    /// Resident memory of the server in MiB: with its nodes alone, at most, and once all run.
    pub empty: f64,
    pub peak: f64,
    pub full: f64,
    /// The median of a page of 50 allocations.
    pub page: Duration,
}

pub fn run(flags: &[&str]) -> Result<()> {
    let (mut allocs, mut nodes) = (1_000_000, 5_000);
    for flag in flags {
        match flag.split_once('=') {
            None if *flag == "many" => {}
            Some(("allocs", n)) => allocs = n.parse().context("-allocs=N")?,
            Some(("nodes", n)) => nodes = n.parse().context("-nodes=N")?,
            _ => bail!("bench -many knows -allocs=N and -nodes=N, not -{flag}"),
        }
    }
    program()?;
    heading("Measuring");
    let many = measure(allocs, nodes)?;
    println!("{} allocations on {} nodes", many.allocs, many.nodes);
    println!("placed after       {:>8.1} s", many.placed.as_secs_f64());
    println!("running after      {:>8.1} s", many.running.as_secs_f64());
    println!("one more beside    {:>8.3} s", many.beside.as_secs_f64());
    println!("processor          {:>8.1} s", many.processor);
    println!("memory with nodes  {:>8.0} MiB", many.empty);
    println!("at most            {:>8.0} MiB", many.peak);
    println!("all running        {:>8.0} MiB", many.full);
    println!("page of 50, median {:>8.2} ms", many.page.as_secs_f64() * 1e3);
    Ok(())
}

pub fn measure(allocs: usize, nodes: usize) -> Result<Many> {
    let lab = Lab::of(&xtask_start::target().join("release"))?;
    let crew = Crew::start(&lab, nodes)?;
    let server = &crew.server;
    let empty = settled(&crew)?;
    let (begun, before) = (Instant::now(), crew.processor()?);
    let stop = AtomicBool::new(false);
    let (watched, beside) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&crew, allocs, begun, &stop));
        let beside = hand_in(server, allocs);
        if beside.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        let watched = watch.join().expect("no panic");
        beside.and_then(|beside| Ok((watched?, beside)))
    })?;
    let processor = crew.processor()? - before;
    let dead = server.ask(&calls::nodes(&Query::new()))?.iter().filter(|n| n.status != "ready").count();
    ensure!(dead == 0, "{dead} of {nodes} nodes were called dead");
    let full = settled(&crew)?;
    let page = page_of_fifty(server)?;
    let Watched { placed, running, peak } = watched;
    Ok(Many { allocs, nodes, placed, running, beside, processor, empty, peak: peak.max(full), full, page })
}

/// Registers the jobs, and one more beside them.
fn hand_in(server: &Agent, allocs: usize) -> Result<Duration> {
    for (n, count) in sizes(allocs).enumerate() {
        server.ask(&calls::register_json(&Query::new(), &job(&format!("many-{n}"), count), None))?;
    }
    one_more(server)
}

fn sizes(allocs: usize) -> impl Iterator<Item = usize> {
    (0..allocs.div_ceil(EACH)).map(move |n| EACH.min(allocs - n * EACH))
}

fn job(id: &str, count: usize) -> Value {
    let task = json!({ "Name": "t", "Driver": "mock_driver", "Config": { "run_for": "24h" },
        "Resources": { "CPU": 20, "MemoryMB": 20 }, "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 } });
    let group = json!({ "Name": "g", "Count": count, "Tasks": [task], "EphemeralDisk": { "SizeMB": 10 } });
    json!({ "ID": id, "Name": id, "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group] })
}

struct Watched {
    placed: Duration,
    running: Duration,
    peak: f64,
}

/// Looks until all run. No look may show more than there are.
fn watch(crew: &Crew, allocs: usize, begun: Instant, stop: &AtomicBool) -> Result<Watched> {
    let (mut placed, mut peak) = (None, 0.0_f64);
    loop {
        let jobs = crew.server.ask(&calls::jobs_overview("q=many-", 1, allocs.div_ceil(EACH)))?;
        let (mut there, mut running) = (0, 0);
        for row in &jobs.rows {
            let counts = &row.counts;
            let sum = counts.starting + counts.running + counts.complete + counts.failed + counts.lost + counts.unknown;
            ensure!(sum <= EACH as u64, "{} counts {sum} allocations: {counts:?}", row.id);
            ensure!(counts.failed + counts.lost + counts.unknown == 0, "{}: {counts:?}", row.id);
            there += sum as usize;
            running += counts.running as usize;
        }
        peak = peak.max(crew.resident()?);
        if there == allocs {
            placed.get_or_insert_with(|| begun.elapsed());
        }
        if running == allocs {
            let running = begun.elapsed();
            return Ok(Watched { placed: placed.unwrap_or(running), running, peak });
        }
        ensure!(!stop.load(Ordering::Relaxed), "the jobs could not be handed in");
        ensure!(begun.elapsed() < PATIENCE, "only {running} of {allocs} run after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// How long a job of one allocation takes to be placed now.
fn one_more(server: &Agent) -> Result<Duration> {
    let begun = Instant::now();
    server.ask(&calls::register_json(&Query::new(), &job("one-more", 1), None))?;
    while server.allocs("one-more")?.is_empty() {
        ensure!(begun.elapsed() < PATIENCE, "one more job was not placed in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(begun.elapsed())
}

/// Resident memory once the server is at rest.
fn settled(crew: &Crew) -> Result<f64> {
    let mut before = crew.processor()?;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(1));
        let now = crew.processor()?;
        if now - before < 0.15 {
            break;
        }
        before = now;
    }
    crew.resident()
}

fn page_of_fifty(server: &Agent) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let page = server.ask(&calls::allocations(&Query::new().page(50, None)))?;
        took.push(begun.elapsed());
        ensure!(page.len() == 50, "a page of {}", page.len());
    }
    took.sort();
    Ok(took[took.len() / 2])
}
