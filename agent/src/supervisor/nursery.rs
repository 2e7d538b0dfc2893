//! The nursery: the process whose forks the task supervisors are.
//!
//! Before a program's `main` runs, the loader puts right what of its data holds addresses, three megabytes in the largest of
//! ours, and each process that is loaded has them for itself. So one process a node is loaded, keeps to one thread, and forks
//! when the agent asks it to: what a supervisor never changes is there once for all of them, and nothing is loaded at a start.
//!
//! It ends with its agent; the supervisors go on. When it was ended by somebody else, the next start makes another.
//!
//! A supervisor is known by its command line (`survey`), and a fork has that of its parent. The nursery's own is therefore long
//! enough to be overwritten.

#![allow(clippy::disallowed_methods, reason = "this program itself")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};

use super::{ARGUMENT, Greeting};
use crate::proc_stat::Stat;

/// The hidden first argument.
pub(super) const NURSERY: &str = "__task-nursery";
/// Room for a supervisor's command line: a path as long as there are, and the name of a driver.
const ROOM: usize = 4096 + 128;

/// The agent's end.
struct Nursery {
    line: OwnedFd,
    process: Child,
}

/// One for all agents of this process that see one network, by the inode of its namespace: an agent sees one, threads of tests
/// have their own.
static ALL: Mutex<BTreeMap<u64, Nursery>> = Mutex::new(BTreeMap::new());

fn network() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
}

/// What a supervisor that was just begun reads and says: the writing end of its stdin, the reading end of its stdout.
pub(super) struct Begun {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
}

/// Begins a supervisor of this run. It waits for its [`super::Spec`].
pub(super) fn begin(run_dir: &Path, driver: &str) -> io::Result<Begun> {
    let order = [run_dir.as_os_str().as_bytes(), driver.as_bytes()].join(&0);
    if order.len() > ROOM - ARGUMENT.len() - 32 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of its directory is too long"));
    }
    let ((their_stdin, stdin), (stdout, their_stdout)) = (pipe()?, pipe()?);
    let theirs = [their_stdin.as_raw_fd(), their_stdout.as_raw_fd()];
    let network = network()?;
    let mut all = ALL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let asked = all.get(&network).is_some_and(|there| there.ask(&order, &theirs).is_ok());
    if !asked {
        if let Some(mut gone) = all.remove(&network) {
            tracing::warn!("the process that task supervisors are made by was ended; another is started");
            let _ = gone.process.kill().and_then(|()| gone.process.wait());
        }
        let fresh = Nursery::start()?;
        fresh.ask(&order, &theirs)?;
        all.insert(network, fresh);
    }
    Ok(Begun { stdin, stdout })
}

impl Nursery {
    fn start() -> io::Result<Nursery> {
        // Records keep their borders, and an end is an end.
        let (line, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let process = Command::new("/proc/self/exe")
            .arg(NURSERY)
            .arg(" ".repeat(ROOM))
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Nursery { line, process })
    }

