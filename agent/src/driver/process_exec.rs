//! A further command beside a task that is a plain process: with its environment, directory and user.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{DriverError, ExecInput, ExecOutput, ExecRequest, Execution};
use crate::network::namespace;
use crate::supervisor::{ERRAND, Errand, Word};

/// Pieces on their way in either direction.
const QUEUE: usize = 16;
/// How long a helper has to begin the command.
const BEGINNING: Duration = Duration::from_secs(20);

struct ProcessExec {
    output: mpsc::Receiver<ExecOutput>,
    input: mpsc::Sender<ExecInput>,
}

impl Execution for ProcessExec {
    fn output(&mut self) -> BoxFuture<'_, Option<ExecOutput>> {
        Box::pin(self.output.recv())
    }

    fn input(&self) -> mpsc::Sender<ExecInput> {
        self.input.clone()
    }
}

/// Starts the command as the process `pid` would, in these control groups: what it leaves running ends with the task.
pub(super) fn begin(pid: u32, cgroups: &[PathBuf], request: ExecRequest) -> Result<Box<dyn Execution>, DriverError> {
    let failed = |what: &str, e: std::io::Error| DriverError::Other(format!("{what}: {e}"));
    let (program, args) =
        request.command.split_first().ok_or_else(|| DriverError::Other("no command was given".to_owned()))?;
    let mut command = Command::new(program);
    command.args(args).kill_on_drop(true);
    like(&mut command, pid).map_err(|e| failed("reading the task's surroundings", e))?;
    crate::descriptors::give_back(command.as_std_mut());
    let (output, receiver) = mpsc::channel(QUEUE);
    let (input, inputs) = mpsc::channel(QUEUE);
    let netns = namespace::other_than_own(pid).map_err(|e| failed("reading the task's surroundings", e))?;
    let begun = plugged(command, request.tty, true, netns);
    let (begun, stdio) = begun.map_err(|e| failed("running the command", e))?;
    let child = begun.id().unwrap_or_default();
    for dir in cgroups {
        let _ = std::fs::write(dir.join("cgroup.procs"), child.to_string());
    }
    attend(Running { child: begun, session: child.cast_signed(), socket: None }, stdio, output, inputs);
    Ok(Box::new(ProcessExec { output: receiver, input }))
}

/// Starts the command behind the walls of the task whose run this is, by a helper that goes there.
pub(super) async fn begin_behind_walls(
    run_dir: &Path,
    cgroups: &[PathBuf],
    request: ExecRequest,
) -> Result<Box<dyn Execution>, DriverError> {
    let failed = |e: std::io::Error| DriverError::Other(format!("running the command: {e}"));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let mut socket = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(ERRAND).env_clear().kill_on_drop(true);
    let fd = theirs.as_raw_fd();
    // SAFETY: one system call of a forked child; the copy stays open in the helper.
    unsafe {
        command.pre_exec(move || match libc::dup2(fd, Errand::SOCKET) {
            -1 => Err(std::io::Error::last_os_error()),
            // A number that was right by chance still closes at exec.
            same if same == fd => match libc::fcntl(fd, libc::F_SETFD, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            },
            _ => Ok(()),
        });
    }
    let (child, stdio) = plugged(command, request.tty, false, None).map_err(failed)?;
    drop(theirs);
    let errand = Errand {
        run_dir: run_dir.to_owned(),
        command: request.command,
        tty: request.tty,
        cgroups: cgroups.to_vec(),
        descriptors: crate::descriptors::original(),
    };
    let mut line = serde_json::to_vec(&errand).expect("an errand serialises");
    line.push(b'\n');
    socket.write_all(&line).await.map_err(failed)?;
    let mut said = String::new();
    let heard = tokio::time::timeout(BEGINNING, BufReader::new(&mut socket).read_line(&mut said)).await;
    let session = match heard.map(|_| serde_json::from_str(&said)) {
        Ok(Ok(Word::Running(pids))) => pids.task.cast_signed(),
        Ok(Ok(Word::Failed(text))) => return Err(DriverError::Other(text)),
        _ => return Err(DriverError::Other("the command did not begin".to_owned())),
    };
    let (output, receiver) = mpsc::channel(QUEUE);
    let (input, inputs) = mpsc::channel(QUEUE);
    attend(Running { child, session, socket: Some(socket) }, stdio, output, inputs);
    Ok(Box::new(ProcessExec { output: receiver, input }))
}

