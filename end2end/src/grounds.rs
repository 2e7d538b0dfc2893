//! A machine of a test's own, as far as namespaces give one: a server, a client that runs every driver, and an engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tarpan_api::{Query, calls};

use crate::agent::Agent;
use crate::counting;
use crate::docker::Engine;
use crate::http::ask;
use crate::lab::{Lab, PATIENCE, eventually, kill_all_but};
use crate::net::apart;
use crate::pair::server_and_client_with;
use crate::traces::{Place, Traces};

/// The image of containers.
pub const IMAGE: &str = "tarpan-test/grounds:1.0";

/// What is declared first ends first.
pub struct Grounds<'a> {
    pub client: Agent,
    pub server: Agent,
    /// Why there is none, else.
    pub engine: std::result::Result<Engine, String>,
    pub lab: &'a Lab,
    groups: Groups,
}

/// A run of a task under a supervisor: `pid.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Run {
    pub supervisor: u32,
    pub task: u32,
}

/// Plays in namespaces of the journey's own. What the machine can't do is said, and a failure where `CI` is set.
pub fn play(journey: impl FnOnce(&mut Grounds<'_>) -> Result<()> + Send) -> Result<()> {
    // Each takes all of a small machine.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = Lab::new()?;
    // Tasks of any user come to their directories.
    std::fs::set_permissions(lab.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let played = apart(lab.path(), |_| {
        let mut grounds = Grounds::start(&lab)?;
        if let Err(why) = &grounds.engine {
            skipped("containers", why);
        }
        let done = journey(&mut grounds);
        if done.is_err() {
            grounds.server.stop_all_jobs();
        }
        done
    })?;
    played.or_else(|why| {
        skipped("namespaces", &why);
        Ok(())
    })
}

/// The control groups that everything of a test is in. They go with the test.
struct Groups(String);

impl Drop for Groups {
    fn drop(&mut self) {
        let inside = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let root = Path::new("/sys/fs/cgroup");
        for hierarchy in std::iter::once(root.to_owned()).chain(inside(root)) {
            for name in [self.0.clone(), format!("{}-containers", self.0)] {
                remove(&hierarchy.join(name));
            }
        }
    }
}

/// A group can be removed once those in it are.
fn remove(group: &Path) {
    let inside = std::fs::read_dir(group).into_iter().flatten().flatten();
    inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| remove(&entry.path()));
    let _ = std::fs::remove_dir(group);
}

/// Says what is not tried here; a failure where everything has to be there.
pub fn skipped(what: &str, why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!ci, "{what}: {why}");
    println!("skipped: {what}: {why}");
}

/// Whether this program is there.
pub fn has(program: &str) -> bool {
    let there = std::process::Command::new(program).arg("--version").output().is_ok();
    if !there {
        skipped(program, "it is missing");
    }
    there
}

