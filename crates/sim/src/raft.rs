//! A model of raft that keeps raft's promises: a leader a term, who has all that is committed; an entry is committed when a majority
//! has flushed it; what was not flushed is gone with a crash.
//!
//! Messages are lost, late and repeated like any others. Votes are counted at once, among those that the candidate reaches both
//! ways, and only an election that would be won is held: raft with pre-vote, without its messages.

use std::sync::Arc;

use tarpan_model::Dur;
use tarpan_state::State;

use crate::server::{Entry, Handed, Memory, Payload};
use crate::world::{Broken, Event, Wake, Word, World};

/// A leader says this often that it is there.
const BEAT: Dur = Dur::from_millis(400);
/// A follower that hears nothing for this and up to as much again calls an election.
const PATIENCE: Dur = Dur::from_millis(1_000);
/// Entries in one message.
const MOST: usize = 64;
/// A snapshot is taken each time this many entries were applied.
pub(crate) const SNAPSHOT_EVERY: u64 = 128;

/// What a leader sends.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub term: u64,
    /// What comes before the entries.
    pub prev: u64,
    pub prev_term: u64,
    pub entries: Vec<Arc<Entry>>,
    pub commit: u64,
}

/// What a follower answers.
#[derive(Clone, Debug)]
pub(crate) struct AppendAck {
    pub term: u64,
    /// Flushed up to here, in the leader's term.
    pub matched: u64,
    /// The logs part: try behind this index.
    pub conflict: Option<u64>,
}

impl World {
    pub(crate) fn wake(&mut self, server: usize, after: Dur, what: Wake) {
        let life = self.servers[server].life;
        self.agenda.at(self.now + after, Event::Server { server, life, what });
    }

    /// A process begins: memory from the snapshot, the rest from the log as it becomes committed again.
    pub(crate) fn start_server(&mut self, s: usize) {
        let count = self.servers.len();
        let now = self.now;
        let server = &mut self.servers[s];
        server.alive = true;
        server.life += 1;
        server.clock.measured = server.clock.wall;
        server.memory = Memory { heard: now, next: vec![1; count], matched: vec![0; count], ..Memory::default() };
        server.memory.answered = vec![now; count];
        if let Some(bytes) = &server.disk.snapshot {
            match State::restore(bytes) {
                Ok(state) => server.memory.state = state,
                Err(error) => self.checks.fail(s, "a snapshot can be read", &error.to_string()),
            }
        }
        let server = &mut self.servers[s];
        server.memory.commit = server.memory.state.index();
        let patience = self.patience();
        self.wake(s, patience, Wake::Election);
        self.say(format_args!("s{s} starts"));
    }

    /// The process dies, and with it what was not flushed.
    pub(crate) fn crash_server(&mut self, s: usize) {
        if self.broken == Some(Broken::LosesFlushed) {
            let flushed = self.servers[s].disk.flushed;
            self.servers[s].disk.cut(flushed.saturating_sub(3));
        }
        let server = &mut self.servers[s];
        server.alive = false;
        server.life += 1;
        let lost = server.disk.last() - server.disk.flushed;
        server.disk.cut(server.disk.flushed);
        server.memory = Memory::default();
        self.drop_proposals_of(s);
        self.close_links(s);
        self.say(format_args!("s{s} crashes, {lost} entries lost"));
    }

    fn patience(&mut self) -> Dur {
        let more = self.chance.millis(0, PATIENCE.0 / 1_000_000);
        Dur(PATIENCE.0 + more.0)
    }

    /// Nobody was heard of for too long.
    pub(crate) fn election(&mut self, s: usize) {
        let patience = self.patience();
        self.wake(s, patience, Wake::Election);
        let quiet = |world: &World, p: usize| {
            let memory = &world.servers[p].memory;
            !memory.leads && world.now.since(memory.heard) >= PATIENCE
        };
        if self.servers[s].memory.leads || !quiet(self, s) {
            return;
        }
        let term = self.servers[s].disk.term + 1;
        let mine = last(&self.servers[s].disk);
        let votes = |world: &World, p: usize| {
            let other = &world.servers[p];
            let new = other.disk.term < term && last(&other.disk) <= mine;
            p == s || (other.alive && world.reaches(s, p) && world.reaches(p, s) && new && quiet(world, p))
        };
        let voters: Vec<usize> = (0..self.servers.len()).filter(|p| votes(self, *p)).collect();
        if voters.len() * 2 <= self.servers.len() {
            self.servers[s].memory.leader = None;
            return;
        }
        for voter in voters {
            let now = self.now;
            let server = &mut self.servers[voter];
            server.disk.term = term;
            server.memory.leader = None;
            server.memory.heard = now;
        }
        self.become_leader(s, term);
    }

