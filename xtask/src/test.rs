//! Everything that CI checks, in the order that finds mistakes soonest.

use anyhow::{Result, ensure};

use crate::setup;
use crate::shell::{heading, run as sh, run_with};
use crate::{browser, ui};

/// The crates that promise to be pure and to run in the browser.
const PURE: &[&str] =
    &["tarpan-model", "tarpan-api", "tarpan-jobspec", "tarpan-state", "tarpan-scheduler", "tarpan-control"];

/// `strict`: what this machine can't run is a failure, not a skip.
pub fn run(strict: bool) -> Result<()> {
    let env: &[(&str, &str)] = if strict { &[("CI", "true")] } else { &[] };
    setup::for_tests()?;

    heading("Format");
    sh(&["cargo", "fmt", "--all", "--check"])?;

    heading("Pure crates for the browser");
    let mut check = ui::compiler()?;
    check.args(["check", "--locked", "--target", ui::TRIPLE]).args(PURE.iter().flat_map(|name| ["-p", *name]));
    ensure!(check.status()?.success(), "the pure crates do not build for the browser");

    heading("UI and browser tests");
    browser::install()?;
    // Before the binary, which embeds it.
    ui::build(&ui::Options::default())?.notes.iter().for_each(|note| println!("note: {note}"));

    heading("Tests");
    sh(&["cargo", "build", "--locked", "-p", "tarpan-cli", "-p", "ptc"])?;
    let mut words = vec!["cargo", "test", "--locked", "-p", "tarpan-config", "-p", "ptc"];
    words.extend(PURE.iter().flat_map(|name| ["-p", *name]));
    sh(&words)?;
    run_with(&["cargo", "test", "--locked", "-p", "tarpan-end2end", "--", "--test-threads=2"], env)?;
    heading("All passed");
    Ok(())
}
