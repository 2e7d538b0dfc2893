//! Runs of one agent as the machine shows them, whatever the agent remembers.

#![allow(clippy::disallowed_methods, reason = "the runs' own directories, which no task sees, and /proc")]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{ARGUMENT, Pids, pid_file, start_time, write_whole};
use crate::proc_stat::Stat;

/// Directories of runs below `tasks`, `<allocation>/<task>-<8 hex>` each: those on disk, and those that a living supervisor
/// names. Where the files of a living one are gone they are written again, so that it is found like any other.
pub(crate) fn runs(tasks: &Path) -> Vec<PathBuf> {
    let inside = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut found: Vec<PathBuf> = inside(tasks).iter().flat_map(|alloc| inside(alloc)).collect();
    for (pid, run_dir) in supervisors(tasks) {
        if !pid_file(&run_dir).exists() && !starting(pid, &run_dir) {
            remember(pid, &run_dir);
        }
        found.push(run_dir);
    }
    found.sort();
    found.dedup();
    found
}

/// Living supervisors of our own user whose run lies below `tasks`.
fn supervisors(tasks: &Path) -> Vec<(u32, PathBuf)> {
    let me = nix::unistd::geteuid().as_raw();
    let of = |pid: u32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        // Anybody can call himself a supervisor; only our own user's processes are believed.
        if proc.metadata().ok()?.uid() != me {
            return None;
        }
        let line = std::fs::read(proc.join("cmdline")).ok()?;
        let mut words = line.split(|b| *b == 0).skip(1);
        if words.next()? != ARGUMENT.as_bytes() {
            return None;
        }
        let run_dir = PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?));
        run_dir.starts_with(tasks).then_some((pid, run_dir))
    };
    pids().filter_map(of).collect()
}

/// A supervisor that this very process has begun and that has not got to its task: not to be disturbed. A survey is no
/// moment between starts.
fn starting(supervisor: u32, run_dir: &Path) -> bool {
    let ours = children().get(&std::process::id()).is_some_and(|all| all.contains(&supervisor));
    ours && run_dir.is_dir()
}

/// Writes `pid.json` of a supervisor again. One without a child has not started its task or is about to end: it is ended.
fn remember(supervisor: u32, run_dir: &Path) {
    let Some(supervisor_start) = start_time(supervisor) else { return };
    let children = children();
    let child = children.get(&supervisor).and_then(|all| all.first()).copied();
    let Some((task, task_start)) = child.and_then(|pid| Some((pid, start_time(pid)?))) else {
        // SAFETY: seen just now with this start time, and a process of ours.
        unsafe { libc::kill(supervisor as i32, libc::SIGKILL) };
        return;
    };
    let pids = Pids { supervisor, supervisor_start, task, task_start };
    let bytes = serde_json::to_vec(&pids).expect("numbers serialise");
    let written = std::fs::create_dir_all(run_dir).and_then(|()| write_whole(&pid_file(run_dir), &bytes));
    if let Err(error) = written {
        tracing::error!("writing down again what runs in {}: {error}", run_dir.display());
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Children by their parent.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut all: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in pids() {
        if let Some(parent) = Stat::of(pid).and_then(|stat| stat.number(4)) {
            all.entry(parent).or_default().push(pid);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_start_that_is_under_way_is_left_alone() {
        let tasks = tempfile::tempdir().expect("a directory");
        let run_dir = tasks.path().join("7/web-0badcafe");
        std::fs::create_dir_all(&run_dir).expect("made");
        // Begun, and not told what to run.
        let begin = || Command::new("/proc/self/exe").arg(ARGUMENT).arg(&run_dir).stdin(Stdio::piped()).spawn();
        let seen = || {
            let supervisor = begin().expect("starts");
            let begun = std::time::Instant::now();
            // Its command line is that of this test until it has become another program.
            while supervisors(tasks.path()).is_empty() {
                assert!(begun.elapsed() < std::time::Duration::from_secs(20), "no supervisor is seen");
            }
            supervisor
        };
        // How it ends says who ended it: waiting for it closes its stdin, and it gives up by itself.
        let mut supervisor = seen();
        assert_eq!(runs(tasks.path()), std::slice::from_ref(&run_dir));
        assert_eq!(supervisor.wait().expect("ours").code(), Some(1));
        // Without its directory nothing can come of it.
        let mut supervisor = seen();
        std::fs::remove_dir_all(&run_dir).expect("removed");
        runs(tasks.path());
        assert_eq!(supervisor.wait().expect("ours").code(), None, "a signal");
    }
}
