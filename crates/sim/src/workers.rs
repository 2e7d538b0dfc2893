//! A leader's workers: each takes an evaluation, schedules it on a snapshot, has its plan committed and writes its end. What
//! `server/src/control/worker.rs` awaits is a [`Stage`] here.

use std::sync::Arc;

use tarpan_control::broker::Dequeued;
use tarpan_control::planner::{self, Planned};
use tarpan_model::{Dur, EvalStatus, Evaluation, JobType, Plan, UnixNanos};
use tarpan_scheduler::{Cache, Inputs, Outcome, worker};
use tarpan_state::{Command, State};

use crate::lead::{LeadWrite, Part};
use crate::world::{Broken, World};

const STATE_PATIENCE: Dur = Dur::from_secs(5);
const TYPES: [JobType; 4] = [JobType::Service, JobType::Batch, JobType::System, JobType::SysBatch];

/// What is written for an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Evaluations that the plan refers to.
    Before,
    /// A blocked evaluation before it waits on.
    Reblock,
    End,
}

/// What a worker waits for.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// State has to reach what the evaluation needs.
    Behind {
        until: UnixNanos,
    },
    /// The scheduler is at work until then.
    Scheduling,
    Writing,
    Planning,
}

#[derive(Default)]
pub(crate) struct Worker {
    stage: Stage,
    work: Option<Work>,
    cache: Cache,
}

struct Work {
    dequeued: Dequeued,
    attempts: u32,
    needed: u64,
    outcome: Option<Outcome>,
    /// Parts of its plan that are on their way, and what became of the others: `None` when one of them could not be committed.
    parts: usize,
    joined: Option<Planned>,
}

/// What a worker did of an evaluation.
enum Done {
    Ended,
    /// A part, which state has from this index on; the rest is another turn's.
    Part(u64),
    Failed,
}

impl Worker {
    pub fn idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    pub fn waits_for_state(&self) -> bool {
        matches!(self.stage, Stage::Behind { .. })
    }
}

impl World {
    pub fn work(&mut self, s: usize, number: usize) {
        let Some(lead) = self.lead(s) else { return };
        match lead.workers[number].stage {
            Stage::Idle => self.dequeue(s, number),
            Stage::Behind { until } => self.schedule_when_there(s, number, until),
            Stage::Scheduling => self.scheduled(s, number),
            Stage::Writing | Stage::Planning => {}
        }
    }

    fn dequeue(&mut self, s: usize, number: usize) {
        let (now, token) = (self.clock(s), self.chance.number());
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let Some(dequeued) = lead.evals.broker.dequeue(&TYPES, token, now) else { return };
        let newest = memory.state.evals_by_job(&dequeued.eval.job_key()).map(|e| e.modify_index).max().unwrap_or(0);
        let needed = newest.max(dequeued.eval.modify_index);
        let until = self.now + STATE_PATIENCE;
        let worker = &mut lead.workers[number];
        worker.work = Some(Work { dequeued, attempts: 0, needed, outcome: None, parts: 0, joined: None });
        worker.stage = Stage::Behind { until };
        self.schedule_when_there(s, number, until);
    }

    fn schedule_when_there(&mut self, s: usize, number: usize, until: UnixNanos) {
        let now = self.clock(s);
        let memory = &mut self.servers[s].memory;
        let Some(lead) = memory.lead.as_deref_mut() else { return };
        let Worker { stage, work: Some(work), cache } = &mut lead.workers[number] else { return };
        if memory.state.index() < work.needed {
            if self.now >= until {
                return self.give_back(s, number, Done::Failed);
            }
            return self.turn_at(s, Part::Worker(number), until);
        }
        let seed = self.chance.number();
        let inputs = Inputs { state: &memory.state, now, seed, ids: &mut self.chance, most: self.setup.most, cache };
        let mut outcome = tarpan_scheduler::schedule(inputs, &work.dequeued.eval);
        // Blocked ones are told apart from room that appeared later.
        for eval in outcome.blocked.iter_mut().chain([&mut outcome.eval]) {
            eval.snapshot_index = memory.state.index();
        }
        if self.broken == Some(Broken::PlacesAnywhere) {
            misplace(&mut outcome.plan, &memory.state);
        }
        work.outcome = Some(outcome);
        *stage = Stage::Scheduling;
        let slow = self.chance.one_in(60);
        let took = self.chance.millis(1, if slow { 3_000 } else { 10 });
        self.turn_at(s, Part::Worker(number), self.now + took);
    }

