//! Evaluations that follow from what nodes report and from evaluations that failed.
//!
//! Source: `reference/semantics.md` §1.1 "Which trigger goes with what", §8.7 "Client update", §4.6.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alloc::{AllocUpdate, TaskState};
use tarpan_model::duration::SECOND;
use tarpan_model::ids::{EvalId, IdSource, NamespacedId};
use tarpan_model::job::ReschedulePolicy;
use tarpan_model::{Allocation, ClientStatus, Dur, EvalStatus, Evaluation, JobType, Trigger, UnixNanos};
use tarpan_state::State;

/// The evaluations that these reports ask for: at most one a job. For `Command::UpdateAllocs`.
///
/// Only reports of an end, or of an allocation that was believed unknown, ask for one.
pub fn client_updates(
    state: &State,
    updates: &[AllocUpdate],
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Vec<Evaluation> {
    let mut found: BTreeMap<NamespacedId, Trigger> = BTreeMap::new();
    for update in updates {
        let Some(alloc) = state.alloc(update.id) else { continue };
        if let Some(trigger) = trigger(state, alloc, update, now) {
            found.entry(alloc.job_key()).or_insert(trigger);
        }
    }
    found.into_iter().map(|(key, by)| eval_of(state, &key, by, now, ids)).collect()
}

fn trigger(state: &State, alloc: &Allocation, update: &AllocUpdate, now: UnixNanos) -> Option<Trigger> {
    let ends = matches!(update.client_status, ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost);
    let was_unknown = alloc.client_status == ClientStatus::Unknown && update.client_status != ClientStatus::Unknown;
    let news = update.client_status != alloc.client_status;
    match () {
        () if !(news && (ends || was_unknown)) => None,
        () if was_unknown => Some(Trigger::Reconnect),
        () if state.job(&alloc.job_key()).is_none() => Some(Trigger::JobDeregister),
        () if update.client_status == ClientStatus::Failed
            && alloc.followup_eval.is_none()
            && may_reschedule(alloc, update, now) =>
        {
            Some(Trigger::AllocFailure)
        }
        () => None,
    }
}

fn eval_of(state: &State, key: &NamespacedId, by: Trigger, now: UnixNanos, ids: &mut dyn IdSource) -> Evaluation {
    let id = EvalId(ids.next_uuid());
    match state.job(key) {
        Some(job) => Evaluation::for_job(id, job, by, now),
        None => Evaluation::new(id, key, JobType::Service, 50, by, now),
    }
}

/// A failed allocation has a policy that lets it be replaced, now or later.
fn may_reschedule(alloc: &Allocation, update: &AllocUpdate, now: UnixNanos) -> bool {
    if alloc.server_terminal() {
        return false;
    }
    let failed_at =
        failed_at(update.task_states.values(), if update.modify_time.is_zero() { now } else { update.modify_time });
    eligible(alloc, failed_at)
}

/// May a failed allocation be replaced by its group's policy?
pub(crate) fn eligible(alloc: &Allocation, failed_at: UnixNanos) -> bool {
    let Some(policy) = alloc.group().and_then(|g| g.reschedule_policy.as_ref()) else { return false };
    if policy.unlimited == Some(true) {
        return true;
    }
    let attempts = policy.attempts.unwrap_or(0);
    let interval = policy.interval.unwrap_or(Dur::ZERO);
    let Some(tracker) = alloc.reschedule.as_ref().filter(|t| !t.events.is_empty()) else { return attempts > 0 };
    let recent = tracker.events.iter().filter(|e| failed_at.since(e.time) < interval).count() as i64;
    recent < attempts && next_delay(policy, tracker.events.iter().map(|e| e.delay)) < interval
}

/// When the last task ended; `otherwise` when none did.
pub(crate) fn failed_at<'a>(tasks: impl Iterator<Item = &'a TaskState>, otherwise: UnixNanos) -> UnixNanos {
    tasks.map(|t| t.finished_at).max().filter(|t| !t.is_zero()).unwrap_or(otherwise)
}

fn next_delay(policy: &ReschedulePolicy, past: impl DoubleEndedIterator<Item = Dur>) -> Dur {
    let base = policy.delay.unwrap_or(Dur(30 * SECOND));
    let mut past = past.rev();
    let next = match (policy.delay_function.as_deref(), past.next(), past.next()) {
        (Some("exponential"), Some(last), _) => Dur(last.0.saturating_mul(2)),
        (Some("fibonacci"), Some(last), Some(before)) => Dur(last.0.saturating_add(before.0)),
        _ => base,
    };
    match policy.max_delay.filter(|max| max.0 > 0) {
        Some(max) => next.min(max),
        None => next,
    }
}

/// `eval` reached the delivery limit: the failed row and the one that tries again after `wait`.
///
/// Nothing tries again for a job that is gone.
pub fn delivery_failed(
    state: &State,
    eval: &Evaluation,
    wait: Dur,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Vec<Evaluation> {
    let newest = state.eval(eval.id).map_or(eval, |row| row);
    let mut failed = Evaluation {
        status: EvalStatus::Failed,
        status_description: Arc::from("evaluation reached delivery limit (3)"),
        modify_time: now,
        ..newest.clone()
    };
    if state.job(&eval.job_key()).is_none() {
        return vec![failed];
    }
    let id = EvalId(ids.next_uuid());
    failed.next_eval = Some(id);
    let again = Evaluation { wait, ..eval.following(id, Trigger::FailedFollowUp, now) };
    vec![failed, again]
}

/// Rows for [`crate::Broker::take_cancelable`].
pub fn canceled(evals: &[Arc<Evaluation>], now: UnixNanos) -> Vec<Evaluation> {
    ended(evals, now, |_| Arc::from("canceled after more recent eval was processed"))
}

/// Rows for [`crate::Blocked::take_duplicates`].
pub fn duplicates(evals: &[Arc<Evaluation>], now: UnixNanos) -> Vec<Evaluation> {
    ended(evals, now, |eval| {
        Arc::from(format!("existing blocked evaluation exists for job {:?}", eval.job_id.as_str()))
    })
}

fn ended(evals: &[Arc<Evaluation>], now: UnixNanos, why: impl Fn(&Evaluation) -> Arc<str>) -> Vec<Evaluation> {
    evals
        .iter()
        .map(|eval| Evaluation {
            status: EvalStatus::Canceled,
            status_description: why(eval),
            modify_time: now,
            ..Evaluation::clone(eval)
        })
        .collect()
}
