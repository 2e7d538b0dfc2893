//! The page of figures, `docs/performance.md`: each measurement has a part of its own there, between two marks.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tarpan_end2end::lab::root;

use crate::shell::output;

const PAGE: &str = "docs/performance.md";
const TO: &str = "<!-- end of figures -->\n";

/// Puts figures in place of those that `cargo xtask bench -WHAT` wrote before, and prints them.
pub fn put(what: &str, text: &str) -> Result<()> {
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
    let from = format!("<!-- figures: written by cargo xtask bench -{what} -->\n");
    let (before, rest) = page.split_once(&from).context("where the figures begin")?;
    let (_, after) = rest.split_once(TO).context("where the figures end")?;
    std::fs::write(&path, format!("{before}{from}{text}{TO}{after}")).with_context(|| format!("writing {PAGE}"))?;
    println!("{text}\nThe figures are in {PAGE}.");
    Ok(())
}

/// When, of what and on which machine; `with` says what else was there.
pub fn measured(with: &str) -> Result<String> {
    let machine = output(&["uname", "-m"]).unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    let commit = output(&["git", "rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let day = output(&["date", "+%Y-%m-%d"]).unwrap_or_default();
    Ok(format!("\nMeasured {day} at {commit}, {cores} cores, {machine}; {with} on the same machine.\n"))
}

pub struct Table {
    pub text: String,
}

impl Table {
    pub fn new(heads: &[&str]) -> Table {
        Table { text: format!("| {} |\n|{}\n", heads.join(" | "), "---:|".repeat(heads.len())) }
    }

    pub fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }
}

pub fn plot(text: &mut String, title: &str, axis: &str, across: &[usize], up: &[f64]) {
    let across: Vec<String> = across.iter().map(|n| format!("\"{n}\"")).collect();
    let most = up.iter().copied().fold(0.0, f64::max);
    let up: Vec<String> = up.iter().copied().map(one).collect();
    let _ = write!(
        text,
        "\n```mermaid\nxychart-beta\n    title \"{title}\"\n    x-axis \"{axis}\" [{}]\n    y-axis 0 --> {}\n    line [{}]\n```\n",
        across.join(", "),
        (most * 1.1).ceil(),
        up.join(", ")
    );
}

pub fn one(value: f64) -> String {
    format!("{value:.1}")
}

pub fn two(value: f64) -> String {
    format!("{value:.2}")
}
