//! What a task costs, by driver: `cargo xtask bench -drivers`.
//!
//! One server and one client on the same machine. For each driver that works here: how long from the placement of an allocation until its
//! task has started, what its helpers hold in memory, and how fast what it prints arrives in its log files. What a driver lacks on
//! this machine is said, and its row is left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::eventually;
use tarpan_end2end::pair::server_and_client_with;
use tarpan_end2end::{Agent, Lab, docker};

use super::page::{self, Table, one};
use super::program;
use crate::shell::{has, heading};

/// Tasks that are started one after the other.
const STARTS: usize = 30;
/// Tasks that run at once while memory is looked at.
const AT_ONCE: usize = 10;
/// What a task prints, in bytes: lines of a hundred.
const PRINTED: u64 = 200_000_000;
const PATIENCE: Duration = Duration::from_secs(120);
const IMAGE: &str = "tarpan-bench/programs:1.0";

/// What one driver came to.
struct Cost {
    driver: &'static str,
    /// From placement to start, in milliseconds, sorted.
    starts: Vec<f64>,
    /// What the agent and the task's helpers hold more for each task, in KiB of memory that counts once (PSS).
    memory: f64,
    /// Megabytes a second that arrive in the log files; `None` where the task can't print as much.
    log: Option<f64>,
}

