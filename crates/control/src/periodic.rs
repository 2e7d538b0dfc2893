//! Launches of periodic jobs: when, and as which child.
//!
//! Reads: periodic jobs as they are registered, `now`: the time of day, which may be set. Gives: children to register, and a
//! note wherever times were passed over ([`Note`]). When a cron expression comes next: [`crate::cron`].
//!
//! When the clock is set ahead, or nobody led, what was missed is launched once. When it is set back by up to
//! [`SET_BACK`], times that were launched already are not launched again: the next one is awaited; set back by more, it was
//! wrong before, and the job goes on from the new time.
//! Source: `reference/semantics.md` §9.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono_tz::Tz;
use tarpan_model::duration::SECOND;
use tarpan_model::ids::{EvalId, IdSource, NamespacedId};
use tarpan_model::job::PeriodicConfig;
use tarpan_model::job::cron::Cron;
use tarpan_model::time::rfc3339;
use tarpan_model::{Dur, EvalStatus, Evaluation, Job, Trigger, UnixNanos};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Change, Event, State};

use crate::cron;

/// Launches that are later than this are not made up for one by one.
const LATE: Dur = Dur::from_secs(5);

/// A clock that is set back by less goes through times that were launched already.
pub const SET_BACK: Dur = Dur::from_secs(3 * 3600);

/// Launch times of a job that were, or will be, passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub job: NamespacedId,
    pub text: String,
}

impl Note {
    /// The note as an evaluation of the job that is over: where people and the event stream look.
    pub fn eval(&self, state: &State, now: UnixNanos, ids: &mut dyn IdSource) -> Option<Evaluation> {
        let job = state.job(&self.job)?;
        let eval = Evaluation::for_job(EvalId(ids.next_uuid()), job, Trigger::PeriodicJob, now);
        Some(Evaluation { status: EvalStatus::Complete, status_description: Arc::from(self.text.as_str()), ..eval })
    }
}

/// Why a periodic block gives no times, or a launch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodicError {
    #[error("failed parsing cron expression {expression:?}: {reason}")]
    Cron { expression: String, reason: String },
    #[error("unknown time zone {0}")]
    TimeZone(String),
    #[error("can't force launch non-periodic job")]
    NotPeriodic,
    #[error("can't force run non-tracked job {id:?} ({namespace})", id = .0.id.as_str(), namespace = .0.namespace.as_str())]
    NotTracked(NamespacedId),
    #[error("job not found")]
    NotFound,
}

/// A cron expression as the field reads it.
pub fn parse_cron(expression: &str) -> Result<Cron, PeriodicError> {
    Cron::parse(expression).map_err(|reason| PeriodicError::Cron { expression: expression.to_owned(), reason })
}

fn time_zone(periodic: &PeriodicConfig) -> Result<Tz, PeriodicError> {
    match periodic.time_zone.as_deref() {
        None | Some("" | "Local") => Ok(Tz::UTC),
        Some(name) => name.parse().map_err(|_| PeriodicError::TimeZone(name.to_owned())),
    }
}

/// `cron` or all of `crons`.
fn expressions(periodic: &PeriodicConfig) -> impl Iterator<Item = &str> {
    let one = periodic.spec.as_deref().filter(|s| !s.is_empty());
    one.into_iter().chain(periodic.specs.iter().flatten().map(String::as_str))
}

/// The first launch after `after`; `None` when there is none.
pub fn next_launch(periodic: &PeriodicConfig, after: UnixNanos) -> Result<Option<UnixNanos>, PeriodicError> {
    let zone = time_zone(periodic)?;
    let mut first: Option<i64> = None;
    for expression in expressions(periodic) {
        if let Some(next) = cron::next(&parse_cron(expression)?, zone, after.secs()) {
            first = Some(first.map_or(next, |known| known.min(next)));
        }
    }
    Ok(first.map(UnixNanos::from_secs))
}

/// By how many seconds the clock of the block's time zone is ahead of UTC at `at`.
pub fn offset(periodic: &PeriodicConfig, at: UnixNanos) -> Result<i64, PeriodicError> {
    Ok(cron::offset(time_zone(periodic)?, at.secs()).unwrap_or(0))
}

