//! Three servers and a client as processes of their own, from configuration files as guides show them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tarpan_api::{Query, calls};
use tarpan_end2end::browser::Browser;
use tarpan_end2end::cluster::{Cluster, config, nowhere};
use tarpan_end2end::lab::{PATIENCE, free_ports, pids};
use tarpan_end2end::proxy::Proxy;
use tarpan_end2end::{Agent, Lab, eventually};

const JOB: &str = r#"
job "counter" {
  group "g" {
    task "count" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", ": MARK; while true; do date; sleep 0.2; done"]
      }
    }
  }
}
"#;

/// Registers a job, as soon as that is possible.
fn write(server: &Agent, job: &str) -> Result<()> {
    eventually("a write", PATIENCE, || {
        let done = server.run(&["job", "run", "-detach", job])?;
        ensure!(done.code == 0, "{}", done.text());
        Ok(Some(()))
    })
}

#[test]
fn a_region_of_three_forms_and_goes_on_without_its_leader() -> Result<()> {
    let lab = Lab::new()?;
    let begun = Instant::now();
    let mut cluster = Cluster::start(&lab, 3)?;
    let first = cluster.leader(0)?;
    let formed = begun.elapsed();
    let client = cluster.client(&lab)?;
    cluster.servers[0].wait_nodes(1).with_context(|| client.log_tail())?;
    println!("formed after {formed:?}");

    // Whoever is asked takes the job, and shows its output.
    let mark = format!("MARK-{}", std::process::id());
    let job = lab.file("counter.hcl", &JOB.replace("MARK", &mark))?;
    let other = (first + 1) % 3;
    cluster.servers[other].ok(&["job", "run", &job.display().to_string()])?;
    let alloc = cluster.servers[other].wait_alloc("counter", "running")?;
    for server in &cluster.servers {
        let logs = server.ok(&["alloc", "logs", "-tail", "-n", "1", &alloc.id])?;
        ensure!(logs.contains("20"), "{logs}");
        ensure!(server.ok(&["server", "members"])?.matches("alive").count() == 3);
    }
    let running = || pids(&format!(": {mark}; while true; do date"));
    let tasks = running();
    ensure!(!tasks.is_empty(), "the task has a process");
    let after = lab.file("after.hcl", &nowhere("after"))?.display().to_string();

    // The leader dies: the next write is taken soon, the task does not notice.
    cluster.servers[first].kill9()?;
    let begun = Instant::now();
    write(&cluster.servers[other], &after)?;
    println!("written {:?} after the leader's death", begun.elapsed());
    let second = cluster.leader(other)?;
    ensure!(second != first, "another one leads");
    eventually("it is known to have failed", PATIENCE, || {
        Ok(cluster.servers[other].ok(&["server", "members"])?.contains("failed").then_some(()))
    })?;
    let logs = cluster.servers[other].ok(&["alloc", "logs", "-tail", "-n", "1", &alloc.id])?;
    ensure!(logs.contains("20"), "{logs}");

    // It comes back, and votes again.
    cluster.servers[first].start_again()?;
    eventually("three voters again", PATIENCE, || Ok((cluster.voters(other)?.len() == 3).then_some(())))?;
    eventually("it has what was written meanwhile", PATIENCE, || {
        Ok(cluster.servers[first].knows_job("after")?.then_some(()))
    })?;

    // An operator has it lead again.
    let peers = cluster.servers[other].ask(&calls::raft_configuration(&Query::new()))?;
    let name = format!("server-{}.global", first + 1);
    let id = &peers.servers.iter().find(|s| s.node == name).context("it is a peer")?.id;
    let said = cluster.servers[other].ok(&["operator", "raft", "transfer-leadership", "-peer-id", id])?;
    ensure!(said.contains(&format!("Transferred leadership to peer with id {id:?}")), "{said}");
    // The others hear of it with its first word.
    eventually("the one that was named leads", PATIENCE, || Ok((cluster.leader(other)? == first).then_some(())))?;
    ensure!(running() == tasks, "the task ran on");

    // Without a majority every server says so in time, and still shows what it knows.
    let third = 3 - first - other;
    cluster.servers[first].kill9()?;
    cluster.servers[third].kill9()?;
    let begun = Instant::now();
    let refused = cluster.servers[other].run(&["job", "stop", "-detach", "counter"])?;
    ensure!(refused.code != 0 && begun.elapsed() < Duration::from_secs(20), "{refused:?} after {:?}", begun.elapsed());
    ensure!(refused.text().contains("No majority") || refused.text().contains("No cluster leader"), "{refused:?}");
    let stale = cluster.servers[other].ask(&calls::jobs(&Query { stale: true, ..Query::new() }))?;
    ensure!(stale.iter().any(|job| job.id == "counter"));
    cluster.servers[first].start_again()?;
    cluster.servers[third].start_again()?;
    write(&cluster.servers[other], &after)?;
    ensure!(running() == tasks, "the task ran on");
    cluster.servers[other].stop_all_jobs();
    Ok(())
}

