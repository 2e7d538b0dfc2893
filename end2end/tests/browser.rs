//! The web UI in a real browser: the first demo played by clicking, every page looked at, the first load weighed.

use std::path::PathBuf;

use anyhow::Result;
use tarpan_end2end::browser::Browser;
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::docker::{self, Daemon};
use tarpan_end2end::lab::FixedPorts;
use tarpan_end2end::{Agent, Lab};

/// On containers where this machine can run them, else as processes.
#[test]
fn first_demo_in_the_browser() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    // Given back when the daemon is gone, and with it what it ran.
    let _ports = FixedPorts::take(&[5000])?;
    let daemon = Daemon::find_or_start()?;
    let flavour = match &daemon {
        Ok(_) => Flavour::Docker,
        Err(why) => {
            eprintln!("the demo's jobs run as processes: {why}");
            Flavour::RawExec
        }
    };
    if flavour == Flavour::Docker {
        docker::make_images(&lab)?;
    }
    let mut agent = Agent::dev_for_containers(&lab)?;
    let templates = if flavour == Flavour::Docker { "docker" } else { "raw_exec" };
    let jobs = job_files(&lab, flavour)?;
    browser.play(&lab, &agent, "first-demo.spec.ts", &jobs, &[("TARPAN_TEMPLATES", templates)])?;
    agent.stop()
}

#[test]
fn pages_in_the_browser() -> Result<()> {
    on_processes("pages.spec.ts")
}

/// Of a release build; with another it says so.
#[test]
fn first_load_in_the_browser() -> Result<()> {
    on_processes("first-load.spec.ts")
}

/// `cargo xtask pictures` says where to; without that there is nothing to do.
#[test]
fn pictures() -> Result<()> {
    if std::env::var_os("TARPAN_PICTURES").is_none() {
        return Ok(());
    }
    on_processes("pictures.spec.ts")
}

/// Plays a spec that runs its own jobs.
fn on_processes(spec: &str) -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let _ports = FixedPorts::take(&[5000])?;
    let mut agent = Agent::dev(&lab)?;
    let jobs = job_files(&lab, Flavour::RawExec)?;
    browser.play(&lab, &agent, spec, &jobs, &[])?;
    agent.stop()
}

/// The demo's four files in a folder of the lab, and the employee's as the demo changes it: `faster-employee`.
fn job_files(lab: &Lab, flavour: Flavour) -> Result<PathBuf> {
    let folder = lab.path().join("jobs");
    std::fs::create_dir(&folder)?;
    for name in ["redis", "web", "setup", "employee"] {
        std::fs::copy(flavour.file(name), folder.join(format!("pytechco-{name}.nomad.hcl")))?;
    }
    std::fs::copy(flavour.faster_employee(lab)?, folder.join("faster-employee.nomad.hcl"))?;
    Ok(folder)
}