/// The child of `parent` for the launch at `at`, with its evaluation. Refused when that launch was made already.
pub fn child(parent: &Job, at: UnixNanos, now: UnixNanos, ids: &mut dyn IdSource) -> RegisterJob {
    let id = format!("{}/periodic-{}", parent.id(), at.secs());
    let job = Job { periodic: None, ..derived(parent, id, now) };
    let eval = Evaluation::for_job(EvalId(ids.next_uuid()), &job, Trigger::PeriodicJob, now);
    RegisterJob { enforce_index: Some(0), ..RegisterJob::of(job, Some(eval), now) }
}

/// A copy of `parent` as its child `id`, without what the servers wrote into the parent.
pub(crate) fn derived(parent: &Job, id: String, now: UnixNanos) -> Job {
    Job {
        name: Some(id.clone()),
        id: Some(id),
        parent_id: parent.id.clone(),
        status: None,
        status_description: None,
        stable: None,
        version: None,
        version_tag: None,
        submit_time: Some(now.0),
        create_index: None,
        modify_index: None,
        job_modify_index: None,
        ..parent.clone()
    }
}

/// A launch by hand, overlap or not.
pub fn force(
    state: &State,
    job: &NamespacedId,
    now: UnixNanos,
    ids: &mut dyn IdSource,
) -> Result<RegisterJob, PeriodicError> {
    let parent = state.job(job).ok_or(PeriodicError::NotFound)?;
    if !parent.is_periodic() {
        return Err(PeriodicError::NotPeriodic);
    }
    if tracked(parent).is_none() {
        return Err(PeriodicError::NotTracked(job.clone()));
    }
    Ok(RegisterJob { enforce_index: None, ..child(parent, now, now, ids) })
}

/// A job that is launched by time.
fn tracked(job: &Job) -> Option<&PeriodicConfig> {
    let periodic = job.periodic.as_ref().filter(|p| p.enabled != Some(false))?;
    (!job.stopped() && !job.is_parameterized()).then_some(periodic)
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: UnixNanos,
    /// Changes of the job that do not make a version leave its next launch alone.
    version: (Option<u64>, u64),
}

/// The next launch of every periodic job, on the leader.
#[derive(Debug, Default)]
pub struct Periodic {
    jobs: HashMap<NamespacedId, Entry>,
    due: BTreeSet<(UnixNanos, NamespacedId)>,
    notes: Vec<Note>,
}

impl Periodic {
    /// For a new leader; what was missed is launched once.
    pub fn restore(&mut self, state: &State, now: UnixNanos) {
        self.disable();
        for (key, job) in state.jobs() {
            let Some(periodic) = tracked(job) else { continue };
            // A launch far ahead is one of a clock that was wrong.
            let last = state.periodic_launch(key).map(|l| l.launch).filter(|last| last.since(now) <= SET_BACK);
            let Ok(Some(next)) = next_launch(periodic, last.unwrap_or(now)) else { continue };
            self.set(key, job, next.max(now));
            if let Some(last) = last.filter(|_| next < now) {
                self.note_missed(key, periodic, last, now);
            }
        }
    }

    /// The clock was set back to `now`: see the module.
    pub fn set_back(&mut self, state: &State, by: Dur, now: UnixNanos) {
        let waiting: Vec<(UnixNanos, NamespacedId)> = self.due.iter().cloned().collect();
        for (at, key) in waiting {
            let Some((job, periodic)) = state.job(&key).and_then(|job| tracked(job).map(|p| (job, p))) else {
                continue;
            };
            let Ok(Some(next)) = next_launch(periodic, now) else { continue };
            if next >= at {
                continue;
            }
            let text = if by > SET_BACK {
                self.set(&key, job, next);
                format!("the clock was set back by {}: launches go on from the new time", whole(by))
            } else {
                format!("the clock was set back by {}: times until {} were launched already", whole(by), rfc3339(at))
            };
            self.notes.push(Note { job: key, text });
        }
    }

