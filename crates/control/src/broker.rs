//! Hands pending evaluations to workers: one of a job at a time, the most important first.
//!
//! Reads: evaluations as they are enqueued, answers of workers, `now`. Gives: evaluations to work on, and those that a newer
//! one of their job made needless. Tokens are handed in by the caller, who draws them at random.
//! Source: `reference/semantics.md` §1.2.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tarpan_model::duration::SECOND;
use tarpan_model::ids::{EvalId, NamespacedId};
use tarpan_model::job::JobType;
use tarpan_model::{Dur, Evaluation, UnixNanos};

/// How many may be handed out in a row before one that has more to do.
const MOST_PASSED: u32 = 4;

/// The broker's times and limits.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    pub nack_timeout: Dur,
    pub delivery_limit: u32,
    pub initial_nack_delay: Dur,
    pub subsequent_nack_delay: Dur,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            nack_timeout: Dur(60 * SECOND),
            delivery_limit: 3,
            initial_nack_delay: Dur(SECOND),
            subsequent_nack_delay: Dur(20 * SECOND),
        }
    }
}

/// An evaluation in the hands of a worker, until it is acked or nacked with `token`.
#[derive(Clone, Debug)]
pub struct Dequeued {
    pub eval: Arc<Evaluation>,
    pub token: u64,
    /// How often it was handed out, this time included.
    pub attempts: u32,
    /// A worker gave it back with more to do.
    pub large: bool,
}

/// Why an answer of a worker was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("Evaluation ID not found")]
    NotFound,
    #[error("Token does not match for Evaluation ID")]
    TokenMismatch,
    #[error("Evaluation ID Ack'd after Nack timer expiration")]
    TooLate,
}

/// Counts for metrics and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    pub ready: usize,
    pub unacked: usize,
    pub pending: usize,
    pub waiting: usize,
    pub cancelable: usize,
    pub failed: usize,
}

/// Where a tracked evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    /// Another one of its job is ready or with a worker.
    Pending,
    /// Comes in at this time. `nacked`: holds its job's slot meanwhile.
    Waiting {
        until: UnixNanos,
        nacked: bool,
    },
    /// With a worker; `until` is when the worker's silence counts as a nack (`None`: its plan is being committed).
    Unacked {
        token: u64,
        until: Option<UnixNanos>,
    },
    /// Handed out too often.
    Failed,
}

#[derive(Debug)]
struct Tracked {
    eval: Arc<Evaluation>,
    attempts: u32,
    place: Place,
    /// A worker gave it back with more to do.
    large: bool,
    /// The raft index that it stands in line with: where it was created, or where it was given back.
    since: u64,
}

/// Higher priority first, then those that no worker gave back with more to do, then who stands longer in line.
type ReadyKey = (Reverse<i64>, bool, u64, EvalId);
/// Higher priority first, then the newest change.
type PendingKey = (Reverse<i64>, Reverse<u64>, EvalId);

fn ready_key(tracked: &Tracked) -> ReadyKey {
    (Reverse(tracked.eval.priority), tracked.large, tracked.since, tracked.eval.id)
}

fn pending_key(eval: &Evaluation) -> PendingKey {
    (Reverse(eval.priority), Reverse(eval.modify_index), eval.id)
}

/// Pending evaluations on their way to workers.
#[derive(Debug, Default)]
pub struct Broker {
    options: BrokerOptions,
    enabled: bool,
    evals: HashMap<EvalId, Tracked>,
    /// The one evaluation of a job that is ready, waits after a nack, failed, or is with a worker.
    slots: HashMap<NamespacedId, EvalId>,
    ready: HashMap<JobType, BTreeSet<ReadyKey>>,
    pending: HashMap<NamespacedId, BTreeSet<PendingKey>>,
    failed: BTreeSet<ReadyKey>,
    /// When something is due: workers' silence and delays.
    timers: BTreeSet<(UnixNanos, EvalId)>,
    /// By token: given back while a worker still holds it.
    requeue: HashMap<u64, Arc<Evaluation>>,
    cancelable: Vec<Arc<Evaluation>>,
    /// How many were handed out in a row while one with more to do waited behind them.
    passed: u32,
}

impl Broker {
    pub fn new(options: BrokerOptions) -> Broker {
        Broker { options, ..Broker::default() }
    }