#[test]
fn a_server_with_another_key_is_refused_and_both_say_so() -> Result<()> {
    let lab = Lab::new()?;
    let ports = free_ports(6)?;
    let server = |name: &str, ports: &[u16], key: &str, join: u16| {
        config(&lab, name, ports)
            + &format!(
                "server {{\n  enabled = true\n  bootstrap_expect = 1\n  encrypt = \"{key}\"\n  server_join {{\n    \
                 retry_join = [\"127.0.0.1:{join}\"]\n    retry_interval = \"500ms\"\n  }}\n}}\n"
            )
    };
    let one = lab.file("one.hcl", &server("one", &ports[..3], "MDEyMzQ1Njc4OWFiY2RlZg==", ports[2]))?;
    let two = lab.file("two.hcl", &server("two", &ports[3..], "ZmVkY2JhOTg3NjU0MzIxMA==", ports[2]))?;
    let one = Agent::start(&lab, "one", ports[0], &["-config", &one.display().to_string()])?;
    let two = Agent::start(&lab, "two", ports[3], &["-config", &two.display().to_string()])?;
    let says = |agent: &Agent, text: &str| {
        eventually(text, PATIENCE, || Ok(std::fs::read_to_string(&agent.log)?.contains(text).then_some(())))
    };
    says(&one, "are refused: they are encrypted with a key that is not in the keyring of this server")?;
    says(&two, "refuses this server's gossip datagrams: they are encrypted with a key that is not in its keyring")?;
    let joined = two.run(&["server", "join", &format!("127.0.0.1:{}", ports[2])])?;
    ensure!(joined.code == 1 && joined.text().contains("not in its keyring"), "{joined:?}");
    ensure!(one.ask(&calls::members())?.members.len() == 1);
    Ok(())
}

/// What servers agree on, as each lists it: jobs and nodes.
fn listed(server: &Agent) -> Result<(Vec<String>, Vec<String>)> {
    let jobs = server.ask(&calls::jobs(&Query::new()))?.into_iter().map(|job| job.id).collect();
    let nodes = server.ask(&calls::nodes(&Query::new()))?.into_iter().map(|node| node.name).collect();
    Ok((jobs, nodes))
}

