//! Tasks behind walls, and secrets in memory, through a whole agent. Needs root.

use super::*;

fn there() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "only root mounts and isolates");
    if !root {
        eprintln!("skipped: only root mounts and isolates");
    }
    root
}

fn secrets(home: &Home) -> Vec<String> {
    let below = home.path().canonicalize().expect("there").to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
    mounts.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect()
}

async fn wait(what: &str, f: impl Fn() -> bool) {
    let begun = Instant::now();
    while !f() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An agent that ends leaves what its tasks need; the next one takes it away with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_memory_and_go_with_the_task() {
    if !there() {
        return;
    }
    let (fake, home) = (Fake::start().await, Home::new());
    let first = Agent::start(options(&fake, home.path())).await.expect("starts");
    let text = "echo mine > $NOMAD_SECRETS_DIR/own && exec sleep 60";
    let walled = task("walled", "exec", json!({"command": "/bin/sh", "args": ["-c", text]}));
    let alloc = alloc_of(job("web", "service", vec![script("raw", text), walled]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    assert_eq!(secrets(&home).len(), 2, "{:?}", secrets(&home));
    let own = |task: &str| home.path().join("alloc").join(alloc.id.to_string()).join(task).join("secrets/own");
    wait("the tasks to write", || own("raw").exists() && own("walled").exists()).await;
    first.shutdown().await;
    drop(first);
    let second = loop {
        match Agent::start(options(&fake, home.path())).await {
            Ok(agent) => break agent,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    fake.until("the second session", |h| (h.sessions > 1).then_some(())).await;
    assert!(own("raw").exists() && own("walled").exists(), "they are the tasks' still");
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    wait("the secrets to go", || secrets(&home).is_empty()).await;
    assert!(!own("raw").exists() && !own("walled").exists());
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_a_task_may_not_be_is_said_before_anything_runs() {
    if !there() {
        return;
    }
    for (denied, user, refused) in [
        (None, "root", true),
        (None, "0", true),
        (None, "daemon", false),
        (Some("daemon"), "daemon", true),
        (Some(""), "root", false),
    ] {
        let (fake, home) = (Fake::start().await, Home::new());
        let mut with = options(&fake, home.path());
        if let Some(denied) = denied {
            with.options.insert("user.denylist".to_owned(), denied.to_owned());
        }
        let agent = Agent::start(with).await.expect("starts");
        let mut id = task("id", "exec", json!({"command": "/usr/bin/id", "args": ["-un"]}));
        id.user = Some(user.to_owned());
        let alloc = alloc_of(job("id", "batch", vec![id]));
        fake.order(&alloc).await;
        let status = if refused { ClientStatus::Failed } else { ClientStatus::Complete };
        let update = fake.status(&alloc, status).await;
        let events: Vec<String> =
            update.task_states["id"].events.iter().map(|e| format!("{}: {}", e.kind, e.message)).collect();
        let sentence = format!("Failed Validation: running as user {user:?} is disallowed");
        assert_eq!(events.iter().any(|e| e.starts_with(&sentence)), refused, "{denied:?} {user}: {events:?}");
        agent.shutdown().await;
    }
}
