//! Random starts, stops, crashes and kills, of jobs and of agents: afterwards the machine is as it was before.
//!
//! A short form; `TARPAN_LONG=1` plays 500 steps. `TARPAN_SEED` repeats the choices (not the machine's timing); the seed is printed.

#![allow(clippy::disallowed_methods, reason = "no test here is async")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tarpan_api::{Query, calls};
use tarpan_end2end::chance::Random;
use tarpan_end2end::grounds::{Grounds, bridged, job, play, task};
use tarpan_end2end::lab::{Lab, PATIENCE, free_ports};
use tarpan_end2end::net::apart;
use tarpan_end2end::{Agent, eventually};

/// Jobs that are there at the same time, at most.
const JOBS: usize = 8;

const RUNS: &str = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done";
/// Ends when it is told to, a moment later.
const SLOW: &str = "trap 'sleep 0.3; exit 0' INT TERM; while true; do sleep 0.1; done";

fn steps() -> usize {
    if std::env::var("TARPAN_LONG").is_ok_and(|v| v == "1") { 500 } else { 40 }
}

/// Some job, as its number and its version have it.
fn some_job(number: usize, version: u64, random: &mut Random, containers: bool) -> Value {
    let id = format!("j{number}");
    let script = |text: &str| format!(": version {version}; {text}");
    let after = |hook: &str, sidecar: bool, mut task: Value| {
        task["Lifecycle"] = json!({"Hook": hook, "Sidecar": sidecar});
        task
    };
    let kinds = if containers { 10 } else { 7 };
    match random.below(kinds) {
        0 => job(&id, "service", 2, &[task("t", "raw_exec", &script(RUNS))]),
        1 => job(&id, "service", 2, &[task("t", "exec", &script(RUNS))]),
        2 => bridged(job(
            &id,
            "service",
            1,
            &[
                task("main", "raw_exec", &script(SLOW)),
                after("prestart", true, task("beside", "exec", &script(RUNS))),
                after("prestart", false, task("first", "raw_exec", "sleep 0.2")),
                after("poststop", false, task("last", "raw_exec", "true")),
            ],
        )),
        3 => job(&id, "batch", 2, &[task("t", "raw_exec", "sleep 0.1; exit 1")]),
        4 => job(&id, "batch", 2, &[task("t", "exec", "sleep 0.3")]),
        5 => bridged(job(&id, "service", 1, &[task("t", "exec", "sleep 0.5; exit 3")])),
        6 => {
            job(&id, "service", 1, &[task("t", "raw_exec", &script(SLOW)), task("bad", "exec", "exec /does/not/exist")])
        }
        7 => job(&id, "service", 2, &[task("t", "docker", &script(RUNS))]),
        8 => bridged(job(&id, "service", 1, &[task("t", "docker", &script(SLOW)), task("u", "exec", &script(RUNS))])),
        _ => job(&id, "batch", 1, &[task("t", "docker", "exit 1")]),
    }
}

struct Player<'g, 'l> {
    grounds: &'g mut Grounds<'l>,
    random: Random,
    /// Numbers of the jobs that are there.
    jobs: Vec<usize>,
    made: usize,
}

