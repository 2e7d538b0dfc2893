//! The init behind a task's walls: builds them, starts the task, waits for it, and ends with it.
//!
//! A process without a program of its own: a fork of the supervisor. It is not dumpable, so that nothing behind the walls
//! reads its memory, its descriptors or, by `/proc/1/exe`, the agent's program; and it has no capabilities once the task runs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};

use super::super::surroundings::Surroundings;
use super::super::{Pids, Spec, User, not_started, signals_as_usual};
use super::{Walls, Word, filter, rights, root, say};
use crate::proc_stat::Stat;

/// Where programs are looked for when the task's environment has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ends this process without running anything of the supervisor's.
fn end(code: i32) -> ! {
    // SAFETY: ends our own process.
    unsafe { libc::_exit(code) }
}

/// Becomes the init. Whatever goes wrong before the task runs is said through `speak`.
pub(super) fn run(spec: &Spec, walls: &Walls, ours: Pids, outputs: Option<[OwnedFd; 2]>, mut speak: File) -> ! {
    let outside = match prepare(spec, walls, &ours) {
        Ok(outside) => outside,
        Err(text) => {
            say(&mut speak, &Word::Failed(text));
            end(1)
        }
    };
    let Ok((mut near, far)) = UnixStream::pair() else {
        say(&mut speak, &Word::Failed("opening a pair of sockets for the task's start".to_owned()));
        end(1)
    };
    // SAFETY: one thread.
    let task = match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => {
            drop(near);
            let text = become_task(spec, walls, ours, outside, outputs, far);
            say(&mut speak, &Word::Failed(text));
            end(127)
        }
        Ok(nix::unistd::ForkResult::Parent { child }) => child,
        Err(error) => {
            say(&mut speak, &Word::Failed(format!("making a process for the task: {error}")));
            end(1)
        }
    };
    drop((far, outside, outputs));
    match started(&mut near) {
        Some(pids) => {
            rights::lay_down();
            silence();
            say(&mut speak, &Word::Running(pids));
        }
        // The task has said why.
        None => {
            wait_for(task);
            end(1)
        }
    }
    let status = wait_for(task);
    say(&mut speak, &Word::Ended(status));
    end(0)
}

/// What is still needed of the node once the root is the task's. Not to be kept while a program runs.
struct Outside {
    proc: OwnedFd,
    run_dir: OwnedFd,
}

impl Outside {
    fn open() -> rustix::io::Result<OwnedFd> {
        Outside::dir(Path::new("/proc"))
    }

    fn dir(path: &Path) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }
}

/// Up to the task's root and namespaces.
fn prepare(spec: &Spec, walls: &Walls, ours: &Pids) -> Result<Outside, String> {
    let failed = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
    block_all_signals();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|e| failed("hiding the task's init")(e.into()))?;
    die_with_parent(true);
    let parent = std::fs::read("/proc/self/stat").ok().and_then(|bytes| Stat::parse(&bytes)?.number::<u32>(4));
    if parent != Some(ours.supervisor) {
        return Err("the task supervisor ended".to_owned());
    }
    if walls.host_pid {
        // SAFETY: a property of our own process: what the task leaves behind comes to us.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    }
    Surroundings::of(spec).enter().map_err(failed("entering the task's control groups and network"))?;
    let proc = Outside::open().map_err(|e| failed("opening /proc")(e.into()))?;
    let run_dir = Outside::dir(&spec.run_dir).map_err(|e| failed("opening the run's directory")(e.into()))?;
    let mut apart = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    if !walls.host_ipc {
        apart |= CloneFlags::CLONE_NEWIPC;
    }
    nix::sched::unshare(apart).map_err(|e| format!("making namespaces for the task: {e}"))?;
    // Kernels before 4.6 have none; the task then sees the names of its control groups, which it has nothing of.
    let _ = nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP);
    if !walls.hostname.is_empty() {
        nix::unistd::sethostname(&walls.hostname)
            .map_err(|e| format!("setting the task's hostname {:?}: {e}", walls.hostname))?;
    }
    // SAFETY: a property of our own process: modes below are those that are asked for.
    unsafe { libc::umask(0) };
    root::enter(walls, &spec.run_dir)?;
    // SAFETY: as above; what the task makes has the usual modes.
    unsafe { libc::umask(0o022) };
    Ok(Outside { proc, run_dir })
}

fn block_all_signals() {
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

fn die_with_parent(on: bool) {
    // SAFETY: a property of our own process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, if on { libc::SIGKILL } else { 0 }) };
}

/// Hears that the task is written down, lets it become its program, and hears that it did. From the first on it is found
/// without a supervisor, so we need not end with ours any more.
fn started(near: &mut UnixStream) -> Option<Pids> {
    let mut reader = BufReader::with_capacity(256, near.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let pids = serde_json::from_str(&line).ok()?;
    die_with_parent(false);
    near.write_all(b"g").ok()?;
    // Its end closes when it becomes another program.
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).ok()?;
    rest.is_empty().then_some(pids)
}

/// Nothing of the node stays open here; stdin, stdout and stderr are the task's alone.
fn silence() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for fd in 0..=2 {
            // SAFETY: replaces our own standard descriptors.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
    }
}

/// Reaps whatever ends, up to the task.
fn wait_for(task: nix::unistd::Pid) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: a place for the status of a child of ours.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if pid == task.as_raw() {
            return status;
        }
        if pid < 0 && nix::errno::Errno::last() == nix::errno::Errno::ECHILD {
            return 0;
        }
    }
}

