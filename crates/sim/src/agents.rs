//! Agents as models: they connect, beat, run what they are told to, report what became of it, and keep it running while nobody hears
//! of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alloc::{AllocUpdate, TaskState, TaskStateKind};
use tarpan_model::resources::NodeResources;
use tarpan_model::{AllocId, Allocation, ClientStatus, DeploymentId, Dur, JobType, Node, NodeId, UnixNanos};
use tarpan_state::Seen;
use uuid::Uuid;

use crate::chance::Chance;
use crate::jobs;
use crate::server::Clock;
use crate::sessions::{FromAgent, FromServer};
use crate::setup::Setup;
use crate::world::{Broken, Event, World};

/// An agent gives up on a server that is silent for this long.
const SILENCE: Dur = Dur::from_secs(5);
/// Beats without an answer, before the session is given up.
const UNHEARD: u32 = 2;
/// A report that was not answered by then ends the session.
const UNANSWERED: Dur = Dur::from_secs(15);

/// Where an allocation is on its node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Starting {
        until: UnixNanos,
    },
    /// `ends`: when it ends by itself, and whether it fails then.
    Running {
        ends: Option<(UnixNanos, bool)>,
    },
    Stopping {
        until: UnixNanos,
    },
    Over,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub row: Arc<Allocation>,
    phase: Phase,
    pub status: ClientStatus,
    started: UnixNanos,
    finished: UnixNanos,
    /// Health, for which deployment, and when it is known.
    health: Option<(bool, DeploymentId)>,
    health_at: Option<UnixNanos>,
    /// Something is to be reported.
    news: bool,
}

#[derive(Debug)]
struct Link {
    server: usize,
    session: u64,
    welcomed: bool,
    /// When it is given up unless it is welcomed.
    until: UnixNanos,
    arrives: UnixNanos,
    next_beat: UnixNanos,
    ttl: Dur,
    unheard: u32,
    reports: u64,
    unanswered: BTreeMap<u64, (UnixNanos, Vec<AllocUpdate>)>,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub node: Node,
    pub alive: bool,
    pub life: u64,
    pub clock: Clock,
    link: Option<Link>,
    connect_at: UnixNanos,
    pub allocs: BTreeMap<AllocId, Held>,
    seen: Seen,
    /// The turn that is on the agenda.
    turn: Option<UnixNanos>,
}

impl Agent {
    pub fn new(index: usize, setup: &Setup, chance: &mut Chance) -> Agent {
        let node = node(index, setup, chance);
        let clock = Clock { measured: chance.millis(-300, 300), wall: Dur::ZERO };
        let (link, connect_at) = (None, UnixNanos::ZERO);
        let (allocs, seen) = (BTreeMap::new(), Seen::default());
        Agent { node, alive: false, life: 0, clock, link, connect_at, allocs, seen, turn: None }
    }

    /// What runs, or is about to.
    pub fn running(&self) -> impl Iterator<Item = &Held> {
        self.allocs.values().filter(|held| matches!(held.phase, Phase::Starting { .. } | Phase::Running { .. }))
    }
}

fn node(index: usize, setup: &Setup, chance: &mut Chance) -> Node {
    let id = NodeId(Uuid::from_u128((0xA0DE << 64) | (index as u128 + 1)));
    let mut node = Node::new(id, &format!("n{index}"), if index % 3 == 2 { "dc2" } else { "dc1" });
    node.secret_id = Uuid::from_u128((0x5EC << 64) | (index as u128 + 1));
    node.node_class = Arc::from(if index.is_multiple_of(2) { "even" } else { "odd" });
    node.attributes.insert(Arc::from("kernel.name"), Arc::from("linux"));
    node.attributes.insert(Arc::from("driver.mock"), Arc::from("1"));
    let healthy = tarpan_model::node::DriverInfo { detected: true, healthy: true, ..Default::default() };
    node.drivers.insert(Arc::from("mock"), healthy);
    node.resources = NodeResources {
        cpu_mhz: if setup.tight { 600 } else { 1_000 + 500 * chance.between(0, 2) },
        cpu_cores: 4,
        reservable_cores: (0..4).collect(),
        memory_mb: 1_024,
        disk_mb: 10_000,
        networks: vec![tarpan_model::resources::NodeNetwork {
            mode: "host".to_owned(),
            device: "eth0".to_owned(),
            speed_mbits: 1_000,
            addresses: vec![tarpan_model::resources::NodeAddress {
                family: "ipv4".to_owned(),
                alias: "default".to_owned(),
                address: format!("10.0.0.{}", index + 1),
                ..Default::default()
            }],
            ..Default::default()
        }],
        min_dynamic_port: 20_000,
        max_dynamic_port: 20_040,
        ..NodeResources::default()
    };
    node.computed_class = tarpan_scheduler::computed_class(&node);
    node
}

