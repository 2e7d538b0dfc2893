//! An agent that speaks the real protocol and runs nothing: it reports what a test asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tarpan_control::nodes;
use tarpan_model::alloc::{AllocUpdate, Allocation, ClientStatus};
use tarpan_model::node::DrainStrategy;
use tarpan_model::{AllocId, Dur, Job, Node, NodeId};
use tarpan_rpc::agent::agents_client::AgentsClient;
use tarpan_rpc::agent::{
    AllocVersion, BulkOpen, BulkUp, FromAgent, Heartbeat, Hello, HttpHead, OpenStream, Orders, Report, bulk_up,
    from_agent, from_server,
};
use tarpan_server::{Options, Server};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, Reply, State, Table};
use tarpan_testkit::allocs;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose nodes are given up on soon.
pub async fn server(data_dir: Option<&std::path::Path>) -> Server {
    let options = Options {
        data_dir: data_dir.map(Into::into),
        heartbeat_ttl: Duration::from_millis(300),
        heartbeat_grace: Duration::from_millis(300),
        failover_heartbeat_ttl: Duration::from_secs(3),
        ..Options::default()
    };
    Server::start(options).await.expect("starts")
}

/// Registers a job with its evaluation.
pub async fn register(server: &Server, job: Job) {
    let mut ids = || server.new_id();
    let mut eval = tarpan_testkit::evals::register(&job, &mut ids);
    eval.create_time = server.now();
    let now = server.now();
    let command = RegisterJob::of(job, Some(eval), now);
    let (_, reply) = server.propose(Command::RegisterJob(Box::new(command))).await.expect("committed");
    assert!(matches!(reply, Reply::Registered { .. }), "{reply:?}");
}

/// Reports every running allocation as healthy, as its node does once its checks passed.
pub async fn healthy(server: &Server) {
    let now = server.now();
    let state = server.state();
    let runs = state.allocs().filter(|a| a.client_status == ClientStatus::Running && !a.server_terminal());
    let updates =
        runs.map(|a| AllocUpdate { healthy: Some(true), ..allocs::report(a, ClientStatus::Running, now) }).collect();
    server.propose(Command::UpdateAllocs { updates, evals: Vec::new(), now }).await.expect("committed");
}

/// Starts to drain a node, as `PUT /v1/node/:id/drain` does.
pub async fn drain(server: &Server, node: NodeId, deadline: Dur) {
    let strategy = DrainStrategy { deadline, ..DrainStrategy::default() };
    let mut ids = || server.new_id();
    let command = nodes::set_drain(&server.state(), node, Some(strategy), false, server.now(), &mut ids);
    server.propose(command.expect("a known node")).await.expect("committed");
}

/// The first state of which `holds` is true.
pub async fn until(server: &Server, what: &str, holds: impl Fn(&State) -> bool) -> Arc<State> {
    let end = Instant::now() + PATIENCE;
    let mut state = server.state();
    while !holds(&state) {
        assert!(Instant::now() < end, "not in time: {what}");
        let tables = [Table::Jobs, Table::JobSummaries, Table::Evals, Table::Allocs, Table::Nodes, Table::Deployments];
        let watches: Vec<_> = tables.into_iter().map(tarpan_server::Watch::Table).collect();
        state = server.wait(&watches, state.index(), end).await;
    }
    state
}

/// One connected agent. Dropping it is `kill -9`.
pub struct FakeAgent {
    pub node: Node,
    pub allocs: Arc<Mutex<BTreeMap<AllocId, Allocation>>>,
    pub jobs: Arc<Mutex<Vec<Job>>>,
    task: JoinHandle<()>,
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What agents report of an allocation that is to run.
pub type Runs = fn(&Allocation) -> ClientStatus;

pub fn running(_: &Allocation) -> ClientStatus {
    ClientStatus::Running
}

impl FakeAgent {
    pub async fn start(server: &Server, node: Node, runs: Runs) -> FakeAgent {
        let channel = Channel::from_shared(format!("http://{}", server.rpc_addr())).expect("an address");
        let client = AgentsClient::new(channel.connect().await.expect("connects"));
        FakeAgent::on(client, node, runs, BTreeMap::new()).await
    }

    /// A session over a channel that may be shared, of an agent that holds `allocs`.
    pub async fn on(
        client: AgentsClient<Channel>,
        node: Node,
        runs: Runs,
        allocs: BTreeMap<AllocId, Allocation>,
    ) -> FakeAgent {
        let allocs = Arc::new(Mutex::new(allocs));
        let jobs = Arc::default();
        let task = tokio::spawn(live(client, node.clone(), runs, allocs.clone(), Arc::clone(&jobs)));
        FakeAgent { node, allocs, jobs, task }
    }

