//! Killed processes: what was acknowledged stays, tasks run on, logs have no gap.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tarpan_api::{Query, Timestamp, calls};
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::lab::{FixedPorts, PATIENCE, pids};
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

const COUNTER: &str = r#"
job "counter" {
  group "g" {
    task "count" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", ": MARK; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"]
      }
    }
  }
}
"#;

const TICK: &str = r#"
job "tick" {
  type = "batch"
  periodic {
    crons = ["0/2 * * * * * *"]
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"#;

/// How many versions of a job are kept.
fn versions(server: &Agent, job: &str) -> Result<usize> {
    Ok(server.ask(&calls::job_versions(&Query::new(), job, false))?.versions.len())
}

/// `line 1`, `line 2`, … without a gap; gives the last number.
fn unbroken(text: &str) -> Result<u64> {
    let mut last = 0;
    for line in text.lines() {
        let number: u64 = line.strip_prefix("line ").context("a line of the counter")?.parse()?;
        ensure!(number == last + 1, "after line {last} came {line:?}");
        last = number;
    }
    Ok(last)
}

#[test]
fn a_killed_server_comes_back_with_everything() -> Result<()> {
    let lab = Lab::new()?;
    let (mut server, _client) = server_and_client(&lab)?;
    let mark = format!("killed-server-{}", std::process::id());
    let counter = lab.file("counter.nomad.hcl", &COUNTER.replace("MARK", &mark))?.display().to_string();
    let tick = lab.file("tick.nomad.hcl", TICK)?.display().to_string();
    server.ok(&["job", "run", "-detach", &counter])?;
    server.ok(&["job", "run", "-detach", &tick])?;
    let id = server.wait_alloc("counter", "running")?.id;
    let children = |server: &Agent| server.children("tick").map(|jobs| jobs.len());
    eventually("a periodic child", PATIENCE, || Ok((children(&server)? > 0).then_some(())))?;
    let before_kill = versions(&server, "counter")?;
    let running = pids(&mark);
    let before = children(&server)?;

    server.kill9()?;
    server.start_again()?;

    eventually("the job after the restart", PATIENCE, || Ok(server.knows_job("counter")?.then_some(())))?;
    ensure!(versions(&server, "counter")? == before_kill, "versions");
    server.wait_nodes(1)?;
    eventually("periodic launches to go on", PATIENCE, || Ok((children(&server)? > before).then_some(())))?;
    let after = server.wait_alloc("counter", "running")?;
    ensure!(after.id == id, "the allocation was replaced: {after:?}");
    ensure!(pids(&mark) == running, "the task's processes changed");
    let lines = unbroken(&server.ok(&["alloc", "logs", &id])?)?;
    eventually("the log to go on", PATIENCE, || {
        Ok((unbroken(&server.ok(&["alloc", "logs", &id])?)? > lines + 5).then_some(()))
    })
}

#[test]
fn a_killed_agent_finds_its_tasks_again() -> Result<()> {
    let lab = Lab::new()?;
    let (server, mut client) = server_and_client(&lab)?;
    let mark = format!("killed-agent-{}", std::process::id());
    let counter = lab.file("counter.nomad.hcl", &COUNTER.replace("MARK", &mark))?.display().to_string();
    server.ok(&["job", "run", "-detach", &counter])?;
    let id = server.wait_alloc("counter", "running")?.id;
    let running = pids(&mark);
    ensure!(!running.is_empty(), "the task has processes");

    client.kill9()?;
    client.start_again()?;
    server.wait_nodes(1)?;

    let lines = eventually("logs after the restart", PATIENCE, || {
        Ok(server.run(&["alloc", "logs", &id])?.stdout.lines().count().checked_sub(20).map(|n| n + 20))
    })?;
    eventually("the log to go on without a gap", PATIENCE, || {
        Ok((unbroken(&server.ok(&["alloc", "logs", &id])?)? > lines as u64 + 5).then_some(()))
    })?;
    ensure!(pids(&mark) == running, "the task's processes changed");
    let allocs = server.allocs("counter")?;
    ensure!(allocs.len() == 1 && allocs[0].client_status == "running", "{allocs:?}");
    server.ok(&["job", "stop", "-purge", "counter"])?;
    eventually("the task to end", PATIENCE, || Ok(pids(&mark).is_empty().then_some(())))
}

const FETCHING: &str = r#"
job "fetching" {
  type = "batch"
  group "g" {
    task "t" {
      driver = "raw_exec"
      artifact {
        source = "http://ADDRESS/endless"
      }
      config {
        command = "/bin/true"
      }
    }
  }
}
"#;

/// Answers one request after the other with bytes that never end.
#[allow(clippy::disallowed_methods, reason = "threads of its own")]
fn endless() -> Result<std::net::SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // An answer before the question would be none.
                let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
                let _ = std::io::Write::write_all(&mut stream, head);
                while std::io::Write::write_all(&mut stream, &[0; 256]).is_ok() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    Ok(address)
}

#[test]
fn a_download_ends_with_the_agent_that_is_killed() -> Result<()> {
    let lab = Lab::new()?;
    let (server, mut client) = server_and_client(&lab)?;
    let address = endless()?.to_string();
    let job = lab.file("fetching.nomad.hcl", &FETCHING.replace("ADDRESS", &address))?.display().to_string();
    server.ok(&["job", "run", "-detach", &job])?;
    let scratches = lab.path().join("client/alloc/.artifacts");
    let downloads = || {
        let all = std::fs::read_dir(&scratches).into_iter().flatten().flatten();
        all.filter(|dir| dir.path().join("download").metadata().is_ok_and(|file| file.len() > 0)).count()
    };
    let processes = || pids(&format!("__artifact-fetcher {}", scratches.display()));
    eventually("the download", PATIENCE, || Ok((downloads() == 1).then_some(())))?;
    // One that keeps and one that works.
    ensure!(processes().len() == 2, "{:?}", processes());

    client.kill9()?;
    eventually("the processes to end", PATIENCE, || Ok(processes().is_empty().then_some(())))?;
    eventually("what they wrote to go", PATIENCE, || Ok((std::fs::read_dir(&scratches)?.count() == 0).then_some(())))?;

    client.start_again()?;
    eventually("it to be fetched anew", PATIENCE, || Ok((downloads() == 1).then_some(())))?;
    server.ok(&["job", "stop", "-purge", "fetching"])?;
    eventually("the download to end", PATIENCE, || Ok((processes().is_empty() && downloads() == 0).then_some(())))
}

/// Id of the only allocation of a job that runs, and of its only task when it was started and how often again: equal as long as it runs on.
fn run_of(server: &Agent, job: &str) -> Result<(String, Timestamp, u64)> {
    let id = server.wait_alloc(job, "running")?.id;
    let alloc = server.ask(&calls::allocation(&Query::new(), &id))?;
    let task = alloc.task_states.values().next().context("a task's state")?;
    Ok((id, task.started_at, task.restarts))
}

/// The page of the company answers, and has data of its store.
fn page_works() -> Result<()> {
    eventually("the company's page", PATIENCE, || {
        let mut response = ureq::get("http://127.0.0.1:5000/").call()?;
        Ok(response.body_mut().read_to_string()?.contains("set up with a budget").then_some(()))
    })
}

#[test]
fn the_company_works_on_while_server_and_agent_are_killed() -> Result<()> {
    let lab = Lab::new()?;
    let _ports = FixedPorts::take(&[5000])?;
    let (mut server, mut client) = server_and_client(&lab)?;
    for name in ["redis", "web", "setup", "employee"] {
        server.ok(&["job", "run", &Flavour::RawExec.file(name).display().to_string()])?;
    }
    server.ok(&["job", "dispatch", "-meta", "budget=200", "pytechco-setup"])?;
    let faster = Flavour::RawExec.faster_employee(&lab)?.display().to_string();
    server.ok(&["job", "run", &faster])?;
    page_works()?;
    let children = |server: &Agent| server.children("pytechco-employee").map(|jobs| jobs.len());
    eventually("an employee", PATIENCE, || Ok((children(&server)? > 0).then_some(())))?;
    ensure!(versions(&server, "pytechco-employee")? == 2, "two versions of the employee's job");
    let (store, web) = (run_of(&server, "pytechco-redis")?, run_of(&server, "pytechco-web")?);
    let as_before = |server: &Agent| -> Result<()> {
        ensure!(run_of(server, "pytechco-redis")? == store, "the store was started again");
        ensure!(run_of(server, "pytechco-web")? == web, "the page's task was started again");
        ensure!(versions(server, "pytechco-employee")? == 2, "a version of the employee's job is gone");
        let before = children(server)?;
        eventually("launches to go on", PATIENCE, || Ok((children(server)? >= before + 2).then_some(())))?;
        page_works()
    };

    server.kill9()?;
    page_works()?;
    server.start_again()?;
    server.wait_nodes(1)?;
    as_before(&server)?;

    client.kill9()?;
    page_works()?;
    client.start_again()?;
    server.wait_nodes(1)?;
    as_before(&server).with_context(|| client.log_tail())
}

/// Everything that the client remembers is gone or garbage: what runs goes on, once, and it is said.
#[test]
fn a_client_that_lost_its_store_keeps_its_tasks() -> Result<()> {
    let lab = Lab::new()?;
    let (server, mut client) = server_and_client(&lab)?;
    let mark = format!("lost-store-{}", std::process::id());
    let counter = lab.file("counter.nomad.hcl", &COUNTER.replace("MARK", &mark))?.display().to_string();
    server.ok(&["job", "run", "-detach", &counter])?;
    let id = server.wait_alloc("counter", "running")?.id;
    let running = pids(&mark);
    let state = lab.path().join("client/client/state");
    let damages: [(&str, &dyn Fn() -> std::io::Result<()>); 2] = [
        ("emptied", &|| std::fs::remove_dir_all(&state)),
        ("overwritten", &|| ["conf", "db"].iter().try_for_each(|f| std::fs::write(state.join(f), vec![0xa5; 4096]))),
    ];
    for (round, (what, damage)) in damages.into_iter().enumerate() {
        client.kill9()?;
        damage().with_context(|| format!("the store, {what}"))?;
        client.start_again()?;
        server.wait_nodes(1)?;
        eventually("the client to have its task again", PATIENCE, || {
            let alloc = server.ask(&calls::allocation(&Query::new(), &id))?;
            let events = alloc.task_states.get("count").into_iter().flat_map(|task| &task.events);
            let told = events.filter(|event| event.display_message.contains("found running after"));
            Ok((told.count() > round).then_some(()))
        })
        .with_context(|| format!("{what}: {}", client.log_tail()))?;
        ensure!(pids(&mark) == running, "{what}: the task's processes changed\n{}", client.log_tail());
        let allocs = server.allocs("counter")?;
        ensure!(allocs.len() == 1 && allocs[0].client_status == "running", "{what}: {allocs:?}");
    }
    let attributes = server.only_node()?.attributes;
    let damage = attributes.get("unique.agent.state_damage");
    ensure!(damage.is_some_and(|text| text.contains("damaged")), "nothing is said: {attributes:?}");
    unbroken(&server.ok(&["alloc", "logs", &id])?)?;
    server.ok(&["job", "stop", "-purge", "counter"])?;
    eventually("the task to end", PATIENCE, || Ok(pids(&mark).is_empty().then_some(())))
}

/// A client that has no server has nobody to tell: it goes at once, and its tasks run on.
#[test]
fn a_client_without_a_server_ends_when_it_is_told_to() -> Result<()> {
    let lab = Lab::new()?;
    let (mut server, mut client) = server_and_client(&lab)?;
    let mark = format!("without-server-{}", std::process::id());
    let counter = lab.file("counter.nomad.hcl", &COUNTER.replace("MARK", &mark))?.display().to_string();
    server.ok(&["job", "run", "-detach", &counter])?;
    server.wait_alloc("counter", "running")?;
    let running = pids(&mark);
    server.kill9()?;
    let begun = Instant::now();
    kill(Pid::from_raw(client.pid().cast_signed()), Signal::SIGTERM)?;
    client.wait_dead()?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "it took {:?}\n{}", begun.elapsed(), client.log_tail());
    ensure!(pids(&mark) == running, "the task's processes changed");
    server.start_again()?;
    client.start_again()?;
    server.wait_alloc("counter", "running")?;
    server.ok(&["job", "stop", "-purge", "counter"])?;
    eventually("the task to end", PATIENCE, || Ok(pids(&mark).is_empty().then_some(())))
}

