//! The half of a server that only a leader has: the loops of `server/src/control`, in the same order, on virtual time.
//!
//! Each part has turns: when what it follows changed, when it is due by itself, when what it proposed was answered. Between these and
//! the turn some time goes by, so that state is newer than what woke it. Everything is made anew from state when a server begins to
//! lead and forgotten when it does not any more. Workers and the planner are in [`crate::workers`] and [`crate::plans`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_control::gc::{Gc, GcOptions};
use tarpan_control::heartbeats::{HeartbeatOptions, Heartbeats};
use tarpan_control::periodic::Periodic;
use tarpan_control::{Deployments, Drainer, Evals, follow_ups, nodes, steps};
use tarpan_model::duration::{MINUTE, SECOND};
use tarpan_model::{Dur, Evaluation, NamespacedId, NodeId, UnixNanos};
use tarpan_state::{Command, Event, Guard, Reply};

use crate::plans::Plans;
use crate::proposals::Why;
use crate::workers::{Step, Worker};
use crate::world::{Wake, Word, World};

/// Source of these times: `server/src/control`.
const RETRY: Dur = Dur::from_millis(500);
const UNWRITTEN: Dur = Dur::from_secs(5);
const WALL_LOOK: Dur = Dur::from_secs(1);
const CLOCK_LOOK: Dur = Dur::from_secs(5);
const SILENCE_LOOK: Dur = Dur::from_secs(5);
const SET_BACK_NOTABLE: Dur = Dur::from_secs(2);
const UNBLOCK_FAILED: Dur = Dur::from_secs(60);
const CANCEL_BATCH: usize = 728;
/// Shorter than a cluster's, which waits minutes: a run is minutes long.
const FAILED_WAIT: Dur = Dur::from_secs(20);

/// A loop of the leader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Keeper,
    Plans,
    Deployments,
    Drains,
    Periodic,
    Silence,
    Garbage,
    Clocks,
    Worker(usize),
}

/// What a loop wrote.
#[derive(Clone, Debug)]
pub(crate) enum LeadWrite {
    /// One of the commands that the part waits for.
    Of(Part),
    Silent(NodeId),
    /// Ends of evaluations, with the one that was handed out too often.
    Ended(Option<(tarpan_model::EvalId, u64)>),
    Work(usize, Step),
    Plan(u64),
    Finish(u64),
    Nothing,
}

pub(crate) struct Lead {
    pub term: u64,
    pub evals: Evals,
    pub plans: Plans,
    pub heartbeats: Heartbeats,
    pub workers: Vec<Worker>,
    deployments: Deployments,
    drainer: Drainer,
    periodic: Periodic,
    gc: Gc,
    /// When each part has its next turn.
    turns: BTreeMap<Part, UnixNanos>,
    /// Changes that a part has not looked at yet.
    feeds: BTreeMap<Part, Vec<Event>>,
    /// Commands that a part waits for, and whether one of them could not be written.
    open: BTreeMap<Part, (usize, bool)>,
    unblock_failed: UnixNanos,
    collect: UnixNanos,
    wall_seen: UnixNanos,
}

/// Those that follow state.
const FOLLOWERS: [Part; 4] = [Part::Keeper, Part::Deployments, Part::Drains, Part::Periodic];

impl World {
    pub fn lead(&mut self, s: usize) -> Option<&mut Lead> {
        self.servers[s].memory.lead.as_deref_mut()
    }

    /// This server's measured time.
    pub fn clock(&self, s: usize) -> UnixNanos {
        self.servers[s].clock.now(self.now)
    }

    /// The first entry of the term is written, or was not.
    pub fn begin_lead(&mut self, s: usize, term: u64, written: bool) {
        let server = &self.servers[s];
        if !server.memory.leads || server.disk.term != term {
            return;
        }
        if !written {
            return self.propose_begin(s, term);
        }
        let (now, wall) = (self.clock(s), self.servers[s].clock.wall(self.now));
        let mut lead = Lead {
            term,
            evals: Evals::default(),
            plans: Plans::default(),
            heartbeats: Heartbeats::new(HeartbeatOptions { failover_ttl: Dur::from_secs(40), ..Default::default() }),
            workers: (0..self.setup.workers).map(|_| Worker::default()).collect(),
            deployments: Deployments::default(),
            drainer: Drainer::default(),
            periodic: Periodic::default(),
            gc: Gc { options: GcOptions { interval: Dur(MINUTE), ..self.setup.gc() } },
            turns: BTreeMap::new(),
            feeds: BTreeMap::new(),
            open: BTreeMap::new(),
            unblock_failed: self.now + UNBLOCK_FAILED,
            collect: self.now + Dur(MINUTE),
            wall_seen: wall,
        };
        let state = self.servers[s].state();
        lead.heartbeats.restore(state, now);
        lead.restore(Part::Keeper, state, now, wall);
        lead.restore(Part::Deployments, state, now, wall);
        lead.restore(Part::Drains, state, now, wall);
        lead.restore(Part::Periodic, state, now, wall);
        self.servers[s].memory.lead = Some(Box::new(lead));
        self.say(format_args!("s{s} begins its loops"));
        for part in FOLLOWERS.into_iter().chain([Part::Silence, Part::Garbage, Part::Clocks]) {
            self.soon(s, part);
        }
        self.wake_workers(s);
    }

