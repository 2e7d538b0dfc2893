//! Whoever uses the cluster: asks a server for something, remembers what was acknowledged, and asks again when state changed meanwhile.

use std::collections::BTreeMap;
use std::fmt;

use tarpan_control::jobs::admission::Rules;
use tarpan_control::jobs::{Deregister, Registration, Scale};
use tarpan_control::{allocs, deployments, dispatch, jobs, nodes};
use tarpan_model::node::DrainStrategy;
use tarpan_model::{AllocId, Allocation, DeploymentId, Dur, Eligibility, JobType, NamespacedId, UnixNanos};
use tarpan_state::{Command, Rejection, Reply, SchedulerConfig};

use crate::jobs::{Kind, Shape};
use crate::proposals::Why;
use crate::world::{Event, World};

/// How often one wish is decided anew.
const TRIES: u32 = 5;

/// What a user wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Register(Shape),
    Scale { job: String, count: i64 },
    Stop { job: String, purge: bool },
    Evaluate { job: String },
    Dispatch { job: String, token: String },
    Promote(DeploymentId),
    Fail(DeploymentId),
    Drain { agent: usize, on: bool, deadline: i64 },
    Eligible { agent: usize, on: bool },
    StopAlloc(AllocId),
    Preempt(bool),
}

#[derive(Debug)]
struct Asked {
    ask: Ask,
    tries: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Users {
    /// Jobs as they were last written.
    pub shapes: BTreeMap<String, Shape>,
    /// Asks nothing by themselves from then on.
    pub until: UnixNanos,
    open: BTreeMap<u64, Asked>,
    next: u64,
    names: u64,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Register(shape) => {
                write!(f, "register {} {:?} count {} revision {}", shape.id, shape.kind, shape.count, shape.revision)
            }
            Ask::Scale { job, count } => write!(f, "scale {job} to {count}"),
            Ask::Stop { job, purge: false } => write!(f, "stop {job}"),
            Ask::Stop { job, purge: true } => write!(f, "purge {job}"),
            Ask::Evaluate { job } => write!(f, "evaluate {job}"),
            Ask::Dispatch { job, .. } => write!(f, "dispatch {job}"),
            Ask::Promote(id) => write!(f, "promote {}", id.short()),
            Ask::Fail(id) => write!(f, "fail {}", id.short()),
            Ask::Drain { agent, on: true, .. } => write!(f, "drain n{agent}"),
            Ask::Drain { agent, on: false, .. } => write!(f, "undrain n{agent}"),
            Ask::Eligible { agent, on } => write!(f, "n{agent} {}eligible", if *on { "" } else { "in" }),
            Ask::StopAlloc(id) => write!(f, "stop allocation {}", id.short()),
            Ask::Preempt(on) => write!(f, "preemption {}", if *on { "on" } else { "off" }),
        }
    }
}

pub(crate) fn key(job: &str) -> NamespacedId {
    NamespacedId::new("default", job)
}

impl World {
    /// The users' time to do something.
    pub fn user_turn(&mut self) {
        if self.now >= self.users.until {
            return;
        }
        if let Some(ask) = self.draw_ask() {
            self.ask(ask);
        }
        let after = if self.users.shapes.len() < self.setup.jobs / 2 { 300 } else { 9_000 };
        let after = self.chance.millis(100, after);
        self.agenda.at(self.now + after, Event::User);
    }

