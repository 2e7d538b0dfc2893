//! When may a failed allocation be replaced, and what is remembered of it.

use std::sync::Arc;

use tarpan_model::alloc::{RescheduleEvent, RescheduleTracker};
use tarpan_model::{Allocation, ClientStatus, DeploymentId, DesiredStatus, Dur, EvalId, UnixNanos};

use super::buckets::unknown_since;
use crate::compile::{DelayFunction, Reschedule};

/// Waiting shorter than this is not worth an evaluation.
const SOON: Dur = Dur::from_secs(1);
/// Events kept where attempts are unlimited.
const KEPT: usize = 5;

pub const PLACED: &str = "ok";
pub const NOT_PLACED: &str = "no placement";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Never,
    Now,
    Later(UnixNanos),
}

/// What the decision depends on besides the allocation.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub now: UnixNanos,
    pub eval: EvalId,
    /// The running deployment of this job version: its watcher decides for its allocations.
    pub deployment: Option<DeploymentId>,
    pub batch: bool,
    /// Its node went out of touch just now.
    pub disconnecting: bool,
    pub replace_disconnecting: bool,
    /// An evaluation that is not over yet will look at it again.
    pub awaited: bool,
}

/// The last wish to replace it was not carried out.
pub fn last_failed(alloc: &Allocation) -> bool {
    alloc.reschedule.as_ref().is_some_and(|r| r.last_reschedule == NOT_PLACED)
}

/// May `alloc` be replaced, and when?
pub fn when(alloc: &Allocation, policy: Option<&Reschedule>, at: Circumstances) -> When {
    let watched = alloc.deployment_id.is_some() && alloc.deployment_id == at.deployment;
    if watched && alloc.transition.reschedule != Some(true) {
        return When::Never;
    }
    if alloc.transition.force_reschedule == Some(true) && alloc.client_terminal() {
        return When::Now;
    }
    if at.disconnecting && !at.replace_disconnecting {
        return When::Never;
    }
    let is_followup = alloc.followup_eval == Some(at.eval);
    let unknown = alloc.client_status == ClientStatus::Unknown && is_followup;
    let forced_batch = at.batch && alloc.transition.reschedule == Some(true);
    let failed = matches!(alloc.client_status, ClientStatus::Failed | ClientStatus::Lost) || forced_batch;
    if !at.disconnecting
        && !unknown
        && (!failed || (alloc.desired_status == DesiredStatus::Stop && !last_failed(alloc)))
    {
        return When::Never;
    }
    // An operator's stop of a batch allocation is not one of its attempts.
    if forced_batch && !alloc.client_terminal() {
        return When::Now;
    }
    let Some(policy) = policy else { return When::Never };
    let from = match unknown_since(alloc) {
        _ if at.disconnecting => at.now,
        Some(since) if unknown => since,
        _ => fail_time(alloc),
    };
    let delay = next_delay(alloc.reschedule.as_deref(), policy, from);
    if !eligible(alloc.reschedule.as_deref(), policy, from, delay) {
        return When::Never;
    }
    let time = from + delay;
    // What found no node has waited already; the clock of another leader may be behind that time.
    if is_followup || last_failed(alloc) || time.since(at.now) <= SOON {
        When::Now
    } else if at.awaited {
        When::Never
    } else {
        When::Later(time)
    }
}

/// When its last task ended; else its last change.
fn fail_time(alloc: &Allocation) -> UnixNanos {
    let latest = alloc.task_states.values().map(|t| t.finished_at).max().unwrap_or_default();
    if latest.is_zero() { alloc.modify_time } else { latest }
}

fn eligible(tracker: Option<&RescheduleTracker>, policy: &Reschedule, fail_time: UnixNanos, delay: Dur) -> bool {
    if policy.unlimited {
        return true;
    }
    let events = tracker.map(|t| t.events.as_slice()).unwrap_or_default();
    if events.is_empty() {
        return policy.attempts > 0;
    }
    let recent = events.iter().filter(|e| fail_time.since(e.time) < policy.interval).count();
    recent < policy.attempts as usize && delay < policy.interval
}