impl World {
    /// The agent's process begins; tasks that run go on.
    pub fn start_agent(&mut self, a: usize) {
        let soon = self.chance.millis(0, 500);
        let now = self.now;
        let agent = &mut self.agents[a];
        agent.alive = true;
        agent.life += 1;
        agent.link = None;
        agent.turn = None;
        agent.connect_at = now + soon;
        // What was not acknowledged is said again: the agent does not know what was.
        agent.allocs.values_mut().for_each(|held| held.news = true);
        self.agent_due(a, now + soon);
    }

    pub fn crash_agent(&mut self, a: usize) {
        let agent = &mut self.agents[a];
        agent.alive = false;
        agent.life += 1;
        agent.link = None;
        self.say(format_args!("agent n{a} crashes"));
    }

    /// The machine goes, and all that runs on it.
    pub fn lose_machine(&mut self, a: usize) {
        self.crash_agent(a);
        let now = self.agents[a].clock.now(self.now);
        for held in self.agents[a].allocs.values_mut().filter(|held| held.phase != Phase::Over) {
            (held.phase, held.finished) = (Phase::Over, now);
            held.status = ClientStatus::Failed;
        }
    }

    fn agent_due(&mut self, a: usize, at: UnixNanos) {
        let agent = &mut self.agents[a];
        if agent.turn.is_some_and(|turn| turn <= at) {
            return;
        }
        agent.turn = Some(at);
        let life = agent.life;
        self.agenda.at(at, Event::Agent { agent: a, life });
    }

    /// Does all that is due, and notes when something is again.
    pub fn agent_turn(&mut self, a: usize) {
        self.agents[a].turn = None;
        self.move_tasks(a);
        self.keep_link(a);
        self.report(a);
        let now = self.now;
        let agent = &self.agents[a];
        let tasks = agent.allocs.values().flat_map(|held| held.due());
        let link = match &agent.link {
            None => [Some(agent.connect_at), None],
            Some(link) if link.welcomed => [Some(link.next_beat), None],
            Some(link) => [Some(link.until), None],
        };
        let due = tasks.chain(link).flatten().min();
        if let Some(at) = due {
            self.agent_due(a, at.max(now + Dur::from_millis(1)));
        }
    }

    fn keep_link(&mut self, a: usize) {
        let now = self.now;
        let agent = &self.agents[a];
        let Some(link) = &agent.link else {
            if agent.connect_at <= now {
                self.connect(a);
            }
            return;
        };
        let unanswered = link.unanswered.values().any(|(since, _)| now.since(*since) > UNANSWERED);
        let beats = link.welcomed && link.next_beat <= now;
        if unanswered || (!link.welcomed && link.until <= now) || (beats && link.unheard >= UNHEARD) {
            return self.unlink(a);
        }
        if beats {
            if let Some(link) = &mut self.agents[a].link {
                link.unheard += 1;
                link.schedule(now);
            }
            self.tell_server(a, FromAgent::Beat);
        }
    }

    fn connect(&mut self, a: usize) {
        let there: Vec<usize> = (0..self.servers.len()).filter(|s| self.servers[*s].alive).collect();
        let now = self.now;
        let Some(server) = self.chance.pick(&there).copied() else {
            self.agents[a].connect_at = now + Dur::from_secs(1);
            return;
        };
        self.sessions += 1;
        let session = self.sessions;
        let agent = &mut self.agents[a];
        let (until, arrives, next_beat) = (now + SILENCE, UnixNanos::ZERO, now);
        let unanswered = BTreeMap::new();
        let (ttl, unheard, reports) = (Dur::from_secs(10), 0, 0);
        let welcomed = false;
        agent.link =
            Some(Link { server, session, welcomed, until, arrives, next_beat, ttl, unheard, reports, unanswered });
        let have = agent.allocs.iter().map(|(id, held)| (*id, held.row.alloc_modify_index)).collect();
        let seen = agent.seen.clone();
        self.tell_server(a, FromAgent::Hello { have, seen });
    }