impl Cost {
    /// The value below which that part of the starts lies, in milliseconds.
    fn start(&self, part: f64) -> f64 {
        let last = self.starts.len().saturating_sub(1);
        self.starts.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

pub fn run(flags: &[&str]) -> Result<()> {
    if let Some(flag) = flags.iter().find(|flag| **flag != "drivers") {
        bail!("bench -drivers knows no other flag, not -{flag}");
    }
    program()?;
    heading("Tasks, by driver");
    let mut text = page::measured("server, client and tasks")?;
    text.push_str("\n## Tasks, by driver\n\n");
    let mut table = Table::new(&["driver", "starts", "p50 ms", "p99 ms", "KiB a task", "log MB/s"]);
    for cost in measure()? {
        let log = cost.log.map_or("–".to_owned(), |log| format!("{log:.0}"));
        let (p50, p99) = (one(cost.start(0.5)), one(cost.start(0.99)));
        let memory = format!("{:.0}", cost.memory);
        table.row(&[cost.driver.to_owned(), cost.starts.len().to_string(), p50, p99, memory, log]);
    }
    text.push_str(&table.text);
    page::put("drivers", &text)
}

/// Every driver that works here.
fn measure() -> Result<Vec<Cost>> {
    let daemon = docker::Daemon::find_or_start()?;
    let lab = Lab::of(&xtask_start::target().join("release"))?;
    let mut drivers = vec![raw_exec(), walled()];
    match &daemon {
        Ok(_) => drivers.push(container(&lab)?),
        Err(why) => println!("docker is left out: {why}"),
    }
    match has("javac") {
        true => drivers.push(java(&lab)?),
        false => println!("java is left out: there is no javac"),
    }
    match has("qemu-system-x86_64") {
        true => drivers.push(guest(&lab)?),
        false => println!("qemu is left out: there is no qemu-system-x86_64"),
    }
    let folders = ["/bin", "/etc", "/lib", "/lib64", "/usr"].map(|dir| format!("\"{dir}\" = \"{dir}\"\n")).concat();
    let shown = lab.path().join("shown").display().to_string();
    let inside = format!("chroot_env {{\n{folders}{shown:?} = \"/opt/shown\"\n}}\n");
    let beside = format!("plugin \"qemu\" {{\n  config {{\n    image_paths = [{shown:?}]\n  }}\n}}\n");
    std::fs::create_dir_all(&shown)?;
    let (server, client) = server_and_client_with(&lab, &inside, &beside)?;
    let place = Place { lab: &lab, server: &server, client: &client };
    drivers.iter().map(|task| place.measure(task).with_context(|| format!("measuring {}", task.driver))).collect()
}

/// What is measured of a driver: a task that waits, and one that prints.
struct Task {
    driver: &'static str,
    waits: Value,
    prints: Option<Value>,
    memory: u32,
}

const WAIT: [&str; 2] = ["-c", "exec sleep 600"];

fn print() -> [String; 2] {
    let line = "0123456789".repeat(10);
    ["-c".to_owned(), format!("yes {} | head -c {PRINTED}; exec sleep 600", &line[..99])]
}

fn raw_exec() -> Task {
    let (waits, prints) = shell("/bin/sh");
    Task { driver: "raw_exec", waits, prints: Some(prints), memory: 64 }
}

fn walled() -> Task {
    Task { driver: "exec", ..raw_exec() }
}

fn shell(command: &str) -> (Value, Value) {
    (json!({ "command": command, "args": WAIT }), json!({ "command": command, "args": print() }))
}

fn container(lab: &Lab) -> Result<Task> {
    docker::make_image(lab, &["sh", "sleep", "yes", "head"], IMAGE)?;
    let (mut waits, mut prints) = shell("/bin/sh");
    for config in [&mut waits, &mut prints] {
        config["image"] = json!(IMAGE);
    }
    Ok(Task { driver: "docker", waits, prints: Some(prints), memory: 64 })
}

fn java(lab: &Lab) -> Result<Task> {
    let shown = lab.path().join("shown");
    std::fs::create_dir_all(&shown)?;
    let source = "public class Tool { public static void main(String[] a) throws Exception {
        byte[] line = (\"0123456789\".repeat(10).substring(1) + \"\\n\").getBytes();
        byte[] many = new byte[100 * 640];
        for (int i = 0; i < many.length; i++) many[i] = line[i % 100];
        for (long left = Long.parseLong(a[0]); left > 0; left -= many.length)
            System.out.write(many, 0, (int) Math.min(left, many.length));
        System.out.flush();
        Thread.sleep(600000); } }";
    let file = shown.join("Tool.java");
    std::fs::write(&file, source)?;
    let compiled = Command::new("javac").args(["--release", "11"]).arg(&file).status().context("running javac")?;
    ensure!(compiled.success(), "javac ended with {compiled}");
    let config = |bytes: u64| json!({ "class": "Tool", "class_path": "/opt/shown", "args": [bytes.to_string()], "jvm_options": ["-Xmx64m"] });
    Ok(Task { driver: "java", waits: config(0), prints: Some(config(PRINTED)), memory: 300 })
}

/// A machine without a system: it says so and waits.
fn guest(lab: &Lab) -> Result<Task> {
    let image = lab.path().join("shown/empty.img");
    std::fs::create_dir_all(lab.path().join("shown"))?;
    std::fs::write(&image, vec![0; 1 << 20])?;
    let waits = json!({ "image_path": image.display().to_string(), "accelerator": "tcg" });
    Ok(Task { driver: "qemu", waits, prints: None, memory: 128 })
}

struct Place<'a> {
    lab: &'a Lab,
    server: &'a Agent,
    client: &'a Agent,
}

