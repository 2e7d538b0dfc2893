//! The servers and clients, each in a room of its own, and what is done to them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use tarpan_api::{Client, Query, calls};
use tarpan_end2end::disk::Disk;
use tarpan_end2end::history::{Kind, Operation};
use tarpan_end2end::http::{Http, ask};
use tarpan_end2end::lab::{PATIENCE, pids};
use tarpan_end2end::net::{Net, Room};
use tarpan_end2end::wall::{Shim, Wall};
use tarpan_end2end::{Agent, Lab, eventually};

use super::deck::Trouble;

pub const SERVERS: usize = 3;
const NODES: usize = 2;
/// How long somebody who may be paused or cut off is waited for.
const SHORT: Duration = Duration::from_millis(700);

/// A server with all that can be done to it. What is declared first ends first.
struct Server {
    agent: Agent,
    /// Who waits for no paused one.
    client: Client,
    disk: Disk,
    wall: Wall,
    room: Room,
}

impl Server {
    /// How often its log said that the disk is full.
    fn says_no_room(&self) -> Result<usize> {
        Ok(std::fs::read_to_string(&self.agent.log)?.matches("no room").count())
    }
}

struct Node {
    agent: Agent,
    room: Room,
}

pub struct Cluster {
    servers: Vec<Server>,
    nodes: Vec<Node>,
    mark: String,
}

impl Cluster {
    /// Starts all of it at once. Gives how long it took until three voters agreed on who leads.
    pub fn form(lab: &Lab, mut net: Net, shim: &Shim) -> Result<(Cluster, Duration)> {
        let server_rooms = (0..SERVERS).map(|_| net.room()).collect::<Result<Vec<_>>>()?;
        let node_rooms = (0..NODES).map(|_| net.room()).collect::<Result<Vec<_>>>()?;
        let known: Vec<_> = server_rooms.iter().map(|room| room.addr).collect();
        let list = |port| known.iter().map(|addr| format!("\"{addr}:{port}\"")).collect::<Vec<_>>().join(", ");
        let common = |name: &str, room: &Room| {
            let dir = lab.path().join(name);
            let level = std::env::var("TARPAN_LOG_LEVEL").unwrap_or_else(|_| "INFO".to_owned());
            format!(
                "log_level = \"{level}\"\nname = \"{name}\"\ndata_dir = \"{}/data\"\nbind_addr = \"{}\"\n",
                dir.display(),
                room.addr
            )
        };
        let mut places = Vec::new();
        for (n, room) in server_rooms.into_iter().enumerate() {
            let name = format!("server-{n}");
            let text = common(&name, &room)
                + &format!(
                    "server {{\n  enabled = true\n  bootstrap_expect = {SERVERS}\n  raft_snapshot_threshold = 400\n  raft_trailing_logs = 200\n  server_join {{\n    retry_join = [{}]\n    \
                     retry_interval = \"1s\"\n  }}\n}}\n",
                    list(4648)
                );
            let config = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
            let disk = Disk::mount(lab.path().join(&name), "96m")?.context("root may mount")?;
            let wall = Wall::new(lab.path().join(format!("{name}.wall")))?;
            places.push((name, config, disk, wall, room));
        }
        let begun = Instant::now();
        let mut servers = Vec::new();
        for (name, config, disk, wall, room) in places {
            let mut place = room.place();
            place.env.extend(wall.env(shim));
            let agent = Agent::launch(lab, &name, place, &format!("{}:4646", room.addr), &["-config", &config])?;
            let client = Http::client_within(&agent.addr, SHORT);
            servers.push(Server { agent, client, disk, wall, room });
        }
        let mut cluster = Cluster { servers, nodes: Vec::new(), mark: format!("faults-{}", std::process::id()) };
        let formed = eventually("a region of three", PATIENCE, || Ok(cluster.is_formed()?.then(|| begun.elapsed())))
            .with_context(|| cluster.tails())?;
        for (n, room) in node_rooms.into_iter().enumerate() {
            let name = format!("client-{n}");
            let text = common(&name, &room)
                + &format!(
                    "client {{\n  enabled = true\n  servers = [{}]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
                    list(4647)
                );
            let config = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
            let http = format!("{}:4646", room.addr);
            let agent = Agent::launch(lab, &name, room.place(), &http, &["-config", &config])?;
            cluster.nodes.push(Node { agent, room });
        }
        cluster.servers[0].agent.wait_nodes(NODES).with_context(|| cluster.tails())?;
        Ok((cluster, formed))
    }

