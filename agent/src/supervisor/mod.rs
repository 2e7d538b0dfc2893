//! The task supervisor: a tiny process a task that outlives the agent.
//!
//! It is a fork of the [`nursery`], which is this same binary with a hidden argument, branched off before arguments are parsed and
//! before any thread exists.
//! It owns the task's stdout and stderr and writes the rotated log files, so the agent's death blocks nobody. `pid.json` is
//! there before the task's program runs, and `exit.json` when it ended. The agent's side of it is [`Process`]. Its further
//! arguments are the directory of the run and the driver: by them a later agent finds it even when that directory is gone.
//!
//! What a plugin's task says is read by [`collector`], a process of the same kind.
//!
//! A task that has [`Walls`] runs in namespaces and a root of its own: [`walls`].

mod child;
mod claim;
pub(crate) mod collector;
mod nursery;
mod process;
mod rotate;
mod surroundings;
mod survey;
mod walls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::proc_stat::Stat;

pub use process::{AttachError, Process, SpawnError};
pub use rotate::{Rotator, file_name as log_file_name, indexes as log_indexes};
pub(crate) use survey::runs;
pub use walls::{Bind, DeviceFile, Propagation, Rights, Walls};
pub(crate) use walls::{Errand, Word, is_walled};

/// The first word of a supervisor's command line behind the program.
pub(crate) const ARGUMENT: &str = "__task-supervisor";
/// That of the helper which takes a further command behind a task's walls.
pub(crate) const ERRAND: &str = "__task-errand";
/// That of who reads the output of a plugin's task.
pub(crate) const COLLECTOR: &str = "__task-output";

/// Becomes the process that task supervisors are forks of, or a supervisor's helper, when the process was started as one, and then never returns.
///
/// Called before arguments are parsed and before any thread exists.
pub fn run_if_supervisor() {
    match std::env::args_os().nth(1) {
        Some(arg) if arg == nursery::NURSERY => nursery::run(),
        Some(arg) if arg == ERRAND => walls::run_errand(),
        Some(arg) if arg == COLLECTOR => collector::run(),
        _ => {}
    }
}

/// What a supervisor is asked to run; it arrives as JSON on its stdin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The driver's name.
    #[serde(default)]
    pub driver: String,
    /// Directory of this run, outside of what the task sees: `pid.json` and `exit.json` appear in it.
    pub run_dir: PathBuf,
    pub command: PathBuf,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub work_dir: PathBuf,
    /// User, group and further groups; `None`: as the agent.
    pub user: Option<User>,
    /// `None`: output goes nowhere.
    pub logs: Option<Logs>,
    /// Directories of control groups that the task joins.
    pub cgroups: Vec<PathBuf>,
    /// One that it joins with others: it is nobody's to empty.
    #[serde(default)]
    pub shared_group: Option<PathBuf>,
    pub oom_score_adj: i32,
    /// Network namespace to join, such as `/run/netns/x`.
    pub netns: Option<PathBuf>,
    /// Soft limit of the task's file descriptors; `None`: as the agent's.
    #[serde(default)]
    pub descriptors: Option<u64>,
    /// What keeps the task from the node; `None`: nothing. With it, `command` and `work_dir` are paths as the task sees them.
    #[serde(default)]
    pub walls: Option<Walls>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// Where output goes: `<alloc>/alloc/logs/<task>.stdout.N` and `<task>.stderr.N`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Logs {
    /// The allocation's directory.
    pub alloc: PathBuf,
    pub task: String,
    pub max_files: u64,
    pub max_bytes: u64,
}

/// `pid.json`: the two processes, each with its start time (clock ticks since boot), so that a reused pid is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    pub supervisor: u32,
    pub supervisor_start: u64,
    pub task: u32,
    pub task_start: u64,
}

/// How a task ended. `exit.json` holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    /// 0: none.
    pub signal: i32,
    #[serde(default)]
    pub oom_killed: bool,
    /// Anything else that went wrong, as a sentence.
    #[serde(default)]
    pub error: Option<String>,
}

impl Exit {
    pub fn success(&self) -> bool {
        self.code == 0 && self.signal == 0 && self.error.is_none()
    }
}

/// What the supervisor says on its stdout, once, as a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Greeting {
    Running(Pids),
    Failed(String),
}

fn pid_file(run_dir: &Path) -> PathBuf {
    run_dir.join("pid.json")
}

fn exit_file(run_dir: &Path) -> PathBuf {
    run_dir.join("exit.json")
}

/// Name of the driver, where the run's directory says it.
fn driver_file(run_dir: &Path) -> PathBuf {
    run_dir.join("driver")
}

/// The start of the machine in which the run was begun, where its directory says it.
fn boot_file(run_dir: &Path) -> PathBuf {
    run_dir.join("boot")
}

/// Whether the machine was started anew since the run was begun: who has its pids now is somebody else.
#[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
fn is_of_earlier_boot(run_dir: &Path) -> bool {
    std::fs::read_to_string(boot_file(run_dir)).is_ok_and(|boot| !boot.is_empty() && boot != crate::clock::boot())
}

/// Whether a supervisor was ever asked to run something in this directory.
#[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
pub(crate) fn is_run(run_dir: &Path) -> bool {
    [pid_file(run_dir), exit_file(run_dir), run_dir.join("claim.json")].iter().any(|file| file.exists())
}

/// Whether the task of a run lives, or its supervisor, which may be about to start it.
#[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
pub(crate) fn is_running(run_dir: &Path) -> bool {
    if is_of_earlier_boot(run_dir) {
        return false;
    }
    let lives = |pid: u32, start: u64| start_time(pid) == Some(start);
    let pids = std::fs::read(pid_file(run_dir)).ok().and_then(|text| serde_json::from_slice::<Pids>(&text).ok());
    let starting = match claim::read(run_dir) {
        Some(claim::Claim::Supervisor { pid, start }) => lives(pid, start),
        _ => false,
    };
    starting || pids.is_some_and(|p| lives(p.task, p.task_start) || lives(p.supervisor, p.supervisor_start))
}

/// Why a command was not started, as a sentence.
fn not_started(command: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("failed to start command {command}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("failed to start command {command}: permission denied"),
        _ => format!("failed to start command {command}: {error}"),
    }
}

/// For the time between fork and exec: what the agent was started with is not the task's. A shell that starts the agent in the
/// background ignores SIGINT and SIGQUIT for it, nohup SIGHUP, and what is ignored stays so in every child.
pub(crate) fn signals_as_usual() {
    for signal in (1..=libc::SIGRTMAX()).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
        // SAFETY: async-signal-safe, and this process has no handlers that anybody would miss.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Start time of a process in clock ticks since boot; `None` when there is no such process or it is a zombie.
///
/// Source: field 22 of `/proc/PID/stat`.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    Stat::of(pid).filter(|stat| !stat.ended())?.number(22)
}

/// Writes a file so that readers see it whole or not at all.
#[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let tmp = path.with_extension("tmp");
    std::fs::write(&tmp, bytes)?;
    std::fs::rename(&tmp, path)
}

/// A descriptor that becomes readable when the process ends.
pub(crate) fn pidfd(pid: u32) -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: pidfd_open takes a pid and flags and gives a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::pid_t::try_from(pid).unwrap_or(-1), 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is fresh and ours alone.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
pub(crate) mod test_support {
    //! Lets the test binary be its own helpers: the loader calls this before `main`.

    #[used]
    #[unsafe(link_section = ".init_array")]
    static BRANCH: extern "C" fn() = {
        extern "C" fn branch() {
            crate::run_if_supervisor();
        }
        branch
    };
}
