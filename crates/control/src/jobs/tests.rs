use tarpan_model::ids::{CountingIds, NamespacedId};
use tarpan_model::{Job, ScalingEvent, Trigger, UnixNanos};
use tarpan_state::command::{RegisterJob, ScaleJob};
use tarpan_state::{Command, CommandId, Envelope, Guard, JobSubmission, Reply, SchedulerConfig, State};
use tarpan_testkit::jobs;

use super::admission::Rules;
use super::*;

fn rules() -> Rules {
    Rules { region: "global".to_owned(), max_count: 100, max_source: 20 }
}

fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

fn at(secs: i64) -> UnixNanos {
    UnixNanos(secs * 1_000_000_000)
}

fn ids() -> CountingIds {
    CountingIds(1 << 64)
}

#[track_caller]
fn apply(state: &mut State, command: Command) {
    let index = state.index() + 1;
    let replies = state.apply(index, &[Envelope { id: CommandId(index.into()), command }]);
    assert!(!format!("{replies:?}").contains("Refused"), "{replies:?}");
}

/// A state that took these in.
fn state(all: impl IntoIterator<Item = Job>) -> State {
    let (mut state, mut ids) = (State::default(), ids());
    for job in all {
        let asked = Registration { job, ..Registration::default() };
        let accepted = register(&state, &rules(), asked, at(1), &mut ids).expect("a job that is taken in");
        apply(&mut state, accepted.command);
    }
    state
}

fn switched_off() -> State {
    let mut state = state([jobs::service("web", 1)]);
    let config = SchedulerConfig { reject_job_registration: true, ..SchedulerConfig::clone(state.scheduler_config()) };
    apply(&mut state, Command::SetSchedulerConfig { config, check_index: None });
    state
}

fn parts(command: Command) -> (Vec<Guard>, Command) {
    match command {
        Command::Guarded { guards, command } => (guards, *command),
        other => panic!("not guarded: {other:?}"),
    }
}

fn registered(command: Command) -> (Vec<Guard>, RegisterJob) {
    match parts(command) {
        (guards, Command::RegisterJob(register)) => (guards, *register),
        (_, other) => panic!("no registration: {other:?}"),
    }
}

#[test]
fn a_job_is_taken_in_with_what_was_looked_at() {
    let before = state([]);
    let submission = JobSubmission { source: "job".to_owned(), ..JobSubmission::default() };
    let asked = Registration { job: jobs::service("web", 2), submission: Some(submission), ..Registration::default() };
    let accepted = register(&before, &rules(), asked.clone(), at(7), &mut ids()).expect("taken in");
    let (guards, done) = registered(accepted.command);
    assert_eq!(guards, [Guard::RegistrationOn, Guard::job(&before, &key("web"))]);
    let eval = done.eval.expect("an evaluation");
    assert_eq!((eval.triggered_by, eval.priority, eval.create_time), (Trigger::JobRegister, 50, at(7)));
    assert_eq!(done.job.submit_time, Some(at(7).0));
    assert!(done.submission.is_some() && accepted.warnings.is_empty());

    let long = JobSubmission { source: "x".repeat(21), ..JobSubmission::default() };
    let asked = Registration { submission: Some(long), eval_priority: 80, ..asked };
    let accepted = register(&before, &rules(), asked, at(7), &mut ids()).expect("taken in");
    assert_eq!(accepted.warnings, ["job source size of 21 B exceeds maximum of 20 B and will be discarded"]);
    let (_, done) = registered(accepted.command);
    assert_eq!((done.submission, done.eval.map(|e| e.priority)), (None, Some(80)));
}

#[test]
fn what_waits_for_its_time_has_no_evaluation() {
    let before = state([]);
    let asked = Registration { job: jobs::parameterized("setup", &[]), ..Registration::default() };
    let accepted = register(&before, &rules(), asked, at(7), &mut ids()).expect("taken in");
    assert_eq!(registered(accepted.command).1.eval, None);

    let after = state([jobs::parameterized("setup", &[])]);
    let ended = deregister(&after, &key("setup"), Deregister::default(), at(8), &mut ids()).expect("ended");
    assert_eq!(ended.expect("it is there").0, None);
    let refused = evaluate(&after, &key("setup"), false, at(8), &mut ids()).expect_err("nothing to look at");
    assert_eq!(refused.to_string(), "can't evaluate parameterized job");
}