#[test]
fn the_state_of_one_region_is_restored_in_another() -> Result<()> {
    let lab = Lab::new()?;
    let here = Agent::dev(&lab)?;
    let mark = format!("MARK-S{}", std::process::id());
    let job = lab.file("counter.hcl", &JOB.replace("MARK", &mark))?.display().to_string();
    here.ok(&["job", "run", &job])?;
    let file = lab.path().join("here.snap").display().to_string();
    let said = here.ok(&["operator", "snapshot", "save", &file])?;
    ensure!(said.contains(&format!("State file written to {file}")), "{said}");
    let shown = here.ok(&["operator", "snapshot", "inspect", &file])?;
    ensure!(shown.contains("Index") && shown.contains("allocs") && shown.contains("root_keys"), "{shown}");
    here.stop_all_jobs();

    let cluster = Cluster::start(&lab, 3)?;
    let client = cluster.client(&lab)?;
    let [one, two, three] = &cluster.servers[..] else { unreachable!("three were started") };
    one.wait_nodes(1).with_context(|| client.log_tail())?;
    let after = lab.file("after.hcl", &nowhere("after"))?.display().to_string();
    write(one, &after)?;

    // Nothing that is not whole changes anything, whoever checks it.
    let whole = std::fs::read(&file)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let before = listed(one)?;
    for (name, bytes, why) in [
        ("flipped", &flipped[..], "damaged or cut off"),
        ("cut", &whole[..whole.len() - 9], "damaged or cut off"),
        ("foreign", b"job \"web\" {}", "it is no gzip file"),
    ] {
        let bad = lab.path().join(name);
        std::fs::write(&bad, bytes)?;
        let refused = two.run(&["operator", "snapshot", "restore", &bad.display().to_string()])?;
        ensure!(refused.code == 1 && refused.text().contains(why), "{refused:?}");
        let sent = two.ask(&calls::restore_snapshot(bytes.to_vec().into())).expect_err("refused");
        let sent = format!("{sent:#}");
        ensure!(sent.contains(why), "{sent}");
        let now = listed(one)?;
        ensure!(now == before, "{name}: {now:?} after {before:?}");
    }

    // A follower is asked: all three have it, and the client of this region takes the work of the node that is not here.
    let follower = if cluster.leader(0)? == 1 { three } else { two };
    let said = follower.ok(&["operator", "snapshot", "restore", &file])?;
    ensure!(said.contains("Snapshot Restored"), "{said}");
    ensure!(follower.knows_job("counter")? && !follower.knows_job("after")?);
    eventually("the client is known again", PATIENCE, || {
        Ok(listed(follower)?.1.contains(&"client".to_owned()).then_some(()))
    })
    .with_context(|| client.log_tail())?;
    let alloc = eventually("the job runs here", PATIENCE * 2, || {
        let allocs = follower.allocs("counter")?;
        Ok(allocs.into_iter().find(|a| a.client_status == "running" && a.node_name == "client"))
    })?;
    let tasks = pids(&format!(": {mark}; while true; do date"));
    ensure!(!tasks.is_empty(), "{alloc:?}");
    for server in [one, two, three] {
        eventually("all servers list the same", PATIENCE, || Ok((listed(server)? == listed(follower)?).then_some(())))?;
    }

    // Its own state of a moment ago: what came since goes, what ran runs on.
    let own = lab.path().join("own.snap").display().to_string();
    one.ok(&["operator", "snapshot", "save", &own])?;
    write(one, &after)?;
    one.ok(&["operator", "snapshot", "restore", &own])?;
    ensure!(!one.knows_job("after")? && one.knows_job("counter")?);
    write(two, &after)?;
    let running = || pids(&format!(": {mark}; while true; do date"));
    ensure!(three.knows_job("after")? && running() == tasks, "the task ran on");

    // What had ended when a state is put back in which it runs: its agent says so again, and the next look at the job places another one.
    let alloc = one.wait_alloc("counter", "running")?.id;
    one.ok(&["job", "stop", "counter"])?;
    eventually("it ended", PATIENCE, || Ok(running().is_empty().then_some(())))?;
    one.ok(&["operator", "snapshot", "restore", &own])?;
    eventually("its end is known again", PATIENCE, || {
        Ok(one.allocs("counter")?.into_iter().find(|a| a.id == alloc && a.client_status == "complete"))
    })?;
    one.ok(&["job", "eval", "-detach", "counter"])?;
    eventually("it runs again", PATIENCE, || Ok((!running().is_empty()).then_some(())))?;
    Ok(())
}