/// How long to wait before the next replacement of a chain.
pub fn next_delay(tracker: Option<&RescheduleTracker>, policy: &Reschedule, fail_time: UnixNanos) -> Dur {
    let events = tracker.map(|t| t.events.as_slice()).unwrap_or_default();
    let Some(last) = events.last() else { return policy.delay };
    let before = events.len().checked_sub(2).map(|i| events[i].delay);
    let mut delay = match policy.function {
        DelayFunction::Constant => return policy.delay,
        DelayFunction::Exponential => Dur(last.delay.0.saturating_mul(2)),
        DelayFunction::Fibonacci => match before {
            // The sequence was started again after its longest delay.
            Some(before) if before == policy.max_delay && last.delay == policy.delay => last.delay,
            Some(before) => Dur(before.0.saturating_add(last.delay.0)),
            None => policy.delay,
        },
    };
    if policy.max_delay.0 > 0 && delay > policy.max_delay {
        delay = policy.max_delay;
        if fail_time.since(last.time) > delay {
            delay = policy.delay;
        }
    }
    delay
}

/// The chain as the replacement of `alloc` carries it.
pub fn tracker_after(alloc: &Allocation, policy: Option<&Reschedule>, now: UnixNanos) -> RescheduleTracker {
    let old = alloc.reschedule.as_deref();
    let events = old.map(|t| t.events.as_slice()).unwrap_or_default();
    let mut kept: Vec<RescheduleEvent> = match policy {
        Some(policy) if !policy.unlimited => {
            events.iter().filter(|e| now.since(e.time) < policy.interval).copied().collect()
        }
        _ => events[events.len().saturating_sub(KEPT)..].to_vec(),
    };
    let delay = policy.map_or(Dur::ZERO, |policy| next_delay(old, policy, fail_time(alloc)));
    kept.push(RescheduleEvent { time: now, prev_alloc_id: alloc.id, prev_node_id: alloc.node_id, delay });
    RescheduleTracker { events: kept, last_reschedule: PLACED.to_owned() }
}

/// The tracker of `alloc` with what became of the last wish to replace it.
pub fn tracker_noting(alloc: &Allocation, outcome: &str) -> Arc<RescheduleTracker> {
    let mut tracker = alloc.reschedule.as_deref().cloned().unwrap_or_default();
    tracker.last_reschedule = outcome.to_owned();
    Arc::new(tracker)
}

#[cfg(test)]
mod tests {
    use tarpan_model::{AllocId, NodeId};

    use super::*;

    fn delays(function: DelayFunction, max: i64, rounds: usize) -> Vec<i64> {
        let policy = Reschedule {
            attempts: 0,
            interval: Dur::ZERO,
            delay: Dur::from_secs(5),
            function,
            max_delay: Dur::from_secs(max),
            unlimited: true,
        };
        let mut tracker = RescheduleTracker::default();
        let mut now = UnixNanos::from_secs(1000);
        let mut all = Vec::new();
        for _ in 0..rounds {
            let delay = next_delay(Some(&tracker), &policy, now);
            all.push(delay.0 / 1_000_000_000);
            now = now + delay;
            tracker.events.push(RescheduleEvent {
                time: now,
                prev_alloc_id: AllocId::NIL,
                prev_node_id: NodeId::NIL,
                delay,
            });
        }
        all
    }

    #[test]
    fn delays_grow() {
        assert_eq!(delays(DelayFunction::Constant, 0, 3), [5, 5, 5]);
        assert_eq!(delays(DelayFunction::Exponential, 30, 5), [5, 10, 20, 30, 30]);
        assert_eq!(delays(DelayFunction::Fibonacci, 40, 6), [5, 5, 10, 15, 25, 40]);
    }
}
