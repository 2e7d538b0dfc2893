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
    "tarpan-front",
    "tarpan-launch",
    "tarpan-light",
    "tarpan-tls",
    "tarpan-testkit",
    "tarpan-app",
    "tarpan-agent",
    "tarpan-server",
    "tarpan-cli",
    "ptc",
];

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
    // Before the server, which embeds it; as people load it, and as it is weighed.
    pages(true)?;

    heading("Pure crates for the browser");
    let mut pure = ui::compiler()?;
    pure.args(["check", "--locked", "--target", ui::TRIPLE]).args(packages(PURE));
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
    let shipped = [env, &[("TARPAN_SHIPPED_UI", "1")]].concat();
    run_with(&[&journeys[..], &["--", "--test-threads=2"]].concat(), &shipped)?;

    heading("The tools");
    sh(&["cargo", "test", "--locked", "-p", "xtask", "-p", "xtask-start"])?;

    conformance::check(false)?;
    sdk::check(false)?;

    // An everyday build takes another five minutes, and says more of a page that is wrong.
    if options.long {
        heading("The UI of everyday builds");
        pages(false)?;
        run_with(&[&journeys[..], &["--test", "browser", "--", "--test-threads=2"]].concat(), env)?;
    }
    heading("All passed");
    Ok(())
}

fn packages(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().flat_map(|name| ["-p", *name]).collect()
}

/// Builds the browser's part.
fn pages(release: bool) -> Result<()> {
    ui::build(&ui::Options { release })?.notes.iter().for_each(|note| println!("note: {note}"));
    Ok(())
}
