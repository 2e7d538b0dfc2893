//! Commands on their way into the log, as whoever proposes sees them: tried again under the same id wherever the leader is, until it
//! is known what became of them or patience ends. Then they may have been written or not.

use std::sync::Arc;

use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{Command, CommandId, Envelope, Event, Reply, State};

use crate::lead::LeadWrite;
use crate::server::{Entry, Handed, Payload};
use crate::world::{Broken, Wake, Word, World};

/// As long as a server of ours tries. Source: `server/src/raft`, `LEADER_PATIENCE`.
const PATIENCE: Dur = Dur::from_secs(10);
/// An answer that did not come by then is asked for again.
const AGAIN: Dur = Dur::from_millis(1_200);

/// Who waits for what becomes of a command.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// A leader's first entry: its loops begin when it is applied.
    Begin {
        term: u64,
    },
    /// A loop of the leader of this term.
    Lead {
        term: u64,
        what: LeadWrite,
    },
    /// Reports of agents: agent, session, number of the report.
    Reports(Vec<(usize, u64, u64)>),
    /// An agent's node, before the agent is welcomed.
    Register {
        agent: usize,
        session: u64,
    },
    /// That it is alive, before the agent is welcomed.
    Wake {
        agent: usize,
        session: u64,
    },
    /// What a user asked for, by number.
    User(u64),
    Nobody,
}

#[derive(Debug)]
pub(crate) struct Proposal {
    server: usize,
    envelope: Envelope,
    why: Why,
    until: UnixNanos,
    /// The term in which this server put it into its own log.
    own: Option<u64>,
    /// Answered from elsewhere, and not applied here yet.
    answered: Option<(u64, Reply)>,
}

impl World {
    pub fn propose(&mut self, s: usize, why: Why, command: Command) {
        let id = CommandId(u128::from(self.chance.number()) << 64 | u128::from(self.chance.number()));
        let envelope = Envelope { id, command };
        // Plans stay in the leader's log for as long as it leads.
        let plan = matches!(why, Why::Lead { what: LeadWrite::Plan(_) | LeadWrite::Finish(_), .. });
        let until = if plan { UnixNanos(i64::MAX) } else { self.now + PATIENCE };
        let proposal = Proposal { server: s, envelope, why, until, own: None, answered: None };
        self.proposals.insert(id, proposal);
        self.attempt(id);
    }

    /// A leader's first command names its history; its loops begin with the answer.
    pub fn propose_begin(&mut self, s: usize, term: u64) {
        self.propose(s, Why::Begin { term }, Command::Noop);
    }

    fn attempt(&mut self, id: CommandId) {
        let Some(proposal) = self.proposals.get_mut(&id) else { return };
        let s = proposal.server;
        let term = self.servers[s].disk.term;
        match self.servers[s].memory.leader {
            Some(leader) if leader == s && proposal.own != Some(term) => {
                proposal.own = Some(term);
                let envelope = proposal.envelope.clone();
                self.hand_in(s, Handed { envelope, origin: s, ticket: id });
            }
            // It is in the log already.
            Some(leader) if leader == s => {}
            Some(leader) => {
                let mut envelope = proposal.envelope.clone();
                if self.broken == Some(Broken::ForgetsIds) {
                    envelope.id = CommandId(u128::from(self.chance.number()));
                }
                self.send(s, leader, Word::Forward { ticket: id, envelope });
            }
            None => {}
        }
        self.wake(s, AGAIN, Wake::Again(id));
    }

    /// No answer yet.
    pub fn again(&mut self, id: CommandId) {
        let Some(proposal) = self.proposals.get(&id) else { return };
        if proposal.until > self.now {
            return self.attempt(id);
        }
        if let Some(proposal) = self.proposals.remove(&id) {
            self.done(proposal.server, proposal.why, None);
        }
    }

    pub fn hear_answer(&mut self, s: usize, id: CommandId, index: u64, reply: Reply) {
        let Some(proposal) = self.proposals.get_mut(&id).filter(|p| p.server == s) else { return };
        proposal.answered = Some((index, reply));
        self.answer_applied(s);
    }

    /// Whoever proposes reads its own write here: an answer counts once this server has applied it.
    fn answer_applied(&mut self, s: usize) {
        let index = self.servers[s].state().index();
        let ready = |p: &Proposal| p.server == s && p.answered.as_ref().is_some_and(|(at, _)| *at <= index);
        let ids: Vec<CommandId> = self.proposals.iter().filter(|(_, p)| ready(p)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(proposal) = self.proposals.remove(&id) {
                self.done(s, proposal.why, proposal.answered);
            }
        }
    }

    /// A server applied an entry: state changed there, and whoever waits there is answered.
    pub fn applied(
        &mut self,
        s: usize,
        index: u64,
        entry: &Arc<Entry>,
        before: &State,
        replies: Vec<Reply>,
        events: Vec<Event>,
    ) {
        self.check_applied(s, index, entry, before, &replies, &events);
        self.follow_state(s, &events);
        self.lead_observes(s, events);
        if let Payload::Commands { origins, .. } = &entry.payload {
            let leads = self.servers[s].memory.leads;
            for ((origin, ticket), reply) in origins.iter().zip(replies) {
                if *origin != s {
                    if leads {
                        self.send(s, *origin, Word::Answer { ticket: *ticket, index, reply });
                    }
                    continue;
                }
                let mine = self.proposals.get(ticket).is_some_and(|p| p.server == s && p.own.is_some());
                if let Some(proposal) = mine.then(|| self.proposals.remove(ticket)).flatten() {
                    self.done(s, proposal.why, Some((index, reply)));
                }
            }
        }
        self.answer_applied(s);
    }

    /// `None`: it is not known whether it was written.
    fn done(&mut self, s: usize, why: Why, written: Option<(u64, Reply)>) {
        match why {
            Why::Begin { term } => self.begin_lead(s, term, written.is_some()),
            Why::Lead { term, what } => self.lead_wrote(s, term, what, written),
            Why::Reports(acks) => self.reports_written(s, acks, written.is_some()),
            Why::Register { agent, session } => self.registered(s, agent, session, written.is_some(), false),
            Why::Wake { agent, session } => self.registered(s, agent, session, written.is_some(), true),
            Why::User(number) => self.user_answered(s, number, written),
            Why::Nobody => {}
        }
    }

    /// The process is gone, and whoever waited in it.
    pub fn drop_proposals_of(&mut self, s: usize) {
        let gone: Vec<CommandId> = self.proposals.iter().filter(|(_, p)| p.server == s).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(Proposal { why: Why::User(number), .. }) = self.proposals.remove(&id) {
                self.user_answered(s, number, None);
            }
        }
    }

    /// The leader's loops are gone; what others proposed here is tried again elsewhere.
    pub fn drop_proposals_of_lead(&mut self, s: usize) {
        self.proposals.retain(|_, p| p.server != s || !matches!(p.why, Why::Lead { .. } | Why::Begin { .. }));
    }
}
