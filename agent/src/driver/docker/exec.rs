//! A further command in a container.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::text;
use crate::driver::{DriverError, ExecInput, ExecOutput, ExecRequest, Execution};

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Tells a command of ours from whatever process has its number: the engine may be another machine's.
const MARK: &str = "TARPAN_EXEC";

struct ContainerExec {
    engine: Docker,
    id: String,
    mark: String,
    output: Option<Output>,
    input: mpsc::Sender<ExecInput>,
}

pub(super) async fn begin(
    engine: &Docker,
    container: &str,
    user: &str,
    request: ExecRequest,
) -> Result<Box<dyn Execution>, DriverError> {
    let failed = |e: bollard::errors::Error| DriverError::Other(format!("running the command: {}", text(&e)));
    let mark = format!("{MARK}={}", uuid::Uuid::new_v4());
    let options = CreateExecOptions {
        env: Some(vec![mark.clone()]),
        cmd: Some(request.command.clone()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty),
        user: Some(user.to_owned()).filter(|u| !u.is_empty()),
        ..Default::default()
    };
    let id = engine.create_exec(container, options).await.map_err(failed)?.id;
    let start = StartExecOptions { detach: false, tty: request.tty, output_capacity: None };
    let started = engine.start_exec(&id, Some(start)).await.map_err(failed)?;
    let StartExecResults::Attached { output, mut input } = started else {
        return Err(DriverError::Other("running the command: the engine did not attach to it".to_owned()));
    };
    let (sender, mut receiver) = mpsc::channel(16);
    let (resizer, resized) = (engine.clone(), id.clone());
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            match message {
                ExecInput::Stdin(bytes) => {
                    if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                        return;
                    }
                }
                ExecInput::CloseStdin => drop(input.shutdown().await),
                ExecInput::Resize { height, width } => {
                    drop(resizer.resize_exec(&resized, ResizeExecOptions { height, width }).await);
                }
            }
        }
    });
    Ok(Box::new(ContainerExec { engine: engine.clone(), id, mark, output: Some(output), input: sender }))
}

impl Drop for ContainerExec {
    fn drop(&mut self) {
        // Without an end it was left: the engine has no call that ends a command, so its processes are.
        if self.output.is_some() {
            tokio::spawn(end(self.engine.clone(), self.id.clone(), std::mem::take(&mut self.mark)));
        }
    }
}

async fn end(engine: Docker, id: String, mark: String) {
    let found = engine.inspect_exec(&id).await.ok().filter(|e| e.running != Some(false));
    let Some(pid) = found.and_then(|e| i32::try_from(e.pid?).ok()).filter(|pid| *pid > 1) else { return };
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if !environment.split(|b| *b == 0).any(|pair| pair == mark.as_bytes()) {
        tracing::warn!(pid, "a command in a container can't be ended: its processes are not visible from here");
        return;
    }
    match crate::driver::session::session(pid) {
        // The engine starts every command as the leader of a session.
        Some(sid) if sid == pid => crate::driver::session::end(pid).await,
        // SAFETY: its environment was read just now.
        _ => drop(unsafe { libc::kill(pid, libc::SIGKILL) }),
    }
}

impl Execution for ContainerExec {
    fn output(&mut self) -> BoxFuture<'_, Option<ExecOutput>> {
        Box::pin(async {
            let stream = self.output.as_mut()?;
            match stream.next().await {
                Some(Ok(LogOutput::StdErr { message })) => Some(ExecOutput::Stderr(message)),
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    Some(ExecOutput::Stdout(message))
                }
                Some(Ok(LogOutput::StdIn { .. })) => Some(ExecOutput::Stdout(bytes::Bytes::new())),
                Some(Err(_)) | None => {
                    self.output = None;
                    let code = self.engine.inspect_exec(&self.id).await.ok().and_then(|e| e.exit_code);
                    Some(ExecOutput::Exited(code.unwrap_or(0) as i32))
                }
            }
        })
    }

    fn input(&self) -> mpsc::Sender<ExecInput> {
        self.input.clone()
    }
}
