//! What clients did to registers and sets, when, and what they were told; and a checker that says whether one order explains it.
//!
//! The checker is a small program in Go over porcupine (`checker/`, docs/decisions/0028).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::lab::root;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Read,
    Write,
    Cas,
    Append,
    List,
}

/// One operation. Times are nanoseconds since the recording began, by the monotonic clock.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    pub client: usize,
    pub kind: Kind,
    /// The register, or the set.
    pub key: String,
    pub call: u64,
    /// `None`: nobody knows whether it happened.
    #[serde(rename = "return")]
    pub end: Option<u64>,
    /// What was written, appended or read; empty: there is no such register yet.
    pub value: String,
    /// At which index the value was written.
    pub index: u64,
    /// The index that a compare-and-set asks for.
    pub expected: u64,
    /// What a list showed.
    pub seen: Vec<String>,
}

/// The operations of all clients, as they end.
pub struct Recording {
    begun: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording { begun: Instant::now(), operations: Mutex::default() }
    }
}

impl Recording {
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("a test ends within centuries")
    }

    pub fn add(&self, operation: Operation) {
        self.operations.lock().expect("no panic while held").push(operation);
    }

    pub fn all(self) -> Vec<Operation> {
        self.operations.into_inner().expect("no panic while held")
    }
}

/// The program that checks.
pub struct Checker(PathBuf);

impl Checker {
    /// Builds it into `folder`. `None` where there is no Go.
    pub fn build(folder: &Path) -> Result<Option<Checker>> {
        std::fs::create_dir_all(folder)?;
        let program = folder.join("checker");
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(&program).arg(".").current_dir(root().join("end2end/checker"));
        // Go as it is on this machine; modules as they stand in go.sum.
        command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOWORK", "off");
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("running go"),
            Ok(out) => {
                ensure!(out.status.success(), "the checker does not build: {}", String::from_utf8_lossy(&out.stderr));
                Ok(Some(Checker(program)))
            }
        }
    }

    /// What it says of a history that one order explains; an error says which register or set none explains, or that there was not the
    /// time to tell. The history is written to `file`.
    pub fn check(&self, operations: &[Operation], file: &Path, limit: Duration) -> Result<String> {
        std::fs::write(file, serde_json::to_vec(operations)?).with_context(|| format!("writing {}", file.display()))?;
        let out = Command::new(&self.0).arg(file).arg(limit.as_secs().to_string()).output().context("checking")?;
        let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        ensure!(out.status.success(), "{said}{} ({})", String::from_utf8_lossy(&out.stderr).trim(), file.display());
        Ok(said)
    }
}