#[test]
fn a_restored_state_survives_every_servers_death() -> Result<()> {
    let lab = Lab::new()?;
    let mut cluster = Cluster::start(&lab, 3)?;
    let after = lab.file("after.hcl", &nowhere("after"))?.display().to_string();
    write(&cluster.servers[0], &after)?;
    let file = lab.path().join("own.snap").display().to_string();
    cluster.servers[0].ok(&["operator", "snapshot", "save", &file])?;
    cluster.servers[0].ok(&["job", "stop", "-purge", "-detach", "after"])?;
    cluster.servers[0].ok(&["operator", "snapshot", "restore", &file])?;
    cluster.servers.iter_mut().try_for_each(Agent::kill9)?;
    cluster.servers.iter_mut().try_for_each(Agent::start_again)?;
    for server in &cluster.servers {
        eventually("it is there", PATIENCE, || Ok(server.knows_job("after").unwrap_or(false).then_some(())))?;
    }
    Ok(())
}

#[test]
fn the_key_of_gossip_is_changed_everywhere_and_outlives_a_server() -> Result<()> {
    let lab = Lab::new()?;
    let mut cluster = Cluster::start(&lab, 3)?;
    let (old, new) = ("MDEyMzQ1Njc4OWFiY2RlZg==", "ZmVkY2JhOTg3NjU0MzIxMA==");
    cluster.leader(0)?;
    eventually("all know all", PATIENCE, || {
        let all = cluster.servers.iter().map(|s| Ok(s.ok(&["server", "members"])?.matches("alive").count()));
        Ok((all.collect::<Result<Vec<_>>>()? == [3, 3, 3]).then_some(()))
    })?;
    let keyring = |cluster: &Cluster, server: usize, args: &[&str]| {
        cluster.servers[server].run(&[&["operator", "gossip", "keyring"], args].concat())
    };
    let used = keyring(&cluster, 0, &["use", new])?;
    ensure!(used.code == 1 && used.text().contains("install it first"), "{used:?}");
    for (server, args, keys) in
        [(0, ["install", new], vec![old, new]), (1, ["use", new], vec![old, new]), (2, ["remove", old], vec![new])]
    {
        let done = keyring(&cluster, server, &args)?;
        ensure!(done.code == 0, "{done:?}");
        let listed = keyring(&cluster, 0, &["list"])?;
        ensure!(listed.code == 0 && listed.stdout.contains("Gathering installed encryption keys..."), "{listed:?}");
        let shown: Vec<&str> = listed.stdout.lines().skip(2).collect();
        ensure!(shown == keys, "{shown:?}");
    }
    let refused = keyring(&cluster, 1, &["remove", new])?;
    ensure!(refused.code == 1 && refused.text().contains("use another one first"), "{refused:?}");
    // Its configuration still has the old key.
    cluster.servers[1].kill9()?;
    eventually("it is known to have failed", PATIENCE, || {
        Ok(cluster.servers[0].ok(&["server", "members"])?.contains("failed").then_some(()))
    })?;
    cluster.servers[1].start_again()?;
    eventually("it is back", PATIENCE, || {
        Ok((cluster.servers[0].ok(&["server", "members"])?.matches("alive").count() == 3).then_some(()))
    })?;
    Ok(())
}

#[test]
fn servers_in_the_browser() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let cluster = Cluster::start(&lab, 3)?;
    eventually("three voters that are well", PATIENCE, || {
        let health = cluster.servers[0].ask(&calls::servers_health())?;
        Ok((health.healthy && health.voters.len() == 3).then_some(()))
    })?;
    browser.play(&lab, &cluster.servers[0], "servers.spec.ts", lab.path(), &[])
}

/// Waits until the browser's part asks for `what`, does it, and says so.
fn when_asked(lab: &Lab, what: &str, done: impl FnOnce() -> Result<()>) -> Result<()> {
    eventually(&format!("the browser to ask for {what:?}"), PATIENCE * 2, || {
        Ok(lab.path().join(what).exists().then_some(()))
    })?;
    done()?;
    lab.file(&format!("{what}.done"), "").map(|_| ())
}

