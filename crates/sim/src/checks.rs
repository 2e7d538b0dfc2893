//! What has to hold, and what was seen so far.
//!
//! The first server that applies an entry has its change looked at by the promises of [`state`] and [`plans`]; every other one has to
//! come to the same. What users and agents were told is kept and compared with what is there later. The first promise that does not
//! hold is kept with who broke it, and ends the run.

mod plans;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tarpan_model::alloc::AllocUpdate;
use tarpan_model::ids::NamespacedId;
use tarpan_model::{AllocId, Allocation, ClientStatus, EvalId};
use tarpan_state::{Change, CommandId, Event, Reply, State};

use crate::server::{Disk, Entry, Payload};
use crate::users::{Ask, key};
use crate::world::World;

#[derive(Default)]
pub(crate) struct Checks {
    broken: Option<String>,
    /// What went wrong on purpose, for who reads a failure.
    pub faults: Vec<String>,
    /// The newest state that any server has come to.
    truth: State,
    /// By index, what applying it came to.
    applied: Vec<u64>,
    terms: Vec<u64>,
    snapshots: BTreeMap<u64, Vec<u8>>,
    /// By the id that somebody waits for: what its command did when it was applied first.
    effects: BTreeMap<CommandId, Reply>,
    /// Over when it was removed.
    removed: BTreeSet<AllocId>,
    /// Job versions whose rollout failed: they place nothing more, and are not looked at again for the sake of that.
    pub given_up: BTreeSet<(NamespacedId, u64)>,
    /// Where the plans of an evaluation are in the log.
    planned: BTreeMap<EvalId, Vec<u64>>,
    ledger: Ledger,
    pub counts: Counts,
}

/// What users were told is done.
#[derive(Default)]
struct Ledger {
    /// Jobs that were taken in, at this index or later.
    jobs: BTreeMap<NamespacedId, u64>,
    /// Somebody may have ended these.
    ended: BTreeSet<NamespacedId>,
}

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub entries: u64,
    pub plans: u64,
    pub kills: u64,
    pub acknowledged: u64,
    pub plans_again: u64,
}

impl Checks {
    /// A promise that does not hold; the first one counts.
    pub fn fail(&mut self, server: usize, promise: &str, what: &str) {
        let index = self.truth.index();
        self.broken.get_or_insert_with(|| format!("{promise}: {what} (s{server}, index {index})"));
    }

    pub fn failed(&self) -> bool {
        self.broken.is_some()
    }

    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub fn truth(&self) -> &State {
        &self.truth
    }

    /// Equal at equal index, however a server came there.
    pub fn snapshot(&mut self, server: usize, index: u64, bytes: &[u8]) {
        match self.snapshots.get(&index) {
            Some(known) if known != bytes => {
                self.fail(server, "all servers are equal", &format!("not at index {index}"))
            }
            Some(_) => {}
            None => drop(self.snapshots.insert(index, bytes.to_vec())),
        }
    }

    /// Whoever leads has all that was ever committed.
    pub fn new_leader(&mut self, server: usize, disk: &Disk) {
        let lacks = (1..=self.terms.len() as u64).find(|i| disk.term_at(*i) != self.terms[*i as usize - 1]);
        if let Some(index) = lacks {
            self.fail(server, "no committed entry is lost", &format!("entry {index} is not in the new leader's log"));
        }
    }

    /// A user is about to ask for this: it may come to be, acknowledged or not.
    pub fn asked(&mut self, ask: &Ask) {
        if let Ask::Stop { job, .. } = ask {
            self.ledger.ended.insert(key(job));
        }
    }

    pub fn acknowledged(&mut self, server: usize, ask: &Ask, reply: &Reply) {
        self.counts.acknowledged += 1;
        if let (Ask::Register(shape), Reply::Registered { job_modify_index, .. }) = (ask, reply) {
            let at = self.ledger.jobs.entry(key(&shape.id)).or_default();
            *at = (*at).max(*job_modify_index);
        }
        self.nothing_forgotten(server);
    }

    /// Jobs that were taken in are there, as they were written or later.
    pub fn nothing_forgotten(&mut self, server: usize) {
        let there = |key: &NamespacedId, index: u64| {
            let job = self.truth.job(key);
            self.ledger.ended.contains(key) || job.is_some_and(|job| job.modify_index.unwrap_or(0) >= index)
        };
        // Batch jobs that ran are collected as garbage.
        let collected = |key: &NamespacedId| self.truth.job(key).is_none();
        let lost = self.ledger.jobs.iter().find(|(key, index)| !there(key, **index));
        if let Some((key, index)) = lost.map(|(key, index)| (key.clone(), *index)) {
            if collected(&key) {
                self.ledger.jobs.remove(&key);
                return;
            }
            self.fail(server, "no acknowledged write is lost", &format!("job {key} of index {index}"));
        }
    }
}