impl Player<'_, '_> {
    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.random.below(from.len() as u64) as usize].clone())
    }

    fn register(&mut self, number: usize, version: u64) -> Result<()> {
        let job = some_job(number, version, &mut self.random, self.grounds.engine.is_ok());
        self.grounds.register(&job)
    }

    fn running(&self) -> Result<Vec<String>> {
        let allocs = self.grounds.server.ask(&calls::allocations(&Query::new()))?;
        Ok(allocs.into_iter().filter(|a| a.client_status == "running").map(|a| a.id).collect())
    }

    /// What is done next; the name is for whoever reads how it went.
    fn step(&mut self) -> Result<&'static str> {
        if self.jobs.is_empty() {
            return self.start();
        }
        match self.random.below(28) {
            0..=7 if self.jobs.len() < JOBS => self.start(),
            0..=10 => self.stop(),
            11..=13 => self.update(),
            14..=17 => self.kill_a_process(),
            18 => self.of_alloc(&["alloc", "stop", "-detach"], "an allocation is stopped"),
            19 => self.of_alloc(&["alloc", "restart"], "an allocation is restarted"),
            20 => {
                let _ = self.grounds.server.run(&["system", "gc"])?;
                Ok("everything that ended is collected")
            }
            21 => self.flush(),
            22 => self.remove_a_container(),
            23 => self.server_dies(),
            24 => self.client_ends(),
            _ => self.client_dies(),
        }
    }

    fn start(&mut self) -> Result<&'static str> {
        self.made += 1;
        self.jobs.push(self.made);
        self.register(self.made, 0)?;
        Ok("a job starts")
    }

    fn stop(&mut self) -> Result<&'static str> {
        let at = self.random.below(self.jobs.len() as u64) as usize;
        let id = format!("j{}", self.jobs.swap_remove(at));
        match self.random.below(2) {
            0 => self.grounds.server.run(&["job", "stop", "-detach", &id])?,
            _ => self.grounds.server.run(&["job", "stop", "-detach", "-purge", &id])?,
        };
        Ok("a job is stopped")
    }

    fn update(&mut self) -> Result<&'static str> {
        let number = self.pick(&self.jobs.clone()).context("a job")?;
        let version = self.random.below(1 << 20);
        // Another type is refused.
        let _ = self.register(number, version);
        Ok("a job is changed")
    }

    /// A task's or a supervisor's.
    fn kill_a_process(&mut self) -> Result<&'static str> {
        let runs: Vec<_> = self.grounds.runs().into_values().collect();
        let Some(run) = self.pick(&runs) else { return Ok("there is no process to kill") };
        let (pid, what) = match self.random.below(3) {
            0 => (run.supervisor, "a supervisor is killed"),
            _ => (run.task, "a task is killed"),
        };
        // Its number may be somebody else's by now.
        let line = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let own = self.grounds.lab.path().as_os_str().as_encoded_bytes();
        let named = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if [line, named].iter().any(|text| text.windows(own.len()).any(|part| part == own)) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        Ok(what)
    }

    fn of_alloc(&mut self, command: &[&str], what: &'static str) -> Result<&'static str> {
        let running = self.running()?;
        if let Some(id) = self.pick(&running) {
            // It may have ended meanwhile.
            let _ = self.grounds.server.run(&[command, &[&id]].concat())?;
        }
        Ok(what)
    }

    fn flush(&self) -> Result<&'static str> {
        for line in ["iptables -w -F", "iptables -w -t nat -F"] {
            let mut words = line.split(' ');
            let status = Command::new(words.next().context("a program")?).args(words).status()?;
            ensure!(status.success(), "{line}: {status}");
        }
        Ok("somebody empties the packet filter")
    }

    fn remove_a_container(&mut self) -> Result<&'static str> {
        let Ok(engine) = &self.grounds.engine else { return Ok("there is no engine") };
        let ids: Vec<String> = engine.docker(&["ps", "-aq"])?.lines().map(str::to_owned).collect();
        if let Some(id) = self.pick(&ids)
            && let Ok(engine) = &self.grounds.engine
        {
            let _ = engine.docker(&["rm", "-f", &id]);
        }
        Ok("somebody removes a container")
    }

    fn server_dies(&mut self) -> Result<&'static str> {
        self.grounds.server.kill9()?;
        self.grounds.server.start_again()?;
        Ok("the server is killed")
    }

    fn client_ends(&mut self) -> Result<&'static str> {
        self.grounds.client.terminate()?;
        self.grounds.client.start_again()?;
        Ok("the client is told to end")
    }

    /// Sometimes while it starts, and sometimes it is not there while something is asked for.
    fn client_dies(&mut self) -> Result<&'static str> {
        self.grounds.client.kill9()?;
        match self.random.below(3) {
            0 => {}
            1 => {
                self.grounds.client.launch_again()?;
                self.pause(800);
                self.grounds.client.kill9()?;
            }
            _ => {
                let stops = self.jobs.len() > 1 && self.random.below(2) == 0;
                if stops {
                    self.stop()?
                } else {
                    self.kill_a_process()?
                };
            }
        }
        self.grounds.client.start_again()?;
        Ok("the client is killed")
    }

    fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.random.below(most)));
    }
}