    /// A turn within a moment.
    pub fn soon(&mut self, s: usize, part: Part) {
        let slow = self.chance.one_in(40);
        let after = self.chance.millis(0, if slow { 800 } else { 6 });
        self.turn_at(s, part, self.now + after);
    }

    /// A turn at this true time, unless there is an earlier one.
    pub fn turn_at(&mut self, s: usize, part: Part, at: UnixNanos) {
        let Some(lead) = self.servers[s].memory.lead.as_deref_mut() else { return };
        if lead.turns.get(&part).is_some_and(|known| *known <= at) {
            return;
        }
        lead.turns.insert(part, at);
        let term = lead.term;
        self.wake(s, at.since(self.now), Wake::Turn { term, part, at });
    }

    /// A turn when this server's measured time is `due`.
    fn turn_due(&mut self, s: usize, part: Part, due: Option<UnixNanos>) {
        let Some(due) = due else { return };
        let after = due.since(self.clock(s)).max(Dur::from_millis(1));
        self.turn_at(s, part, self.now + after);
    }

    pub fn turn(&mut self, s: usize, term: u64, part: Part, at: UnixNanos) {
        let Some(lead) = self.lead(s).filter(|lead| lead.term == term) else { return };
        if lead.turns.get(&part) != Some(&at) {
            return;
        }
        lead.turns.remove(&part);
        if lead.open.get(&part).is_some_and(|(open, _)| *open > 0) {
            return; // its answers bring the next turn
        }
        match part {
            Part::Keeper => self.keep_evals(s),
            Part::Plans => self.verify_plans(s),
            Part::Deployments => self.watch_deployments(s),
            Part::Drains => self.drain(s),
            Part::Periodic => self.launch(s),
            Part::Silence => self.watch_silence(s),
            Part::Garbage => self.collect_garbage(s),
            Part::Clocks => self.follow_wall(s),
            Part::Worker(number) => self.work(s, number),
        }
    }

    /// The loops learn what an entry changed.
    pub fn lead_observes(&mut self, s: usize, events: Vec<Event>) {
        let Some(lead) = self.lead(s) else { return };
        for part in FOLLOWERS {
            lead.feeds.entry(part).or_default().extend(events.iter().cloned());
        }
        let waits = lead.workers.iter().enumerate().filter(|(_, w)| w.waits_for_state()).map(|(n, _)| n);
        let waiting: Vec<usize> = waits.collect();
        for part in FOLLOWERS {
            self.soon(s, part);
        }
        for number in waiting {
            self.soon(s, Part::Worker(number));
        }
    }

    fn write(&mut self, s: usize, part: Part, command: Command) {
        if let Some(lead) = self.lead(s) {
            lead.open.entry(part).or_default().0 += 1;
        }
        self.lead_proposes(s, LeadWrite::Of(part), command);
    }

    pub fn lead_proposes(&mut self, s: usize, what: LeadWrite, command: Command) {
        let Some(term) = self.lead(s).map(|lead| lead.term) else { return };
        self.propose(s, Why::Lead { term, what }, command);
    }

    pub fn lead_wrote(&mut self, s: usize, term: u64, what: LeadWrite, written: Option<(u64, Reply)>) {
        if self.lead(s).is_none_or(|lead| lead.term != term) {
            return;
        }
        match what {
            LeadWrite::Of(part) => self.part_wrote(s, part, written.is_some()),
            LeadWrite::Silent(node) => self.silence_marked(s, node, written.is_some()),
            LeadWrite::Ended(failed) => self.evals_ended(s, failed),
            LeadWrite::Work(number, step) => self.worker_wrote(s, number, step, written.is_some()),
            LeadWrite::Plan(ticket) => self.plan_written(s, ticket, written),
            LeadWrite::Finish(ticket) => self.finish_written(s, ticket, written.is_some()),
            LeadWrite::Nothing => {}
        }
    }