    /// Does every server say that three vote, and all the same of who leads?
    fn is_formed(&self) -> Result<bool> {
        let mut leaders = BTreeSet::new();
        for server in &self.servers {
            let raft = ask(&server.client, &calls::raft_configuration(&Query { stale: true, ..Query::new() }))?;
            if raft.servers.iter().filter(|server| server.voter).count() != SERVERS {
                return Ok(false);
            }
            leaders.insert(ask(&server.client, &calls::leader())?);
        }
        Ok(leaders.len() == 1 && !leaders.contains(""))
    }

    /// Of each server.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.agent.addr.clone()).collect()
    }

    /// Tasks on both clients; gives their processes.
    pub fn start_tasks(&self) -> Result<BTreeSet<String>> {
        let script = format!(": {}; while :; do sleep 1; done", self.mark);
        let task = json!({
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sh", "args": ["-c", script]},
            "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 1}, "Resources": {"CPU": 20, "MemoryMB": 10}
        });
        let server = &self.servers[0].agent;
        for (id, kind, count) in [("steady-everywhere", "system", 0), ("steady-service", "service", 4)] {
            let job = json!({"ID": id, "Name": id, "Type": kind, "Datacenters": ["*"], "TaskGroups": [{
                "Name": "g", "Count": count.max(1), "EphemeralDisk": {"SizeMB": 10}, "Tasks": [task]
            }]});
            server.ask(&calls::register_json(&Query::new(), &job, None))?;
        }
        eventually("the tasks to run", PATIENCE, || {
            let all = [server.allocs("steady-everywhere")?, server.allocs("steady-service")?].concat();
            let running = all.iter().filter(|alloc| alloc.client_status == "running").count();
            Ok((running == NODES + 4).then(|| self.tasks()).filter(|tasks| tasks.len() == running))
        })
        .with_context(|| self.tails())
    }

    /// The processes of tasks.
    pub fn tasks(&self) -> BTreeSet<String> {
        pids(&format!("^/bin/sh -c : {}; while", self.mark)).into_iter().collect()
    }

    /// Which server leads, as most say.
    pub fn leader(&self) -> Option<usize> {
        let said = self.servers.iter().filter_map(|server| ask(&server.client, &calls::leader()).ok());
        let said: Vec<usize> = said
            .filter_map(|leader| self.servers.iter().position(|server| leader == format!("{}:4647", server.room.addr)))
            .collect();
        (0..SERVERS).max_by_key(|n| said.iter().filter(|s| *s == n).count()).filter(|n| said.contains(n))
    }

    /// The last lines of every log.
    pub fn tails(&self) -> String {
        let agents = self.servers.iter().map(|s| &s.agent).chain(self.nodes.iter().map(|n| &n.agent));
        agents.map(Agent::log_tail).collect::<Vec<_>>().join("\n")
    }

    fn others(&self, target: usize) -> impl Iterator<Item = &Room> {
        let servers =
            self.servers.iter().enumerate().filter(move |(n, _)| *n != target).map(|(_, server)| &server.room);
        servers.chain(self.nodes.iter().map(|node| &node.room))
    }

    /// A fault from its beginning to its end. Gives when it was over.
    pub fn inflict(&mut self, trouble: Trouble, target: usize, lasts: Duration) -> Result<Instant> {
        let over = match trouble {
            Trouble::Kill => self.kill(&[target], lasts)?,
            Trouble::KillAll => self.kill(&[0, 1, 2], lasts)?,
            Trouble::Pause => {
                self.servers[target].agent.signal(Signal::SIGSTOP)?;
                std::thread::sleep(lasts);
                self.servers[target].agent.signal(Signal::SIGCONT)?;
                Instant::now()
            }
            Trouble::CutOff | Trouble::Deaf | Trouble::Mute | Trouble::Shatter => {
                self.cut(trouble, target)?;
                std::thread::sleep(lasts);
                self.servers.iter().try_for_each(|server| server.room.hears_all())?;
                self.nodes.iter().try_for_each(|node| node.room.hears_all())?;
                Instant::now()
            }
            Trouble::Full => self.fill(&[target], lasts)?,
            Trouble::FullAll => self.fill(&[0, 1, 2], lasts)?,
            Trouble::FullStart => self.start_without_room(target, lasts)?,
            Trouble::Forward | Trouble::Back => {
                let seconds = i64::try_from(lasts.as_millis())?; // some hours
                self.servers[target].wall.step(if trouble == Trouble::Forward { seconds } else { -seconds })?;
                Instant::now()
            }
        };
        for server in &mut self.servers {
            ensure!(!server.agent.has_ended()?, "a server ended by itself\n{}", server.agent.log_tail());
        }
        Ok(over)
    }

    fn kill(&mut self, targets: &[usize], lasts: Duration) -> Result<Instant> {
        for target in targets {
            self.servers[*target].agent.kill9()?;
        }
        std::thread::sleep(lasts);
        for target in targets {
            self.servers[*target].agent.launch_again()?;
        }
        Ok(Instant::now())
    }

    fn cut(&self, trouble: Trouble, target: usize) -> Result<()> {
        let room = &self.servers[target].room;
        if matches!(trouble, Trouble::CutOff | Trouble::Deaf) {
            room.hears_not(self.others(target))?;
        }
        if matches!(trouble, Trouble::CutOff | Trouble::Mute) {
            self.others(target).try_for_each(|other| other.hears_not([room]))?;
        }
        if trouble == Trouble::Shatter {
            for (n, server) in self.servers.iter().enumerate() {
                let others = self.servers.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| &other.room);
                server.room.hears_not(others)?;
            }
        }
        Ok(())
    }

    /// Whoever has filled the disks takes whatever is given back meanwhile.
    fn fill(&self, targets: &[usize], lasts: Duration) -> Result<Instant> {
        let begun = Instant::now();
        let before = targets.iter().map(|target| self.servers[*target].says_no_room()).collect::<Result<Vec<_>>>()?;
        loop {
            targets.iter().try_for_each(|target| self.servers[*target].disk.fill())?;
            let now = targets.iter().map(|target| self.servers[*target].says_no_room()).collect::<Result<Vec<_>>>()?;
            let all_say_it = now.iter().zip(&before).all(|(now, before)| now > before);
            if all_say_it && begun.elapsed() >= lasts {
                break;
            }
            ensure!(begun.elapsed() < lasts + PATIENCE, "not all of {targets:?} say that there is no room");
            std::thread::sleep(Duration::from_millis(50));
        }
        targets.iter().try_for_each(|target| self.servers[*target].disk.free())?;
        Ok(Instant::now())
    }

    /// A server that comes back to a full disk waits, or ends with a sentence; with room it comes.
    fn start_without_room(&mut self, target: usize, lasts: Duration) -> Result<Instant> {
        let server = &mut self.servers[target];
        server.agent.kill9()?;
        server.disk.fill()?;
        let before = server.says_no_room()?;
        server.agent.launch_again()?;
        std::thread::sleep(lasts);
        server.disk.fill()?;
        let ended = server.agent.has_ended()?;
        ensure!(server.says_no_room()? > before, "it says nothing of the disk\n{}", server.agent.log_tail());
        server.disk.free()?;
        if ended {
            println!("          it had ended");
            server.agent.launch_again()?;
        }
        Ok(Instant::now())
    }

    /// Every server has whatever was acknowledged, and all three vote.
    pub fn agree(&self, operations: &[Operation]) -> Result<()> {
        let appended = operations.iter().filter(|op| op.kind == Kind::Append && op.end.is_some());
        let appended: BTreeSet<String> = appended.map(|op| format!("{}{}", op.key, op.value)).collect();
        for server in &self.servers {
            eventually("everything on every server", PATIENCE, || {
                let jobs = server.agent.ask(&calls::jobs(&Query { stale: true, ..Query::new() }))?;
                let known: BTreeSet<String> = jobs.into_iter().map(|job| job.id).collect();
                let missing: Vec<_> = appended.difference(&known).collect();
                ensure!(missing.is_empty(), "{} lacks {missing:?}", server.agent.addr);
                Ok(Some(()))
            })?;
        }
        eventually("three voters", PATIENCE, || Ok(self.is_formed()?.then_some(()))).with_context(|| self.tails())
    }

    pub fn end(self) -> Result<()> {
        for job in ["steady-everywhere", "steady-service"] {
            self.servers[0].agent.ask(&calls::stop_job(&Query::new(), job, true))?;
        }
        eventually("the tasks to end", PATIENCE, || Ok(self.tasks().is_empty().then_some(())))
            .with_context(|| self.tails())
    }
}

/// A paused server does not end when it is asked to.
impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &self.servers {
            let _ = server.agent.signal(Signal::SIGCONT);
            let _ = server.disk.free();
        }
    }
}
