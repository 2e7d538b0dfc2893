//! What the supervisor process does. One thread, no async runtime, small buffers: it lives as long as its task.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, and files of the kernel")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::claim::{self, Claim};
use super::surroundings::Surroundings;
use super::walls::{self, Walled};
use super::{Exit, Greeting, Logs, Pids, Rotator, Spec, driver_file, exit_file, pid_file, start_time, write_whole};
use crate::ground::Dir;

/// How long output is still read after the task and its group are dead: descendants that escaped may hold the pipes.
const DRAIN: Duration = Duration::from_millis(500);

/// Reads the spec from stdin, runs the task to its end, and exits.
pub(super) fn run() -> ! {
    // SAFETY: one thread; a new session keeps the agent's terminal and its signals away.
    unsafe { libc::setsid() };
    block_signals();
    let mut text = String::new();
    let spec: Spec = match std::io::stdin().read_to_string(&mut text).map(|_| serde_json::from_str(&text)) {
        Ok(Ok(spec)) => spec,
        Ok(Err(error)) => fail(&format!("the task's description is not readable: {error}")),
        Err(error) => fail(&format!("the task's description did not arrive: {error}")),
    };
    drop(text);
    let me = Claim::Supervisor { pid: std::process::id(), start: start_time(std::process::id()).unwrap_or(0) };
    let _ = write_whole(&driver_file(&spec.run_dir), spec.driver.as_bytes());
    match claim::take(&spec.run_dir, me) {
        Ok(true) => {}
        Ok(false) => fail("the start was given up meanwhile"),
        Err(error) => fail(&format!("writing to {}: {error}", spec.run_dir.display())),
    }
    let (mut child, pipes) = match start(&spec) {
        Ok(started) => started,
        Err(message) => {
            // Whoever looks later finds how it went, also when the agent that asked is gone.
            let exit = Exit { code: -1, error: Some(message.clone()), ..Exit::default() };
            let _ = write_whole(&exit_file(&spec.run_dir), &serde_json::to_vec(&exit).expect("an exit serialises"));
            fail(&message)
        }
    };
    greet(&Greeting::Running(child.pids()));
    let exit = watch(&spec, &mut child, pipes);
    // The directory may have been taken away meanwhile; how the task ended is still wanted.
    let _ = std::fs::create_dir_all(&spec.run_dir);
    let _ = write_whole(&exit_file(&spec.run_dir), &serde_json::to_vec(&exit).expect("an exit serialises"));
    std::process::exit(0)
}

/// Signals meant for the agent or its terminal do not end a supervisor. The task starts with an empty mask again.
pub(super) fn block_signals() {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2] {
        set.add(signal);
    }
    let _ = set.thread_block();
}

fn fail(message: &str) -> ! {
    greet(&Greeting::Failed(message.to_owned()));
    std::process::exit(1)
}

/// Tells the agent how the start went, and closes stdout and stdin.
fn greet(greeting: &Greeting) {
    let mut line = serde_json::to_string(greeting).expect("a greeting serialises");
    line.push('\n');
    let mut out = std::io::stdout();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    close_standard();
}

/// Stdin and stdout lead nowhere any more.
pub(super) fn close_standard() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for fd in 0..=1 {
            // SAFETY: replaces our own standard descriptors.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
    }
}

/// A task's output pipe and the file it goes to.
struct Pipe {
    from: Option<File>,
    to: Rotator,
}

/// What was started, to be waited for: the task itself, or the init behind its walls, which ends with it.
enum Started {
    Plain(Child),
    Walled(Walled),
}

impl Started {
    fn id(&self) -> u32 {
        match self {
            Started::Plain(child) => child.id(),
            Started::Walled(walled) => walled.init(),
        }
    }

    /// The pids of the run, with the task's own.
    fn pids(&self) -> Pids {
        match self {
            Started::Plain(child) => {
                Pids { task: child.id(), task_start: start_time(child.id()).unwrap_or(0), ..own_pids() }
            }
            Started::Walled(walled) => walled.pids(),
        }
    }

    fn ended(&mut self) -> bool {
        match self {
            Started::Plain(child) => matches!(child.try_wait(), Ok(Some(_)) | Err(_)),
            Started::Walled(walled) => walled.ended(),
        }
    }

    fn wait(&mut self) -> std::io::Result<ExitStatus> {
        match self {
            Started::Plain(child) => child.wait(),
            Started::Walled(walled) => walled.wait(),
        }
    }
}

