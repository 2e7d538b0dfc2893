//! Runs of one agent as the machine shows them, whatever the agent remembers.

#![allow(clippy::disallowed_methods, reason = "the runs' own directories, which no task sees, and /proc")]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{ARGUMENT, Pids, driver_file, pid_file, start_time, write_whole};
use crate::proc_stat::Stat;

/// One run: its directory and the driver it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub dir: PathBuf,
    pub driver: String,
}

impl Run {
    /// One on disk. Before there were several drivers, runs did not say whose they are.
    fn on_disk(dir: PathBuf) -> Run {
        let said = std::fs::read_to_string(driver_file(&dir)).ok().filter(|driver| !driver.is_empty());
        Run { driver: said.unwrap_or_else(|| "raw_exec".to_owned()), dir }
    }
}

/// Runs below `tasks`, `<allocation>/<task>-<8 hex>` each: those on disk, and those that a living supervisor names. Where the
/// files of a living one are gone they are written again, so that it is found like any other.
pub(crate) fn runs(tasks: &Path) -> Vec<Run> {
    // Each driver looks for its own, at the same time.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let inside = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for (pid, run) in supervisors(tasks) {
        if !pid_file(&run.dir).exists() && !starting(pid, &run.dir) {
            remember(pid, &run);
        }
    }
    let living = supervisors(tasks).into_iter().map(|(_, run)| run);
    let on_disk = inside(tasks).into_iter().flat_map(|alloc| inside(&alloc)).map(Run::on_disk);
    let mut found: Vec<Run> = living.chain(on_disk).collect();
    found.sort();
    found.dedup_by(|a, b| a.dir == b.dir);
    found
}

/// Living supervisors of our own user whose run lies below `tasks`.
///
/// Anybody can call himself a supervisor, a task that is root behind its walls too. So only those are believed that see
/// the machine as this agent does: the same files, the same processes. The init behind a task's walls has its supervisor's
/// name, and is told from it by that, or, while it still builds them, by its parent.
fn supervisors(tasks: &Path) -> Vec<(u32, Run)> {
    let me = nix::unistd::geteuid().as_raw();
    let root = |proc: &Path| proc.join("root/.").metadata().ok().map(|m| (m.dev(), m.ino()));
    let pids_of = |proc: &Path| std::fs::read_link(proc.join("ns/pid")).ok();
    let own = Path::new("/proc/self");
    let (our_root, our_pids) = (root(own), pids_of(own));
    let of = |pid: u32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        if proc.metadata().ok()?.uid() != me {
            return None;
        }
        let run = named(pid).filter(|run| is_below(&run.dir, tasks))?;
        let parent = Stat::of(pid)?.number(4)?;
        let outside = root(&proc) == our_root && pids_of(&proc) == our_pids;
        let init = named(parent).is_some_and(|other| other.dir == run.dir);
        (outside && !init).then_some((pid, run))
    };
    pids().filter_map(of).collect()
}

/// Whether it lies there by its names alone: nothing in them leads elsewhere.
fn is_below(dir: &Path, tasks: &Path) -> bool {
    let plain =
        |below: &Path| below.iter().count() > 0 && below.components().all(|c| matches!(c, Component::Normal(_)));
    dir.strip_prefix(tasks).is_ok_and(plain)
}

/// The run that a process's command line names, as that of a supervisor does.
fn named(pid: u32) -> Option<Run> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|b| *b == 0).skip(1);
    if words.next()? != ARGUMENT.as_bytes() {
        return None;
    }
    let dir = PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?));
    let driver = words.next().filter(|w| !w.is_empty()).unwrap_or(b"raw_exec");
    Some(Run { driver: String::from_utf8_lossy(driver).into_owned(), dir })
}

/// A supervisor that this very process has begun and that has not got to its task: not to be disturbed. A survey is no
/// moment between starts.
fn starting(supervisor: u32, run_dir: &Path) -> bool {
    let parent = |pid: u32| Stat::of(pid).and_then(|stat| stat.number::<u32>(4));
    // Its parent is the nursery.
    let ours = parent(supervisor).and_then(parent) == Some(std::process::id());
    ours && run_dir.is_dir()
}

/// Writes `pid.json` of a supervisor again. One without a task has not started it or is about to end: it is ended.
fn remember(supervisor: u32, run: &Run) {
    let Some(supervisor_start) = start_time(supervisor) else { return };
    let Some((task, task_start)) = task_of(supervisor, run).and_then(|pid| Some((pid, start_time(pid)?))) else {
        // SAFETY: seen just now with this start time, and a process of ours.
        unsafe { libc::kill(supervisor as i32, libc::SIGKILL) };
        return;
    };
    let pids = Pids { supervisor, supervisor_start, task, task_start };
    let bytes = serde_json::to_vec(&pids).expect("numbers serialise");
    let written = std::fs::create_dir_all(&run.dir)
        .and_then(|()| write_whole(&driver_file(&run.dir), run.driver.as_bytes()))
        .and_then(|()| write_whole(&pid_file(&run.dir), &bytes));
    if let Err(error) = written {
        tracing::error!("writing down again what runs in {}: {error}", run.dir.display());
    }
}

/// The child of a supervisor; behind walls, where that child is an init of ours, the first child of the child.
fn task_of(supervisor: u32, run: &Run) -> Option<u32> {
    let children = children();
    let first = |of: u32| children.get(&of).and_then(|all| all.iter().min().copied());
    let child = first(supervisor)?;
    match named(child).is_some_and(|other| other.dir == run.dir) {
        true => first(child),
        false => Some(child),
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
    use std::io::Read;

    use super::super::nursery;
    use super::*;

    #[test]
    fn a_start_that_is_under_way_is_left_alone() {
        let tasks = tempfile::tempdir().expect("a directory");
        let run_dir = tasks.path().join("7/web-0badcafe");
        std::fs::create_dir_all(&run_dir).expect("made");
        // Begun, and not told what to run.
        let seen = || {
            let supervisor = nursery::begin(&run_dir, "raw_exec").expect("begins");
            let begun = std::time::Instant::now();
            // Its command line is its parent's until it has given itself one.
            while supervisors(tasks.path()).is_empty() {
                assert!(begun.elapsed() < std::time::Duration::from_secs(20), "no supervisor is seen");
            }
            supervisor
        };
        let says = |supervisor: nursery::Begun| {
            drop(supervisor.stdin);
            let mut said = String::new();
            std::fs::File::from(supervisor.stdout).read_to_string(&mut said).expect("text");
            said
        };
        // What it says at last says who ended it: with its stdin closed, it gives up by itself.
        let supervisor = seen();
        assert_eq!(runs(tasks.path()).iter().map(|run| &run.dir).collect::<Vec<_>>(), [&run_dir]);
        assert!(says(supervisor).contains("not readable"));
        // Without its directory nothing can come of it.
        let supervisor = seen();
        std::fs::remove_dir_all(&run_dir).expect("removed");
        runs(tasks.path());
        assert_eq!(says(supervisor), "", "it was killed");
    }
}
