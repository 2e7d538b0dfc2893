//! Three servers and two clients in namespaces of their own, under faults: servers are killed, paused, cut off (also one way), their disks
//! fill up, their clocks are stepped. Meanwhile clients write and read registers and append to sets.
//!
//! What has to hold: the region is formed within five seconds; what the clients saw is explained by one order of what they did
//! (docs/decisions/0028); nothing that was acknowledged is lost; tasks keep their processes; within five seconds of a fault's end
//! every server takes writes again.
//!
//! Two minutes; `TARPAN_LONG=1` gives ten. `TARPAN_SEED` repeats a run's choices (not the machine's timing); the seed is printed.
//! `TARPAN_FAULTS=Kill,Pause` picks faults, `TARPAN_LOG_LEVEL` is what servers log at.
//! Needs root for namespaces and mounts, `ip`, `iptables`, `nsenter`, Go and a C compiler: skipped without, a failure in CI.

#![allow(clippy::disallowed_methods, reason = "nothing here is async")]

mod faults {
    pub mod clients;
    pub mod cluster;
    pub mod deck;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tarpan_end2end::Lab;
use tarpan_end2end::chance::Random;
use tarpan_end2end::history::{Checker, Kind, Operation, Recording};
use tarpan_end2end::net::{Net, apart};
use tarpan_end2end::wall::Shim;

use faults::clients::Clients;
use faults::cluster::Cluster;
use faults::deck::{Deck, Fault};

/// How long a cold start may take until there is a region.
const FORMED: Duration = Duration::from_secs(5);
/// How long it may take until a server takes writes again.
const BACK: Duration = Duration::from_secs(5);
/// How long the checker may think.
const THINKING: Duration = Duration::from_secs(120);

fn length() -> Duration {
    match std::env::var("TARPAN_LONG").is_ok_and(|v| v == "1") {
        true => Duration::from_secs(600),
        false => Duration::from_secs(120),
    }
}

/// Says what can't be tried here, and why; in CI nothing may be missing.
fn skip(what: &str, why: &str) -> Result<()> {
    let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    ensure!(!ci, "{what}: {why}");
    println!("skipped: {what}: {why}");
    Ok(())
}

/// Where the checker is built, and histories and logs are kept.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults")
}

#[test]
fn histories_under_faults_are_linearizable() -> Result<()> {
    let what = "servers under faults";
    let Some(checker) = Checker::build(&folder())? else { return skip(what, "go is not on the PATH") };
    let lab = Lab::new()?;
    let Some(shim) = Shim::make(lab.path())? else { return skip(what, "there is no C compiler") };
    let played = apart(lab.path(), |net| {
        let kept = folder().join(format!("{}", std::process::id()));
        std::fs::create_dir_all(&kept)?;
        let result = play(&lab, net, &shim, &checker, &kept);
        if result.is_err() {
            for log in
                std::fs::read_dir(lab.path())?.flatten().filter(|e| e.path().extension().is_some_and(|e| e == "log"))
            {
                std::fs::copy(log.path(), kept.join(log.file_name()))?;
            }
        } else {
            std::fs::remove_dir_all(&kept)?;
        }
        result.with_context(|| format!("logs and history are in {}", kept.display()))
    })?;
    played.or_else(|why| skip(what, &why))
}

fn play(lab: &Lab, net: Net, shim: &Shim, checker: &Checker, kept: &Path) -> Result<()> {
    let mut random = Random::seeded();
    let begun = Instant::now();
    let (mut cluster, formed) = Cluster::form(lab, net, shim)?;
    println!("formed after {formed:?}");
    ensure!(formed < FORMED, "formed after {formed:?}");
    let tasks = cluster.start_tasks()?;
    println!("ready after {:?}, {} tasks", begun.elapsed(), tasks.len());

    let (stop, recording) = (AtomicBool::new(false), Recording::default());
    let addresses = cluster.addresses();
    let clients = Clients::new(&addresses, &recording, &stop);
    let deck = std::thread::scope(|threads| {
        for client in 0..faults::clients::COUNT {
            let (clients, random) = (&clients, random.fork());
            threads.spawn(move || clients.work(client, random));
        }
        let mut deck = Deck::new(random);
        let result = suffer(&mut cluster, &mut deck, &clients, &tasks);
        stop.store(true, Ordering::Relaxed);
        result.map(|()| deck)
    })?;

    clients.look_at_all()?;
    let counts = clients.counts();
    let operations = recording.all();
    let lost = lost(&operations);
    let said = checker.check(&operations, &kept.join("history.json"), THINKING);
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    cluster.agree(&operations)?;
    ensure!(cluster.tasks() == tasks, "tasks were {tasks:?} and are {:?}", cluster.tasks());
    println!("operations: {counts}");
    println!("{deck}");
    println!("{}", said?);
    cluster.end()
}

