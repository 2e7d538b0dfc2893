//! The end of a demo: Ctrl-C, a kill and a closed terminal all stop the agent with its jobs and leave nothing behind.
//!
//! Signals are caught and not blocked: what is started here would inherit a block, and could not be interrupted itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::IntoRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tarpan_end2end::lab::{eventually, kill_all_of};

/// What ends a demo. SIGHUP is what a terminal says that is closed.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How long an agent may take to stop its jobs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the handler writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: libc::c_int) {
    let byte = u8::try_from(signal).unwrap_or(0);
    // SAFETY: `write` may be called by a handler; the descriptor stays open for the life of the process, and one byte is there.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), std::ptr::from_ref(&byte).cast(), 1) };
}

/// What has to be cleared away.
#[derive(Clone, Debug)]
struct Running {
    agent: Pid,
    folder: PathBuf,
}

/// Watches for signals until the process ends.
#[derive(Clone, Debug)]
pub struct Ending(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: Mutex<Option<Running>>,
    begun: AtomicBool,
}

impl Ending {
    pub fn watch() -> Result<Ending> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        PIPE.store(write.into_raw_fd(), Ordering::Relaxed);
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
        for signal in ENDS {
            // SAFETY: the handler does nothing but what handlers may do.
            unsafe { sigaction(signal, &action) }.with_context(|| format!("catching {signal}"))?;
        }
        let ending = Ending(Arc::default());
        let watched = ending.clone();
        std::thread::spawn(move || {
            let mut signal = [0];
            if File::from(read).read_exact(&mut signal).is_ok() {
                watched.end();
                std::process::exit(128 + i32::from(signal[0]));
            }
        });
        Ok(ending)
    }

    /// From now on this agent is stopped at the end, and `folder` goes.
    pub fn covers(&self, agent: u32, folder: &Path) {
        let running = Running { agent: Pid::from_raw(agent.cast_signed()), folder: folder.to_owned() };
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Once the end has begun, what fails fails because of it: this waits for the end, and else goes on.
    pub fn hold(&self) {
        while self.0.begun.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    fn end(&self) {
        self.0.begun.store(true, Ordering::SeqCst);
        let Some(running) = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A closed terminal takes no more words.
        let _ = writeln!(std::io::stdout(), "\nStopping the jobs and the agent …");
        let _ = kill(running.agent, Signal::SIGINT);
        let _ = eventually("the agent to end", PATIENCE, || {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let status = waitid(Id::Pid(running.agent), flags);
            Ok((!matches!(status, Ok(WaitStatus::StillAlive))).then_some(()))
        });
        kill_all_of(&running.folder);
        let _ = std::fs::remove_dir_all(&running.folder);
    }
}
