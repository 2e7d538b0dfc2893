//! A further command beside a task that is a plain process: with its environment, directory and user.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::{DriverError, ExecInput, ExecOutput, ExecRequest, Execution};
use crate::network::namespace;

/// Pieces on their way in either direction.
const QUEUE: usize = 16;

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
    let begun = match request.tty {
        true => with_terminal(command, netns, output, inputs),
        false => with_pipes(command, netns, output, inputs),
    };
    let child = begun.map_err(|e| failed("running the command", e))?;
    for dir in cgroups {
        let _ = std::fs::write(dir.join("cgroup.procs"), child.to_string());
    }
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

fn with_pipes(
    mut command: Command,
    netns: Option<File>,
    output: mpsc::Sender<ExecOutput>,
    inputs: mpsc::Receiver<ExecInput>,
) -> std::io::Result<u32> {
    // SAFETY: only async-signal-safe calls: a session of its own, so that everything of the command can be ended.
    unsafe {
        command.pre_exec(|| {
            crate::supervisor::signals_as_usual();
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command, netns)?;
    let stdout = child.stdout.take().map(|s| tokio::spawn(copy(s, output.clone(), ExecOutput::Stdout)));
    let stderr = child.stderr.take().map(|s| tokio::spawn(copy(s, output.clone(), ExecOutput::Stderr)));
    let stdin = child.stdin.take();
    let feeding = tokio::spawn(feed(stdin, inputs, |_, _| {}));
    let pid = child.id().unwrap_or_default();
    tokio::spawn(async move {
        let code = end(&mut child, &output).await;
        // What the command left behind may go on writing: as long as somebody reads, that is fine.
        let rest = futures::future::join_all([stdout, stderr].into_iter().flatten());
        tokio::select! {
            _ = rest => {}
            () = output.closed() => super::session::end(pid.cast_signed()).await,
        }
        feeding.abort();
        let _ = output.send(ExecOutput::Exited(code)).await;
    });
    Ok(pid)
}

/// The command gets a terminal of its own; everything it says comes as stdout.
fn with_terminal(
    mut command: Command,
    netns: Option<File>,
    output: mpsc::Sender<ExecOutput>,
    inputs: mpsc::Receiver<ExecInput>,
) -> std::io::Result<u32> {
    let pty = nix::pty::openpty(None, None)?;
    let slave = |fd: &OwnedFd| fd.as_fd().try_clone_to_owned().map(Stdio::from);
    command.stdin(slave(&pty.slave)?).stdout(slave(&pty.slave)?).stderr(slave(&pty.slave)?);
    // SAFETY: only async-signal-safe calls: a new session, and its terminal.
    unsafe {
        command.pre_exec(|| {
            crate::supervisor::signals_as_usual();
            nix::unistd::setsid()?;
            if libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut child = spawn(&mut command, netns)?;
    drop(command);
    drop(pty.slave);
    let master = File::from(pty.master);
    let (reader, writer, size) = (master.try_clone()?, master.try_clone()?, master);
    let copying = tokio::spawn(copy(tokio::fs::File::from_std(reader), output.clone(), ExecOutput::Stdout));
    let feeding = tokio::spawn(feed(Some(tokio::fs::File::from_std(writer)), inputs, move |height, width| {
        let window = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: sets the size of our own terminal.
        unsafe { libc::ioctl(size.as_raw_fd(), libc::TIOCSWINSZ, &window) };
    }));
    let pid = child.id().unwrap_or_default();
    tokio::spawn(async move {
        let code = end(&mut child, &output).await;
        feeding.abort();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), copying).await;
        let _ = output.send(ExecOutput::Exited(code)).await;
    });
    Ok(pid)
}

/// Waits for the command; when nobody listens any more, it and everything in its session ends.
async fn end(child: &mut Child, output: &mpsc::Sender<ExecOutput>) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let status = tokio::select! {
        status = child.wait() => status,
        () = output.closed() => {
            if let Some(pid) = child.id() {
                super::session::end(pid.cast_signed()).await;
            }
            child.wait().await
        }
    };
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
                assert!(begun.elapsed() < std::time::Duration::from_secs(20), "something is left");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}
