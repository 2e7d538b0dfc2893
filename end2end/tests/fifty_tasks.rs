//! Fifty tasks of every driver on one client, whose agent is killed again and again; and the machine itself that goes down.
//!
//! In namespaces of the test's own, with an engine of its own. `TARPAN_SEED` repeats the moments.

#![allow(clippy::disallowed_methods, reason = "no test here is async")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tarpan_api::{Query, Timestamp, calls};
use tarpan_end2end::chance::Random;
use tarpan_end2end::counting::{self, SHELL, unbroken};
use tarpan_end2end::eventually;
use tarpan_end2end::grounds::{Grounds, Run, bridged, guest, has, job, play, task};
use tarpan_end2end::lab::PATIENCE;

const KILLS: u64 = 10;

/// One task of one allocation: equal as long as it runs on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Counts {
    alloc: String,
    task: String,
    started: Timestamp,
    restarts: u64,
}

/// Every task, when all of all allocations run.
fn running(grounds: &Grounds<'_>, expected: usize) -> Result<BTreeSet<Counts>> {
    let query = Query::new().with("task_states", true);
    eventually(&format!("{expected} tasks to run"), PATIENCE * 3, || {
        let mut found = BTreeSet::new();
        for alloc in grounds.server.ask(&calls::allocations(&query))? {
            for (task, state) in alloc.task_states.iter().filter(|(_, state)| state.state == "running") {
                found.insert(Counts {
                    alloc: alloc.id.clone(),
                    task: task.clone(),
                    started: state.started_at,
                    restarts: state.restarts,
                });
            }
        }
        ensure!(found.len() == expected, "{} of them run", found.len());
        Ok(Some(found))
    })
    .with_context(|| format!("{}\n{}", grounds.server.tasks_tail(), grounds.client.log_tail()))
}

/// How far each has counted; an error when one has not counted on without a gap.
fn counted(grounds: &Grounds<'_>, tasks: &BTreeSet<Counts>) -> Result<BTreeMap<Counts, u64>> {
    let one = |task: &Counts| -> Result<(Counts, u64)> {
        let text = grounds.server.ok(&["alloc", "logs", &task.alloc, &task.task])?;
        // A machine writes its lines letter by letter.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        Ok((task.clone(), unbroken(whole).with_context(|| format!("{task:?}"))?))
    };
    tasks.iter().map(one).collect()
}

fn start_all(grounds: &Grounds<'_>) -> Result<usize> {
    let volume = json!({"data": {"Name": "data", "Type": "host", "Source": "data"}});
    let sidecar = {
        let mut sidecar = task("beside", "raw_exec", SHELL);
        sidecar["Lifecycle"] = json!({"Hook": "prestart", "Sidecar": true});
        sidecar
    };
    let mut main = task("main", "exec", SHELL);
    main["VolumeMounts"] = json!([{"Volume": "data", "Destination": "/data"}]);
    let mut paired = bridged(job("paired", "service", 4, &[main, sidecar]));
    paired["TaskGroups"][0]["Volumes"] = volume;
    let mut jobs = vec![
        (21, job("plain", "service", 21, &[task("t", "raw_exec", SHELL)])),
        (12, job("walled", "service", 12, &[task("t", "exec", SHELL)])),
        (8, paired),
    ];
    if grounds.engine.is_ok() {
        jobs.push((4, job("boxes", "service", 4, &[task("t", "docker", SHELL)])));
        jobs.push((2, bridged(job("joined", "service", 2, &[task("t", "docker", SHELL)]))));
    }
    if has("java") && has("javac") {
        counting::java_class(&grounds.lab.path().join("classes"))?;
        jobs.push((2, job("jvm", "service", 2, &[task("t", "java", "")])));
    }
    if has("qemu-system-x86_64") {
        // One: a disk that is written to has one machine.
        jobs.push((1, job("guest", "service", 1, &[guest("t", grounds.lab.path())])));
    }
    for (_, job) in &jobs {
        grounds.register(job)?;
    }
    Ok(jobs.iter().map(|(count, _)| count).sum())
}

