//! The servers' side of agents' sessions: who is welcome, what a node is told, how reports become commands.
//!
//! Follows `server/src/sessions`. A session is in order and loses nothing until it ends; what was on its way then is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_control::{follow_ups, nodes};
use tarpan_model::alloc::AllocUpdate;
use tarpan_model::ids::NodeId;
use tarpan_model::{AllocId, Allocation, Dur, NodeStatus, UnixNanos};
use tarpan_state::{Change, Command, Epoch, Event as Changed, Seen, Standing, State};

use crate::proposals::Why;
use crate::world::{Broken, Event, Wake, World};

/// How long an agent waits for a server whose state is behind.
const PATIENCE: Dur = Dur::from_secs(4);
const LOOK: Dur = Dur::from_millis(100);
/// Reports within this time share a command.
const TICK: Dur = Dur::from_millis(8);
/// What a server that does not lead tells an agent.
const TTL: Dur = Dur::from_secs(10);

#[derive(Debug)]
pub(crate) enum FromAgent {
    /// What it holds (allocation and index) and what it has seen.
    Hello {
        have: Vec<(AllocId, u64)>,
        seen: Seen,
    },
    Beat,
    Report {
        number: u64,
        updates: Vec<AllocUpdate>,
    },
}

#[derive(Debug)]
pub(crate) enum FromServer {
    Welcome { ttl: Dur, index: u64, epochs: Vec<Epoch> },
    Orders { rows: Vec<Arc<Allocation>>, forget: Vec<AllocId>, epochs: Vec<Epoch> },
    Ack { number: u64 },
    Beat { ttl: Dur },
    End,
}

/// One agent's session, at the server.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    /// What the agent holds, as far as it was told.
    sent: BTreeMap<AllocId, u64>,
    seen: Seen,
    until: UnixNanos,
    registering: bool,
    welcomed: bool,
    /// Nothing arrives before what was sent earlier.
    arrives: UnixNanos,
}

impl World {
    pub fn hear_agent(&mut self, s: usize, agent: usize, number: u64, word: FromAgent) {
        if let FromAgent::Hello { have, seen } = word {
            let until = self.now + PATIENCE;
            let sent = have.into_iter().collect();
            let arrives = UnixNanos::ZERO;
            let session = Session { number, sent, seen, until, registering: false, welcomed: false, arrives };
            self.servers[s].memory.sessions.insert(agent, session);
            return self.welcome(s, agent, number);
        }
        if self.session(s, agent, number).is_none_or(|session| !session.welcomed) {
            return self.tell_agent(s, agent, number, FromServer::End);
        }
        let ttl = self.sign_of_life(s, agent);
        match word {
            FromAgent::Beat => self.hear_beat(s, agent, number, ttl),
            FromAgent::Report { number: report, updates } => self.hear_report(s, agent, number, report, updates),
            FromAgent::Hello { .. } => {}
        }
    }

    fn session(&mut self, s: usize, agent: usize, number: u64) -> Option<&mut Session> {
        self.servers[s].memory.sessions.get_mut(&agent).filter(|session| session.number == number)
    }

    fn tell_agent(&mut self, s: usize, agent: usize, number: u64, word: FromServer) {
        let delay = self.delay();
        let mut at = self.now + delay;
        if let Some(session) = self.session(s, agent, number) {
            at = at.max(session.arrives + Dur(1));
            session.arrives = at;
        }
        self.agenda.at(at, Event::Down { agent, server: s, session: number, word });
    }

    /// Whatever it says, it is alive; whoever leads is told.
    fn sign_of_life(&mut self, s: usize, agent: usize) -> Dur {
        if let Some(ttl) = self.note_beat(s, agent) {
            return ttl;
        }
        if let Some(leader) = self.servers[s].memory.leader.filter(|leader| *leader != s) {
            self.send(s, leader, crate::world::Word::Alive { agent });
        }
        TTL
    }

    /// Takes an agent in as soon as the state here holds what it has seen.
    pub fn welcome(&mut self, s: usize, agent: usize, number: u64) {
        let now = self.now;
        let Some(session) = self.session(s, agent, number).filter(|session| !session.registering) else { return };
        let (seen, until) = (session.seen.clone(), session.until);
        let state = self.servers[s].state();
        let standing = state.lineage().standing(state.index(), &seen);
        if let Standing::Forked { at } = standing {
            let text = format!("at index {at} after what it saw of {}", seen.index);
            return self.checks.fail(s, "no agent has seen another history", &text);
        }
        if standing != Standing::Holds || !state.lineage().settled() {
            if now >= until {
                return self.end_session(s, agent);
            }
            return self.wake(s, LOOK, Wake::Welcome { agent, session: number });
        }
        let node = self.agents[agent].node.clone();
        if state.node(node.id).is_some_and(|known| known.status == NodeStatus::Ready) {
            return self.registered(s, agent, number, true, false);
        }
        if let Some(session) = self.session(s, agent, number) {
            session.registering = true;
        }
        let now = self.clock(s);
        let command = nodes::register(self.servers[s].memory.state_ref(), node, now, &mut self.chance);
        self.propose(s, Why::Register { agent, session: number }, command);
    }

