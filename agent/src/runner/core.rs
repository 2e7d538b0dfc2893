//! One allocation's life, decided: which of its tasks may run, when the others are killed, what it reports.
//!
//! Reads: [`Input`]s and `now`. Gives: [`Effect`]s for the actor, and a [`Report`]. All waiting is in [`AllocCore::wake_at`].
//! Follows `reference/semantics.md` 17.2 to 17.4; tasks decide by themselves in [`super::task`].

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tarpan_model::alloc::{TaskStateKind, TaskStates};
use tarpan_model::{ClientStatus, Dur, TaskEvent, UnixNanos};

use super::event;
use super::health::{Checks, Rules, Verdict, Watch};
use super::task::{self, Kill, Settings, TaskCore};
use super::turn::Turn;

pub const RUN_DURATION_EXCEEDED: &str = "allocation exceeded max_run_duration";

/// What the core must know of an allocation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub tasks: Vec<Settings>,
    pub group_shutdown_delay: Dur,
    pub health: Option<Rules>,
    /// When a batch allocation has run long enough.
    pub run_until: Option<UnixNanos>,
    /// Randomness of restart delays.
    pub seed: u64,
}

/// Everything that can happen to an allocation.
#[derive(Clone, Debug)]
pub enum Input {
    /// Directories, network and group services are there.
    Ready,
    /// They could not be had.
    NotReady(String),
    Task(usize, task::Input),
    /// The servers want it stopped.
    Stop {
        no_shutdown_delay: bool,
    },
    /// The directory will be removed: nothing may go on, poststop tasks included.
    Destroy,
    /// A newer row, with its job's newer version in place. `new_deployment` wants a verdict of its own.
    Update {
        plan: Box<Plan>,
        new_deployment: bool,
    },
    Checks(Checks),
    /// Every task again, also those that ended (a person's wish).
    RestartAll(TaskEvent),
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Task(usize, task::Effect),
    /// Group services answer no more.
    DeregisterGroup,
    /// Every task is dead: give back network and registrations.
    Finish,
}

/// What the servers are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub status: ClientStatus,
    pub description: &'static str,
    pub tasks: TaskStates,
    pub healthy: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Setup,
    Prestart,
    Main,
    Poststart,
    Wait,
    Poststop,
}

/// Why everything ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Asked,
    Sibling(Arc<str>),
    Leader,
    MainDead,
    RunDuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KillStep {
    Delay { until: UnixNanos },
    Leader,
    Others,
    Sidecars,
    Done,
}

#[derive(Clone, Debug)]
struct KillPlan {
    cause: Cause,
    step: KillStep,
    no_shutdown_delay: bool,
}

/// One allocation's life.
pub struct AllocCore {
    plan: Plan,
    tasks: Vec<TaskCore>,
    stage: Stage,
    kill: Option<KillPlan>,
    destroyed: bool,
    exceeded: bool,
    finished: bool,
    health: Option<Watch>,
    healthy: Option<bool>,
    checks: Checks,
    random: SmallRng,
}

impl AllocCore {
    pub fn new(plan: Plan, now: UnixNanos) -> AllocCore {
        let tasks = plan.tasks.iter().map(|s| TaskCore::new(s.clone(), now)).collect();
        AllocCore::with(plan, tasks, None, now)
    }

    /// Takes up what an earlier agent ran. A decided health stays decided.
    pub fn restored(plan: Plan, states: &TaskStates, healthy: Option<bool>, now: UnixNanos) -> AllocCore {
        let of = |s: &Settings| match states.get(&*s.name) {
            Some(state) => TaskCore::restored(s.clone(), state.clone()),
            None => TaskCore::new(s.clone(), now),
        };
        let tasks = plan.tasks.iter().map(of).collect();
        AllocCore::with(plan, tasks, healthy, now)
    }

    fn with(plan: Plan, tasks: Vec<TaskCore>, healthy: Option<bool>, now: UnixNanos) -> AllocCore {
        let health = plan.health.filter(|_| healthy.is_none()).map(|rules| Watch::new(rules, now));
        AllocCore {
            random: SmallRng::seed_from_u64(plan.seed),
            plan,
            tasks,
            stage: Stage::Setup,
            kill: None,
            destroyed: false,
            exceeded: false,
            finished: false,
            health,
            healthy,
            checks: Checks::None,
        }
    }