#[test]
fn what_is_not_taken_in() {
    let here = state([jobs::service("web", 1)]);
    let asked = |job: Job| Registration { job, ..Registration::default() };
    let many = jobs::service("many", 101);
    let elsewhere = Job { namespace: Some("team".to_owned()), ..jobs::service("web", 1) };
    let child = Job { dispatched: Some(true), ..jobs::service("child", 1) };
    let priority = Registration { eval_priority: 101, ..asked(jobs::service("web", 1)) };
    for (state, asked, text) in [
        (&here, asked(jobs::batch("web", 1)), "cannot update job from type \"service\" to \"batch\""),
        (&here, asked(child), "job can't be submitted with 'Dispatched' set"),
        (&here, asked(many), "total count was greater than configured job_max_count: 101 > 100"),
        (&here, asked(elsewhere), "job \"web\" is in nonexistent namespace \"team\""),
        (&here, priority, "Eval priority must be between 1 and 100 inclusively"),
        (&switched_off(), asked(jobs::service("web", 1)), "Job registration, dispatch, and scale are disabled"),
    ] {
        let refused = register(state, &rules(), asked, at(2), &mut ids()).expect_err(text);
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

#[test]
fn a_job_is_ended() {
    let here = state([jobs::service("web", 1)]);
    let end = |id: &str, eval_priority| {
        let how = Deregister { purge: true, no_shutdown_delay: true, eval_priority };
        deregister(&here, &key(id), how, at(3), &mut ids())
    };
    assert_eq!(end("nothing", 0), Ok(None));
    assert_eq!(end("web", -1), Err(JobError::EvalPriority));
    for (asked, priority) in [(0, 50), (1, 1), (100, 100)] {
        let (eval, command) = end("web", asked).expect("allowed").expect("there");
        let (guards, Command::DeregisterJob(done)) = parts(command) else { panic!("another command") };
        assert_eq!(guards, [Guard::job(&here, &key("web"))]);
        assert!(done.purge && done.no_shutdown_delay);
        let row = done.eval.expect("an evaluation");
        assert_eq!((Some(row.id), row.priority, row.triggered_by), (eval, priority, Trigger::JobDeregister));
    }
}

#[test]
fn an_earlier_version_comes_again() {
    let here = state([jobs::service("web", 1), jobs::service("web", 2)]);
    let back = |to, enforce_prior_version| {
        revert(&here, &rules(), &key("web"), Revert { to, enforce_prior_version, manages: false }, at(4), &mut ids())
    };
    let (guards, done) = registered(back(0, Some(1)).expect("allowed"));
    assert_eq!(guards, [Guard::RegistrationOn, Guard::job(&here, &key("web"))]);
    assert_eq!((done.job.groups()[0].count(), done.job.submit_time), (1, Some(at(4).0)));
    for (to, enforced, text) in [
        (1, None, "can't revert to current version"),
        (0, Some(0), "Current job has version 1; enforcing version 0"),
        (7, None, "job \"web\" in namespace \"default\" at version 7 not found"),
    ] {
        assert_eq!(back(to, enforced).expect_err(text).to_string(), text);
    }
    let nothing = revert(&here, &rules(), &key("x"), Revert::default(), at(4), &mut ids());
    assert_eq!(nothing, Err(JobError::NotFound));
    let off = revert(&switched_off(), &rules(), &key("web"), Revert::default(), at(4), &mut ids());
    assert_eq!(off, Err(JobError::RegistrationOff));
}

/// The guards of a scaling, and what it comes to.
fn scaled(command: Command) -> (Vec<Guard>, ScaleJob) {
    match command {
        Command::Guarded { guards, command } => match *command {
            Command::ScaleJob(scaling) => (guards, *scaling),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_manages_registers_while_others_may_not() {
    let off = switched_off();
    let asked = Registration { job: jobs::service("web", 2), manages: true, ..Registration::default() };
    let accepted = register(&off, &rules(), asked, at(2), &mut ids()).expect("taken in");
    assert_eq!(registered(accepted.command).0, [Guard::job(&off, &key("web"))], "also where it is applied");
    let asked = Scale { group: "group".to_owned(), count: Some(3), manages: true, ..Scale::default() };
    let (guards, _) = scaled(scale(&off, &key("web"), &asked, at(2), &mut ids()).expect("allowed"));
    assert!(!guards.contains(&Guard::RegistrationOn), "also where it is applied");
    let asked = Scale { manages: false, ..asked };
    assert_eq!(scale(&off, &key("web"), &asked, at(2), &mut ids()), Err(JobError::RegistrationOff));
}

#[test]
fn a_group_gets_another_count_and_what_was_asked_is_kept() {
    let here = state([jobs::service("web", 1), jobs::system("each")]);
    let to = |id: &str, group: &str, count| {
        let asked = Scale { group: group.to_owned(), count, message: "why".to_owned(), ..Scale::default() };
        scale(&here, &key(id), &asked, at(5), &mut ids())
    };
    let (guards, done) = scaled(to("web", "group", Some(3)).expect("allowed"));
    assert!(guards.contains(&Guard::NoRollout { job: key("web") }));
    let register = done.register.expect("another count");
    let eval = register.eval.expect("to be looked at");
    assert_eq!((register.job.groups()[0].count(), eval.triggered_by), (3, Trigger::JobScaling));
    let event = ScalingEvent {
        time: at(5),
        count: Some(3),
        previous_count: 1,
        message: "why".to_owned(),
        eval_id: Some(eval.id),
        ..ScalingEvent::default()
    };
    assert_eq!((done.job, &*done.group, done.event), (key("web"), "group", event));

    let (guards, note) = scaled(to("web", "group", None).expect("allowed"));
    assert_eq!(guards, [Guard::RegistrationOn, Guard::job(&here, &key("web"))], "also while a rollout is under way");
    assert_eq!((note.register, note.event.count, note.event.eval_id), (None, None, None));
    for (id, group, count, text) in [
        ("web", "group", -1, "scaling action count can't be negative"),
        ("web", "other", 1, "task group \"other\" specified for scaling does not exist in job"),
        ("each", "group", 2, "jobs of type system and sysbatch can only be scaled between 0 and 1"),
        ("nothing", "group", 1, "job \"nothing\" not found"),
    ] {
        assert_eq!(to(id, group, Some(count)).expect_err(text).to_string(), text);
    }
}

#[test]
fn what_a_caller_wants_kept_is_kept() {
    let mut small = jobs::service("web", 1);
    jobs::group_mut(&mut small).tasks.as_mut().expect("tasks")[0].resources.as_mut().expect("some").memory_mb =
        Some(77);
    let here = state([small]);
    let memory = |preserve_resources| {
        let asked = Registration { job: jobs::service("web", 2), preserve_resources, ..Registration::default() };
        let accepted = register(&here, &rules(), asked, at(6), &mut ids()).expect("taken in");
        registered(accepted.command).1.job.groups()[0].tasks()[0].resources.as_ref().and_then(|r| r.memory_mb)
    };
    assert_eq!(memory(true), Some(77));
    assert_ne!(memory(false), Some(77));
    let asked = Scale { group: "group".to_owned(), count: Some(3), check_index: Some(9), ..Scale::default() };
    let (_, done) = scaled(scale(&here, &key("web"), &asked, at(6), &mut ids()).expect("allowed"));
    assert_eq!(done.register.and_then(|register| register.enforce_index), Some(9));
}

#[test]
fn a_decision_on_what_has_changed_is_refused() {
    let mut here = state([jobs::service("web", 1)]);
    let looked = evaluate(&here, &key("web"), false, at(6), &mut ids()).expect("a decision");
    let asked = Registration { job: jobs::service("web", 2), ..Registration::default() };
    let accepted = register(&here, &rules(), asked, at(6), &mut ids()).expect("another one");
    apply(&mut here, accepted.command);
    let index = here.index() + 1;
    let replies = here.apply(index, &[Envelope { id: CommandId(index.into()), command: looked.command }]);
    assert!(matches!(replies.as_slice(), [Reply::Refused(_)]), "{replies:?}");
}
