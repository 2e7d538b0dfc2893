//! The whole of a run: servers, agents, whoever uses them, the network between them, and what is to happen next.
//!
//! [`World::run_until`] takes one event after the other and gives it to whom it concerns; promises are checked where state changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;

use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{CommandId, Envelope, Reply};

use crate::agenda::Agenda;
use crate::agents::Agent;
use crate::chance::Chance;
use crate::checks::Checks;
use crate::faults::Fault;
use crate::lead::Part;
use crate::proposals::Proposal;
use crate::raft::{Append, AppendAck};
use crate::server::{Handed, Server};
use crate::sessions::{FromAgent, FromServer};
use crate::setup::Setup;
use crate::trace::Trace;
use crate::users::Users;

/// What a test breaks in the model, to see that it is noticed. Production code has no such switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A follower acknowledges what its disk does not have yet.
    AcksUnflushed,
    /// A crash takes the last entries that were flushed, too.
    LosesFlushed,
    /// Plans are committed as they are proposed, without a look at what the nodes have left.
    UncheckedPlans,
    /// A command that is sent again comes under a new id.
    ForgetsIds,
    /// An agent now and then stops a task that it was not told to stop.
    KillsHealthy,
    /// A server passes over a command now and then.
    SkipsCommands,
    /// Reports of agents are acknowledged and not written.
    LosesReports,
    /// Placements are put on another node than the scheduler chose.
    PlacesAnywhere,
}

/// What a server process has to look at by itself.
#[derive(Debug)]
pub(crate) enum Wake {
    Election,
    RaftBeat {
        term: u64,
    },
    Flushed {
        index: u64,
        term: u64,
    },
    /// What was handed in becomes an entry.
    Cut,
    /// A proposal was not answered yet.
    Again(CommandId),
    Reports,
    /// A loop of the leader's.
    Turn {
        term: u64,
        part: Part,
        at: UnixNanos,
    },
    /// An agent waits for an answer until the state has what it saw.
    Welcome {
        agent: usize,
        session: u64,
    },
}

/// What servers say to each other.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few are on their way at a time")]
pub(crate) enum Word {
    Append(Append),
    AppendAck(AppendAck),
    /// A command for the leader.
    Forward {
        ticket: CommandId,
        envelope: Envelope,
    },
    /// What became of it.
    Answer {
        ticket: CommandId,
        index: u64,
        reply: Reply,
    },
    /// The node of this agent gave a sign of life.
    Alive {
        agent: usize,
    },
    /// The session of this agent is to end.
    Kick {
        agent: usize,
    },
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few are on the agenda at a time")]
pub(crate) enum Event {
    Server {
        server: usize,
        life: u64,
        what: Wake,
    },
    Arrives {
        from: usize,
        to: usize,
        word: Word,
    },
    Up {
        agent: usize,
        server: usize,
        session: u64,
        word: FromAgent,
    },
    Down {
        agent: usize,
        server: usize,
        session: u64,
        word: FromServer,
    },
    /// Something of this agent is due.
    Agent {
        agent: usize,
        life: u64,
    },
    Fault(Fault),
    User,
}

/// What is wrong with the network at the moment.
#[derive(Debug, Default)]
pub(crate) struct Net {
    /// From one server to another, one way.
    pub cut: BTreeSet<(usize, usize)>,
    /// Agents that reach no server.
    pub away: BTreeSet<usize>,
    /// Of a thousand messages between servers.
    pub lost: u64,
    pub repeated: u64,
    /// Messages take this many milliseconds at most.
    pub delay: i64,
}

pub(crate) struct World {
    /// True time since the run began.
    pub now: UnixNanos,
    pub agenda: Agenda<Event>,
    pub chance: Chance,
    pub trace: Trace,
    pub setup: Setup,
    pub net: Net,
    pub servers: Vec<Server>,
    pub agents: Vec<Agent>,
    pub proposals: BTreeMap<CommandId, Proposal>,
    pub users: Users,
    pub checks: Checks,
    pub broken: Option<Broken>,
    /// Counts sessions of agents.
    pub sessions: u64,
}

impl World {
    /// Everything is started at time 0.
    pub fn new(setup: Setup, mut chance: Chance, broken: Option<Broken>, keep_all: bool) -> World {
        let servers = (0..setup.servers).map(|_| Server::default()).collect();
        let agents = (0..setup.nodes).map(|i| Agent::new(i, &setup, &mut chance)).collect();
        let net = Net { delay: 5, ..Net::default() };
        let mut world = World {
            now: UnixNanos::ZERO,
            agenda: Agenda::default(),
            chance,
            trace: Trace::new(keep_all),
            setup,
            net,
            servers,
            agents,
            proposals: BTreeMap::new(),
            users: Users::default(),
            checks: Checks::default(),
            broken,
            sessions: 0,
        };
        for s in 0..world.servers.len() {
            world.servers[s].clock.wall = world.chance.millis(-200, 200);
            world.start_server(s);
        }
        for agent in 0..world.agents.len() {
            world.start_agent(agent);
        }
        world
    }

