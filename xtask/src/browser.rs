//! The browser tests' npm packages, and pictures of the pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use tarpan_end2end::lab::root;

use crate::shell::{heading, program, run_with};
use crate::{setup, ui};

/// Installs Playwright where its lock file is newer than what is there. The browser is Debian's.
pub fn install() -> Result<()> {
    let modified = |path: PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    let folder = root().join("end2end");
    let installed = modified(folder.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(folder.join("package-lock.json")) {
        return Ok(());
    }
    run_with(
        &["npm", "ci", "--prefix", "end2end", "--no-audit", "--no-fund", "--loglevel=error"],
        &[("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")],
    )
}

/// Pictures of the pages as they look now, in `docs/pictures`.
pub fn pictures() -> Result<()> {
    setup::for_tests(setup::Consent::asked())?;
    install()?;
    heading("Building");
    ui::build(&ui::Options::default())?.notes.iter().for_each(|note| println!("note: {note}"));
    program()?;
    heading("Taking pictures");
    let folder = root().join("docs/pictures").display().to_string();
    // `CI`: a missing browser is an error here.
    let env = [("TARPAN_PICTURES", folder.as_str()), ("CI", "true")];
    let words = ["cargo", "test", "--locked", "-p", "tarpan-end2end", "--test", "browser"];
    run_with(&[&words[..], &["--", "--exact", "pictures", "--nocapture"]].concat(), &env)
}