    fn draw_ask(&mut self) -> Option<Ask> {
        let few = self.users.shapes.len() < self.setup.jobs;
        let names: Vec<String> = self.users.shapes.keys().cloned().collect();
        let job = self.chance.pick(&names).cloned();
        match self.chance.below(20) {
            _ if job.is_none() => Some(self.new_job()),
            0..=3 if few => Some(self.new_job()),
            0..=7 => self.new_version(&job?),
            8 => Some(Ask::Scale { job: job?, count: self.chance.between(0, 5) }),
            9 => Some(Ask::Stop { job: job?, purge: self.chance.one_in(3) }),
            10 => Some(Ask::Evaluate { job: job? }),
            11..=12 => self.draw_dispatch(),
            13..=14 => self.draw_deployment(),
            15..=16 => {
                let agent = self.chance.below(self.agents.len() as u64) as usize;
                let deadline = *self.chance.pick(&[0, 20, 60, -1]).unwrap_or(&0);
                Some(Ask::Drain { agent, on: self.chance.one_in(2), deadline })
            }
            17 => {
                let agent = self.chance.below(self.agents.len() as u64) as usize;
                Some(Ask::Eligible { agent, on: self.chance.one_in(2) })
            }
            18 => {
                // Not of system jobs: what is stopped there comes again with the next look, which nothing brings by itself.
                let every_node = |a: &Allocation| matches!(a.job.job_type(), JobType::System | JobType::SysBatch);
                let live = self.checks.truth().allocs().filter(|a| !a.terminal() && !every_node(a));
                let live: Vec<AllocId> = live.map(|a| a.id).collect();
                self.chance.pick(&live).map(|id| Ask::StopAlloc(*id))
            }
            _ => Some(Ask::Preempt(self.setup.preempts && self.chance.one_in(2))),
        }
    }

    fn new_job(&mut self) -> Ask {
        self.users.names += 1;
        Ask::Register(Shape::draw(&format!("j{}", self.users.names), &mut self.chance))
    }

    fn new_version(&mut self, job: &str) -> Option<Ask> {
        let mut shape = self.users.shapes.get(job)?.clone();
        match self.chance.below(4) {
            0 => shape.count = self.chance.between(0, 5),
            _ => shape.revision += 1,
        }
        shape.edit(&mut self.chance);
        Some(Ask::Register(shape))
    }

    fn draw_dispatch(&mut self) -> Option<Ask> {
        let parents = self.users.shapes.values().filter(|s| s.kind == Kind::Parameterized);
        let parents: Vec<String> = parents.map(|s| s.id.clone()).collect();
        let job = self.chance.pick(&parents)?.clone();
        let token = if self.chance.one_in(2) { String::new() } else { format!("t{}", self.chance.below(4)) };
        Some(Ask::Dispatch { job, token })
    }

    fn draw_deployment(&mut self) -> Option<Ask> {
        let active: Vec<DeploymentId> =
            self.checks.truth().deployments().filter(|d| d.active()).map(|d| d.id).collect();
        let id = *self.chance.pick(&active)?;
        Some(if self.chance.one_in(4) { Ask::Fail(id) } else { Ask::Promote(id) })
    }

    pub fn ask(&mut self, ask: Ask) {
        if let Ask::Register(shape) = &ask {
            self.users.shapes.insert(shape.id.clone(), shape.clone());
        }
        if let Ask::Stop { job, .. } = &ask {
            self.users.shapes.remove(job);
        }
        self.try_ask(Asked { ask, tries: 0 });
    }

    fn try_ask(&mut self, asked: Asked) {
        let alive: Vec<usize> = (0..self.servers.len()).filter(|s| self.servers[*s].alive).collect();
        let Some(s) = self.chance.pick(&alive).copied() else { return };
        match self.decide(s, &asked.ask) {
            Some(command) => {
                self.say(format_args!("user at s{s}: {}", asked.ask));
                self.checks.asked(&asked.ask);
                let number = self.users.next;
                self.users.next += 1;
                self.users.open.insert(number, asked);
                self.propose(s, Why::User(number), command);
            }
            None => self.say(format_args!("user at s{s}: {} (refused)", asked.ask)),
        }
    }