fn start(spec: &Spec) -> Result<(Started, Vec<Pipe>), String> {
    let (mut pipes, mut outputs) = (Vec::new(), Vec::new());
    for kind in ["stdout", "stderr"] {
        let Some(logs) = &spec.logs else { break };
        let (from, to) = pipe().map_err(|e| format!("opening a pipe for the task's output: {e}"))?;
        pipes.push(Pipe { from: Some(from), to: rotator(logs, kind)? });
        outputs.push(to);
    }
    let outputs: Option<[OwnedFd; 2]> = outputs.try_into().ok();
    let started = match &spec.walls {
        Some(walls) => Started::Walled(walls::start(spec, walls, own_pids(), outputs)?),
        None => Started::Plain(plain(spec, outputs)?),
    };
    Ok((started, pipes))
}

fn plain(spec: &Spec, outputs: Option<[OwnedFd; 2]>) -> Result<Child, String> {
    let mut command = Command::new(&spec.command);
    command.args(&spec.args).env_clear().envs(&spec.env).current_dir(&spec.work_dir).stdin(Stdio::null());
    match outputs {
        Some([out, err]) => command.stdout(Stdio::from(out)).stderr(Stdio::from(err)),
        None => command.stdout(Stdio::null()).stderr(Stdio::null()),
    };
    let setup = Setup::new(spec);
    // SAFETY: we have one thread, so the forked child may do anything before exec.
    unsafe { command.pre_exec(move || setup.apply()) };
    command.spawn().map_err(|error| start_error(spec, &error))
}

fn start_error(spec: &Spec, error: &std::io::Error) -> String {
    let command = spec.command.display();
    if !spec.work_dir.is_dir() {
        return format!(
            "failed to start command {command}: its working directory {} is missing",
            spec.work_dir.display()
        );
    }
    super::not_started(&command.to_string(), error)
}

pub(super) fn rotator(logs: &Logs, kind: &str) -> Result<Rotator, String> {
    let opened = Dir::trusted(&logs.alloc)
        .map_err(std::io::Error::from)
        .and_then(|alloc| Rotator::open(alloc, &format!("{}.{kind}", logs.task), logs.max_files, logs.max_bytes));
    opened.map_err(|e| format!("opening the log files of {}: {e}", logs.alloc.display()))
}

