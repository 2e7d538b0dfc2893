//! What a page that stays open costs the server: `cargo xtask bench -pages`.
//!
//! A server of its own with simulated nodes, many jobs and their allocations; a real browser on each of the main pages in turn. Printed is
//! the server's processor time with the page open less that without, in percent of a core: while nothing happens, and while groups are
//! scaled up and down so that some hundred objects change a second. Nothing here fails on a number: machines differ.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tarpan_api::wire::Events;
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::{eventually, root};
use tarpan_end2end::{Agent, Lab};

use super::crew::{Crew, processor};
use crate::browser;
use crate::shell::{heading, run as sh};

struct Wanted {
    jobs: usize,
    seconds: u64,
    release: bool,
    /// Part of a page's address; empty: every page.
    only: String,
}

/// Allocations of a job.
const EACH: usize = 5;
const NODES: usize = 200;
/// Jobs that are scaled a second: each change is a job, its evaluation twice, an allocation placed and running.
const SCALED: u64 = 20;

impl Wanted {
    fn of(flags: &[&str]) -> Result<Wanted> {
        let mut wanted = Wanted { jobs: 10_000, seconds: 15, release: false, only: String::new() };
        for flag in flags {
            match flag.split_once('=') {
                None if *flag == "pages" => {}
                None if *flag == "release" => wanted.release = true,
                Some(("jobs", n)) => wanted.jobs = n.parse().context("-jobs=N")?,
                Some(("seconds", n)) => wanted.seconds = n.parse().context("-seconds=N")?,
                Some(("only", text)) => wanted.only = text.to_owned(),
                _ => bail!("bench -pages knows -jobs=N, -seconds=N, -only=TEXT and -release, not -{flag}"),
            }
        }
        Ok(wanted)
    }
}

pub fn run(flags: &[&str]) -> Result<()> {
    let wanted = Wanted::of(flags)?;
    heading("Build");
    let profile: &[&str] = if wanted.release { &["--release"] } else { &[] };
    sh(&[&["cargo", "build", "--locked", "-p", "tarpan-cli", "-p", "ptc"], profile].concat())?;
    browser::install()?;
    let lab = Lab::of(&xtask_start::target().join(if wanted.release { "release" } else { "debug" }))?;
    heading("A cluster");
    let crew = Crew::start(&lab, NODES)?;
    let server = &crew.server;
    fill(server, wanted.jobs)?;
    heading("Measuring");
    let first = server.ask(&calls::allocations(&Query::new().page(1, None)))?;
    let alloc = first.first().context("an allocation")?;
    let pages = [
        "/ui/jobs".to_owned(),
        format!("/ui/jobs/{}", alloc.job_id),
        format!("/ui/allocations/{}", alloc.id),
        "/ui/clients".to_owned(),
        format!("/ui/clients/{}", alloc.node_id),
        "/ui/topology".to_owned(),
        "/ui/evaluations".to_owned(),
        "/ui/services".to_owned(),
    ];
    println!("{:<24} {:>10} {:>14} {:>16}", "percent of a core", "at rest", "with changes", "changes/s");
    for page in pages.iter().filter(|page| page.contains(&wanted.only)) {
        measure(&lab, server, page, &wanted)?;
    }
    Ok(())
}

fn job(id: &str, count: usize) -> Value {
    let task = json!({ "Name": "t", "Driver": "mock_driver", "Config": { "run_for": "24h" },
        "Resources": { "CPU": 20, "MemoryMB": 20 } });
    let group = json!({ "Name": "g", "Count": count, "Tasks": [task], "EphemeralDisk": { "SizeMB": 110 } });
    json!({ "ID": id, "Name": id, "Type": "service", "Datacenters": ["dc1"], "Update": { "MaxParallel": 0 },
        "TaskGroups": [group] })
}

fn fill(server: &Agent, jobs: usize) -> Result<()> {
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let work = || -> Result<()> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed) as usize;
            if n >= jobs {
                return Ok(());
            }
            server.ask(&calls::register_json(&Query::new(), &job(&format!("job-{n:05}"), EACH), None))?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().expect("no panic"))
    })?;
    eventually("every allocation to run", Duration::from_secs(900), || {
        let [running, ..] = server.ask(&calls::jobs_overview("", 1, 1))?.sums;
        std::thread::sleep(Duration::from_secs(1));
        Ok((running >= (jobs * EACH) as u64).then_some(()))
    })?;
    println!("{jobs} jobs, {} allocations on {NODES} nodes after {:?}", jobs * EACH, begun.elapsed());
    Ok(())
}

