//! Whole lives of allocations, played second by second.

use super::super::restart::Policy;
use super::super::task::{Effect as Do, Input as In};
use super::*;
use crate::supervisor::Exit;

fn settings(name: &str, turn: Turn) -> Settings {
    let policy = Policy {
        attempts: 0,
        interval: Dur::from_secs(600),
        delay: Dur::from_secs(15),
        fails: true,
        on_success: turn.sidecar(),
        render_templates: false,
    };
    Settings {
        name: Arc::from(name),
        turn,
        leader: false,
        kill_timeout: Dur::from_secs(5),
        shutdown_delay: Dur::ZERO,
        policy,
    }
}

fn plan(tasks: Vec<Settings>) -> Plan {
    Plan { tasks, group_shutdown_delay: Dur::ZERO, health: None, run_until: None, seed: 7 }
}

/// Plays the actor: starts what is to be started, ends what is to be stopped, and writes down what happened.
struct Play {
    core: AllocCore,
    now: i64,
    told: Vec<String>,
}

impl Play {
    fn new(plan: Plan) -> Play {
        let mut play = Play { core: AllocCore::new(plan, UnixNanos::from_secs(100)), now: 100, told: Vec::new() };
        play.input(Input::Ready);
        play
    }

    fn input(&mut self, input: Input) -> &mut Play {
        let effects = self.core.step(input, UnixNanos::from_secs(self.now));
        for effect in effects {
            let Effect::Task(index, effect) = effect else {
                self.told.push(format!("{effect:?}"));
                continue;
            };
            let name = self.core.tasks()[index].settings.name.clone();
            match effect {
                Do::Prepare => {
                    self.input(Input::Task(index, In::Prepared));
                }
                Do::Start => {
                    self.told.push(format!("+{name}"));
                    self.input(Input::Task(index, In::Started));
                }
                Do::Stop { .. } => {
                    self.told.push(format!("-{name}"));
                    self.input(Input::Task(index, In::Exited(Exit { code: 143, signal: 15, ..Exit::default() })));
                }
                Do::Cancel => {
                    self.input(Input::Task(index, In::Canceled));
                }
                Do::RegisterServices | Do::DeregisterServices | Do::Ended => {}
            }
        }
        self
    }

    fn exit(&mut self, name: &str, code: i32) -> &mut Play {
        let index = self.core.tasks().iter().position(|t| &*t.settings.name == name).expect("a task");
        self.input(Input::Task(index, In::Exited(Exit { code, ..Exit::default() })))
    }

    fn at(&mut self, second: i64) -> &mut Play {
        self.now = 100 + second;
        self.input(Input::Tick)
    }

    fn result(&self) -> String {
        let report = self.core.report(UnixNanos::from_secs(self.now));
        format!("{} | {} {}", self.told.join(" "), report.status, report.description)
    }

