//! A cluster that lost most of its servers for good goes on with those that are left.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tarpan_api::{Query, calls};
use tarpan_end2end::cluster::nowhere;
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Agent, Lab, eventually};

struct Servers<'a> {
    lab: &'a Lab,
    ports: Vec<u16>,
    all: Vec<Agent>,
}

impl Servers<'_> {
    fn config(&self, i: usize) -> Result<String> {
        let name = format!("server-{}", i + 1);
        let known: Vec<String> = self.ports.chunks(3).map(|ports| format!("\"127.0.0.1:{}\"", ports[2])).collect();
        let ports = &self.ports[3 * i..3 * i + 3];
        let text = format!(
            "name = \"{name}\"\ndata_dir = \"{}\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n\
             server {{\n  enabled = true\n  bootstrap_expect = 3\n  server_join {{\n    retry_join = [{}]\n    retry_interval = \"500ms\"\n  \
             }}\n}}\nautopilot {{\n  server_stabilization_time = \"1s\"\n}}\n",
            self.data(i).display(),
            ports[0],
            ports[1],
            ports[2],
            known.join(", ")
        );
        Ok(self.lab.file(&format!("{name}.hcl"), &text)?.display().to_string())
    }

    fn data(&self, i: usize) -> PathBuf {
        self.lab.path().join(format!("server-{}", i + 1))
    }

    /// Starts one that was not there.
    fn start(&mut self, i: usize) -> Result<()> {
        let config = self.config(i)?;
        let agent = Agent::start(self.lab, &format!("server-{}", i + 1), self.ports[3 * i], &["-config", &config])?;
        self.all.push(agent);
        Ok(())
    }

    fn write(&self, by: usize, job: &str) -> Result<()> {
        let file = self.lab.file(&format!("{job}.hcl"), &nowhere(job))?.display().to_string();
        eventually("a write", PATIENCE, || {
            let done = self.all[by].run(&["job", "run", "-detach", &file])?;
            ensure!(done.code == 0, "{}", done.text());
            Ok(Some(()))
        })
    }

    fn voters(&self, seen_by: usize) -> Result<Vec<(String, String, String)>> {
        let raft = self.all[seen_by].ask(&calls::raft_configuration(&Query::new()))?;
        Ok(raft.servers.into_iter().filter(|s| s.voter).map(|s| (s.node, s.id, s.address)).collect())
    }

    /// The file that lists these servers, as `raft list-peers` has them.
    fn peers(&self, voters: &[(String, String, String)], these: &[usize]) -> Result<String> {
        let lines: Result<Vec<String>> = these
            .iter()
            .map(|i| {
                let name = format!("server-{}.global", i + 1);
                let (_, id, address) = voters.iter().find(|(node, ..)| *node == name).context("it votes")?;
                Ok(format!("{{\"id\": \"{id}\", \"address\": \"{address}\", \"non_voter\": false}}"))
            })
            .collect();
        Ok(format!("[{}]", lines?.join(", ")))
    }

    fn recover(&self, i: usize, peers: &str) -> Result<()> {
        let folder = self.data(i).join("server/raft");
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join("peers.json"), peers)?)
    }

    fn log(&self, i: usize) -> Result<String> {
        Ok(std::fs::read_to_string(&self.all[i].log)?)
    }

    fn says(&self, i: usize, text: &str) -> Result<()> {
        eventually(text, PATIENCE, || Ok(self.log(i)?.contains(text).then_some(())))
            .with_context(|| self.all[i].log_tail())
    }
}

