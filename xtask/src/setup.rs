//! What a machine needs besides Rust, and how it comes there: Debian's packages, where this is Debian and we may.
//!
//! Before anything is installed it is said what and how much; whoever can be asked is asked.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{has, heading, output, run};

/// A program, the Debian package that brings it, and what it is for.
type Tool = (&'static str, &'static str, &'static str);

const NODE: Tool = ("node", "nodejs", "the browser tests and the editor's bundle");
const NPM: Tool = ("npm", "npm", "the browser tests and the editor's bundle");

const TOOLS: &[Tool] = &[
    ("cc", "gcc", "linking"),
    ("git", "git", "the repository"),
    ("dockerd", "docker.io", "the demo on containers"),
    ("iptables", "iptables", "Docker's networks, and links that tests cut"),
    ("ip", "iproute2", "the test of servers under faults"),
    ("redis-check-rdb", "redis-tools", "the demo's Redis image"),
    ("chromium", "chromium", "the browser tests"),
    NODE,
    NPM,
    ("pgrep", "procps", "the tests that count processes"),
    ("busybox", "busybox-static", "the containers of tests"),
    ("javac", "default-jdk-headless", "the tests of the driver java"),
    ("qemu-system-x86_64", "qemu-system-x86", "the tests of the driver qemu"),
    // On nobody's PATH.
    ("/usr/lib/cni/bridge", "containernetworking-plugins", "the tests of networks"),
    ("/usr/lib/python3/dist-packages/grpc/__init__.py", "python3-grpcio", "the test of plugins"),
    ("/usr/lib/python3/dist-packages/google/protobuf/__init__.py", "python3-protobuf", "the test of plugins"),
    ("protoc", "protobuf-compiler", "the test of plugins"),
];

/// What the pages need to be live, and the editor to be one.
const PAGES: &[Tool] = &[NODE, NPM];

/// Debian's compiler for the browser, where rustup can't add its own.
const WEB_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Whether somebody is asked before packages are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    Given,
    Asked,
}

impl Consent {
    /// A person's machine has somebody at a terminal, and is not CI.
    pub fn asked() -> Consent {
        let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        if !ci && std::io::stdin().is_terminal() { Consent::Asked } else { Consent::Given }
    }
}

/// Installs what the tests need. As root or with sudo it does so by itself; else it errors with the line to type.
pub fn for_tests(consent: Consent) -> Result<()> {
    install(&missing(TOOLS), consent)
}

/// The same for what pages need in a browser.
pub fn for_live_pages(consent: Consent) -> Result<()> {
    install(&missing(PAGES), consent)
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        tools.iter().filter(|(program, ..)| !has(program)).map(|(_, package, _)| *package).collect();
    if crate::ui::compiler().is_err() {
        packages.extend(WEB_RUST);
    }
    packages
}

fn install(packages: &[&str], consent: Consent) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(", ");
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !has("apt-get") {
        bail!("missing: {names}. Install what brings these programs on your system");
    }
    let sudo: &[&str] = if nix::unistd::geteuid().is_root() {
        &[]
    } else if has("sudo") && output(&["sudo", "-n", "true"]).is_some() {
        &["sudo", "-n"]
    } else {
        bail!("missing: {names}. Type this and start again:\n\n    sudo {line}\n");
    };
    heading(&format!("Missing: {names}"));
    let mut plan = planned(packages);
    if plan.is_none() {
        run(&[sudo, &["apt-get", "update", "-q"]].concat())?;
        plan = planned(packages);
    }
    let plan = plan.map_or("how much that is apt-get does not say".to_owned(), |plan| plan.sentence());
    println!("  $ {}\n  {plan}", [sudo, &[line.as_str()]].concat().join(" "));
    if consent == Consent::Asked && !agreed()? {
        bail!(
            "nothing was installed. Type this and start again:\n\n    {}\n",
            [sudo, &[line.as_str()]].concat().join(" ")
        );
    }
    let mut words = sudo.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive"]);
    words.extend(line.split(' '));
    run(&words)
}

fn agreed() -> Result<bool> {
    print!("  Install this? [Y/n] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok(read > 0 && matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}

/// What an installation would bring.
#[derive(Debug, PartialEq, Eq)]
struct Planned {
    packages: u32,
    /// As apt writes it: `1,204 MB`.
    download: Option<String>,
    disk: Option<String>,
}

impl Planned {
    /// From what `apt-get --assume-no` says.
    fn of(text: &str) -> Option<Planned> {
        // Apt 3 says it in a table.
        let count = |part: &'_ str| {
            part.strip_suffix(" newly installed").or(part.trim().strip_prefix("Installing: "))?.parse().ok()
        };
        let number = |line: &str| line.split(", ").find_map(count);
        let between = |before: &str, after: &str| {
            let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix(before))?;
            Some(line.split_once(after)?.0.trim().to_owned())
        };
        Some(Planned {
            packages: text.lines().find_map(number)?,
            // `Need to get 100 MB of archives.`, or `Need to get 5 MB/100 MB of archives.`
            download: between("Need to get ", " of archives").or_else(|| between("  Download size: ", "\n")),
            disk: between("After this operation, ", " of additional disk space")
                .or_else(|| between("  Space needed: ", " / ")),
        })
    }

    fn sentence(&self) -> String {
        let amount = |value: &Option<String>, what: &str| value.as_ref().map(|v| format!("{v} {what}"));
        let amounts: Vec<String> =
            [amount(&self.download, "to download"), amount(&self.disk, "on the disk")].into_iter().flatten().collect();
        let plural = if self.packages == 1 { "" } else { "s" };
        let amounts = if amounts.is_empty() { String::new() } else { format!(": {}", amounts.join(", ")) };
        format!("{} package{plural} with all that they need{amounts}", self.packages)
    }
}

/// Asks apt; `None` where it does not know the packages (yet).
fn planned(packages: &[&str]) -> Option<Planned> {
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C").args(["install", "--assume-no", "--no-install-recommends"]).args(packages);
    Planned::of(&String::from_utf8_lossy(&command.output().ok()?.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_says_how_large_it_is() {
        let text = "The following NEW packages will be installed:\n  a b\n\
                    0 upgraded, 551 newly installed, 0 to remove and 3 not upgraded.\n\
                    Need to get 312 MB of archives.\n\
                    After this operation, 1,204 MB of additional disk space will be used.\nDo you want to continue? [Y/n] N\nAbort.\n";
        let plan = Planned::of(text).expect("a plan");
        assert_eq!(plan.packages, 551);
        assert_eq!(plan.sentence(), "551 packages with all that they need: 312 MB to download, 1,204 MB on the disk");
        let newer = "Summary:\n  Upgrading: 0, Installing: 2, Removing: 0, Not Upgrading: 1\n  Download size: 3,456 kB\n  Space needed: 12 MB / 40 GB available\n";
        let plan = Planned::of(newer).expect("a plan");
        assert_eq!(plan.sentence(), "2 packages with all that they need: 3,456 kB to download, 12 MB on the disk");
        let small = Planned { packages: 1, download: None, disk: None };
        assert_eq!(small.sentence(), "1 package with all that they need");
        assert_eq!(Planned::of("E: Unable to locate package rustc-web\n"), None);
    }
}