    /// The session is over: what was not acknowledged will be said again.
    pub fn unlink(&mut self, a: usize) {
        let again = self.now + self.chance.millis(100, 2_000);
        let agent = &mut self.agents[a];
        let Some(link) = agent.link.take() else { return };
        for update in link.unanswered.values().flat_map(|(_, updates)| updates) {
            if let Some(held) = agent.allocs.get_mut(&update.id) {
                held.news = true;
            }
        }
        agent.connect_at = again;
        self.agent_due(a, again);
    }

    /// A server's process is gone: its connections close.
    pub fn close_links(&mut self, s: usize) {
        for a in 0..self.agents.len() {
            if self.agents[a].link.as_ref().is_some_and(|link| link.server == s) && !self.net.away.contains(&a) {
                self.unlink(a);
            }
        }
    }

    /// What was said did not arrive.
    pub fn break_link(&mut self, a: usize, session: u64) {
        if self.agents[a].link.as_ref().is_some_and(|link| link.session == session) {
            self.unlink(a);
        }
    }

    fn tell_server(&mut self, a: usize, word: FromAgent) {
        let delay = self.delay();
        let now = self.now;
        let Some(link) = &mut self.agents[a].link else { return };
        let at = (now + delay).max(link.arrives + Dur(1));
        link.arrives = at;
        let (server, session) = (link.server, link.session);
        self.agenda.at(at, Event::Up { agent: a, server, session, word });
    }

    pub fn hear_server(&mut self, a: usize, server: usize, session: u64, word: FromServer) {
        let now = self.now;
        let agent = &mut self.agents[a];
        let Some(link) = agent.link.as_mut().filter(|l| agent.alive && (l.server, l.session) == (server, session))
        else {
            return;
        };
        match word {
            FromServer::Welcome { ttl, index, epochs } => {
                link.welcomed = true;
                link.answered(now, ttl);
                agent.seen = Seen { index: index.max(agent.seen.index), epochs };
            }
            FromServer::Beat { ttl } => link.answered(now, ttl),
            FromServer::Ack { number } => {
                if let Some((_, updates)) = link.unanswered.remove(&number) {
                    self.note_acknowledged(a, updates);
                }
            }
            FromServer::Orders { rows, forget, epochs } => {
                agent.seen.epochs = epochs;
                for row in rows {
                    self.agents[a].seen.index = self.agents[a].seen.index.max(row.alloc_modify_index);
                    self.obey(a, row);
                }
                for id in forget {
                    self.forget(a, id);
                }
            }
            FromServer::End => self.unlink(a),
        }
        self.agent_due(a, now);
    }

    fn obey(&mut self, a: usize, row: Arc<Allocation>) {
        let now = self.now;
        let starts = now + self.chance.millis(100, 3_000);
        let stops = now + self.chance.millis(50, 4_000);
        let agent = &mut self.agents[a];
        let Some(held) = agent.allocs.get_mut(&row.id) else {
            if row.client_terminal() {
                return;
            }
            let phase = if row.server_terminal() { Phase::Over } else { Phase::Starting { until: starts } };
            let status = if row.server_terminal() { ClientStatus::Complete } else { ClientStatus::Pending };
            agent.allocs.insert(row.id, Held::new(row, phase, status));
            return;
        };
        let old = std::mem::replace(&mut held.row, row);
        // Servers that do not know how it is are told.
        let alive = matches!(held.phase, Phase::Starting { .. } | Phase::Running { .. });
        if held.row.client_status == ClientStatus::Unknown {
            held.news = true;
        }
        if alive && held.row.server_terminal() {
            held.phase = Phase::Stopping { until: stops };
            let row = held.row.clone();
            self.check_kill(a, &row);
        } else if alive && old.deployment_id != held.row.deployment_id {
            held.health = None;
            held.health_at = Some(now + self.chance.millis(1_000, 6_000));
        }
    }

    /// The servers do not have it any more.
    fn forget(&mut self, a: usize, id: AllocId) {
        let Some(held) = self.agents[a].allocs.remove(&id) else { return };
        if matches!(held.phase, Phase::Starting { .. } | Phase::Running { .. }) {
            self.check_kill(a, &held.row);
        }
    }

    fn move_tasks(&mut self, a: usize) {
        let now = self.now;
        let clock = self.agents[a].clock.now(now);
        if self.broken == Some(Broken::KillsHealthy) && self.chance.one_in(200) {
            self.kill_one(a);
        }
        for held in self.agents[a].allocs.values_mut() {
            held.advance(now, clock, &mut self.chance);
        }
    }

