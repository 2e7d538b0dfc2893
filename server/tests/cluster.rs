//! Three servers that form a cluster by themselves, lose one of them, and take in another; agents whose sessions any of them holds.

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod fake;

use std::fmt::Display;
use std::time::Duration;

use fake::{FakeAgent, running};
use futures::StreamExt as _;
use tarpan_model::NodeStatus;
use tarpan_rpc::agent::HttpRequest;
use tarpan_server::{Joins, MemberStatus, Options, Server, Watch};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Table};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

struct One {
    server: Server,
    _dir: tempfile::TempDir,
}

/// What is logged is seen where `RUST_LOG` asks for it.
fn options(number: usize, dir: &tempfile::TempDir, expect: usize, known: Option<&One>) -> Options {
    let _ = std::env::var_os("RUST_LOG").is_some_and(|_| tracing_subscriber::fmt::try_init().is_ok());
    let retry = known.map(|one| one.server.gossip_addr().to_string()).into_iter().collect();
    Options {
        name: format!("server-{number}"),
        data_dir: Some(dir.path().to_owned()),
        bootstrap_expect: expect,
        joins: Joins { retry, interval: Duration::from_millis(200), ..Joins::default() },
        autopilot: tarpan_server::AutopilotConfig {
            server_stabilization_time: tarpan_model::Dur::from_secs(1),
            ..tarpan_server::AutopilotConfig::default()
        },
        heartbeat_ttl: Duration::from_millis(300),
        heartbeat_grace: Duration::from_millis(2500),
        failover_heartbeat_ttl: Duration::from_secs(2),
        num_schedulers: 1,
        ..Options::default()
    }
}

async fn start(number: usize, expect: usize, known: Option<&One>) -> One {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(options(number, &dir, expect, known)).await.expect("starts");
    let joining = server.clone();
    tokio::spawn(async move { joining.join_configured().await });
    One { server, _dir: dir }
}

fn register(id: &str) -> Command {
    Command::RegisterJob(Box::new(RegisterJob {
        job: tarpan_testkit::jobs::batch(id, 1),
        eval: None,
        submission: None,
        enforce_index: None,
        preserve_counts: false,
        now: tarpan_testkit::START,
    }))
}

/// What comes of `look` once it succeeds. For what nobody tells of: who is a member, who leads, whether a server can be asked.
async fn eventually<T, E: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(why) => assert!(begun.elapsed() < PATIENCE, "{what}: {why}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, async || holds().then_some(()).ok_or("not in time")).await;
}

fn voters(server: &Server) -> Vec<String> {
    server.members().into_iter().filter(|m| m.voter).map(|m| m.name).collect()
}

fn key(id: &str) -> tarpan_model::NamespacedId {
    tarpan_model::NamespacedId::new("default", id)
}

