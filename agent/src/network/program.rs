//! Runs a program of the node, bounded in time and in what it may say.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// What a program said.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// How long a program may take, and how many bytes it may say.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub patience: Duration,
    pub most: u64,
}

/// Runs a program to its end, in the namespace of the calling thread, which may wait and has a runtime. `env`: all that it has;
/// `None`: what the agent has. The error is a sentence; that it failed is none.
pub fn run(
    path: &Path,
    args: &[&str],
    env: Option<&[(String, String)]>,
    input: String,
    bounds: Bounds,
) -> Result<Said, String> {
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: what it started ends with it where it does not end by itself.
    command.process_group(0);
    if let Some(env) = env {
        command.env_clear().envs(env.iter().map(|(k, v)| (k, v)));
    }
    let wrong = |error| format!("running {}: {error}", path.display());
    let mut child = command.spawn().map_err(wrong)?;
    let called = async {
        let (mut stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            // One that ends without reading says why by itself.
            if let Some(mut stdin) = stdin.take() {
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), out, err) = tokio::join!(feed, text(out, bounds.most), text(err, bounds.most));
        Ok::<_, std::io::Error>(Said { status: child.wait().await?, out: out?, err: err? })
    };
    let bounded = async { tokio::time::timeout(bounds.patience, called).await };
    let ended = tokio::runtime::Handle::current().block_on(bounded);
    // One that was not waited for still holds its number: nobody else has it.
    if let Some(group) = child.id().and_then(|group| i32::try_from(group).ok()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    match ended {
        Ok(said) => said.map_err(wrong),
        Err(_) => Err(format!("{} does not come to an end", path.display())),
    }
}

async fn text(from: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<String> {
    let Some(from) = from else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other("it says more than can be read"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a file of the test, and /proc")]
mod tests {
    use super::*;

    /// The wait happens on a thread that may wait.
    async fn sh(script: &'static str, patience: Duration, most: u64) -> Result<Said, String> {
        let call = move || {
            let bounds = Bounds { patience, most };
            run(Path::new("/bin/sh"), &["-c", script], Some(&[]), "a line\n".to_owned(), bounds)
        };
        crate::blocking(call).await
    }

    #[tokio::test]
    async fn a_program_is_bounded_in_time_and_in_what_it_says() {
        let long = Duration::from_secs(60);
        let said = sh("cat; echo wrong >&2; exit 3", long, 100).await.expect("runs");
        assert_eq!((said.status.code(), &*said.out, &*said.err), (Some(3), "a line\n", "wrong\n"));
        let endless = sh("exec sleep 600", Duration::from_millis(50), 100).await.err();
        assert_eq!(endless.as_deref(), Some("/bin/sh does not come to an end"));
        let talks = sh("while :; do echo more; done", long, 100).await.err();
        assert!(talks.is_some_and(|t| t.contains("more than can be read")));
        // What it started and left behind ends with it.
        let dir = tempfile::tempdir().expect("a directory");
        let left = dir.path().join("left").display().to_string();
        let script: &'static str = Box::leak(format!("sleep 600 & echo $! > {left}.pid; wait").into_boxed_str());
        assert!(sh(script, Duration::from_secs(3), 100).await.is_err());
        let pid = std::fs::read_to_string(format!("{left}.pid")).expect("it was begun");
        let gone = || !Path::new(&format!("/proc/{}/stat", pid.trim())).exists();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while !gone() {
            assert!(std::time::Instant::now() < until, "{pid} goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(sh("env | grep -c HOME", long, 100).await.expect("runs").out, "0\n", "the agent's is not handed on");
    }
}
