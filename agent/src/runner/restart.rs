//! Whether a task that ended starts again, and when.
//!
//! Reads: the restart policy, what happened, `now`, a random number. Gives: a [`Decision`].
//! Follows `reference/semantics.md` 18.3.

use tarpan_model::job::{Job, JobType, Task, TaskGroup};
use tarpan_model::{Dur, UnixNanos};

use super::event::WITHIN_POLICY;
use super::turn::Turn;

/// A restart policy with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub attempts: i64,
    pub interval: Dur,
    pub delay: Dur,
    /// When the attempts are used up: fail the task, or wait for the interval's end.
    pub fails: bool,
    /// Start again after a success too.
    pub on_success: bool,
    /// Render templates anew at every start.
    pub render_templates: bool,
}

impl Policy {
    pub fn of(job: &Job, group: &TaskGroup, task: &Task, turn: Turn) -> Policy {
        let batch = matches!(job.job_type(), JobType::Batch | JobType::SysBatch);
        let policies = [task.restart_policy.as_ref(), group.restart_policy.as_ref()];
        let first = |pick: &dyn Fn(&tarpan_model::job::RestartPolicy) -> Option<i64>| {
            policies.iter().flatten().find_map(|p| pick(p))
        };
        let mode = policies.iter().flatten().find_map(|p| p.mode.clone());
        Policy {
            attempts: first(&|p| p.attempts).unwrap_or(if batch { 3 } else { 2 }),
            interval: Dur(first(&|p| p.interval.map(|d| d.0))
                .unwrap_or(if batch { 24 * 3600 } else { 30 * 60 } * tarpan_model::duration::SECOND)),
            delay: Dur(first(&|p| p.delay.map(|d| d.0)).unwrap_or(15 * tarpan_model::duration::SECOND)),
            fails: mode.as_deref() != Some("delay"),
            on_success: match turn {
                Turn::Main => !batch,
                Turn::PrestartSidecar | Turn::PoststartSidecar => true,
                Turn::Prestart | Turn::Poststart | Turn::Poststop => false,
            },
            render_templates: policies.iter().flatten().find_map(|p| p.render_templates).unwrap_or(false),
        }
    }
}

/// Why a task is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Exit {
        success: bool,
    },
    StartError {
        recoverable: bool,
    },
    /// A health check asked for a restart: it counts as a failure.
    Check,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It ended as it should: no restart, no failure.
    Done,
    Restart {
        delay: Dur,
        reason: &'static str,
    },
    /// No restart, and the task failed.
    Stop {
        reason: String,
    },
}

/// Counts restarts within the policy's interval.
///
/// An interval begins with a failure; the first failure after its end begins the next one and is the first that it counts.
/// So a policy whose interval is over before its attempts can be used up restarts for ever: the getting-started demo has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    pub policy: Policy,
    count: i64,
    interval_start: UnixNanos,
}

impl Tracker {
    pub fn new(policy: Policy) -> Tracker {
        Tracker { policy, count: 0, interval_start: UnixNanos::ZERO }
    }