async fn has(one: &One, id: &str) {
    fake::until(&one.server, &format!("{} has {id}", one.server.options().name), |s| s.job(&key(id)).is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_servers_form_a_cluster_and_every_one_takes_writes() {
    let begun = Instant::now();
    let first = start(1, 3, None).await;
    let (second, third) = tokio::join!(start(2, 3, Some(&first)), start(3, 3, Some(&first)));
    let all = [&first, &second, &third];
    for (number, one) in all.iter().enumerate() {
        let job = format!("by-{number}");
        write(one, &job).await;
    }
    println!("formed and written on each after {:?}", begun.elapsed());
    for one in all {
        for number in 0..3 {
            has(one, &format!("by-{number}")).await;
        }
        assert_eq!(voters(&one.server), ["server-1", "server-2", "server-3"]);
        assert_eq!(one.server.members().iter().filter(|m| m.leader).count(), 1);
    }

    // A fourth that waits for nobody is taken in, catches up, and votes.
    let fourth = start(4, 0, Some(&second)).await;
    has(&fourth, "by-0").await;
    let leader = all.into_iter().find(|one| one.server.is_leader()).expect("one leads");
    until("it votes", || voters(&leader.server).len() == 4).await;
    assert_eq!(leader.server.failure_tolerance(), Some(1));

    // One leaves for good: it is let go, and the others go on.
    let begun = Instant::now();
    fourth.server.leave().await;
    fourth.server.shutdown().await;
    until("it is let go", || voters(&leader.server).len() == 3).await;
    println!("left after {:?}", begun.elapsed());
    let status = |one: &One| one.server.members().into_iter().find(|m| m.name == "server-4").map(|m| m.status);
    until("it is known to have left", || status(&first) == Some(MemberStatus::Left)).await;

    // The leader goes without a word: another one leads, and what is asked of any is done.
    let begun = Instant::now();
    let leading = leader.server.options().name.clone();
    leader.server.shutdown().await;
    let rest: Vec<&One> = all.into_iter().filter(|one| one.server.options().name != leading).collect();
    write(rest[0], "after").await;
    println!("written again after {:?}", begun.elapsed());
    for one in &rest {
        has(one, "after").await;
    }

    // Of two, the one that leads says good-bye: the other one goes on alone.
    until("the dead one is let go", || voters(&rest[0].server).len() == 2).await;
    let (goes, stays) = if rest[0].server.is_leader() { (rest[0], rest[1]) } else { (rest[1], rest[0]) };
    let begun = Instant::now();
    goes.server.leave().await;
    println!("the leader left after {:?}", begun.elapsed());
    goes.server.shutdown().await;
    write(stays, "alone").await;
    assert_eq!(voters(&stays.server), [stays.server.options().name.clone()]);
}

/// Three that form a cluster; the one that leads comes first.
async fn three() -> [One; 3] {
    let first = start(1, 3, None).await;
    let (second, third) = tokio::join!(start(2, 3, Some(&first)), start(3, 3, Some(&first)));
    let mut all = [first, second, third];
    until("one leads and all know it", || {
        all.iter().any(|one| one.server.is_leader()) && all.iter().all(|one| one.server.leader().is_some())
    })
    .await;
    all.sort_by_key(|one| !one.server.is_leader());
    write(&all[0], "first").await;
    for one in &all {
        has(one, "first").await;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_leads_where_that_is_wanted_and_nothing_is_refused_meanwhile() {
    let all = three().await;
    let [leader, next, third] = &all;
    let id = |one: &One| one.server.members().into_iter().find(|m| m.me).expect("itself").id;
    let writing = third.server.clone();
    let writes = tokio::spawn(async move {
        for number in 0..100 {
            writing.propose(register(&format!("during-{number}"))).await.expect("not refused");
        }
    });
    for (from, to) in [(leader, next), (next, leader), (leader, next)] {
        let begun = Instant::now();
        assert_eq!(from.server.hand_over(Some(id(to))).await, Ok(id(to)));
        println!("handed over after {:?}", begun.elapsed());
        until("it knows", || to.server.is_leader()).await;
    }
    writes.await.expect("no panic");
    for one in &all {
        has(one, "during-99").await;
    }
    let refused = next.server.hand_over(Some(7)).await.expect_err("nobody");
    assert_eq!(refused, "there is no such voter beside this one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_of_one_region_has_one_of_another_answer() {
    let dir = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let region =
        |name: &str| Options { region: name.to_owned(), name: format!("in-{name}"), ..options(1, &dir[0], 1, None) };
    let east =
        Server::start(Options { data_dir: Some(dir[0].path().to_owned()), ..region("east") }).await.expect("starts");
    let west =
        Server::start(Options { data_dir: Some(dir[1].path().to_owned()), ..region("west") }).await.expect("starts");
    assert_eq!(west.join(&east.gossip_addr().to_string()).await, Ok(1));
    until("they know each other", || [&east, &west].iter().all(|s| s.members().len() == 2)).await;
    let ask = async |path: &str| {
        let request = http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
        let answer = tower::ServiceExt::oneshot(tarpan_server::http::router(east.clone()), request).await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    west.propose(register("there")).await.expect("a leader");
    assert_eq!(ask("/v1/regions").await, (200, r#"["east","west"]"#.to_owned()));
    assert_eq!(ask("/v1/job/there").await.0, 404);
    let (status, job) = ask("/v1/job/there?region=west").await;
    assert!(status == 200 && job.contains(r#""ID":"there""#), "{status} {job}");
    assert_eq!(ask("/v1/jobs?region=south").await, (500, "No path to region".to_owned()));
    assert_eq!((east.members()[0].voter, east.members()[1].voter), (true, false), "each region has a raft of its own");
}

/// Any server has the node answer.
async fn answers(one: &One, agent: &FakeAgent) {
    let request =
        HttpRequest { method: "GET".to_owned(), path: "/v1/client/stats".to_owned(), ..HttpRequest::default() };
    let asked = async || one.server.node_request(agent.node.id, request.clone()).await;
    let mut answer = eventually(&one.server.options().name, asked).await;
    assert_eq!(answer.status.as_u16(), 201);
    let mut next = async || answer.body.next().await.map(|c| c.expect("bytes"));
    assert_eq!(next().await.as_deref(), Some(&b"GET /v1/client/stats "[..]));
    answer.send.send("more".into()).await.expect("taken");
    assert_eq!(next().await.as_deref(), Some(&b"more"[..]));
    answer.send.send("end".into()).await.expect("taken");
    assert_eq!(next().await.as_deref(), Some(&b"end"[..]));
    assert_eq!(next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_is_at_home_on_any_server() {
    let [leader, holder, other] = three().await;
    let agent = FakeAgent::start(&holder.server, tarpan_testkit::nodes::ready(1), running).await;
    fake::register(&other.server, tarpan_testkit::jobs::service("web", 2)).await;
    until("its tasks run", || agent.held().len() == 2).await;
    for one in [&leader, &holder, &other] {
        answers(one, &agent).await;
    }
    // Its beats reach the leader, for longer than it could be silent.
    let ready = async |time| {
        let (end, mut state) = (Instant::now() + time, other.server.state());
        // Every change of its row, as it comes.
        while Instant::now() < end {
            assert_eq!(state.node(agent.node.id).map(|node| node.status), Some(NodeStatus::Ready));
            state = other.server.wait(&[Watch::Table(Table::Nodes)], state.index(), end).await;
        }
    };
    ready(Duration::from_secs(5)).await;
    // Another leads, and is told of it.
    leader.server.shutdown().await;
    write(&other, "after").await;
    ready(Duration::from_secs(5)).await;
    for one in [&holder, &other] {
        answers(one, &agent).await;
    }
    assert_eq!(agent.held().len(), 2, "nothing was taken from it");
}

async fn write(one: &One, job: &str) {
    eventually("a leader", async || one.server.propose(register(job)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_server_acknowledged_the_others_read() {
    let all = three().await;
    for round in 0..50 {
        let (writes, reads) = (&all[round % 3], &all[(round / 3) % 3]);
        let id = format!("job-{round}");
        writes.server.propose(register(&id)).await.expect("a leader");
        let state = reads.server.fresh_state(Instant::now() + PATIENCE).await.expect("a leader");
        assert!(state.job(&key(&id)).is_some(), "{} read before {id}", reads.server.options().name);
    }
}

/// Writes so many entries, each on its own.
async fn entries(one: &One, from: usize, count: usize) {
    for number in from..from + count {
        one.server.propose(register(&format!("entry-{number}"))).await.expect("a leader");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_was_away_for_longer_than_the_log_gets_a_snapshot_and_goes_on_from_it() {
    let small = |number, dir: &tempfile::TempDir, known: Option<&One>| Options {
        snapshot_threshold: 50,
        trailing_logs: 10,
        ..options(number, dir, 3, known)
    };
    let start = async |number, dir: tempfile::TempDir, known: Option<&One>| {
        let server = Server::start(small(number, &dir, known)).await.expect("starts");
        let joining = server.clone();
        tokio::spawn(async move { joining.join_configured().await });
        One { server, _dir: dir }
    };
    let dir = || tempfile::tempdir().expect("a folder");
    let first = start(1, dir(), None).await;
    let (second, third) = tokio::join!(start(2, dir(), Some(&first)), start(3, dir(), Some(&first)));
    write(&first, "begun").await;
    has(&third, "begun").await;
    third.server.shutdown().await;
    let writes = if first.server.is_leader() { &first } else { &second };
    entries(writes, 0, 300).await;
    // The same disk again, and an empty one: writes go on meanwhile.
    let One { server, _dir: kept } = third;
    drop(server);
    let again = start_again(|| small(3, &kept, Some(&first))).await;
    let fourth = start(4, dir(), Some(&first)).await;
    entries(writes, 300, 100).await;
    for server in [&again, &fourth.server] {
        fake::until(server, "it has caught up", |state| {
            (0..400).all(|n| state.job(&key(&format!("entry-{n}"))).is_some())
        })
        .await;
        assert!(server.raft_stats().last_snapshot_index > 0, "it was sent one");
    }
}

/// The lock of a store that was open goes with the last task that holds it: soon.
async fn start_again(options: impl Fn() -> Options) -> Server {
    let server = eventually("its store is free", async || Server::start(options()).await).await;
    let joining = server.clone();
    tokio::spawn(async move { joining.join_configured().await });
    server
}