    /// For a test of the check.
    fn kill_one(&mut self, a: usize) {
        let running = self.agents[a].allocs.values_mut().find(|held| matches!(held.phase, Phase::Running { .. }));
        let Some(held) = running else { return };
        held.phase = Phase::Stopping { until: self.now };
        let row = held.row.clone();
        self.check_kill(a, &row);
    }

    fn report(&mut self, a: usize) {
        let now = self.now;
        let agent = &mut self.agents[a];
        let clock = agent.clock.now(now);
        let Some(link) = agent.link.as_mut().filter(|link| link.welcomed && link.unanswered.len() < 4) else { return };
        let news = agent.allocs.values_mut().filter(|held| held.news);
        let said = news.map(|held| {
            held.news = false;
            held.update(clock)
        });
        let updates: Vec<AllocUpdate> = said.collect();
        if updates.is_empty() {
            return;
        }
        link.reports += 1;
        let number = link.reports;
        link.unanswered.insert(number, (now, updates.clone()));
        self.tell_server(a, FromAgent::Report { number, updates });
    }
}

impl Link {
    fn answered(&mut self, now: UnixNanos, ttl: Dur) {
        self.unheard = 0;
        self.ttl = ttl;
        self.schedule(now);
    }

    /// A little before the time to live is over.
    fn schedule(&mut self, now: UnixNanos) {
        self.next_beat = now + Dur(self.ttl.0 / 5 * 4);
    }
}

impl Held {
    fn new(row: Arc<Allocation>, phase: Phase, status: ClientStatus) -> Held {
        let news = phase == Phase::Over;
        let (started, finished) = (UnixNanos::ZERO, UnixNanos::ZERO);
        Held { row, phase, status, started, finished, health: None, health_at: None, news }
    }

    /// When something of it is due.
    fn due(&self) -> [Option<UnixNanos>; 2] {
        let phase = match self.phase {
            Phase::Starting { until } | Phase::Stopping { until } => Some(until),
            Phase::Running { ends } => ends.map(|(at, _)| at),
            Phase::Over => None,
        };
        [phase, self.health_at]
    }

    /// `clock` is the agent's time, `now` the run's.
    fn advance(&mut self, now: UnixNanos, clock: UnixNanos, chance: &mut Chance) {
        match self.phase {
            Phase::Starting { until } if until <= now => {
                self.phase = Phase::Running { ends: jobs::ends(&self.row, now, chance) };
                (self.status, self.started, self.news) = (ClientStatus::Running, clock, true);
                self.health_at = Some(now + chance.millis(1_000, 6_000));
            }
            Phase::Running { ends: Some((at, failed)) } if at <= now => {
                self.phase = Phase::Over;
                self.status = if failed { ClientStatus::Failed } else { ClientStatus::Complete };
                (self.finished, self.news) = (clock, true);
            }
            Phase::Stopping { until } if until <= now => {
                self.phase = Phase::Over;
                (self.status, self.finished, self.news) = (ClientStatus::Complete, clock, true);
            }
            _ => {}
        }
        if self.health_at.is_some_and(|at| at <= now) {
            self.health_at = None;
            let watched = self.row.job.job_type() == JobType::Service || self.row.deployment_id.is_some();
            if watched && self.health.is_none() {
                let healthy = matches!(self.phase, Phase::Running { .. }) && !jobs::is_sick(&self.row, chance);
                self.health = Some((healthy, self.row.deployment_id.unwrap_or_default()));
                self.news = true;
            }
        }
    }

    fn update(&self, clock: UnixNanos) -> AllocUpdate {
        let state = match self.phase {
            Phase::Starting { .. } => TaskStateKind::Pending,
            Phase::Running { .. } | Phase::Stopping { .. } => TaskStateKind::Running,
            Phase::Over => TaskStateKind::Dead,
        };
        let task = TaskState {
            state,
            failed: self.status == ClientStatus::Failed,
            started_at: self.started,
            finished_at: self.finished,
            ..TaskState::default()
        };
        AllocUpdate {
            id: self.row.id,
            client_status: self.status,
            client_description: Arc::from(""),
            task_states: Arc::new([(Arc::from("task"), task)].into_iter().collect()),
            healthy: self.health.map(|(healthy, _)| healthy),
            health_of: self.health.map(|(_, of)| of),
            network_status: None,
            modify_time: clock,
        }
    }
}
