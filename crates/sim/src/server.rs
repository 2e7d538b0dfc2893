//! One server: what is on its disk, what is in its memory, and its clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{CommandId, Envelope, State};

use crate::lead::Lead;
use crate::sessions::Session;

/// When the clocks of a run begin: 2026-01-01T00:00:00Z.
pub(crate) const START: UnixNanos = UnixNanos(1_767_225_600_000_000_000);

/// What an entry of the log carries.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Of raft's own: a term begins.
    Term,
    /// Commands, each with the server that waits for what becomes of it and the id that it waits for.
    Commands { envelopes: Vec<Envelope>, origins: Vec<(usize, CommandId)> },
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub term: u64,
    pub payload: Payload,
}

/// A command on its way into the log of a leader.
#[derive(Debug)]
pub(crate) struct Handed {
    pub envelope: Envelope,
    pub origin: usize,
    pub ticket: CommandId,
}

/// Differences to true time: of what is measured, and of the time of day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub measured: Dur,
    pub wall: Dur,
}

impl Clock {
    /// `now` is true time since the start of the run.
    pub fn now(&self, now: UnixNanos) -> UnixNanos {
        START + Dur(now.0) + self.measured
    }

    pub fn wall(&self, now: UnixNanos) -> UnixNanos {
        START + Dur(now.0) + self.wall
    }
}

/// Reports that wait for their common command, with whom to answer: agent, session, number of the report.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub updates: Vec<AllocUpdate>,
    pub acks: Vec<(usize, u64, u64)>,
}

/// What a crash leaves: raft flushes votes before it gives them, and entries when the disk is done.
#[derive(Default)]
pub(crate) struct Disk {
    pub term: u64,
    pub log: Vec<Arc<Entry>>,
    /// Up to which index the log outlives a crash.
    pub flushed: u64,
    pub snapshot: Option<Vec<u8>>,
    /// Until then every flush takes long.
    pub slow_until: UnixNanos,
}

impl Disk {
    pub fn last(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn entry(&self, index: u64) -> Option<&Arc<Entry>> {
        self.log.get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    /// 0 before the first entry.
    pub fn term_at(&self, index: u64) -> u64 {
        self.entry(index).map_or(0, |entry| entry.term)
    }

    /// Keeps the log up to `index`.
    pub fn cut(&mut self, index: u64) {
        self.log.truncate(index as usize);
        self.flushed = self.flushed.min(index);
    }
}

/// What is gone with the process.
#[derive(Default)]
pub(crate) struct Memory {
    pub leads: bool,
    /// Whom it believes to lead.
    pub leader: Option<usize>,
    /// When it last heard of a leader.
    pub heard: UnixNanos,
    pub commit: u64,
    /// Up to which index its log is known to be that of the leader of this term.
    pub verified: (u64, u64),
    pub flushing: bool,
    /// As a leader, by server: the entry to send next, what is flushed there, and when it last answered.
    pub next: Vec<u64>,
    pub matched: Vec<u64>,
    pub answered: Vec<UnixNanos>,
    pub inbox: Vec<Handed>,
    pub state: State,
    pub lead: Option<Box<Lead>>,
    /// By agent.
    pub sessions: BTreeMap<usize, Session>,
    pub reports: Reports,
}

#[derive(Default)]
pub(crate) struct Server {
    pub alive: bool,
    /// Counts starts: what was begun in an earlier life is void.
    pub life: u64,
    pub clock: Clock,
    pub disk: Disk,
    pub memory: Memory,
}

impl Server {
    pub fn state(&self) -> &State {
        &self.memory.state
    }

    pub fn leads(&self) -> bool {
        self.alive && self.memory.leads
    }
}
