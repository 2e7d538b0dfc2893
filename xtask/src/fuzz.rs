//! The fuzzers of everything that reads foreign bytes, for as long as one likes. `cargo test` runs them short.

use anyhow::{Context, Result};

use crate::shell::{heading, run_with};

/// Packages with fuzzers, and how cargo finds them there: in a test file of theirs, or by a word in their path.
const FUZZERS: &[(&str, &[&str])] = &[
    ("tarpan-model", &["--test", "fuzz"]),
    ("tarpan-control", &["--test", "fuzz"]),
    ("tarpan-rpc", &["--test", "fuzz"]),
    ("tarpan-scheduler", &["--lib", "fuzz"]),
    ("tarpan-server", &["--lib", "fuzz"]),
    ("tarpan-agent", &["--lib", "fuzz"]),
    // The UI's parsers are compiled as the server has them.
    ("tarpan-app", &["-p", "tarpan-server", "--test", "fuzz"]),
];

/// `-seconds=N`: of each fuzzer, two at a time.
pub fn run(flags: &[&str]) -> Result<()> {
    let seconds = flags.iter().find_map(|f| f.strip_prefix("seconds=")).unwrap_or("60");
    seconds.parse::<u64>().with_context(|| format!("-seconds={seconds} is no number"))?;
    let env = [("TARPAN_FUZZ_SECONDS", seconds)];
    for (package, which) in FUZZERS {
        heading(package);
        let cargo = [&["cargo", "test", "--locked", "-p", *package], *which].concat();
        run_with(&[&cargo[..], &["--", "--nocapture", "--test-threads=2"]].concat(), &env)?;
    }
    heading("Nothing found; what is worth keeping is in the corpora");
    Ok(())
}
