//! Many seeds keep every promise; equal seeds go alike; and what is broken on purpose is found.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tarpan_sim::{Broken, Report, run};

/// Runs of these seeds, on all processors, that broke one of these promises, by the beginnings of their names.
fn failures(seeds: u64, broken: Option<Broken>, promises: &[&str], enough: usize) -> Vec<Report> {
    let (next, failed) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while failed.lock().expect("no panic while held").len() < enough {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    let report = run(seed, broken);
                    let one_of = |promise: &str| promises.iter().any(|name| promise.starts_with(name));
                    if report.failure.as_ref().is_some_and(|failure| one_of(&failure.promise)) {
                        failed.lock().expect("no panic while held").push(report);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no panic while held")
}

#[test]
fn two_hundred_seeds_keep_every_promise() {
    let failed = failures(200, None, &[""], 3);
    let texts: Vec<String> = failed.iter().map(Report::to_string).collect();
    assert!(failed.is_empty(), "{}", texts.join("\n\n"));
}

#[test]
fn equal_seeds_go_alike() {
    for seed in [3, 17, 40] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

/// Found within some seeds, by a promise whose name begins so.
fn is_found(broken: Broken, seeds: u64, promises: &[&str]) {
    let found = failures(seeds, Some(broken), promises, 1);
    assert!(!found.is_empty(), "{broken:?} was not found in {seeds} seeds");
}

#[test]
fn entries_acknowledged_before_they_are_flushed_are_missed() {
    is_found(Broken::AcksUnflushed, 400, &["no committed entry is lost", "all servers", "no agent has seen"]);
}

#[test]
fn flushed_entries_that_a_crash_takes_are_missed() {
    is_found(Broken::LosesFlushed, 400, &["no committed entry is lost", "all servers", "no agent has seen"]);
}

#[test]
fn a_planner_that_does_not_look_is_found() {
    is_found(Broken::UncheckedPlans, 200, &["no node is over capacity"]);
}

#[test]
fn commands_that_forget_their_ids_are_found() {
    is_found(Broken::ForgetsIds, 50, &["a repeated command takes effect once"]);
}

#[test]
fn a_task_that_is_stopped_for_no_reason_is_missed() {
    is_found(Broken::KillsHealthy, 50, &["nothing is stopped without a reason in state"]);
}

#[test]
fn a_server_that_passes_over_commands_is_found() {
    is_found(Broken::SkipsCommands, 50, &["all servers"]);
}

#[test]
fn acknowledged_reports_that_are_not_written_are_missed() {
    is_found(Broken::LosesReports, 50, &["no acknowledged report is lost"]);
}

#[test]
fn placements_on_other_nodes_are_found() {
    is_found(Broken::PlacesAnywhere, 50, &["no constraint is broken", "no node is over capacity"]);
}
