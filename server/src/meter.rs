//! What happened how often and took how long: counters and timers under the field's names, for `/v1/metrics`.
//!
//! People read stretches of ten seconds, Prometheus what there was since the start. Names: `reference/runtime.md`, "Metrics".

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tarpan_api::wire::SampledValue;
use tarpan_model::JobType;

/// How long a stretch is.
const STRETCH: Duration = Duration::from_secs(10);

/// Things that are counted.
pub(crate) const QUERY: &str = "nomad.nomad.rpc.query";
pub(crate) const REQUEST: &str = "nomad.nomad.rpc.request";
pub(crate) const REQUEST_ERROR: &str = "nomad.nomad.rpc.request_error";
pub(crate) const APPLY: &str = "nomad.raft.apply";
/// Things that take time.
pub(crate) const COMMIT: &str = "nomad.raft.commitTime";
pub(crate) const SUBMIT_PLAN: &str = "nomad.nomad.worker.submit_plan";

/// How long the scheduler looked at a job.
pub(crate) fn scheduler(kind: JobType) -> &'static str {
    match kind {
        JobType::Service => "nomad.nomad.worker.invoke_scheduler.service",
        JobType::Batch => "nomad.nomad.worker.invoke_scheduler.batch",
        JobType::System => "nomad.nomad.worker.invoke_scheduler.system",
        JobType::SysBatch => "nomad.nomad.worker.invoke_scheduler.sysbatch",
    }
}

/// Values of one name: 1 for what is counted, milliseconds for what takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn shown(&self, name: &str, labels: &BTreeMap<String, String>) -> SampledValue {
        let n = self.count as f64;
        let mean = if self.count == 0 { 0.0 } else { self.sum / n };
        let spread = if self.count < 2 { 0.0 } else { (self.squares - n * mean * mean) / (n - 1.0) };
        SampledValue {
            name: name.to_owned(),
            count: self.count,
            rate: self.sum / STRETCH.as_secs_f64(),
            sum: self.sum,
            min: self.min,
            max: self.max,
            mean,
            stddev: spread.max(0.0).sqrt(),
            labels: labels.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Counter,
    Timer,
}

type Sums = BTreeMap<(Kind, &'static str), Sum>;

#[derive(Debug)]
struct Stretches {
    began: Instant,
    running: Sums,
    /// The one before it.
    whole: Sums,
    all: Sums,
}

impl Stretches {
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed < STRETCH {
            return;
        }
        let ended = std::mem::take(&mut self.running);
        self.whole = if passed < 2 * STRETCH { ended } else { Sums::new() };
        self.began = now;
    }

    fn add(&mut self, kind: Kind, name: &'static str, value: f64, now: Instant) {
        self.turn(now);
        for sums in [&mut self.running, &mut self.all] {
            sums.entry((kind, name)).or_default().add(value);
        }
    }

    /// The last whole stretch, and of the running one what was not in that.
    fn shown(&mut self, now: Instant) -> Sums {
        self.turn(now);
        let mut shown = self.whole.clone();
        for (key, sum) in &self.running {
            shown.entry(*key).or_insert(*sum);
        }
        shown
    }
}

/// Where it is all written down.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Stretches>);

impl Default for Meter {
    fn default() -> Meter {
        let (running, whole, all) = Default::default();
        Meter(Mutex::new(Stretches { began: Instant::now(), running, whole, all }))
    }
}

impl Meter {
    pub(crate) fn count(&self, name: &'static str) {
        self.lock().add(Kind::Counter, name, 1.0, Instant::now());
    }

    pub(crate) fn took(&self, name: &'static str, since: Instant) {
        let now = Instant::now();
        let milliseconds = now.saturating_duration_since(since).as_secs_f64() * 1000.0;
        self.lock().add(Kind::Timer, name, milliseconds, now);
    }

    /// A command was handed to the log, and has come to state.
    pub(crate) fn committed(&self, since: Instant) {
        self.count(APPLY);
        self.took(COMMIT, since);
    }

    /// Of the last stretch: what was counted, and what took time.
    pub(crate) fn shown(&self, labels: &BTreeMap<String, String>) -> (Vec<SampledValue>, Vec<SampledValue>) {
        let shown = self.lock().shown(Instant::now());
        let of = |kind: Kind| {
            shown.iter().filter(|((k, _), _)| *k == kind).map(|((_, name), sum)| sum.shown(name, labels)).collect()
        };
        (of(Kind::Counter), of(Kind::Timer))
    }

    /// Since the start, by name.
    pub(crate) fn all(&self) -> BTreeMap<(Kind, &'static str), Sum> {
        self.lock().all.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stretches> {
        self.0.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let (running, whole, all) = Default::default();
        let mut stretches = Stretches { began: begin, running, whole, all };
        let timer = (Kind::Timer, COMMIT);
        for (second, value) in [(1, 2.0), (2, 4.0), (11, 9.0)] {
            stretches.add(timer.0, timer.1, value, at(second));
        }
        let shown = stretches.shown(at(12))[&timer].shown(COMMIT, &BTreeMap::new());
        assert_eq!((shown.count, shown.sum, shown.min, shown.max, shown.mean), (2, 6.0, 2.0, 4.0, 3.0));
        assert!((shown.stddev - 2f64.sqrt()).abs() < 1e-9 && shown.rate == 0.6, "{shown:?}");
        stretches.add(Kind::Counter, APPLY, 1.0, at(13));
        assert_eq!(stretches.shown(at(13))[&(Kind::Counter, APPLY)].count, 1, "what only the running one has");
        assert_eq!(stretches.shown(at(22))[&timer].count, 1);
        assert!(stretches.shown(at(60)).is_empty(), "nothing happened lately");
        assert_eq!(stretches.all[&timer].count, 3);
    }
}
