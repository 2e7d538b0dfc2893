//! Our part of the benchmark: the release build against the black-box harness that lies beside the repository, one server and three.
//!
//! Needs: `../shared/perf` (or `-harness=FOLDER`) with `perf.py` and `loadgen/`, and python3. Everything that is built or
//! measured goes to the target folder: the harness's own folder stays as it is.

mod cost;
mod crew;
mod drivers;
mod handover;
mod many;
mod page;
mod pages;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::shell::{has, heading, run as sh};

/// What to measure.
struct Wanted {
    /// Every suite; else all but the reads.
    full: bool,
    reps: String,
    harness: PathBuf,
}

impl Wanted {
    fn of(flags: &[&str]) -> Result<Wanted> {
        let root = tarpan_end2end::lab::root();
        let mut wanted = Wanted { full: false, reps: "1".to_owned(), harness: root.join("../shared/perf") };
        for flag in flags {
            match flag.split_once('=') {
                None if *flag == "full" => wanted.full = true,
                Some(("reps", reps)) if reps.parse::<u32>().is_ok() => wanted.reps = reps.to_owned(),
                Some(("harness", folder)) => wanted.harness = root.join(folder),
                _ => bail!("bench knows -full, -reps=N and -harness=FOLDER, not -{flag}"),
            }
        }
        Ok(wanted)
    }

    fn script(&self) -> PathBuf {
        self.harness.join("perf.py")
    }

    fn loadgen(&self) -> PathBuf {
        self.harness.join("loadgen/Cargo.toml")
    }

    /// What stands in the way, each as a sentence.
    fn missing(&self) -> Vec<String> {
        let file = |path: PathBuf, what: &str| {
            (!path.is_file()).then(|| format!("{what} is not there: {} does not exist.", path.display()))
        };
        let hint = "the benchmark's harness (it lies beside the repository; -harness=FOLDER says where else)";
        let python = (!has("python3")).then(|| "python3 is not on the PATH: the harness is written in it.".to_owned());
        [file(self.script(), hint), file(self.loadgen(), "the harness's load generator"), python]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Builds what is measured and what measures.
    fn build(&self) -> Result<Harness> {
        let missing = self.missing();
        if !missing.is_empty() {
            bail!("nothing was measured: {}", missing.join(" "));
        }
        program()?;
        heading("Load generator");
        let target = xtask_start::target();
        let (tools, manifest) = (show(&target.join("perf")), show(&self.loadgen()));
        sh(&["cargo", "build", "--release", "--locked", "--manifest-path", &manifest, "--target-dir", &tools])?;
        // The harness appends: each run has a file of its own.
        let stamp =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Harness { script: show(&self.script()), records: target.join(format!("perf/{stamp}.jsonl")), target })
    }
}

/// The release build.
fn program() -> Result<()> {
    heading("Release build");
    sh(&["cargo", "build", "--release", "--locked", "-p", "tarpan-cli", "-p", "ptc"])
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

/// The harness, ready to run.
struct Harness {
    script: String,
    records: PathBuf,
    target: PathBuf,
}

impl Harness {
    /// Runs suites. Errors when a part of one did not run to its end.
    fn run(&self, more: &[&str]) -> Result<Vec<Value>> {
        let side = format!("tarpan={}", show(&self.target.join("release/tarpan")));
        let loadgen = show(&self.target.join("perf/release/loadgen"));
        let records = show(&self.records);
        let words = ["python3", &self.script, "--side", &side, "--loadgen", &loadgen, "--out", &records];
        sh(&[&words[..], more].concat())?;
        println!("\nThe records are in {records}.");
        let records: Vec<Value> =
            std::fs::read_to_string(&self.records)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        failures(&records)?;
        Ok(records)
    }
}

/// Rows of the harness that say that a part did not run to its end.
fn failures(records: &[Value]) -> Result<()> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let failed: Vec<String> = records
        .iter()
        .filter(|record| ["FAILED", "ERRORS"].iter().any(|bad| text(record, "metric").contains(bad)))
        .map(|record| format!("{} {} {}", text(record, "suite"), text(record, "metric"), record["error"]))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("parts of the benchmark failed: {}", failed.join("; "))
}

/// Takes the flags behind `bench`.
type Measurement = fn(&[&str]) -> Result<()>;

/// `-full` runs every suite; else all but the reads, at 100 and 1,000 nodes. `-pages`, `-many`, `-drivers` and `-cost` are other measurements.
pub fn run(flags: &[&str]) -> Result<()> {
    let others: [(&str, Measurement); 4] =
        [("pages", pages::run), ("many", many::run), ("drivers", drivers::run), ("cost", cost::run)];
    for (flag, other) in others {
        if flags.contains(&flag) {
            return other(flags);
        }
    }
    let wanted = Wanted::of(flags)?;
    let harness = wanted.build()?;
    heading("Measuring");
    let suites = if wanted.full { "sched,agent,raft,http" } else { "sched,agent,raft" };
    harness.run(&["--nodes", "100,1000", "--reps", &wanted.reps, "--suite", suites])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_in_a_sentence_what_is_missing() {
        let wanted = Wanted::of(&["harness=no/such/folder"]).expect("flags it knows");
        let error = wanted.build().err().expect("nothing to measure with").to_string();
        assert!(error.starts_with("nothing was measured: the benchmark's harness"), "{error}");
        assert!(error.contains("no/such/folder/perf.py does not exist"), "{error}");
        assert!(Wanted::of(&["fast"]).is_err());
    }

    #[test]
    fn a_part_that_failed_fails_the_run() {
        let fine = serde_json::json!({"suite": "sched", "metric": "rss empty", "value": 1});
        let bad = serde_json::json!({"suite": "raft", "metric": "SUITE FAILED", "value": 1, "error": "no leader"});
        assert!(failures(std::slice::from_ref(&fine)).is_ok());
        let error = failures(&[fine, bad]).expect_err("a failed suite").to_string();
        assert!(error.contains("raft SUITE FAILED") && error.contains("no leader"), "{error}");
    }
}
