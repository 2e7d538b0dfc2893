//! The agent's side of a supervised task: start it, find it again, wait for it, signal it.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::claim::{self, Claim};
use super::nursery;
use super::{Exit, Greeting, Pids, Spec};
use super::{boot_file, exit_file, is_of_earlier_boot, pid_file, pidfd, start_time, write_whole};

/// How long a supervisor has to say that its task runs.
const GREETING: Duration = Duration::from_secs(30);

/// Why a task did not start under a supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The supervisor's own sentence: the command was not found, may not be run …
    #[error("{0}")]
    Task(String),
    #[error("starting the task supervisor")]
    Supervisor(#[source] std::io::Error),
    #[error("the task supervisor ended before its task ran")]
    Silent,
    #[error("preparing {path} for the task supervisor")]
    RunDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Why a task of an earlier agent was not found again.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("nothing is known of a run in {0}")]
    Unknown(PathBuf),
    #[error("the machine was started anew, and the task ended with it")]
    EarlierBoot,
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A supervised task.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    run_dir: PathBuf,
    pids: Pids,
    /// Ends with the supervisor; `None` when it was gone already.
    supervisor: Option<AsyncFd<OwnedFd>>,
    /// Ends with the task; `None` when it was gone already.
    task: Option<AsyncFd<OwnedFd>>,
}

impl Process {
    /// Starts a supervisor and waits until its task runs or could not be started. Must be called within a tokio runtime.
    pub async fn spawn(spec: &Spec) -> Result<Process, SpawnError> {
        let run_dir = spec.run_dir.clone();
        let prepared = std::fs::create_dir_all(&run_dir)
            .and_then(|()| remove_if_there(&exit_file(&run_dir)))
            .and_then(|()| write_whole(&boot_file(&run_dir), crate::clock::boot().as_bytes()));
        prepared.map_err(|source| SpawnError::RunDir { path: run_dir.clone(), source })?;
        let (of, driver) = (run_dir.clone(), spec.driver.clone());
        let begun = crate::blocking(move || nursery::begin(&of, &driver)).await.map_err(SpawnError::Supervisor)?;
        let ends = Sender::from_owned_fd(begun.stdin).and_then(|s| Ok((s, Receiver::from_owned_fd(begun.stdout)?)));
        let (mut stdin, stdout) = ends.map_err(SpawnError::Supervisor)?;
        crate::crash::point("supervisor-started");
        let text = serde_json::to_vec(spec).expect("a spec serialises");
        stdin.write_all(&text).await.map_err(SpawnError::Supervisor)?;
        drop(stdin);
        crate::crash::point("supervisor-told");
        let greeting = tokio::time::timeout(GREETING, greeting(stdout)).await.unwrap_or(Err(SpawnError::Silent));
        match greeting? {
            Greeting::Running(pids) => Ok(Process::from_pids(run_dir, pids)),
            Greeting::Failed(message) => Err(SpawnError::Task(message)),
        }
    }

