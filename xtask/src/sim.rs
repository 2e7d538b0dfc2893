//! The inner ring of simulation for as many seeds as one likes, built fast. `cargo test` runs 200, unoptimised.

use anyhow::Result;

use crate::shell::run as sh;

/// `-seeds N -from S -trace`, as `crates/sim/examples/sim.rs` reads them. Ends with an error when a seed breaks a promise.
pub fn run(flags: &[&str]) -> Result<()> {
    let cargo = ["cargo", "run", "--locked", "--profile", "sim", "-p", "tarpan-sim", "--example", "sim", "--"];
    sh(&[&cargo[..], flags].concat())
}