#[test]
fn a_page_goes_on_when_its_server_dies() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let mut cluster = Cluster::start(&lab, 3)?;
    let job =
        |name: &str| Ok::<_, anyhow::Error>(lab.file(&format!("{name}.hcl"), &nowhere(name))?.display().to_string());
    let [before, after, later] = ["before", "after", "later"].map(job);
    write(&cluster.servers[0], &before?)?;
    let (mut dies, other) = (cluster.servers.remove(0), cluster.servers.remove(0));
    let proxy = Proxy::to(&dies)?;
    let asked = lab.path().display().to_string();
    std::thread::scope(|scope| {
        let helper = scope.spawn(|| {
            when_asked(&lab, "kill", || dies.kill9())?;
            write(&other, &after?)?;
            when_asked(&lab, "turn", || proxy.turn_to(&other))?;
            when_asked(&lab, "write", || write(&other, &later?))
        });
        let env = [("TARPAN_ADDR", &*proxy.addr()), ("TARPAN_ASKED", &*asked)];
        browser.play(&lab, &other, "failover.spec.ts", lab.path(), &env)?;
        helper.join().expect("no panic")
    })
}

/// A region of one agent that is server and client, which joins whoever gossips at `join`.
fn region(lab: &Lab, name: &str, ports: &[u16], join: u16) -> Result<Agent> {
    let text = config(lab, name, ports)
        + &format!(
            "region = \"{name}\"\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n  server_join {{\n    \
             retry_join = [\"127.0.0.1:{join}\"]\n    retry_interval = \"500ms\"\n  }}\n}}\n\
             client {{\n  enabled = true\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n"
        );
    let file = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
    Agent::start(lab, name, ports[0], &["-config", &file])
}

#[test]
fn what_is_in_another_region_is_run_seen_and_stopped_from_here() -> Result<()> {
    let lab = Lab::new()?;
    let ports = free_ports(6)?;
    let (east, west) = std::thread::scope(|scope| {
        let east = scope.spawn(|| region(&lab, "east", &ports[..3], ports[5]));
        let west = region(&lab, "west", &ports[3..], ports[2]);
        (east.join().expect("no panic"), west)
    });
    let (east, west) = (east?, west?);
    eventually("both know both regions", PATIENCE, || {
        let both = ["east".to_owned(), "west".to_owned()];
        Ok((east.ask(&calls::regions())? == both && west.ask(&calls::regions())? == both).then_some(()))
    })?;
    west.wait_nodes(1)?;
    let mark = format!("MARK-R{}", std::process::id());
    let job = lab.file("counter.hcl", &JOB.replace("MARK", &mark))?.display().to_string();
    east.ok(&["job", "run", "-region", "west", &job])?;
    let alloc = west.wait_alloc("counter", "running")?.id;
    ensure!(!east.knows_job("counter")?, "it is the other region's alone");
    ensure!(east.ok(&["job", "status", "-region", "west", "counter"])?.contains("running"));
    // Logs as they come, from the other region.
    let followed =
        east.shell(&format!("timeout 60 tarpan alloc logs -region west -f -tail -n 1 {alloc} | head -n 4"))?;
    ensure!(followed.stdout.lines().count() == 4 && followed.stdout.contains(":"), "{followed:?}");
    // A command in the task, with what is typed and what it says: its socket leads through this region's server.
    let typed = east.shell(&format!(
        "printf 'over there\\n' | timeout 60 tarpan alloc exec -region west -i -t=false {alloc} /bin/sh -c 'read line; echo \"heard $line\"; exit 7'"
    ))?;
    ensure!(typed.code == 7 && typed.stdout.trim() == "heard over there", "{typed:?}");
    let refused = east.run(&["job", "status", "-region", "north"])?;
    ensure!(refused.code == 1 && refused.text().contains("No path to region"), "{refused:?}");
    if let Some(browser) = Browser::find()? {
        browser.play(&lab, &east, "regions.spec.ts", lab.path(), &[("TARPAN_ALLOC", &alloc)])?;
    } else {
        east.ok(&["job", "stop", "-region", "west", "counter"])?;
    }
    west.wait_alloc("counter", "complete")?;
    ensure!(pids(&format!(": {mark}; while true; do date")).is_empty(), "its process has ended");
    Ok(())
}
