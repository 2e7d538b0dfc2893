//! Who decides about a run: its supervisor by starting the task, or a later agent by making sure that it never starts.
//!
//! An agent may die between starting a supervisor and hearing of its task. The next agent must know whether the task runs,
//! will run, or never will. So whoever comes first writes `claim.json`, whole or not at all, and nobody can write it twice.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Claim {
    /// The supervisor starts the task; the process, and when it began.
    Supervisor { pid: u32, start: u64 },
    /// Nobody starts it any more.
    Void,
}

fn file(run_dir: &Path) -> PathBuf {
    run_dir.join("claim.json")
}

/// Whether the run is the caller's now; `false`: somebody was first.
pub(super) fn take(run_dir: &Path, claim: Claim) -> io::Result<bool> {
    let own = run_dir.join(format!("claim.{}", std::process::id()));
    std::fs::write(&own, serde_json::to_vec(&claim).expect("a claim serialises"))?;
    // A link appears with its content and never replaces another: a rename would.
    let linked = std::fs::hard_link(&own, file(run_dir));
    let _ = std::fs::remove_file(&own);
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn read(run_dir: &Path) -> Option<Claim> {
    serde_json::from_slice(&std::fs::read(file(run_dir)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(take(dir.path(), Claim::Void).expect("writable"));
        assert!(!take(dir.path(), Claim::Supervisor { pid: 1, start: 2 }).expect("writable"));
        assert_eq!(read(dir.path()), Some(Claim::Void));
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1, "nothing is left lying about");
    }
}
