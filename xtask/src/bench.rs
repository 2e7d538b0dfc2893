//! Our part of the benchmark: the release build against the harness of the project.

use anyhow::{Result, bail};

use crate::shell::{heading, run as sh};

/// `-full` runs every suite; else scheduling and agent at 100 and 1,000 nodes.
fn measure(flags: &[&str]) -> Result<()> {
    let harness = tarpan_end2end::lab::root().join("../shared/perf/perf.py");
    if !harness.exists() {
        bail!("the harness is not at {}: it lives beside the repository", harness.display());
    }
    heading("Release build");
    sh(&["cargo", "build", "--release", "--locked", "-p", "tarpan-cli"])?;
    heading("Measuring");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let side = format!("tarpan={target}/release/tarpan");
    let harness = harness.display().to_string();
    let mut words = vec!["python3", harness.as_str(), "--side", side.as_str(), "--nodes", "100,1000"];
    if !flags.contains(&"full") {
        words.extend(["--suite", "sched,agent"]);
    }
    sh(&words)
}

pub fn run(flags: &[&str]) -> Result<()> {
    match flags.iter().find(|f| **f != "full") {
        Some(unknown) => bail!("bench knows -full, not -{unknown}"),
        None => measure(flags),
    }
}
