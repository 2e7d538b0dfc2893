//! The getting-started demo: builds, starts an agent, and plays the four jobs as a person would type them.

mod earlier;
mod ending;
mod facing;

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tarpan_api::{Query, calls};
use tarpan_end2end::demo::Flavour;
use tarpan_end2end::lab::FixedPorts;
use tarpan_end2end::{Agent, Lab, docker, eventually};

use self::earlier::{Own, Wish};
use self::ending::Ending;
use self::facing::Facing;
use crate::setup::{self, Consent};
use crate::shell::{heading, program};
use crate::ui;

const HTTP: u16 = 4646;
/// Of the company's page.
const PAGE: u16 = 5000;

const FLAGS: [&str; 7] = ["empty", "check", "raw-exec", "expose", "take-over", "plain", "as-built"];

/// What was asked for.
struct Wanted<'a> {
    flags: Vec<&'a str>,
    port: u16,
}

impl<'a> Wanted<'a> {
    fn of(flags: &[&'a str]) -> Result<Wanted<'a>> {
        let mut wanted = Wanted { flags: Vec::new(), port: HTTP };
        for flag in flags {
            match flag.split_once('=') {
                Some(("port", text)) => {
                    wanted.port = text.parse().with_context(|| format!("-port={text} is no port"))?;
                }
                None if FLAGS.contains(flag) => wanted.flags.push(flag),
                _ => bail!("demo knows -{} and -port=N, not -{flag}", FLAGS.join(", -")),
            }
        }
        Ok(wanted)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

/// Builds quickly and starts a dev agent that stays until Ctrl-C.
pub fn dev() -> Result<()> {
    run(&["empty", "raw-exec"])
}

pub fn run(flags: &[&str]) -> Result<()> {
    let wanted = Wanted::of(flags)?;
    // Before a long build, not after it.
    let mut own = earlier::make_room(wanted.port, Wish::of(&wanted.flags))?;
    let notes = build(&wanted)?;
    let ending = Ending::watch()?;
    let outcome = perform(&wanted, &mut own, &ending, &notes);
    ending.hold();
    outcome
}

fn perform(wanted: &Wanted<'_>, own: &mut Own, ending: &Ending, notes: &[String]) -> Result<()> {
    let lab = Lab::new()?;
    let flavour = if !wanted.has("raw-exec") && docker::answers() { Flavour::Docker } else { Flavour::RawExec };
    let _ports = fixed_ports(wanted)?;
    match flavour {
        Flavour::Docker => {
            heading("A Docker daemon answers: the demo runs in containers. Making its images");
            docker::make_images(&lab).context("making the demo's images (the flag -raw-exec does without Docker)")?;
        }
        Flavour::RawExec => heading("Jobs run as processes (driver raw_exec)"),
    }
    let facing = Facing::of(flavour, wanted.has("expose"));
    let agent = start(&lab, wanted, facing, own, ending)?;
    if !wanted.has("empty") {
        play(&agent, flavour)?;
    }
    if wanted.has("check") {
        return stop_all(agent);
    }
    println!("\nThe {} Look at it:", if wanted.has("empty") { "agent runs." } else { "company is at work." });
    last_words(&lab, &agent, wanted, flavour, facing)?;
    notes.iter().chain(&facing.notes()).for_each(|note| println!("note: {note}"));
    println!("\nCtrl-C stops everything.");
    stay(agent, ending)
}

/// Builds what is missing; gives what is less than it could be.
fn build(wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if wanted.has("as-built") {
        return Ok(notes);
    }
    if !wanted.has("plain") && !wanted.has("check") {
        match setup::for_live_pages(Consent::asked()) {
            Err(why) if ui::compiler().is_ok() => notes.push(format!("the job editor is a plain text area: {why:#}")),
            done => done.context("the flag -plain does without: the pages then show what is, and do not follow it")?,
        }
        let built = ui::build(&ui::Options::default());
        notes.extend(built.context("building the browser's part (the flag -plain does without it)")?.notes);
    }
    program()?;
    Ok(notes)
}

/// Ports that only one journey has at a time.
fn fixed_ports(wanted: &Wanted<'_>) -> Result<Option<FixedPorts>> {
    if wanted.port != HTTP {
        return Ok(None);
    }
    if FixedPorts::are_held() {
        println!("A test of this repository has the ports: waiting for it to end.");
    }
    Ok(Some(FixedPorts::take(&[HTTP, PAGE])?))
}

fn start(lab: &Lab, wanted: &Wanted<'_>, facing: Facing, own: &mut Own, ending: &Ending) -> Result<Agent> {
    heading("Starting the agent");
    let mut args = vec!["-dev".to_owned()];
    args.extend(facing.arguments());
    println!("  $ tarpan agent {}", args.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "));
    if wanted.port != HTTP {
        let free: Vec<u16> = tarpan_end2end::lab::free_ports(2)?;
        let text = format!("ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n", wanted.port, free[0], free[1]);
        args.extend(["-config".to_owned(), lab.file("ports.hcl", &text)?.display().to_string()]);
    }
    TcpListener::bind((facing.address(), wanted.port)).with_context(|| format!("port {} is taken", wanted.port))?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let agent = Agent::start(lab, "agent", wanted.port, &words)?;
    ending.covers(agent.pid(), lab.path());
    own.write(agent.pid(), &agent.log)?;
    agent.wait_nodes(1)?;
    println!("  ready: http://localhost:{}", wanted.port);
    Ok(agent)
}

/// As a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn play(agent: &Agent, flavour: Flavour) -> Result<()> {
    show(agent, &["node", "status"])?;
    for name in ["redis", "web", "setup"] {
        show(agent, &["job", "run", &flavour.file(name).display().to_string()])?;
    }
    show(agent, &["job", "dispatch", "-meta", "budget=200", "pytechco-setup"])?;
    show(agent, &["job", "run", &flavour.file("employee").display().to_string()])?;
    eventually("an employee to come to work", Duration::from_secs(60), || {
        let children = agent.children("pytechco-employee")?;
        Ok(children.iter().any(|job| job.status == "dead").then_some(()))
    })?;
    show(agent, &["job", "status"])
}

/// Where everything is.
fn last_words(lab: &Lab, agent: &Agent, wanted: &Wanted<'_>, flavour: Flavour, facing: Facing) -> Result<()> {
    println!("  web UI     http://localhost:{}", wanted.port);
    if !wanted.has("empty") {
        let page = agent.ask(&calls::service(&Query::new(), "ptc-web-svc"))?;
        let host = page.first().map_or("localhost", |instance| &instance.address);
        println!("  its page   http://{host}:{PAGE}");
    }
    let folder = lab.bin.parent().unwrap_or(lab.path()).display();
    let address = if wanted.port == HTTP { String::new() } else { format!(" NOMAD_ADDR={}", agent.addr) };
    println!("  command    export PATH=\"{folder}:$PATH\"{address}    # then: tarpan status");
    println!("  job files  {}", flavour.file("web").parent().unwrap_or(lab.path()).display());
    println!("  exposed    {}", facing.sentence());
    Ok(())
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

/// Stays until a signal ends this process ([`Ending`]), or the agent ends by itself.
fn stay(mut agent: Agent, ending: &Ending) -> Result<()> {
    loop {
        std::thread::sleep(Duration::from_millis(500));
        ending.hold();
        if agent.has_ended()? {
            ending.hold();
            bail!("the agent ended by itself:\n{}", agent.log_tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        let wanted = Wanted::of(&["empty", "port=5646"]).expect("flags");
        assert!(wanted.has("empty") && !wanted.has("check"));
        assert_eq!(wanted.port, 5646);
        assert!(Wanted::of(&["port=x"]).is_err() && Wanted::of(&["nope"]).is_err());
        assert_eq!(quoted("-bind"), "-bind");
        assert_eq!(quoted("-network-interface={{ x }}"), "'-network-interface={{ x }}'");
    }
}