fn pipe() -> std::io::Result<(File, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: fills two descriptors that are ours.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: both are fresh. Only our reading end must not block.
    unsafe {
        libc::fcntl(fds[0], libc::F_SETFL, libc::O_NONBLOCK);
        Ok((File::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// What the forked child does before it becomes the task.
struct Setup {
    run_dir: PathBuf,
    supervisor: Pids,
    surroundings: Surroundings,
    user: Option<super::User>,
}

impl Setup {
    fn new(spec: &Spec) -> Setup {
        Setup {
            run_dir: spec.run_dir.clone(),
            supervisor: own_pids(),
            surroundings: Surroundings::of(spec),
            user: spec.user.clone(),
        }
    }

    fn apply(&self) -> std::io::Result<()> {
        // What this process keeps blocked for itself must reach the task.
        super::signals_as_usual();
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        self.die_with_supervisor(true)?;
        self.surroundings.enter()?;
        // A session of its own: signals to the group reach the task's children and nobody else.
        nix::unistd::setsid()?;
        self.write_pids()?;
        self.die_with_supervisor(false)?;
        if let Some(user) = &self.user {
            let groups: Vec<nix::unistd::Gid> = user.groups.iter().map(|g| nix::unistd::Gid::from_raw(*g)).collect();
            nix::unistd::setgroups(&groups)?;
            nix::unistd::setgid(nix::unistd::Gid::from_raw(user.gid))?;
            nix::unistd::setuid(nix::unistd::Uid::from_raw(user.uid))?;
        }
        Ok(())
    }
}

/// Ours, where the task is not known yet.
fn own_pids() -> Pids {
    let pid = std::process::id();
    Pids { supervisor: pid, supervisor_start: start_time(pid).unwrap_or(0), task: 0, task_start: 0 }
}

impl Setup {
    /// Until its pids are written down nobody would find this process without its supervisor.
    fn die_with_supervisor(&self, on: bool) -> std::io::Result<()> {
        let signal = if on { libc::SIGKILL } else { 0 };
        // SAFETY: sets a property of our own process.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        match nix::unistd::getppid().as_raw() == self.supervisor.supervisor.cast_signed() {
            true => Ok(()),
            false => Err(std::io::Error::other("the task supervisor ended")),
        }
    }

    /// Before the program runs: a program that runs is always found.
    fn write_pids(&self) -> std::io::Result<()> {
        let task = std::process::id();
        let pids = Pids { task, task_start: start_time(task).unwrap_or(0), ..self.supervisor };
        write_whole(&pid_file(&self.run_dir), &serde_json::to_vec(&pids)?)
    }
}

/// Pumps output until the task ends; then ends what is left of its group, reads the rest, and says how it ended.
fn watch(spec: &Spec, child: &mut Started, mut pipes: Vec<Pipe>) -> Exit {
    let Ok(pidfd) = super::pidfd(child.id()) else {
        return wait_without_pidfd(spec, child, &mut pipes);
    };
    let mut buffer = [0u8; 16 * 1024];
    loop {
        let ended = {
            let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            fds.extend(pipes.iter().filter_map(|p| p.from.as_ref()).map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => fds[0].revents().is_some_and(|r| !r.is_empty()),
                Err(_) => false,
            }
        };
        pump(&mut pipes, &mut buffer);
        if ended {
            break;
        }
    }
    finish(spec, child, &mut pipes, &mut buffer)
}

/// Kernels before 5.3: look four times a second whether the task ended.
fn wait_without_pidfd(spec: &Spec, child: &mut Started, pipes: &mut [Pipe]) -> Exit {
    let mut buffer = [0u8; 16 * 1024];
    while !child.ended() {
        {
            let mut fds: Vec<PollFd<'_>> = pipes
                .iter()
                .filter_map(|p| p.from.as_ref())
                .map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut fds, PollTimeout::from(250u16));
        }
        pump(pipes, &mut buffer);
    }
    finish(spec, child, pipes, &mut buffer)
}

fn finish(spec: &Spec, child: &mut Started, pipes: &mut [Pipe], buffer: &mut [u8]) -> Exit {
    let status = child.wait();
    // What the task left behind in its group ends with it.
    // SAFETY: the group is the task's own session; its leader was reaped just now, so at worst nobody is in it.
    unsafe { libc::kill(-(child.pids().task as i32), libc::SIGKILL) };
    if spec.walls.is_some() {
        end_groups(spec);
    }
    let until = Instant::now() + DRAIN;
    while pipes.iter().any(|p| p.from.is_some()) && Instant::now() < until {
        {
            let mut fds: Vec<PollFd<'_>> = pipes
                .iter()
                .filter_map(|p| p.from.as_ref())
                .map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut fds, PollTimeout::from(50u16));
        }
        pump(pipes, buffer);
    }
    let oom_killed = crate::cgroup::oom_killed(&spec.cgroups);
    match status {
        Ok(status) => Exit {
            code: status.code().unwrap_or(if status.signal().is_some() {
                128 + status.signal().unwrap_or(0)
            } else {
                -1
            }),
            signal: status.signal().unwrap_or(0),
            oom_killed,
            error: out_of_memory(spec).filter(|_| oom_killed && !status.success()),
        },
        Err(error) => Exit { code: -1, signal: 0, oom_killed, error: Some(format!("waiting for the task: {error}")) },
    }
}

/// What is said of a task that the kernel ended for want of memory.
fn out_of_memory(spec: &Spec) -> Option<String> {
    let bytes = crate::cgroup::memory_limit(&spec.cgroups)?;
    Some(format!("OOM Killed: its memory is limited to {} MiB", bytes >> 20))
}

/// Ends what is left in the task's control groups: with the node's processes around it, it has no init that takes all along.
fn end_groups(spec: &Spec) {
    for dir in &spec.cgroups {
        let pids = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0) {
            // SAFETY: read from the task's own group a moment ago.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

/// Copies what is there to read; a pipe at its end is closed.
fn pump(pipes: &mut [Pipe], buffer: &mut [u8]) {
    for pipe in pipes {
        while let Some(from) = &mut pipe.from {
            match from.read(buffer) {
                Ok(0) => pipe.from = None,
                // A log that can't be written must not stop the task: its output is lost, the task goes on.
                Ok(n) => drop(pipe.to.write(&buffer[..n])),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => pipe.from = None,
            }
        }
    }
}
