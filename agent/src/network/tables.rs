//! The packet filter of the calling thread's namespace, by the machine's own programs.
//!
//! Which of the kernel's two interfaces they use is theirs: it must be the one that others on the machine use, or what those
//! refuse can't be let through (docs/decisions/0031-bridge-networks.md).

#![allow(clippy::disallowed_methods, reason = "looks where the machine has its programs")]

use std::path::PathBuf;
use std::time::Duration;

use super::program::{self, Bounds};
use super::rules::{Present, Table};

/// Others may hold the lock for as long as [`LOCK`] says; a table of a hundred thousand rules has about ten million bytes.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(20), most: 64 << 20 };
/// Seconds.
const LOCK: &str = "10";

/// The tables of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    V4,
    V6,
}

impl Tables {
    fn program(self) -> &'static str {
        match self {
            Tables::V4 => "iptables",
            Tables::V6 => "ip6tables",
        }
    }

    pub fn present(self) -> Result<Present, String> {
        let mut present = Present::new();
        for table in Table::ALL {
            let listed = run(self.program(), &["-w", LOCK, "-t", table.name(), "-S"], String::new())?;
            present.insert(table, listed.lines().map(str::to_owned).collect());
        }
        Ok(present)
    }

    /// Carries out a change that [`super::rules`] made: of each table all of it or nothing.
    pub fn change(self, text: String) -> Result<(), String> {
        run(&format!("{}-restore", self.program()), &["-w", LOCK, "--noflush"], text).map(drop)
    }
}

/// The program where it is, also where the agent's own search path has no directories for administrators.
fn find(program: &str) -> Result<PathBuf, String> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&own).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(program)).find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no program {program:?} on this machine (package iptables)"))
}

/// What the program says. Called on a thread that may wait, with the runtime of the caller.
fn run(program: &str, args: &[&str], input: String) -> Result<String, String> {
    let said = program::run(&find(program)?, args, None, input, BOUNDS)?;
    if said.status.success() {
        return Ok(said.out);
    }
    let lines: Vec<&str> = said.err.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("{program} failed ({}): {}", said.status, lines.join("; ")))
}
