//! Asks a program of the node what it is, in bounded time: for fingerprints.

#![allow(clippy::disallowed_methods, reason = "looks for the node's own programs")]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

/// How long a program has to say its version.
const PATIENCE: Duration = Duration::from_secs(8);
/// More than this is no version.
const MOST: u64 = 16 << 10;

/// Which file a program is: another one, or one that was replaced, is asked anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    path: PathBuf,
    file: (u64, u64, i64),
}

/// The program of that name in the agent's `PATH`.
pub(super) fn identity(program: &str) -> Option<Identity> {
    let search = std::env::var("PATH").unwrap_or_default();
    let path = std::env::split_paths(&search).map(|dir| dir.join(program)).find(|path| path.is_file())?;
    let meta = path.metadata().ok()?;
    Some(Identity { path, file: (meta.dev(), meta.ino(), meta.mtime()) })
}

/// Programs of the agent's `PATH` whose names begin so, sorted.
pub(super) fn programs(prefix: &str) -> Vec<String> {
    let search = std::env::var("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&search).filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    all.sort();
    all.dedup();
    all
}

/// What it says on its stdout and stderr.
pub(super) async fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let failed = |what: &str| format!("running {program} {}: {what}", args.join(" "));
    let mut command = tokio::process::Command::new(program);
    command.args(args).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    crate::descriptors::give_back(command.as_std_mut());
    let mut child = command.spawn().map_err(|e| failed(&e.to_string()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut said = Vec::new();
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            let _ = stdout.take(MOST).read_to_end(&mut said).await;
            let _ = stderr.take(MOST).read_to_end(&mut said).await;
        }
        let status = child.wait().await;
        status.is_ok_and(|s| s.success()).then(|| String::from_utf8_lossy(&said).into_owned())
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Some(said)) => Ok(said),
        Ok(None) => Err(failed("it failed")),
        Err(_) => Err(failed("it does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_says_what_it_says_or_why_not() {
        assert_eq!(run("sh", &["-c", "echo out; echo err >&2"]).await, Ok("out\nerr\n".to_owned()));
        for (script, expected) in [("exit 3", "it failed"), ("exec sleep 600", "it does not answer")] {
            let refused = run("sh", &["-c", script]).await.expect_err(script);
            assert!(refused.ends_with(expected), "{refused}");
        }
        assert!(run("no-such-program", &[]).await.is_err());
        assert!(identity("sh").is_some() && identity("no-such-program").is_none());
    }
}
