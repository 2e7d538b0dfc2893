//! The fuzzers of everything that reads foreign bytes, for as long as one likes. `cargo test` runs them short.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::shell::{command, heading};

/// Packages with fuzzers, and how cargo finds them there: in a test file of theirs, or by a word in their path.
const FUZZERS: &[(&str, &[&str])] = &[
    ("tarpan-model", &["--test", "fuzz"]),
    ("tarpan-body", &["--test", "fuzz"]),
    ("tarpan-jobspec", &["--test", "fuzz"]),
    ("tarpan-config", &["--test", "fuzz"]),
    ("tarpan-control", &["--test", "fuzz"]),
    ("tarpan-rpc", &["--test", "fuzz"]),
    ("tarpan-scheduler", &["--lib", "fuzz"]),
    ("tarpan-server", &["--lib", "fuzz"]),
    ("tarpan-agent", &["--lib", "fuzz"]),
    // The UI's parsers are compiled as the server has them.
    ("tarpan-app", &["-p", "tarpan-server", "--test", "fuzz"]),
];

/// What was done in all.
#[derive(Default)]
struct Total {
    targets: u64,
    inputs: u64,
    seconds: f64,
}

/// `-seconds=N`: of each fuzzer, two at a time. Goes on behind a failure, and ends with one.
pub fn run(flags: &[&str]) -> Result<()> {
    let seconds = flags.iter().find_map(|f| f.strip_prefix("seconds=")).unwrap_or("60");
    seconds.parse::<u64>().with_context(|| format!("-seconds={seconds} is no number"))?;
    let mut total = Total::default();
    let mut failed = Vec::new();
    for (package, which) in FUZZERS {
        heading(package);
        if !one(package, which, seconds, &mut total)? {
            failed.push(*package);
        }
    }
    let found = found()?;
    let Total { targets, inputs, seconds } = total;
    heading(&format!("{targets} fuzzers, {inputs} inputs, {:.1} minutes of processor time", seconds / 60.0));
    for input in &found {
        println!("  fails, or ended its process: {}", input.display());
    }
    if !failed.is_empty() {
        bail!("fuzzers of {} failed", failed.join(", "));
    }
    println!("  Nothing found; what is worth keeping is in the corpora.");
    Ok(())
}

/// The fuzzers of one package, with what they print; false: one of them failed.
fn one(package: &str, which: &[&str], seconds: &str, total: &mut Total) -> Result<bool> {
    let cargo = [&["cargo", "test", "--locked", "-p", package], which].concat();
    let words = [&cargo[..], &["--", "--nocapture", "--test-threads=2"]].concat();
    println!("  $ {}", words.join(" "));
    let mut cargo = command(&words);
    let mut child =
        cargo.env("TARPAN_FUZZ_SECONDS", seconds).stdout(Stdio::piped()).spawn().context("running cargo")?;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.context("reading what cargo prints")?;
        println!("{line}");
        total.add(&line);
    }
    Ok(child.wait().context("waiting for cargo")?.success())
}

impl Total {
    /// `[…]name: N inputs, M shapes, S s of processor time, …`; other lines say nothing.
    fn add(&mut self, line: &str) {
        let mut parts = line.split(", ");
        let number = |part: Option<&str>, end: &str| part?.strip_suffix(end)?.rsplit(' ').next()?.parse::<f64>().ok();
        let (inputs, _, seconds) =
            (number(parts.next(), " inputs"), parts.next(), number(parts.next(), " s of processor time"));
        if let (Some(inputs), Some(seconds)) = (inputs, seconds) {
            self.targets += 1;
            self.inputs += inputs as u64;
            self.seconds += seconds;
        }
    }
}

/// Inputs in the corpora that the repository does not have yet and that failed, or were being tried when a process ended.
fn found() -> Result<Vec<PathBuf>> {
    let words = ["git", "ls-files", "--others", "--exclude-standard", "--", "*corpus/*"];
    let out = command(&words).output().context("running git")?;
    let paths = String::from_utf8_lossy(&out.stdout).into_owned();
    let odd = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "running" || name.starts_with("found-")
    };
    Ok(paths.lines().map(Path::new).filter(odd).map(Path::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_fuzzers_are_added_up() {
        let mut total = Total::default();
        total.add("test names ... name: 1469446 inputs, 30 shapes, 20.3 s of processor time, seed 17");
        total.add("cron: 4 inputs, 2 shapes, 0.7 s of processor time, seed 17");
        total.add("test result: ok. 2 passed; 0 failed, finished in 30.00s");
        assert_eq!((total.targets, total.inputs, total.seconds), (2, 1_469_450, 21.0));
    }
}
