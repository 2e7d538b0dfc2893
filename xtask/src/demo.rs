//! The getting-started demo: builds, starts an agent on port 4646, and plays the four jobs as a person would type them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::lab::FixedPorts;
use tarpan_end2end::{Agent, Lab, docker, eventually};

use crate::shell::{heading, run as sh};

const HTTP: u16 = 4646;

/// Builds quickly and starts a dev agent that stays until Ctrl-C.
pub fn dev() -> Result<()> {
    crate::ui::build_or_say();
    sh(&["cargo", "build", "-p", "tarpan-cli", "-p", "ptc"])?;
    let lab = Lab::new()?;
    let agent = start(&lab)?;
    stay(agent)
}

pub fn run_demo_build() -> Result<()> {
    heading("Building Tarpan (the first time takes some minutes)");
    sh(&["cargo", "build", "-p", "tarpan-cli", "-p", "ptc"])
}

pub fn run(flags: &[&str]) -> Result<()> {
    if let Some(unknown) = flags.iter().find(|f| !["empty", "check", "raw-exec"].contains(f)) {
        bail!("demo knows -empty, -check and -raw-exec, not -{unknown}");
    }
    if !flags.contains(&"check") {
        crate::ui::build_or_say();
    }
    run_demo_build()?;
    let lab = Lab::new()?;
    let flavour = if !flags.contains(&"raw-exec") && docker::answers() { Flavour::Docker } else { Flavour::RawExec };
    let _ports = FixedPorts::take(&[HTTP, 5000])?;
    match flavour {
        Flavour::Docker => {
            heading("A Docker daemon answers: the demo runs in containers. Making its images");
            docker::make_images(&lab).context("making the demo's images (the flag -raw-exec does without Docker)")?;
        }
        Flavour::RawExec => heading("No Docker here: the same four jobs run as processes (driver raw_exec)"),
    }
    let agent = start(&lab)?;
    if flags.contains(&"empty") {
        return stay(agent);
    }
    play(&agent, flavour)?;
    if flags.contains(&"check") {
        return stop_all(agent);
    }
    println!("\nThe company is at work. Look at it:");
    println!("  web UI     http://localhost:{HTTP}");
    println!("  its page   http://localhost:5000");
    println!("  command    NOMAD_ADDR=http://localhost:{HTTP} {} status", lab.bin.display());
    println!("  job files  {}", flavour.file("web").parent().unwrap_or(lab.path()).display());
    stay(agent)
}

fn start(lab: &Lab) -> Result<Agent> {
    heading("Starting the agent");
    let interface = "-network-interface={{ GetDefaultInterfaces | attr \"name\" }}";
    println!("  $ tarpan agent -dev -bind 0.0.0.0 -network-interface='{{{{ GetDefaultInterfaces | attr \"name\" }}}}'");
    let agent = Agent::start(lab, "agent", HTTP, &["-dev", "-bind", "0.0.0.0", interface])?;
    agent.wait_nodes(1)?;
    println!("  ready: http://localhost:{HTTP}");
    Ok(agent)
}

fn play(agent: &Agent, flavour: Flavour) -> Result<()> {
    show(agent, &["node", "status"])?;
    for name in ["redis", "web", "setup"] {
        show(agent, &["job", "run", &flavour.file(name).display().to_string()])?;
    }
    show(agent, &["job", "dispatch", "-meta", "budget=200", "pytechco-setup"])?;
    show(agent, &["job", "run", &flavour.file("employee").display().to_string()])?;
    eventually("an employee to come to work", Duration::from_secs(60), || {
        let jobs = agent.get("/v1/jobs?prefix=pytechco-employee/periodic-")?;
        Ok(jobs.as_array().into_iter().flatten().any(|j| j["Status"] == "dead").then_some(()))
    })?;
    show(agent, &["job", "status"])
}

/// Types a command and shows what it prints.
fn show(agent: &Agent, args: &[&str]) -> Result<()> {
    println!("\n  $ tarpan {}", args.join(" "));
    let out = agent.ok(args)?;
    for line in out.lines() {
        println!("    {line}");
    }
    Ok(())
}

fn stop_all(mut agent: Agent) -> Result<()> {
    for job in ["pytechco-employee", "pytechco-setup", "pytechco-web", "pytechco-redis"] {
        show(&agent, &["job", "stop", "-purge", job])?;
    }
    agent.stop()
}

/// Stays until Ctrl-C, then stops the agent.
fn stay(mut agent: Agent) -> Result<()> {
    println!("\nhttp://localhost:{HTTP} is ready. Ctrl-C stops everything.");
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGINT);
    signals.add(nix::sys::signal::Signal::SIGTERM);
    signals.thread_block().context("blocking signals")?;
    signals.wait().context("waiting for Ctrl-C")?;
    agent.stop()
}
