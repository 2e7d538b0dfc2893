//! An agent that goes, and one that finds nobody.

use super::*;
use crate::{Join, Retry, SelfDrain};

const HOW: SelfDrain = SelfDrain { deadline: Duration::from_secs(600), force: false, ignore_system_jobs: true };

fn quiet() -> impl Fn(String) + Send + Sync {
    |_| {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_is_drained_by_the_servers_and_says_how_far_it_is() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    agent.allocs().context.session.wait().await.client().await;
    let said = Mutex::new(Vec::new());
    let say = |sentence: String| said.lock().expect("held").push(sentence);
    agent.drain(HOW, &say).await.expect("drained");
    assert_eq!(*said.lock().expect("held"), ["draining this node (allocations left: 1)"]);
    let wish = DrainWish { deadline_ns: 600_000_000_000, ignore_system_jobs: true };
    assert_eq!(*fake.drains.lock().expect("held"), [Some(wish), None, None], "it is wished for once");
    fake.drains.lock().expect("held").clear();
    agent.drain(SelfDrain { force: true, ..HOW }, &quiet()).await.expect("drained");
    assert_eq!(fake.drains.lock().expect("held")[0].map(|wish| wish.deadline_ns), Some(-1));
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_what_runs_is_awaited_until_the_deadline() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let alloc = alloc_of(job("wait", "service", vec![script("wait", "sleep 600")]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    fake.vanish();
    let short = SelfDrain { deadline: Duration::ZERO, ..HOW };
    let error = agent.drain(short, &quiet()).await.expect_err("it runs");
    assert_eq!(error.to_string(), "self-drain exceeded deadline (allocations left: 1)");
    agent.allocs().all().iter().for_each(|runner| runner.stop());
    agent.drain(HOW, &quiet()).await.expect("nothing runs any more");
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_server_gives_up_where_that_is_wanted() {
    let dir = Home::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let options = Options {
        servers: vec![nobody.to_string()],
        data_dir: dir.path().to_owned(),
        network_interface: Some("lo".to_owned()),
        join: Join { interval: Some(Duration::from_millis(300)), retries: 2 },
        ..Options::default()
    };
    let begun = Instant::now();
    let agent = Agent::start(options).await.expect("starts");
    let sentence = agent.gave_up().await;
    assert!(sentence.starts_with(&format!("no server answered in 3 tries; the last was {nobody}: ")), "{sentence}");
    assert!(begun.elapsed() >= Duration::from_millis(600), "it waited between the tries");
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interface_that_is_not_there_is_looked_for_again() {
    let start = async |go_on: bool| {
        let dir = Home::new();
        let options = Options {
            data_dir: dir.path().to_owned(),
            network_interface: Some("tarpan-none".to_owned()),
            network_retry: Retry { attempts: 3, interval: Duration::from_millis(50), go_on },
            ..Options::default()
        };
        let begun = Instant::now();
        let agent = Agent::start(options).await;
        assert!(begun.elapsed() >= Duration::from_millis(150), "three times");
        match agent {
            Ok(agent) => {
                // A bridge needs no interface.
                assert!(agent.node().resources.networks.iter().all(|network| network.mode == "bridge"));
                agent.shutdown().await;
                None
            }
            Err(error) => Some(error.to_string()),
        }
    };
    assert_eq!(start(true).await, None);
    let refusal = start(false).await.expect("it ends");
    assert_eq!(refusal, "network interface \"tarpan-none\" was not found on this machine");
}
