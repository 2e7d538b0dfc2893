//! A server with agents over real gRPC: placing, losing, restarting, node requests, many at once.

mod fake;

use fake::{FakeAgent, running, until};
use futures::StreamExt;
use tarpan_model::alloc::ClientStatus;
use tarpan_model::job::{EphemeralDisk, WorkloadIdentity};
use tarpan_model::{Dur, Eligibility, EvalStatus, NamespacedId, NodeStatus};
use tarpan_rpc::agent::agents_client::AgentsClient;
use tarpan_rpc::agent::{self as rpc, HttpRequest, from_agent, from_server};
use tarpan_server::{NodeRequestError, Server};
use tarpan_state::{Command, State};
use tarpan_testkit::{jobs, nodes};

fn key(id: &str) -> NamespacedId {
    NamespacedId::new("default", id)
}

fn count(state: &State, job: &str, status: ClientStatus) -> usize {
    state.allocs_by_job(&key(job)).filter(|a| a.client_status == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_job_runs_and_stops() {
    let server = fake::server(None).await;
    let agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    fake::register(&server, jobs::service("web", 2)).await;
    let state = until(&server, "two run", |s| count(s, "web", ClientStatus::Running) == 2).await;
    let summary = state.job_summary(&key("web")).expect("a summary");
    assert_eq!(summary.groups.values().map(|g| g.running).sum::<u64>(), 2);
    let eval = state.evals_by_job(&key("web")).next().expect("an evaluation");
    assert_eq!(eval.status, EvalStatus::Complete);
    assert_eq!(agent.held().len(), 2);
    assert_eq!(agent.jobs.lock().expect("no panic").len(), 1, "a job version is sent once");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_agent_ran_is_replaced() {
    let server = fake::server(None).await;
    let first = FakeAgent::start(&server, nodes::ready(1), running).await;
    fake::register(&server, jobs::service("web", 2)).await;
    until(&server, "two run", |s| count(s, "web", ClientStatus::Running) == 2).await;
    let _second = FakeAgent::start(&server, nodes::ready(2), running).await;
    until(&server, "a second node", |s| s.nodes().filter(|n| n.status == NodeStatus::Ready).count() == 2).await;
    drop(first);
    let state = until(&server, "two run elsewhere", |s| {
        count(s, "web", ClientStatus::Lost) == 2 && count(s, "web", ClientStatus::Running) == 2
    })
    .await;
    assert_eq!(state.node(nodes::id(1)).expect("known").status, NodeStatus::Down);
    assert!(state.allocs_by_node(nodes::id(2)).all(|a| a.client_status == ClientStatus::Running));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_gives_its_service_to_another() {
    let server = fake::server(None).await;
    let _first = FakeAgent::start(&server, nodes::ready(1), running).await;
    fake::register(&server, jobs::service("web", 2)).await;
    until(&server, "two run", |s| count(s, "web", ClientStatus::Running) == 2).await;
    fake::healthy(&server).await;
    let _second = FakeAgent::start(&server, nodes::ready(2), running).await;
    until(&server, "a second node", |s| s.nodes().filter(|n| n.status == NodeStatus::Ready).count() == 2).await;

    fake::drain(&server, nodes::id(1), Dur::from_secs(3600)).await;
    let moved = |s: &State| s.allocs_by_node(nodes::id(2)).filter(|a| a.client_status == ClientStatus::Running).count();
    let state = until(&server, "one runs elsewhere", |s| moved(s) == 1).await;
    let staying = state.allocs_by_node(nodes::id(1)).filter(|a| !a.terminal()).count();
    assert_eq!(staying, 1, "one at a time, and the one that moved is not known to be well");
    fake::healthy(&server).await;
    let state =
        until(&server, "the drain is complete", |s| s.node(nodes::id(1)).is_some_and(|n| n.drain.is_none())).await;
    assert_eq!(moved(&state), 2);
    assert!(state.allocs_by_node(nodes::id(1)).all(|a| a.client_status == ClientStatus::Complete));
    let node = state.node(nodes::id(1)).expect("known");
    assert_eq!(node.eligibility, Eligibility::Ineligible);
    assert_eq!(node.events.last().map(|e| e.message.as_str()), Some("Node drain complete"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_room_waits_for_a_node() {
    let server = fake::server(None).await;
    fake::register(&server, jobs::service("web", 1)).await;
    until(&server, "it is blocked", |s| s.evals().any(|e| e.status == EvalStatus::Blocked)).await;
    let _agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    until(&server, "it runs", |s| count(s, "web", ClientStatus::Running) == 1).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = fake::server(Some(dir.path())).await;
    let agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    fake::register(&server, jobs::service("web", 2)).await;
    let before = until(&server, "two run", |s| count(s, "web", ClientStatus::Running) == 2).await;
    let held = agent.held();
    server.shutdown().await;
    drop(server);

    let server = restarted(dir.path()).await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    let client = AgentsClient::new(channel.connect().await.expect("connects"));
    let agent = FakeAgent::on(client, nodes::ready(1), running, held).await;
    let state = until(&server, "the job is there", |s| count(s, "web", ClientStatus::Running) == 2).await;
    assert_eq!(state.job(&key("web")), before.job(&key("web")));
    fake::register(&server, jobs::service("api", 1)).await;
    let state = until(&server, "a new job runs", |s| count(s, "api", ClientStatus::Running) == 1).await;
    let ids = |s: &State| s.allocs_by_job(&key("web")).map(|a| a.id).collect::<Vec<_>>();
    assert_eq!(ids(&state), ids(&before), "nothing was placed anew");
    assert_eq!(agent.jobs.lock().expect("no panic").len(), 1, "only the new job was sent");
    server.shutdown().await;
}

/// The old store's lock goes with its last handle, which a task may hold for a moment.
async fn restarted(dir: &std::path::Path) -> Server {
    let options = tarpan_server::Options { data_dir: Some(dir.into()), ..tarpan_server::Options::default() };
    for _ in 0..200 {
        if let Ok(server) = Server::start(options.clone()).await {
            return server;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the store stayed locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_requests_through_its_session() {
    let server = fake::server(None).await;
    let agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    until(&server, "the node", |s| s.node(nodes::id(1)).is_some()).await;
    while !server.has_session(nodes::id(1)) {
        tokio::task::yield_now().await;
    }
    let request = HttpRequest {
        method: "GET".to_owned(),
        path: "/v1/client/stats?a=b".to_owned(),
        headers: Default::default(),
        body: "x".into(),
    };
    let mut answer = server.node_request(agent.node.id, request.clone()).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].as_bytes()), (201, &b"text/plain"[..]));
    let mut next = async || answer.body.next().await.map(|c| c.expect("bytes"));
    assert_eq!(next().await.as_deref(), Some(&b"GET /v1/client/stats?a=b x"[..]));
    answer.send.send("more".into()).await.expect("taken");
    assert_eq!(next().await.as_deref(), Some(&b"more"[..]));
    answer.send.send("end".into()).await.expect("taken");
    assert_eq!(next().await.as_deref(), Some(&b"end"[..]));
    assert_eq!(next().await, None);

    let unknown = server.node_request(nodes::id(9), request).await.err();
    assert_eq!(unknown, Some(NodeRequestError::UnknownNode(nodes::id(9))));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused() {
    let server = fake::server(None).await;
    let _agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    until(&server, "the node", |s| s.node(nodes::id(1)).is_some()).await;
    let mut stranger = nodes::ready(1);
    stranger.secret_id = uuid::Uuid::from_u128(7);
    stranger.http_addr = "stranger".to_owned();
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    let mut client = AgentsClient::new(channel.connect().await.expect("connects"));
    let hello = tarpan_rpc::agent::Hello { node: tarpan_rpc::pack(&stranger).into(), ..Default::default() };
    let hello = tarpan_rpc::agent::FromAgent { body: Some(from_agent::Body::Hello(hello)) };
    let mut down = client.session(tokio_stream::iter([hello])).await.expect("a stream").into_inner();
    let status = down.message().await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_on_a_hundred_nodes() {
    let server = fake::server(None).await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    let client = AgentsClient::new(channel.connect().await.expect("connects"));
    let mut agents = Vec::new();
    for i in 1..=100 {
        let node = nodes::sized(i, 64 * 3_500, 256 * 1024);
        agents.push(FakeAgent::on(client.clone(), node, |_| ClientStatus::Complete, Default::default()).await);
    }
    until(&server, "every node", |s| s.nodes().filter(|n| n.status == NodeStatus::Ready).count() == 100).await;
    let began = std::time::Instant::now();
    fake::register(&server, jobs::batch("many", 10_000)).await;
    until(&server, "all are done", |s| count(s, "many", ClientStatus::Complete) == 10_000).await;
    eprintln!("10,000 allocations placed and complete in {:?}", began.elapsed());
    server.shutdown().await;
}

/// An agent's session, spoken word by word.
struct Spoken {
    up: tokio::sync::mpsc::Sender<rpc::FromAgent>,
    down: tonic::Streaming<rpc::FromServer>,
}

impl Spoken {
    async fn begin(server: &Server, hello: rpc::Hello) -> Spoken {
        let channel =
            tonic::transport::Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
        let mut client = AgentsClient::new(channel.connect().await.expect("connects"));
        let (up, stream) = tokio::sync::mpsc::channel(8);
        let mut spoken = rpc::Hello { version: "test".to_owned(), ..hello };
        if spoken.node.is_empty() {
            spoken.node = tarpan_rpc::pack(&nodes::ready(1)).into();
        }
        let _ = up.send(rpc::FromAgent { body: Some(from_agent::Body::Hello(spoken)) }).await;
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        let down = client.session(stream).await.expect("a stream").into_inner();
        Spoken { up, down }
    }

    async fn say(&self, body: from_agent::Body) {
        let _ = self.up.send(rpc::FromAgent { body: Some(body) }).await;
    }

    /// The next message of which `f` makes something.
    async fn hear<T>(&mut self, f: impl Fn(from_server::Body) -> Option<T>) -> Result<T, tonic::Status> {
        loop {
            let message = tokio::time::timeout(fake::PATIENCE, self.down.message()).await.expect("in time")?;
            let Some(message) = message else { return Err(tonic::Status::cancelled("the session ended")) };
            if let Some(found) = message.body.and_then(&f) {
                return Ok(found);
            }
        }
    }

    async fn welcome(&mut self) -> Result<rpc::Welcome, tonic::Status> {
        let welcome = |body| if let from_server::Body::Welcome(w) = body { Some(w) } else { None };
        self.hear(welcome).await
    }

    /// What the next complete orders tell it to forget.
    async fn forgotten(&mut self) -> Vec<bytes::Bytes> {
        let all = |body| if let from_server::Body::Orders(o) = body { o.complete.then_some(o.forget) } else { None };
        self.hear(all).await.expect("orders")
    }
}

fn held(id: u128, index: u64) -> rpc::AllocVersion {
    let alloc_id = bytes::Bytes::copy_from_slice(uuid::Uuid::from_u128(id).as_bytes());
    rpc::AllocVersion { alloc_id, alloc_modify_index: index, astray: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_history_placed_ends_by_a_decision_about_its_job_only() {
    let server = Server::start(tarpan_server::Options::default()).await.expect("starts");
    let foreign = rpc::Epoch { id: bytes::Bytes::copy_from_slice(&[7; 16]), start: 1 };
    let hello = rpc::Hello {
        have: vec![held(70, 400), held(71, 500)],
        seen_index: 500,
        seen_epochs: vec![foreign],
        ..rpc::Hello::default()
    };
    let mut agent = Spoken::begin(&server, hello).await;
    let welcome = agent.welcome().await.expect("taken in");
    assert_eq!(welcome.forked_at, Some(0));
    assert!(!welcome.epochs.is_empty(), "the agent learns which history this is");
    assert!(agent.forgotten().await.is_empty(), "nothing was decided");
    let said = |n: &tarpan_model::Node| n.events.iter().any(|e| e.message.contains("2 allocations that are not in it"));
    assert!(server.state().node(nodes::id(1)).is_some_and(|n| said(n)));

    let astray = |job: &str| {
        let (namespace, job_id) = ("default".to_owned(), job.to_owned());
        Some(rpc::Astray { since: 0, create_index: 300, namespace, job_id })
    };
    let have = [(70, "web"), (71, "api")].map(|(id, job)| rpc::AllocVersion { astray: astray(job), ..held(id, 0) });
    agent.say(from_agent::Body::Inventory(rpc::Inventory { have: have.to_vec() })).await;
    assert!(agent.forgotten().await.is_empty(), "the jobs are not known here");

    fake::register(&server, jobs::service("web", 1)).await;
    agent.say(from_agent::Body::Heartbeat(rpc::Heartbeat { seq: 1 })).await;
    let forget =
        |body| if let from_server::Body::Orders(o) = body { (!o.forget.is_empty()).then_some(o.forget) } else { None };
    assert_eq!(agent.hear(forget).await.expect("orders"), [held(70, 0).alloc_id], "its job is decided about anew");

    // A report that can't be placed is not acknowledged.
    let state = until(&server, "it is placed", |s| s.allocs_by_job(&key("web")).next().is_some()).await;
    let alloc = state.allocs_by_job(&key("web")).next().expect("placed");
    let mut update = tarpan_testkit::allocs::report(alloc, ClientStatus::Running, server.now());
    update.id = tarpan_model::AllocId(uuid::Uuid::from_u128(71));
    agent.say(from_agent::Body::Report(rpc::Report { seq: 9, updates: tarpan_rpc::pack(&vec![update]).into() })).await;
    let ack = |body| if let from_server::Body::Ack(ack) = body { Some(ack.seq) } else { None };
    assert_eq!(agent.hear(ack).await.expect_err("no acknowledgement").code(), tonic::Code::FailedPrecondition);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_node_loses_what_another_history_placed() {
    let server = Server::start(tarpan_server::Options::default()).await.expect("starts");
    let foreign = rpc::Epoch { id: bytes::Bytes::copy_from_slice(&[7; 16]), start: 1 };
    let hello =
        rpc::Hello { have: vec![held(70, 400)], seen_index: 500, seen_epochs: vec![foreign], ..rpc::Hello::default() };
    let mut agent = Spoken::begin(&server, hello).await;
    agent.welcome().await.expect("taken in");
    let (node, now) = (nodes::id(1), server.now());
    server.propose(Command::DeregisterNode { node, now, evals: Vec::new() }).await.expect("committed");
    let forget =
        |body| if let from_server::Body::Orders(o) = body { (!o.forget.is_empty()).then_some(o.forget) } else { None };
    assert_eq!(agent.hear(forget).await.expect("orders"), [held(70, 0).alloc_id]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_behind_decides_nothing() {
    let server = Server::start(tarpan_server::Options::default()).await.expect("starts");
    let mut agent = Spoken::begin(&server, rpc::Hello::default()).await;
    let welcome = agent.welcome().await.expect("taken in");
    let ahead = |epochs| rpc::Hello {
        have: vec![held(70, 900)],
        seen_index: 900,
        seen_epochs: epochs,
        ..rpc::Hello::default()
    };
    // Of its own history, further than it has come; and one of an earlier release, that names none.
    for epochs in [welcome.epochs.clone(), Vec::new()] {
        let refused = Spoken::begin(&server, ahead(epochs)).await.welcome().await.expect_err("it has to wait");
        assert_eq!(refused.code(), tonic::Code::Unavailable);
    }
    // What is not there of its own past was removed by a decision.
    let hello = rpc::Hello {
        have: vec![held(70, welcome.index)],
        seen_index: welcome.index,
        seen_epochs: welcome.epochs,
        ..rpc::Hello::default()
    };
    let mut agent = Spoken::begin(&server, hello).await;
    assert_eq!(agent.welcome().await.expect("taken in").forked_at, None);
    assert_eq!(agent.forgotten().await, [held(70, 0).alloc_id]);
    server.shutdown().await;
}

fn service_of(alloc: &tarpan_model::Allocation) -> tarpan_model::service::ServiceRegistration {
    tarpan_model::service::ServiceRegistration {
        id: format!("_nomad-task-{}-group-g-web-http", alloc.id).into(),
        service_name: "web".into(),
        namespace: alloc.namespace.clone(),
        node_id: alloc.node_id,
        datacenter: "dc1".into(),
        job_id: alloc.job_id.clone(),
        alloc_id: alloc.id,
        tags: Vec::new(),
        address: "10.0.0.1".into(),
        port: 80,
        create_index: 0,
        modify_index: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_speaks_for_itself_alone() {
    let server = Server::start(tarpan_server::Options::default()).await.expect("starts");
    let first = FakeAgent::start(&server, nodes::ready(1), running).await;
    fake::register(&server, jobs::service("web", 1)).await;
    let state = until(&server, "it runs", |s| count(s, "web", ClientStatus::Running) == 1).await;
    let alloc = state.allocs_by_node(first.node.id).next().expect("placed").clone();
    let own = service_of(&alloc);
    let services = vec![own.clone()];
    server.propose(Command::UpsertServices { services }).await.expect("committed");

    let node = nodes::ready(2);
    let hello = rpc::Hello { node: tarpan_rpc::pack(&node).into(), ..rpc::Hello::default() };
    let mut other = Spoken::begin(&server, hello).await;
    other.welcome().await.expect("taken in");
    let forged = [
        tarpan_model::service::ServiceRegistration { node_id: node.id, address: "6.6.6.6".into(), ..own.clone() },
        tarpan_model::service::ServiceRegistration { address: "6.6.6.6".into(), ..own.clone() },
    ];
    let ack = |body| if let from_server::Body::Ack(ack) = body { Some(ack.seq) } else { None };
    for (seq, row) in (1..).zip(&forged) {
        let delete = vec![own.id.to_string()];
        let upsert = tarpan_rpc::pack(&vec![row]).into();
        other.say(from_agent::Body::Services(rpc::Services { seq, upsert, delete })).await;
        assert_eq!(other.hear(ack).await.expect("acknowledged"), seq);
    }
    let mut report = tarpan_testkit::allocs::report(&alloc, ClientStatus::Failed, server.now());
    report.client_description = "forged".into();
    other.say(from_agent::Body::Report(rpc::Report { seq: 8, updates: tarpan_rpc::pack(&vec![report]).into() })).await;
    assert_eq!(other.hear(ack).await.expect("acknowledged"), 8);
    let state = server.state();
    let rows: Vec<_> = state.service(&alloc.namespace, "web").map(|row| row.address.to_string()).collect();
    assert_eq!(rows, ["10.0.0.1"], "another node's registration stays as it is");
    assert_eq!(count(&state, "web", ClientStatus::Running), 1);

    // Nor does it change or answer for another node.
    other.say(from_agent::Body::Node(rpc::NodeChanged { node: tarpan_rpc::pack(&nodes::ready(1)).into() })).await;
    let refused = other.hear(ack).await.expect_err("that is another node");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    let mut client = AgentsClient::new(channel.connect().await.expect("connects"));
    for (node_id, secret) in [(first.node.id, node.secret_id), (nodes::id(9), node.secret_id)] {
        let open = rpc::BulkOpen {
            stream_id: 1,
            node_id: bytes::Bytes::copy_from_slice(node_id.0.as_bytes()),
            node_secret: bytes::Bytes::copy_from_slice(secret.as_bytes()),
        };
        let open = rpc::BulkUp { body: Some(rpc::bulk_up::Body::Open(open)) };
        // It comes in as itself, and asks for another's stream.
        let asked = fake::as_node(tokio_stream::iter([open]), &node);
        let mut down = client.bulk(asked).await.expect("a stream").into_inner();
        let refused = down.message().await.expect_err("not its stream");
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    }
    server.shutdown().await;
}

/// What everybody may read of the cluster's keys.
async fn published(server: &Server) -> serde_json::Value {
    use tower::ServiceExt;
    let request = http::Request::get("/.well-known/jwks.json").body(axum::body::Body::empty()).expect("a request");
    let answer = tarpan_server::router(server.clone()).oneshot(request).await.expect("infallible");
    let kept = answer.headers().get(http::header::CACHE_CONTROL).expect("a time").to_str().expect("text").to_owned();
    assert_eq!(kept, "max-age=900");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    let set: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let mut names: Vec<&str> = set["keys"][0].as_object().expect("a key").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"], "nothing private");
    set
}

/// The claims of a token, checked by the published keys alone.
fn claims(token: &str, keys: &serde_json::Value) -> serde_json::Value {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let read = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, body) = signed.split_once('.').expect("three parts");
    let header: serde_json::Value = serde_json::from_slice(&read(header)).expect("JSON");
    let keys = keys["keys"].as_array().expect("a list");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("a published key");
    let number = |name: &str| read(key[name].as_str().expect("a text"));
    let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
    public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &read(signature)).expect("signed by it");
    serde_json::from_slice(&read(body)).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_signed_for_the_node_that_runs_the_task() {
    let server = fake::server(None).await;
    let mine = FakeAgent::start(&server, nodes::ready(1), running).await;
    let mut job = jobs::service("web", 1);
    let task = &mut job.task_groups.as_mut().expect("a group")[0].tasks.as_mut().expect("a task")[0];
    let name = task.name().to_owned();
    let audience = |aud: &[&str]| Some(aud.iter().map(|a| (*a).to_owned()).collect());
    let identity = |name: &str| WorkloadIdentity { name: Some(name.to_owned()), ..WorkloadIdentity::default() };
    task.identity = Some(WorkloadIdentity { audience: audience(&["nomadproject.io"]), ..identity("default") });
    let aws =
        WorkloadIdentity { audience: audience(&["aws", "other"]), ttl: Some(Dur::from_secs(3600)), ..identity("aws") };
    task.identities = Some(vec![aws]);
    fake::register(&server, job).await;
    let state = until(&server, "it runs", |s| count(s, "web", ClientStatus::Running) == 1).await;
    let state = until(&server, "a key", |s| s.active_root_key().is_some() && s.index() >= state.index()).await;
    let alloc = state.allocs().next().expect("one").clone();
    let other = FakeAgent::start(&server, nodes::ready(2), running).await;
    until(&server, "a second node", |s| s.node(nodes::id(2)).is_some()).await;

    let sign = async |agent: &FakeAgent, task: &str, names: &[&str]| {
        let address = format!("http://{}", server.rpc_addr());
        let mut client = AgentsClient::connect(address).await.expect("connects");
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let alloc_id = alloc.id.0.as_bytes().to_vec().into();
        let asked = rpc::SignIdentitiesRequest { alloc_id, task: task.to_owned(), names };
        let answer = client.sign_identities(fake::as_node(asked, &agent.node)).await;
        answer.map(|a| a.into_inner().tokens).map_err(|status| status.message().to_owned())
    };
    let tokens = sign(&mine, &name, &["default", "aws"]).await.expect("signed");
    let keys = published(&server).await;
    let own = claims(&tokens[0], &keys);
    assert_eq!(own["sub"], format!("global:default:web:{}:{name}:default", alloc.task_group));
    assert_eq!((&own["aud"], &own["nomad_allocation_id"]), (&"nomadproject.io".into(), &alloc.id.to_string().into()));
    assert_eq!((own.get("exp"), own["iat"] == own["nbf"]), (None, true));
    let aws = claims(&tokens[1], &keys);
    assert_eq!(aws["aud"], serde_json::json!(["aws", "other"]));
    assert_eq!(aws["exp"].as_i64().expect("a time") - aws["iat"].as_i64().expect("a time"), 3600);
    assert_ne!(own["jti"], aws["jti"]);

    assert_eq!(sign(&mine, &name, &["nobody"]).await, Err("identity not found".to_owned()));
    assert_eq!(sign(&mine, "nobody", &["default"]).await, Err("task not found".to_owned()));
    assert_eq!(sign(&other, &name, &["default"]).await, Err("allocation not found".to_owned()));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_given_to_the_allocation_that_takes_its_place_and_to_nobody_else() {
    let server = fake::server(None).await;
    let first = FakeAgent::start(&server, nodes::ready(1), running).await;
    let moving = |id: &str, migrate: bool| {
        let mut job = jobs::service(id, 1);
        let disk = EphemeralDisk { migrate: Some(migrate), ..EphemeralDisk::default() };
        job.task_groups.as_mut().expect("a group")[0].ephemeral_disk = Some(disk);
        job
    };
    fake::register(&server, moving("db", true)).await;
    fake::register(&server, moving("web", false)).await;
    let both = |s: &State| count(s, "db", ClientStatus::Running) == 1 && count(s, "web", ClientStatus::Running) == 1;
    until(&server, "both run", both).await;
    fake::healthy(&server).await;
    let second = FakeAgent::start(&server, nodes::ready(2), running).await;
    until(&server, "a second node", |s| s.nodes().filter(|n| n.status == NodeStatus::Ready).count() == 2).await;
    let on = |s: &State, job: &str, node: u32| {
        s.allocs_by_job(&key(job)).find(|a| a.node_id == nodes::id(node)).map(|a| (a.id, a.previous))
    };
    let state = server.state();
    let (old, _) = on(&state, "db", 1).expect("it runs there");
    fake::drain(&server, nodes::id(1), Dur::from_secs(3600)).await;
    let state = until(&server, "both moved", |s| on(s, "db", 2).is_some() && on(s, "web", 2).is_some()).await;
    let ((db, previous), (web, _)) = (on(&state, "db", 2).expect("there"), on(&state, "web", 2).expect("there"));
    assert_eq!(previous, Some(old));

    let ask = async |agent: &FakeAgent, alloc: tarpan_model::AllocId| {
        let mut client = AgentsClient::connect(format!("http://{}", server.rpc_addr())).await.expect("connects");
        let asked = rpc::DiskRequest { alloc_id: alloc.0.as_bytes().to_vec().into() };
        let answer = client.disk(fake::as_node(asked, &agent.node)).await;
        let mut parts = answer.map_err(|status| status.message().to_owned())?.into_inner();
        let part = parts.message().await.expect("a part").expect("one");
        Ok::<_, String>(String::from_utf8_lossy(&part.data).trim().to_owned())
    };
    assert_eq!(ask(&second, db).await, Ok(format!("GET /internal/disk/{old}")));
    assert_eq!(ask(&first, db).await, Err("allocation not found".to_owned()), "another node's");
    assert_eq!(ask(&second, old).await, Err("allocation not found".to_owned()), "the old one itself");
    assert_eq!(ask(&second, web).await, Err("its disk does not migrate".to_owned()));
    let old_node = ask(&first, old).await.expect_err("it replaces nothing");
    assert!(old_node.contains("not found") || old_node.contains("not known any more"), "{old_node}");
    drop(first);
    until(&server, "the node is down", |s| s.node(nodes::id(1)).is_some_and(|n| n.status == NodeStatus::Down)).await;
    assert_eq!(ask(&second, db).await, Err("the node that the disk is on is down".to_owned()));
    server.shutdown().await;
}
