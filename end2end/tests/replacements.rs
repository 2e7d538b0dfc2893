//! Servers that come, go and come back while others write: all three replaced, one with an empty disk, one that was away for long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tarpan_api::{Client, Query, calls};
use tarpan_end2end::cluster::Cluster;
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::{Agent, Lab, eventually, http};

/// Is kept by the servers and placed nowhere.
fn job(id: &str) -> Value {
    json!({ "ID": id, "Name": id, "Type": "batch", "Datacenters": ["nowhere"],
        "TaskGroups": [{ "Name": "g", "Count": 0, "Tasks": [{ "Name": "t", "Driver": "raw_exec", "Config": { "command": "true" } }] }] })
}

/// Writes jobs without end from some threads at once, as a proxy would hand them to the servers behind it.
struct Writers {
    servers: RwLock<Vec<Client>>,
    stop: AtomicBool,
    written: AtomicUsize,
    /// Jobs of these numbers were acknowledged, and what was said where one was not.
    acknowledged: Mutex<Vec<usize>>,
    refused: Mutex<Vec<String>>,
}

/// The ids go round, so that the list of jobs stays short.
const IDS: usize = 500;

impl Writers {
    fn new(servers: &[&Agent]) -> Writers {
        let writers = Writers {
            servers: RwLock::default(),
            stop: AtomicBool::new(false),
            written: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
            refused: Mutex::default(),
        };
        writers.behind(servers);
        writers
    }

    /// Waits for what is on its way; what comes then goes to these.
    fn behind(&self, servers: &[&Agent]) {
        *self.servers.write().expect("no panic") = servers.iter().map(|s| http::Http::client(&s.addr)).collect();
    }

    fn write(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let servers = self.servers.read().expect("no panic");
            let n = self.written.fetch_add(1, Ordering::Relaxed);
            let call = calls::register_json(&Query::new(), &job(&format!("write-{}", n % IDS)), None);
            match http::ask(&servers[n % servers.len()], &call) {
                Ok(_) => self.acknowledged.lock().expect("no panic").push(n),
                Err(error) => self.refused.lock().expect("no panic").push(format!("{error:#}")),
            }
        }
    }

    /// Runs `work` while others write.
    fn during<T>(&self, threads: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.write())).collect();
            let done = work();
            self.stop.store(true, Ordering::Relaxed);
            writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
            done
        })
    }

    /// Every write was acknowledged, and is there.
    fn check(&self, server: &Agent) -> Result<()> {
        let refused = self.refused.lock().expect("no panic");
        ensure!(refused.is_empty(), "{} writes were refused; the first: {}", refused.len(), refused[0]);
        let acknowledged = self.acknowledged.lock().expect("no panic").len();
        let there = server.ask(&calls::jobs(&Query { prefix: Some("write-".to_owned()), ..Query::new() }))?.len();
        ensure!(there == acknowledged.min(IDS), "{there} jobs of {acknowledged} writes");
        Ok(())
    }
}

/// The index of the newest entry that a server has applied.
fn applied(server: &Agent) -> Result<u64> {
    figure(server, "applied_index")
}

/// What a server says of its raft.
fn figure(server: &Agent, name: &'static str) -> Result<u64> {
    let stats = server.ask(&calls::agent_self())?.stats;
    stats.get("raft").and_then(|raft| raft.get(name)).context(name)?.parse().context(name)
}

fn wait_voters(cluster: &Cluster, seen_by: usize, voters: &[usize]) -> Result<()> {
    eventually(&format!("{voters:?} to vote"), PATIENCE, || Ok((cluster.voters(seen_by)? == voters).then_some(())))
        .with_context(|| cluster.servers.iter().map(Agent::log_tail).collect::<Vec<_>>().join("\n"))
}

#[test]
fn three_servers_are_replaced_without_a_refused_write() -> Result<()> {
    let lab = Lab::new()?;
    let mut cluster = Cluster::start(&lab, 3)?;
    wait_voters(&cluster, 0, &[0, 1, 2])?;
    let writers = Writers::new(&cluster.servers.iter().collect::<Vec<_>>());
    writers.during(4, || {
        for old in 0..3 {
            let new = cluster.add(&lab)?;
            let all: Vec<usize> = (old..=new).collect();
            wait_voters(&cluster, new, &all)?;
            // As a proxy does: nothing is sent any more to the one that is to go.
            writers.behind(&cluster.servers[old + 1..].iter().collect::<Vec<_>>());
            cluster.servers[old].terminate()?;
            wait_voters(&cluster, new, &all[1..])?;
        }
        Ok(())
    })?;
    println!("{} writes while all servers were replaced", writers.written.load(Ordering::Relaxed));
    for server in &cluster.servers[3..] {
        writers.check(server)?;
    }
    Ok(())
}

