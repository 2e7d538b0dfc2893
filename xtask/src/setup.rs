//! What a machine needs besides Rust, and how it comes there: Debian's packages, where this is Debian and we may.

use anyhow::{Result, bail};

use crate::shell::{has, heading, output, run};

/// A program, the Debian package that brings it, and what it is for.
const TOOLS: &[(&str, &str, &str)] = &[
    ("cc", "gcc", "linking"),
    ("git", "git", "the repository"),
    ("dockerd", "docker.io", "the demo on containers"),
    ("iptables", "iptables", "Docker's networks"),
    ("redis-check-rdb", "redis-tools", "the demo's Redis image"),
    ("chromium", "chromium", "the browser tests"),
    ("node", "nodejs", "the browser tests and the editor's bundle"),
    ("npm", "npm", "the browser tests and the editor's bundle"),
    ("pgrep", "procps", "the tests that count processes"),
];

/// Debian's compiler for the browser, where rustup can't add its own.
const WEB_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Installs what the tests need. As root or with sudo it does so by itself; else it errors with the line to type.
pub fn for_tests() -> Result<()> {
    let mut packages: Vec<_> =
        TOOLS.iter().filter(|(program, ..)| !has(program)).map(|(_, package, _)| *package).collect();
    if crate::ui::compiler().is_err() {
        packages.extend(WEB_RUST);
    }
    install(&packages)
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !has("apt-get") {
        bail!("missing: {}. Install what brings these programs on your system", packages.join(", "));
    }
    let sudo: &[&str] = if nix::unistd::geteuid().is_root() {
        &[]
    } else if has("sudo") && output(&["sudo", "-n", "true"]).is_some() {
        &["sudo", "-n"]
    } else {
        bail!("missing: {}. Type this and start again:\n\n    sudo {line}\n", packages.join(", "));
    };
    heading(&format!("Installing {}", packages.join(", ")));
    run(&[sudo, &["apt-get", "update", "-q"]].concat())?;
    let mut words = sudo.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive"]);
    words.extend(line.split(' '));
    run(&words)
}