    fn part_wrote(&mut self, s: usize, part: Part, written: bool) {
        let Some(lead) = self.lead(s) else { return };
        let open = lead.open.entry(part).or_default();
        open.0 -= 1;
        open.1 |= !written;
        if open.0 > 0 {
            return;
        }
        let failed = std::mem::take(&mut open.1);
        if part == Part::Periodic && failed {
            // What state does not know of is made up for.
            let (now, wall) = (self.clock(s), self.servers[s].clock.wall(self.now));
            let memory = &mut self.servers[s].memory;
            if let Some(lead) = memory.lead.as_deref_mut() {
                lead.restore(part, &memory.state, now, wall);
            }
            return self.turn_at(s, part, self.now + RETRY);
        }
        self.soon(s, part);
    }

    /// Broker and blocked evaluations follow state; what is over is written.
    fn keep_evals(&mut self, s: usize) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let events = lead.feeds.remove(&Part::Keeper).unwrap_or_default();
        lead.evals.observe(&events, &memory.state, now);
        lead.evals.broker.step(now);
        if lead.unblock_failed <= self.now {
            lead.unblock_failed = self.now + UNBLOCK_FAILED;
            for released in lead.evals.blocked.unblock_failed() {
                lead.evals.broker.enqueue(released.eval, released.token, now);
            }
        }
        let due = lead.evals.broker.next_wake();
        let unblock = lead.unblock_failed;
        self.reap(s, now);
        self.wake_workers(s);
        self.turn_due(s, Part::Keeper, due);
        self.turn_at(s, Part::Keeper, unblock);
    }

    /// Writes evaluations that newer ones made needless, and those that were delivered too often.
    fn reap(&mut self, s: usize, now: UnixNanos) {
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let canceled = lead.evals.broker.take_cancelable(CANCEL_BATCH);
        let duplicates = lead.evals.blocked.take_duplicates();
        let failed = lead.evals.broker.dequeue_failed(self.chance.number(), now);
        let mut rows: Vec<Evaluation> = follow_ups::canceled(&canceled, now);
        rows.extend(follow_ups::duplicates(&duplicates, now));
        if let Some(failed) = &failed {
            let wait = Dur(FAILED_WAIT.0 + self.chance.between(0, 20) * SECOND);
            rows.extend(follow_ups::delivery_failed(&memory.state, &failed.eval, wait, now, &mut self.chance));
        }
        if rows.is_empty() {
            return;
        }
        let failed = failed.map(|f| (f.eval.id, f.token));
        self.lead_proposes(s, LeadWrite::Ended(failed), Command::UpsertEvals { evals: rows, now });
    }

    fn evals_ended(&mut self, s: usize, failed: Option<(tarpan_model::EvalId, u64)>) {
        let now = self.clock(s);
        if let (Some(lead), Some((id, token))) = (self.lead(s), failed) {
            let _ = lead.evals.broker.ack(id, token, now);
        }
        self.soon(s, Part::Keeper);
    }

    fn watch_deployments(&mut self, s: usize) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let events = lead.feeds.remove(&Part::Deployments).unwrap_or_default();
        lead.deployments.observe(&events, now);
        let commands = lead.deployments.step(&memory.state, now, &mut self.chance);
        let due = lead.deployments.next_wake();
        for command in commands {
            self.write(s, Part::Deployments, command);
        }
        self.turn_due(s, Part::Deployments, due);
    }

    fn drain(&mut self, s: usize) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let events = lead.feeds.remove(&Part::Drains).unwrap_or_default();
        lead.drainer.observe(&events, now);
        let commands = lead.drainer.step(&memory.state, now, &mut self.chance);
        let due = lead.drainer.next_wake();
        for command in commands {
            self.write(s, Part::Drains, command);
        }
        self.turn_due(s, Part::Drains, due);
    }

    /// By the time of day.
    fn launch(&mut self, s: usize) {
        let (now, wall) = (self.clock(s), self.servers[s].clock.wall(self.now));
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let events = lead.feeds.remove(&Part::Periodic).unwrap_or_default();
        lead.periodic.observe(&events, wall);
        let back = lead.wall_seen.since(wall);
        if back > SET_BACK_NOTABLE {
            lead.periodic.set_back(&memory.state, back, wall);
        }
        lead.wall_seen = wall;
        let children = lead.periodic.step(&memory.state, wall, &mut self.chance);
        let notes = lead.periodic.take_notes();
        let waits = lead.periodic.next_wake().is_some();
        let evals: Vec<_> = notes.iter().filter_map(|n| n.eval(&memory.state, now, &mut self.chance)).collect();
        if !evals.is_empty() {
            self.lead_proposes(s, LeadWrite::Nothing, Command::UpsertEvals { evals, now });
        }
        for child in children {
            let parent = child.job.parent_id.clone().unwrap_or_default();
            let guard = Guard::Launches { job: NamespacedId::new(child.job.namespace(), parent) };
            self.write(s, Part::Periodic, Command::RegisterJob(Box::new(child)).guarded(vec![guard]));
        }
        if waits {
            self.turn_at(s, Part::Periodic, self.now + WALL_LOOK);
        }
    }

    fn watch_silence(&mut self, s: usize) {
        let now = self.clock(s);
        let Some(lead) = self.lead(s) else { return };
        let expired = lead.heartbeats.expired(now);
        let due = lead.heartbeats.next_wake();
        for node in expired {
            self.say(format_args!("s{s} missed the heartbeat of {}", self.node_name(node)));
            self.kick(s, node);
            let state = &self.servers[s].memory.state;
            if let Some(command) = nodes::missed(state, node, now, &mut self.chance) {
                self.lead_proposes(s, LeadWrite::Silent(node), command);
            }
        }
        self.turn_due(s, Part::Silence, due);
        self.turn_at(s, Part::Silence, self.now + SILENCE_LOOK);
    }

    fn silence_marked(&mut self, s: usize, node: NodeId, written: bool) {
        let again = self.clock(s) + UNWRITTEN;
        if let Some(lead) = self.lead(s).filter(|_| !written) {
            lead.heartbeats.again(node, again);
        }
    }

    /// Whoever holds the session of a silent node ends it.
    fn kick(&mut self, s: usize, node: NodeId) {
        let Some(agent) = self.agents.iter().position(|a| a.node.id == node) else { return };
        self.end_session(s, agent);
        for other in (0..self.servers.len()).filter(|other| *other != s) {
            self.send(s, other, Word::Kick { agent });
        }
    }

    /// A sign of life reached this server; how long the node may be silent if it leads.
    pub fn note_beat(&mut self, s: usize, agent: usize) -> Option<Dur> {
        let (now, chance, node) = (self.clock(s), self.chance.number(), self.agents[agent].node.id);
        let lead = self.lead(s)?;
        let ttl = lead.heartbeats.beat(node, now, chance);
        let due = lead.heartbeats.next_wake();
        self.turn_due(s, Part::Silence, due);
        Some(ttl)
    }

    fn collect_garbage(&mut self, s: usize) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        if lead.collect <= self.now {
            lead.collect = self.now + lead.gc.options.interval;
            let commands = lead.gc.collect(&memory.state, now, false, &mut self.chance);
            for command in commands {
                self.write(s, Part::Garbage, command);
            }
        }
        if let Some(at) = self.lead(s).map(|lead| lead.collect) {
            self.turn_at(s, Part::Garbage, at);
        }
    }

    /// Measured time becomes the wall's when nothing is measured by it.
    fn follow_wall(&mut self, s: usize) {
        let (now, clock) = (self.clock(s), self.servers[s].clock);
        let apart = Dur(clock.wall.0 - clock.measured.0);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let may = steps::may_step(&memory.state, &lead.evals.broker.stats());
        if apart.0.abs() >= steps::NOTABLE.0 && may {
            lead.heartbeats.shift(apart);
            let later = now + apart;
            for part in [Part::Keeper, Part::Deployments, Part::Drains] {
                lead.restore(part, &memory.state, later, later);
            }
            self.servers[s].clock.measured = clock.wall;
            self.say(format_args!("s{s} sets its measured time by {apart}"));
            for part in [Part::Keeper, Part::Deployments, Part::Drains, Part::Silence] {
                self.soon(s, part);
            }
        }
        self.turn_at(s, Part::Clocks, self.now + CLOCK_LOOK);
    }

    pub fn wake_workers(&mut self, s: usize) {
        let Some(lead) = self.lead(s) else { return };
        let idle: Vec<usize> = lead.workers.iter().enumerate().filter(|(_, w)| w.idle()).map(|(n, _)| n).collect();
        for number in idle {
            self.soon(s, Part::Worker(number));
        }
    }

    pub fn node_name(&self, node: NodeId) -> Arc<str> {
        self.agents.iter().find(|a| a.node.id == node).map_or_else(|| Arc::from(node.short()), |a| a.node.name.clone())
    }
}

impl Lead {
    /// Begins a part anew from what is written.
    fn restore(&mut self, part: Part, state: &tarpan_state::State, now: UnixNanos, wall: UnixNanos) {
        self.feeds.remove(&part);
        match part {
            Part::Keeper => self.evals.restore(state, now),
            Part::Deployments => {
                self.deployments = Deployments::default();
                self.deployments.restore(state, now);
            }
            Part::Drains => self.drainer.restore(state, now),
            Part::Periodic => self.periodic.restore(state, wall),
            Part::Plans | Part::Silence | Part::Garbage | Part::Clocks | Part::Worker(_) => {}
        }
    }
}