impl World {
    /// What has to hold after an entry was applied.
    pub fn check_applied(
        &mut self,
        s: usize,
        index: u64,
        entry: &Entry,
        before: &State,
        replies: &[Reply],
        events: &[Event],
    ) {
        let print = print(replies, events);
        let at = (index - 1) as usize;
        match self.checks.applied.get(at) {
            Some(known) if *known != print => {
                self.checks.fail(s, "all servers are equal", &format!("entry {index} came to something else"));
            }
            Some(_) => {}
            None => {
                self.checks.applied.push(print);
                self.checks.terms.push(entry.term);
                self.checks.truth = self.servers[s].state().clone();
                self.checks.counts.entries += 1;
                self.once(s, entry, replies);
                self.say_applied(s, index, entry);
                self.check_state(s, before, events);
                self.check_plans(s, index, entry, before);
            }
        }
    }

    /// A command that comes again does what it did.
    fn once(&mut self, s: usize, entry: &Entry, replies: &[Reply]) {
        let Payload::Commands { origins, .. } = &entry.payload else { return };
        for ((_, ticket), reply) in origins.iter().zip(replies) {
            match self.checks.effects.get(ticket) {
                Some(known) if known != reply => {
                    let text = format!("{known:?}, then {reply:?}");
                    self.checks.fail(s, "a repeated command takes effect once", &text);
                }
                Some(_) => {}
                None => drop(self.checks.effects.insert(*ticket, reply.clone())),
            }
        }
    }

    fn say_applied(&mut self, s: usize, index: u64, entry: &Entry) {
        let text = match &entry.payload {
            Payload::Term => format!("term {} begins", entry.term),
            Payload::Commands { envelopes, .. } => {
                let state = &self.checks.truth;
                let names: Vec<String> = envelopes.iter().map(|e| crate::says::command(&e.command, state)).collect();
                names.join("; ")
            }
        };
        self.say(format_args!("s{s} applies {index}: {text}"));
    }

    /// An agent is about to stop something that runs: state has to say so.
    pub fn check_kill(&mut self, a: usize, row: &Allocation) {
        self.checks.counts.kills += 1;
        let reason = match self.checks.truth.alloc(row.id) {
            Some(known) => known.server_terminal(),
            None => self.checks.removed.contains(&row.id),
        };
        self.say(format_args!("n{a} stops {} {}: {}", row.name, row.id.short(), row.desired_description));
        if !reason {
            let text = format!("n{a} stops {} {}", row.name, row.id.short());
            self.checks.fail(0, "nothing is stopped without a reason in state", &text);
        }
    }

    /// An agent was told that its report is written.
    pub fn note_acknowledged(&mut self, a: usize, updates: Vec<AllocUpdate>) {
        for update in
            updates.iter().filter(|u| matches!(u.client_status, ClientStatus::Complete | ClientStatus::Failed))
        {
            let known = self.checks.truth.alloc(update.id);
            if known.is_some_and(|row| !row.client_terminal()) {
                let text = format!("n{a} was told that {} of {} is written", update.client_status, update.id.short());
                self.checks.fail(0, "no acknowledged report is lost", &text);
            }
        }
    }

    /// All servers have the same state, to the byte.
    pub fn check_equal(&mut self) {
        let newest = self.checks.truth.index();
        for s in 0..self.servers.len() {
            let state = self.servers[s].state();
            if state.index() != newest {
                let text = format!("s{s} is at {} and another at {newest}", state.index());
                return self.checks.fail(s, "all servers come to the same index", &text);
            }
            let bytes = state.snapshot();
            self.checks.snapshot(s, newest, &bytes);
        }
    }
}

/// What an entry came to, short: replies, and of each changed row what tells it from others.
fn print(replies: &[Reply], events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for reply in replies {
        format!("{reply:?}").hash(&mut hasher);
    }
    for event in events {
        event.kind.hash(&mut hasher);
        match &event.change {
            Change::Allocation { row, gone } => {
                (row.id, row.modify_index, row.client_status, row.desired_status, gone).hash(&mut hasher);
            }
            Change::Evaluation { row, gone } => {
                (row.id, row.modify_index, row.status.as_str(), gone).hash(&mut hasher);
            }
            Change::Node { row, gone } => (row.id, row.modify_index, row.status, gone).hash(&mut hasher),
            Change::Deployment { row, gone } => (row.id, row.modify_index, row.status, gone).hash(&mut hasher),
            Change::CSIVolume { row, gone } => (&row.id, row.modify_index, gone).hash(&mut hasher),
            Change::CSIPlugin { row, gone } => (&row.id, row.modify_index, gone).hash(&mut hasher),
            Change::Job { row, gone } => (row.id(), row.modify_index, row.version, gone).hash(&mut hasher),
            _ => {}
        }
    }
    hasher.finish()
}