/// Environment, directory, user and group of a running process.
fn like(command: &mut Command, pid: u32) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let proc = PathBuf::from(format!("/proc/{pid}"));
    command.env_clear();
    for pair in std::fs::read(proc.join("environ"))?.split(|b| *b == 0) {
        if let Some(at) = pair.iter().position(|b| *b == b'=') {
            command.env(std::ffi::OsStr::from_bytes(&pair[..at]), std::ffi::OsStr::from_bytes(&pair[at + 1..]));
        }
    }
    command.current_dir(std::fs::read_link(proc.join("cwd"))?);
    // The first line is the process's name: any bytes.
    let status = std::fs::read(proc.join("status"))?;
    let status = String::from_utf8_lossy(&status);
    let id = |name: &str| {
        status.lines().find_map(|l| l.strip_prefix(name)?.split_ascii_whitespace().nth(1)?.parse::<u32>().ok())
    };
    if nix::unistd::geteuid().is_root()
        && let (Some(uid), Some(gid)) = (id("Uid:"), id("Gid:"))
        && uid != 0
    {
        command.uid(uid).gid(gid);
    }
    Ok(())
}

/// In the task's network: a thread that is in it has the command as its child, whatever user that becomes.
fn spawn(command: &mut Command, netns: Option<File>) -> std::io::Result<Child> {
    let Some(netns) = netns else { return command.spawn() };
    let runtime = tokio::runtime::Handle::current();
    namespace::within(&netns, || {
        let _runtime = runtime.enter();
        command.spawn()
    })
}

/// What a command is plugged into.
enum Stdio3 {
    Pipes(Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>),
    /// Its terminal; everything it says comes as stdout.
    Terminal(File),
}

/// Starts the command in a session of its own, so that everything of it can be ended. `takes`: the terminal becomes that
/// session's; a helper leaves it to the command.
fn plugged(mut command: Command, tty: bool, takes: bool, netns: Option<File>) -> std::io::Result<(Child, Stdio3)> {
    let pty = if tty { Some(nix::pty::openpty(None, None)?) } else { None };
    match &pty {
        Some(pty) => {
            let slave = |fd: &OwnedFd| fd.as_fd().try_clone_to_owned().map(Stdio::from);
            command.stdin(slave(&pty.slave)?).stdout(slave(&pty.slave)?).stderr(slave(&pty.slave)?)
        }
        None => command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
    };
    // SAFETY: only async-signal-safe calls: a new session, and its terminal.
    unsafe {
        command.pre_exec(move || {
            crate::supervisor::signals_as_usual();
            nix::unistd::setsid()?;
            match tty && takes && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                true => Err(std::io::Error::last_os_error()),
                false => Ok(()),
            }
        });
    }
    let mut child = spawn(&mut command, netns)?;
    let stdio = match pty {
        Some(pty) => Stdio3::Terminal(File::from(pty.master)),
        None => Stdio3::Pipes(child.stdin.take(), child.stdout.take(), child.stderr.take()),
    };
    Ok((child, stdio))
}

/// A command that runs.
struct Running {
    child: Child,
    /// Its session, as the node counts.
    session: i32,
    /// Of the helper that waits for it, which ends it when this is closed.
    socket: Option<tokio::net::UnixStream>,
}

/// Carries what it says and hears, and ends it when nobody listens any more.
fn attend(running: Running, stdio: Stdio3, output: mpsc::Sender<ExecOutput>, inputs: mpsc::Receiver<ExecInput>) {
    match stdio {
        Stdio3::Pipes(stdin, stdout, stderr) => {
            let stdout = stdout.map(|s| tokio::spawn(copy(s, output.clone(), ExecOutput::Stdout)));
            let stderr = stderr.map(|s| tokio::spawn(copy(s, output.clone(), ExecOutput::Stderr)));
            let feeding = tokio::spawn(feed(stdin, inputs, |_, _| {}));
            let copying = [stdout, stderr].into_iter().flatten().collect();
            tokio::spawn(see_off(running, copying, feeding, output));
        }
        Stdio3::Terminal(master) => {
            let (Ok(reader), Ok(writer)) = (master.try_clone(), master.try_clone()) else { return };
            let copying = tokio::spawn(copy(tokio::fs::File::from_std(reader), output.clone(), ExecOutput::Stdout));
            let feeding = tokio::spawn(feed(Some(tokio::fs::File::from_std(writer)), inputs, move |height, width| {
                let window = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
                // SAFETY: sets the size of our own terminal.
                unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &window) };
            }));
            tokio::spawn(see_off_terminal(running, copying, feeding, output));
        }
    }
}

