//! Kills at random moments, of the server and of the client, under writers and starting tasks: nothing that was acknowledged is
//! lost, no task runs twice, none is left behind or waits for ever. Once the client loses what it knew, too.
//!
//! A short form; `TARPAN_LONG=1` gives 20 kills, 8 writers and 50 tasks. `TARPAN_SEED` repeats a run's choices (not the
//! machine's timing); the seed is printed.

#![allow(clippy::disallowed_methods, reason = "no test here is async")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tarpan_api::{Client, Query, calls};
use tarpan_end2end::chance::Random;
use tarpan_end2end::http::ask;
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

struct Size {
    kills: u64,
    writers: usize,
    tasks: u64,
}

fn size() -> Size {
    match std::env::var("TARPAN_LONG").is_ok_and(|v| v == "1") {
        true => Size { kills: 20, writers: 8, tasks: 50 },
        false => Size { kills: 4, writers: 3, tasks: 12 },
    }
}

/// A job of tasks that say once that they run, and then stay.
fn job(id: &str, count: u64, mark: &str, file: &Path) -> serde_json::Value {
    let script = format!(": {mark}; echo $NOMAD_ALLOC_ID $$ >> {}; while :; do sleep 1; done", file.display());
    json!({"ID": id, "Name": id, "Type": "service", "Datacenters": ["*"], "TaskGroups": [{
        // Fifty times the usual 300 MB is more than a machine of tests may have left.
        "Name": "g", "Count": count, "EphemeralDisk": {"SizeMB": 10}, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sh", "args": ["-c", script]},
            "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1}, "Resources": {"CPU": 20, "MemoryMB": 10}
        }]
    }]})
}

fn register(server: &Client, job: &serde_json::Value) -> Result<()> {
    ask(server, &calls::register_json(&Query::new(), job, None)).map(|_| ())
}

/// Registers small jobs one after the other until told to stop, and notes each that was acknowledged.
fn write(server: &Client, writer: usize, stop: &AtomicBool, acknowledged: &Mutex<BTreeSet<String>>) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = format!("w{writer}-{n}");
        let mut job = job(&id, 0, "none", Path::new("/dev/null"));
        job["ParameterizedJob"] = json!({});
        job["Type"] = json!("batch");
        // An error says nothing about whether it was written: the same one is tried again.
        if register(server, &job).is_ok() {
            acknowledged.lock().expect("no panic while held").insert(id);
            n += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Living tasks by their mark: pid to allocation.
fn alive(mark: &str) -> BTreeMap<i32, String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let of = |pid: i32| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).ok();
        // Its shell, not the `sleep` that it waits for.
        String::from_utf8_lossy(&read("cmdline")?).contains(mark).then_some(())?;
        let environment = String::from_utf8_lossy(&read("environ")?).into_owned();
        let id = environment.split('\0').find_map(|pair| pair.strip_prefix("NOMAD_ALLOC_ID="))?.to_owned();
        Some((pid, id))
    };
    pids.filter_map(of).collect()
}

/// Allocations that the servers take for running.
fn running(server: &Agent, jobs: u64) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for n in 0..jobs {
        for alloc in server.allocs(&format!("tasks-{n}"))? {
            if alloc.client_status == "running" && alloc.desired_status == "run" {
                ids.insert(alloc.id);
            }
        }
    }
    Ok(ids)
}

/// What is wrong now; `None`: nothing is.
fn wrong(server: &Agent, size: &Size, mark: &str, file: &Path) -> Result<Option<String>> {
    let running = running(server, size.kills)?;
    if running.len() as u64 != size.tasks {
        return Ok(Some(format!("{} of {} tasks run", running.len(), size.tasks)));
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        *starts.entry(line.split(' ').next().unwrap_or_default()).or_default() += 1;
    }
    if let Some((id, times)) = starts.iter().find(|(_, times)| **times != 1) {
        return Ok(Some(format!("allocation {id} started {times} times")));
    }
    let alive = alive(mark);
    let of_alive: BTreeSet<String> = alive.values().cloned().collect();
    Ok((of_alive != running || alive.len() != running.len())
        .then(|| format!("{} processes live of {} allocations that run", alive.len(), running.len())))
}

#[test]
fn nothing_is_lost_doubled_or_orphaned() -> Result<()> {
    let (size, lab) = (size(), Lab::new()?);
    let mut random = Random::seeded();
    let (mut server, mut client) = server_and_client(&lab)?;
    let mark = format!("kills-{}", std::process::id());
    let file = lab.path().join("started");
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::default());
    let asked = server.client.clone();
    std::thread::scope(|threads| {
        for writer in 0..size.writers {
            let (asked, stop, acknowledged) = (&asked, &stop, &acknowledged);
            threads.spawn(move || write(asked, writer, stop, acknowledged));
        }
        let result = kill_away(&lab, &size, &mut random, (&mut server, &mut client), &mark);
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    eventually("every task to run, once", Duration::from_secs(120), || match wrong(&server, &size, &mark, &file)? {
        None => Ok(Some(())),
        Some(what) => anyhow::bail!("{what}"),
    })
    .with_context(|| format!("{}\n{}", server.log_tail(), client.log_tail()))?;
    let jobs = server.ask(&calls::jobs(&Query::new().prefix("w")))?;
    let known: BTreeSet<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let acknowledged = acknowledged.into_inner().expect("no panic while held");
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !known.contains(id.as_str())).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!("{} acknowledged writes, {} tasks", acknowledged.len(), size.tasks);
    for n in 0..size.kills {
        server.ok(&["job", "stop", "-detach", "-purge", &format!("tasks-{n}")])?;
    }
    eventually("every task to end", Duration::from_secs(60), || Ok(alive(&mark).is_empty().then_some(())))
        .with_context(|| client.log_tail())
}

/// Each kill meets tasks that are starting.
fn kill_away(
    lab: &Lab,
    size: &Size,
    random: &mut Random,
    (server, client): (&mut Agent, &mut Agent),
    mark: &str,
) -> Result<()> {
    let file = lab.path().join("started");
    for n in 0..size.kills {
        let count = size.tasks / size.kills + u64::from(n < size.tasks % size.kills);
        let job = job(&format!("tasks-{n}"), count, mark, &file);
        eventually("the job to be taken", PATIENCE, || register(&server.client, &job).map(Some))?;
        std::thread::sleep(Duration::from_millis(random.below(700)));
        // Somewhere in the middle, so that much has to be found again.
        let loses_all = n == size.kills / 2;
        let victim = if random.below(2) == 0 && !loses_all { &mut *server } else { &mut *client };
        victim.kill9()?;
        if loses_all {
            std::fs::remove_dir_all(lab.path().join("client/client/state"))?;
        }
        std::thread::sleep(Duration::from_millis(random.below(300)));
        victim.start_again()?;
    }
    Ok(())
}
