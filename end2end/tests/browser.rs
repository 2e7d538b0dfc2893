//! The web UI in a real browser: the first demo played by clicking, every page looked at, the first load weighed.

use std::path::PathBuf;

use anyhow::Result;
use tarpan_end2end::browser::Browser;
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::docker::{self, Daemon};
use tarpan_end2end::lab::{FixedPorts, PATIENCE};
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

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

#[test]
fn a_node_in_the_browser() -> Result<()> {
    on_processes("node.spec.ts")
}

/// Waits until the browser's part asks for `what`, does it, and says so.
fn when_asked(lab: &Lab, what: &str, done: impl FnOnce() -> Result<()>) -> Result<()> {
    eventually(&format!("the browser to ask for {what:?}"), PATIENCE * 3, || {
        Ok(lab.path().join(what).exists().then_some(()))
    })?;
    done()?;
    lab.file(&format!("{what}.done"), "").map(|_| ())
}

/// The server is killed and started again under an open page; the task and its node go on.
#[test]
fn terminals_in_the_browser() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let (mut server, client) = server_and_client(&lab)?;
    let (addr, asked) = (server.addr.clone(), lab.path().display().to_string());
    let env = [("TARPAN_ADDR", &*addr), ("TARPAN_ASKED", &*asked), ("TARPAN_CLIENT", &*client.addr)];
    std::thread::scope(|scope| {
        let helper = scope.spawn(|| {
            when_asked(&lab, "kill", || server.kill9())?;
            when_asked(&lab, "start", || server.start_again())
        });
        let played = browser.play(&lab, &client, "terminal.spec.ts", lab.path(), &env);
        // A spec that failed asks for nothing more.
        for what in ["kill", "start"] {
            lab.file(what, "")?;
        }
        let helped = helper.join().expect("no panic");
        played.and(helped)
    })
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
