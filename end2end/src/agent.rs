//! One running `tarpan agent`, and the command line and API pointed at it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use tarpan_api::client::Raw;
use tarpan_api::wire::{AllocListStub, JobListStub, Node};
use tarpan_api::{Call, Client, Error, Query, calls};

use crate::http::{self, Http};
use crate::lab::{Lab, PATIENCE, eventually};

/// A running agent. It is stopped when dropped.
pub struct Agent {
    bin: PathBuf,
    dir: PathBuf,
    args: Vec<String>,
    path: String,
    place: Place,
    child: Child,
    pub log: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub addr: String,
    /// Of this address: it outlives the process.
    pub client: Client,
}

/// Where an agent runs, if not simply beside the test.
#[derive(Clone, Default)]
pub struct Place {
    /// A command that becomes the one behind it: `nsenter --net=…`.
    pub within: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
}

/// What a command printed.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Agent {
    /// Starts `tarpan agent ARGS` and waits until it answers on `http_port`. Its log is `NAME.log` in the lab.
    pub fn start(lab: &Lab, name: &str, http_port: u16, args: &[&str]) -> Result<Agent> {
        let mut agent = Agent::launch(lab, name, Place::default(), &format!("127.0.0.1:{http_port}"), args)?;
        agent.wait_until_up()?;
        Ok(agent)
    }

    /// Starts `tarpan agent ARGS` at a place, where it is to answer on `http`, an address with its port. Waits for nothing.
    pub fn launch(lab: &Lab, name: &str, place: Place, http: &str, args: &[&str]) -> Result<Agent> {
        let log = lab.path().join(format!("{name}.log"));
        let ptc_dir = lab.ptc.parent().context("ptc lies in a folder")?;
        let path = format!("{}:{}", ptc_dir.display(), std::env::var("PATH").unwrap_or_default());
        let args: Vec<String> = std::iter::once("agent").chain(args.iter().copied()).map(str::to_owned).collect();
        let child = spawn(&lab.bin, &args, &path, &log, &place, &[])?;
        let (bin, dir, addr) = (lab.bin.clone(), lab.path().to_owned(), format!("http://{http}"));
        let client = Http::client(&addr);
        Ok(Agent { bin, dir, args, path, place, child, log, addr, client })
    }

    /// `agent -dev` on free ports; ready when its own node is.
    pub fn dev(lab: &Lab) -> Result<Agent> {
        let ports = crate::lab::free_ports(3)?;
        let config = format!(
            "ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
            ports[0], ports[1], ports[2]
        );
        let config = lab.file("dev.hcl", &config)?;
        let agent = Agent::start(lab, "dev", ports[0], &["-dev", "-config", &config.display().to_string()])?;
        agent.wait_nodes(1)?;
        Ok(agent)
    }

    /// `agent -dev` on free ports of every address, as the first demo starts it: what runs in containers reaches the host's services.
    pub fn dev_for_containers(lab: &Lab) -> Result<Agent> {
        let ports = crate::lab::free_ports(3)?;
        let config = format!("ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n", ports[0], ports[1], ports[2]);
        let config = lab.file("ports.hcl", &config)?.display().to_string();
        let interface = "-network-interface={{ GetDefaultInterfaces | attr \"name\" }}";
        let agent = Agent::start(lab, "dev", ports[0], &["-dev", "-bind", "0.0.0.0", interface, "-config", &config])?;
        agent.wait_nodes(1)?;
        Ok(agent)
    }

    /// Waits until it answers; an error when it has ended.
    pub fn wait_until_up(&mut self) -> Result<()> {
        eventually("the agent to answer", PATIENCE, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended with {status}:\n{}", self.log_tail());
            }
            self.ask(&calls::agent_self()).map(|_| Some(()))
        })
    }

    /// Waits until `count` nodes are ready.
    pub fn wait_nodes(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} ready nodes"), PATIENCE, || {
            let nodes = self.ask(&calls::nodes(&Query::new()))?;
            Ok((nodes.iter().filter(|node| node.status == "ready").count() >= count).then_some(()))
        })
        .with_context(|| self.log_tail())
    }

    /// The last lines of the agent's log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("last lines of {}:\n{}", self.log.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
    }

    /// What the tasks of the newest allocations went through, a line each: why a test waits in vain for one.
    pub fn tasks_tail(&self) -> String {
        let newest = Query { reverse: true, ..Query::new() }.page(40, None).with("task_states", true);
        let mut lines = vec!["what the newest tasks went through:".to_owned()];
        for alloc in self.ask(&calls::allocations(&newest)).unwrap_or_default() {
            for (task, state) in &alloc.task_states {
                let said: Vec<&str> = state.events.iter().map(|event| event.display_message.as_str()).collect();
                lines.push(format!("{} {task} {}: {}", alloc.job_id, alloc.client_status, said.join(" | ")));
            }
        }
        lines.join("\n")
    }

    /// Stops every job, so that no container outlives a test that went wrong. What does not end in time is left.
    pub fn stop_all_jobs(&self) {
        for job in self.ask(&calls::jobs(&Query::new())).unwrap_or_default() {
            let _ = self.run(&["job", "stop", "-purge", "-detach", &job.id]);
        }
        let ended = eventually("every task to end", PATIENCE, || {
            let allocs = self.ask(&calls::allocations(&Query::new()))?;
            Ok(allocs.iter().all(|alloc| alloc.client_status != "running").then_some(()))
        });
        if let Err(why) = ended {
            eprintln!("{why:#}");
        }
    }

    /// The command line, as a user types it after `tarpan`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.bin);
        command
            .args(args)
            .env("NOMAD_ADDR", &self.addr)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .current_dir(&self.dir);
        command
    }

    pub fn run(&self, args: &[&str]) -> Result<Output> {
        let out = self.command(args).output().with_context(|| format!("running tarpan {}", args.join(" ")))?;
        Ok(Output {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> Result<String> {
        let out = self.run(args)?;
        if out.code != 0 {
            bail!("tarpan {} ended with {}:\n{}\n{}", args.join(" "), out.code, out.text(), self.log_tail());
        }
        Ok(out.stdout)
    }

    /// Runs a shell line with `tarpan` on the PATH: for pipelines from guides.
    pub fn shell(&self, line: &str) -> Result<Output> {
        let bin_dir = self.bin.parent().context("the binary lies in a folder")?;
        let out = Command::new("sh")
            .args(["-c", line])
            .env("PATH", format!("{}:{}", bin_dir.display(), std::env::var("PATH").unwrap_or_default()))
            .env("NOMAD_ADDR", &self.addr)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {line}"))?;
        Ok(Output {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Asks by the typed client. An error names the request and says what the server said.
    pub fn ask<T: DeserializeOwned>(&self, call: &Call<T>) -> Result<T> {
        http::ask(&self.client, call)
    }

    /// The lines of an answer as they come.
    pub fn lines(&self, call: &Call<Raw>) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
        http::lines(&self.client, call)
    }

    /// The node of a cluster that has one.
    pub fn only_node(&self) -> Result<Node> {
        let nodes = self.ask(&calls::nodes(&Query::new()))?;
        ensure!(nodes.len() == 1, "there are {} nodes", nodes.len());
        self.ask(&calls::node(&Query::new(), &nodes[0].id))
    }

    /// Is there such a job?
    pub fn knows_job(&self, id: &str) -> Result<bool> {
        match self.ask(&calls::job(&Query::new(), id)) {
            Err(error) if error.downcast_ref().is_some_and(Error::is_not_found) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// What a periodic job has launched.
    pub fn children(&self, job: &str) -> Result<Vec<JobListStub>> {
        self.ask(&calls::jobs(&Query::new().prefix(format!("{job}/periodic-"))))
    }

    /// The allocations of a job, newest first.
    pub fn allocs(&self, job: &str) -> Result<Vec<AllocListStub>> {
        let mut list = self.ask(&calls::job_allocations(&Query::new(), job, false))?;
        list.sort_by_key(|alloc| std::cmp::Reverse(alloc.create_index));
        Ok(list)
    }

    /// Waits for an allocation of `job` with this client status, and gives it.
    pub fn wait_alloc(&self, job: &str, status: &str) -> Result<AllocListStub> {
        eventually(&format!("an allocation of {job} that is {status}"), Duration::from_secs(60), || {
            Ok(self.allocs(job)?.into_iter().find(|alloc| alloc.client_status == status))
        })
        .with_context(|| {
            let state = self.run(&["job", "status", job]).map(|o| o.text()).unwrap_or_default();
            format!("{state}\n{}", self.log_tail())
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill().context("killing the agent")?;
        self.child.wait().context("waiting for the killed agent")?;
        Ok(())
    }

    /// The same command line again, after [`Agent::kill9`] or [`Agent::stop`].
    pub fn start_again(&mut self) -> Result<()> {
        self.start_again_with(&[])
    }

    /// The same with variables in its environment.
    pub fn start_again_with(&mut self, env: &[(&str, &str)]) -> Result<()> {
        self.child = spawn(&self.bin, &self.args, &self.path, &self.log, &self.place, env)?;
        self.wait_until_up()
    }

    /// The same command line again, and waits for nothing.
    pub fn launch_again(&mut self) -> Result<()> {
        self.child = spawn(&self.bin, &self.args, &self.path, &self.log, &self.place, &[])?;
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).with_context(|| format!("sending {signal} to an agent"))
    }

    /// Waits until the agent has died by itself.
    pub fn wait_dead(&mut self) -> Result<()> {
        eventually("the agent to die", Duration::from_secs(60), || Ok(self.child.try_wait()?.map(|_| ())))
            .with_context(|| self.log_tail())
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("looking after the agent")?.is_some())
    }

    /// SIGINT, then at most 20 s for an orderly end.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGINT)
    }

    /// SIGTERM, and waits for the end: a server that is to leave then has left.
    pub fn terminate(&mut self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(signal)?;
        let ended = eventually("the agent to end", PATIENCE, || Ok(self.child.try_wait()?.map(|_| ())));
        if ended.is_err() {
            self.kill9()?;
        }
        ended.with_context(|| self.log_tail())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}

fn spawn(bin: &Path, args: &[String], path: &str, log: &Path, place: &Place, env: &[(&str, &str)]) -> Result<Child> {
    let log =
        File::options().create(true).append(true).open(log).with_context(|| format!("opening {}", log.display()))?;
    let mut words = place.within.iter().map(std::ffi::OsStr::new).chain(std::iter::once(bin.as_os_str()));
    Command::new(words.next().context("a program")?)
        .args(words)
        .args(args)
        .env("PATH", path)
        .envs(place.env.iter().map(|(name, value)| (name, value)))
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", bin.display()))
}