    /// All that are here, in no order.
    pub fn ids(&self) -> impl Iterator<Item = EvalId> {
        self.evals.keys().copied()
    }

    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Off forgets everything.
    pub fn set_enabled(&mut self, enabled: bool) {
        if !enabled {
            *self = Broker::new(self.options.clone());
        }
        self.enabled = enabled;
    }

    /// Takes a pending evaluation in. `token`: held by the worker that gives it back while it still holds it.
    pub fn enqueue(&mut self, eval: Arc<Evaluation>, token: Option<u64>, now: UnixNanos) {
        if !self.enabled {
            return;
        }
        if self.evals.contains_key(&eval.id) {
            if let Some(token) = token.filter(|t| self.outstanding(eval.id) == Some(*t)) {
                self.requeue.insert(token, eval);
            }
            return;
        }
        let until = if eval.wait.0 > 0 { now + eval.wait } else { eval.wait_until };
        let id = eval.id;
        let waits = until > now;
        let place = if waits { Place::Waiting { until, nacked: false } } else { Place::Pending };
        let since = eval.create_index;
        self.evals.insert(id, Tracked { eval, attempts: 0, place, large: false, since });
        if waits {
            self.timers.insert((until, id));
        } else {
            self.admit(id);
        }
    }

    /// Makes a tracked evaluation ready, or pending behind another one of its job.
    fn admit(&mut self, id: EvalId) {
        let Some(tracked) = self.evals.get_mut(&id) else { return };
        let job = tracked.eval.job_key();
        let holder = *self.slots.entry(job.clone()).or_insert(id);
        if holder == id {
            tracked.place = Place::Ready;
            self.ready.entry(tracked.eval.type_).or_default().insert(ready_key(tracked));
        } else {
            tracked.place = Place::Pending;
            self.pending.entry(job).or_default().insert(pending_key(&tracked.eval));
        }
    }

    /// Forgets an evaluation that ended elsewhere, unless a worker holds it.
    pub fn remove(&mut self, id: EvalId) {
        let Some(tracked) = self.evals.get(&id) else { return };
        if matches!(tracked.place, Place::Unacked { .. }) {
            return;
        }
        let Some(tracked) = self.evals.remove(&id) else { return };
        let eval = &tracked.eval;
        match tracked.place {
            Place::Ready => {
                self.ready.entry(eval.type_).or_default().remove(&ready_key(&tracked));
            }
            Place::Pending => {
                if let Some(queue) = self.pending.get_mut(&eval.job_key()) {
                    queue.remove(&pending_key(eval));
                }
            }
            Place::Waiting { until, .. } => {
                self.timers.remove(&(until, id));
            }
            Place::Failed => {
                self.failed.remove(&ready_key(&tracked));
            }
            Place::Unacked { .. } => {}
        }
        self.free_slot(&eval.job_key(), id);
    }

    /// The best ready evaluation of these types, from now on held under `token`.
    pub fn dequeue(&mut self, types: &[JobType], token: u64, now: UnixNanos) -> Option<Dequeued> {
        let first = |t: &JobType| self.ready.get(t).and_then(|queue| queue.first()).map(|key| (*key, *t));
        let (mut key, mut type_) = types.iter().filter_map(first).min()?;
        // Those with more to do come behind, but they come.
        let (priority, large, ..) = key;
        let from = (priority, true, 0, EvalId::NIL);
        let waits = |t: &JobType| self.ready.get(t).and_then(|q| q.range(from..).next()).map(|key| (*key, *t));
        let waiting = types.iter().filter_map(waits).filter(|(key, _)| key.0 == priority).min();
        match waiting {
            Some(oldest) if !large && self.passed >= MOST_PASSED => ((key, type_), self.passed) = (oldest, 0),
            Some(_) if !large => self.passed += 1,
            _ => self.passed = 0,
        }
        self.ready.entry(type_).or_default().remove(&key);
        self.hand_out(key.3, token, now)
    }

    /// One that was handed out too often: to be written as failed, then acked.
    pub fn dequeue_failed(&mut self, token: u64, now: UnixNanos) -> Option<Dequeued> {
        let (.., id) = self.failed.pop_first()?;
        self.hand_out(id, token, now)
    }

    fn hand_out(&mut self, id: EvalId, token: u64, now: UnixNanos) -> Option<Dequeued> {
        let until = now + self.options.nack_timeout;
        let tracked = self.evals.get_mut(&id)?;
        tracked.attempts += 1;
        tracked.place = Place::Unacked { token, until: Some(until) };
        self.timers.insert((until, id));
        Some(Dequeued { eval: tracked.eval.clone(), token, attempts: tracked.attempts, large: tracked.large })
    }

