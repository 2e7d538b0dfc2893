//! Playwright's specs in `browser/`, run by Debian's Chromium against an agent of a test.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::root;
use crate::{Agent, Lab};

/// Playwright and a browser, both found on this machine.
pub struct Browser {
    chromium: PathBuf,
    playwright: PathBuf,
}

impl Browser {
    /// `None`, with a sentence on stderr, where one of them is missing; an error instead where `CI` is set.
    pub fn find() -> Result<Option<Browser>> {
        let playwright = root().join("end2end/node_modules/@playwright/test/cli.js");
        let chromium = std::env::var_os("TARPAN_CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
        let missing = match (playwright.exists(), chromium.exists()) {
            (true, true) => return Ok(Some(Browser { chromium, playwright })),
            (false, _) => "Playwright is not installed: npm ci in end2end installs it".to_owned(),
            (_, false) => format!("there is no {}: apt-get install chromium", chromium.display()),
        };
        if std::env::var_os("CI").is_some() {
            bail!("{missing}");
        }
        eprintln!("skipped: {missing} (cargo xtask test does)");
        Ok(None)
    }

    /// Plays `spec` of the folder `browser` on `agent`. `jobs` has the job files that the spec reads.
    pub fn play(&self, lab: &Lab, agent: &Agent, spec: &str, jobs: &Path, env: &[(&str, &str)]) -> Result<()> {
        // Traces and pictures of failures outlive the lab.
        let results = std::env::temp_dir().join("tarpan-browser").join(spec.replace('.', "-"));
        let colour = if std::io::stdout().is_terminal() { "1" } else { "0" };
        let status = Command::new("node")
            .arg(&self.playwright)
            .args(["test", spec])
            .current_dir(root().join("end2end"))
            .env("TARPAN_ADDR", &agent.addr)
            .env("TARPAN_JOBS", jobs)
            .env("TARPAN_RESULTS", &results)
            .env("TARPAN_CHROMIUM", &self.chromium)
            // Profiles of the browser end with the lab, even where the browser does not clean up.
            .env("TMPDIR", lab.path())
            .env("FORCE_COLOR", colour)
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .status()
            .context("starting node")?;
        if !status.success() {
            let (log, tasks) = (agent.log_tail(), agent.tasks_tail());
            agent.stop_all_jobs();
            bail!("{spec}: Playwright ended with {status}; traces are in {}\n{tasks}\n{log}", results.display());
        }
        Ok(())
    }
}
