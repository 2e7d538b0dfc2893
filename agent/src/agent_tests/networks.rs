//! Groups with a network of their own, by a whole agent in a network that the test has for itself.

use std::future::Future;

use tarpan_model::resources::{AllocatedResources, PortMapping};

use super::*;
use crate::network::Networks;
use crate::network::tests::alone;
use crate::options::{BridgeOptions, CniOptions};

/// Plays in a runtime of its own.
fn play<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    alone(|_| tokio::runtime::Handle::current().block_on(test()));
}

fn bridged(job: Job) -> Allocation {
    let mut alloc = alloc_of(job);
    let port = PortMapping {
        label: Arc::from("http"),
        value: 20_123,
        to: 8080,
        host_ip: Arc::from("10.98.0.1"),
        host_network: Arc::from("default"),
        ..PortMapping::default()
    };
    alloc.resources = Arc::new(AllocatedResources {
        network_mode: Arc::from("bridge"),
        ports: vec![port],
        ..(*alloc.resources).clone()
    });
    alloc
}

const LOOK: &str = "readlink /proc/self/ns/net; echo $NOMAD_ALLOC_IP_http $NOMAD_ALLOC_INTERFACE_http $NOMAD_ADDR_http; exec sleep 600";

async fn said(agent: &Agent, alloc: &Allocation, task: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let lines: Vec<String> = stdout(agent, alloc, task).await.lines().map(str::to_owned).collect();
        if lines.len() == 2 {
            return lines;
        }
        assert!(begun.elapsed() < PATIENCE, "{task} says {lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").expect("readable");
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    names.collect()
}

#[test]
fn a_group_shares_its_network_and_an_agent_that_comes_back_takes_it_up() {
    play(|| async {
        let (fake, home) = (Fake::start().await, Home::new());
        let mut agent = Agent::start(options(&fake, home.path())).await.expect("starts");
        let node = fake.until("the node", |h| h.node.clone()).await;
        assert!(node.resources.networks.iter().any(|n| n.mode == "bridge"), "{:?}", node.resources.networks);
        let before = links();
        let mut job = job("web", "service", vec![script("web", LOOK), script("side", LOOK)]);
        job.task_groups.as_mut().expect("one")[0].services = Some(vec![Service {
            name: Some("web".to_owned()),
            provider: Some("nomad".to_owned()),
            port_label: Some("http".to_owned()),
            address_mode: Some("alloc".to_owned()),
            ..Service::default()
        }]);
        let alloc = bridged(job);
        fake.order(&alloc).await;
        let update = fake.status(&alloc, ClientStatus::Running).await;
        let status = update.network_status.clone().expect("told");
        let service = fake.until("the service", |h| h.services.values().next().cloned()).await;
        assert_eq!((&*service.address, service.port), (&*status.address, 8080));
        let (web, side) = (said(&agent, &alloc, "web").await, said(&agent, &alloc, "side").await);
        assert_eq!(web, side);
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("there");
        assert_ne!(web[0], own.to_string_lossy());
        assert_eq!(web[1], format!("{} eth0 10.98.0.1:20123", status.address));

        // The next agent, once in an orderly way and once with all that was known lost.
        for lost in [false, true] {
            agent.shutdown().await;
            drop(agent);
            if lost {
                std::fs::remove_dir_all(home.path().join("client/state")).expect("removed");
            }
            let heard = fake.heard.lock().expect("held").updates.len();
            let sessions = fake.heard.lock().expect("held").sessions;
            agent = crate::crash_tests::agent(&fake, home.path()).await;
            fake.until("a new session", |h| (h.sessions > sessions).then_some(())).await;
            let newer =
                Allocation { alloc_modify_index: alloc.alloc_modify_index + 1 + u64::from(lost), ..alloc.clone() };
            fake.order(&newer).await;
            let again = fake
                .until("a report", |h| {
                    let new = h.updates[heard..].iter().rev().map(|(_, u)| u);
                    new.into_iter()
                        .find(|u| u.client_status == ClientStatus::Running && u.network_status.is_some())
                        .cloned()
                })
                .await;
            assert_eq!(again.network_status.as_ref(), Some(&status), "lost: {lost}");
            assert_eq!(said(&agent, &alloc, "web").await, web, "it did not start anew");
        }
        let gone = Allocation { alloc_modify_index: 9, ..stopped(&alloc) };
        fake.order(&gone).await;
        fake.status(&alloc, ClientStatus::Complete).await;
        let begun = Instant::now();
        let files = || std::fs::read_dir(home.path().join("client/netns")).expect("there").count();
        while files() != 0 || links() != [before.clone(), vec!["nomad".to_owned()]].concat() {
            assert!(begun.elapsed() < PATIENCE, "{:?}, {} namespaces", links(), files());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        agent.shutdown().await;
        assert_eq!(links(), before, "the bridge goes with the agent");
    });
}

#[test]
fn what_is_nobodys_is_removed_at_the_start() {
    play(|| async {
        let (fake, home) = (Fake::start().await, Home::new());
        let state = home.path().join("client");
        std::fs::create_dir_all(&state).expect("made");
        let state = state.canonicalize().expect("there");
        let wanted = crate::network::Wanted {
            id: tarpan_model::AllocId(uuid::Uuid::new_v4()),
            mode: crate::network::Mode::Bridge,
            args: String::new(),
            ports: bridged(job("web", "service", Vec::new())).resources.ports.clone(),
            before: None,
        };
        let left = crate::blocking(move || {
            let networks = Networks::look(BridgeOptions::default(), CniOptions::default(), &state);
            networks.make(&wanted).expect("made");
            networks
        });
        let left = Arc::new(left.await);
        let traces = |left: &Arc<Networks>| {
            let left = left.clone();
            crate::blocking(move || left.traces().expect("looked"))
        };
        assert_eq!(traces(&left).await.len(), 1);
        let agent = Agent::start(options(&fake, home.path())).await.expect("starts");
        assert!(traces(&left).await.is_empty());
        agent.shutdown().await;
    });
}

#[test]
fn what_a_node_can_not_do_is_a_sentence_of_the_tasks_events() {
    play(|| async {
        let (fake, home) = (Fake::start().await, Home::new());
        let bridge = BridgeOptions { name: "line".to_owned(), ..BridgeOptions::default() };
        let options = Options { bridge, ..options(&fake, home.path()) };
        let agent = Agent::start(options).await.expect("starts");
        let alloc = bridged(job("web", "service", vec![script("web", LOOK)]));
        fake.order(&alloc).await;
        let update = fake.status(&alloc, ClientStatus::Failed).await;
        let texts: Vec<&str> = update.task_states["web"].events.iter().map(|e| &*e.message).collect();
        let wanted = "failed to setup alloc: pre-run hook \"network\" failed: \"line\" is no bridge but veth";
        assert!(texts.iter().any(|t| t.contains(wanted)), "{texts:?}");
        agent.shutdown().await;
    });
}