/// Entries that are written while a server is away.
fn missed() -> u64 {
    if std::env::var_os("TARPAN_LONG").is_some() { 50_000 } else { 3_000 }
}

#[test]
fn who_was_away_or_lost_its_disk_catches_up_while_others_write() -> Result<()> {
    let lab = Lab::new()?;
    // Less is kept of the log than is missed: what is missing comes as a snapshot.
    let mut cluster = Cluster::start_with(&lab, 3, "  raft_snapshot_threshold = 1000\n  raft_trailing_logs = 500\n")?;
    wait_voters(&cluster, 0, &[0, 1, 2])?;
    let away = (cluster.leader(0)? + 1) % 3;
    let mut gone = cluster.servers.remove(away);
    let rest: Vec<&Agent> = cluster.servers.iter().collect();
    let (first, then) = (rest[0], rest[1]);
    let writers = Writers::new(&[first, then]);
    writers.during(16, || {
        gone.kill9()?;
        let (begun, before) = (Instant::now(), applied(first)?);
        let until = before + missed();
        eventually("many entries", Duration::from_secs(900), || Ok((applied(first)? >= until).then_some(())))?;
        let (entries, written) = (applied(first)? - before, writers.written.load(Ordering::Relaxed));
        println!("{entries} entries, {:.0} writes/s", written as f64 / begun.elapsed().as_secs_f64());
        gone.start_again()?;
        caught_up("it was away", &gone, first)?;

        // Its disk is gone: it joins as one that was never there.
        gone.kill9()?;
        std::fs::remove_dir_all(lab.path().join(format!("server-{}", away + 1)))?;
        gone.start_again()?;
        caught_up("its disk was lost", &gone, first)
    })?;
    for server in [first, then, &gone] {
        eventually("every write is there", PATIENCE, || writers.check(server).map(Some))?;
    }
    Ok(())
}

/// Waits until a server has what another one had when it began, and votes.
fn caught_up(what: &str, server: &Agent, other: &Agent) -> Result<()> {
    let begun = Instant::now();
    let there = applied(other)?;
    eventually("it has caught up", PATIENCE, || Ok((applied(server)? >= there).then_some(())))
        .with_context(|| format!("{}\n{}", server.log_tail(), other.log_tail()))?;
    let entries = begun.elapsed();
    let own = server.ask(&calls::agent_self())?.member;
    let id = own.tags.get("id").context("an id")?;
    eventually("it votes", PATIENCE, || {
        let raft = server.ask(&calls::raft_configuration(&Query::new()))?;
        Ok((raft.servers.len() == 3 && raft.servers.iter().any(|s| s.voter && s.id == *id)).then_some(()))
    })
    .with_context(|| server.log_tail())?;
    println!("{what}: has what there was after {entries:?}, votes after {:?}", begun.elapsed());
    Ok(())
}

/// How long all cores are kept busy.
fn busy() -> Duration {
    Duration::from_secs(if std::env::var_os("TARPAN_LONG").is_some() { 600 } else { 20 })
}

/// More callers than the machine has room for: everything is late, and nobody takes the leader for dead.
#[test]
fn under_full_load_the_leader_stays() -> Result<()> {
    let lab = Lab::new()?;
    let cluster = Cluster::start(&lab, 3)?;
    wait_voters(&cluster, 0, &[0, 1, 2])?;
    let terms = || cluster.servers.iter().map(|server| figure(server, "term")).collect::<Result<Vec<_>>>();
    let (leader, before) = (cluster.leader(0)?, terms()?);
    let writers = Writers::new(&cluster.servers.iter().collect::<Vec<_>>());
    writers.during(64, || {
        #[allow(clippy::disallowed_methods, reason = "a thread that has nothing else to do")]
        std::thread::sleep(busy());
        Ok(())
    })?;
    let written = writers.written.load(Ordering::Relaxed);
    println!("{written} writes in {:?}, term {before:?} before and {:?} after", busy(), terms()?);
    ensure!((leader, before) == (cluster.leader(0)?, terms()?), "another leader was elected while all were busy");
    cluster
        .servers
        .iter()
        .try_for_each(|server| eventually("every write", PATIENCE, || writers.check(server).map(Some)))
}
