//! The walls around a task: namespaces, a root of its own, rights taken away.
//!
//! The supervisor forks an *init*, which makes the namespaces, builds the task's root ([`root`]), goes into it, and forks the
//! task ([`init`]). Where the task has process ids of its own, the init is number one of them: it ends with the task, and the
//! kernel then ends whatever else is in there, whoever of supervisor and agent still lives. The task is number two, so that
//! signals do to it what they do to any process. What it may do is in [`rights`] and [`filter`]. All mounts are in the task's
//! mount namespace and go with its last process. A further command gets in by [`errand`].
//!
//! Why this is not a container library: `docs/decisions/0032-walls.md`.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, and files of the kernel")]

mod errand;
mod filter;
mod init;
mod rights;
mod root;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

pub(crate) use self::errand::{Errand, run as run_errand};
use super::{Pids, Spec, User, write_whole};

/// What keeps a task from the node. Paths are the node's unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// The allocation's directory. No task can write above it.
    pub alloc: PathBuf,
    /// Name of the task's directory in it: the task's root.
    pub task: String,
    /// What of the node the task may read: the node's path, and where the task sees it. What the node lacks is left out.
    pub chroot: Vec<(PathBuf, PathBuf)>,
    pub mounts: Vec<Bind>,
    /// Device files beside those that every task has.
    #[serde(default)]
    pub devices: Vec<DeviceFile>,
    /// It shares the node's process ids.
    pub host_pid: bool,
    /// It shares the node's System V IPC, message queues and shared memory.
    pub host_ipc: bool,
    /// The root is moved into place where the kernel can't pivot (a node that runs from its initial ramdisk).
    pub no_pivot_root: bool,
    /// Empty: the node's.
    pub hostname: String,
    /// The whole text of its `/etc/resolv.conf`; `None`: the node's.
    pub resolv_conf: Option<String>,
    /// The same of `/etc/hosts`.
    #[serde(default)]
    pub hosts: Option<String>,
    pub rights: Rights,
}

/// A directory or file of the node that the task sees at `target`, a path of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
}

/// A device file of the node, and where below `/dev` the task sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFile {
    pub source: PathBuf,
    pub target: PathBuf,
    pub writable: bool,
}

/// What becomes of mounts below a bound directory that are made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    Private,
    HostToTask,
    Bidirectional,
}

/// Capabilities, as bits by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What nothing in the task ever has more than. All of it is root's.
    pub bounding: u64,
    /// What a user other than root has of it.
    pub kept: u64,
}

/// What init and task say to whoever made them, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    Running(Pids),
    Failed(String),
    /// The task's wait status.
    Ended(i32),
}

fn say(to: &mut impl Write, word: &Word) {
    let mut line = serde_json::to_vec(word).expect("a word serialises");
    line.push(b'\n');
    let _ = to.write_all(&line);
}

/// What a further command needs to know of the task. `walls.json` in the run's directory, which no task sees.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    user: Option<User>,
    rights: Rights,
    work_dir: PathBuf,
}

fn known_file(run_dir: &Path) -> PathBuf {
    run_dir.join("walls.json")
}

/// Whether the task of a run has walls. One that sees another root than we do has, whatever is written down.
pub(crate) fn is_walled(run_dir: &Path, task: u32) -> bool {
    let root = |of: &str| std::fs::metadata(format!("/proc/{of}/root/.")).ok().map(|m| (m.dev(), m.ino()));
    known_file(run_dir).exists() || root(&task.to_string()) != root("self")
}

/// The init of a task that was started.
pub(super) struct Walled {
    init: nix::unistd::Pid,
    pids: Pids,
    words: BufReader<File>,
    status: Option<i32>,
}

/// Starts the task behind its walls. `ours`: the supervisor's pids. `outputs`: where the task's stdout and stderr go.
pub(super) fn start(spec: &Spec, walls: &Walls, ours: Pids, outputs: Option<[OwnedFd; 2]>) -> Result<Walled, String> {
    let known = Known { user: spec.user.clone(), rights: walls.rights, work_dir: spec.work_dir.clone() };
    let written = write_whole(&known_file(&spec.run_dir), &serde_json::to_vec(&known).expect("it serialises"));
    written.map_err(|e| format!("writing to {}: {e}", spec.run_dir.display()))?;
    let (hear, speak) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| format!("opening a pipe: {e}"))?;
    if !walls.host_pid {
        // Ours stay as they are: the next child is the first process of the new ones.
        let made = nix::sched::unshare(CloneFlags::CLONE_NEWPID);
        made.map_err(|e| format!("making process ids for the task: {e}"))?;
    }
    // SAFETY: we have one thread, so the child may do anything.
    let forked = unsafe { nix::unistd::fork() }.map_err(|e| format!("making a process for the task: {e}"))?;
    let init = match forked {
        nix::unistd::ForkResult::Child => {
            drop(hear);
            init::run(spec, walls, ours, outputs, File::from(speak))
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    drop((speak, outputs));
    let mut walled = Walled { init, pids: ours, words: BufReader::with_capacity(512, File::from(hear)), status: None };
    match walled.word() {
        Some(Word::Running(pids)) => {
            walled.pids = pids;
            Ok(walled)
        }
        Some(Word::Failed(text)) => {
            let _ = walled.wait();
            Err(text)
        }
        Some(Word::Ended(_)) | None => {
            let _ = walled.wait();
            Err("the task's init ended before its program ran".to_owned())
        }
    }
}

impl Walled {
    pub fn init(&self) -> u32 {
        self.init.as_raw().cast_unsigned()
    }

    pub fn pids(&self) -> Pids {
        self.pids
    }

    fn word(&mut self) -> Option<Word> {
        let mut line = String::new();
        self.words.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    fn reap(&mut self, flags: i32) -> std::io::Result<bool> {
        if self.status.is_some() {
            return Ok(true);
        }
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        match unsafe { libc::waitpid(self.init.as_raw(), &raw mut status, flags) } {
            0 => Ok(false),
            pid if pid > 0 => {
                self.status = Some(status);
                Ok(true)
            }
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Whether the init has ended.
    pub fn ended(&mut self) -> bool {
        self.reap(libc::WNOHANG).unwrap_or(true)
    }

    /// How the task ended. An init that was killed had no time to say: then that is how the task ended, too.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        while !self.reap(0).or_else(|e| match e.kind() {
            std::io::ErrorKind::Interrupted => Ok(false),
            _ => Err(e),
        })? {}
        let said = self.word();
        match (said, self.status) {
            (Some(Word::Ended(status)), _) | (_, Some(status)) => Ok(ExitStatus::from_raw(status)),
            _ => Err(std::io::Error::other("the task's init did not say how the task ended")),
        }
    }
}
