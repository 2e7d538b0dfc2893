//! `cargo xtask …`: builds the UI, runs the demo, the tests and the benchmarks.
//!
//! Each command is a module with a `run`; [`USAGE`] says what they do.

#![allow(clippy::disallowed_methods, reason = "nothing here is async, and what is named by the time of day is a file")]

mod bench;
mod browser;
mod conformance;
mod demo;
mod fuzz;
mod open;
mod sdk;
mod setup;
mod shell;
mod sim;
mod test;
mod ui;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  demo [-empty] [-check] [-raw-exec] [-expose] [-port=N] [-take-over] [-plain] [-as-built]
                                       build, start an agent on port 4646 and play the getting-started demo
                                       -empty: start the agent only; -check: play, stop everything and leave
                                       -raw-exec: without Docker, even where a daemon answers
                                       -expose: listen on every interface; else on this machine only
                                       -take-over: end an earlier demo that has the port, without asking
                                       -plain: without the browser's part; -as-built: build nothing
  dev                                  build quickly and start a dev agent on port 4646
  ui [-release]                        build the browser part
  test [-all]                          install what is missing, then everything that CI checks
                                       -all: with the long forms of the proofs that CI runs short
  ci                                   the same, where a skipped part is a failure
  fuzz [-seconds=N]                    every fuzzer for N seconds (60), with what it finds kept in its corpus
  conformance [-shrink]                the recorded cases of the field's behaviour in ../shared/conformance, where they are there;
                                       -shrink: takes those that pass out of end2end/conformance-open.txt
  sdk [-shrink]                        the test suite of the field's Go SDK against this build, where Go is;
                                       -shrink: takes those that pass out of end2end/sdk-open.txt
  sim [-seeds N] [-from S] [-trace]    the simulation for N seeds (200) from S (1) on; a failure says how to replay it
                                       -trace: with everything that happened, not the end alone
  pictures                             pictures of the pages for README, in docs/pictures
  bench [-full] [-reps=N] [-harness=FOLDER]
                                       speed of the release build by the harness in ../shared/perf
  bench -many [-allocs=N] [-nodes=N]   a million allocations at once on 5,000 simulated nodes
  bench -drivers                       from placement to start, memory and log throughput of a task, by driver
  bench -cost [-harness=FOLDER]        how cost grows with nodes, allocations and clients: rewrites docs/performance.md
  bench -pages [-release] [-jobs=N] [-seconds=N] [-only=TEXT]
                                       what a page that stays open costs a server with 10,000 jobs and 50,000 allocations
  setup                                install what the tests need";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flags: Vec<&str> = args.iter().skip(1).map(|a| a.trim_start_matches('-')).collect();
    match args.first().map(String::as_str) {
        Some("demo") => demo::run(&flags),
        Some("dev") => demo::dev(),
        Some("ui") => ui::run(&flags),
        Some("test") => test::run(&test::Options { strict: false, long: flags.contains(&"all") }),
        Some("ci") => test::run(&test::Options { strict: true, long: false }),
        Some("fuzz") => fuzz::run(&flags),
        Some("conformance") => conformance::run(&flags),
        Some("sdk") => sdk::run(&flags),
        Some("sim") => sim::run(&flags),
        Some("pictures") => browser::pictures(),
        Some("bench") => bench::run(&flags),
        Some("setup") => setup::for_tests(setup::Consent::asked()),
        Some("help" | "-h" | "--help") | None => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no command {other:?}\n\n{USAGE}"),
    }
}