    pub fn say(&mut self, text: Arguments<'_>) {
        self.trace.line(self.now, &text.to_string());
    }

    /// Goes on until that time, or until a promise is broken.
    pub fn run_until(&mut self, until: UnixNanos) {
        while let Some((at, event)) = self.agenda.pop(until) {
            self.now = at;
            self.happen(event);
            if let Some(broken) = self.checks.broken() {
                let text = format!("BROKEN {broken}");
                self.trace.line(self.now, &text);
                return;
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Server { server, life, what } => {
                if self.servers[server].alive && self.servers[server].life == life {
                    self.server_wakes(server, what);
                }
            }
            Event::Arrives { from, to, word } => {
                if self.servers[to].alive {
                    self.hear(to, from, word);
                }
            }
            Event::Up { agent, server, session, word } => {
                if self.net.away.contains(&agent) {
                    self.break_link(agent, session);
                } else if self.servers[server].alive {
                    self.hear_agent(server, agent, session, word);
                }
            }
            Event::Down { agent, server, session, word } => {
                if self.net.away.contains(&agent) {
                    self.drop_session(server, agent, session);
                } else {
                    self.hear_server(agent, server, session, word);
                }
            }
            Event::Agent { agent, life } => {
                if self.agents[agent].alive && self.agents[agent].life == life {
                    self.agent_turn(agent);
                }
            }
            Event::Fault(fault) => self.fault(fault),
            Event::User => self.user_turn(),
        }
    }

    fn server_wakes(&mut self, s: usize, what: Wake) {
        match what {
            Wake::Election => self.election(s),
            Wake::RaftBeat { term } => self.raft_beat(s, term),
            Wake::Flushed { index, term } => self.flushed(s, index, term),
            Wake::Cut => self.cut(s),
            Wake::Again(id) => self.again(id),
            Wake::Reports => self.write_reports(s),
            Wake::Turn { term, part, at } => self.turn(s, term, part, at),
            Wake::Welcome { agent, session } => self.welcome(s, agent, session),
        }
    }

    fn hear(&mut self, to: usize, from: usize, word: Word) {
        match word {
            Word::Append(append) => self.hear_append(to, from, append),
            Word::AppendAck(ack) => self.hear_append_ack(to, from, ack),
            Word::Forward { ticket, envelope } if self.servers[to].memory.leads => {
                self.hand_in(to, Handed { envelope, origin: from, ticket });
            }
            // Whoever sent it tries again.
            Word::Forward { .. } => {}
            Word::Answer { ticket, index, reply } => self.hear_answer(to, ticket, index, reply),
            Word::Alive { agent } => drop(self.note_beat(to, agent)),
            Word::Kick { agent } => self.end_session(to, agent),
        }
    }

    /// Does what `from` says reach `to`?
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        from == to || !self.net.cut.contains(&(from, to))
    }

    /// Sends between servers: what the network does to it is drawn here.
    pub fn send(&mut self, from: usize, to: usize, word: Word) {
        if !self.reaches(from, to) || self.chance.permille(self.net.lost) {
            return;
        }
        if let Word::Forward { ticket, envelope } = &word
            && self.chance.permille(self.net.repeated)
        {
            let again = Word::Forward { ticket: *ticket, envelope: envelope.clone() };
            let after = Dur(self.delay().0 + self.delay().0);
            self.agenda.at(self.now + after, Event::Arrives { from, to, word: again });
        }
        let after = self.delay();
        self.agenda.at(self.now + after, Event::Arrives { from, to, word });
    }

    pub fn delay(&mut self) -> Dur {
        // Most take about as long; a few take ten times that.
        let most = self.net.delay * if self.chance.one_in(50) { 10 } else { 1 };
        self.chance.millis(1, most.max(1))
    }

    pub fn fault_in(&mut self, after: Dur, fault: Fault) {
        self.agenda.at(self.now + after, Event::Fault(fault));
    }
}
