//! The first demo wholly in the browser: starts a real agent, then lets Playwright click.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tarpan_end2end::lab::{FixedPorts, root};
use tarpan_end2end::{Agent, Lab};

#[test]
fn first_demo_in_the_browser() -> Result<()> {
    let folder = root().join("end2end");
    let ready = folder.join("node_modules/@playwright/test").exists() && std::path::Path::new("/usr/bin/chromium").exists();
    if !ready {
        ensure!(std::env::var_os("CI").is_none(), "no Playwright or no Chromium: cargo xtask test installs them");
        eprintln!("skipped: no Playwright or no Chromium; cargo xtask test installs them");
        return Ok(());
    }
    let lab = Lab::new()?;
    let _ports = FixedPorts::take(&[5000])?;
    let agent = Agent::dev(&lab)?;
    let status = Command::new("npx")
        .args(["playwright", "test"])
        .current_dir(&folder)
        .env("TARPAN_ADDR", &agent.addr)
        .env("TARPAN_RESULTS", std::env::temp_dir().join("tarpan-browser-results"))
        .stdin(Stdio::null())
        .status()
        .context("running Playwright")?;
    ensure!(status.success(), "Playwright ended with {status}\n{}", agent.log_tail());
    Ok(())
}
