//! A further command behind the walls of a task that runs: what `alloc exec` is.
//!
//! A helper of one thread, because entering namespaces needs one: it forks a child among the task's process ids, which joins the
//! other namespaces and becomes the command, with the user, rights and control groups that the task was given. The helper
//! stays outside: it waits for the command, and ends all of its session when nobody holds the other end of its socket any more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::super::{Pids, not_started, pid_file, pidfd, signals_as_usual, start_time};
use super::{Known, Word, filter, init, known_file, rights, say};
use crate::proc_stat::Stat;

/// How long a session has to end by itself after it was hung up on.
const GRACE: Duration = Duration::from_secs(2);

/// What the helper is asked, a line of JSON on its socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub run_dir: PathBuf,
    pub command: Vec<String>,
    /// Its stdin is a terminal, to be the command's own.
    pub tty: bool,
    pub cgroups: Vec<PathBuf>,
    pub descriptors: Option<u64>,
}

impl Errand {
    /// The descriptor of its socket in the helper.
    pub const SOCKET: i32 = 3;
}

/// Becomes the helper.
pub(crate) fn run() -> ! {
    // SAFETY: whoever starts a helper puts its socket there.
    let mut socket = unsafe { UnixStream::from_raw_fd(Errand::SOCKET) };
    let code = match begin(&socket) {
        Ok(running) => running.to_its_end(&socket),
        Err(text) => {
            say(&mut socket, &Word::Failed(text));
            127
        }
    };
    std::process::exit(code)
}

struct Running {
    pid: u32,
}

fn begin(socket: &UnixStream) -> Result<Running, String> {
    let mut line = String::new();
    let read = BufReader::new(socket).read_line(&mut line);
    read.map_err(|e| format!("hearing what to run: {e}"))?;
    let errand: Errand = serde_json::from_str(&line).map_err(|e| format!("what to run is not readable: {e}"))?;
    let known = std::fs::read(known_file(&errand.run_dir)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let known: Known = known.ok_or("what this task may do is not known any more: restart it to run commands in it")?;
    let pids = std::fs::read(pid_file(&errand.run_dir)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let pids: Pids = pids.ok_or("the task does not run")?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|e| format!("hiding from the task: {e}"))?;
    let env = environment(pids.task).map_err(|e| format!("reading the task's environment: {e}"))?;
    let join = |dir: &PathBuf| File::options().write(true).open(dir.join("cgroup.procs"));
    let groups = errand.cgroups.iter().map(join).collect::<Result<Vec<_>, _>>();
    let groups = groups.map_err(|e| format!("opening the task's control groups: {e}"))?;
    let (of_pids, others) = hold(&pids)?;
    enter(&of_pids)?;
    let (hear, mut speak) = UnixStream::pair().map_err(|e| format!("opening a pair of sockets: {e}"))?;
    // SAFETY: one thread.
    match unsafe { nix::unistd::fork() }.map_err(|e| format!("making a process for the command: {e}"))? {
        nix::unistd::ForkResult::Child => {
            drop(hear);
            let entered = others.iter().try_for_each(enter);
            let text = entered.err().unwrap_or_else(|| become_command(&errand, &known, &env, groups));
            say(&mut speak, &Word::Failed(text));
            // SAFETY: ends our own process.
            unsafe { libc::_exit(127) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            drop((speak, groups));
            silence();
            let mut said = String::new();
            // Silence, once it has become the command.
            let _ = BufReader::new(hear).read_to_string(&mut said);
            match serde_json::from_str(&said) {
                Ok(Word::Failed(text)) => Err(text),
                _ => {
                    let pid = child.as_raw().cast_unsigned();
                    let mut to = socket.try_clone().map_err(|e| e.to_string())?;
                    say(&mut to, &Word::Running(Pids { task: pid, task_start: 0, ..pids }));
                    Ok(Running { pid })
                }
            }
        }
    }
}

/// A namespace of the task.
struct Namespace {
    name: &'static str,
    kind: CloneFlags,
    file: File,
}

/// The namespaces of the task, that of process ids apart, held before it is looked at whether it is still the same process.
fn hold(pids: &Pids) -> Result<(Namespace, Vec<Namespace>), String> {
    let open = |name: &'static str, kind| {
        let file = File::open(format!("/proc/{}/ns/{name}", pids.task));
        file.map(|file| Namespace { name, kind, file }).map_err(|e| format!("opening the task's {name} namespace: {e}"))
    };
    let of_pids = open("pid", CloneFlags::CLONE_NEWPID)?;
    let mut others = vec![
        open("ipc", CloneFlags::CLONE_NEWIPC)?,
        open("uts", CloneFlags::CLONE_NEWUTS)?,
        open("net", CloneFlags::CLONE_NEWNET)?,
        open("mnt", CloneFlags::CLONE_NEWNS)?,
    ];
    others.extend(open("cgroup", CloneFlags::CLONE_NEWCGROUP));
    match start_time(pids.task) == Some(pids.task_start) {
        true => Ok((of_pids, others)),
        false => Err("the task has ended".to_owned()),
    }
}

fn enter(namespace: &Namespace) -> Result<(), String> {
    let entered = nix::sched::setns(namespace.file.as_fd(), namespace.kind);
    entered.map_err(|e| format!("entering the task's {} namespace: {e}", namespace.name))
}

/// What the task began with.
fn environment(pid: u32) -> std::io::Result<BTreeMap<String, String>> {
    let text = |bytes: &[u8]| std::ffi::OsString::from_vec(bytes.to_vec()).into_string().ok();
    let pair = |pair: &[u8]| {
        let at = pair.iter().position(|b| *b == b'=')?;
        Some((text(&pair[..at])?, text(&pair[at + 1..])?))
    };
    let bytes = std::fs::read(format!("/proc/{pid}/environ"))?;
    Ok(bytes.split(|b| *b == 0).filter_map(pair).collect())
}

/// What the child does up to its program. It returns only when that was not to be, with the reason.
fn become_command(errand: &Errand, known: &Known, env: &BTreeMap<String, String>, groups: Vec<File>) -> String {
    use std::io::Write;
    signals_as_usual();
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    for mut group in groups {
        if let Err(error) = group.write_all(b"0") {
            return format!("joining the task's control groups: {error}");
        }
    }
    let _ = nix::unistd::setsid();
    if errand.tty {
        // SAFETY: our own stdin, which is a terminal; nobody's session has it yet.
        unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    }
    if let Some(soft) = errand.descriptors {
        let _ = crate::descriptors::set_soft(soft);
    }
    let user = known.user.clone().unwrap_or_default();
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        init::own(fd, &user);
    }
    init::close_the_rest();
    if let Err(text) = rights::take(&user, &known.rights) {
        return text;
    }
    // Its helper may die before it: then nobody would end it.
    // SAFETY: a property of our own process; set after the user, whose change takes it away.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let Some((program, args)) = errand.command.split_first() else { return "no command was given".to_owned() };
    let mut command = match init::command(Path::new(program), &known.work_dir, env) {
        Ok(command) => command,
        Err(text) => return text,
    };
    command.args(args);
    if let Err(text) = filter::install(&known.rights) {
        return text;
    }
    not_started(program, &command.exec())
}

