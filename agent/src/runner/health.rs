//! Whether an allocation became healthy within its deployment (or migration).
//!
//! Reads: the tasks' states, what the checks say, `now`. Gives: one [`Verdict`], once. Follows `reference/semantics.md` 19.1.

use std::sync::Arc;

use tarpan_model::alloc::TaskStateKind;
use tarpan_model::job::{Job, JobType, TaskGroup};
use tarpan_model::{Allocation, Dur, UnixNanos};

use super::task::TaskCore;
use super::turn::Turn;

/// What health asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub min_healthy_time: Dur,
    pub healthy_deadline: Dur,
    /// Checks count besides task states.
    pub checks: bool,
    /// Within a deployment: a verdict of "unhealthy" is explained in task events.
    pub deployment: bool,
}

impl Rules {
    /// `None`: nobody wants to know of this allocation's health.
    pub fn of(alloc: &Allocation, job: &Job, group: &TaskGroup) -> Option<Rules> {
        if !matches!(job.job_type(), JobType::Service | JobType::System) {
            return None;
        }
        let seconds = |d: Option<Dur>, default: i64| d.unwrap_or(Dur::from_secs(default));
        if alloc.deployment_id.is_some() {
            let update = group.update.clone().or_else(|| job.update.clone()).unwrap_or_default();
            if update.health_check.as_deref() == Some("manual") || update.max_parallel == Some(0) {
                return None;
            }
            return Some(Rules {
                min_healthy_time: seconds(update.min_healthy_time, 10),
                healthy_deadline: seconds(update.healthy_deadline, 300),
                checks: update.health_check.as_deref() != Some("task_states"),
                deployment: true,
            });
        }
        let migrate = group.migrate.clone().or_else(|| job.migrate.clone()).unwrap_or_default();
        Some(Rules {
            min_healthy_time: seconds(migrate.min_healthy_time, 10),
            healthy_deadline: seconds(migrate.healthy_deadline, 300),
            checks: migrate.health_check.as_deref() != Some("task_states"),
            deployment: false,
        })
    }
}

/// What the checks of the allocation's services say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    #[default]
    None,
    Passing,
    /// Names of services that do not pass.
    Failing(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    /// Why, by task name; empty when no single task explains it.
    Unhealthy(Vec<(Arc<str>, String)>),
}

/// Watches until there is a verdict.
#[derive(Clone, Debug)]
pub struct Watch {
    rules: Rules,
    deadline: UnixNanos,
    tasks_since: Option<UnixNanos>,
    newest_start: UnixNanos,
    checks_since: Option<UnixNanos>,
}

impl Watch {
    pub fn new(rules: Rules, now: UnixNanos) -> Watch {
        Watch {
            rules,
            deadline: now + rules.healthy_deadline,
            tasks_since: None,
            newest_start: UnixNanos::ZERO,
            checks_since: None,
        }
    }

    pub fn deployment(&self) -> bool {
        self.rules.deployment
    }

    /// When to look again if nothing happens before.
    pub fn wake_at(&self) -> UnixNanos {
        let min = self.rules.min_healthy_time;
        let ready = match (self.tasks_since, self.checks_since) {
            (Some(tasks), Some(checks)) => Some(tasks.max(checks) + min),
            (Some(tasks), None) if !self.rules.checks => Some(tasks + min),
            _ => None,
        };
        ready.map_or(self.deadline, |at| at.min(self.deadline))
    }

    pub fn look(&mut self, tasks: &[TaskCore], checks: &Checks, now: UnixNanos) -> Option<Verdict> {
        let watched: Vec<&TaskCore> = tasks.iter().filter(|t| t.settings.turn != Turn::Poststop).collect();
        if let Some(reasons) = hopeless(&watched) {
            return Some(Verdict::Unhealthy(reasons));
        }
        self.look_at_tasks(&watched, now);
        match checks {
            Checks::None | Checks::Passing => drop(self.checks_since.get_or_insert(now)),
            Checks::Failing(_) => self.checks_since = None,
        }
        let min = self.rules.min_healthy_time;
        let held = |since: Option<UnixNanos>| since.is_some_and(|s| now >= s + min);
        if held(self.tasks_since) && (!self.rules.checks || held(self.checks_since)) {
            return Some(Verdict::Healthy);
        }
        (now >= self.deadline).then(|| Verdict::Unhealthy(self.late(&watched, checks)))
    }

    fn look_at_tasks(&mut self, watched: &[&TaskCore], now: UnixNanos) {
        if watched.iter().any(|t| t.state.state == TaskStateKind::Pending) {
            self.tasks_since = None;
            return;
        }
        let newest = watched.iter().map(|t| t.state.started_at).max().unwrap_or(UnixNanos::ZERO);
        // Not "later": these are times of day, and somebody may have set the clock back.
        if self.tasks_since.is_none() || newest != self.newest_start {
            self.tasks_since = Some(now);
            self.newest_start = newest;
        }
    }

    fn late(&self, watched: &[&TaskCore], checks: &Checks) -> Vec<(Arc<str>, String)> {
        let (min, deadline) = (self.rules.min_healthy_time, self.rules.healthy_deadline);
        let of_task = |t: &TaskCore| match t.state.state {
            TaskStateKind::Pending => Some(format!("Task not running by healthy_deadline of {deadline}")),
            TaskStateKind::Running if self.tasks_since.is_none_or(|s| s + min > self.deadline) => {
                Some(format!("Task not running for min_healthy_time of {min} by healthy_deadline of {deadline}"))
            }
            _ => None,
        };
        let mut reasons: Vec<(Arc<str>, String)> =
            watched.iter().filter_map(|t| Some((t.settings.name.clone(), of_task(t)?))).collect();
        if reasons.is_empty()
            && let Checks::Failing(names) = checks
        {
            let text = format!("Services not healthy by deadline: {}", names.join(", "));
            reasons = watched.iter().map(|t| (t.settings.name.clone(), text.clone())).collect();
        }
        reasons
    }
}

/// Reasons why it can't become healthy any more.
fn hopeless(watched: &[&TaskCore]) -> Option<Vec<(Arc<str>, String)>> {
    let mut reasons = Vec::new();
    for task in watched {
        let dead = task.state.state == TaskStateKind::Dead;
        let may_end = matches!(task.settings.turn, Turn::Prestart | Turn::Poststart);
        let reason = match (task.state.failed, dead) {
            (true, _) => "Unhealthy because of failed task",
            (false, true) if !may_end => "Unhealthy because of dead task",
            _ => continue,
        };
        reasons.push((task.settings.name.clone(), reason.to_owned()));
    }
    (!reasons.is_empty()).then_some(reasons)
}
