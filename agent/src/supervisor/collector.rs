//! Reads the output of a task that a plugin runs, and writes the rotated log files.
//!
//! It is this same binary with a hidden argument, a process of its own as a supervisor is: a task that writes does not wait for an
//! agent, and loses nothing with one. What it reads are two pipes with names (FIFOs) in the run's directory, which the plugin gives
//! to the task. It holds them open for writing, too, so that a plugin may open them late, and again. It ends when it is told to, after
//! it has read what is there, and when the run's directory is gone.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{COLLECTOR, Logs, Rotator, start_time, write_whole};

/// How long one has to say that it listens, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the run is still there. Milliseconds.
const LOOK: u16 = 2000;
const KINDS: [&str; 2] = ["stdout", "stderr"];

/// What a collector is told on its stdin.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    run_dir: PathBuf,
    logs: Logs,
}

/// `collector.json`: the process, with its start time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Written {
    pid: u32,
    start: u64,
}

/// Where a task's output is to be written: stdout and stderr.
pub(crate) fn pipes(run_dir: &Path) -> [PathBuf; 2] {
    KINDS.map(|kind| run_dir.join(kind))
}

/// Makes sure that somebody reads the output of this run. The error is a sentence.
pub(crate) async fn ensure(run_dir: &Path, logs: &Logs) -> Result<(), String> {
    if running(run_dir).is_some() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("having the task's output read in {}: {error}", run_dir.display());
    std::fs::create_dir_all(run_dir).map_err(failed)?;
    for pipe in pipes(run_dir) {
        match nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .arg(COLLECTOR)
        .arg(run_dir)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()
        .map_err(failed)?;
    let (mut stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    tokio::spawn(async move { child.wait().await });
    let order = Order { run_dir: run_dir.to_owned(), logs: logs.clone() };
    stdin.write_all(&serde_json::to_vec(&order).expect("paths serialise")).await.map_err(failed)?;
    drop(stdin);
    let mut line = String::new();
    let heard = tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
    match (heard, line.trim()) {
        (Ok(Ok(_)), "ready") => Ok(()),
        (_, "") => Err("who reads the task's output did not begin".to_owned()),
        (_, why) => Err(why.to_owned()),
    }
}

/// Has it read what is there, and end.
pub(crate) async fn finish(run_dir: &Path) {
    let begun = std::time::Instant::now();
    let Some(of) = running(run_dir) else { return };
    // SAFETY: seen alive with its start time just now.
    unsafe { libc::kill(of.pid.cast_signed(), libc::SIGTERM) };
    while running(run_dir).is_some() {
        if begun.elapsed() > PATIENCE {
            // SAFETY: as above.
            unsafe { libc::kill(of.pid.cast_signed(), libc::SIGKILL) };
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn running(run_dir: &Path) -> Option<Written> {
    let written: Written = serde_json::from_slice(&std::fs::read(run_dir.join("collector.json")).ok()?).ok()?;
    (start_time(written.pid) == Some(written.start)).then_some(written)
}

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn told(_: libc::c_int) {
    TOLD.store(true, Ordering::SeqCst);
}

/// What the process does. One thread, no runtime.
pub(super) fn run() -> ! {
    // SAFETY: one thread; a new session keeps the agent's terminal and its signals away.
    unsafe { libc::setsid() };
    let end = SigAction::new(SigHandler::Handler(told), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler sets a flag.
    let _ = unsafe { sigaction(Signal::SIGTERM, &end) };
    let mut text = String::new();
    let order = std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string());
    let order = order.and_then(|_| serde_json::from_str::<Order>(&text).map_err(|e| e.to_string()));
    match order.and_then(|order| Ok((begin(&order)?, order.run_dir))) {
        Ok((pipes, run_dir)) => {
            say("ready");
            collect(pipes, &run_dir);
            std::process::exit(0)
        }
        Err(why) => {
            say(&why);
            std::process::exit(1)
        }
    }
}

/// Says one line, and closes what it was said on.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
    super::child::close_standard();
}

fn begin(order: &Order) -> Result<Vec<(File, Rotator)>, String> {
    let open = |kind: &str| {
        let path = order.run_dir.join(kind);
        let pipe = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let pipe = pipe.map_err(|error| format!("opening {}: {error}", path.display()))?;
        Ok((pipe, super::child::rotator(&order.logs, kind)?))
    };
    let pipes = KINDS.into_iter().map(open).collect::<Result<Vec<_>, String>>()?;
    let me = std::process::id();
    let written = Written { pid: me, start: start_time(me).unwrap_or(0) };
    let bytes = serde_json::to_vec(&written).expect("numbers serialise");
    write_whole(&order.run_dir.join("collector.json"), &bytes)
        .map_err(|error| format!("writing who reads: {error}"))?;
    Ok(pipes)
}

fn collect(mut pipes: Vec<(File, Rotator)>, run_dir: &Path) {
    let mut buffer = [0u8; 16 * 1024];
    loop {
        // Read before the last reading: what was written until then is not missed.
        let last = TOLD.load(Ordering::SeqCst) || !run_dir.is_dir();
        for (pipe, log) in &mut pipes {
            // As much as a pipe holds when it ends: whoever still writes would keep it for ever.
            let mut rest = 4 << 20;
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                // A log that can't be written must not stop the task.
                let _ = log.write(&buffer[..read]);
                rest -= read.min(rest);
                if rest == 0 {
                    break;
                }
            }
        }
        if last {
            return;
        }
        let mut fds: Vec<PollFd<'_>> =
            pipes.iter().map(|(pipe, _)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, PollTimeout::from(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_read_by_a_process_of_its_own_until_it_is_told_to_end() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("alloc/logs")).expect("made");
        let logs = Logs { alloc: dir.path().to_owned(), task: "t".to_owned(), max_files: 2, max_bytes: 1 << 20 };
        let run_dir = dir.path().join("run");
        ensure(&run_dir, &logs).await.expect("begins");
        let first = running(&run_dir).expect("runs").pid;
        ensure(&run_dir, &logs).await.expect("is there already");
        assert_eq!(running(&run_dir).map(|w| w.pid), Some(first));
        let [out, err] = pipes(&run_dir);
        // Whoever had it open and went does not end it.
        for line in ["one\n", "two\n"] {
            File::options().write(true).open(&out).expect("opens").write_all(line.as_bytes()).expect("written");
        }
        File::options().write(true).open(&err).expect("opens").write_all(b"oops\n").expect("written");
        finish(&run_dir).await;
        assert!(running(&run_dir).is_none());
        let log =
            |kind: &str| std::fs::read_to_string(dir.path().join(format!("alloc/logs/t.{kind}.0"))).expect("written");
        assert_eq!((log("stdout"), log("stderr")), ("one\ntwo\n".to_owned(), "oops\n".to_owned()));
    }

    #[tokio::test]
    async fn it_ends_when_its_run_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("alloc/logs")).expect("made");
        let logs = Logs { alloc: dir.path().to_owned(), task: "t".to_owned(), max_files: 2, max_bytes: 1 << 20 };
        let run_dir = dir.path().join("run");
        ensure(&run_dir, &logs).await.expect("begins");
        let of = running(&run_dir).expect("runs");
        std::fs::remove_dir_all(&run_dir).expect("removed");
        let begun = std::time::Instant::now();
        while start_time(of.pid) == Some(of.start) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