/// Our stdin, stdout and stderr are the command's alone: who reads them hears of its end.
fn silence() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for fd in 0..=2 {
            // SAFETY: replaces our own standard descriptors.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
    }
}

impl Running {
    /// The command's exit code; 128 and its signal where it ended by one.
    fn to_its_end(&self, socket: &UnixStream) -> i32 {
        if let Ok(ended) = pidfd(self.pid) {
            let mut fds =
                [PollFd::new(ended.as_fd(), PollFlags::POLLIN), PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            // Nothing is said to us any more: what comes is the end.
            while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
            let left = fds[0].revents().is_none_or(|r| r.is_empty());
            if left {
                self.end();
            }
        }
        let mut status = 0;
        // SAFETY: our own child, and a place for its status.
        while unsafe { libc::waitpid(self.pid.cast_signed(), &raw mut status, 0) } < 0 {
            if nix::errno::Errno::last() != nix::errno::Errno::EINTR {
                return -1;
            }
        }
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
    }

    /// Hangs up on everything in the command's session, and kills what is left after a moment.
    fn end(&self) {
        let begun = Instant::now();
        let mut sent = false;
        loop {
            let left = self.session();
            let signals: &[i32] = match (sent, begun.elapsed() > GRACE) {
                _ if left.is_empty() || begun.elapsed() > GRACE * 5 => return,
                (_, true) => &[libc::SIGKILL],
                (false, false) => &[libc::SIGHUP, libc::SIGCONT],
                (true, false) => &[],
            };
            for (pid, signal) in left.iter().flat_map(|pid| signals.iter().map(move |signal| (*pid, *signal))) {
                // SAFETY: seen in the session a moment ago.
                unsafe { libc::kill(pid, signal) };
            }
            sent = true;
            #[allow(clippy::disallowed_methods, reason = "a process of one thread, which has nothing else to do")]
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Living processes of the session.
    fn session(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let of = |pid: &u32| Stat::of(*pid).filter(|stat| !stat.ended()).and_then(|stat| stat.number::<u32>(6));
        pids.filter(|pid| of(pid) == Some(self.pid)).map(|pid| pid.cast_signed()).collect()
    }
}