#[test]
fn fifty_tasks_outlive_their_agent_ten_times() -> Result<()> {
    play(|grounds| {
        let mut random = Random::seeded();
        let before = grounds.traces()?;
        let count = start_all(grounds)?;
        println!("{count} tasks");
        let tasks = running(grounds, count)?;
        let (runs, containers) = (grounds.runs(), grounds.containers()?);
        let lines = eventually("every task to have counted", PATIENCE, || {
            let lines = counted(grounds, &tasks)?;
            Ok(lines.values().all(|line| *line > 5).then_some(lines))
        })?;
        for _ in 0..KILLS {
            // Also in the middle of finding them again.
            std::thread::sleep(Duration::from_millis(random.below(2500)));
            grounds.client.kill9()?;
            std::thread::sleep(Duration::from_millis(random.below(500)));
            grounds.client.launch_again()?;
        }
        grounds.client.wait_until_up()?;
        grounds.server.wait_nodes(1)?;
        ensure!(
            running(grounds, count)? == tasks,
            "a task was started anew, or is another's\n{}",
            grounds.client.log_tail()
        );
        ensure!(grounds.runs() == runs, "the processes are others");
        ensure!(grounds.containers()? == containers, "the containers are others");
        eventually("every task to count on", PATIENCE, || {
            let now = counted(grounds, &tasks)?;
            let still = now.iter().find(|(task, line)| **line < lines[task] + 20);
            ensure!(still.is_none(), "{still:?}");
            Ok(Some(()))
        })
        .with_context(|| grounds.client.log_tail())?;
        grounds.clear()?;
        grounds.client.stop()?;
        eventually("nothing to be left", PATIENCE, || {
            let left = grounds.traces()?.left(&before);
            ensure!(left.is_empty(), "{left}");
            Ok(Some(()))
        })
    })
}

#[test]
fn a_machine_that_went_down_runs_everything_again() -> Result<()> {
    play(|grounds| {
        let before = grounds.traces()?;
        let mut jobs = vec![
            job("plain", "service", 2, &[task("t", "raw_exec", SHELL)]),
            job("walled", "service", 2, &[task("t", "exec", SHELL)]),
            job("once", "batch", 1, &[task("t", "raw_exec", SHELL)]),
            bridged(job("paired", "service", 2, &[task("main", "exec", SHELL), task("beside", "raw_exec", SHELL)])),
        ];
        let mut count = 9;
        if grounds.engine.is_ok() {
            jobs.push(bridged(job("joined", "service", 1, &[task("t", "docker", SHELL)])));
            count += 1;
        }
        jobs.iter().try_for_each(|job| grounds.register(job))?;
        let tasks = running(grounds, count)?;
        let runs = grounds.runs();

        grounds.client.kill9()?;
        grounds.lose_power()?;
        grounds.client.start_again_with(&[("TARPAN_BOOT_ID", "another")])?;
        grounds.server.wait_nodes(1)?;
        let again = eventually("every task to have started anew", PATIENCE * 2, || {
            let now = running(grounds, count)?;
            let same = now.intersection(&tasks).count();
            ensure!(same == 0, "{same} are reported as if nothing had happened");
            Ok(Some(now))
        })?;
        // None was lost to its server: each goes on under its own name.
        let ids = |tasks: &BTreeSet<Counts>| tasks.iter().map(|t| t.alloc.clone()).collect::<BTreeSet<_>>();
        ensure!(ids(&again) == ids(&tasks), "{:?}\n{}", ids(&again), grounds.server.tasks_tail());
        let lives = |run: &Run| std::path::Path::new(&format!("/proc/{}", run.task)).exists();
        let now = grounds.runs();
        ensure!(now.values().all(lives) && now.keys().all(|dir| !runs.contains_key(dir)), "{now:?}");
        let told = |id: &String| -> Result<bool> {
            let alloc = grounds.server.ask(&calls::allocation(&Query::new(), id))?;
            let events = alloc.task_states.values().flat_map(|state| &state.events);
            Ok(events.into_iter().any(|event| event.display_message.contains("the machine was started anew")))
        };
        let plain = grounds.server.allocs("plain")?;
        ensure!(told(&plain[0].id)?, "{}", grounds.server.tasks_tail());
        grounds.clear()?;
        grounds.client.stop()?;
        eventually("nothing to be left", PATIENCE, || {
            let left = grounds.traces()?.left(&before);
            ensure!(left.is_empty(), "{left}");
            Ok(Some(()))
        })
    })
}
