//! One task's life, decided: [`TaskCore::step`] takes what happened and says what to do next.
//!
//! Reads: inputs, `now`, a random number for restart delays. Gives: [`Effect`]s, and the [`TaskState`] that is reported.
//! Follows `reference/semantics.md` 18.2 to 18.4.

use std::sync::Arc;

use tarpan_model::alloc::TaskStateKind;
use tarpan_model::{Dur, TaskEvent, TaskState, UnixNanos};

use super::event;
use super::restart::{Cause, Decision, Policy, Tracker};
use super::turn::Turn;
use crate::supervisor::Exit;

/// Events kept of a task.
pub(super) const KEPT_EVENTS: usize = 10;

/// What the core must know of a task.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: Arc<str>,
    pub turn: Turn,
    pub leader: bool,
    /// Already bounded by the client's maximum.
    pub kill_timeout: Dur,
    pub shutdown_delay: Dur,
    pub policy: Policy,
}

/// A start that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    pub event: TaskEvent,
    /// Whether the restart policy may try again.
    pub recoverable: bool,
}

/// Everything that can happen to a task.
#[derive(Clone, Debug)]
pub enum Input {
    /// Its turn in the group's life has come.
    Open,
    Prepared,
    Started,
    StartFailed(StartFailure),
    Exited(Exit),
    /// What was under way for a start is undone.
    Canceled,
    Kill(Kill),
    /// A person, a template or a check wants it to start anew. `failure`: it counts against the policy.
    Restart {
        event: TaskEvent,
        failure: bool,
    },
    /// Only to be told.
    Notice(TaskEvent),
    /// It can't go on: told, then killed, and failed.
    Fail(TaskEvent),
    /// Some time has passed.
    Tick,
    /// A start that an earlier agent began and nobody heard of: it runs.
    Found,
    /// It does not start before [`Input::Release`] or [`Input::Exited`]. `lost`: it could not be found again.
    Hold {
        lost: bool,
    },
    Release,
    /// The task of an earlier agent runs on; it was found again.
    Recovered,
}

/// An order to end a task.
#[derive(Clone, Debug, Default)]
pub struct Kill {
    /// Why, as an event of its own before `Killing`.
    pub event: Option<TaskEvent>,
    /// Why, as the text of `Killing`.
    pub reason: String,
    pub no_shutdown_delay: bool,
}

/// What the actor does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Directory, artifacts, payload, templates.
    Prepare,
    Start,
    /// Undo what is under way for a start, then [`Input::Canceled`].
    Cancel,
    RegisterServices,
    DeregisterServices,
    /// Signal, grace, force.
    Stop {
        grace: Dur,
    },
    /// Nothing of it is left to run: stop watching templates and the like.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Gate,
    Preparing,
    Starting,
    Running,
    /// Killed, but kept running for its shutdown delay.
    Delaying {
        until: UnixNanos,
    },
    Stopping,
    Canceling,
    Backoff {
        until: UnixNanos,
    },
    Dead,
}

/// One task's life.
#[derive(Clone, Debug)]
pub struct TaskCore {
    pub settings: Settings,
    pub state: TaskState,
    phase: Phase,
    tracker: Tracker,
    killed: bool,
    /// An asked-for restart that waits for the exit; `true`: it counts as a failure.
    restart: Option<bool>,
    /// It starts, and is to start anew as soon as it runs.
    outdated: Option<TaskEvent>,
    ever_started: bool,
    held: bool,
    /// From measured time to the time of day, which states and events carry.
    pub offset: Dur,
}

impl TaskCore {
    pub fn new(settings: Settings, now: UnixNanos) -> TaskCore {
        let tracker = Tracker::new(settings.policy.clone());
        let mut core = TaskCore {
            settings,
            state: TaskState::default(),
            phase: Phase::Gate,
            tracker,
            killed: false,
            restart: None,
            outdated: None,
            ever_started: false,
            held: false,
            offset: Dur::ZERO,
        };
        core.emit(event::received(), now);
        core
    }