/// What the child does up to its program. It returns only when that was not to be, with the reason.
fn become_task(
    spec: &Spec,
    walls: &Walls,
    ours: Pids,
    outside: Outside,
    outputs: Option<[OwnedFd; 2]>,
    mut far: UnixStream,
) -> String {
    let text = match announce(ours, outside, &mut far) {
        Ok(()) => become_program(spec, walls, outputs),
        Err(text) => text,
    };
    // Not the silence of one that became its program.
    let _ = far.write_all(b"e");
    text
}

/// Writes the task's pid down where a later agent looks: before the program runs. Then waits for the init's word.
fn announce(ours: Pids, outside: Outside, far: &mut UnixStream) -> Result<(), String> {
    let _ = nix::unistd::setsid();
    let pids = write_pids(ours, &outside).map_err(|e| format!("writing down the task's pid: {e}"))?;
    drop(outside);
    let mut line = serde_json::to_vec(&pids).expect("numbers serialise");
    line.push(b'\n');
    let mut go = [0];
    let heard = far.write_all(&line).and_then(|()| far.read_exact(&mut go));
    heard.map_err(|e| format!("waiting for the task's init: {e}"))
}

/// Our own pid as the node counts, which only the node's `/proc` knows.
fn write_pids(ours: Pids, outside: &Outside) -> std::io::Result<Pids> {
    let stat = read_at(outside.proc.as_fd(), "self/stat")?;
    let digits = stat.split(|b| *b == b' ').next().unwrap_or_default();
    let task = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    let start = Stat::parse(&stat).and_then(|stat| stat.number(22));
    let (Some(task), Some(task_start)) = (task, start) else {
        return Err(std::io::Error::other("/proc does not say who we are"));
    };
    let pids = Pids { task, task_start, ..ours };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&outside.run_dir, "pid.tmp", flags, Mode::from_raw_mode(0o644))?;
    File::from(file).write_all(&serde_json::to_vec(&pids)?)?;
    rustix::fs::renameat(&outside.run_dir, "pid.tmp", &outside.run_dir, "pid.json")?;
    Ok(pids)
}

fn read_at(dir: BorrowedFd<'_>, path: &str) -> std::io::Result<Vec<u8>> {
    let file = rustix::fs::openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn become_program(spec: &Spec, walls: &Walls, outputs: Option<[OwnedFd; 2]>) -> String {
    signals_as_usual();
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    let user = spec.user.clone().unwrap_or_default();
    if let Err(error) = take_stdio(outputs, &user) {
        return format!("giving the task its stdin, stdout and stderr: {error}");
    }
    close_the_rest();
    if let Err(text) = rights::take(&user, &walls.rights) {
        return text;
    }
    let mut command = match command(&spec.command, &spec.work_dir, &spec.env) {
        Ok(command) => command,
        Err(text) => return text,
    };
    command.args(&spec.args);
    if let Err(text) = filter::install(&walls.rights) {
        return text;
    }
    not_started(&spec.command.to_string_lossy(), &command.exec())
}

/// Goes to the task's directory of work, as its user, and finds its program from there.
pub(super) fn command(
    program: &Path,
    work_dir: &Path,
    env: &std::collections::BTreeMap<String, String>,
) -> Result<Command, String> {
    let shown = program.display();
    std::env::set_current_dir(work_dir)
        .map_err(|e| format!("failed to start command {shown}: its working directory {}: {e}", work_dir.display()))?;
    // A name of the kernel's such as /proc/self/fd/7 could lead out; what is out has no path.
    if std::env::current_dir().is_err() {
        return Err(format!("failed to start command {shown}: {} is not a directory of the task", work_dir.display()));
    }
    let path = env.get("PATH").map_or(PATH, String::as_str);
    let found = find(program, path).ok_or_else(|| match program.is_absolute() {
        true => format!("failed to start command {shown}: no such file or directory"),
        false => format!("exec: {:?}: executable file not found in $PATH", program.to_string_lossy()),
    })?;
    let mut command = Command::new(found);
    command.env_clear().envs(env);
    Ok(command)
}

/// In `local/`, then from the task's root, then in the directories of `PATH`. An absolute path is what it says.
fn find(program: &Path, path: &str) -> Option<PathBuf> {
    if program.is_absolute() {
        return program.is_file().then(|| program.to_owned());
    }
    let own = ["/local", "/"].map(|dir| Path::new(dir).join(program));
    let plain = program.components().count() == 1;
    let searched = std::env::split_paths(OsStr::new(path)).filter(|dir| plain && dir.is_absolute());
    own.into_iter().chain(searched.map(|dir| dir.join(program))).find(|file| file.is_file())
}

/// The task's user may open its own stdout and stderr again, as `/dev/stdout`.
fn take_stdio(outputs: Option<[OwnedFd; 2]>, user: &User) -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let put = |from: BorrowedFd<'_>, to: i32| {
        // SAFETY: replaces one of our own standard descriptors.
        match unsafe { libc::dup2(from.as_raw_fd(), to) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    put(null.as_fd(), 0)?;
    match &outputs {
        Some(outputs) => {
            for (output, to) in outputs.iter().zip([1, 2]) {
                own(output.as_fd(), user);
                put(output.as_fd(), to)?;
            }
        }
        None => {
            put(null.as_fd(), 1)?;
            put(null.as_fd(), 2)?;
        }
    }
    Ok(())
}

/// What can't change hands stays root's.
pub(super) fn own(fd: BorrowedFd<'_>, user: &User) {
    let _ = rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(user.uid)), None);
}

/// Every descriptor but the standard ones closes when the program begins: an agent that was started with open ones passes
/// them on to nobody.
pub(super) fn close_the_rest() {
    // SAFETY: marks descriptors of our own; older kernels refuse the call.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked == 0 {
        return;
    }
    let most =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard);
    for fd in 3..i32::try_from(most.min(1 << 20)).unwrap_or(1024) {
        // SAFETY: as above; a number without a descriptor is no harm.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
