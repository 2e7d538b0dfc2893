//! A whole agent on a machine whose time of day is set: nothing that is measured moves.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tarpan_model::job::RestartPolicy;
use tarpan_model::{Allocation, ClientStatus, Dur, Job};

use crate::Agent;
use crate::agent_tests::{Fake, Home, options, script};
use crate::test_support::{job, place};

/// Seconds by which the machine's clock is set, for the test that runs in a process of its own.
const VARIABLE: &str = "TARPAN_TEST_CLOCK_AHEAD";

static AHEAD: AtomicI64 = AtomicI64::new(0);

pub(crate) fn ahead() -> Dur {
    Dur(AHEAD.load(Ordering::SeqCst))
}

/// Each clock is the whole process's: so two processes.
#[test]
fn a_clock_that_is_set_moves_nothing_that_is_measured() {
    let run = |seconds: i64| {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--exact", "clock_tests::set_while_it_runs", "--ignored"]).env(VARIABLE, seconds.to_string());
        (seconds, child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"))
    };
    for (seconds, child) in [run(3600), run(-3600)] {
        let output = child.wait_with_output().expect("ended");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success() && text.contains("1 passed"), "{seconds} s: {text}");
    }
}

fn limited(name: &str, run: &str, most: Option<i64>) -> Allocation {
    let job = job(name, if most.is_some() { "batch" } else { "service" }, vec![script("t", run)]);
    let mut groups = job.task_groups.clone().expect("one");
    groups[0].max_run_duration = most.map(Dur::from_secs);
    groups[0].restart_policy = Some(RestartPolicy {
        attempts: Some(5),
        delay: Some(Dur::from_secs(3)),
        interval: Some(Dur::from_secs(600)),
        mode: Some("fail".to_owned()),
        ..RestartPolicy::default()
    });
    // Made just now, by the clock of servers that nobody has set.
    let made = crate::wall() - ahead();
    Allocation { create_time: made, ..place(&Arc::new(Job { task_groups: Some(groups), ..job }), 0) }
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

async fn wait(what: &str, f: impl Fn() -> bool) -> Instant {
    let begun = Instant::now();
    while !f() {
        assert!(begun.elapsed() < Duration::from_secs(40), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "sets the clock of its process: run by the test above"]
async fn set_while_it_runs() {
    let Some(seconds) = std::env::var(VARIABLE).ok().and_then(|s| s.parse().ok()) else { return };
    let (fake, home) = (Fake::start().await, Home::new());
    let file = |name: &str| home.path().join(name);
    let says = |name: &str, then: &str| format!("echo >> {}; {then}", file(name).display());
    let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
    let steady = limited("steady", &says("steady", "exec sleep 300"), None);
    let failing = limited("failing", &says("failing", "exit 1"), None);
    let before = limited("before", &says("before", "exec sleep 300"), Some(8));
    for alloc in [&steady, &before, &failing] {
        fake.order(alloc).await;
    }
    for name in ["steady", "before"] {
        wait(name, || lines(&file(name)) == 1).await;
    }
    let began = Instant::now();
    let failed = wait("the first failure", || lines(&file("failing")) == 1).await;

    AHEAD.store(Dur::from_secs(seconds).0, Ordering::SeqCst);
    let beats = fake.heard.lock().expect("held").beats;
    let after = limited("after", &says("after", "exec sleep 300"), Some(8));
    fake.order(&after).await;
    let after_began = wait("after", || lines(&file("after")) == 1).await;

    let again = wait("the restart", || lines(&file("failing")) == 2).await.duration_since(failed);
    assert!(again > Duration::from_millis(2900) && again < Duration::from_secs(20), "restarted after {again:?}");
    for (alloc, began) in [(&before, began), (&after, after_began)] {
        fake.status(alloc, ClientStatus::Complete).await;
        // The wait for its first line may have been late, the end is not early.
        assert!(began.elapsed() > Duration::from_secs(6), "{} ended after {:?}", alloc.name, began.elapsed());
    }
    let (since, sessions) = {
        let heard = fake.heard.lock().expect("held");
        (heard.beats - beats, heard.sessions)
    };
    assert!(since >= 3, "heartbeats stopped");
    assert_eq!(sessions, 1, "the session was lost");
    assert_eq!(lines(&file("steady")), 1, "a healthy task was started again");
    fake.status(&steady, ClientStatus::Running).await;
    agent.shutdown().await;
}