    fn events(&self, name: &str) -> String {
        let task = self.core.tasks().iter().find(|t| &*t.settings.name == name).expect("a task");
        task.state.events.iter().map(|e| &*e.kind).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn prestart_main_poststart_poststop_follow_each_other() {
    let mut play = Play::new(plan(vec![
        settings("main", Turn::Main),
        settings("init", Turn::Prestart),
        settings("proxy", Turn::PrestartSidecar),
        settings("hello", Turn::Poststart),
        settings("clean", Turn::Poststop),
    ]));
    assert_eq!(play.result(), "+init +proxy | running Tasks are running");
    play.exit("init", 0);
    assert_eq!(play.result(), "+init +proxy +main +hello | running Tasks are running");
    play.exit("hello", 0).exit("main", 0);
    assert_eq!(play.result(), "+init +proxy +main +hello DeregisterGroup -proxy +clean | running Tasks are running");
    play.exit("clean", 0);
    assert!(play.result().ends_with("+clean Finish | complete All tasks have completed"), "{}", play.result());
    assert_eq!(play.events("proxy"), "Received, Started, Main Tasks Dead, Killing, Terminated, Killed");
}

#[test]
fn nothing_starts_before_the_allocation_is_set_up_whoever_asks() {
    let now = UnixNanos::from_secs(100);
    let mut core = AllocCore::new(plan(vec![settings("a", Turn::Main)]), now);
    assert_eq!(core.step(Input::RestartAll(event::restart_signaled("asked")), now), []);
    assert_eq!(core.step(Input::Ready, now), [Effect::Task(0, Do::Prepare)]);
}

#[test]
fn a_failed_task_ends_its_siblings() {
    let mut play = Play::new(plan(vec![settings("a", Turn::Main), settings("b", Turn::Main)]));
    play.exit("a", 1);
    assert_eq!(play.result(), "+a +b DeregisterGroup -b Finish | failed Failed tasks");
    assert_eq!(play.events("b"), "Received, Started, Sibling Task Failed, Killing, Terminated, Killed");
    assert_eq!(play.events("a"), "Received, Started, Terminated, Not Restarting");
}

#[test]
fn a_failed_prestart_keeps_the_main_task_from_starting_but_not_the_poststop() {
    let mut play = Play::new(plan(vec![
        settings("init", Turn::Prestart),
        settings("main", Turn::Main),
        settings("clean", Turn::Poststop),
    ]));
    play.exit("init", 1);
    assert_eq!(play.result(), "+init DeregisterGroup +clean | failed Failed tasks");
    assert_eq!(play.events("main"), "Received, Sibling Task Failed");
}

#[test]
fn the_leader_goes_first_and_takes_the_others_with_it() {
    let leader = Settings { leader: true, ..settings("lead", Turn::Main) };
    let tasks = || vec![settings("a", Turn::Main), leader.clone(), settings("side", Turn::PoststartSidecar)];
    let mut stopped = Play::new(plan(tasks()));
    stopped.input(Input::Stop { no_shutdown_delay: false });
    assert_eq!(
        stopped.result(),
        "+a +lead +side DeregisterGroup -lead -a -side Finish | complete All tasks have completed"
    );
    let mut ended = Play::new(plan(tasks()));
    ended.exit("lead", 0);
    assert!(ended.events("a").contains("Leader Task Dead"), "{}", ended.events("a"));
}

#[test]
fn the_groups_shutdown_delay_comes_first_unless_it_is_waived() {
    let delayed = || Plan { group_shutdown_delay: Dur::from_secs(10), ..plan(vec![settings("a", Turn::Main)]) };
    let mut play = Play::new(delayed());
    play.input(Input::Stop { no_shutdown_delay: false });
    assert_eq!(play.result(), "+a DeregisterGroup | running Tasks are running");
    assert_eq!(play.core.wake_at(), Some(UnixNanos::from_secs(110)));
    play.at(10);
    assert_eq!(play.result(), "+a DeregisterGroup -a Finish | complete All tasks have completed");
    let mut waived = Play::new(delayed());
    waived.input(Input::Stop { no_shutdown_delay: true });
    assert_eq!(waived.result(), "+a DeregisterGroup -a Finish | complete All tasks have completed");
}

#[test]
fn a_long_batch_ends_complete_without_its_poststop() {
    let tasks = vec![settings("a", Turn::Main), settings("clean", Turn::Poststop)];
    let mut play = Play::new(Plan { run_until: Some(UnixNanos::from_secs(160)), ..plan(tasks) });
    play.at(30).at(60);
    assert_eq!(play.result(), "+a DeregisterGroup -a Finish | complete allocation exceeded max_run_duration");
    assert_eq!(play.events("a"), "Received, Started, Killing, Terminated, Killed");
}

#[test]
fn what_was_not_prepared_fails_with_the_reason() {
    let mut core = AllocCore::new(plan(vec![settings("a", Turn::Main)]), UnixNanos::from_secs(1));
    let effects = core.step(Input::NotReady("no such volume".to_owned()), UnixNanos::from_secs(2));
    assert!(effects.contains(&Effect::Finish));
    let report = core.report(UnixNanos::from_secs(2));
    assert_eq!((report.status, &*report.tasks["a"].events[1].message), (ClientStatus::Failed, "no such volume"));
}

fn healthy_rules(checks: bool) -> Option<Rules> {
    Some(Rules { min_healthy_time: Dur::from_secs(10), healthy_deadline: Dur::from_secs(60), checks, deployment: true })
}

#[test]
fn health_is_told_after_min_healthy_time() {
    let mut play = Play::new(Plan { health: healthy_rules(true), ..plan(vec![settings("a", Turn::Main)]) });
    let healthy = |p: &Play| p.core.report(UnixNanos::ZERO).healthy;
    assert_eq!(play.core.wake_at(), Some(UnixNanos::from_secs(110)));
    play.at(9);
    assert_eq!(healthy(&play), None);
    play.at(10);
    assert_eq!(healthy(&play), Some(true));
}

/// The allocation's row again, with the rules of a job version.
fn in_place(checks: bool, new_deployment: bool) -> Input {
    let plan = Plan { health: healthy_rules(checks), ..plan(vec![settings("a", Turn::Main)]) };
    Input::Update { plan: Box::new(plan), new_deployment }
}

#[test]
fn a_new_deployment_in_place_gets_its_verdict_of_what_runs_already() {
    let healthy = |p: &Play| p.core.report(UnixNanos::ZERO).healthy;
    let mut play = Play::new(Plan { health: healthy_rules(true), ..plan(vec![settings("a", Turn::Main)]) });
    play.at(10).at(500);
    play.input(in_place(true, true));
    assert_eq!(healthy(&play), None, "what an earlier deployment thought is no answer");
    assert_eq!(play.core.wake_at(), Some(UnixNanos::from_secs(610)), "nothing else would wake it");
    play.at(509);
    assert_eq!(healthy(&play), None);
    play.at(510);
    assert_eq!(healthy(&play), Some(true));
    assert_eq!(play.events("a"), "Received, Started");
    // Another row of the same deployment, as promotion writes it, asks nothing again.
    play.at(520).input(in_place(true, false));
    assert_eq!((healthy(&play), play.core.wake_at()), (Some(true), None));
}

#[test]
fn a_new_deployment_in_place_still_counts_checks_and_restarts() {
    let healthy = |p: &Play| p.core.report(UnixNanos::ZERO).healthy;
    let mut play = Play::new(Plan { health: healthy_rules(true), ..plan(vec![settings("a", Turn::Main)]) });
    play.at(10).at(500);
    play.input(Input::Checks(Checks::Failing(vec!["web".to_owned()]))).input(in_place(true, true));
    play.at(510);
    assert_eq!(healthy(&play), None, "its checks do not pass");
    play.input(Input::Checks(Checks::Passing)).at(519);
    assert_eq!(healthy(&play), None);
    play.at(520);
    assert_eq!(healthy(&play), Some(true));

    let mut broken = Play::new(Plan { health: healthy_rules(false), ..plan(vec![settings("a", Turn::Main)]) });
    broken.at(10).at(500).input(in_place(false, true)).exit("a", 1);
    assert_eq!(healthy(&broken), Some(false));
}

#[test]
fn an_agent_that_restarts_during_a_new_deployment_goes_on_watching() {
    let plan = || Plan { health: healthy_rules(true), ..plan(vec![settings("a", Turn::Main)]) };
    let mut play = Play::new(plan());
    play.at(10).at(500).input(in_place(true, true));
    let report = play.core.report(UnixNanos::from_secs(601));
    let now = UnixNanos::from_secs(700);
    let mut core = AllocCore::restored(plan(), &report.tasks, report.healthy, now);
    core.step(Input::Task(0, In::Recovered), now);
    core.step(Input::Ready, now);
    assert_eq!(core.wake_at(), Some(UnixNanos::from_secs(710)));
    core.step(Input::Tick, UnixNanos::from_secs(710));
    assert_eq!(core.report(UnixNanos::from_secs(710)).healthy, Some(true));
}

#[test]
fn failing_checks_and_dead_tasks_are_unhealthy() {
    let plan = || Plan { health: healthy_rules(true), ..plan(vec![settings("a", Turn::Main)]) };
    let mut play = Play::new(plan());
    play.input(Input::Checks(Checks::Failing(vec!["web".to_owned()]))).at(30).at(60);
    assert_eq!(play.core.report(UnixNanos::ZERO).healthy, Some(false));
    let last = play.core.tasks()[0].state.events.last().expect("an event").message.clone();
    assert_eq!(&*last, "Services not healthy by deadline: web");

    let mut dead = Play::new(plan());
    dead.exit("a", 1);
    assert_eq!(dead.core.report(UnixNanos::ZERO).healthy, Some(false));
}

#[test]
fn a_restored_allocation_takes_up_running_and_dead_tasks() {
    let tasks = vec![settings("init", Turn::Prestart), settings("main", Turn::Main)];
    let mut first = Play::new(plan(tasks.clone()));
    first.exit("init", 0);
    let states = first.core.report(UnixNanos::from_secs(100)).tasks;
    let mut core = AllocCore::restored(plan(tasks), &states, None, UnixNanos::from_secs(200));
    core.step(Input::Task(1, In::Recovered), UnixNanos::from_secs(200));
    let effects = core.step(Input::Ready, UnixNanos::from_secs(200));
    assert_eq!(effects, []);
    assert_eq!(core.report(UnixNanos::from_secs(200)).status, ClientStatus::Running);
}
