//! A worker: takes an evaluation, schedules it on a snapshot, has its plan committed, writes its end.

use std::sync::Arc;
use std::time::Duration;

use tarpan_control::broker::Dequeued;
use tarpan_control::planner;
use tarpan_model::{EvalStatus, Evaluation, JobType, Plan};
use tarpan_scheduler::{Cache, Inputs, Outcome, worker};
use tarpan_state::{Command, State};
use tokio::time::Instant;

use super::Control;
use crate::chance::{ids, rand_u64};
use crate::clock::now;
use crate::meter;

/// How long a worker waits for state to reach the index it needs.
const STATE_PATIENCE: Duration = Duration::from_secs(5);
const TYPES: [JobType; 4] = [JobType::Service, JobType::Batch, JobType::System, JobType::SysBatch];

/// Why an evaluation goes back to the broker.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the scheduler panicked")]
    Panic,
    #[error("state did not reach index {0} in time")]
    Behind(u64),
    #[error("its plan could not be committed")]
    Plan,
    #[error("its end could not be written")]
    Write,
}

/// What a worker did of an evaluation.
enum Done {
    Ended,
    /// A part, which state has from this index on; the rest is another turn's.
    Part(u64),
}

impl Control {
    pub(super) async fn work(self: Arc<Self>, number: usize) {
        let mut cache = Cache::default();
        loop {
            // What can't be written need not be worked out; it would count as a failed try.
            self.consensus.room().await;
            let dequeued = self.dequeue().await;
            let (id, token) = (dequeued.eval.id, dequeued.token);
            let done = self.process(&dequeued, &mut cache).await;
            let mut evals = self.evals();
            let answered = match done {
                Ok(Done::Ended) => evals.broker.ack(id, token, now()),
                Ok(Done::Part(index)) => evals.broker.again(id, token, index),
                Err(error) => {
                    tracing::warn!(eval_id = %id, job_id = %dequeued.eval.job_id, worker = number, %error, "nack");
                    evals.broker.nack(id, token, now())
                }
            };
            drop(evals);
            if let Err(error) = answered {
                tracing::debug!(eval_id = %id, %error, "the broker refused an answer");
            }
            self.work.notify_waiters();
            self.turn.notify_one();
        }
    }

    async fn dequeue(&self) -> Dequeued {
        loop {
            let mut woken = std::pin::pin!(self.work.notified());
            woken.as_mut().enable();
            let dequeued = self.evals().broker.dequeue(&TYPES, rand_u64(), now());
            match dequeued {
                Some(dequeued) => return dequeued,
                None => woken.await,
            }
        }
    }

    #[tracing::instrument(level = "debug", skip_all, fields(eval_id = %dequeued.eval.id, job_id = %dequeued.eval.job_id))]
    async fn process(&self, dequeued: &Dequeued, cache: &mut Cache) -> Result<Done, Failed> {
        let eval = &dequeued.eval;
        let mut needed = self.newest_eval_index(eval);
        let mut attempts = 0;
        loop {
            let state = self.published.at_least(needed, Instant::now() + STATE_PATIENCE).await;
            if state.index() < needed {
                return Err(Failed::Behind(needed));
            }
            let begun = std::time::Instant::now();
            let mut outcome = schedule(state, eval.clone(), most(dequeued), cache).await?;
            self.meter.took(meter::scheduler(eval.type_), begun);
            if !outcome.evals_before.is_empty() {
                self.write(std::mem::take(&mut outcome.evals_before)).await?;
            }
            if outcome.plan.is_noop() {
                return self.finish(dequeued, outcome).await;
            }
            let empty = Plan::new(eval.id, eval.job_key(), eval.priority, outcome.plan.snapshot_index);
            let plan = std::mem::replace(&mut outcome.plan, empty);
            let parts = planner::parts(plan, planner::MOST_PLACEMENTS);
            // The end of an evaluation goes with its plan where that is one entry.
            let apart = parts.len() > 1 || outcome.more || reblocks(&outcome);
            let finish = if apart { Vec::new() } else { rows(&outcome) };
            let _ = self.evals().broker.pause(eval.id, dequeued.token);
            let begun = std::time::Instant::now();
            let planned = self.plans.commit(parts, finish).await;
            self.meter.took(meter::SUBMIT_PLAN, begun);
            let _ = self.evals().broker.reset(eval.id, dequeued.token, now());
            let planned = planned.ok_or(Failed::Plan)?;
            if planned.finished {
                return Ok(Done::Ended);
            }
            if planned.result.rejected_nodes.is_empty() && planned.result.refresh_index == 0 {
                if outcome.more {
                    return Ok(Done::Part(planned.result.index));
                }
                return self.finish(dequeued, outcome).await;
            }
            attempts = if planned.result.progressed { 0 } else { attempts + 1 };
            if attempts >= worker::max_attempts(eval.type_) {
                self.write(worker::give_up(eval, &outcome, &mut ids(), now())).await?;
                return Ok(Done::Ended);
            }
            needed = planned.result.refresh_index.max(planned.result.index);
        }
    }