    fn ask(&self, order: &[u8], fds: &[RawFd]) -> io::Result<()> {
        let rights = [ControlMessage::ScmRights(fds)];
        sendmsg::<()>(self.line.as_raw_fd(), &[IoSlice::new(order)], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }
}

/// Forks a supervisor for each order, until the agent has ended.
pub(super) fn run() -> ! {
    // SAFETY: one thread; a new session keeps the agent's terminal and its signals away.
    unsafe { libc::setsid() };
    super::child::block_signals();
    // SAFETY: nobody here waits for a child; a supervisor takes its signals back.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    loop {
        match next() {
            Ok(Some(order)) => order.follow(),
            Ok(None) => std::process::exit(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => std::process::exit(1),
        }
    }
}

/// A supervisor to be forked: the words of its command line behind [`ARGUMENT`], its stdin and stdout.
struct Order {
    words: Vec<u8>,
    stdin: OwnedFd,
    stdout: OwnedFd,
}

/// `None`: the agent has ended.
fn next() -> io::Result<Option<Order>> {
    let (mut words, mut space) = (vec![0; ROOM], nix::cmsg_space!([RawFd; 2]));
    let mut room = [IoSliceMut::new(&mut words)];
    let message = recvmsg::<()>(0, &mut room, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let length = message.bytes;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(given) = part {
            // SAFETY: the kernel has just made these for us.
            fds.extend(given.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    words.truncate(length);
    let mut fds = fds.into_iter();
    Ok(fds.next().zip(fds.next()).map(|(stdin, stdout)| Order { words, stdin, stdout }))
}

impl Order {
    /// Forks; the child never comes back from here.
    fn follow(self) {
        // SAFETY: one thread, so the child may do whatever this process may.
        match unsafe { libc::fork() } {
            0 => self.become_supervisor(),
            -1 => self.refuse(&format!("starting the task supervisor: {}", io::Error::last_os_error())),
            _ => {}
        }
    }

    fn become_supervisor(self) -> ! {
        // SAFETY: a supervisor waits for its task, and outlives who reads what it says; then these are our own standard descriptors.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::dup2(self.stdin.as_raw_fd(), 0);
            libc::dup2(self.stdout.as_raw_fd(), 1);
        }
        if let Err(error) = call_yourself(&self.words) {
            self.refuse(&format!("naming the task supervisor: {error}"));
            std::process::exit(1);
        }
        drop(self);
        super::child::run()
    }

    fn refuse(&self, why: &str) {
        let line = serde_json::to_string(&Greeting::Failed(why.to_owned())).expect("a greeting serialises");
        if let Ok(mut stdout) = self.stdout.try_clone().map(File::from) {
            let _ = stdout.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// Puts `words` behind [`ARGUMENT`] in the place of this process's command line, as `/proc/PID/cmdline` shows it.
///
/// Source: proc(5), fields 48 and 49 of `/proc/PID/stat`.
fn call_yourself(words: &[u8]) -> io::Result<()> {
    let place = |stat: Stat| Some((stat.number::<usize>(48)?, stat.number::<usize>(49)?));
    let (from, to) = Stat::of(std::process::id()).and_then(place).unwrap_or_default();
    let line = [b"/proc/self/exe", ARGUMENT.as_bytes(), words].join(&0);
    if from == 0 || line.len() >= to.saturating_sub(from) {
        return Err(io::Error::other("this process has no room for a command line"));
    }
    // SAFETY: the kernel says that this memory of ours holds the arguments we were started with, as bytes that nobody borrows:
    // one thread, and the standard library copies arguments when it is asked for them, which is done nowhere behind this.
    let room = unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(from), to - from) };
    room.fill(0);
    room[..line.len()].copy_from_slice(&line);
    Ok(())
}

/// The reading and the writing end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What a supervisor says that is told nothing.
    fn says(begun: Begun) -> String {
        drop(begun.stdin);
        let mut said = String::new();
        File::from(begun.stdout).read_to_string(&mut said).expect("text");
        said
    }

    #[test]
    fn another_is_made_when_it_was_ended() {
        let run = Path::new("/nowhere/at/all");
        assert!(says(begin(run, "raw_exec").expect("begun")).contains("description is not readable"));
        let mut all = ALL.lock().expect("no panic");
        let there = all.get_mut(&network().expect("a namespace")).expect("one was started");
        there.process.kill().expect("ours");
        there.process.wait().expect("ours");
        let gone = there.process.id();
        drop(all);
        assert!(says(begin(run, "raw_exec").expect("begun")).contains("description is not readable"));
        let now = ALL.lock().expect("no panic")[&network().expect("a namespace")].process.id();
        assert_ne!(gone, now);
    }

    /// An agent that is killed right after it has told what to run: there is nobody to be told that it runs.
    #[test]
    fn a_supervisor_does_not_need_to_be_heard() {
        let dir = tempfile::tempdir().expect("a directory");
        let mark = dir.path().join("ran");
        let spec = super::super::Spec {
            run_dir: dir.path().join("run"),
            command: "/bin/touch".into(),
            args: vec![mark.display().to_string()],
            work_dir: "/".into(),
            ..super::super::Spec::default()
        };
        std::fs::create_dir(&spec.run_dir).expect("made");
        let begun = begin(&spec.run_dir, "raw_exec").expect("begun");
        drop(begun.stdout);
        let told = serde_json::to_vec(&spec).expect("a spec serialises");
        File::from(begun.stdin).write_all(&told).expect("told");
        let since = std::time::Instant::now();
        while !super::super::exit_file(&spec.run_dir).exists() {
            assert!(since.elapsed() < std::time::Duration::from_secs(20), "how it ended is not written down");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(mark.exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let long = "x/".repeat(ROOM / 2);
        assert!(begin(Path::new(&long), "raw_exec").is_err());
    }
}
