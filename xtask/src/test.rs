//! Everything that CI checks, in the order that finds mistakes soonest.
//!
//! All native commands choose their packages so that features resolve alike: what a crate depends on is then built once,
//! for the program and for every test; the same goes for the browser's side. `xtask` itself is tested alone, as it was built, because
//! it brings features that nothing else has. Clippy is the compiler of our own crates here ([`LINTED`]): as a command of its own it took a
//! seventh of the time.

use anyhow::{Result, ensure};
use xtask_start::LINTED;

use crate::setup;
use crate::shell::{heading, program, run as sh, run_with};
use crate::{browser, conformance, sdk, sim, ui};

/// The crates that promise to be pure and to run in the browser.
const PURE: &[&str] = &[
    "tarpan-model",
    "tarpan-api",
    "tarpan-body",
    "tarpan-jobspec",
    "tarpan-state",
    "tarpan-scheduler",
    "tarpan-control",
    "tarpan-sim",
];

/// What else has tests beside its code. The UI's are run as the server renders it, which is how `tarpan-server` asks for it.
const OTHERS: &[&str] = &[
    "tarpan-rpc",
    "tarpan-config",
    "tarpan-tls",
    "tarpan-testkit",
    "tarpan-app",
    "tarpan-agent",
    "tarpan-server",
    "tarpan-cli",
    "ptc",
];

/// What is tried on the UI as it is shipped, by the names in `end2end/tests/browser.rs`: the demo by clicking, and the first load.
const PLAYED: &str = "first_demo_in_the_browser";
const WEIGHED: &str = "first_load_in_the_browser";

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What this machine can't run is a failure, not a skip.
    pub strict: bool,
    /// Proofs that have a long form, such as kills at random moments, run it.
    pub long: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let strict = options.strict.then_some(("CI", "true"));
    let long = options.long.then_some(("TARPAN_LONG", "1"));
    let env: &[(&str, &str)] = &strict.into_iter().chain(long).collect::<Vec<_>>();
    setup::for_tests(if options.strict { setup::Consent::Given } else { setup::Consent::asked() })?;

    heading("Format");
    sh(&["cargo", "fmt", "--all", "--check"])?;

    // `cargo xtask` has set it for whatever is built from here on; what the browser gets is built without (`ui::compiler`).
    let linted = LINTED.iter().all(|(name, value)| std::env::var(name).is_ok_and(|v| v == *value));
    ensure!(linted, "no Clippy: `rustup component add clippy` adds it (Debian: rust-clippy); then `cargo xtask` again");

    heading("UI and browser tests");
    browser::install()?;
    // Before the server, which embeds it.
    ui::build(&ui::Options::default())?.notes.iter().for_each(|note| println!("note: {note}"));

    heading("Pure crates for the browser");
    let mut pure = ui::compiler()?;
    pure.args(["build", "--locked", "--target", ui::TRIPLE]).args(packages(&ui::MODULES)).args(packages(PURE));
    ensure!(pure.status()?.success(), "the pure crates do not build for the browser");

    heading("Tests of the crates");
    sh(&[&["cargo", "test", "--locked"], &*packages(PURE), &*packages(OTHERS)].concat())?;

    if options.long {
        heading("Ten thousand seeds of the simulation");
        sim::run(&["seeds", "10000"])?;
    }

    heading("Journeys");
    program()?;
    let journeys = ["cargo", "test", "--locked", "-p", "tarpan-end2end"];
    let later: &[&str] = if options.long { &[] } else { &["--skip", PLAYED] };
    run_with(&[&journeys[..], &["--", "--test-threads=2"], later].concat(), env)?;

    heading("The tools");
    sh(&["cargo", "test", "--locked", "-p", "xtask", "-p", "xtask-start"])?;

    conformance::check(false)?;
    sdk::check(false)?;

    // The build above says more when a page is wrong; this one is what people load, and is weighed. Each journey takes minutes: the
    // short form plays it once, the pages on the one build and the demo on the other.
    heading("The UI as it is shipped");
    ui::build(&ui::Options { release: true })?.notes.iter().for_each(|note| println!("note: {note}"));
    let shipped = [env, &[("TARPAN_SHIPPED_UI", "1")]].concat();
    let now: &[&str] = if options.long { &[] } else { &[PLAYED, WEIGHED] };
    run_with(&[&journeys[..], &["--test", "browser", "--", "--test-threads=2"], now].concat(), &shipped)?;
    heading("All passed");
    Ok(())
}

fn packages(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().flat_map(|name| ["-p", *name]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journeys_that_are_picked_by_name_are_there() {
        let there = include_str!("../../end2end/tests/browser.rs");
        for name in [PLAYED, WEIGHED] {
            assert!(there.contains(&format!("fn {name}()")), "{name}");
        }
    }
}