    /// State must hold everything that earlier evaluations of the job did.
    fn newest_eval_index(&self, eval: &Evaluation) -> u64 {
        let state = self.published.state();
        let newest = state.evals_by_job(&eval.job_key()).map(|e| e.modify_index).max().unwrap_or(0);
        newest.max(eval.modify_index)
    }

    /// Writes the evaluation's end, or gives it back to wait for room.
    async fn finish(&self, dequeued: &Dequeued, outcome: Outcome) -> Result<Done, Failed> {
        if !reblocks(&outcome) {
            self.write(rows(&outcome)).await?;
            return Ok(Done::Ended);
        }
        let (was, is) = (&dequeued.eval, &outcome.eval);
        let changed = is.queued_allocations != was.queued_allocations || is.failed_tg_allocs != was.failed_tg_allocs;
        let rows: Vec<Evaluation> = changed.then_some(is).into_iter().chain(&outcome.blocked).cloned().collect();
        if !rows.is_empty() {
            self.write(rows).await?;
        }
        let mut evals = self.evals();
        for released in evals.blocked.block(Arc::new(outcome.eval), Some(dequeued.token), now()) {
            evals.broker.enqueue(released.eval, released.token, now());
        }
        Ok(Done::Ended)
    }

    async fn write(&self, evals: Vec<Evaluation>) -> Result<(), Failed> {
        let written = self.propose("ending an evaluation", Command::UpsertEvals { evals, now: now() }).await;
        if written { Ok(()) } else { Err(Failed::Write) }
    }
}

/// How many new allocations this look may place.
fn most(dequeued: &Dequeued) -> usize {
    if dequeued.large { worker::MOST_PLACEMENTS } else { worker::FIRST_PLACEMENTS }
}

/// A blocked evaluation that still can't place everything.
fn reblocks(outcome: &Outcome) -> bool {
    outcome.eval.status == EvalStatus::Blocked
}

/// What is written at the end: the evaluation, and those that wait for what it could not place.
fn rows(outcome: &Outcome) -> Vec<Evaluation> {
    std::iter::once(&outcome.eval).chain(&outcome.blocked).cloned().collect()
}

/// Runs the scheduler on a thread of its own; the worker's cache goes with it and comes back.
async fn schedule(state: Arc<State>, eval: Arc<Evaluation>, most: usize, cache: &mut Cache) -> Result<Outcome, Failed> {
    let mut lent = std::mem::take(cache);
    let scheduled = tokio::task::spawn_blocking(move || {
        let seed = rand_u64();
        let inputs = Inputs { state: &state, now: now(), seed, ids: &mut ids(), most, cache: &mut lent };
        let mut outcome = tarpan_scheduler::schedule(inputs, &eval);
        // Blocked ones are told apart from room that appeared later.
        for eval in outcome.blocked.iter_mut().chain([&mut outcome.eval]) {
            eval.snapshot_index = state.index();
        }
        (outcome, lent)
    })
    .await;
    let (outcome, lent) = scheduled.map_err(|_| Failed::Panic)?;
    *cache = lent;
    Ok(outcome)
}
