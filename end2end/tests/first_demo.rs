//! The first demo, played on the command line against the real binary: once on `raw_exec`, once on Docker.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tarpan_api::wire::JobListStub;
use tarpan_api::{Query, calls};
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::docker::{self, Daemon};
use tarpan_end2end::lab::{FixedPorts, PATIENCE};
use tarpan_end2end::{Agent, Lab, eventually};

#[test]
fn first_demo_on_raw_exec() -> Result<()> {
    let lab = Lab::new()?;
    play(&lab, Flavour::RawExec)
}

#[test]
fn first_demo_on_docker() -> Result<()> {
    let lab = Lab::new()?;
    let _daemon = match Daemon::find_or_start()? {
        Ok(daemon) => daemon,
        Err(why) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
        Err(why) => anyhow::bail!("{why}"),
    };
    docker::make_images(&lab)?;
    play(&lab, Flavour::Docker)
}

fn play(lab: &Lab, flavour: Flavour) -> Result<()> {
    let _ports = FixedPorts::take(&[5000])?;
    let mut agent = Agent::dev_for_containers(lab)?;
    let nodes = agent.ok(&["node", "status"])?;
    ensure!(nodes.contains("ready") && nodes.contains("eligible"), "{nodes}");

    let file = |name: &str| flavour.file(name).display().to_string();
    for name in ["redis", "web"] {
        let out = agent.ok(&["job", "run", &file(name)])?;
        ensure!(out.contains("==>") && out.contains("finished with status \"complete\""), "{out}");
        ensure!(out.contains("Deployment") && out.contains("successful"), "{out}");
    }
    agent.wait_alloc("pytechco-redis", "running")?;
    agent.wait_alloc("pytechco-web", "running")?;
    agent.ok(&["job", "run", &file("setup")])?;

    let address = web_address(&agent)?;
    let page = page(&address)?;
    ensure!(page.contains("Pytechco"), "{page}");

    let out = agent.ok(&["job", "dispatch", "-meta", "budget=200", "pytechco-setup"])?;
    let child = word_with(&out, "pytechco-setup/dispatch-").context(out.clone())?;
    agent.wait_alloc(&child, "complete")?;
    eventually("the budget on the page", PATIENCE, || {
        Ok(self::page(&address)?.contains("set up with a budget").then_some(()))
    })?;

    let out = agent.ok(&["job", "run", &file("employee")])?;
    ensure!(out.contains("Approximate next launch time"), "{out}");
    let slow = pace(&agent)?;
    ensure!((2..=4).contains(&slow), "children come every {slow} s, expected every 3");

    let faster = flavour.faster_employee(lab)?.display().to_string();
    let plan = agent.run(&["job", "plan", &faster])?;
    // As if a child were launched now: that allocation would come, which is 1.
    ensure!(plan.code == 1, "{}", plan.text());
    for expected in ["0/3 * * * * * *", "0/1 * * * * * *", "sales_engineer", "Job Modify Index"] {
        ensure!(plan.stdout.contains(expected), "no {expected:?} in\n{}", plan.stdout);
    }
    agent.ok(&["job", "run", &faster])?;
    eventually("a sales engineer on the page", PATIENCE, || {
        Ok(self::page(&address)?.contains("sales_engineer").then_some(()))
    })?;
    let fast = pace(&agent)?;
    ensure!(fast <= 1, "children come every {fast} s, expected every second");

    for job in ["pytechco-employee", "pytechco-setup", "pytechco-web", "pytechco-redis"] {
        agent.ok(&["job", "stop", "-purge", job])?;
    }
    // A child that lost its store restarts for ever (its policy says so), and stopping the parent leaves children alone.
    for child in agent.ask(&calls::jobs(&Query::new().prefix("pytechco-employee/")))? {
        agent.ok(&["job", "stop", "-purge", "-detach", &child.id])?;
    }
    eventually("nothing to be left running", Duration::from_secs(60), || {
        let allocs = agent.ask(&calls::allocations(&Query::new()))?;
        let left = allocs.iter().any(|alloc| ["running", "pending"].contains(&alloc.client_status.as_str()));
        Ok((!left).then_some(()))
    })
    .with_context(|| agent.log_tail())?;
    agent.stop()
}

/// The pipeline of the guides.
fn web_address(agent: &Agent) -> Result<String> {
    let line = "tarpan node status -verbose $(tarpan job allocs pytechco-web | grep -i running | awk '{print $2}') \
                | grep -i ip-address | awk -F \"=\" '{print $2}' | xargs";
    let out = agent.shell(line)?;
    let address = out.stdout.trim().to_owned();
    ensure!(address.parse::<std::net::IpAddr>().is_ok(), "the pipeline gave {:?} ({})", address, out.stderr);
    Ok(address)
}

fn page(address: &str) -> Result<String> {
    let url = format!("http://{address}:5000/");
    eventually("the web page", PATIENCE, || {
        let mut response = ureq::get(&url).call()?;
        Ok(Some(response.body_mut().read_to_string()?))
    })
}

fn word_with(text: &str, part: &str) -> Option<String> {
    text.split_whitespace().find(|w| w.contains(part)).map(|w| w.trim_matches(['"', ',']).to_owned())
}

/// Seconds between the launches of the two newest children, once a new child has come twice.
fn pace(agent: &Agent) -> Result<u64> {
    let launches = |agent: &Agent| -> Result<Vec<u64>> {
        let jobs = agent.children("pytechco-employee")?;
        let time = |job: &JobListStub| job.id.rsplit_once("periodic-")?.1.parse().ok();
        let mut times: Vec<u64> = jobs.iter().filter_map(time).collect();
        times.sort_unstable();
        Ok(times)
    };
    let before = launches(agent)?.last().copied().unwrap_or(0);
    eventually("two more children", PATIENCE, || {
        let new: Vec<u64> = launches(agent)?.into_iter().filter(|t| *t > before).collect();
        Ok((new.len() >= 3).then(|| new[new.len() - 1] - new[new.len() - 2]))
    })
}
