//! Repositories, by the machine's `git` behind the walls of the process that fetches.
//!
//! No configuration of the machine's is read, nothing that the repository names is run: no hooks, no filters, no submodules,
//! no transport but https, http, ssh and git. Host keys of ssh have to be known to the machine or to the agent's user.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::origin::Git;
use super::request::{Request, TREE};
use super::{ArtifactError, room};
use crate::ground::Dir;

/// All of git's complaints that is kept: its last words say why.
const COMPLAINTS: usize = 2 << 10;
/// How often the disk is looked at while git writes to it.
const LOOK: Duration = Duration::from_secs(1);
const KEY: &str = "ssh-key";
const KNOWN_HOSTS: &str = "known-hosts";

/// What no repository decides. Nothing is packed or looked after in the background either.
const CONFIG: [&str; 13] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.git.allow=always",
    "submodule.recurse=false",
    "http.followRedirects=initial",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Clones what is asked for into [`TREE`].
pub(super) async fn clone(request: &Request, git: &Git, scratch: &Dir) -> Result<(), ArtifactError> {
    let home = std::env::current_dir().map_err(ArtifactError::Write)?;
    let ssh = ssh(request, git, scratch, &home)?;
    let run = async |args: &[&str]| {
        let mut command = Command::new("git");
        command
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_COMMAND", &ssh);
        for setting in CONFIG {
            command.args(["-c", setting]);
        }
        if request.artifact.insecure {
            command.args(["-c", "http.sslVerify=false"]);
        }
        run(command.args(args), scratch).await
    };
    let url = git.url.as_str();
    let depth = git.depth.map(|depth| format!("--depth={depth}"));
    match (&depth, &git.reference) {
        // Only what was asked for comes, a commit too, which `clone` can't be asked for.
        (Some(depth), Some(reference)) => {
            run(&["init", "--quiet", "--template=", TREE]).await?;
            run(&["-C", TREE, "remote", "add", "origin", url]).await?;
            run(&["-C", TREE, "fetch", "--quiet", "--no-recurse-submodules", depth, "origin", reference]).await?;
            run(&["-C", TREE, "checkout", "--quiet", "--detach", "FETCH_HEAD"]).await
        }
        _ => {
            let mut args = vec!["clone", "--quiet", "--no-checkout", "--no-recurse-submodules", "--template="];
            args.extend(depth.as_deref());
            args.extend(["--", url, TREE]);
            run(&args).await?;
            let reference = git.reference.as_deref();
            let mut args = vec!["-C", TREE, "checkout", "--quiet"];
            args.extend(reference);
            args.push("--");
            // An empty repository has nothing to check out, and is an error in either case.
            run(if reference.is_some() { &args } else { &["-C", TREE, "checkout", "--quiet"] }).await
        }
    }
}

/// How ssh is called. Its key and the hosts it knows lie in the scratch directory.
fn ssh(request: &Request, git: &Git, scratch: &Dir, home: &Path) -> Result<String, ArtifactError> {
    use std::io::Write;
    let write = |name: &str, bytes: &[u8]| {
        let mut file = scratch.create_new(Path::new(name), 0o600)?;
        file.write_all(bytes).map_err(ArtifactError::Write)
    };
    write(KNOWN_HOSTS, request.known_hosts.as_deref().unwrap_or_default().as_bytes())?;
    // Words of ssh's own option: the path is quoted for it and for the shell.
    let path = |name: &str| home.join(name).to_string_lossy().replace(['\'', '"'], "");
    let known = format!("-o 'UserKnownHostsFile=\"{}\"'", path(KNOWN_HOSTS));
    let identity = match &git.ssh_key {
        None => String::new(),
        Some(key) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(key.trim());
            let mut key = decoded.map_err(|_| ArtifactError::SshKey)?;
            if !key.ends_with(b"\n") {
                key.push(b'\n');
            }
            write(KEY, &key)?;
            format!("-i '{}' -o IdentitiesOnly=yes", path(KEY))
        }
    };
    Ok(format!("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes {known} {identity}"))
}

/// Runs git to its end; an error is its own last words.
async fn run(command: &mut Command, scratch: &Dir) -> Result<(), ArtifactError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ArtifactError::NoGit),
        spawned => spawned.map_err(ArtifactError::Start)?,
    };
    let stderr = child.stderr.take();
    let complaints = async {
        let (mut kept, mut buffer) = (Vec::new(), [0u8; 1024]);
        let Some(mut stderr) = stderr else { return kept };
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            kept.extend_from_slice(&buffer[..read]);
            kept.drain(..kept.len().saturating_sub(COMPLAINTS));
        }
        kept
    };
    let ended = async { tokio::join!(child.wait(), complaints) };
    let full = async {
        while room(scratch) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    let (status, complained) = tokio::select! {
        ended = ended => ended,
        () = full => return Err(ArtifactError::NoRoom(0)),
    };
    if status.map_err(ArtifactError::Start)?.success() {
        return Ok(());
    }
    let complained = String::from_utf8_lossy(&complained);
    let lines: Vec<&str> = complained.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(ArtifactError::Git(lines.join("; ")))
}
