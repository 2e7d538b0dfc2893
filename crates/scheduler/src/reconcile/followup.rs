//! Evaluations that look again later: for delayed replacements and for nodes that may come back.

use std::sync::Arc;

use tarpan_model::ids::EvalId;
use tarpan_model::{Allocation, Dur, Trigger, UnixNanos};

use super::{AllocRef, Reconciler};

/// Times this close together share one evaluation.
const WINDOW: Dur = Dur::from_secs(5);
const DELAYED_RESCHEDULING: &str = "created for delayed rescheduling";
const DISCONNECT_TIMEOUT: &str = "created for delayed disconnect timeout";

impl<'a> Reconciler<'a, '_> {
    /// One evaluation for each window of times; gives each allocation with its evaluation, earliest first.
    fn batches(
        &mut self,
        mut times: Vec<(UnixNanos, AllocRef<'a>)>,
        trigger: impl Fn(usize) -> Trigger,
        description: &str,
    ) -> Vec<(AllocRef<'a>, EvalId)> {
        times.sort_by_key(|(time, alloc)| (*time, alloc.id));
        let mut tagged = Vec::with_capacity(times.len());
        let mut window: Option<(UnixNanos, EvalId)> = None;
        let mut batch = 0;
        for (time, alloc) in times {
            let id = match window {
                Some((start, id)) if time.since(start) < WINDOW => id,
                _ => {
                    let id = self.followup(time, trigger(batch), description);
                    batch += 1;
                    window = Some((time, id));
                    id
                }
            };
            tagged.push((alloc, id));
        }
        tagged
    }

    fn followup(&mut self, at: UnixNanos, trigger: Trigger, description: &str) -> EvalId {
        let (eval, now) = (self.input.eval, self.input.now);
        let id = EvalId(self.ids.next_uuid());
        let mut followup = eval.following(id, trigger, now);
        followup.type_ = self.input.job.map_or(eval.type_, |job| job.type_);
        followup.status_description = Arc::from(description);
        followup.wait_until = at;
        self.changes.followups.push(followup);
        id
    }

    /// Marks allocations to be replaced later.
    pub(super) fn reschedule_later(&mut self, times: Vec<(UnixNanos, AllocRef<'a>)>) {
        let trigger = |batch| if batch == 0 { Trigger::AllocReschedule } else { Trigger::AllocFailure };
        for (alloc, eval) in self.batches(times, trigger, DELAYED_RESCHEDULING) {
            self.rewrite(alloc).followup_eval = Some(eval);
        }
    }

    /// When the nodes of these were out of touch for too long.
    pub(super) fn lost_later(&mut self, times: Vec<(UnixNanos, AllocRef<'a>)>) -> Vec<(AllocRef<'a>, EvalId)> {
        self.batches(times, |_| Trigger::MaxDisconnectTimeout, DISCONNECT_TIMEOUT)
    }

    /// When clients have stopped these by themselves.
    pub(super) fn stopped_later(&mut self, times: Vec<(UnixNanos, AllocRef<'a>)>) -> Vec<(AllocRef<'a>, EvalId)> {
        self.batches(times, |_| Trigger::AllocFailure, DELAYED_RESCHEDULING)
    }
}

/// When the client of a lost allocation has stopped it: its own wait, and the time to kill its tasks.
pub(super) fn stopped_on_client(alloc: &Allocation, stop_after: Dur, kill_timeout: Dur, now: UnixNanos) -> UnixNanos {
    let lost = alloc.client_states.iter().find(|(s, _)| *s == tarpan_model::ClientStatus::Lost).map(|(_, time)| *time);
    lost.unwrap_or(now) + stop_after + kill_timeout.max(Dur::from_secs(5))
}
