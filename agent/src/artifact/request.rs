//! What the agent and the process that fetches an artifact say to each other: a line of JSON in, lines of JSON out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Artifact, Origin, Parsed};
use crate::options::ArtifactLimits;

/// The hidden first argument; the scratch directory is the second.
pub(super) const ARGUMENT: &str = "__artifact-fetcher";

/// Largest request: an artifact's texts, of a job whose size is bounded, and the hosts that ssh knows.
pub(super) const MOST_REQUEST: u64 = 16 << 20;

/// What was fetched, in the scratch directory: a file, or a directory of what an archive held.
pub(super) const FILE: &str = "file";
pub(super) const TREE: &str = "out";

/// It comes on stdin, which then stays open for as long as somebody waits for the outcome.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub artifact: Artifact,
    pub parsed: Parsed,
    pub origin: Origin,
    /// Lines of known hosts, for ssh.
    pub known_hosts: Option<String>,
    pub limits: ArtifactLimits,
    /// Directories of the agent, which are not seen in there.
    pub hidden: Vec<PathBuf>,
    /// What a test has the process try behind its walls instead.
    #[cfg(test)]
    #[serde(default)]
    pub attempts: Vec<Vec<String>>,
}

/// What comes on stdout.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// The walls stand. What this machine lacks for them is a sentence each.
    Begun {
        lacking: Vec<String>,
    },
    Progress(Progress),
    Done(Made),
    Failed {
        text: String,
        /// Whether another try may help.
        recoverable: bool,
    },
}

/// Bytes that have come, and that will in all where the other side has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub bytes: u64,
    pub of: Option<u64>,
}

/// It lies in the scratch directory as [`FILE`] or [`TREE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Made {
    File {
        /// What it is called.
        name: String,
    },
    Tree,
}