    /// The node is written; `woken`: and was brought nearer to being ready.
    pub fn registered(&mut self, s: usize, agent: usize, number: u64, written: bool, woken: bool) {
        if self.session(s, agent, number).is_none() {
            return;
        }
        if !written {
            return self.end_session(s, agent);
        }
        // A sign of life of a node that is not ready, before anything that its agent reports.
        let (now, node) = (self.clock(s), self.agents[agent].node.id);
        let state = self.servers[s].memory.state_ref();
        if !woken && let Some(command) = nodes::heartbeat(state, node, now, &mut self.chance) {
            return self.propose(s, Why::Wake { agent, session: number }, command);
        }
        let ttl = self.sign_of_life(s, agent);
        let state = self.servers[s].state();
        let (index, epochs) = (state.index(), state.lineage().newest().to_vec());
        let node = self.agents[agent].node.id;
        if let Some(session) = self.session(s, agent, number) {
            session.welcomed = true;
        }
        self.tell_agent(s, agent, number, FromServer::Welcome { ttl, index, epochs });
        let state = self.servers[s].state();
        let mut ids: Vec<AllocId> = state.allocs_by_node(node).map(|a| a.id).collect();
        let held = self.servers[s].memory.sessions.get(&agent).map(|session| &session.sent);
        ids.extend(held.into_iter().flat_map(|sent| sent.keys()).filter(|id| state.alloc(**id).is_none()));
        self.order(s, agent, ids);
    }

    /// What was sent did not arrive: nothing more is sent in this session.
    pub fn drop_session(&mut self, s: usize, agent: usize, number: u64) {
        if self.session(s, agent, number).is_some() {
            self.servers[s].memory.sessions.remove(&agent);
        }
    }

    pub fn end_session(&mut self, s: usize, agent: usize) {
        let Some(session) = self.servers[s].memory.sessions.remove(&agent) else { return };
        self.tell_agent(s, agent, session.number, FromServer::End);
    }

    /// Sends what is new of these allocations.
    fn order(&mut self, s: usize, agent: usize, ids: Vec<AllocId>) {
        let node = self.agents[agent].node.id;
        let memory = &mut self.servers[s].memory;
        let Some(session) = memory.sessions.get_mut(&agent).filter(|session| session.welcomed) else { return };
        let (number, mut rows, mut forget) = (session.number, Vec::new(), Vec::new());
        for id in ids {
            match memory.state.alloc(id).filter(|a| a.node_id == node) {
                Some(row) if is_news(session.sent.get(&id), row) => {
                    session.sent.insert(id, row.alloc_modify_index);
                    rows.push(row.clone());
                }
                Some(_) => {}
                None if session.sent.remove(&id).is_some() => forget.push(id),
                None => {}
            }
        }
        if rows.is_empty() && forget.is_empty() {
            return;
        }
        let epochs = memory.state.lineage().newest().to_vec();
        self.tell_agent(s, agent, number, FromServer::Orders { rows, forget, epochs });
    }

    /// Sessions learn what changed for their nodes.
    pub fn follow_state(&mut self, s: usize, events: &[Changed]) {
        let mut by_node: BTreeMap<NodeId, Vec<AllocId>> = BTreeMap::new();
        for event in events {
            if let Change::Allocation { row, .. } = &event.change {
                by_node.entry(row.node_id).or_default().push(row.id);
            }
        }
        for (node, ids) in by_node {
            if let Some(agent) = self.agents.iter().position(|a| a.node.id == node) {
                self.order(s, agent, ids);
            }
        }
    }

    /// In memory only, unless the node has to become ready again.
    fn hear_beat(&mut self, s: usize, agent: usize, number: u64, ttl: Dur) {
        let (now, node) = (self.clock(s), self.agents[agent].node.id);
        let state = self.servers[s].memory.state_ref();
        let Some(status) = state.node(node).map(|n| n.status) else { return self.end_session(s, agent) };
        if status != NodeStatus::Ready
            && let Some(command) = nodes::heartbeat(state, node, now, &mut self.chance)
        {
            self.propose(s, Why::Nobody, command);
        }
        self.tell_agent(s, agent, number, FromServer::Beat { ttl });
    }

    fn hear_report(&mut self, s: usize, agent: usize, number: u64, report: u64, mut updates: Vec<AllocUpdate>) {
        let node = self.agents[agent].node.id;
        let state = self.servers[s].state();
        // What is not there was removed by a decision: the agent is told to forget it.
        updates.retain(|u| state.alloc(u.id).is_some_and(|a| a.node_id == node));
        if updates.is_empty() || self.broken == Some(Broken::LosesReports) && self.chance.one_in(20) {
            return self.tell_agent(s, agent, number, FromServer::Ack { number: report });
        }
        let reports = &mut self.servers[s].memory.reports;
        reports.updates.extend(updates);
        reports.acks.push((agent, number, report));
        if reports.acks.len() == 1 {
            self.wake(s, TICK, Wake::Reports);
        }
    }

    pub fn write_reports(&mut self, s: usize) {
        let now = self.clock(s);
        let reports = std::mem::take(&mut self.servers[s].memory.reports);
        let state = self.servers[s].memory.state_ref();
        let evals = follow_ups::client_updates(state, &reports.updates, now, &mut self.chance);
        self.propose(s, Why::Reports(reports.acks), Command::UpdateAllocs { updates: reports.updates, evals, now });
    }

    pub fn reports_written(&mut self, s: usize, acks: Vec<(usize, u64, u64)>, written: bool) {
        for (agent, number, report) in acks {
            if self.session(s, agent, number).is_none() {
                continue;
            }
            // What was not written is sent again by the agent when it connects anew.
            match written {
                true => self.tell_agent(s, agent, number, FromServer::Ack { number: report }),
                false => self.end_session(s, agent),
            }
        }
    }
}

/// An allocation that ended and that the agent does not know is none of its business.
fn is_news(sent: Option<&u64>, row: &Allocation) -> bool {
    match sent {
        Some(index) => *index < row.alloc_modify_index,
        None => !row.client_terminal(),
    }
}

impl crate::server::Memory {
    /// For borrows beside the chance.
    fn state_ref(&self) -> &State {
        &self.state
    }
}