    fn become_leader(&mut self, s: usize, term: u64) {
        let (now, count) = (self.now, self.servers.len());
        let server = &mut self.servers[s];
        let last = server.disk.last();
        server.memory.leads = true;
        server.memory.leader = Some(s);
        server.memory.next = vec![last + 1; count];
        server.memory.matched = vec![0; count];
        server.memory.matched[s] = server.disk.flushed;
        server.memory.answered = vec![now; count];
        self.say(format_args!("s{s} leads term {term} from index {last}"));
        self.checks.new_leader(s, &self.servers[s].disk);
        self.append(s, Payload::Term);
        self.wake(s, Dur::ZERO, Wake::RaftBeat { term });
        self.propose_begin(s, term);
    }

    fn step_down(&mut self, s: usize) {
        let memory = &mut self.servers[s].memory;
        if !memory.leads {
            return;
        }
        memory.leads = false;
        memory.leader = None;
        memory.lead = None;
        memory.inbox.clear();
        self.drop_proposals_of_lead(s);
        self.say(format_args!("s{s} does not lead any more"));
    }

    /// The leader's word that it is there, with what is missing. One that no majority answers gives up: its lease is over.
    pub(crate) fn raft_beat(&mut self, s: usize, term: u64) {
        if !self.servers[s].memory.leads || self.servers[s].disk.term != term {
            return;
        }
        let (now, memory) = (self.now, &self.servers[s].memory);
        let lately = |p: &usize| *p == s || now.since(memory.answered[*p]) < Dur(4 * PATIENCE.0);
        let heard = (0..self.servers.len()).filter(lately).count();
        if heard * 2 <= self.servers.len() {
            return self.step_down(s);
        }
        self.replicate(s);
        self.wake(s, BEAT, Wake::RaftBeat { term });
    }

    fn append(&mut self, s: usize, payload: Payload) {
        let disk = &mut self.servers[s].disk;
        disk.log.push(Arc::new(Entry { term: disk.term, payload }));
        self.flush(s);
        self.replicate(s);
    }

    /// Hands a command to the log of a server that leads; what comes soon after shares its entry.
    pub(crate) fn hand_in(&mut self, s: usize, handed: Handed) {
        self.servers[s].memory.inbox.push(handed);
        if self.servers[s].memory.inbox.len() == 1 {
            let after = self.chance.millis(0, 3);
            self.wake(s, after, Wake::Cut);
        }
    }

    /// What waits becomes one entry.
    pub(crate) fn cut(&mut self, s: usize) {
        let handed = std::mem::take(&mut self.servers[s].memory.inbox);
        if !self.servers[s].memory.leads || handed.is_empty() {
            return;
        }
        let (envelopes, origins) = handed.into_iter().map(|h| (h.envelope, (h.origin, h.ticket))).unzip();
        self.append(s, Payload::Commands { envelopes, origins });
    }

    fn flush(&mut self, s: usize) {
        let slow = self.servers[s].disk.slow_until > self.now;
        let server = &mut self.servers[s];
        if server.memory.flushing || server.disk.flushed >= server.disk.last() {
            return;
        }
        server.memory.flushing = true;
        let index = server.disk.last();
        let term = server.disk.term_at(index);
        let after = if slow { self.chance.millis(200, 2_500) } else { self.chance.millis(1, 8) };
        self.wake(s, after, Wake::Flushed { index, term });
    }

    pub(crate) fn flushed(&mut self, s: usize, index: u64, term: u64) {
        let server = &mut self.servers[s];
        server.memory.flushing = false;
        // Cut off and written anew meanwhile: that has a flush of its own.
        if server.disk.term_at(index) == term {
            server.disk.flushed = server.disk.flushed.max(index);
        }
        if server.memory.leads {
            server.memory.matched[s] = server.disk.flushed;
            self.advance(s);
        } else if let Some(leader) = self.servers[s].memory.leader {
            self.acknowledge(s, leader, None);
        }
        self.flush(s);
    }

    fn acknowledge(&mut self, s: usize, leader: usize, conflict: Option<u64>) {
        let server = &self.servers[s];
        let (term, (verified_in, verified)) = (server.disk.term, server.memory.verified);
        let mut matched = if verified_in == term { verified.min(server.disk.flushed) } else { 0 };
        if self.broken == Some(Broken::AcksUnflushed) && verified_in == term {
            matched = verified;
        }
        self.send(s, leader, Word::AppendAck(AppendAck { term, matched, conflict }));
    }