impl Place<'_> {
    fn measure(&self, task: &Task) -> Result<Cost> {
        let mut starts = (0..STARTS).map(|n| self.start(task, n)).collect::<Result<Vec<_>>>()?;
        starts.sort_by(f64::total_cmp);
        let memory = self.memory(task)?;
        let log = task.prints.as_ref().map(|prints| self.log(task, prints)).transpose()?;
        Ok(Cost { driver: task.driver, starts, memory, log })
    }

    /// Registers a job of so many, waits until they have started, and gives the milliseconds from placement to start of each.
    fn begin(&self, id: &str, task: &Task, config: &Value, count: usize) -> Result<Vec<f64>> {
        let logs = json!({ "MaxFiles": 30, "MaxFileSizeMB": 10 });
        let one = json!({ "Name": "t", "Driver": task.driver, "Config": config, "LogConfig": logs,
            "Resources": { "CPU": 20, "MemoryMB": task.memory }, "KillTimeout": 1_000_000_000_u64 });
        let group = json!({ "Name": "g", "Count": count, "Tasks": [one], "EphemeralDisk": { "SizeMB": 310 } });
        let job = json!({ "ID": id, "Name": id, "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [group] });
        self.server.ask(&calls::register_json(&Query::new(), &job, None))?;
        eventually(&format!("{count} tasks of {id} to start"), PATIENCE, || {
            let mut took = Vec::new();
            for alloc in self.server.allocs(id)? {
                ensure!(alloc.client_status != "failed", "{id} failed: {}", self.server.tasks_tail());
                let events = alloc.task_states.values().flat_map(|state| &state.events);
                let started = events.filter(|event| event.type_ == "Started").map(|event| event.time).next_back();
                took.extend(started.map(|at| (at - alloc.create_time) as f64 / 1e6));
            }
            Ok((took.len() == count).then_some(took))
        })
    }

    /// Stops a job, and waits until nothing of it is left.
    fn end(&self, id: &str) -> Result<()> {
        self.server.ok(&["job", "stop", "-detach", id])?;
        eventually("the tasks to end", PATIENCE, || {
            Ok(self.server.allocs(id)?.iter().all(|alloc| alloc.client_status == "complete").then_some(()))
        })?;
        self.server.ok(&["job", "stop", "-purge", "-detach", id])?;
        self.server.ok(&["system", "gc"])?;
        Ok(())
    }

    fn start(&self, task: &Task, n: usize) -> Result<f64> {
        let id = format!("start-{}-{n}", task.driver);
        let took = self.begin(&id, task, &task.waits, 1)?;
        self.end(&id)?;
        took.first().copied().context("a start")
    }

    fn memory(&self, task: &Task) -> Result<f64> {
        let id = format!("memory-{}", task.driver);
        let before = self.held()?;
        self.begin(&id, task, &task.waits, AT_ONCE)?;
        std::thread::sleep(Duration::from_secs(2));
        let after = self.held()?;
        self.end(&id)?;
        Ok((after - before) / AT_ONCE as f64)
    }

    /// What agent and helpers hold, in KiB: supervisors, and the first process behind a task's walls.
    fn held(&self) -> Result<f64> {
        let mut sum = pss(self.client.pid())?;
        for run in inside(&self.lab.path().join("client/client/tasks")).iter().flat_map(|task| inside(task)) {
            let Ok(text) = std::fs::read(run.join("pid.json")) else { continue };
            let pids: Value = serde_json::from_slice(&text).context("pid.json")?;
            let pid = |name: &str| pids[name].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("a pid");
            let (supervisor, of_task) = (pid("supervisor")?, pid("task")?);
            sum += pss(supervisor)?;
            for child in children(supervisor).into_iter().filter(|child| *child != of_task) {
                sum += pss(child)?;
            }
        }
        Ok(sum)
    }

    /// From the start of a task that prints until all of it lies in its log files.
    fn log(&self, task: &Task, prints: &Value) -> Result<f64> {
        let id = format!("log-{}", task.driver);
        let begun = Instant::now();
        let started = self.begin(&id, task, prints, 1)?[0];
        let alloc = self.server.allocs(&id)?.pop().context("an allocation")?.id;
        let logs = self.lab.path().join(format!("client/alloc/{alloc}/alloc/logs"));
        let written = || -> u64 {
            let files = inside(&logs).into_iter().filter(|path| path.to_string_lossy().contains(".stdout."));
            files.filter_map(|path| Some(path.metadata().ok()?.len())).sum()
        };
        while written() < PRINTED {
            ensure!(begun.elapsed() < PATIENCE, "{} of {PRINTED} bytes arrived in {PATIENCE:?}", written());
            std::thread::sleep(Duration::from_millis(2));
        }
        let seconds = begun.elapsed().as_secs_f64() - started / 1e3;
        self.end(&id)?;
        Ok(PRINTED as f64 / 1e6 / seconds)
    }
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Memory of a process in KiB, what it shares counted in parts.
fn pss(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("a process's memory")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("Pss")?;
    line.trim().trim_end_matches(" kB").parse().context("a number of KiB")
}
