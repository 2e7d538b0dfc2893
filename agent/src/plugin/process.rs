//! The process of a plugin: started, found again by a later agent, ended.
//!
//! It has a session of its own and a file for what it says, so that the agent's death is nothing to it. A later agent finds it
//! at its socket; who listens there the kernel says. What was written down beside the socket says which program it is: after
//! an update, or with another configuration, it is ended and started anew.

#![allow(clippy::disallowed_methods, reason = "the plugin's own directory in the agent's state, which no task sees")]

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::program::Program;
use crate::supervisor::{pidfd, start_time};

/// The longest path that the kernel takes for a socket.
const LONGEST: usize = 107;
/// How long a plugin has to listen.
const LISTENS: Duration = Duration::from_secs(20);
/// How long one has to end after SIGTERM.
const ENDS: Duration = Duration::from_secs(5);
/// What it says is kept up to here, and begun anew.
const LOG: u64 = 4 << 20;

/// What a plugin is run as. Kept beside its socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub program: Program,
    pub args: Vec<String>,
    pub config: Value,
}

/// A process that listens, with a connection to it.
pub(super) struct Process {
    pid: u32,
    started: u64,
    watched: AsyncFd<std::os::fd::OwnedFd>,
}

/// The places of one plugin in the agent's state.
#[derive(Clone, Debug)]
pub(super) struct Home {
    dir: PathBuf,
}

impl Home {
    /// `plugins`: where those of an agent have theirs.
    pub fn new(plugins: &Path, name: &str) -> Home {
        Home { dir: plugins.join(name) }
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    fn run_file(&self) -> PathBuf {
        self.dir.join("run.json")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// A directory of the plugin's own, which stays when it ends.
    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Begins the file of its output anew when it has become too large.
    pub fn trim_log(&self) {
        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(self.log())
            && file.metadata().is_ok_and(|meta| meta.len() > LOG)
        {
            let _ = file.set_len(0);
        }
    }

    /// The last line that the plugin said, to be shown in a sentence.
    fn last_words(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2048)..]).into_owned();
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        match line {
            "" => format!("it said nothing ({} is empty)", self.log().display()),
            line => format!("its last words in {} are: {}", self.log().display(), super::short(line)),
        }
    }
}

impl Process {
    /// The process that runs so: the one of an earlier agent, or a new one. The error is a sentence.
    pub async fn get(home: &Home, run: &Run) -> Result<(Process, UnixStream), String> {
        let written: Option<Run> =
            std::fs::read(home.run_file()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some((process, stream)) = Process::listening(home).await {
            if written.as_ref() == Some(run) {
                return Ok((process, stream));
            }
            drop(stream);
            process.end().await;
        }
        Process::start(home, run).await
    }

    /// Who listens at the socket, if anybody does.
    pub async fn listening(home: &Home) -> Option<(Process, UnixStream)> {
        let stream = UnixStream::connect(home.socket()).await.ok()?;
        let pid = u32::try_from(stream.peer_cred().ok()?.pid()?).ok()?;
        Some((Process::of(pid)?, stream))
    }

    fn of(pid: u32) -> Option<Process> {
        // The descriptor is taken first: a pid that is used again after the look can't be what it names.
        let fd = pidfd(pid).ok()?;
        let started = start_time(pid)?;
        // SAFETY: the registration owns the descriptor and is dropped with it.
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()?;
        Some(Process { pid, started, watched })
    }

    async fn start(home: &Home, run: &Run) -> Result<(Process, UnixStream), String> {
        let socket = home.socket();
        if socket.as_os_str().len() > LONGEST {
            return Err(format!(
                "its socket would be {}, and the path of a socket has at most {LONGEST} bytes: choose a shorter client.state_dir",
                socket.display()
            ));
        }
        prepare(home, run).map_err(|error| format!("preparing {}: {error}", home.dir.display()))?;
        let mut child = command(home, run)
            .and_then(|mut command| command.spawn())
            .map_err(|error| format!("starting {}: {error}", run.program.path.display()))?;
        let pid = child.id().ok_or("it ended at once")?;
        let begun = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&socket).await
                && let Some(process) = Process::of(pid)
            {
                // Reaps it when it ends; its end is seen by its descriptor, as that of one found again.
                tokio::spawn(async move { child.wait().await });
                return Ok((process, stream));
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("{} ended with {status}; {}", run.program.path.display(), home.last_words()));
            }
            if begun.elapsed() > LISTENS {
                let _ = child.kill().await;
                return Err(format!(
                    "{} does not listen at the socket that TARPAN_PLUGIN_SOCKET names, {} s after its start; {}",
                    run.program.path.display(),
                    LISTENS.as_secs(),
                    home.last_words()
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Comes back when it has ended.
    pub async fn ended(&self) {
        let _ = self.watched.readable().await;
    }

    /// Ends it: asked to, then forced to.
    pub async fn end(&self) {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            if start_time(self.pid) == Some(self.started) {
                // SAFETY: seen alive with its start time just now.
                unsafe { libc::kill(self.pid.cast_signed(), signal) };
            }
            if tokio::time::timeout(ENDS, self.ended()).await.is_ok() {
                return;
            }
        }
    }
}

/// Makes the plugin's places, and writes down what it is run as.
fn prepare(home: &Home, run: &Run) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.state())?;
    match std::fs::remove_file(home.socket()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    home.trim_log();
    let fresh = home.dir.join("run.json.new");
    // It may hold secrets of the plugin's configuration.
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    serde_json::to_writer(&mut file, run)?;
    std::fs::rename(fresh, home.run_file())
}

fn command(home: &Home, run: &Run) -> std::io::Result<tokio::process::Command> {
    let log = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(home.log())?;
    let mut command = tokio::process::Command::new(&run.program.path);
    command
        .args(&run.args)
        .current_dir(home.state())
        .env_clear()
        .envs(crate::env::host_env(crate::env::DENIED))
        .env("TARPAN_PLUGIN_SOCKET", home.socket())
        .env("TARPAN_PLUGIN_STATE", home.state())
        .env("TARPAN_PLUGIN_PROTOCOL", super::PROTOCOL.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false);
    crate::descriptors::give_back(command.as_std_mut());
    // SAFETY: async-signal-safe calls of a forked child.
    unsafe {
        command.pre_exec(|| {
            crate::supervisor::signals_as_usual();
            nix::unistd::setsid().map(drop).map_err(std::io::Error::from)
        });
    }
    Ok(command)
}