    fn work_of(&mut self, s: usize, number: usize) -> Option<&mut Work> {
        self.lead(s)?.workers[number].work.as_mut()
    }

    fn stage(&mut self, s: usize, number: usize, stage: Stage) {
        if let Some(lead) = self.lead(s) {
            lead.workers[number].stage = stage;
        }
    }

    fn scheduled(&mut self, s: usize, number: usize) {
        let Some(outcome) = self.work_of(s, number).and_then(|work| work.outcome.as_mut()) else { return };
        let before = std::mem::take(&mut outcome.evals_before);
        if before.is_empty() {
            return self.submit(s, number);
        }
        self.write_evals(s, number, Step::Before, before);
    }

    fn write_evals(&mut self, s: usize, number: usize, step: Step, evals: Vec<Evaluation>) {
        self.stage(s, number, Stage::Writing);
        let now = self.clock(s);
        self.lead_proposes(s, LeadWrite::Work(number, step), Command::UpsertEvals { evals, now });
    }

    pub fn worker_wrote(&mut self, s: usize, number: usize, step: Step, written: bool) {
        match step {
            _ if !written => self.give_back(s, number, Done::Failed),
            Step::Before => self.submit(s, number),
            Step::Reblock => self.block(s, number),
            Step::End => self.give_back(s, number, Done::Ended),
        }
    }

    fn submit(&mut self, s: usize, number: usize) {
        let part = self.setup.part;
        let Some(work) = self.work_of(s, number) else { return };
        let (id, token, key, priority) = {
            let eval = &work.dequeued.eval;
            (eval.id, work.dequeued.token, eval.job_key(), eval.priority)
        };
        let Some(outcome) = work.outcome.as_mut() else { return };
        if outcome.plan.is_noop() {
            return self.finish(s, number);
        }
        let empty = Plan::new(id, key, priority, outcome.plan.snapshot_index);
        let plan = std::mem::replace(&mut outcome.plan, empty);
        let parts = planner::parts(plan, part);
        let apart = parts.len() > 1 || outcome.more || reblocks(outcome);
        let mut finish = if apart { Vec::new() } else { rows(outcome) };
        (work.parts, work.joined) = (parts.len(), Some(Planned::default()));
        self.stage(s, number, Stage::Planning);
        if let Some(lead) = self.lead(s) {
            let _ = lead.evals.broker.pause(id, token);
            for (turn, part) in parts.into_iter().enumerate() {
                lead.plans.submit(part, turn, number, std::mem::take(&mut finish));
            }
        }
        self.soon(s, Part::Plans);
    }

    /// `None`: the plan could not be committed.
    pub fn planned(&mut self, s: usize, number: usize, planned: Option<Planned>) {
        let now = self.clock(s);
        let Some(lead) = self.lead(s) else { return };
        let Some(work) = lead.workers[number].work.as_mut() else { return };
        work.joined = work.joined.take().zip(planned).map(|(joined, planned)| joined.join(planned));
        work.parts = work.parts.saturating_sub(1);
        if work.parts > 0 {
            return;
        }
        let planned = work.joined.take();
        let (id, token) = (work.dequeued.eval.id, work.dequeued.token);
        let _ = lead.evals.broker.reset(id, token, now);
        let Some(planned) = planned else { return self.give_back(s, number, Done::Failed) };
        if planned.finished {
            return self.give_back(s, number, Done::Ended);
        }
        let result = planned.result;
        if result.rejected_nodes.is_empty() && result.refresh_index == 0 {
            if work.outcome.as_ref().is_some_and(|outcome| outcome.more) {
                return self.give_back(s, number, Done::Part(result.index));
            }
            return self.finish(s, number);
        }
        work.attempts = if result.progressed { 0 } else { work.attempts + 1 };
        let eval = work.dequeued.eval.clone();
        if work.attempts >= worker::max_attempts(eval.type_) {
            let Some(outcome) = work.outcome.take() else { return };
            let rows = worker::give_up(&eval, &outcome, &mut self.chance, now);
            return self.write_evals(s, number, Step::End, rows);
        }
        work.needed = result.refresh_index.max(result.index);
        let until = self.now + STATE_PATIENCE;
        self.stage(s, number, Stage::Behind { until });
        self.schedule_when_there(s, number, until);
    }

