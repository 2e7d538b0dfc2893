//! Runs that a person wrote: a line says what is asked for, what goes wrong, how long to wait, or what has to be seen.
//!
//! ```text
//! servers 3                                   # before anything else; 3 and 4 unless said
//! nodes 4
//! job web service count=3 max_parallel=1      # also a new version: revision=2; see `shape` for the keys
//! run 20s                                     # virtual time; an `m` counts minutes
//! away n1                                     # and: back, lose, crash, start, cut, join, slow, clock
//! expect running web 3                        # and: unknown, version, rollout, node, children
//! ```
//!
//! Promises are checked all the way, and at the end everything has to heal. [`play`] names the line of whatever is not so.

use tarpan_model::duration::SECOND;
use tarpan_model::{ClientStatus, Dur};

use crate::chance::Chance;
use crate::faults::Fault;
use crate::jobs::{Disconnect, Kind, Shape, Update};
use crate::setup::Setup;
use crate::users::{Ask, key};
use crate::world::World;
use crate::{Report, report};

/// A line that can't be read, or that did not come true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScenarioError {
    pub line: usize,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Run(Dur),
    Ask(Ask),
    /// Of the job's newest rollout.
    Promote(String),
    Fail(String),
    Fault(Fault),
    CrashLeader,
    Cut(usize),
    Expect(Expect),
}

#[derive(Clone, Debug, PartialEq)]
enum Expect {
    /// Allocations of a job with this status, the servers' wish being that they run.
    Allocs {
        status: ClientStatus,
        job: String,
        count: usize,
    },
    Version {
        job: String,
        version: u64,
    },
    Rollout {
        job: String,
        status: String,
    },
    Node {
        node: usize,
        status: String,
    },
    Children {
        job: String,
        count: usize,
    },
}

/// Plays a scenario. The report is of the whole run, its end included.
pub fn play(text: &str) -> Result<Report, ScenarioError> {
    let (setup, steps) = parse(text)?;
    let mut world = World::new(setup, Chance::new(1), None, true);
    world.run_until(tarpan_model::UnixNanos::from_secs(5));
    for (line, step) in steps {
        let wrong = |what: String| ScenarioError { line, what };
        world.play(step).map_err(wrong)?;
        if let Some(promise) = world.checks.broken() {
            return Err(wrong(format!("{promise}\n{}", tail(&world))));
        }
    }
    world.setup.busy = Dur(world.now.0);
    world.end_well();
    Ok(report(1, &world))
}

fn tail(world: &World) -> String {
    let lines: Vec<&str> = world.trace.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl World {
    fn play(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Run(time) => self.run_until(self.now + time),
            Step::Ask(ask) => self.ask(ask),
            Step::Promote(job) => self.ask(Ask::Promote(self.rollout(&job)?)),
            Step::Fail(job) => self.ask(Ask::Fail(self.rollout(&job)?)),
            Step::Fault(fault) => self.fault(fault),
            Step::CrashLeader => {
                let leader = (0..self.servers.len()).find(|s| self.servers[*s].leads());
                self.fault(Fault::Crash(leader.ok_or("nobody leads")?));
            }
            Step::Cut(s) => {
                let others: Vec<usize> = (0..self.servers.len()).filter(|other| *other != s).collect();
                self.fault(Fault::Cut { from: vec![s], to: others.clone() });
                self.fault(Fault::Cut { from: others, to: vec![s] });
            }
            Step::Expect(expect) => return self.expect(&expect).map_err(|what| format!("{what}\n{}", tail(self))),
        }
        Ok(())
    }

    fn rollout(&self, job: &str) -> Result<tarpan_model::DeploymentId, String> {
        let newest = self.checks.truth().latest_deployment(&key(job));
        newest.map(|d| d.id).ok_or_else(|| format!("{job} has no rollout"))
    }

    fn expect(&self, expect: &Expect) -> Result<(), String> {
        let state = self.checks.truth();
        let is = |what: &str, found: String, wanted: String| {
            if found == wanted { Ok(()) } else { Err(format!("{what}: {found}, not {wanted}")) }
        };
        match expect {
            Expect::Allocs { status, job, count } => {
                let key = key(job);
                let mut found = 0;
                for alloc in state.allocs_by_job(&key).filter(|a| !a.server_terminal()) {
                    found += usize::from(alloc.client_status == *status);
                }
                is(&format!("{status} of {job}"), found.to_string(), count.to_string())
            }
            Expect::Version { job, version } => {
                let found = state.job(&key(job)).map_or_else(|| "none".to_owned(), |j| j.version().to_string());
                is(&format!("version of {job}"), found, version.to_string())
            }
            Expect::Rollout { job, status } => {
                let found = state.latest_deployment(&key(job)).map_or("none", |d| d.status.as_str());
                is(&format!("rollout of {job}"), found.to_owned(), status.clone())
            }
            Expect::Node { node, status } => {
                let id = self.agents.get(*node).ok_or_else(|| format!("no node n{node}"))?.node.id;
                let found = state.node(id).map_or("none", |n| n.status.as_str());
                is(&format!("n{node}"), found.to_owned(), status.clone())
            }
            Expect::Children { job, count } => {
                is(&format!("children of {job}"), state.job_children(&key(job)).count().to_string(), count.to_string())
            }
        }
    }
}

