//! Keeps broker and blocked evaluations in step with state, and writes what they find to be over.

use std::sync::Arc;
use std::time::Duration;

use tarpan_control::follow_ups;
use tarpan_model::duration::{MINUTE, SECOND};
use tarpan_model::{Dur, Evaluation};
use tarpan_state::Command;

use super::Control;
use super::due::instant;
use crate::chance::{ids, rand_u64};
use crate::clock::now;

/// Canceled evaluations in one entry.
const CANCEL_BATCH: usize = 728;
/// How long after too many deliveries an evaluation tries again: this, and up to [`FAILED_SPREAD`] more.
const FAILED_WAIT: Dur = Dur(MINUTE);
const FAILED_SPREAD: Dur = Dur(5 * MINUTE);
/// Evaluations that gave up on conflicting plans try again this often.
const UNBLOCK_FAILED: Duration = Duration::from_secs(60);

impl Control {
    /// The loop: restore, then follow events and due times.
    pub(super) async fn keep_evals(self: Arc<Self>) {
        let mut unblock_failed = tokio::time::interval(UNBLOCK_FAILED);
        let mut steps = self.steps.subscribe();
        loop {
            let state = self.published.state();
            self.evals().restore(&state, now());
            let mut feed = self.published.ring.subscribe(state.index());
            drop(state);
            loop {
                self.work.notify_waiters();
                self.reap().await;
                let due = instant(self.evals().broker.next_wake());
                tokio::select! {
                    entry = feed.next() => match entry {
                        Ok((_, events)) => {
                            let state = self.published.state();
                            self.evals().observe(&events, &state, now());
                        }
                        Err(_) => break, // fell behind the ring: read everything anew
                    },
                    () = self.turn.notified() => {}
                    _ = steps.changed() => break,
                    () = tokio::time::sleep_until(due) => self.evals().broker.step(now()),
                    _ = unblock_failed.tick() => {
                        let mut evals = self.evals();
                        for released in evals.blocked.unblock_failed() {
                            evals.broker.enqueue(released.eval, released.token, now());
                        }
                    }
                }
            }
        }
    }

    /// Writes evaluations that newer ones made needless, and those that were delivered too often.
    ///
    /// Not while there is no room: what is taken out here and not written would be forgotten.
    async fn reap(&self) {
        if self.consensus.no_room().is_some() {
            return;
        }
        let (canceled, duplicates, failed) = {
            let mut evals = self.evals();
            let canceled = evals.broker.take_cancelable(CANCEL_BATCH);
            let duplicates = evals.blocked.take_duplicates();
            (canceled, duplicates, evals.broker.dequeue_failed(rand_u64(), now()))
        };
        let mut rows: Vec<Evaluation> = Vec::new();
        if !canceled.is_empty() {
            rows.extend(follow_ups::canceled(&canceled, now()));
        }
        if !duplicates.is_empty() {
            rows.extend(follow_ups::duplicates(&duplicates, now()));
        }
        if let Some(failed) = &failed {
            let wait = Dur(FAILED_WAIT.0 + (rand_u64() % (FAILED_SPREAD.0 / SECOND) as u64) as i64 * SECOND);
            let state = self.published.state();
            rows.extend(follow_ups::delivery_failed(&state, &failed.eval, wait, now(), &mut ids()));
        }
        if !rows.is_empty() {
            self.propose("ending evaluations", Command::UpsertEvals { evals: rows, now: now() }).await;
        }
        if let Some(failed) = failed {
            let _ = self.evals().broker.ack(failed.eval.id, failed.token, now());
            self.turn.notify_one();
        }
    }
}
