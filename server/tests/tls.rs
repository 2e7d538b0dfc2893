//! Servers that speak TLS: among themselves, to agents, to callers of the API, and to whoever may not come in.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod fake;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fake::{FakeAgent, as_node, running, until};
use tarpan_front::doors::Doors;
use tarpan_front::listen::{Front, Greeting, listen};
use tarpan_front::names::Names;
use tarpan_rpc::agent::HttpRequest;
use tarpan_rpc::agent::agents_client::AgentsClient;
use tarpan_rpc::server::peers_client::PeersClient;
use tarpan_rpc::server::raft_client::RaftClient;
use tarpan_rpc::server::{
    AppendRequest, Held, HttpCall, LeadRequest, NodeRef, RaftBytes, ReadIndexRequest, ToNode, TunnelBytes,
};
use tarpan_server::{Joins, Options, Server};
use tarpan_state::Command;
use tarpan_state::command::RegisterJob;
use tarpan_testkit::nodes;
use tarpan_tls::caller::Caller;
use tarpan_tls::make::{Holder, Subject, authority, certificate};
use tarpan_tls::{Dialer, Roles, Settings, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with an authority, and certificates for whoever a test needs.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(holders: &[&str]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        let ca = authority(&Subject::default(), 100, &[]).expect("an authority");
        std::fs::write(folder.path("ca.pem"), &ca.certificate).expect("written");
        for name in holders {
            let holder = Holder {
                common_name: (*name).to_owned(),
                dns_names: vec![(*name).to_owned(), "localhost".to_owned()],
                addresses: vec![[127, 0, 0, 1].into()],
                answers: true,
            };
            let made = certificate(&holder, 90, &ca.certificate, &ca.key).expect("a certificate");
            std::fs::write(folder.path(&format!("{name}.pem")), made.certificate).expect("written");
            std::fs::write(folder.path(&format!("{name}-key.pem")), made.key).expect("written");
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self, name: &str) -> Settings {
        Settings {
            rpc: true,
            verify_server_hostname: true,
            ca_file: Some(self.path("ca.pem")),
            cert_file: Some(self.path(&format!("{name}.pem"))),
            key_file: Some(self.path(&format!("{name}-key.pem"))),
            ..Settings::default()
        }
    }

    /// What a process with this certificate speaks.
    fn tls(&self, settings: &Settings, region: &str, server: bool) -> Arc<Tls> {
        Tls::load(settings, Roles { region: region.to_owned(), server }).expect("good files")
    }

    fn server(&self, region: &str) -> Arc<Tls> {
        self.tls(&self.settings(&format!("server.{region}.nomad")), region, true)
    }

    /// Connected to a server of the region as the holder of this certificate, whatever it is for.
    async fn dial(&self, server: &Server, name: &str) -> Result<Channel, String> {
        let tls = self.tls(&Settings { verify_server_hostname: false, ..self.settings(name) }, "global", false);
        let dialer = Dialer::new(tls, &server.options().region);
        let endpoint = Endpoint::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
        endpoint.connect_with_connector(dialer).await.map_err(|e| chain(&e))
    }

    fn caller(&self, name: Option<&str>) -> Caller {
        let file = |end: &str| name.map(|name| self.path(&format!("{name}{end}")));
        Caller {
            ca_cert: Some(self.path("ca.pem")),
            client_cert: file(".pem"),
            client_key: file("-key.pem"),
            ..Caller::default()
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn options(number: usize, expect: usize, known: Option<&Server>, tls: Arc<Tls>) -> Options {
    let _ = std::env::var_os("RUST_LOG").is_some_and(|_| tracing_subscriber::fmt::try_init().is_ok());
    let retry = known.map(|one| one.gossip_addr().to_string()).into_iter().collect();
    Options {
        name: format!("server-{number}"),
        bootstrap_expect: expect,
        joins: Joins { retry, interval: Duration::from_millis(200), ..Joins::default() },
        num_schedulers: 1,
        tls: Some(tls),
        ..Options::default()
    }
}

async fn start(options: Options) -> Server {
    let server = Server::start(options).await.expect("starts");
    let joining = server.clone();
    tokio::spawn(async move { joining.join_configured().await });
    server
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

async fn write(server: &Server, id: &str) {
    let begun = Instant::now();
    while let Err(why) = server.propose(register(id)).await {
        assert!(begun.elapsed() < PATIENCE, "{id}: {why}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_servers_form_a_cluster_over_tls_and_agents_come_in_by_their_certificates() {
    let folder = Folder::new(&["server.global.nomad", "client.global.nomad"]);
    let first = start(options(1, 3, None, folder.server("global"))).await;
    let second = start(options(2, 3, Some(&first), folder.server("global"))).await;
    let third = start(options(3, 3, Some(&first), folder.server("global"))).await;
    let all = [&first, &second, &third];
    for (number, server) in all.into_iter().enumerate() {
        write(server, &format!("by-{number}")).await;
    }
    for server in all {
        until(server, "all three", |state| {
            (0..3).all(|n| state.job(&tarpan_model::NamespacedId::new("default", format!("by-{n}").as_str())).is_some())
        })
        .await;
    }
    // An agent on a follower; what it says reaches the leader, and another server has its node answer.
    let follower = all.into_iter().find(|s| !s.is_leader()).expect("two follow");
    let channel = folder.dial(follower, "client.global.nomad").await.expect("connects");
    let agent = FakeAgent::on(AgentsClient::new(channel), nodes::ready(1), running, Default::default()).await;
    fake::register(&first, tarpan_testkit::jobs::service("web", 2)).await;
    until(&third, "its tasks run", |state| {
        state.allocs().filter(|a| a.client_status == tarpan_model::alloc::ClientStatus::Running).count() == 2
    })
    .await;
    assert_eq!(agent.held().len(), 2);
    for server in all {
        let request =
            || HttpRequest { method: "GET".to_owned(), path: "/v1/client/stats".to_owned(), ..HttpRequest::default() };
        // Who holds the session is known to the others a moment later.
        let begun = Instant::now();
        while let Err(why) = server.node_request(agent.node.id, request()).await {
            assert!(begun.elapsed() < PATIENCE, "{}: {why}", server.options().name);
            sleep(Duration::from_millis(20)).await;
        }
    }
    for server in all {
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_are_brought_to_tls_one_by_one() {
    let folder = Folder::new(&["server.global.nomad"]);
    let upgrading = Settings { rpc_upgrade_mode: true, ..folder.settings("server.global.nomad") };
    let upgrading = || folder.tls(&upgrading, "global", true);
    let first = start(Options { tls: None, ..options(1, 3, None, upgrading()) }).await;
    let second = start(options(2, 3, Some(&first), upgrading())).await;
    let third = start(options(3, 3, Some(&first), upgrading())).await;
    let key = |n: usize| tarpan_model::NamespacedId::new("default", format!("by-{n}").as_str());
    for (number, server) in [&first, &second, &third].into_iter().enumerate() {
        write(server, &format!("by-{number}")).await;
    }
    for server in [&first, &second, &third] {
        until(server, "all three", |state| (0..3).all(|n| state.job(&key(n)).is_some())).await;
    }
    // Agents without TLS are still taken, too.
    let _agent = FakeAgent::start(&second, nodes::ready(1), running).await;
    until(&first, "the node", |state| state.node(nodes::id(1)).is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn regions_know_each_other_by_their_own_names() {
    let folder = Folder::new(&["server.east.nomad", "server.west.nomad"]);
    let region = |name: &str| Options { region: name.to_owned(), ..options(1, 1, None, folder.server(name)) };
    let (east, west) = (start(region("east")).await, start(region("west")).await);
    write(&west, "there").await;
    assert_eq!(west.join(&east.gossip_addr().to_string()).await, Ok(1));
    let begun = Instant::now();
    loop {
        let request =
            http::Request::get("/v1/job/there?region=west").body(axum::body::Body::empty()).expect("a request");
        let answer = tower::ServiceExt::oneshot(tarpan_server::http::router(east.clone()), request).await;
        let status = answer.expect("an answer").status();
        if status == 200 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_holds_up_nobody() {
    let folder = Folder::new(&["server.global.nomad", "client.global.nomad"]);
    let tls = folder.server("global");
    let patience = Duration::from_secs(2);
    let server = start(Options { rpc_handshake_timeout: patience, ..options(1, 1, None, tls) }).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(server.rpc_addr()).await.expect("connects"));
    }
    let begun = Instant::now();
    folder.dial(&server, "client.global.nomad").await.expect("connects");
    assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
    // They are let go in time.
    for mut stream in silent {
        let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("an end");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_is_open_without_a_certificate_of_the_authority() {
    let folder = Folder::new(&["server.global.nomad", "client.global.nomad", "cli.global.nomad"]);
    let server = start(options(1, 1, None, folder.server("global"))).await;
    // Somebody who speaks no TLS reads why.
    let plain = Endpoint::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    let mut plain = AgentsClient::new(plain.connect_lazy());
    let refused = plain.http(HttpRequest::default()).await.expect_err("no TLS");
    assert!(chain(&refused).contains("this port speaks TLS"), "{}", chain(&refused));
    // Somebody without a certificate, and somebody with one that another authority signed.
    let uri: http::Uri = format!("https://{}", server.rpc_addr()).parse().expect("an address");
    let nobody = async |caller: &Caller| {
        let mut stream = caller.connect(&uri).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.map_err(|e| e.to_string())?;
        match tokio::time::timeout(PATIENCE, stream.read_u8()).await {
            Ok(Err(error)) => Err(caller.why(&error).unwrap_or_else(|| error.to_string())),
            other => panic!("{other:?}"),
        }
    };
    let why: Result<(), String> = nobody(&folder.caller(None)).await;
    assert!(why.as_ref().is_err_and(|why| why.contains("it wants a certificate")), "{why:?}");
    let strangers = Folder::new(&["server.global.nomad"]);
    let stranger = Caller { ca_cert: Some(folder.path("ca.pem")), ..strangers.caller(Some("server.global.nomad")) };
    let why = nobody(&stranger).await;
    assert!(why.as_ref().is_err_and(|why| why.ends_with("it does not know the authority that signed it")), "{why:?}");

    // A client's certificate makes no server.
    let channel = folder.dial(&server, "client.global.nomad").await.expect("connects");
    let (mut raft, mut peers) = (RaftClient::new(channel.clone()), PeersClient::new(channel.clone()));
    let bytes = || RaftBytes { data: tarpan_rpc::pack(&"anything").into() };
    for refused in [
        raft.propose(bytes()).await.expect_err("no server"),
        raft.vote(bytes()).await.expect_err("no server"),
        raft.append_entries(AppendRequest { head: bytes().data, entries: Vec::new() }).await.expect_err("no server"),
        raft.install_snapshot(tokio_stream::iter([bytes()])).await.expect_err("no server"),
        raft.form(bytes()).await.expect_err("no server"),
        raft.ballot(bytes()).await.expect_err("no server"),
        peers.hold(Held::default()).await.expect_err("no server"),
        peers.holder(NodeRef::default()).await.expect_err("no server"),
        peers.read_index(ReadIndexRequest {}).await.expect_err("no server"),
        peers.lead(LeadRequest {}).await.expect_err("no server"),
        peers.http(HttpCall::default()).await.expect_err("no server"),
        peers.node(tokio_stream::iter([ToNode::default()])).await.expect_err("no server"),
        peers.tunnel(tokio_stream::iter([TunnelBytes::default()])).await.expect_err("no server"),
    ] {
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().starts_with("its certificate is for client.global.nomad"), "{refused}");
    }
    // Nor does a command line's make an agent; the client's does.
    let mut caller = AgentsClient::new(folder.dial(&server, "cli.global.nomad").await.expect("connects"));
    let refused = caller.session(tokio_stream::iter([])).await.expect_err("no agent");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().ends_with("not for client.global.nomad or server.global.nomad"), "{refused}");
    let agent = FakeAgent::on(AgentsClient::new(channel.clone()), nodes::ready(1), running, Default::default()).await;
    until(&server, "the node", |state| state.node(nodes::id(1)).is_some()).await;
    let asked = HttpRequest { method: "GET".to_owned(), path: "/v1/jobs".to_owned(), ..HttpRequest::default() };
    AgentsClient::new(channel).http(as_node(asked, &agent.node)).await.expect("the agent itself");
    server.shutdown().await;
}

/// What comes back on a connection of this caller; the error says why there is none.
async fn get(caller: &Caller, to: &str) -> Result<String, String> {
    let uri: http::Uri = to.parse().expect("an address");
    let mut stream = caller.connect(&uri).await?;
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", uri.path());
    let failed = |error: std::io::Error| caller.why(&error).unwrap_or_else(|| error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_over_https_asks_for_certificates_where_it_is_told_to() {
    let folder = Folder::new(&["server.global.nomad", "cli.global.nomad"]);
    let server = start(options(1, 1, None, folder.server("global"))).await;
    let mut tasks = JoinSet::new();
    let mut listener = async |settings: Settings| {
        let tls = folder.tls(&settings, "global", true);
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let app = Front::new(tarpan_server::http::router(server.clone()), Names::default(), Vec::new());
        let greeting = Greeting { tls: tls.clone(), patience: Duration::from_secs(5) };
        listen(&mut tasks, vec![socket], &Arc::new(app), &Doors::new(0, 0), Some(&greeting));
        (address, tls)
    };
    let https = Settings { http: true, ..folder.settings("server.global.nomad") };
    let (open, tls) = listener(https.clone()).await;
    let path = "/v1/agent/health";
    let answer = get(&folder.caller(None), &format!("https://{open}{path}")).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get(&folder.caller(None), &format!("http://{open}{path}")).await.expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 400")
            && answer.ends_with("this port speaks HTTPS: write https:// before its address\n"),
        "{answer}"
    );
    let strangers = Folder::new(&[]);
    let why = get(&strangers.caller(None), &format!("https://{open}{path}")).await.expect_err("another authority");
    assert!(why.starts_with("its certificate is signed by no authority of ") && why.ends_with("/ca.pem"), "{why}");
    let named = Caller { server_name: Some("server.global.nomad".to_owned()), ..folder.caller(None) };
    assert!(get(&named, &format!("https://{open}{path}")).await.is_ok());
    let named = Caller { server_name: Some("server.west.nomad".to_owned()), ..folder.caller(None) };
    let why = get(&named, &format!("https://{open}{path}")).await.expect_err("another name");
    assert_eq!(why, "its certificate is for server.global.nomad, localhost, 127.0.0.1, not for server.west.nomad");
    let unchecked = Caller { skip_verify: true, ..strangers.caller(None) };
    assert!(get(&unchecked, &format!("https://{open}{path}")).await.is_ok());

    let (closed, _) = listener(Settings { verify_https_client: true, ..https.clone() }).await;
    let why = get(&folder.caller(None), &format!("https://{closed}{path}")).await.expect_err("no certificate");
    assert_eq!(why, "it wants a certificate, and got none");
    let answer = get(&folder.caller(Some("cli.global.nomad")), &format!("https://{closed}{path}")).await;
    assert!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));

    // New files, the same port: from here on another authority's certificate.
    let other = Folder::new(&["server.global.nomad"]);
    for file in ["server.global.nomad.pem", "server.global.nomad-key.pem", "ca.pem"] {
        std::fs::copy(other.path(file), folder.path(file)).expect("copied");
    }
    tls.reload(&https).expect("good files");
    let answer = get(&folder.caller(None), &format!("https://{open}{path}")).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let why = get(&folder.caller(None), &format!("https://{closed}{path}")).await.expect_err("the old one still");
    assert!(why.starts_with("its certificate is signed by no authority"), "{why}");
    server.shutdown().await;
}