    /// `chance` in 0..1 spreads restarts over a quarter of the delay.
    pub fn decide(&mut self, cause: Cause, now: UnixNanos, chance: f64) -> Decision {
        let success = cause == Cause::Exit { success: true };
        if self.policy.attempts == 0 {
            return match success && !self.policy.on_success {
                true => Decision::Done,
                false => Decision::Stop { reason: "Policy allows no restarts".to_owned() },
            };
        }
        if self.interval_start.is_zero() || now > self.interval_start + self.policy.interval {
            self.count = 0;
            self.interval_start = now;
        }
        self.count += 1;
        match cause {
            Cause::StartError { recoverable: false } => {
                return Decision::Stop { reason: "Error was unrecoverable".to_owned() };
            }
            Cause::Exit { success: true } if !self.policy.on_success => return Decision::Done,
            _ => {}
        }
        if self.count <= self.policy.attempts {
            let spread = (self.policy.delay.0 as f64 * chance * 0.25) as i64;
            return Decision::Restart { delay: Dur(self.policy.delay.0 + spread), reason: WITHIN_POLICY };
        }
        if self.policy.fails {
            let (attempts, interval) = (self.policy.attempts, self.policy.interval);
            let reason = format!("Exceeded allowed attempts {attempts} in interval {interval} and mode is \"fail\"");
            return Decision::Stop { reason };
        }
        let delay = (self.interval_start + self.policy.interval).since(now);
        Decision::Restart { delay, reason: "Exceeded allowed attempts, applying a delay" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(attempts: i64, fails: bool, on_success: bool) -> Tracker {
        let policy = Policy {
            attempts,
            interval: Dur::from_secs(60),
            delay: Dur::from_secs(10),
            fails,
            on_success,
            render_templates: false,
        };
        Tracker::new(policy)
    }

    fn text(decision: &Decision) -> String {
        match decision {
            Decision::Done => "done".to_owned(),
            Decision::Restart { delay, reason } => format!("{delay} {reason}"),
            Decision::Stop { reason } => format!("stop {reason}"),
        }
    }

    const FAILED: Cause = Cause::Exit { success: false };
    const OK: Cause = Cause::Exit { success: true };

    /// A row: tracker, then (second, cause, expected).
    fn check(mut tracker: Tracker, steps: &[(i64, Cause, &str)]) {
        for (second, cause, expected) in steps {
            assert_eq!(
                text(&tracker.decide(*cause, UnixNanos::from_secs(1_000 + second), 0.0)),
                *expected,
                "at {second}"
            );
        }
    }

    #[test]
    fn decisions() {
        let exceeded = "stop Exceeded allowed attempts 2 in interval 1m0s and mode is \"fail\"";
        let within = "10s Restart within policy";
        check(tracker(2, true, true), &[(0, FAILED, within), (20, FAILED, within), (30, FAILED, exceeded)]);
        check(tracker(2, true, true), &[(0, FAILED, within), (20, FAILED, within), (61, FAILED, within)]);
        check(
            tracker(1, false, true),
            &[(0, FAILED, within), (40, FAILED, "20s Exceeded allowed attempts, applying a delay")],
        );
        check(tracker(3, true, false), &[(0, FAILED, within), (1, OK, "done")]);
        check(tracker(0, true, true), &[(0, OK, "stop Policy allows no restarts")]);
        check(tracker(0, true, false), &[(0, OK, "done"), (1, FAILED, "stop Policy allows no restarts")]);
        check(tracker(5, true, true), &[(0, Cause::StartError { recoverable: false }, "stop Error was unrecoverable")]);
        check(tracker(5, true, true), &[(0, Cause::StartError { recoverable: true }, within)]);
    }

    /// The demo's employee: two attempts within 10 s, each 15 s after a failure. Every failure begins an interval of its own,
    /// so a child whose store is gone comes back until somebody stops it. Registering such a job warns.
    #[test]
    fn an_interval_that_ends_before_the_attempts_restarts_for_ever() {
        let policy =
            Policy { interval: Dur::from_secs(10), delay: Dur::from_secs(15), ..tracker(2, true, false).policy };
        let within = "15s Restart within policy";
        let failures: Vec<_> = (0..100).map(|n| (n * 15, FAILED, within)).collect();
        check(Tracker::new(policy.clone()), &failures);
        // Failures that do come within one interval are counted: a check that asks for restarts, a start that fails at once.
        let exceeded = "stop Exceeded allowed attempts 2 in interval 10s and mode is \"fail\"";
        check(Tracker::new(policy), &[(0, FAILED, within), (5, Cause::Check, within), (10, FAILED, exceeded)]);
    }

    #[test]
    fn the_last_moment_of_an_interval_belongs_to_it() {
        let within = "10s Restart within policy";
        let exceeded = "stop Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"";
        check(tracker(1, true, true), &[(0, FAILED, within), (60, FAILED, exceeded)]);
        check(tracker(1, true, true), &[(0, FAILED, within), (61, FAILED, within), (121, FAILED, exceeded)]);
    }

    #[test]
    fn chance_adds_at_most_a_quarter() {
        let decision = tracker(1, true, true).decide(FAILED, UnixNanos::from_secs(1), 1.0);
        assert_eq!(text(&decision), "12.5s Restart within policy");
    }
}