/// Fault after fault, until the time is over.
fn suffer(cluster: &mut Cluster, deck: &mut Deck, clients: &Clients<'_>, tasks: &BTreeSet<String>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < length() {
        let Fault { kind, target, lasts } = deck.draw(|| cluster.leader());
        println!("{:6.1} s  {kind:?} of {target} for {lasts:?}", begun.elapsed().as_secs_f32());
        let over = cluster.inflict(kind, target, lasts).with_context(|| format!("{kind:?} of {target}"))?;
        let waits = clients.write_by_each(over, BACK * 6).with_context(|| cluster.tails())?;
        println!("          written again after {waits:?}");
        deck.note(kind, waits);
        let slow = waits.iter().any(|wait| *wait >= BACK);
        ensure!(!slow, "after {kind:?} of {target} writes succeeded again after {waits:?}\n{}", cluster.tails());
        let now = cluster.tasks();
        ensure!(now == *tasks, "after {kind:?} of {target}: tasks were {tasks:?} and are {now:?}\n{}", cluster.tails());
        std::thread::sleep(deck.calm());
    }
    Ok(())
}

/// Members that were acknowledged and that the last list of their set does not show.
fn lost(operations: &[Operation]) -> Vec<String> {
    let appended = operations.iter().filter(|op| op.kind == Kind::Append && op.end.is_some());
    let shown = |op: &&Operation| {
        let last = operations.iter().rfind(|list| list.kind == Kind::List && list.key == op.key);
        last.is_some_and(|list| list.seen.contains(&op.value))
    };
    appended.filter(|op| !shown(op)).map(|op| op.value.clone()).collect()
}

#[test]
fn the_checker_can_fail() -> Result<()> {
    let what = "histories that are not linearizable";
    let scratch = tempfile::tempdir()?;
    let Some(checker) = Checker::build(scratch.path())? else { return skip(what, "go is not on the PATH") };
    let file = scratch.path().join("history.json");
    // Who, what, of which value at which index, from when to when; no end: nobody knows.
    let op = |client, kind, (value, index): (&str, u64), call, end: u64| Operation {
        client,
        kind,
        key: "k".to_owned(),
        call,
        end: (end > 0).then_some(end),
        value: value.to_owned(),
        index,
        expected: 0,
        seen: Vec::new(),
    };
    let cas =
        |client, expected, written, call, end| Operation { expected, ..op(client, Kind::Cas, written, call, end) };
    let list = |client, seen: &[&str], call, end| {
        let seen = seen.iter().map(|member| (*member).to_owned()).collect();
        Operation { seen, ..op(client, Kind::List, ("", 0), call, end) }
    };
    let (read, write, append) = (Kind::Read, Kind::Write, Kind::Append);
    for (name, explained, history) in [
        ("one after the other", true, vec![op(0, write, ("a", 5), 1, 2), op(1, read, ("a", 5), 3, 4)]),
        (
            "a stale read",
            false,
            vec![op(0, write, ("a", 5), 1, 2), op(0, write, ("b", 6), 3, 4), op(1, read, ("a", 5), 5, 6)],
        ),
        (
            "a read back in time",
            false,
            vec![op(0, write, ("a", 5), 1, 9), op(1, read, ("a", 5), 2, 3), op(2, read, ("", 0), 4, 5)],
        ),
        (
            "what nobody knows may happen late",
            true,
            vec![
                op(0, write, ("a", 0), 1, 0),
                op(1, write, ("b", 5), 2, 3),
                op(1, read, ("b", 5), 4, 5),
                op(1, read, ("a", 6), 6, 7),
            ],
        ),
        (
            "but not twice",
            false,
            vec![
                op(0, write, ("a", 0), 1, 0),
                op(1, read, ("a", 4), 2, 3),
                op(1, write, ("b", 5), 4, 5),
                op(1, read, ("a", 6), 6, 7),
            ],
        ),
        ("what was refused, seen", false, vec![op(1, read, ("a", 4), 2, 3)]),
        (
            "a lost update",
            false,
            vec![
                op(0, write, ("a", 5), 1, 2),
                cas(1, 5, ("b", 6), 3, 8),
                cas(2, 5, ("c", 7), 3, 8),
                op(0, read, ("c", 7), 9, 10),
            ],
        ),
        (
            "one of two updates, its outcome unknown",
            true,
            vec![
                op(0, write, ("a", 5), 1, 2),
                cas(1, 5, ("b", 6), 3, 8),
                cas(2, 5, ("c", 0), 3, 0),
                op(0, read, ("b", 6), 9, 10),
            ],
        ),
        (
            "a set that grows",
            true,
            vec![
                op(0, append, ("a", 0), 1, 2),
                op(1, append, ("b", 0), 1, 0),
                list(2, &["a"], 3, 4),
                list(2, &["a", "b"], 5, 6),
            ],
        ),
        ("a lost append", false, vec![op(0, append, ("a", 0), 1, 2), list(2, &[], 3, 4)]),
        (
            "an append that was seen and is gone",
            false,
            vec![op(0, append, ("a", 0), 1, 0), list(2, &["a"], 3, 4), list(2, &[], 5, 6)],
        ),
        ("nothing", false, vec![]),
    ] {
        let said = checker.check(&history, &file, THINKING);
        ensure!(said.is_ok() == explained, "{name}: {said:?}");
    }
    Ok(())
}
