//! One job per driver, on the real binary: it runs, is looked into, outlives its agent, ends, and leaves nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use tarpan_end2end::lab::{PATIENCE, mounts_below};
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

/// Whether this machine can isolate tasks; a sentence where it can't, and a failure where everything has to be there.
fn isolates() -> bool {
    let root = Uid::effective().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "only root isolates tasks");
    if !root {
        eprintln!("skipped: only root isolates tasks");
    }
    root
}

/// What the run of a task is: `pid.json` of the client's only one.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Pids {
    supervisor: u32,
    task: u32,
}

fn pids(lab: &Lab) -> Result<Pids> {
    let inside = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs: Vec<PathBuf> = inside(lab.path().join("client/client/tasks")).flat_map(inside).collect();
    ensure!(runs.len() == 1, "there is one run: {runs:?}");
    serde_json::from_slice(&std::fs::read(runs[0].join("pid.json"))?).context("pids")
}

/// Private memory of a process in KiB.
fn private_kib(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let number =
        |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    Ok(number("Private_Clean:").unwrap_or(0) + number("Private_Dirty:").unwrap_or(0))
}

/// `line 1`, `line 2`, … without a gap; gives the last number.
fn unbroken(text: &str) -> Result<u64> {
    let mut last = 0;
    for line in text.lines() {
        let number: u64 =
            line.strip_prefix("line ").with_context(|| format!("a line of the counter, not {line:?}"))?.parse()?;
        ensure!(number == last + 1, "after line {last} came {line:?}");
        last = number;
    }
    Ok(last)
}

fn goes_on(server: &Agent, id: &str, beyond: u64) -> Result<u64> {
    eventually("the log to go on without a gap", PATIENCE, || {
        Ok(Some(unbroken(&server.ok(&["alloc", "logs", id])?)?).filter(|last| *last > beyond))
    })
}

/// Control groups that bear the allocation's name.
fn groups(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new("/sys/fs/cgroup").to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
            match entry.file_name().to_string_lossy().contains(id) {
                true => found.push(entry.path()),
                false => todo.push(entry.path()),
            }
        }
    }
    found
}

/// Everything that a job of this text goes through. `command`: what is run in its task, and what that has to say.
fn through_everything(job: &str, text: &str, command: &[&str], says: &str) -> Result<()> {
    let lab = Lab::new()?;
    let (server, mut client) = server_and_client(&lab)?;
    let file = lab.file("job.nomad.hcl", text)?.display().to_string();
    server.ok(&["job", "run", "-detach", &file])?;
    let id = server.wait_alloc(job, "running").with_context(|| server.tasks_tail())?.id;
    let lines = goes_on(&server, &id, 5)?;
    let exec = |server: &Agent| {
        let args: Vec<&str> =
            ["alloc", "exec", "-i=false", "-t=false", &id].into_iter().chain(command.iter().copied()).collect();
        server.ok(&args)
    };
    let said = exec(&server)?;
    ensure!(said.contains(says), "{said}");
    let before = pids(&lab)?;
    for pid in [before.supervisor, child(before.supervisor)?].into_iter().filter(|pid| *pid != before.task) {
        let kib = private_kib(pid)?;
        ensure!(kib < 3 << 10, "a process beside the task holds {kib} KiB of its own");
    }

    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    goes_on(&server, &id, lines + 10)?;
    ensure!(pids(&lab)? == before, "the task's processes changed");
    ensure!(exec(&server)?.contains(says), "a command runs in a task that was found again");
    ensure!(server.allocs(job)?.len() == 1, "nothing was started anew");

    server.ok(&["job", "stop", "-purge", "-detach", job])?;
    eventually("the task and all of it to be gone", PATIENCE, || {
        let left = [before.supervisor, before.task].iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists());
        Ok((!left && groups(&id).is_empty() && mounts_below(lab.path()).is_empty()).then_some(()))
    })
    .with_context(|| format!("{:?} {:?}\n{}", groups(&id), mounts_below(lab.path()), client.log_tail()))
}

fn child(of: u32) -> Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"))?;
    text.split_whitespace().next().context("a child")?.parse().context("a pid")
}

const COUNT: &str = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done";

#[test]
fn exec() -> Result<()> {
    if !isolates() {
        return Ok(());
    }
    let text = format!(
        "job \"walled\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"exec\"\n      config {{\n        command = \"/bin/sh\"\n        \
         args = [\"-c\", \"echo secret > $NOMAD_SECRETS_DIR/s; {COUNT}\"]\n      }}\n    }}\n  }}\n}}\n"
    );
    through_everything(
        "walled",
        &text,
        &["/bin/sh", "-c", "id -un; cat /secrets/s; readlink /proc/2/cwd"],
        "nobody\nsecret\n/\n",
    )
}
