//! Our part of the benchmark: the release build against the black-box harness that lies beside the repository.
//!
//! Needs: `../shared/perf` (or `-harness=FOLDER`) with `perf.py` and `loadgen/`, and python3. Everything that is built or
//! measured goes to the target folder: the harness's own folder stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::{has, heading, run as sh};

/// What to measure.
struct Wanted {
    /// Every suite; else scheduling and agent only.
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
}

fn measure(wanted: &Wanted) -> Result<()> {
    let missing = wanted.missing();
    if !missing.is_empty() {
        bail!("nothing was measured: {}", missing.join(" "));
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let target = tarpan_end2end::lab::root().join(target);
    let show = |path: &Path| path.display().to_string();
    heading("Release build");
    sh(&["cargo", "build", "--release", "--locked", "-p", "tarpan-cli"])?;
    heading("Load generator");
    let (tools, manifest) = (show(&target.join("perf")), show(&wanted.loadgen()));
    sh(&["cargo", "build", "--release", "--locked", "--manifest-path", &manifest, "--target-dir", &tools])?;
    heading("Measuring");
    // The harness appends: each run has a file of its own.
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let records = show(&target.join(format!("perf/{stamp}.jsonl")));
    let script = show(&wanted.script());
    let side = format!("tarpan={}", show(&target.join("release/tarpan")));
    let loadgen = show(&target.join("perf/release/loadgen"));
    let mut words = vec!["python3", &script, "--side", &side, "--loadgen", &loadgen, "--out", &records];
    words.extend(["--nodes", "100,1000", "--reps", &wanted.reps]);
    if !wanted.full {
        words.extend(["--suite", "sched,agent"]);
    }
    sh(&words)?;
    println!("\nThe records are in {records}.");
    failures(&std::fs::read_to_string(&records)?)
}

/// Rows of the harness that say that a part did not run to its end.
fn failures(records: &str) -> Result<()> {
    let mut failed = Vec::new();
    for line in records.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let metric = record["metric"].as_str().unwrap_or_default();
        if metric.contains("FAILED") || metric.contains("ERRORS") {
            failed.push(format!("{} {metric} {}", record["suite"].as_str().unwrap_or_default(), record["error"]));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("parts of the benchmark failed: {}", failed.join("; "))
}

/// `-full` runs every suite; else scheduling and agent, at 100 and 1,000 nodes.
pub fn run(flags: &[&str]) -> Result<()> {
    measure(&Wanted::of(flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_in_a_sentence_what_is_missing() {
        let wanted = Wanted::of(&["harness=no/such/folder"]).expect("flags it knows");
        let error = measure(&wanted).expect_err("nothing to measure with").to_string();
        assert!(error.starts_with("nothing was measured: the benchmark's harness"), "{error}");
        assert!(error.contains("no/such/folder/perf.py does not exist"), "{error}");
        assert!(Wanted::of(&["fast"]).is_err());
    }

    #[test]
    fn a_part_that_failed_fails_the_run() {
        let fine = r#"{"suite": "sched", "metric": "rss empty", "value": 1}"#;
        let bad = r#"{"suite": "raft", "metric": "SUITE FAILED", "value": 1, "error": "no leader"}"#;
        assert!(failures(fine).is_ok());
        let error = failures(&format!("{fine}\n{bad}")).expect_err("a failed suite").to_string();
        assert!(error.contains("raft SUITE FAILED") && error.contains("no leader"), "{error}");
    }
}