    /// What server `s` makes of it, by its own state.
    fn decide(&mut self, s: usize, ask: &Ask) -> Option<Command> {
        let now = self.clock(s);
        let state = &self.servers[s].memory.state;
        let rules = Rules { region: "global".to_owned(), max_count: 0, max_source: 0 };
        let ids = &mut self.chance;
        let node = |agent: &usize| self.agents[*agent].node.id;
        match ask {
            Ask::Register(shape) => {
                let asked = Registration { job: shape.job(), ..Registration::default() };
                jobs::register(state, &rules, asked, now, ids).ok().map(|accepted| accepted.command)
            }
            Ask::Scale { job, count } => {
                let asked = Scale { group: "group".to_owned(), count: Some(*count), ..Scale::default() };
                jobs::scale(state, &key(job), &asked, now, ids).ok()
            }
            Ask::Stop { job, purge } => {
                let how = Deregister { purge: *purge, ..Deregister::default() };
                jobs::deregister(state, &key(job), how, now, ids).ok()?.map(|(_, command)| command)
            }
            Ask::Evaluate { job } => {
                jobs::evaluate(state, &key(job), false, now, ids).ok().map(|reevaluated| reevaluated.command)
            }
            Ask::Dispatch { job, token } => {
                let parent = key(job);
                let request = dispatch::DispatchRequest {
                    idempotency_token: token.clone(),
                    ..dispatch::DispatchRequest::default()
                };
                match dispatch::dispatch(state, &parent, &request, now, ids).ok()? {
                    dispatch::Dispatch::Register(child) => {
                        Some(dispatch::launch(state, &parent, token, child, Vec::new()))
                    }
                    dispatch::Dispatch::Exists(_) => None,
                }
            }
            Ask::Promote(id) => deployments::promote(state, *id, None, now, ids).ok(),
            Ask::Fail(id) => deployments::fail(state, *id, now, ids).ok(),
            Ask::Drain { agent, on, deadline } => {
                let strategy =
                    on.then(|| DrainStrategy { deadline: Dur::from_secs(*deadline), ..DrainStrategy::default() });
                nodes::set_drain(state, node(agent), strategy, !on, now, ids).ok()
            }
            Ask::Eligible { agent, on } => {
                let wish = if *on { Eligibility::Eligible } else { Eligibility::Ineligible };
                nodes::set_eligibility(state, node(agent), wish, now, ids).ok().flatten()
            }
            Ask::StopAlloc(id) => {
                allocs::stop(state, *id, allocs::Stop::default(), now, ids).map(|(_, command)| command)
            }
            Ask::Preempt(on) => {
                let config = SchedulerConfig {
                    preemption_system: *on,
                    preemption_sysbatch: *on,
                    preemption_batch: *on,
                    preemption_service: *on,
                    ..SchedulerConfig::default()
                };
                Some(Command::SetSchedulerConfig { config, check_index: None })
            }
        }
    }

    pub fn user_answered(&mut self, s: usize, number: u64, written: Option<(u64, Reply)>) {
        let Some(mut asked) = self.users.open.remove(&number) else { return };
        match written {
            Some((_, Reply::Refused(Rejection::Changed))) if asked.tries < TRIES => {
                asked.tries += 1;
                self.try_ask(asked);
            }
            Some((_, Reply::Refused(why))) => self.say(format_args!("{} was refused: {why}", asked.ask)),
            Some((index, reply)) => {
                self.say(format_args!("{} is done at {index}", asked.ask));
                self.checks.acknowledged(s, &asked.ask, &reply);
            }
            None => self.say(format_args!("{}: nobody knows", asked.ask)),
        }
    }

    /// What people do once the trouble is over: promote what is well, let nodes work again; without `patience` give up rollouts
    /// that go on.
    pub fn tidy_up(&mut self, patience: Dur) {
        let truth = self.checks.truth();
        let mut asks: Vec<Ask> =
            truth.deployments().filter(|d| d.requires_promotion()).map(|d| Ask::Promote(d.id)).collect();
        // Nobody waits for ever for canaries that never come to be well.
        let late = patience.0 == 0;
        let stuck = truth.deployments().filter(|d| late && d.active() && truth.job_live(&d.job_key()).blocked == 0);
        asks.extend(stuck.map(|d| Ask::Fail(d.id)));
        for (agent, node) in self.agents.iter().enumerate() {
            let Some(row) = truth.node(node.node.id) else { continue };
            if row.drain.is_some() {
                asks.push(Ask::Drain { agent, on: false, deadline: 0 });
            } else if row.eligibility == Eligibility::Ineligible {
                asks.push(Ask::Eligible { agent, on: true });
            }
        }
        asks.into_iter().for_each(|ask| self.ask(ask));
    }
}
