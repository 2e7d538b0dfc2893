//! The process that fetches: two of them, one in the other.
//!
//! The keeper has the agent's rights and touches nothing that strangers have sent. It starts the worker as the first process of
//! a PID namespace, so that everything which that one starts ends with it. When nobody waits any more (its stdin is closed: the
//! agent gave up, or is dead) it ends the worker and removes what there is. The worker builds its walls ([`super::confine`]),
//! and only then opens a connection.

#![allow(clippy::disallowed_methods, reason = "the scratch directory is the agent's own, and no task sees it")]

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::confine::{Walls, confine};
use super::request::{Line, MOST_REQUEST, Request};
use super::work::work;
use crate::ground::Dir;
use crate::supervisor::pidfd;

/// Keeps the worker, and exits as it does.
pub(super) fn run(scratch: &Path) -> ! {
    // SAFETY: one thread; a new session keeps the agent's terminal and its signals away.
    unsafe { libc::setsid() };
    let keeper = pidfd(std::process::id());
    let namespace = nix::sched::unshare(CloneFlags::CLONE_NEWPID);
    // SAFETY: there is one thread.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => keep(child, scratch),
        Ok(ForkResult::Child) => {
            let mut lacking = Vec::new();
            if let Err(error) = namespace {
                lacking.push(format!("a PID namespace of its own ({error})"));
            }
            worker(scratch, keeper.ok(), lacking)
        }
        Err(error) => {
            eprintln!("starting a process: {error}");
            std::process::exit(1)
        }
    }
}

fn keep(worker: Pid, scratch: &Path) -> ! {
    let wanted = wait(worker);
    let kill = |pid: i32| {
        // SAFETY: the worker has not been waited for yet, so its number is nobody else's.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    };
    if !wanted {
        kill(worker.as_raw());
    }
    // Without a namespace what it has started is in its session.
    kill(-worker.as_raw());
    let code = match waitpid(worker, None) {
        Ok(WaitStatus::Exited(_, code)) => code,
        Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
        _ => 1,
    };
    if !wanted && let (Some(parent), Some(name)) = (scratch.parent(), scratch.file_name()) {
        let _ = Dir::trusted(parent).and_then(|parent| parent.remove_tree(Path::new(name)));
    }
    std::process::exit(code)
}

/// Until the worker has ended, or nobody waits for it any more: then it gives `false`.
fn wait(worker: Pid) -> bool {
    let Ok(ended) = pidfd(worker.as_raw().unsigned_abs()) else { return wait_without_pidfd(worker) };
    let stdin = std::io::stdin();
    loop {
        // The request is the worker's to read: here only the end of it counts.
        let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN), PollFd::new(stdin.as_fd(), PollFlags::empty())];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let seen = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
        if seen(&fds[0]) {
            return true;
        }
        if seen(&fds[1]) {
            return false;
        }
    }
}

/// Kernels before 5.3: look four times a second.
fn wait_without_pidfd(worker: Pid) -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let stdin = std::io::stdin();
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
        if poll(&mut fds, PollTimeout::from(250u16)).is_ok_and(|n| n > 0) {
            return false;
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        if !matches!(waitid(Id::Pid(worker), flags), Ok(WaitStatus::StillAlive)) {
            return true;
        }
    }
}

fn worker(scratch: &Path, keeper: Option<OwnedFd>, mut lacking: Vec<String>) -> ! {
    // SAFETY: one thread.
    unsafe { libc::setsid() };
    let request = match read() {
        Ok(request) => request,
        Err(text) => end(&Line::Failed { text, recoverable: true }),
    };
    let dir = match Dir::trusted(scratch) {
        Ok(dir) => dir,
        Err(error) => end(&Line::Failed { text: crate::chain(&error), recoverable: true }),
    };
    let programs = request.origin.programs();
    let walls = Walls { scratch: &dir, limits: &request.limits, hidden: &request.hidden, programs };
    match confine(&walls) {
        Ok(more) => lacking.extend(more),
        Err(text) => {
            end(&Line::Failed { text: format!("confining what fetches artifacts: {text}"), recoverable: true })
        }
    }
    // The keeper may have died before this process was told to go with it.
    if keeper.as_ref().is_some_and(gone) {
        std::process::exit(1)
    }
    say(&Line::Begun { lacking });
    #[cfg(test)]
    if !request.attempts.is_empty() {
        end(&Line::Failed { text: attempts::all(&request.attempts), recoverable: false })
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => end(&Line::Failed { text: format!("starting: {error}"), recoverable: true }),
    };
    let tell = |progress| say(&Line::Progress(progress));
    match runtime.block_on(work(&request, &dir, &tell)) {
        Ok(made) => end(&Line::Done(made)),
        Err(error) => end(&Line::Failed { text: crate::chain(&error), recoverable: error.recoverable() }),
    }
}

/// The request is one line; what comes after it never comes.
fn read() -> Result<Request, String> {
    let mut text = Vec::new();
    for byte in std::io::stdin().lock().take(MOST_REQUEST).bytes() {
        match byte.map_err(|e| format!("what to fetch did not arrive: {e}"))? {
            b'\n' => break,
            byte => text.push(byte),
        }
    }
    serde_json::from_slice(&text).map_err(|e| format!("what to fetch is not readable: {e}"))
}

fn gone(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

fn say(line: &Line) {
    let mut text = serde_json::to_vec(line).expect("a line serialises");
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&text).and_then(|()| out.flush());
}

fn end(line: &Line) -> ! {
    say(line);
    std::process::exit(0)
}

/// The scratch directory that the command line names, when this process was started to fetch.
pub(super) fn asked(argument: &str) -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == argument).then(|| args.next().map(PathBuf::from)).flatten()
}

#[cfg(test)]
#[path = "attempts.rs"]
mod attempts;