    /// Takes up a task of an earlier agent: one that was dead stays so, any other starts or is [`Input::Recovered`].
    pub fn restored(settings: Settings, state: TaskState) -> TaskCore {
        let phase = if state.state == TaskStateKind::Dead { Phase::Dead } else { Phase::Gate };
        let tracker = Tracker::new(settings.policy.clone());
        let ever_started = !state.started_at.is_zero();
        TaskCore {
            settings,
            state,
            phase,
            tracker,
            killed: false,
            restart: None,
            outdated: None,
            ever_started,
            held: false,
            offset: Dur::ZERO,
        }
    }

    pub fn dead(&self) -> bool {
        self.phase == Phase::Dead
    }

    /// Dead, and not by failure.
    pub fn succeeded(&self) -> bool {
        self.dead() && !self.state.failed
    }

    /// Its turn may come.
    pub fn waiting(&self) -> bool {
        self.phase == Phase::Gate && !self.held
    }

    pub fn held(&self) -> bool {
        self.phase == Phase::Gate && self.held
    }

    pub fn running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// It waits for its set-up.
    pub fn preparing(&self) -> bool {
        self.phase == Phase::Preparing
    }

    /// A start of it is there: it runs, or is about to end.
    pub fn present(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping | Phase::Delaying { .. })
    }

    /// When [`Input::Tick`] is due.
    pub fn wake_at(&self) -> Option<UnixNanos> {
        match self.phase {
            Phase::Delaying { until } | Phase::Backoff { until } => Some(until),
            _ => None,
        }
    }

    /// A newer version of the job came in place: the policy changes, what was counted stays.
    pub fn update(&mut self, settings: Settings) {
        self.tracker.policy = settings.policy.clone();
        self.settings = settings;
    }

    pub fn emit(&mut self, mut event: TaskEvent, now: UnixNanos) {
        event.time = now + self.offset;
        if event.fails_task {
            self.state.failed = true;
        }
        if self.state.events.len() >= KEPT_EVENTS {
            self.state.events.remove(0);
        }
        self.state.events.push(event);
    }

    /// `chance` in 0..1.
    pub fn step(&mut self, input: Input, now: UnixNanos, chance: f64) -> Vec<Effect> {
        match input {
            Input::Notice(event) => {
                self.emit(event, now);
                Vec::new()
            }
            Input::Open if self.waiting() => self.prepare(),
            Input::Hold { lost } => {
                self.held = true;
                if lost {
                    self.state.state = TaskStateKind::Pending;
                }
                Vec::new()
            }
            Input::Release => {
                self.held = false;
                Vec::new()
            }
            Input::Found if self.phase == Phase::Gate => self.started(now),
            Input::Prepared if self.phase == Phase::Preparing => {
                self.phase = Phase::Starting;
                vec![Effect::Start]
            }
            Input::Started if self.phase == Phase::Starting => self.started(now),
            Input::Recovered if self.phase == Phase::Gate => {
                self.phase = Phase::Running;
                self.ever_started = true;
                self.state.state = TaskStateKind::Running;
                vec![Effect::RegisterServices]
            }
            Input::StartFailed(failure) if matches!(self.phase, Phase::Preparing | Phase::Starting) => {
                self.emit(failure.event, now);
                self.decide(Cause::StartError { recoverable: failure.recoverable }, now, chance)
            }
            Input::Canceled if self.phase == Phase::Canceling => self.die(now),
            Input::Exited(exit) => self.exited(&exit, now, chance),
            Input::Kill(kill) => self.kill(kill, now),
            // What comes too late changes nothing of how it ended.
            Input::Fail(_) if self.dead() || self.killed => Vec::new(),
            Input::Fail(event) => {
                self.emit(event::failing(event), now);
                self.kill(Kill { no_shutdown_delay: true, ..Kill::default() }, now)
            }
            Input::Restart { event, failure } if self.phase == Phase::Running => self.run_anew(event, failure, now),
            // It starts with what there was before.
            Input::Restart { event, failure: false } if self.phase == Phase::Starting => {
                self.outdated = Some(event);
                Vec::new()
            }
            Input::Tick => self.tick(now),
            // Late or doubled: the phase that waited for it is over.
            Input::Open
            | Input::Prepared
            | Input::Started
            | Input::Found
            | Input::Recovered
            | Input::StartFailed(_)
            | Input::Canceled
            | Input::Restart { .. } => Vec::new(),
        }
    }

    fn prepare(&mut self) -> Vec<Effect> {
        self.outdated = None;
        self.phase = Phase::Preparing;
        vec![Effect::Prepare]
    }

    fn run_anew(&mut self, event: TaskEvent, failure: bool, now: UnixNanos) -> Vec<Effect> {
        self.emit(event, now);
        self.restart = Some(failure);
        self.phase = Phase::Stopping;
        vec![Effect::DeregisterServices, Effect::Stop { grace: self.settings.kill_timeout }]
    }

    fn started(&mut self, now: UnixNanos) -> Vec<Effect> {
        self.phase = Phase::Running;
        self.ever_started = true;
        self.state.state = TaskStateKind::Running;
        self.state.started_at = now + self.offset;
        self.emit(event::started(), now);
        let mut effects = vec![Effect::RegisterServices];
        if let Some(event) = self.outdated.take() {
            effects.extend(self.run_anew(event, false, now));
        }
        effects
    }

    fn tick(&mut self, now: UnixNanos) -> Vec<Effect> {
        match self.phase {
            Phase::Backoff { until } if now >= until => self.prepare(),
            Phase::Delaying { until } if now >= until => self.stop(),
            _ => Vec::new(),
        }
    }

    fn stop(&mut self) -> Vec<Effect> {
        self.phase = Phase::Stopping;
        vec![Effect::Stop { grace: self.settings.kill_timeout }]
    }

    fn exited(&mut self, exit: &Exit, now: UnixNanos, chance: f64) -> Vec<Effect> {
        // At the gate: it ended under an earlier agent, which wrote that down and no more.
        if !matches!(self.phase, Phase::Running | Phase::Stopping | Phase::Delaying { .. } | Phase::Gate) {
            return Vec::new();
        }
        self.held = false;
        self.emit(event::terminated(exit), now);
        if self.killed {
            self.emit(event::killed(""), now);
            return self.die(now);
        }
        let mut effects = vec![Effect::DeregisterServices];
        effects.extend(match self.restart.take() {
            Some(false) => self.back_off(Dur::ZERO, "", now),
            Some(true) => self.decide(Cause::Check, now, chance),
            None => self.decide(Cause::Exit { success: exit.success() }, now, chance),
        });
        effects
    }

    fn decide(&mut self, cause: Cause, now: UnixNanos, chance: f64) -> Vec<Effect> {
        match self.tracker.decide(cause, now, chance) {
            Decision::Done => self.die(now),
            Decision::Restart { delay, reason } => self.back_off(delay, reason, now),
            Decision::Stop { reason } => {
                self.emit(event::not_restarting(&reason), now);
                self.die(now)
            }
        }
    }

    fn back_off(&mut self, delay: Dur, reason: &str, now: UnixNanos) -> Vec<Effect> {
        self.state.state = TaskStateKind::Pending;
        self.state.restarts += 1;
        self.state.last_restart = now + self.offset;
        self.emit(event::restarting(delay, reason), now);
        if delay.0 <= 0 {
            return self.prepare();
        }
        self.phase = Phase::Backoff { until: now + delay };
        Vec::new()
    }

    fn kill(&mut self, kill: Kill, now: UnixNanos) -> Vec<Effect> {
        if self.dead() || self.killed {
            return Vec::new();
        }
        self.killed = true;
        self.restart = None;
        if let Some(event) = kill.event {
            self.emit(event, now);
        }
        if self.ever_started || self.phase != Phase::Gate {
            self.emit(event::killing(self.settings.kill_timeout, &kill.reason), now);
        }
        match self.phase {
            Phase::Gate | Phase::Backoff { .. } => self.die(now),
            Phase::Preparing | Phase::Starting => {
                self.phase = Phase::Canceling;
                vec![Effect::Cancel]
            }
            Phase::Running => self.kill_running(kill.no_shutdown_delay, now),
            Phase::Stopping | Phase::Canceling | Phase::Delaying { .. } | Phase::Dead => Vec::new(),
        }
    }

    fn kill_running(&mut self, no_shutdown_delay: bool, now: UnixNanos) -> Vec<Effect> {
        let delay = self.settings.shutdown_delay;
        let mut effects = vec![Effect::DeregisterServices];
        if delay.0 > 0 {
            self.emit(event::shutdown_delay(delay, !no_shutdown_delay), now);
        }
        if delay.0 > 0 && !no_shutdown_delay {
            // As the field shows it: a task in its shutdown delay reads `pending`.
            self.state.state = TaskStateKind::Pending;
            self.phase = Phase::Delaying { until: now + delay };
        } else {
            effects.extend(self.stop());
        }
        effects
    }

    fn die(&mut self, now: UnixNanos) -> Vec<Effect> {
        self.phase = Phase::Dead;
        self.state.state = TaskStateKind::Dead;
        if self.ever_started && self.state.finished_at.is_zero() {
            self.state.finished_at = now + self.offset;
        }
        vec![Effect::Ended]
    }

    /// Lets a dead task run once more (a restart of all tasks).
    pub fn revive(&mut self, event: TaskEvent, now: UnixNanos) {
        if self.dead() && !self.killed {
            self.phase = Phase::Gate;
            self.state.state = TaskStateKind::Pending;
            self.state.finished_at = UnixNanos::ZERO;
            self.emit(event, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(attempts: i64, on_success: bool, shutdown_delay: i64) -> TaskCore {
        let policy = Policy {
            attempts,
            interval: Dur::from_secs(600),
            delay: Dur::from_secs(15),
            fails: true,
            on_success,
            render_templates: false,
        };
        let settings = Settings {
            name: Arc::from("t"),
            turn: Turn::Main,
            leader: false,
            kill_timeout: Dur::from_secs(5),
            shutdown_delay: Dur::from_secs(shutdown_delay),
            policy,
        };
        TaskCore::new(settings, UnixNanos::from_secs(1))
    }

    fn exit(code: i32) -> Input {
        Input::Exited(Exit { code, ..Exit::default() })
    }

    /// Plays inputs a second apart and writes down effects, state and events.
    fn play(mut core: TaskCore, inputs: Vec<Input>) -> String {
        let mut effects = Vec::new();
        for (i, input) in inputs.into_iter().enumerate() {
            effects.extend(core.step(input, UnixNanos::from_secs(10 + i as i64 * 20), 0.0));
        }
        let names: Vec<String> =
            effects.iter().map(|e| format!("{e:?}").split(' ').next().unwrap_or("").to_owned()).collect();
        let events: Vec<&str> = core.state.events.iter().map(|e| &*e.kind).collect();
        format!(
            "{} | {}{} | {}",
            names.join(" "),
            core.state.state,
            if core.state.failed { " failed" } else { "" },
            events.join(", ")
        )
    }

    #[test]
    fn lives() {
        use Input::{Canceled, Open, Prepared, Started, Tick};
        let kill = || Input::Kill(Kill::default());
        let again = || Input::Restart { event: event::restart_signaled("new"), failure: false };
        let broken = || Input::Fail(event::template("late"));
        for (core, inputs, expected) in [
            // What it starts with is old before it runs.
            (
                core(0, false, 0),
                vec![Open, Prepared, again(), Started, exit(143)],
                "Prepare Start RegisterServices DeregisterServices Stop DeregisterServices Prepare \
                 | pending | Received, Started, Restart Signaled, Terminated, Restarting",
            ),
            // A template that fails after the task was killed, or after it ended, fails nothing.
            (
                core(0, false, 0),
                vec![Open, Prepared, Started, kill(), broken(), exit(0), broken()],
                "Prepare Start RegisterServices DeregisterServices Stop Ended \
                 | dead | Received, Started, Killing, Terminated, Killed",
            ),
            (
                core(0, false, 0),
                vec![Open, Prepared, Started, exit(0)],
                "Prepare Start RegisterServices DeregisterServices Ended | dead | Received, Started, Terminated",
            ),
            (
                core(1, true, 0),
                vec![Open, Prepared, Started, exit(1), Tick, Prepared, Started, exit(1)],
                "Prepare Start RegisterServices DeregisterServices Prepare Start RegisterServices DeregisterServices Ended \
                 | dead failed | Received, Started, Terminated, Restarting, Started, Terminated, Not Restarting",
            ),
            (
                core(2, true, 0),
                vec![Open, Prepared, Started, kill(), exit(143)],
                "Prepare Start RegisterServices DeregisterServices Stop Ended | dead | Received, Started, Killing, Terminated, Killed",
            ),
            (
                core(2, true, 30),
                vec![Open, Prepared, Started, kill(), Tick, Tick, exit(143)],
                "Prepare Start RegisterServices DeregisterServices Stop Ended | dead \
                 | Received, Started, Killing, Waiting for shutdown delay, Terminated, Killed",
            ),
            (
                core(2, true, 0),
                vec![Open, kill(), Prepared, Canceled],
                "Prepare Cancel Ended | dead | Received, Killing",
            ),
            (core(2, true, 0), vec![kill()], "Ended | dead | Received"),
            (
                core(2, true, 0),
                vec![
                    Open,
                    Prepared,
                    Started,
                    Input::Restart { event: event::restart_signaled(""), failure: false },
                    exit(143),
                    Prepared,
                    Started,
                ],
                "Prepare Start RegisterServices DeregisterServices Stop DeregisterServices Prepare Start RegisterServices \
                 | running | Received, Started, Restart Signaled, Terminated, Restarting, Started",
            ),
        ] {
            assert_eq!(play(core, inputs), expected);
        }
    }

    #[test]
    fn a_start_error_follows_the_policy() {
        let failure = |recoverable| {
            Input::StartFailed(StartFailure { event: event::driver_failure("no such image"), recoverable })
        };
        assert_eq!(
            play(core(2, true, 0), vec![Input::Open, Input::Prepared, failure(false)]),
            "Prepare Start Ended | dead failed | Received, Driver Failure, Not Restarting"
        );
        assert_eq!(
            play(core(2, true, 0), vec![Input::Open, Input::Prepared, failure(true)]),
            "Prepare Start | pending | Received, Driver Failure, Restarting"
        );
    }

    /// An agent that comes back: a task is found, known to have ended, or waits, and none starts beside another.
    #[test]
    fn lives_after_a_crash() {
        use Input::{Found, Hold, Open, Prepared, Release, Started};
        let restored =
            |state| TaskCore::restored(core(2, true, 0).settings, TaskState { state, ..TaskState::default() });
        let (pending, running) = (TaskStateKind::Pending, TaskStateKind::Running);
        for (what, state, inputs, expected) in [
            ("nobody heard of its start", pending, vec![Found, Open], "RegisterServices | running | Started"),
            (
                "it is lost, and waits for the servers",
                running,
                vec![Hold { lost: true }, Open, Release, Open, Prepared, Started],
                "Prepare Start RegisterServices | running | Started",
            ),
            ("it is lost, and waits still", running, vec![Hold { lost: true }, Open], " | pending | "),
            (
                "its end was written down",
                running,
                vec![Hold { lost: false }, Open, exit(0), Open],
                "DeregisterServices | pending | Terminated, Restarting",
            ),
        ] {
            assert_eq!(play(restored(state), inputs), expected, "{what}");
        }
    }

    #[test]
    fn only_ten_events_are_kept() {
        let mut core = core(2, true, 0);
        for _ in 0..20 {
            core.emit(event::driver_message("x"), UnixNanos::from_secs(1));
        }
        assert_eq!(core.state.events.len(), 10);
    }
}