    /// How far the time of day is from `now`, for what is written down.
    pub fn set_offset(&mut self, offset: Dur) {
        self.tasks.iter_mut().for_each(|t| t.offset = offset);
    }

    pub fn tasks(&self) -> &[TaskCore] {
        &self.tasks
    }

    /// Every task is dead and [`Effect::Finish`] was given.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Something asked it to end.
    pub fn ending(&self) -> bool {
        self.kill.is_some() || self.finished
    }

    /// When [`Input::Tick`] is due.
    pub fn wake_at(&self) -> Option<UnixNanos> {
        let tasks = self.tasks.iter().filter_map(TaskCore::wake_at);
        let delay = self.kill.as_ref().and_then(|k| match k.step {
            KillStep::Delay { until } => Some(until),
            _ => None,
        });
        let health = self.health.as_ref().map(Watch::wake_at);
        let run = self.plan.run_until.filter(|_| !self.ending());
        tasks.chain(delay).chain(health).chain(run).min()
    }

    pub fn step(&mut self, input: Input, now: UnixNanos) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Ready if self.stage == Stage::Setup => self.stage = Stage::Prestart,
            Input::Ready => {}
            Input::NotReady(error) => self.give_up(&error, now, &mut effects),
            Input::Task(index, input) => self.task(index, input, now, &mut effects),
            Input::Stop { no_shutdown_delay } => {
                self.health = None;
                self.end(Cause::Asked, no_shutdown_delay, now, &mut effects);
            }
            Input::Destroy => self.destroy(now, &mut effects),
            Input::Update { plan, new_deployment } => self.update(*plan, new_deployment, now),
            Input::Checks(checks) => self.checks = checks,
            Input::RestartAll(event) => self.restart_all(&event, now, &mut effects),
            Input::Tick => self.tick(now, &mut effects),
        }
        self.settle(now, &mut effects);
        effects
    }

    fn task(&mut self, index: usize, input: task::Input, now: UnixNanos, effects: &mut Vec<Effect>) {
        let chance = self.random.random::<f64>();
        let of_task = self.tasks[index].step(input, now, chance);
        effects.extend(of_task.into_iter().map(|e| Effect::Task(index, e)));
    }

    fn give_up(&mut self, error: &str, now: UnixNanos, effects: &mut Vec<Effect>) {
        for index in 0..self.tasks.len() {
            self.tasks[index].emit(event::setup_failure(error), now);
            self.task(index, task::Input::Kill(Kill::default()), now, effects);
        }
    }

    fn tick(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        if self.plan.run_until.is_some_and(|at| now >= at) && !self.ending() {
            self.exceeded = true;
            self.end(Cause::RunDuration, true, now, effects);
        }
        for index in 0..self.tasks.len() {
            if self.tasks[index].wake_at().is_some_and(|at| at <= now) {
                self.task(index, task::Input::Tick, now, effects);
            }
        }
    }

    fn destroy(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        self.destroyed = true;
        self.health = None;
        self.end(Cause::Asked, true, now, effects);
        for index in 0..self.tasks.len() {
            if self.tasks[index].settings.turn == Turn::Poststop {
                let kill = Kill { no_shutdown_delay: true, ..Kill::default() };
                self.task(index, task::Input::Kill(kill), now, effects);
            }
        }
    }

    fn update(&mut self, plan: Plan, new_deployment: bool, now: UnixNanos) {
        for core in &mut self.tasks {
            if let Some(settings) = plan.tasks.iter().find(|s| s.name == core.settings.name) {
                core.update(settings.clone());
            }
        }
        if new_deployment {
            self.healthy = None;
        }
        // Any update while health is undecided starts the watch anew. It looks at what runs already before this step ends:
        // nothing else may happen to a task that goes on as it was.
        if self.healthy.is_none() {
            self.health = plan.health.filter(|_| !self.ending()).map(|rules| Watch::new(rules, now));
        }
        self.plan = plan;
    }

    fn restart_all(&mut self, event: &TaskEvent, now: UnixNanos, effects: &mut Vec<Effect>) {
        if self.ending() {
            return;
        }
        // What is not set up yet is not ready for this reason either.
        if self.stage != Stage::Setup {
            self.stage = Stage::Prestart;
        }
        for index in 0..self.tasks.len() {
            if self.tasks[index].running() {
                let input = task::Input::Restart { event: event.clone(), failure: false };
                self.task(index, input, now, effects);
            } else {
                self.tasks[index].revive(event.clone(), now);
            }
        }
    }

    /// Carries on until nothing more follows from what is known.
    fn settle(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        loop {
            let before = effects.len();
            self.react(now, effects);
            self.advance_kill(now, effects);
            self.advance_stage();
            self.open_gates(now, effects);
            if effects.len() == before {
                break;
            }
        }
        self.look_at_health(now);
        if !self.finished && self.tasks.iter().all(TaskCore::dead) {
            self.finished = true;
            effects.push(Effect::Finish);
        }
    }

    /// Looks whether the death of some task ends the others.
    fn react(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        if self.kill.is_some() {
            return;
        }
        let others = || self.tasks.iter().filter(|t| t.settings.turn != Turn::Poststop);
        let mut live = others().filter(|t| !t.dead()).peekable();
        if live.peek().is_none() {
            return;
        }
        let only_sidecars = live.all(|t| t.settings.turn.sidecar());
        let cause = if let Some(failed) = others().find(|t| t.dead() && t.state.failed) {
            Cause::Sibling(failed.settings.name.clone())
        } else if others().any(|t| t.settings.leader && t.dead()) {
            Cause::Leader
        } else if only_sidecars && others().any(|t| t.settings.turn == Turn::Main) {
            Cause::MainDead
        } else {
            return;
        };
        self.end(cause, false, now, effects);
    }

    fn end(&mut self, cause: Cause, no_shutdown_delay: bool, now: UnixNanos, effects: &mut Vec<Effect>) {
        if self.finished || self.kill.is_some() {
            return;
        }
        effects.push(Effect::DeregisterGroup);
        let delay = self.plan.group_shutdown_delay;
        let step = match delay.0 > 0 && !no_shutdown_delay {
            true => KillStep::Delay { until: now + delay },
            false => KillStep::Leader,
        };
        self.kill = Some(KillPlan { cause: cause.clone(), step, no_shutdown_delay });
        if cause == Cause::RunDuration {
            self.kill_class(|t| t.settings.turn == Turn::Poststop, now, effects);
        }
        self.advance_kill(now, effects);
    }

    fn advance_kill(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        while let Some(plan) = &self.kill {
            let next = match plan.step {
                KillStep::Delay { until } if now >= until => KillStep::Leader,
                KillStep::Delay { .. } | KillStep::Done => return,
                KillStep::Leader => match self.kill_class(|t| t.settings.leader, now, effects) {
                    true => KillStep::Others,
                    false => return,
                },
                KillStep::Others => {
                    let other = |t: &TaskCore| {
                        !t.settings.leader && !t.settings.turn.sidecar() && t.settings.turn != Turn::Poststop
                    };
                    match self.kill_class(other, now, effects) {
                        true => KillStep::Sidecars,
                        false => return,
                    }
                }
                KillStep::Sidecars => match self.kill_class(|t| t.settings.turn.sidecar(), now, effects) {
                    true => KillStep::Done,
                    false => return,
                },
            };
            if let Some(plan) = &mut self.kill {
                plan.step = next;
            }
        }
    }

    /// Kills the tasks of a class that still live; whether all of them are dead.
    fn kill_class(&mut self, class: impl Fn(&TaskCore) -> bool, now: UnixNanos, effects: &mut Vec<Effect>) -> bool {
        let Some(plan) = &self.kill else { return true };
        let event = match &plan.cause {
            Cause::Asked | Cause::RunDuration => None,
            Cause::Sibling(name) => Some(event::sibling_failed(name)),
            Cause::Leader => Some(event::leader_dead()),
            Cause::MainDead => Some(event::main_dead()),
        };
        let reason = if plan.cause == Cause::RunDuration { RUN_DURATION_EXCEEDED.to_owned() } else { String::new() };
        let kill = Kill { event, reason, no_shutdown_delay: plan.no_shutdown_delay };
        for index in 0..self.tasks.len() {
            if class(&self.tasks[index]) && !self.tasks[index].dead() {
                self.task(index, task::Input::Kill(kill.clone()), now, effects);
            }
        }
        self.tasks.iter().filter(|t| class(t)).all(TaskCore::dead)
    }

    fn advance_stage(&mut self) {
        let of = |turn: Turn| self.tasks.iter().filter(move |t| t.settings.turn == turn);
        if self.stage != Stage::Setup || self.ending() {
            let others_dead = self.tasks.iter().filter(|t| t.settings.turn != Turn::Poststop).all(TaskCore::dead);
            if others_dead {
                self.stage = Stage::Poststop;
                return;
            }
        }
        loop {
            let over = match self.stage {
                Stage::Prestart => {
                    of(Turn::Prestart).all(TaskCore::succeeded)
                        && of(Turn::PrestartSidecar).all(|t| t.running() || t.dead())
                }
                Stage::Main => of(Turn::Main).all(|t| t.state.state != TaskStateKind::Pending),
                Stage::Poststart => of(Turn::Poststart).all(TaskCore::dead),
                Stage::Setup | Stage::Wait | Stage::Poststop => false,
            };
            self.stage = match (self.stage, over) {
                (Stage::Prestart, true) => Stage::Main,
                (Stage::Main, true) => Stage::Poststart,
                (Stage::Poststart, true) => Stage::Wait,
                _ => return,
            };
        }
    }

    fn open_gates(&mut self, now: UnixNanos, effects: &mut Vec<Effect>) {
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            let since = match task.settings.turn {
                Turn::Prestart | Turn::PrestartSidecar => Stage::Prestart,
                Turn::Main => Stage::Main,
                Turn::Poststart | Turn::PoststartSidecar => Stage::Poststart,
                Turn::Poststop => Stage::Poststop,
            };
            let open = match task.settings.turn {
                Turn::Poststop => self.stage == Stage::Poststop && !self.destroyed,
                _ => self.stage >= since && self.stage < Stage::Poststop,
            };
            if open && task.waiting() && (self.kill.is_none() || task.settings.turn == Turn::Poststop) {
                self.task(index, task::Input::Open, now, effects);
            }
        }
    }

    fn look_at_health(&mut self, now: UnixNanos) {
        let Some(watch) = &mut self.health else { return };
        let Some(verdict) = watch.look(&self.tasks, &self.checks, now) else { return };
        let deployment = watch.deployment();
        self.health = None;
        match verdict {
            Verdict::Healthy => self.healthy = Some(true),
            Verdict::Unhealthy(reasons) => {
                self.healthy = Some(false);
                for (name, reason) in reasons.into_iter().filter(|_| deployment) {
                    if let Some(task) = self.tasks.iter_mut().find(|t| t.settings.name == name) {
                        task.emit(event::unhealthy(&reason), now);
                    }
                }
            }
        }
    }

    /// Client status by the states of the tasks, and what else is reported.
    pub fn report(&self, now: UnixNanos) -> Report {
        let any = |f: &dyn Fn(&TaskCore) -> bool| self.tasks.iter().any(f);
        let (status, description) = if self.exceeded && self.tasks.iter().all(TaskCore::dead) {
            (ClientStatus::Complete, RUN_DURATION_EXCEEDED)
        } else if any(&|t| t.state.state == TaskStateKind::Dead && t.state.failed) {
            (ClientStatus::Failed, "Failed tasks")
        } else if any(&|t| t.state.state == TaskStateKind::Running) {
            (ClientStatus::Running, "Tasks are running")
        } else if any(&|t| t.state.state == TaskStateKind::Pending) {
            (ClientStatus::Pending, "No tasks have started")
        } else {
            (ClientStatus::Complete, "All tasks have completed")
        };
        let terminal = matches!(status, ClientStatus::Failed | ClientStatus::Complete);
        let state = |t: &TaskCore| {
            let mut state = t.state.clone();
            if terminal && t.dead() && state.finished_at.is_zero() {
                state.finished_at = now + t.offset;
            }
            (t.settings.name.clone(), state)
        };
        let unhealthy = status == ClientStatus::Failed && self.plan.health.is_some_and(|h| h.deployment);
        Report {
            status,
            description,
            tasks: self.tasks.iter().map(state).collect(),
            healthy: self.healthy.or(unhealthy.then_some(false)),
        }
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