    fn replicate(&mut self, s: usize) {
        for p in (0..self.servers.len()).filter(|p| *p != s) {
            let server = &self.servers[s];
            let prev = server.memory.next[p] - 1;
            let entries: Vec<Arc<Entry>> = server.disk.log.iter().skip(prev as usize).take(MOST).cloned().collect();
            let append = Append {
                term: server.disk.term,
                prev,
                prev_term: server.disk.term_at(prev),
                entries,
                commit: server.memory.commit,
            };
            self.send(s, p, Word::Append(append));
        }
    }

    pub(crate) fn hear_append(&mut self, p: usize, from: usize, append: Append) {
        if append.term < self.servers[p].disk.term {
            return self.acknowledge(p, from, None);
        }
        if self.servers[p].disk.term != append.term || self.servers[p].memory.leads {
            self.step_down(p);
        }
        let now = self.now;
        let server = &mut self.servers[p];
        server.disk.term = append.term;
        server.memory.heard = now;
        server.memory.leader = Some(from);
        let disk = &mut server.disk;
        if append.prev > disk.last() || disk.term_at(append.prev) != append.prev_term {
            let conflict = disk.last().min(append.prev.saturating_sub(1));
            return self.acknowledge(p, from, Some(conflict));
        }
        let mut index = append.prev;
        for entry in append.entries {
            index += 1;
            if disk.last() >= index && disk.term_at(index) != entry.term {
                disk.cut(index - 1);
            }
            if disk.last() < index {
                disk.log.push(entry);
            }
        }
        let memory = &mut server.memory;
        memory.verified = match memory.verified {
            (term, verified) if term == append.term => (term, verified.max(index)),
            _ => (append.term, index),
        };
        memory.commit = memory.commit.max(append.commit.min(memory.verified.1));
        self.flush(p);
        self.apply(p);
        self.acknowledge(p, from, None);
    }

    pub(crate) fn hear_append_ack(&mut self, s: usize, from: usize, ack: AppendAck) {
        let now = self.now;
        let server = &mut self.servers[s];
        if ack.term > server.disk.term {
            server.disk.term = ack.term;
            return self.step_down(s);
        }
        if !server.memory.leads || ack.term != server.disk.term {
            return;
        }
        let memory = &mut server.memory;
        memory.answered[from] = now;
        if let Some(conflict) = ack.conflict {
            let again = conflict.max(memory.matched[from]) + 1;
            if again < memory.next[from] {
                memory.next[from] = again;
                self.replicate(s);
            }
            return;
        }
        memory.matched[from] = memory.matched[from].max(ack.matched);
        memory.next[from] = memory.next[from].max(memory.matched[from] + 1);
        self.advance(s);
    }

    /// What a majority has flushed is committed, up to the last entry of this term.
    fn advance(&mut self, s: usize) {
        let server = &mut self.servers[s];
        let mut matched = server.memory.matched.clone();
        matched.sort_unstable();
        let by_majority = matched[(matched.len() - 1) / 2];
        if by_majority > server.memory.commit && server.disk.term_at(by_majority) == server.disk.term {
            server.memory.commit = by_majority;
            self.apply(s);
            // Others are told at once at times, and else with the next beat.
            if self.chance.one_in(2) {
                self.replicate(s);
            }
        }
    }

    /// Applies what is committed.
    fn apply(&mut self, s: usize) {
        loop {
            let server = &mut self.servers[s];
            let index = server.state().index() + 1;
            if index > server.memory.commit {
                return;
            }
            let Some(entry) = server.disk.entry(index).cloned() else { return };
            let before = server.memory.state.clone();
            let replies = match &entry.payload {
                Payload::Term => {
                    server.memory.state.begin_term(index);
                    Vec::new()
                }
                // Only one server does: else all would be equal again.
                Payload::Commands { .. }
                    if s == 1 && self.broken == Some(Broken::SkipsCommands) && index.is_multiple_of(97) =>
                {
                    server.memory.state.apply(index, &[]);
                    return;
                }
                Payload::Commands { envelopes, .. } => server.memory.state.apply(index, envelopes),
            };
            let events = server.memory.state.take_events();
            if index.is_multiple_of(SNAPSHOT_EVERY) {
                let bytes = server.memory.state.snapshot();
                self.checks.snapshot(s, index, &bytes);
                self.servers[s].disk.snapshot = Some(bytes);
            }
            self.applied(s, index, &entry, &before, replies, events);
            if self.checks.failed() {
                return;
            }
        }
    }
}

/// What is compared when a vote is asked for.
fn last(disk: &crate::server::Disk) -> (u64, u64) {
    (disk.term_at(disk.last()), disk.last())
}