/// One page, open in a browser.
struct Open(Child);

impl Open {
    fn at(lab: &Lab, url: &str) -> Result<Open> {
        let chromium = std::env::var("TARPAN_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        let mut command = Command::new("node");
        command.arg(root().join("end2end/browser/hold.mjs")).arg(url).current_dir(root().join("end2end"));
        command.env("TARPAN_CHROMIUM", chromium).env("TMPDIR", lab.path());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting node")?;
        let mut open = Open(child);
        let mut line = String::new();
        BufReader::new(open.0.stdout.as_mut().context("an output")?).read_line(&mut line)?;
        if line.trim() != "open" {
            bail!("{url} did not open");
        }
        Ok(open)
    }

    /// What it asked while it was open: a line a path.
    fn close(mut self) -> Result<String> {
        drop(self.0.stdin.take());
        let mut asked = String::new();
        std::io::Read::read_to_string(self.0.stdout.as_mut().context("an output")?, &mut asked)?;
        self.0.wait()?;
        Ok(asked)
    }
}

/// Percent of a core that the server takes over some seconds.
fn busy(server: &Agent, seconds: u64) -> Result<f64> {
    let (before, begun) = (processor(server)?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    Ok((processor(server)? - before) * 100.0 / begun.elapsed().as_secs_f64())
}

fn measure(lab: &Lab, server: &Agent, page: &str, wanted: &Wanted) -> Result<()> {
    let url = format!("{}{page}", server.addr);
    let seconds = wanted.seconds;
    let quiet = busy(server, seconds)?;
    let open = Open::at(lab, &url)?;
    std::thread::sleep(Duration::from_secs(3));
    let rest = busy(server, seconds)? - quiet;
    let asked_at_rest = open.close()?;
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let (changes, per_second, asked) = std::thread::scope(|scope| -> Result<_> {
        let churn = scope.spawn(|| churn(server, wanted.jobs, &stop, &made));
        let measured = (|| {
            std::thread::sleep(Duration::from_secs(3));
            let before = busy(server, seconds)?;
            let open = Open::at(lab, &url)?;
            std::thread::sleep(Duration::from_secs(3));
            let (index, begun) = (index(server)?, Instant::now());
            let with = busy(server, seconds)?;
            let per_second = events_since(server, index)? as f64 / begun.elapsed().as_secs_f64();
            let asked = open.close()?;
            let after = busy(server, seconds)?;
            Ok((with - (before + after) / 2.0, per_second, asked))
        })();
        stop.store(true, Ordering::Relaxed);
        churn.join().expect("no panic")?;
        measured
    })?;
    let name: String = page.chars().take(24).collect();
    println!("{name:<24} {rest:>10.2} {changes:>14.2} {per_second:>16.0}");
    for (when, asked) in [("at rest", asked_at_rest), ("with changes", asked)] {
        for line in asked.lines() {
            println!("    {when}: {line}");
        }
    }
    std::io::stdout().flush()?;
    Ok(())
}

/// Scales jobs up and down, so many a second, until it is told to stop.
fn churn(server: &Agent, jobs: usize, stop: &AtomicBool, made: &AtomicU64) -> Result<()> {
    let begun = Instant::now();
    let mut counts = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let n = made.fetch_add(1, Ordering::Relaxed);
        // Every twentieth change is of the job that may be on the page.
        let job = if n.is_multiple_of(20) { 0 } else { (n as usize * 7) % jobs };
        let count = counts.entry(job).or_insert(EACH);
        *count = if *count == EACH { EACH + 1 } else { EACH };
        server.ask(&calls::scale(&Query::new(), &format!("job-{job:05}"), "g", Some(*count as i64), ""))?;
        let due = Duration::from_secs_f64((n + 1) as f64 / SCALED as f64);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

fn index(server: &Agent) -> Result<u64> {
    let newest = Query { reverse: true, ..Query::new() }.page(1, None);
    let page = server.ask(&calls::evaluations(&newest))?;
    Ok(page.first().context("an evaluation")?.modify_index)
}

/// How many objects changed after `index`, as the event stream tells.
fn events_since(server: &Agent, index: u64) -> Result<usize> {
    let until = self::index(server)?;
    let mut count = 0;
    for line in server.lines(&calls::events(&Query::new(), &[], index + 1).with("payload", false))? {
        let line: Events = serde_json::from_str(&line?)?;
        count += line.events.len();
        if line.index >= until {
            break;
        }
    }
    Ok(count)
}