    /// Finds the task that runs, or ran, in `run_dir`.
    pub fn attach(run_dir: &Path) -> Result<Process, AttachError> {
        let path = pid_file(run_dir);
        let text = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => AttachError::Unknown(run_dir.to_owned()),
            _ => AttachError::Read { path: path.clone(), source },
        })?;
        let pids = serde_json::from_slice(&text).map_err(|error| AttachError::Read { path, source: error.into() })?;
        match is_of_earlier_boot(run_dir) {
            false => Ok(Process::from_pids(run_dir.to_owned(), pids)),
            // How it ended was written down before.
            true if exit_file(run_dir).exists() => Ok(Process::from_pids(run_dir.to_owned(), Pids::default())),
            true => Err(AttachError::EarlierBoot),
        }
    }

    /// The task that a start in `run_dir` has brought about. `None`: there is none, and none will come of that start.
    pub async fn find(run_dir: &Path) -> Result<Option<Process>, AttachError> {
        if is_of_earlier_boot(run_dir) && !exit_file(run_dir).exists() {
            return Ok(None);
        }
        let failed = |source| AttachError::Read { path: run_dir.to_owned(), source };
        // The directory is made before the supervisor: without it there was none.
        if !run_dir.is_dir() || claim::take(run_dir, Claim::Void).map_err(failed)? {
            return match pid_file(run_dir).exists() {
                true => Process::attach(run_dir).map(Some),
                false => Ok(None),
            };
        }
        let Some(Claim::Supervisor { pid, start }) = claim::read(run_dir) else { return Ok(None) };
        let begun = std::time::Instant::now();
        loop {
            // Looked at before the file: a supervisor that ends right now has written it before.
            let alive = start_time(pid) == Some(start);
            if pid_file(run_dir).exists() {
                return Process::attach(run_dir).map(Some);
            }
            if !alive {
                return Ok(None);
            }
            if begun.elapsed() > GREETING {
                // SAFETY: the supervisor, seen alive with its start time just now. Its child dies with it until it is written down.
                unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn from_pids(run_dir: PathBuf, pids: Pids) -> Process {
        let supervisor = watch(pids.supervisor, pids.supervisor_start);
        let task = watch(pids.task, pids.task_start);
        Process { inner: Arc::new(Inner { run_dir, pids, supervisor, task }) }
    }

    pub fn pid(&self) -> u32 {
        self.inner.pids.task
    }

    /// The task itself has not ended yet, as far as can be seen now.
    pub fn alive(&self) -> bool {
        start_time(self.inner.pids.task) == Some(self.inner.pids.task_start)
    }

    /// Waits for the end of the task and says how it ended.
    ///
    /// When the supervisor died before its task, the task is watched by itself and only its exit code stays unknown.
    pub async fn wait(&self) -> Exit {
        if let Some(fd) = &self.inner.supervisor {
            let _ = fd.readable().await;
        }
        if let Some(exit) = self.read_exit() {
            return exit;
        }
        if let Some(fd) = &self.inner.task {
            let _ = fd.readable().await;
        }
        self.read_exit().unwrap_or_else(|| Exit {
            code: -1,
            error: Some("the task ended while its supervisor was gone: its exit code is unknown".to_owned()),
            ..Exit::default()
        })
    }

    /// Waits until the supervisor has ended too: it writes nothing into its run any more.
    pub async fn supervisor_gone(&self) {
        if let Some(fd) = &self.inner.supervisor {
            let _ = fd.readable().await;
        }
    }

    fn read_exit(&self) -> Option<Exit> {
        serde_json::from_slice(&std::fs::read(exit_file(&self.inner.run_dir)).ok()?).ok()
    }

    /// Sends a signal to the task alone; nothing happens when it has ended.
    pub fn signal(&self, signal: i32) -> std::io::Result<()> {
        let Some(fd) = &self.inner.task else { return Ok(()) };
        // SAFETY: the descriptor names exactly that process, whatever became of its pid.
        let done = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, fd.get_ref().as_raw_fd(), signal, std::ptr::null::<u8>(), 0)
        };
        match done {
            0 => Ok(()),
            _ => match std::io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// SIGKILL to the task and everything in its process group.
    pub fn kill_group(&self) {
        if self.alive() {
            // SAFETY: the group's id is the task's pid, checked a moment ago to be still the task's.
            unsafe { libc::kill(-(self.inner.pids.task as i32), libc::SIGKILL) };
        }
        let _ = self.signal(libc::SIGKILL);
    }
}

async fn greeting(stdout: Receiver) -> Result<Greeting, SpawnError> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await.map_err(SpawnError::Supervisor)?;
    serde_json::from_str(&line).map_err(|_| SpawnError::Silent)
}

/// Watches a process if it is still the one that started then.
fn watch(pid: u32, start: u64) -> Option<AsyncFd<OwnedFd>> {
    let fd = pidfd(pid).ok()?;
    // The descriptor is taken first: a pid reused after this check can't be what it names.
    if start_time(pid) != Some(start) {
        return None;
    }
    // SAFETY: the registration owns the descriptor and is dropped with it.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }.ok()
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Logs;
    use super::*;

    fn spec(dir: &Path, script: &str) -> Spec {
        let logs = Logs { alloc: dir.to_owned(), task: "t".to_owned(), max_files: 3, max_bytes: 1 << 20 };
        Spec {
            run_dir: dir.join("run"),
            command: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            work_dir: dir.to_owned(),
            logs: Some(logs),
            ..Spec::default()
        }
    }

    fn log(dir: &Path, kind: &str) -> String {
        std::fs::read_to_string(dir.join(format!("alloc/logs/t.{kind}.0"))).unwrap_or_default()
    }

    #[tokio::test]
    async fn output_and_exit_code_arrive() {
        let dir = tempfile::tempdir().expect("a directory");
        let process = Process::spawn(&spec(dir.path(), "echo $GREETING; echo oops >&2; exit 7")).await.expect("starts");
        assert_eq!(process.wait().await, Exit { code: 7, ..Exit::default() });
        assert_eq!((log(dir.path(), "stdout"), log(dir.path(), "stderr")), ("hello\n".into(), "oops\n".into()));
    }

    #[tokio::test]
    async fn a_task_has_the_limit_of_descriptors_that_it_is_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let asked = Spec { descriptors: Some(321), ..spec(dir.path(), "ulimit -n; ulimit -Hn") };
        let process = Process::spawn(&asked).await.expect("starts");
        assert!(process.wait().await.success());
        let limits = log(dir.path(), "stdout");
        let (soft, hard) = limits.trim().split_once('\n').expect("two lines");
        assert!(soft == "321" && hard != "321", "{limits}");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = Spec { command: PathBuf::from("/does/not/exist"), ..spec(dir.path(), "") };
        let error = Process::spawn(&missing).await.err().expect("must fail");
        assert_eq!(error.to_string(), "failed to start command /does/not/exist: no such file or directory");
    }

    #[tokio::test]
    async fn a_signal_ends_it_and_is_reported() {
        let dir = tempfile::tempdir().expect("a directory");
        let process = Process::spawn(&spec(dir.path(), "exec sleep 60")).await.expect("starts");
        process.signal(libc::SIGTERM).expect("sent");
        assert_eq!(process.wait().await, Exit { code: 143, signal: libc::SIGTERM, ..Exit::default() });
        assert!(!process.alive());
    }

    /// As `tarpan agent &` and `nohup` have it.
    #[tokio::test]
    async fn what_the_agent_was_told_to_ignore_the_task_is_not() {
        for signal in [libc::SIGQUIT, libc::SIGUSR2] {
            // SAFETY: nobody sends these to this process.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
            let dir = tempfile::tempdir().expect("a directory");
            let process = Process::spawn(&spec(dir.path(), "exec sleep 60")).await.expect("starts");
            process.signal(signal).expect("sent");
            let exit = tokio::time::timeout(Duration::from_secs(20), process.wait()).await.expect("ends by it");
            assert_eq!(exit, Exit { code: 128 + signal, signal, ..Exit::default() });
        }
    }

    #[tokio::test]
    async fn it_is_found_again_and_lost_supervisors_are_survived() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Process::spawn(&spec(dir.path(), "exec sleep 60")).await.expect("starts");
        let again = Process::attach(&dir.path().join("run")).expect("known");
        assert!(again.alive());
        // SAFETY: the supervisor is ours and alive.
        unsafe { libc::kill(first.inner.pids.supervisor as i32, libc::SIGKILL) };
        again.kill_group();
        assert_eq!(again.wait().await.code, -1);
        assert!(Process::attach(&dir.path().join("nothing")).is_err());
    }

    /// Its pids are those of somebody else by then.
    #[tokio::test]
    async fn a_run_of_an_earlier_start_of_the_machine_is_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let spec = spec(dir.path(), "exec sleep 60");
        let first = Process::spawn(&spec).await.expect("starts");
        assert!(super::super::is_running(&spec.run_dir));
        std::fs::write(boot_file(&spec.run_dir), "of yesterday").expect("written");
        assert!(matches!(Process::attach(&spec.run_dir), Err(AttachError::EarlierBoot)));
        assert!(Process::find(&spec.run_dir).await.expect("looked").is_none());
        assert!(!super::super::is_running(&spec.run_dir));
        first.kill_group();
        first.wait().await;
        first.supervisor_gone().await;
        // What was written down before the machine went is as good as ever.
        let ended = Process::attach(&spec.run_dir).expect("known");
        assert!(!ended.alive());
        assert_eq!(ended.wait().await.signal, libc::SIGKILL);
    }

    #[tokio::test]
    async fn a_start_that_was_given_up_never_happens() {
        let dir = tempfile::tempdir().expect("a directory");
        let spec = spec(dir.path(), "echo ran >> ran; exec sleep 60");
        assert!(Process::find(&spec.run_dir).await.expect("looked").is_none(), "nothing was begun");
        std::fs::create_dir_all(&spec.run_dir).expect("made");
        assert!(Process::find(&spec.run_dir).await.expect("looked").is_none());
        // A supervisor of the dead agent that comes late.
        let error = Process::spawn(&spec).await.err().expect("refused");
        assert_eq!(error.to_string(), "the start was given up meanwhile");
        assert!(!dir.path().join("ran").exists());
    }

    #[tokio::test]
    async fn a_start_that_nobody_waited_for_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let spec = spec(dir.path(), "exec sleep 60");
        let first = Process::spawn(&spec).await.expect("starts");
        let found = Process::find(&spec.run_dir).await.expect("looked").expect("it runs");
        assert_eq!(found.pid(), first.pid());
        // Also when all that was written down is gone: the supervisor itself says where it belongs.
        std::fs::remove_dir_all(&spec.run_dir).expect("removed");
        assert!(super::super::runs(dir.path()).iter().any(|run| run.dir == spec.run_dir));
        let found = Process::attach(&spec.run_dir).expect("written again");
        assert_eq!(found.pid(), first.pid());
        found.signal(libc::SIGTERM).expect("sent");
        assert_eq!(found.wait().await.code, 143);
    }

    #[tokio::test]
    async fn a_start_that_failed_is_known_to_have_failed() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = Spec { command: PathBuf::from("/does/not/exist"), ..spec(dir.path(), "") };
        Process::spawn(&missing).await.err().expect("must fail");
        if let Some(found) = Process::find(&missing.run_dir).await.expect("looked") {
            assert!(!found.alive());
            assert!(found.wait().await.error.is_some_and(|e| e.contains("no such file or directory")));
        }
    }

    #[tokio::test]
    async fn children_of_the_task_end_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let process = Process::spawn(&spec(dir.path(), "sleep 60 & echo $!; exit 0")).await.expect("starts");
        assert!(process.wait().await.success());
        let child: u32 = log(dir.path(), "stdout").trim().parse().expect("a pid");
        // The signal is sent by now; the kernel closes a dying process's pipes before it counts as ended.
        let Some(left) = start_time(child).and_then(|start| watch(child, start)) else { return };
        let ended = tokio::time::timeout(Duration::from_secs(20), left.readable()).await;
        assert!(ended.is_ok_and(|watched| watched.is_ok()), "it ends with the task");
    }
}
