//! One job per driver, on the real binary: it runs, is looked into, outlives its agent, ends, and leaves nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use tarpan_end2end::counting::{self, unbroken};
use tarpan_end2end::lab::{PATIENCE, mounts_below};
use tarpan_end2end::pair::server_and_client_with;
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

/// What a client's configuration has besides: in its block `client`, and beside it.
#[derive(Default)]
struct More {
    client: String,
    beside: String,
}

/// Everything that a job of this text goes through. `command`: what is run in its task, and what that has to say.
fn through_everything(lab: &Lab, more: &More, job: &str, text: &str, command: &[&str], says: &str) -> Result<()> {
    let (server, mut client) = server_and_client_with(lab, &more.client, &more.beside)?;
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
    let before = pids(lab)?;
    // An init behind the walls is a fork of the supervisor, and shares its memory but for what it changed.
    if let Some(init) = Some(child(before.supervisor)?).filter(|pid| *pid != before.task) {
        let kib = private_kib(init)?;
        ensure!(kib < 1 << 10, "the task's init holds {kib} KiB of its own");
    }

    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    goes_on(&server, &id, lines + 10)?;
    ensure!(pids(lab)? == before, "the task's processes changed");
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

/// A job of one task.
fn job(name: &str, driver: &str, config: &str, memory: u32) -> String {
    format!(
        "job \"{name}\" {{\n  group \"g\" {{\n    task \"t\" {{\n      driver = \"{driver}\"\n      config {{\n        {config}\n      }}\n      \
         resources {{\n        cpu = 50\n        memory = {memory}\n      }}\n    }}\n  }}\n}}\n"
    )
}

#[test]
fn exec() -> Result<()> {
    if !isolates() {
        return Ok(());
    }
    let config = format!(
        "command = \"/bin/sh\"\n        args = [\"-c\", \"echo secret > $NOMAD_SECRETS_DIR/s; {}\"]",
        counting::SHELL
    );
    let command = ["/bin/sh", "-c", "id -un; cat /secrets/s; readlink /proc/2/cwd"];
    let text = job("walled", "exec", &config, 64);
    through_everything(&Lab::new()?, &More::default(), "walled", &text, &command, "nobody\nsecret\n/\n")
}

/// Whether this program is there; a sentence where it is not, and a failure where everything has to be there.
fn has(program: &str) -> bool {
    let there = std::process::Command::new(program).arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "{program} is missing");
    if !there {
        eprintln!("skipped: {program} is missing");
    }
    there
}

#[test]
fn java() -> Result<()> {
    if !isolates() || !has("javac") || !has("java") {
        return Ok(());
    }
    let lab = Lab::new()?;
    let classes = lab.path().join("classes");
    counting::java_class(&classes)?;
    // What of the node a task sees is the operator's to say: here its classes as well.
    let system = ["/bin", "/etc", "/lib", "/lib64", "/usr"].map(|dir| format!("\"{dir}\" = \"{dir}\"\n")).concat();
    let classes = classes.display().to_string();
    let more =
        More { client: format!("chroot_env {{\n{system}\"{classes}\" = \"/opt/classes\"\n}}\n"), ..More::default() };
    let config = "class = \"Counter\"\n        class_path = \"/opt/classes\"\n        args = [\"line\"]\n        jvm_options = [\"-Xmx64m\"]";
    let command = ["/bin/sh", "-c", "id -un; ls /opt/classes"];
    through_everything(&lab, &more, "jvm", &job("jvm", "java", config, 300), &command, "nobody\nCounter.class\n")
}

#[test]
fn qemu() -> Result<()> {
    if !has("qemu-system-x86_64") {
        return Ok(());
    }
    let lab = Lab::new()?;
    let images = lab.path().join("images");
    let disk = counting::guest_disk(&images)?;
    let more = More {
        beside: format!(
            "plugin \"qemu\" {{\n  config {{\n    image_paths = [{:?}]\n  }}\n}}\n",
            images.display().to_string()
        ),
        ..More::default()
    };
    let config = format!("image_path = {:?}", disk.display().to_string());
    through_everything(&lab, &more, "guest", &job("guest", "qemu", &config, 128), &["/bin/ls"], "local\n")
}

/// Says all the time which cores it may run on: `0`, `0-3`, …
const CORES: &str = "command = \"/bin/sh\"\n        args = [\"-c\", \"while true; do grep Cpus_allowed_list /proc/self/status; sleep 0.05; done\"]";

/// What the task said last.
fn allowed(server: &Agent, id: &str) -> Result<String> {
    let said = server.ok(&["alloc", "logs", "-tail", "-n", "1", id])?;
    Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
}

#[test]
fn a_tasks_cores_are_its_own() -> Result<()> {
    let several = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    if !isolates() || !several {
        return Ok(());
    }
    let lab = Lab::new()?;
    // Agents that share a parent share its cores, too.
    let parent = format!("tarpan-cores-{}", std::process::id());
    let (server, mut client) = server_and_client_with(&lab, &format!("cgroup_parent = \"{parent}\"\n"), "")?;
    let run = |name: &str, text: &str| -> Result<String> {
        let file = lab.file(&format!("{name}.nomad.hcl"), text)?.display().to_string();
        server.ok(&["job", "run", "-detach", &file])?;
        Ok(server.wait_alloc(name, "running").with_context(|| server.tasks_tail())?.id)
    };
    let rest = run("rest", &job("rest", "raw_exec", CORES, 32))?;
    let says = |id: &str, good: &dyn Fn(&str) -> bool| {
        eventually("the task to say where it runs", PATIENCE, || {
            Ok(Some(allowed(&server, id)?).filter(|said| !said.is_empty() && good(said)))
        })
    };
    let all = says(&rest, &|_| true)?;
    let kept = run("kept", &job("kept", "exec", CORES, 32).replace("cpu = 50", "cores = 1"))?;
    let core = says(&kept, &|said| said.parse::<u16>().is_ok())?;
    let shared = says(&rest, &|said| said != all)?;
    ensure!(shared != core && !shared.split(',').any(|part| part == core), "{shared:?} of {all:?} beside {core:?}");
    // A later agent knows whose they are.
    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    says(&kept, &|said| said == core)?;
    says(&rest, &|said| said == shared)?;
    server.ok(&["job", "stop", "-purge", "-detach", "kept"])?;
    says(&rest, &|said| said == all)?;
    server.ok(&["job", "stop", "-purge", "-detach", "rest"])?;
    eventually("all of it to be gone", PATIENCE, || {
        Ok((groups(&rest).is_empty() && groups(&kept).is_empty()).then_some(()))
    })?;
    drop(client);
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup")?
        .flatten()
        .map(|entry| entry.path())
        .chain([PathBuf::from("/sys/fs/cgroup")])
    {
        for below in ["share", "reserve", "share.slice", "reserve.slice", ""] {
            let _ = std::fs::remove_dir(hierarchy.join(&parent).join(below));
        }
    }
    Ok(())
}
