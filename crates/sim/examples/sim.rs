//! `cargo xtask sim` runs this: many seeds, on all processors; ends with an error when one of them breaks a promise.
//!
//! `-seeds N`: how many (200); `-from S`: the first (1); `-trace`: a failure prints everything that happened, not the end alone.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tarpan_sim::{Counts, run_with};

struct Asked {
    seeds: u64,
    from: u64,
    trace: bool,
}

fn main() -> ExitCode {
    let Some(asked) = asked(std::env::args().skip(1)) else {
        eprintln!("sim [-seeds N] [-from S] [-trace]");
        return ExitCode::FAILURE;
    };
    let (next, done, failed) = (AtomicU64::new(asked.from), AtomicU64::new(0), Mutex::new(Vec::new()));
    let (total, began) = (Mutex::new(Counts::default()), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= asked.from + asked.seeds {
                        return;
                    }
                    let report = run_with(seed, None, asked.trace);
                    add(&mut total.lock().expect("no panic while held"), &report.counts);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if report.failure.is_some() {
                        println!("{report}\n");
                        failed.lock().expect("no panic while held").push(seed);
                    }
                    if done.is_multiple_of(500) {
                        println!("{done} of {} seeds, {:.0} s", asked.seeds, began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let (took, total) = (began.elapsed().as_secs_f64(), total.into_inner().expect("no panic while held"));
    println!("{} seeds in {took:.1} s, {:.1} a second: {total:?}", asked.seeds, asked.seeds as f64 / took);
    let mut failed = failed.into_inner().expect("no panic while held");
    failed.sort_unstable();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} seeds broke a promise: {failed:?}", failed.len());
    ExitCode::FAILURE
}

fn asked(mut args: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { seeds: 200, from: 1, trace: false };
    while let Some(arg) = args.next() {
        match arg.trim_start_matches('-') {
            "seeds" => asked.seeds = args.next()?.parse().ok()?,
            "from" => asked.from = args.next()?.parse().ok()?,
            "trace" => asked.trace = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn add(total: &mut Counts, one: &Counts) {
    total.entries += one.entries;
    total.plans += one.plans;
    total.kills += one.kills;
    total.acknowledged += one.acknowledged;
    total.plans_again += one.plans_again;
}
