//! The RPC port and those who are nobody's agent and nobody's server.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod fake;

use std::time::Duration;

use fake::{FakeAgent, PATIENCE, as_node, running, until};
use tarpan_rpc::agent::agents_client::AgentsClient;
use tarpan_rpc::agent::{BulkUp, HttpRequest, WatchServiceRequest};
use tarpan_rpc::server::peers_client::PeersClient;
use tarpan_rpc::server::raft_client::RaftClient;
use tarpan_rpc::server::{AppendRequest, Held, HttpCall, LeadRequest, NodeRef, RaftBytes, ReadIndexRequest, ToNode};
use tarpan_server::{Options, Server};
use tarpan_testkit::nodes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

async fn connect(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
    endpoint.connect().await.expect("connects")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_agents_of_registered_nodes_may_ask() {
    let server = fake::server(None).await;
    let agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    until(&server, "the node", |s| s.node(nodes::id(1)).is_some()).await;
    let mut client = AgentsClient::new(connect(&server).await);
    let asked = HttpRequest { method: "GET".to_owned(), path: "/v1/jobs".to_owned(), ..HttpRequest::default() };
    let watch = WatchServiceRequest { namespace: "default".to_owned(), name: "web".to_owned() };
    let nothing = || tokio_stream::iter(Vec::<BulkUp>::new());

    let refused = client.http(asked.clone()).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(client.watch_service(watch.clone()).await.expect_err("a stranger").code(), Code::Unauthenticated);
    assert_eq!(client.bulk(nothing()).await.expect_err("a stranger").code(), Code::Unauthenticated);

    let mut wrong = agent.node.clone();
    wrong.secret_id = uuid::Uuid::from_u128(7);
    for node in [wrong, nodes::ready(9)] {
        let refused = client.http(as_node(asked.clone(), &node)).await.expect_err("not that node");
        assert_eq!(refused.code(), Code::PermissionDenied);
        let refused = client.watch_service(as_node(watch.clone(), &node)).await.expect_err("not that node");
        assert_eq!(refused.code(), Code::PermissionDenied);
        let refused = client.bulk(as_node(nothing(), &node)).await.expect_err("not that node");
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    client.http(as_node(asked, &agent.node)).await.expect("the agent itself");
    client.watch_service(as_node(watch, &agent.node)).await.expect("the agent itself");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raft_listens_to_servers_of_the_cluster_only() {
    let server = fake::server(None).await;
    let mut raft = RaftClient::new(connect(&server).await);
    let mut peers = PeersClient::new(connect(&server).await);
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
    ] {
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().ends_with("is not the address of another server"), "{refused}");
    }
    server.shutdown().await;
}

/// Waits until the other side has closed.
async fn closed(stream: &mut TcpStream) {
    let mut part = [0; 1024];
    while stream.read(&mut part).await.is_ok_and(|n| n > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_an_introduction_are_ended() {
    let handshake = Duration::from_secs(3);
    let options = Options { rpc_handshake_timeout: handshake, rpc_max_conns_per_client: 3, ..Options::default() };
    let server = Server::start(options).await.expect("starts");
    let agent = FakeAgent::start(&server, nodes::ready(1), running).await;
    until(&server, "the node", |s| s.node(nodes::id(1)).is_some()).await;

    let mut silent = TcpStream::connect(server.rpc_addr()).await.expect("connects");
    let mut polite = TcpStream::connect(server.rpc_addr()).await.expect("connects");
    polite.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    // The agent and these two: one more is too many.
    let mut fourth = TcpStream::connect(server.rpc_addr()).await.expect("connects");
    tokio::time::timeout(PATIENCE, closed(&mut fourth)).await.expect("no room");
    tokio::time::timeout(PATIENCE, closed(&mut silent)).await.expect("nothing was said");
    let begin = std::time::Instant::now();
    tokio::time::timeout(PATIENCE, closed(&mut polite)).await.expect("nobody was introduced");
    assert!(begin.elapsed() > handshake * 3, "who speaks gets time for an introduction");
    assert!(server.has_session(agent.node.id), "the agent stays");
    server.shutdown().await;
}