#[test]
fn nothing_is_left_of_what_was_started_stopped_crashed_and_killed() -> Result<()> {
    play(|grounds| {
        let before = grounds.traces()?;
        let mut player = Player { grounds, random: Random::seeded(), jobs: Vec::new(), made: 0 };
        for step in 0..steps() {
            let what = player.step().with_context(|| format!("step {step}\n{}", player.grounds.client.log_tail()))?;
            println!("step {step}: {what}");
            player.pause(600);
        }
        let grounds = player.grounds;
        grounds.server.wait_nodes(1)?;
        grounds.clear()?;
        grounds.client.stop()?;
        eventually("nothing to be left", PATIENCE, || {
            let left = grounds.traces()?.left(&before);
            ensure!(left.is_empty(), "{left}");
            Ok(Some(()))
        })
        .with_context(|| std::fs::read_to_string(&grounds.client.log).unwrap_or_default())
    })
}

const BRIDGED: &str = r#"
job "left" {
  group "g" {
    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
    }
  }
}
"#;

/// A dev agent remembers nothing: what one that was killed left, the next one ends.
#[test]
fn a_dev_agent_that_was_killed_leaves_nothing_behind_for_long() -> Result<()> {
    let lab = Lab::new()?;
    let played = apart(lab.path(), |_| {
        let temp = lab.path().join("temp");
        std::fs::create_dir(&temp)?;
        let of_dev = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("tarpan-dev-");
        let dirs = || std::fs::read_dir(&temp).map(|entries| entries.flatten().filter(of_dev).count());
        let tables = || -> Result<String> {
            let lines = ["ip -brief link show", "iptables -w -t nat -S", "iptables -w -S"].map(|line| {
                let out = Command::new("sh").args(["-c", line]).output()?;
                Ok(String::from_utf8_lossy(&out.stdout).into_owned())
            });
            Ok(lines.into_iter().collect::<Result<Vec<_>>>()?.concat())
        };
        let before = tables()?;
        let dev = |name: &str| -> Result<Agent> {
            let p = free_ports(3)?;
            let ports = format!(
                "ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
                p[0], p[1], p[2]
            );
            let config = lab.file(&format!("{name}.hcl"), &ports)?.display().to_string();
            let place = tarpan_end2end::agent::Place {
                env: vec![("TMPDIR".to_owned(), temp.display().to_string())],
                ..Default::default()
            };
            let mut agent =
                Agent::launch(&lab, name, place, &format!("127.0.0.1:{}", p[0]), &["-dev", "-config", &config])?;
            agent.wait_until_up()?;
            agent.wait_nodes(1)?;
            Ok(agent)
        };
        let mut first = dev("first")?;
        let file = lab.file("left.nomad.hcl", BRIDGED)?.display().to_string();
        first.ok(&["job", "run", "-detach", &file])?;
        let alloc = first.wait_alloc("left", "running")?.id;
        let lives = || tarpan_end2end::lab::pids(&format!("__task-supervisor.*{alloc}")).len();
        first.kill9()?;
        ensure!(lives() == 1 && dirs()? == 1 && tables()? != before, "{} {} {}", lives(), dirs()?, tables()?);

        let mut second = dev("second")?;
        eventually("the dead agent's things to be gone", PATIENCE, || {
            ensure!(lives() == 0, "its task runs");
            ensure!(dirs()? == 1, "{} directories", dirs()?);
            ensure!(!tables()?.contains(&alloc), "{}", tables()?);
            Ok(Some(()))
        })
        .with_context(|| second.log_tail())?;
        // One that lives is left alone.
        second.ok(&["job", "run", "-detach", &file])?;
        second.wait_alloc("left", "running")?;
        let mut third = dev("third")?;
        ensure!(second.wait_alloc("left", "running").is_ok() && dirs()? == 2, "{}", third.log_tail());
        third.stop()?;
        second.stop()?;
        ensure!(dirs()? == 0, "they take their own away");
        ensure!(tables()? == before, "{}", tables()?);
        Ok(())
    })?;
    played.or_else(|why| {
        tarpan_end2end::grounds::skipped("namespaces", &why);
        Ok(())
    })
}