    /// The worker is done with it. The newest waiting evaluation of the job is next; older ones are needless.
    pub fn ack(&mut self, id: EvalId, token: u64, now: UnixNanos) -> Result<(), BrokerError> {
        self.release(id, token)?;
        let Some(tracked) = self.evals.remove(&id) else { return Err(BrokerError::NotFound) };
        let job = tracked.eval.job_key();
        self.free_slot(&job, id);
        if let Some(eval) = self.requeue.remove(&token) {
            self.enqueue(eval, None, now);
        }
        Ok(())
    }

    /// The worker did a part, which is in state from `index` on, and there is more to do: it comes behind those of its priority that are
    /// small or were not looked at yet, but for every fifth. What else waits of its job goes on waiting.
    pub fn again(&mut self, id: EvalId, token: u64, index: u64) -> Result<(), BrokerError> {
        self.release(id, token)?;
        let newer = self.requeue.remove(&token);
        let Some(tracked) = self.evals.get_mut(&id) else { return Err(BrokerError::NotFound) };
        tracked.eval = newer.unwrap_or_else(|| tracked.eval.clone());
        (tracked.attempts, tracked.large, tracked.since) = (0, true, index);
        self.admit(id);
        Ok(())
    }

    /// The worker could not do it: it comes again after a while, or is given up.
    pub fn nack(&mut self, id: EvalId, token: u64, now: UnixNanos) -> Result<(), BrokerError> {
        self.release(id, token)?;
        self.requeue.remove(&token);
        let Some(tracked) = self.evals.get_mut(&id) else { return Err(BrokerError::NotFound) };
        if tracked.attempts >= self.options.delivery_limit {
            tracked.place = Place::Failed;
            self.failed.insert(ready_key(tracked));
            return Ok(());
        }
        let delay = match tracked.attempts {
            0 => Dur::ZERO,
            1 => self.options.initial_nack_delay,
            n => Dur(self.options.subsequent_nack_delay.0 * i64::from(n - 1)),
        };
        let until = now + delay;
        tracked.place = Place::Waiting { until, nacked: true };
        self.timers.insert((until, id));
        Ok(())
    }

    /// Takes an evaluation out of its worker's hands.
    fn release(&mut self, id: EvalId, token: u64) -> Result<(), BrokerError> {
        let until = self.held(id, token)?;
        if let Some(until) = until {
            self.timers.remove(&(until, id));
        }
        Ok(())
    }

    fn held(&self, id: EvalId, token: u64) -> Result<Option<UnixNanos>, BrokerError> {
        match self.evals.get(&id).map(|t| t.place) {
            Some(Place::Unacked { token: known, until }) if known == token => Ok(until),
            Some(Place::Unacked { .. }) => Err(BrokerError::TokenMismatch),
            Some(Place::Waiting { nacked: true, .. } | Place::Failed) => Err(BrokerError::TooLate),
            _ => Err(BrokerError::NotFound),
        }
    }

    fn free_slot(&mut self, job: &NamespacedId, id: EvalId) {
        if self.slots.get(job) != Some(&id) {
            return;
        }
        self.slots.remove(job);
        let Some(mut queue) = self.pending.remove(job) else { return };
        if let Some((.., best)) = queue.pop_first() {
            self.admit(best);
        }
        for (.., id) in queue {
            self.cancelable.extend(self.evals.remove(&id).map(|t| t.eval));
        }
    }

