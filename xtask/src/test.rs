//! Everything that CI checks, in the order that finds mistakes soonest.
//!
//! All native commands choose their packages so that features resolve alike: what a crate depends on is then built once,
//! for the program and for every test. `xtask` itself is tested alone, as it was built, because it brings features that nothing
//! else has. Clippy needs metadata of its own of every dependency, which is the price of having it.

use anyhow::{Result, ensure};

use crate::setup;
use crate::shell::{heading, program, run as sh, run_with};
use crate::{browser, conformance, sdk, ui};

/// The crates that promise to be pure and to run in the browser.
const PURE: &[&str] =
    &["tarpan-model", "tarpan-api", "tarpan-jobspec", "tarpan-state", "tarpan-scheduler", "tarpan-control"];

/// What else has tests beside its code. The UI's are run as the server renders it, which is how `tarpan-server` asks for it.
const OTHERS: &[&str] = &[
    "tarpan-rpc",
    "tarpan-config",
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

    heading("Pure crates for the browser");
    let mut check = ui::compiler()?;
    check.args(["check", "--locked", "--target", ui::TRIPLE]).args(packages(PURE));
    ensure!(check.status()?.success(), "the pure crates do not build for the browser");

    heading("Lints");
    sh(&["cargo", "clippy", "--locked", "--all-targets", "--", "-D", "warnings"])?;

    heading("UI and browser tests");
    browser::install()?;
    // Before the server, which embeds it.
    ui::build(&ui::Options::default())?.notes.iter().for_each(|note| println!("note: {note}"));

    heading("Tests of the crates");
    sh(&[&["cargo", "test", "--locked"], &*packages(PURE), &*packages(OTHERS)].concat())?;

    heading("Journeys");
    program()?;
    let journeys = ["cargo", "test", "--locked", "-p", "tarpan-end2end"];
    run_with(&[&journeys[..], &["--", "--test-threads=2"]].concat(), env)?;

    heading("The tools");
    sh(&["cargo", "test", "--locked", "-p", "xtask", "-p", "xtask-start"])?;

    conformance::check(false)?;
    sdk::check(false)?;

    // The build above says more when a page is wrong; this one is what people load, and is weighed.
    heading("The UI as it is shipped");
    ui::build(&ui::Options { release: true })?.notes.iter().for_each(|note| println!("note: {note}"));
    let shipped = [env, &[("TARPAN_SHIPPED_UI", "1")]].concat();
    run_with(&[&journeys[..], &["--test", "browser", "--", "--test-threads=2"]].concat(), &shipped)?;
    heading("All passed");
    Ok(())
}

fn packages(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().flat_map(|name| ["-p", *name]).collect()
}