impl<'a> Grounds<'a> {
    fn start(lab: &'a Lab) -> Result<Grounds<'a>> {
        // The lab's own name: several journeys may have one process.
        let groups = lab.path().file_name().context("a lab has a name")?.to_string_lossy().into_owned();
        let engine = Engine::start(&lab.path().join("engine"), &format!("{groups}-containers"))?;
        if let Ok(engine) = &engine {
            engine.busybox(lab, IMAGE)?;
        }
        let endpoint = engine.as_ref().map_or("unix:///nobody".to_owned(), Engine::endpoint);
        let (images, classes, volume) =
            (lab.path().join("images"), lab.path().join("classes"), lab.path().join("volume"));
        counting::guest_disk(&images)?;
        std::fs::create_dir_all(&classes)?;
        std::fs::create_dir_all(&volume)?;
        let system = ["/bin", "/etc", "/lib", "/lib64", "/usr"].map(|dir| format!("\"{dir}\" = \"{dir}\"\n")).concat();
        // Collection by count would take away what a test still looks at.
        let client = format!(
            "network_interface = \"lo\"\ncgroup_parent = \"{groups}\"\ngc_max_allocs = 1000\nhost_volume \"data\" {{\n  path = {volume:?}\n}}\n\
             chroot_env {{\n{system}{classes:?} = \"/opt/classes\"\n}}\n"
        );
        let plugins = format!(
            "plugin \"docker\" {{\n  config {{\n    endpoint = \"{endpoint}\"\n  }}\n}}\n\
             plugin \"qemu\" {{\n  config {{\n    image_paths = [{images:?}]\n  }}\n}}\n"
        );
        let (server, client) = server_and_client_with(lab, &client, &plugins)?;
        Ok(Grounds { client, server, engine, lab, groups: Groups(groups) })
    }

    pub fn register(&self, job: &Value) -> Result<()> {
        ask(&self.server.client, &calls::register_json(&Query::new(), job, None)).map(drop)
    }

    /// Everything that this machine shows of what ran.
    pub fn traces(&self) -> Result<Traces> {
        let known = [Some(self.client.pid()), Some(self.server.pid()), self.engine.as_ref().ok().map(Engine::pid)];
        let mut known: Vec<u32> = known.into_iter().flatten().collect();
        // What the engine is made of.
        known.extend(known.clone().into_iter().flat_map(children));
        Traces::look(&Place {
            lab: self.lab.path(),
            data: &[self.data()],
            groups: &self.groups.0,
            engine: self.engine.as_ref().ok(),
            known: &known,
        })
    }

    /// The client's data directory.
    pub fn data(&self) -> PathBuf {
        self.lab.path().join("client")
    }

    /// Runs by their directories.
    pub fn runs(&self) -> BTreeMap<PathBuf, Run> {
        let inside = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let runs = inside(self.data().join("client/tasks")).flat_map(inside);
        runs.filter_map(|dir| {
            let pids = serde_json::from_slice(&std::fs::read(dir.join("pid.json")).ok()?).ok()?;
            Some((dir, pids))
        })
        .collect()
    }

    /// Ids, process numbers and starts of the tasks' containers.
    pub fn containers(&self) -> Result<Vec<String>> {
        let Ok(engine) = &self.engine else { return Ok(Vec::new()) };
        let ids = engine.docker(&["ps", "-q", "--no-trunc", "--filter", "label=com.hashicorp.nomad.alloc_id"])?;
        let one = |id: &str| engine.docker(&["inspect", "-f", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}", id]);
        let mut all = ids.lines().map(one).collect::<Result<Vec<_>>>()?;
        all.sort();
        Ok(all)
    }

    /// As a machine that loses its power: everything that runs for tasks ends, and what is not on disk is gone. The client is dead.
    pub fn lose_power(&self) -> Result<()> {
        if let Ok(engine) = &self.engine {
            for id in engine.docker(&["ps", "-q"])?.lines() {
                engine.docker(&["kill", id])?;
            }
        }
        let engine = self.engine.as_ref().ok().map(Engine::pid);
        let mut kept: Vec<u32> = engine.into_iter().chain([self.server.pid()]).collect();
        kept.extend(kept.clone().into_iter().flat_map(children));
        eventually(
            "every task to be dead",
            PATIENCE,
            || Ok((kill_all_but(self.lab.path(), &kept) == 0).then_some(())),
        )?;
        for point in crate::lab::mounts_below(&self.data()) {
            std::process::Command::new("umount").arg("-l").arg(&point).status().context("umount")?;
        }
        for line in ["iptables -w -F", "iptables -w -t nat -F", "ip link del nomad"] {
            let mut words = line.split(' ');
            // There may be no bridge.
            let _ = std::process::Command::new(words.next().unwrap_or_default()).args(words).output();
        }
        Ok(())
    }

    /// Stops and forgets everything, and waits until nothing is left of it.
    pub fn clear(&self) -> Result<()> {
        for job in self.server.ask(&calls::jobs(&Query::new()))? {
            self.server.ok(&["job", "stop", "-purge", "-detach", &job.id])?;
        }
        eventually("every allocation to be forgotten", PATIENCE * 2, || {
            self.server.ok(&["system", "gc"])?;
            let left = self.server.ask(&calls::allocations(&Query::new()))?;
            anyhow::ensure!(left.is_empty(), "{} are left, such as {:?}", left.len(), left.first());
            let dirs = std::fs::read_dir(self.data().join("alloc"))?.flatten();
            let dirs = dirs.filter(|dir| !dir.file_name().to_string_lossy().starts_with('.')).count();
            anyhow::ensure!(dirs == 0, "{dirs} directories are left");
            Ok(Some(()))
        })
        .with_context(|| format!("{}\n{}", self.server.tasks_tail(), self.client.log_tail()))
    }
}

/// Processes that this one has started, and those that they have.
fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = text.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let own: Vec<u32> = lists.flat_map(|l| l.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect();
    own.iter().copied().chain(own.iter().flat_map(|child| children(*child))).collect()
}

/// A task of this driver that runs a shell's script; a guest and a virtual machine count, whatever the script says.
pub fn task(name: &str, driver: &str, script: &str) -> Value {
    let (config, memory) = match driver {
        "docker" => (json!({"image": IMAGE, "command": "/bin/sh", "args": ["-c", script], "force_pull": false}), 16),
        "java" => (
            json!({"class": "Counter", "class_path": "/opt/classes", "args": ["line"], "jvm_options": ["-Xmx64m"]}),
            300,
        ),
        _ => (json!({"command": "/bin/sh", "args": ["-c", script]}), 16),
    };
    json!({"Name": name, "Driver": driver, "Config": config, "KillTimeout": 1_000_000_000_u64,
        "LogConfig": {"MaxFiles": 2, "MaxFileSizeMB": 1}, "Resources": {"CPU": 10, "MemoryMB": memory}})
}

/// The task of a virtual machine.
pub fn guest(name: &str, lab: &Path) -> Value {
    let mut task = task(name, "qemu", "");
    task["Config"] = json!({"image_path": lab.join("images/counts.img")});
    task["Resources"]["MemoryMB"] = json!(128);
    task
}

/// A job of one group, tried again soon and not for ever.
pub fn job(id: &str, kind: &str, count: u32, tasks: &[Value]) -> Value {
    let second = 1_000_000_000_u64;
    let attempts = if kind == "batch" { 1 } else { 100 };
    let reschedule = match kind {
        "batch" => json!({"Attempts": 1, "Interval": 3600 * second, "Delay": 5 * second, "DelayFunction": "constant"}),
        _ => json!({"Attempts": 0, "Interval": 0, "Unlimited": true, "Delay": 5 * second, "DelayFunction": "constant"}),
    };
    json!({"ID": id, "Name": id, "Type": kind, "Datacenters": ["*"], "Reschedule": reschedule,
        "TaskGroups": [{"Name": "g", "Count": count, "EphemeralDisk": {"SizeMB": 10}, "Tasks": tasks,
            "RestartPolicy": {"Attempts": attempts, "Interval": 600 * second, "Delay": second / 2, "Mode": "fail"}}]})
}

/// The same in a network of its own, with a port of the node that leads into it.
pub fn bridged(mut job: Value) -> Value {
    job["TaskGroups"][0]["Networks"] = json!([{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": 8080}]}]);
    job
}