/// Three servers that vote, of `count` for which there are ports.
fn three(lab: &Lab, count: usize) -> Result<Servers<'_>> {
    let mut servers = Servers { lab, ports: free_ports(3 * count)?, all: Vec::new() };
    let configs: Result<Vec<String>> = (0..3).map(|i| servers.config(i)).collect();
    let (configs, ports) = (configs?, servers.ports.clone());
    let started: Result<Vec<Agent>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..3)
            .map(|i| {
                let (config, http) = (&configs[i], ports[3 * i]);
                scope.spawn(move || Agent::start(lab, &format!("server-{}", i + 1), http, &["-config", config]))
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    servers.all = started?;
    eventually("three voters", PATIENCE, || Ok((servers.voters(0)?.len() == 3).then_some(())))?;
    Ok(servers)
}

#[test]
fn the_only_server_that_is_left_goes_on_with_everything_and_takes_in_new_ones() -> Result<()> {
    let lab = Lab::new()?;
    let mut servers = three(&lab, 4)?;
    let jobs: Vec<String> = (0..20).map(|n| format!("job-{n}")).collect();
    for (n, job) in jobs.iter().enumerate() {
        servers.write(n % 3, job)?;
    }
    let voters = servers.voters(0)?;
    // What the first one has of it counts: two are gone from now on.
    eventually("it has all", PATIENCE, || Ok(servers.all[0].knows_job("job-19")?.then_some(())))?;
    servers.all[1].kill9()?;
    servers.all[2].kill9()?;
    let file = lab.file("more.hcl", &nowhere("more"))?.display().to_string();
    let refused = servers.all[0].run(&["job", "run", "-detach", &file])?;
    ensure!(refused.code != 0, "{refused:?}");
    servers.all[0].kill9()?;

    // A file that is no good ends the start, with a sentence.
    servers.recover(0, "[{\"id\": \"1\", \"address\": \"127.0.0.1\"}]")?;
    let refused = servers.all[0].run(&["agent", "-config", &servers.config(0)?])?;
    ensure!(refused.code == 1, "{refused:?}");
    let said = refused.text();
    ensure!(said.contains("entry 1: \"127.0.0.1\" is no address") && said.contains("server/raft/peers.json"), "{said}");

    servers.recover(0, &servers.peers(&voters, &[0])?)?;
    servers.all[0].start_again()?;
    servers.says(0, "the cluster is made of server-1")?;
    for job in &jobs {
        eventually("it is there", PATIENCE, || Ok(servers.all[0].knows_job(job)?.then_some(())))
            .with_context(|| servers.all[0].log_tail())?;
    }
    servers.write(0, "alone")?;
    ensure!(servers.voters(0)?.len() == 1, "{:?}", servers.voters(0)?);

    // A new server gets all of it, and votes.
    servers.start(3)?;
    eventually("the new one votes", PATIENCE, || Ok((servers.voters(0)?.len() == 2).then_some(())))
        .with_context(|| servers.all[0].log_tail())?;
    servers.write(3, "together")?;
    ensure!(servers.all[3].knows_job("job-0")? && servers.all[0].knows_job("together")?);

    // A start later everything is as it was.
    servers.all[0].kill9()?;
    servers.all[0].start_again()?;
    servers.write(0, "later")?;
    ensure!(servers.voters(0)?.len() == 2 && !servers.log(0)?.contains("panic"));
    Ok(())
}

#[test]
fn two_that_are_left_go_on_and_one_with_another_history_stays_out_until_it_is_empty() -> Result<()> {
    let lab = Lab::new()?;
    let mut servers = three(&lab, 3)?;
    servers.write(0, "before")?;
    let voters = servers.voters(0)?;
    // The third goes on with the second while the first is away: so the first one lacks what the two agreed on.
    servers.all[0].kill9()?;
    servers.write(1, "without-the-first")?;
    servers.all[1].kill9()?;
    servers.all[2].kill9()?;

    // The second is lost for good; the other two get the same file.
    let peers = servers.peers(&voters, &[0, 2])?;
    servers.recover(0, &peers)?;
    servers.recover(2, &peers)?;
    servers.all[0].start_again()?;
    servers.all[2].start_again()?;
    servers.write(0, "after")?;
    for i in [0, 2] {
        for job in ["before", "without-the-first", "after"] {
            eventually(job, PATIENCE, || Ok(servers.all[i].knows_job(job)?.then_some(())))
                .with_context(|| servers.all[i].log_tail())?;
        }
    }
    ensure!(servers.voters(0)?.len() == 2, "{:?}", servers.voters(0)?);

    // One of the two is given up, too, while the other lacks what they wrote last: its history goes another way.
    servers.all[0].kill9()?;
    servers.all[2].kill9()?;
    let copy = |from: PathBuf, to: PathBuf| -> Result<()> {
        let done = std::process::Command::new("cp").arg("-a").args([from, to]).status()?;
        ensure!(done.success(), "copied");
        Ok(())
    };
    copy(servers.data(0), lab.path().join("kept"))?;
    servers.all[0].start_again()?;
    servers.all[2].start_again()?;
    servers.write(2, "lost")?;
    eventually("the third has it", PATIENCE, || Ok(servers.all[2].knows_job("lost")?.then_some(())))?;
    servers.all[2].kill9()?;
    servers.all[0].kill9()?;
    std::fs::remove_dir_all(servers.data(0))?;
    copy(lab.path().join("kept"), servers.data(0))?;
    servers.recover(0, &servers.peers(&voters, &[0])?)?;
    servers.all[0].start_again()?;
    servers.write(0, "alone-again")?;
    ensure!(!servers.all[0].knows_job("lost")?);
    servers.all[2].start_again()?;
    servers.says(0, "server-3 is not taken in: what it holds went another way than this cluster")?;
    servers.write(0, "still")?;
    ensure!(servers.voters(0)?.len() == 1, "{:?}", servers.voters(0)?);

    servers.all[2].kill9()?;
    eventually("it is known to have failed", PATIENCE, || {
        Ok(servers.all[0].ok(&["server", "members"])?.contains("failed").then_some(()))
    })?;
    std::fs::remove_dir_all(servers.data(2))?;
    servers.all[2].start_again()?;
    eventually("it votes again", PATIENCE, || Ok((servers.voters(0)?.len() == 2).then_some(())))
        .with_context(|| servers.all[0].log_tail())?;
    eventually("it has all", PATIENCE, || Ok(servers.all[2].knows_job("still")?.then_some(())))?;
    ensure!(!servers.all[2].knows_job("lost")?);
    Ok(())
}
