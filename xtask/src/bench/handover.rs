//! What a planned hand-over among three servers costs who writes: the time in which no write is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tarpan_api::{Query, calls};
use tarpan_end2end::cluster::{Cluster, index};
use tarpan_end2end::lab::{PATIENCE, eventually};
use tarpan_end2end::{Agent, Lab};

/// How long each hand-over took until the next acknowledged write, through a server that led neither before nor after.
pub fn measure(times: usize) -> Result<Vec<Duration>> {
    let lab = Lab::of(&xtask_start::target().join("release"))?;
    let cluster = Cluster::start(&lab, 3)?;
    (0..times).map(|_| once(&cluster)).collect()
}

fn once(cluster: &Cluster) -> Result<Duration> {
    let servers = &cluster.servers;
    eventually("three voters", PATIENCE, || Ok((cluster.voters(0)?.len() == 3).then_some(())))?;
    let leader = cluster.leader(0)?;
    let (next, asked) = ((leader + 1) % 3, (leader + 2) % 3);
    let peers = servers[asked].ask(&calls::raft_configuration(&Query::new()))?.servers;
    let next = peers.into_iter().find(|peer| index(&peer.node) == Some(next)).context("a follower")?.id;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| longest_wait(&servers[asked], &stop));
        std::thread::sleep(Duration::from_millis(300));
        let done = servers[asked].ask(&calls::raft_transfer_leadership(&next, ""));
        std::thread::sleep(Duration::from_millis(700));
        stop.store(true, Ordering::Relaxed);
        done.context("handing over")?;
        writer.join().expect("no panic")
    })
}

/// Writes until told to stop; the longest time from one acknowledged write to the next.
fn longest_wait(server: &Agent, stop: &AtomicBool) -> Result<Duration> {
    let job = json!({ "ID": "hand-over", "Name": "hand-over", "Type": "batch", "Datacenters": ["nowhere"],
        "TaskGroups": [{ "Name": "g", "Count": 0, "Tasks": [{ "Name": "t", "Driver": "mock_driver" }] }] });
    let (mut last, mut longest, mut refused) = (Instant::now(), Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        match server.ask(&calls::register_json(&Query::new(), &job, None)) {
            Ok(_) => {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            Err(_) => refused += 1,
        }
    }
    ensure!(refused == 0, "{refused} writes were refused while the lead changed hands");
    Ok(longest)
}