    /// What there is to say since the last time.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Says that more than one time lies between `after` and `now`: one launch stands for all of them.
    fn note_missed(&mut self, key: &NamespacedId, periodic: &PeriodicConfig, after: UnixNanos, now: UnixNanos) {
        let Ok(Some(first)) = next_launch(periodic, after) else { return };
        let second = next_launch(periodic, first).ok().flatten();
        if second.is_some_and(|second| second < now) {
            let text = format!("launch times from {} to {} were missed: launched once", rfc3339(first), rfc3339(now));
            self.notes.push(Note { job: key.clone(), text });
        }
    }

    /// Not the leader any more.
    pub fn disable(&mut self) {
        *self = Periodic::default();
    }

    fn set(&mut self, key: &NamespacedId, job: &Job, at: UnixNanos) {
        self.remove(key);
        self.due.insert((at, key.clone()));
        self.jobs.insert(key.clone(), Entry { at, version: version(job) });
    }

    fn remove(&mut self, key: &NamespacedId) {
        if let Some(entry) = self.jobs.remove(key) {
            self.due.remove(&(entry.at, key.clone()));
        }
    }

    /// Follows registered, changed and removed jobs.
    pub fn observe(&mut self, events: &[Event], now: UnixNanos) {
        for event in events {
            if let Change::Job { row, gone } = &event.change {
                self.follow(&row.key(), Some(&**row).filter(|_| !gone), now);
            }
        }
    }

    fn follow(&mut self, key: &NamespacedId, job: Option<&Job>, now: UnixNanos) {
        let Some((job, periodic)) = job.and_then(|job| tracked(job).map(|p| (job, p))) else {
            return self.remove(key);
        };
        if self.jobs.get(key).is_some_and(|entry| entry.version == version(job)) {
            return;
        }
        match next_launch(periodic, now) {
            Ok(Some(next)) => self.set(key, job, next),
            _ => self.remove(key),
        }
    }

    /// Children due at `now`; the next launches are set.
    pub fn step(&mut self, state: &State, now: UnixNanos, ids: &mut dyn IdSource) -> Vec<RegisterJob> {
        let mut children = Vec::new();
        while let Some((at, key)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.remove(&key);
            let Some(job) = state.job(&key) else { continue };
            let Some(periodic) = tracked(job) else { continue };
            if !(periodic.prohibit_overlap == Some(true) && runs(state, &key)) {
                children.push(child(job, at, now, ids));
            }
            let late = now.since(at) > LATE;
            if late {
                self.note_missed(&key, periodic, UnixNanos(at.0 - 1), now);
            }
            let last = if late { now } else { at };
            if let Ok(Some(next)) = next_launch(periodic, last) {
                self.set(&key, job, next);
            }
        }
        children
    }

    /// When the next launch is due.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// Without what is less than a second.
fn whole(time: Dur) -> String {
    Dur::from_secs(time.0 / SECOND).to_string()
}

fn version(job: &Job) -> (Option<u64>, u64) {
    (job.create_index, job.version())
}

/// A child is at work, or waits to be.
fn runs(state: &State, parent: &NamespacedId) -> bool {
    state.job_children(parent).any(|child| {
        let live = state.job_live(&child.key());
        live.evals > 0 || live.allocs > 0
    })
}

#[cfg(test)]
mod tests {
    use tarpan_model::ids::CountingIds;
    use tarpan_state::{Command, CommandId, Envelope};
    use tarpan_testkit::{at, jobs};

    use super::*;

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let periodic = PeriodicConfig {
            spec: Some(cron.to_owned()),
            time_zone: Some(zone.to_owned()),
            ..PeriodicConfig::default()
        };
        let after = chrono::DateTime::parse_from_rfc3339(after).unwrap().timestamp();
        match next_launch(&periodic, UnixNanos::from_secs(after)).unwrap() {
            Some(time) => rfc3339(time),
            None => "never".to_owned(),
        }
    }