    /// Writes the evaluation's end, or gives it back to wait for room.
    fn finish(&mut self, s: usize, number: usize) {
        let Some(work) = self.work_of(s, number) else { return };
        let Some(outcome) = work.outcome.as_ref() else { return };
        if !reblocks(outcome) {
            let rows = rows(outcome);
            return self.write_evals(s, number, Step::End, rows);
        }
        let (was, is) = (&work.dequeued.eval, &outcome.eval);
        let changed = is.queued_allocations != was.queued_allocations || is.failed_tg_allocs != was.failed_tg_allocs;
        let rows: Vec<Evaluation> = changed.then_some(is).into_iter().chain(&outcome.blocked).cloned().collect();
        if !rows.is_empty() {
            return self.write_evals(s, number, Step::Reblock, rows);
        }
        self.block(s, number);
    }

    fn block(&mut self, s: usize, number: usize) {
        let now = self.clock(s);
        let Some(lead) = self.lead(s) else { return };
        let Some(work) = lead.workers[number].work.as_mut() else { return };
        let (token, outcome) = (work.dequeued.token, work.outcome.take());
        if let Some(outcome) = outcome {
            for released in lead.evals.blocked.block(Arc::new(outcome.eval), Some(token), now) {
                lead.evals.broker.enqueue(released.eval, released.token, now);
            }
        }
        self.give_back(s, number, Done::Ended);
    }

    /// The evaluation goes back to the broker, done or not.
    fn give_back(&mut self, s: usize, number: usize, done: Done) {
        let now = self.clock(s);
        let Some(lead) = self.lead(s) else { return };
        let worker = &mut lead.workers[number];
        worker.stage = Stage::Idle;
        let Some(work) = worker.work.take() else { return };
        let (id, token) = (work.dequeued.eval.id, work.dequeued.token);
        let _ = match done {
            Done::Ended => lead.evals.broker.ack(id, token, now),
            Done::Part(index) => lead.evals.broker.again(id, token, index),
            Done::Failed => lead.evals.broker.nack(id, token, now),
        };
        if matches!(done, Done::Failed) {
            self.say(format_args!("s{s} nack of {} for {}", id.short(), work.dequeued.eval.job_id));
        }
        self.soon(s, Part::Keeper);
        self.wake_workers(s);
    }
}

/// A blocked evaluation that still can't place everything.
fn reblocks(outcome: &Outcome) -> bool {
    outcome.eval.status == EvalStatus::Blocked
}

/// What is written at the end: the evaluation, and those that wait for what it could not place.
fn rows(outcome: &Outcome) -> Vec<Evaluation> {
    std::iter::once(&outcome.eval).chain(&outcome.blocked).cloned().collect()
}

/// Puts what is new on the last node there is.
fn misplace(plan: &mut Plan, state: &State) {
    let Some(last) = state.nodes().next_back().map(|node| node.id) else { return };
    let new = |a: &tarpan_model::Allocation| state.alloc(a.id).is_none();
    let mut moved = Vec::new();
    for placements in plan.placements.values_mut() {
        moved.extend(placements.extract_if(.., |a| new(a)));
    }
    plan.placements.retain(|_, placements| !placements.is_empty());
    for mut alloc in moved {
        alloc.node_id = last;
        plan.placements.entry(last).or_default().push(alloc);
    }
}