async fn see_off(
    mut running: Running,
    copying: Vec<JoinHandle<()>>,
    feeding: JoinHandle<()>,
    output: mpsc::Sender<ExecOutput>,
) {
    let code = end(&mut running, &output).await;
    // What the command left behind may go on writing: as long as somebody reads, that is fine.
    let rest = futures::future::join_all(copying);
    tokio::select! {
        _ = rest => {}
        () = output.closed() => super::session::end(running.session).await,
    }
    feeding.abort();
    let _ = output.send(ExecOutput::Exited(code)).await;
}

async fn see_off_terminal(
    mut running: Running,
    copying: JoinHandle<()>,
    feeding: JoinHandle<()>,
    output: mpsc::Sender<ExecOutput>,
) {
    let code = end(&mut running, &output).await;
    feeding.abort();
    let _ = tokio::time::timeout(Duration::from_secs(1), copying).await;
    let _ = output.send(ExecOutput::Exited(code)).await;
}

/// Waits for the command; when nobody listens any more, it and everything in its session ends.
async fn end(running: &mut Running, output: &mpsc::Sender<ExecOutput>) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let child = &mut running.child;
    let status = tokio::select! {
        status = child.wait() => status,
        () = output.closed() => {
            super::session::end(running.session).await;
            child.wait().await
        }
    };
    drop(running.socket.take());
    status.map_or(-1, |s| s.code().or(s.signal().map(|n| 128 + n)).unwrap_or(-1))
}

async fn copy(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<ExecOutput>, wrap: fn(Bytes) -> ExecOutput) {
    let mut buffer = vec![0u8; 16 << 10];
    // A terminal whose last user is gone gives an error instead of an end.
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || to.send(wrap(Bytes::copy_from_slice(&buffer[..read]))).await.is_err() {
            return;
        }
    }
}

async fn feed(to: Option<impl AsyncWrite + Unpin>, mut inputs: mpsc::Receiver<ExecInput>, resize: impl Fn(u16, u16)) {
    let mut to = to;
    while let Some(input) = inputs.recv().await {
        match input {
            ExecInput::Stdin(bytes) => {
                if let Some(writer) = &mut to
                    && (writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err())
                {
                    return;
                }
            }
            ExecInput::CloseStdin => to = None,
            ExecInput::Resize { height, width } => resize(height, width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(tty: bool, script: &str, stdin: &str) -> (String, i32) {
        let request = ExecRequest { command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), tty };
        let mut execution = begin(std::process::id(), &[], request).expect("starts");
        let input = execution.input();
        input.send(ExecInput::Resize { height: 33, width: 99 }).await.expect("taken");
        input.send(ExecInput::Stdin(Bytes::copy_from_slice(stdin.as_bytes()))).await.expect("taken");
        input.send(ExecInput::CloseStdin).await.expect("taken");
        let mut text = String::new();
        loop {
            match execution.output().await.expect("an exit comes last") {
                ExecOutput::Stdout(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                ExecOutput::Stderr(bytes) => text.push_str(&format!("!{}", String::from_utf8_lossy(&bytes))),
                ExecOutput::Exited(code) => return (text, code),
            }
        }
    }

    #[tokio::test]
    async fn pipes_and_terminals() {
        assert_eq!(run(false, "cat; exit 3", "given\n").await, ("given\n".to_owned(), 3));
        assert_eq!(run(false, "echo oops >&2", "").await, ("!oops\n".to_owned(), 0));
        let (text, code) = run(true, "sleep 0.2; stty size; exit 4", "").await;
        assert!(text.contains("33 99"), "{text}");
        assert_eq!(code, 4);
    }

    /// A caller that leaves takes along the command, its children, and those that don't care for a hang-up.
    #[tokio::test]
    async fn who_leaves_ends_everything() {
        for tty in [false, true] {
            let script = "trap '' HUP; sleep 300 & sleep 300 & echo ready $$; wait";
            let request = ExecRequest { command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), tty };
            let mut execution = begin(std::process::id(), &[], request).expect("starts");
            let Some(ExecOutput::Stdout(text)) = execution.output().await else { panic!("it says that it is ready") };
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let sid: i32 = text.strip_prefix("ready ").and_then(|pid| pid.parse().ok()).expect("its pid");
            assert_eq!(super::super::session::members(sid).len(), 3);
            drop(execution);
            let begun = std::time::Instant::now();
            while !super::super::session::members(sid).is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(20), "something is left");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