const ONCE: &str = r#"
job "JOB" {
  type = "batch"
  reschedule {
    attempts  = 0
    unlimited = false
  }
  group "g" {
    restart {
      attempts = 0
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo JOB >> FILE; sleep 0.2"]
      }
    }
  }
}
"#;

/// The client dies at each moment of a task's start and of its end: the task runs once.
#[test]
fn a_task_runs_once_whenever_its_agent_dies() -> Result<()> {
    let lab = Lab::new()?;
    let (server, mut client) = server_and_client(&lab)?;
    let file = lab.path().join("ran");
    let points = [
        "alloc-recorded",
        "alloc-directory-made",
        "task-directory-made",
        "prepared",
        "unrecorded",
        "recorded",
        "supervisor-started",
        "supervisor-told",
        "task-started",
        "task-ended",
        "exit-recorded",
        "task-removed",
    ];
    let armed = lab.file("die-at", "")?;
    for point in points {
        client.kill9()?;
        client.start_again_with(&[("TARPAN_DIE_AT", &armed.display().to_string())])?;
        server.wait_nodes(1)?;
        std::fs::write(&armed, point)?;
        let text = ONCE.replace("JOB", point).replace("FILE", &file.display().to_string());
        let job = lab.file(&format!("{point}.nomad.hcl"), &text)?.display().to_string();
        server.ok(&["job", "run", "-detach", &job])?;
        client.wait_dead().with_context(|| format!("dying at {point}"))?;
        std::fs::write(&armed, "")?;
        client.start_again()?;
        server.wait_alloc(point, "complete").with_context(|| format!("{point}: {}", client.log_tail()))?;
        let ran = std::fs::read_to_string(&file)?.lines().filter(|l| *l == point).count();
        ensure!(ran == 1, "killed at {point:?}, the task ran {ran} times\n{}", client.log_tail());
        ensure!(server.allocs(point)?.len() == 1, "killed at {point:?}, it was replaced");
    }
    Ok(())
}
