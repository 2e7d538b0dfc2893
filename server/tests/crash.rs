//! The promise of the store, against a real `kill -9`: what was acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tarpan_model::NamespacedId;
use tarpan_server::{Options, Server};
use tarpan_state::Table;
use tarpan_state::command::RegisterJob;
use tarpan_testkit::jobs;

const DIR: &str = "TARPAN_CRASH_TEST_DIR";
/// Makes a job large enough for its entry to be packed.
const LARGE: &[&str] = &["key"; 1000];

fn options(dir: &Path) -> Options {
    Options { data_dir: Some(dir.into()), ..Options::default() }
}

/// Not a test of its own: the process that is killed. Registers jobs without end and says which were acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test below, in a process of its own"]
async fn victim() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let server = Server::start(options(Path::new(&dir))).await.expect("starts");
    let writers = (0..8).map(|writer| {
        let server = server.clone();
        async move {
            for number in 0.. {
                let id = format!("job-{writer}-{number}");
                let keys = if number % 4 == 0 { LARGE } else { &[] };
                let register = RegisterJob::of(jobs::parameterized(&id, keys), None, server.now());
                server.propose(tarpan_state::Command::RegisterJob(Box::new(register))).await.expect("committed");
                println!("acknowledged {id}");
            }
        }
    });
    futures::future::join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        acknowledged.extend(run_and_kill(dir.path(), 200 + 150 * round));
    }
    let server = Server::start(options(dir.path())).await.expect("starts again");
    let key = |id: &str| NamespacedId::new("default", id);
    let last = acknowledged.last().expect("some were acknowledged").clone();
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut state = server.state();
    while state.job(&key(&last)).is_none() && tokio::time::Instant::now() < end {
        state = server.wait(&[tarpan_server::Watch::Table(Table::Jobs)], state.index(), end).await;
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|id| state.job(&key(id)).is_none()).collect();
    assert!(lost.is_empty(), "of {} acknowledged jobs these are lost: {lost:?}", acknowledged.len());
    server.shutdown().await;
}

/// Runs the victim until it acknowledged `count` jobs and kills it: what it acknowledged.
fn run_and_kill(dir: &Path, count: usize) -> Vec<String> {
    let mut victim = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.expect("text");
        // The last line may be cut off by the kill.
        if let Some(id) = line.strip_prefix("acknowledged ") {
            acknowledged.push(id.to_owned());
        }
        if acknowledged.len() == count {
            victim.kill().expect("killed");
            break;
        }
    }
    victim.wait().expect("gone");
    acknowledged
}