    #[test]
    fn times() {
        for (cron, zone, after, then) in [
            ("*/15 * * * *", "UTC", "2026-01-01T00:07:00Z", "2026-01-01T00:15:00Z"),
            // Seven fields: seconds first, as in the demo.
            ("0/3 * * * * * *", "UTC", "2026-01-01T00:00:01Z", "2026-01-01T00:00:03Z"),
            ("* * * * * * *", "UTC", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"),
            // Six fields: the last is a year.
            ("0 12 * * * 2027", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T12:00:00Z"),
            ("30 4 1,15 * 5", "UTC", "2026-01-01T12:00:00Z", "2026-01-02T04:30:00Z"),
            ("0 0 L * *", "UTC", "2026-02-10T00:00:00Z", "2026-02-28T00:00:00Z"),
            ("0 9 * * MON-FRI", "UTC", "2026-01-02T10:00:00Z", "2026-01-05T09:00:00Z"),
            ("0 0 * * 5#2", "UTC", "2026-01-01T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("@daily", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@hourly", "UTC", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
            ("0 8 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T06:00:00Z"),
            ("0 8 * * *", "Asia/Shanghai", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
            ("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", "never"),
        ] {
            assert_eq!(next(cron, zone, after), then, "{cron} {zone}");
        }
    }

    #[test]
    fn the_earliest_of_several_counts() {
        let specs = vec!["0 12 * * *".to_owned(), "30 6 * * *".to_owned()];
        let periodic = PeriodicConfig { specs: Some(specs), ..PeriodicConfig::default() };
        assert_eq!(next_launch(&periodic, at(0)).unwrap(), Some(at(6 * 3600 + 1800)));
    }

    #[test]
    fn mistakes_are_named() {
        let with = |spec: &str, zone: &str| PeriodicConfig {
            spec: Some(spec.to_owned()),
            time_zone: Some(zone.to_owned()),
            ..PeriodicConfig::default()
        };
        assert!(matches!(next_launch(&with("61 * * * *", "UTC"), at(0)), Err(PeriodicError::Cron { .. })));
        assert!(matches!(next_launch(&with("* *", "UTC"), at(0)), Err(PeriodicError::Cron { .. })));
        // Taken as a list of nothing, it has no time to come to in thousands of years.
        assert!(matches!(next_launch(&with(", 0 * * * * *", "UTC"), at(0)), Err(PeriodicError::Cron { .. })));
        assert!(matches!(next_launch(&with("* * * * *", "Mars/Olympus"), at(0)), Err(PeriodicError::TimeZone(_))));
    }

    /// A leader's periodic part beside a state that follows it.
    struct World {
        state: State,
        periodic: Periodic,
        ids: CountingIds,
    }

    impl World {
        fn new(job: Job) -> World {
            let mut world =
                World { state: State::default(), periodic: Periodic::default(), ids: CountingIds::default() };
            let command = RegisterJob::of(job, None, at(0));
            world.register(command, at(0));
            world
        }
        fn register(&mut self, command: RegisterJob, now: UnixNanos) {
            let id = CommandId(self.ids.next_uuid().as_u128());
            let command = Command::RegisterJob(Box::new(command));
            self.state.apply(self.state.index() + 1, &[Envelope { id, command }]);
            let events = self.state.take_events();
            self.periodic.observe(&events, now);
        }
        /// Ids of the children launched at `now`.
        fn step(&mut self, now: UnixNanos) -> Vec<String> {
            let children = self.periodic.step(&self.state, now, &mut self.ids);
            let ids = children.iter().map(|c| c.job.id().to_owned()).collect();
            for child in children {
                self.register(child, now);
            }
            ids
        }
    }

    #[test]
    fn children_come_by_the_clock_and_a_new_version_changes_the_pace() {
        let mut world = World::new(jobs::periodic("employee", "0/3 * * * * * *"));
        let start = at(0).secs();
        assert_eq!(world.periodic.next_wake(), Some(at(3)));
        assert_eq!(world.step(at(3)), [format!("employee/periodic-{}", start + 3)]);
        assert_eq!(world.step(at(5)), [""; 0]);
        assert_eq!(world.step(at(6)), [format!("employee/periodic-{}", start + 6)]);
        let parent = NamespacedId::new("default", "employee");
        assert_eq!(world.state.job_summary(&parent).unwrap().children.unwrap().pending, 2);
        assert_eq!(world.state.periodic_launch(&parent).unwrap().launch, at(6));
        let faster = World::new(jobs::periodic("employee", "* * * * * * *")).state.job(&parent).unwrap().clone();
        let command = RegisterJob { job: (*faster).clone(), ..child(&faster, at(0), at(7), &mut world.ids) };
        world.register(RegisterJob { eval: None, enforce_index: None, ..command }, at(7));
        assert_eq!(world.periodic.next_wake(), Some(at(8)));
    }

    #[test]
    fn overlap_is_prohibited_on_wish() {
        let mut job = jobs::periodic("nightly", "* * * * * * *");
        job.periodic.as_mut().unwrap().prohibit_overlap = Some(true);
        let mut world = World::new(job);
        assert_eq!(world.step(at(1)).len(), 1);
        assert_eq!(world.step(at(2)).len(), 0, "the first child's evaluation is still pending");
        assert_eq!(world.periodic.next_wake(), Some(at(3)));
        let forced = force(&world.state, &NamespacedId::new("default", "nightly"), at(2), &mut world.ids);
        assert!(forced.unwrap().job.id().starts_with("nightly/periodic-"));
    }

    #[test]
    fn a_new_leader_makes_up_for_what_was_missed_once() {
        let mut world = World::new(jobs::periodic("employee", "0/3 * * * * * *"));
        world.periodic.restore(&world.state, at(100));
        assert_eq!(world.step(at(100)).len(), 1);
        assert_eq!(world.periodic.next_wake(), Some(at(102)));
    }
    /// Launches every second from `from` to `to`, and what is said.
    fn run(world: &mut World, from: i64, to: i64) -> (usize, Vec<String>) {
        let launched = (from..=to).map(|second| world.step(at(second)).len()).sum();
        (launched, texts(world))
    }

    fn texts(world: &mut World) -> Vec<String> {
        world.periodic.take_notes().into_iter().map(|note| note.text).collect()
    }

    #[test]
    fn a_clock_that_is_set_ahead_skips_nothing_in_silence() {
        let mut world = World::new(jobs::periodic("employee", "0 * * * * * *"));
        assert_eq!(run(&mut world, 1, 119), (1, vec![]));
        let (launched, said) = run(&mut world, 3719, 3721);
        assert_eq!(launched, 2, "once for what was missed, once for the full minute");
        assert!(said.len() == 1 && said[0].contains("were missed: launched once"), "{said:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_nothing() {
        let mut world = World::new(jobs::periodic("employee", "0 * * * * * *"));
        assert_eq!(run(&mut world, 1, 3601).0, 60);
        world.periodic.set_back(&world.state, Dur::from_secs(3600), at(1));
        let said = texts(&mut world);
        assert!(said.len() == 1 && said[0].contains("set back by 1h0m0s: times until"), "{said:?}");
        assert_eq!(run(&mut world, 1, 3601), (0, vec![]));
        assert_eq!(run(&mut world, 3602, 3660).0, 1);
        // As a new leader would see it.
        world.periodic.restore(&world.state, at(1));
        assert_eq!(run(&mut world, 1, 3660).0, 0);
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_stops_no_job_for_a_year() {
        let year = 365 * 24 * 3600;
        let mut world = World::new(jobs::periodic("employee", "0 * * * * * *"));
        assert_eq!(run(&mut world, year, year + 61).0, 2);
        world.periodic.set_back(&world.state, Dur::from_secs(year), at(61));
        assert!(texts(&mut world).iter().any(|said| said.contains("go on from the new time")));
        assert_eq!(run(&mut world, 61, 180).0, 2);
        world.periodic.restore(&world.state, at(181));
        assert_eq!(run(&mut world, 181, 300).0, 2);
    }

    #[test]
    fn a_note_becomes_an_evaluation_that_is_over() {
        let mut world = World::new(jobs::periodic("employee", "0 * * * * * *"));
        let job = NamespacedId::new("default", "employee");
        let note = Note { job: job.clone(), text: "said".to_owned() };
        let eval = note.eval(&world.state, at(1), &mut world.ids).expect("the job is there");
        assert_eq!((eval.job_key(), eval.status, &*eval.status_description), (job, EvalStatus::Complete, "said"));
        let gone = Note { job: NamespacedId::new("default", "gone"), ..note };
        assert!(gone.eval(&world.state, at(1), &mut world.ids).is_none());
    }
}