fn parse(text: &str) -> Result<(Setup, Vec<(usize, Step)>), ScenarioError> {
    let mut setup = Setup {
        servers: 3,
        nodes: 4,
        jobs: 0,
        workers: 2,
        tight: false,
        preempts: false,
        busy: Dur::ZERO,
        faults: false,
        most: usize::MAX,
        part: usize::MAX,
    };
    let mut steps = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let step = match words[..] {
            [] => continue,
            ["servers", n] => number(n).map(|n| setup.servers = n).map(|()| None),
            ["nodes", n] => number(n).map(|n| setup.nodes = n).map(|()| None),
            _ => step(&words, &setup).map(Some),
        };
        let step = step.map_err(|what| ScenarioError { line: at + 1, what })?;
        steps.extend(step.map(|step| (at + 1, step)));
    }
    Ok((setup, steps))
}

fn step(words: &[&str], setup: &Setup) -> Result<Step, String> {
    let node = |word: &str| place(word, 'n', setup.nodes);
    let server = |word: &str| place(word, 's', setup.servers);
    let ask = |ask| Ok(Step::Ask(ask));
    let fault = |fault| Ok(Step::Fault(fault));
    match *words {
        ["run", time] => Ok(Step::Run(duration(time)?)),
        ["job", name, kind, ref settings @ ..] => ask(Ask::Register(shape(name, kind, settings)?)),
        ["stop", job] => ask(Ask::Stop { job: job.to_owned(), purge: false }),
        ["purge", job] => ask(Ask::Stop { job: job.to_owned(), purge: true }),
        ["scale", job, count] => ask(Ask::Scale { job: job.to_owned(), count: number(count)? as i64 }),
        ["dispatch", job, token] => ask(Ask::Dispatch { job: job.to_owned(), token: token.to_owned() }),
        ["promote", job] => Ok(Step::Promote(job.to_owned())),
        ["fail", job] => Ok(Step::Fail(job.to_owned())),
        ["drain", at] => ask(Ask::Drain { agent: node(at)?, on: true, deadline: 0 }),
        ["undrain", at] => ask(Ask::Drain { agent: node(at)?, on: false, deadline: 0 }),
        ["crash", "leader"] => Ok(Step::CrashLeader),
        ["crash", at] if at.starts_with('n') => fault(Fault::CrashAgent(node(at)?)),
        ["start", at] if at.starts_with('n') => fault(Fault::StartAgent(node(at)?)),
        ["crash", at] => fault(Fault::Crash(server(at)?)),
        ["start", at] => fault(Fault::Start(server(at)?)),
        ["cut", at] => Ok(Step::Cut(server(at)?)),
        ["join"] => fault(Fault::Join),
        ["slow", at, time] => fault(Fault::SlowDisk { server: server(at)?, secs: duration(time)?.0 / SECOND }),
        ["clock", at, by] => fault(Fault::StepClock { server: server(at)?, by: duration(by)? }),
        ["lose", at] => fault(Fault::LoseMachine(node(at)?)),
        ["away", at] => fault(Fault::Away(node(at)?)),
        ["back", at] => fault(Fault::Back(node(at)?)),
        ["expect", ref what @ ..] => expect(what, setup).map(Step::Expect),
        _ => Err(format!("what is {:?}?", words.join(" "))),
    }
}

fn expect(words: &[&str], setup: &Setup) -> Result<Expect, String> {
    match *words {
        ["version", job, n] => Ok(Expect::Version { job: job.to_owned(), version: number(n)? as u64 }),
        ["rollout", job, status] => Ok(Expect::Rollout { job: job.to_owned(), status: status.to_owned() }),
        ["node", at, status] => Ok(Expect::Node { node: place(at, 'n', setup.nodes)?, status: status.to_owned() }),
        ["children", job, n] => Ok(Expect::Children { job: job.to_owned(), count: number(n)? }),
        [status, job, n] => {
            let status = ClientStatus::parse(status).ok_or_else(|| format!("what is {status:?} of a job?"))?;
            Ok(Expect::Allocs { status, job: job.to_owned(), count: number(n)? })
        }
        _ => Err(format!("expect what: {:?}?", words.join(" "))),
    }
}