    /// The token under which a worker holds `id`.
    pub fn outstanding(&self, id: EvalId) -> Option<u64> {
        match self.evals.get(&id)?.place {
            Place::Unacked { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The worker is alive: its time starts again.
    pub fn reset(&mut self, id: EvalId, token: u64, now: UnixNanos) -> Result<(), BrokerError> {
        self.release(id, token)?;
        let until = now + self.options.nack_timeout;
        self.set_until(id, Some(until), token);
        self.timers.insert((until, id));
        Ok(())
    }

    /// Stops the worker's time while its plan waits to be committed; [`Broker::reset`] starts it again.
    pub fn pause(&mut self, id: EvalId, token: u64) -> Result<(), BrokerError> {
        self.release(id, token)?;
        self.set_until(id, None, token);
        Ok(())
    }

    fn set_until(&mut self, id: EvalId, until: Option<UnixNanos>, token: u64) {
        if let Some(tracked) = self.evals.get_mut(&id) {
            tracked.place = Place::Unacked { token, until };
        }
    }

    /// Carries out what is due: delays that end, workers that were silent too long.
    pub fn step(&mut self, now: UnixNanos) {
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            match self.evals.get(&id).map(|t| t.place) {
                Some(Place::Waiting { .. }) => self.admit(id),
                Some(Place::Unacked { token, .. }) => {
                    let _ = self.nack(id, token, now);
                }
                _ => {}
            }
        }
    }

    /// When [`Broker::step`] has something to do.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Evaluations that a newer one of their job made needless: to be written as canceled.
    pub fn take_cancelable(&mut self, max: usize) -> Vec<Arc<Evaluation>> {
        let keep = self.cancelable.len().saturating_sub(max);
        self.cancelable.split_off(keep)
    }

    pub fn stats(&self) -> BrokerStats {
        let mut stats = BrokerStats { cancelable: self.cancelable.len(), ..BrokerStats::default() };
        for tracked in self.evals.values() {
            *match tracked.place {
                Place::Ready => &mut stats.ready,
                Place::Pending => &mut stats.pending,
                Place::Waiting { .. } => &mut stats.waiting,
                Place::Unacked { .. } => &mut stats.unacked,
                Place::Failed => &mut stats.failed,
            } += 1;
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::Trigger;
    use tarpan_testkit::at;
    use uuid::Uuid;

    use super::*;

    const ALL: [JobType; 2] = [JobType::Service, JobType::Batch];

    fn id(n: u128) -> EvalId {
        EvalId(Uuid::from_u128(n))
    }

    /// Evaluation `n` of a job, created and changed at index `n`.
    fn eval(n: u64, job: &str, priority: i64) -> Evaluation {
        let job = NamespacedId::new("default", job);
        let mut eval =
            Evaluation::new(id(n.into()), &job, JobType::Service, priority, Trigger::JobRegister, UnixNanos::ZERO);
        (eval.create_index, eval.modify_index) = (n, n);
        eval
    }

    fn broker(evals: impl IntoIterator<Item = Evaluation>) -> Broker {
        let mut broker = Broker::default();
        broker.set_enabled(true);
        for eval in evals {
            broker.enqueue(Arc::new(eval), None, at(0));
        }
        broker
    }

    fn next(broker: &mut Broker, token: u64, now: UnixNanos) -> Option<u128> {
        broker.dequeue(&ALL, token, now).map(|d| d.eval.id.0.as_u128())
    }

    #[test]
    fn the_most_important_then_the_oldest_comes_first() {
        let mut broker = broker([eval(2, "a", 50), eval(1, "b", 50), eval(3, "c", 80)]);
        let order: Vec<_> = (0..4).map(|t| next(&mut broker, t, at(0))).collect();
        assert_eq!(order, [Some(3), Some(1), Some(2), None]);
    }

    #[test]
    fn one_with_more_to_do_comes_behind_the_others_and_comes() {
        let mut broker = broker((1..=9).map(|n| eval(n, &format!("job-{n}"), 50)));
        assert_eq!(next(&mut broker, 7, at(0)), Some(1));
        broker.enqueue(Arc::new(eval(10, "job-1", 50)), None, at(0));
        assert_eq!(broker.again(id(1), 8, 10), Err(BrokerError::TokenMismatch));
        broker.again(id(1), 7, 10).unwrap();
        let mut dequeued = Vec::new();
        for token in 20..26 {
            let one = broker.dequeue(&ALL, token, at(0)).unwrap();
            dequeued.push((one.eval.id.0.as_u128(), one.large, one.attempts));
        }
        let small = |n| (n, false, 1);
        assert_eq!(dequeued, [small(2), small(3), small(4), small(5), (1, true, 1), small(6)]);
        broker.again(id(1), 24, 12).unwrap();
        broker.enqueue(Arc::new(eval(11, "urgent", 80)), None, at(0));
        assert_eq!(next(&mut broker, 30, at(0)), Some(11), "priority counts first");
        let rest: Vec<_> = (31..35).map(|token| next(&mut broker, token, at(0))).collect();
        assert_eq!(rest, [Some(7), Some(8), Some(9), Some(1)]);
        broker.ack(id(1), 34, at(0)).unwrap();
        assert_eq!(next(&mut broker, 40, at(0)), Some(10), "its job's next one waited for all of it");
        broker.again(id(10), 40, 13).unwrap();
        broker.remove(id(10));
        assert_eq!(next(&mut broker, 41, at(0)), None);
    }

    #[test]
    fn one_of_a_job_at_a_time_and_older_waiting_ones_are_canceled() {
        let mut broker = broker([eval(1, "a", 50), eval(2, "a", 50), eval(3, "a", 50)]);
        assert_eq!(next(&mut broker, 7, at(0)), Some(1));
        assert_eq!(next(&mut broker, 8, at(0)), None);
        assert_eq!(broker.ack(id(1), 8, at(0)), Err(BrokerError::TokenMismatch));
        broker.ack(id(1), 7, at(0)).unwrap();
        assert_eq!(broker.take_cancelable(10).iter().map(|e| e.id).collect::<Vec<_>>(), [id(2)]);
        assert_eq!(next(&mut broker, 9, at(0)), Some(3));
    }

    #[test]
    fn a_nacked_one_waits_longer_each_time_and_fails_in_the_end() {
        let mut broker = broker([eval(1, "a", 50), eval(2, "a", 50)]);
        for (attempt, delay) in [(1, 1), (2, 20)] {
            assert_eq!(next(&mut broker, attempt, at(100)), Some(1));
            broker.nack(id(1), attempt, at(100)).unwrap();
            broker.step(at(100 + delay - 1));
            assert_eq!(next(&mut broker, 50, at(100)), None, "its delay keeps the job's slot");
            assert_eq!(broker.next_wake(), Some(at(100 + delay)));
            broker.step(at(100 + delay));
        }
        assert_eq!(next(&mut broker, 3, at(200)), Some(1));
        broker.nack(id(1), 3, at(200)).unwrap();
        assert_eq!(next(&mut broker, 4, at(300)), None);
        let failed = broker.dequeue_failed(5, at(300)).unwrap();
        assert_eq!(failed.eval.id, id(1));
        broker.ack(id(1), 5, at(300)).unwrap();
        assert_eq!(next(&mut broker, 6, at(300)), Some(2));
    }

    #[test]
    fn a_silent_worker_loses_it_unless_its_plan_is_being_committed() {
        let mut broker = broker([eval(1, "a", 50)]);
        next(&mut broker, 1, at(0));
        broker.pause(id(1), 1).unwrap();
        broker.step(at(1_000));
        assert_eq!(broker.outstanding(id(1)), Some(1));
        broker.reset(id(1), 1, at(1_000)).unwrap();
        broker.step(at(1_060));
        assert_eq!(broker.outstanding(id(1)), None);
        assert_eq!(broker.ack(id(1), 1, at(1_060)), Err(BrokerError::TooLate));
        broker.step(at(1_061));
        assert_eq!(next(&mut broker, 2, at(1_061)), Some(1));
    }

    #[test]
    fn delays_are_kept() {
        let later = Evaluation { wait_until: at(30), ..eval(1, "a", 50) };
        let waiting = Evaluation { wait: Dur::from_secs(10), ..eval(2, "b", 50) };
        let mut broker = broker([later, waiting]);
        assert_eq!(next(&mut broker, 1, at(0)), None);
        broker.step(at(10));
        assert_eq!(next(&mut broker, 1, at(10)), Some(2));
        broker.step(at(30));
        assert_eq!(next(&mut broker, 2, at(30)), Some(1));
    }

    #[test]
    fn given_back_by_its_worker_it_comes_again_after_the_ack() {
        let mut broker = broker([eval(1, "a", 50)]);
        next(&mut broker, 1, at(0));
        broker.enqueue(Arc::new(eval(1, "a", 50)), None, at(0));
        broker.enqueue(Arc::new(eval(1, "a", 60)), Some(1), at(0));
        assert_eq!(next(&mut broker, 2, at(0)), None);
        broker.ack(id(1), 1, at(0)).unwrap();
        let again = broker.dequeue(&ALL, 3, at(0)).unwrap();
        assert_eq!((again.eval.id, again.eval.priority, again.attempts), (id(1), 60, 1));
    }

    #[test]
    fn one_that_ended_elsewhere_makes_room() {
        let mut broker = broker([eval(1, "a", 50), eval(2, "a", 50)]);
        broker.remove(id(1));
        assert_eq!(next(&mut broker, 1, at(0)), Some(2));
        broker.set_enabled(false);
        assert_eq!(broker.stats(), BrokerStats::default());
    }
}