    pub fn held(&self) -> BTreeMap<AllocId, Allocation> {
        self.allocs.lock().expect("no panic").clone()
    }
}

async fn live(
    mut client: AgentsClient<Channel>,
    node: Node,
    runs: Runs,
    allocs: Arc<Mutex<BTreeMap<AllocId, Allocation>>>,
    jobs: Arc<Mutex<Vec<Job>>>,
) {
    let (up, receiver) = mpsc::channel(64);
    let have = allocs.lock().expect("no panic").values().map(version).collect();
    let hello = Hello { node: tarpan_rpc::pack(&node).into(), have, version: "test".to_owned(), ..Hello::default() };
    send(&up, from_agent::Body::Hello(hello)).await;
    let stream = client.session(ReceiverStream::new(receiver)).await.expect("a session");
    let mut down = stream.into_inner();
    let (mut seq, mut beat) = (0, tokio::time::interval(Duration::from_millis(100)));
    loop {
        let message = tokio::select! {
            message = down.message() => message,
            _ = beat.tick() => {
                seq += 1;
                send(&up, from_agent::Body::Heartbeat(Heartbeat { seq })).await;
                continue;
            }
        };
        match message {
            Ok(Some(message)) => match message.body {
                Some(from_server::Body::Orders(orders)) => {
                    let updates = take(&orders, runs, &allocs, &jobs);
                    if !updates.is_empty() {
                        seq += 1;
                        let report = Report { seq, updates: tarpan_rpc::pack(&updates).into() };
                        send(&up, from_agent::Body::Report(report)).await;
                    }
                }
                Some(from_server::Body::Open(open)) => {
                    tokio::spawn(echo(client.clone(), node.clone(), open));
                }
                _ => {}
            },
            Ok(None) | Err(_) => return,
        }
    }
}

fn version(alloc: &Allocation) -> AllocVersion {
    AllocVersion {
        alloc_id: Bytes::copy_from_slice(alloc.id.0.as_bytes()),
        alloc_modify_index: alloc.alloc_modify_index,
        astray: None,
    }
}

async fn send(up: &mpsc::Sender<FromAgent>, body: from_agent::Body) {
    let _ = up.send(FromAgent { body: Some(body) }).await;
}

/// Holds what the orders bring, and says what became of it.
fn take(
    orders: &Orders,
    runs: Runs,
    allocs: &Mutex<BTreeMap<AllocId, Allocation>>,
    jobs: &Mutex<Vec<Job>>,
) -> Vec<AllocUpdate> {
    let mut held = allocs.lock().expect("no panic");
    let now = tarpan_model::UnixNanos(1);
    if !orders.jobs.is_empty() {
        jobs.lock().expect("no panic").extend(tarpan_rpc::unpack::<Vec<Job>>(&orders.jobs).expect("jobs"));
    }
    let mut updates = Vec::new();
    if !orders.allocs.is_empty() {
        for alloc in tarpan_rpc::unpack::<Vec<Allocation>>(&orders.allocs).expect("allocations") {
            let status = if alloc.server_terminal() { ClientStatus::Complete } else { runs(&alloc) };
            updates.push(allocs::report(&alloc, status, now));
            held.insert(alloc.id, alloc);
        }
    }
    for id in &orders.forget {
        held.remove(&AllocId(uuid::Uuid::from_slice(id).expect("16 bytes")));
    }
    updates
}

/// A call of the agent of `node`.
pub fn as_node<T>(message: T, node: &Node) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let text = |id: String| id.parse::<tonic::metadata::AsciiMetadataValue>().expect("plain text");
    request.metadata_mut().insert(tarpan_rpc::NODE_HEADER, text(node.id.to_string()));
    request.metadata_mut().insert(tarpan_rpc::SECRET_HEADER, text(node.secret_id.to_string()));
    request
}

/// Answers a node request with its own method, path and body, then with what comes after it, until that ends.
async fn echo(mut client: AgentsClient<Channel>, node: Node, open: OpenStream) {
    let request = open.request.expect("a request");
    let (up, receiver) = mpsc::channel(8);
    let first = BulkOpen {
        stream_id: open.stream_id,
        node_id: Bytes::copy_from_slice(node.id.0.as_bytes()),
        node_secret: Bytes::copy_from_slice(node.secret_id.as_bytes()),
    };
    let headers = [("content-type".to_owned(), "text/plain".to_owned())].into();
    let said = format!("{} {} {}", request.method, request.path, String::from_utf8_lossy(&request.body));
    for body in [
        bulk_up::Body::Open(first),
        bulk_up::Body::Head(HttpHead { status: 201, headers }),
        bulk_up::Body::Data(said.into()),
    ] {
        let _ = up.send(BulkUp { body: Some(body) }).await;
    }
    let stream = as_node(ReceiverStream::new(receiver), &node);
    let mut down = client.bulk(stream).await.expect("a stream").into_inner();
    let mut up = Some(up);
    while let Ok(Some(message)) = down.message().await {
        let Some(tarpan_rpc::agent::bulk_down::Body::Data(data)) = message.body else { continue };
        if let Some(sender) = &up {
            let _ = sender.send(BulkUp { body: Some(bulk_up::Body::Data(data.clone())) }).await;
        }
        if data == "end" {
            up = None; // and the server ends the stream when it has read everything
        }
    }
}