/// `key=value` of a job: count, cpu, revision, max_parallel, canary, auto_promote, auto_revert, lost_after, replace, reconcile,
/// class, port, run, fails, sick.
fn shape(name: &str, kind: &str, settings: &[&str]) -> Result<Shape, String> {
    let kind = match kind {
        "service" => Kind::Service,
        "batch" => Kind::Batch,
        "system" => Kind::System,
        "sysbatch" => Kind::SysBatch,
        "periodic" => Kind::Periodic,
        "parameterized" => Kind::Parameterized,
        other => return Err(format!("what kind of job is {other:?}?")),
    };
    let mut shape = Shape::new(name, kind);
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting:?} has no value"))?;
        set(&mut shape, key, value)?;
    }
    Ok(shape)
}

fn set(shape: &mut Shape, key: &str, value: &str) -> Result<(), String> {
    let none = Update { max_parallel: 1, canary: 0, auto_promote: false, auto_revert: false };
    let disconnect = || Disconnect { lost_after: 60, replace: true, reconcile: "keep_original".to_owned() };
    match key {
        "count" => shape.count = number(value)? as i64,
        "cpu" => shape.cpu = number(value)? as i64,
        "revision" => shape.revision = number(value)? as u64,
        "max_parallel" => shape.update.get_or_insert(none).max_parallel = number(value)? as i64,
        "canary" => shape.update.get_or_insert(none).canary = number(value)? as i64,
        "auto_promote" => shape.update.get_or_insert(none).auto_promote = value == "true",
        "auto_revert" => shape.update.get_or_insert(none).auto_revert = value == "true",
        "lost_after" => shape.disconnect.get_or_insert_with(disconnect).lost_after = duration(value)?.0 / SECOND,
        "replace" => shape.disconnect.get_or_insert_with(disconnect).replace = value == "true",
        "reconcile" => shape.disconnect.get_or_insert_with(disconnect).reconcile = value.to_owned(),
        "class" => shape.constraint = Some(("node.class".to_owned(), value.to_owned())),
        "port" => shape.port = Some(number(value)? as i64),
        "run" => shape.run = Some(duration(value)?.0 / SECOND),
        "fails" => shape.fails = number(value)? as u64,
        "sick" => shape.sick = number(value)? as u64,
        _ => return Err(format!("a job has no {key:?}")),
    }
    Ok(())
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

/// `20s`, `5m`, `-1m`.
fn duration(word: &str) -> Result<Dur, String> {
    let wrong = || format!("{word:?} is no time: 20s, 5m");
    let (number, secs) = match word.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (word.strip_suffix('s').ok_or_else(wrong)?, 1),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    Ok(Dur::from_secs(number * secs))
}

/// `n2`, `s0`.
fn place(word: &str, kind: char, count: usize) -> Result<usize, String> {
    let number = word.strip_prefix(kind).and_then(|n| n.parse().ok());
    number
        .filter(|n| *n < count)
        .ok_or_else(|| format!("{word:?} is none of {kind}0 to {kind}{}", count.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        play(text).expect_err("can't be read").to_string()
    }

    #[test]
    fn a_line_that_cant_be_read_is_named() {
        assert_eq!(wrong("servers 3\n\nrun 20"), "line 3: \"20\" is no time: 20s, 5m");
        assert_eq!(wrong("jump 3"), "line 1: what is \"jump 3\"?");
        assert_eq!(wrong("nodes 2\naway n2 # too many"), "line 2: \"n2\" is none of n0 to n1");
        assert_eq!(wrong("job web service count=x"), "line 1: \"x\" is no number");
        assert_eq!(wrong("job web robot"), "line 1: what kind of job is \"robot\"?");
        assert_eq!(wrong("job web service size=3"), "line 1: a job has no \"size\"");
        assert_eq!(wrong("expect waiting web 3"), "line 1: what is \"waiting\" of a job?");
    }

    #[test]
    fn what_does_not_come_true_is_named() {
        let wrong = wrong("job web service count=2\nrun 20s\nexpect running web 3");
        assert!(wrong.starts_with("line 3: running of web: 2, not 3\n"), "{wrong}");
    }
}
