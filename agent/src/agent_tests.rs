//! A whole agent against a server of the test's own, over real gRPC, with real processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use futures::Stream;
use serde_json::{Value, json};
use tarpan_model::alloc::AllocUpdate;
use tarpan_model::job::{Job, Service, Template, WorkloadIdentity};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, Node};
use tarpan_rpc::agent::agents_server::{Agents, AgentsServer};
use tarpan_rpc::agent::{
    Ack, AllocVersion, BulkDown, BulkUp, ClaimVolumeRequest, ClaimedVolume, DiskPart, DiskRequest, DrainRequest,
    DrainState, DrainWish, Epoch, FromAgent, FromServer, HeartbeatAck, HttpPart, HttpRequest, OpenStream, Orders,
    ServiceSet, SignIdentitiesRequest, SignedIdentities, WatchServiceRequest, Welcome, bulk_up, from_agent,
    from_server,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};
use tower::ServiceExt;

use crate::supervisor::{self, Pids};
use crate::test_support::{job, place, task};
use crate::{Agent, Options};

mod intake;
mod leaving;
mod networks;
mod walls;

/// How long something that will come is waited for, on a machine that is busy with other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the test's server has heard, and whom it can tell something.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) node: Option<Node>,
    pub(crate) have: Vec<(uuid::Uuid, u64)>,
    pub(crate) updates: Vec<(Instant, AllocUpdate)>,
    services: BTreeMap<String, ServiceRegistration>,
    pub(crate) down: Option<mpsc::Sender<Result<FromServer, Status>>>,
    pub(crate) sessions: usize,
    pub(crate) beats: usize,
    inventory: Vec<AllocVersion>,
    bulk: Vec<u8>,
    status: u32,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) heard: Arc<Mutex<Heard>>,
    /// Of which state the server says it is.
    history: Arc<Mutex<Welcome>>,
    acknowledge: Arc<std::sync::atomic::AtomicBool>,
    serving: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
    pub(crate) instances: watch::Sender<Vec<ServiceRegistration>>,
    /// What the node asked for of its own drain.
    drains: Arc<Mutex<Vec<Option<DrainWish>>>>,
    address: String,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let fake = Fake {
            heard: Arc::default(),
            history: Arc::default(),
            acknowledge: Arc::new(true.into()),
            serving: Arc::default(),
            instances: watch::Sender::new(Vec::new()),
            drains: Arc::default(),
            address,
        };
        let service = AgentsServer::new(fake.clone());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        *fake.serving.lock().expect("held") = Some(tokio::spawn(async move { drop(serving.await) }));
        fake
    }

    /// Nobody answers any more.
    pub(crate) fn vanish(&self) {
        self.serving.lock().expect("held").take().expect("there").abort();
        self.heard.lock().expect("held").down.take();
    }

    pub(crate) async fn tell(&self, body: from_server::Body) {
        let down = self.until("a session", |h| h.down.clone()).await;
        let _ = down.send(Ok(FromServer { body: Some(body) })).await;
    }

    pub(crate) async fn order(&self, alloc: &Allocation) {
        let orders = Orders {
            allocs: tarpan_rpc::pack(&vec![alloc]).into(),
            jobs: tarpan_rpc::pack(&vec![&*alloc.job]).into(),
            ..Orders::default()
        };
        self.tell(from_server::Body::Orders(orders)).await;
    }

    /// Waits until what was heard gives a value.
    pub(crate) async fn until<T>(&self, what: &str, f: impl Fn(&Heard) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = f(&self.heard.lock().expect("held")) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn status(&self, alloc: &Allocation, status: ClientStatus) -> AllocUpdate {
        let id = alloc.id;
        let found = |h: &Heard| {
            h.updates
                .iter()
                .rev()
                .find(|(_, u)| u.id == id)
                .filter(|(_, u)| u.client_status == status)
                .map(|(_, u)| u.clone())
        };
        self.until(&format!("{} to be {status}", alloc.name), found).await
    }
}

#[tonic::async_trait]
impl Agents for Fake {
    type SessionStream = ReceiverStream<Result<FromServer, Status>>;
    type BulkStream = Answers<BulkDown>;
    type DiskStream = Answers<DiskPart>;
    type WatchServiceStream = Answers<ServiceSet>;
    type HttpStream = Answers<HttpPart>;

    async fn session(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::SessionStream>, Status> {
        let (down, receiver) = mpsc::channel(64);
        let (fake, mut up) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(message)) = up.message().await {
                let answer = match message.body {
                    Some(from_agent::Body::Hello(hello)) => {
                        let mut heard = fake.heard.lock().expect("held");
                        heard.node = tarpan_rpc::unpack(&hello.node).ok();
                        heard.have = have(&hello);
                        heard.down = Some(down.clone());
                        heard.sessions += 1;
                        Some(from_server::Body::Welcome(Welcome {
                            heartbeat_ttl_ms: 1000,
                            servers: Vec::new(),
                            region: "global".to_owned(),
                            ..fake.history.lock().expect("held").clone()
                        }))
                    }
                    Some(from_agent::Body::Heartbeat(beat)) => {
                        fake.heard.lock().expect("held").beats += 1;
                        Some(from_server::Body::Heartbeat(HeartbeatAck {
                            seq: beat.seq,
                            heartbeat_ttl_ms: 1000,
                            servers: Vec::new(),
                        }))
                    }
                    Some(from_agent::Body::Report(report)) => {
                        let updates: Vec<AllocUpdate> = tarpan_rpc::unpack(&report.updates).expect("readable");
                        let now = Instant::now();
                        fake.heard.lock().expect("held").updates.extend(updates.into_iter().map(|u| (now, u)));
                        let ack = fake.acknowledge.load(std::sync::atomic::Ordering::SeqCst);
                        ack.then_some(from_server::Body::Ack(Ack { seq: report.seq }))
                    }
                    Some(from_agent::Body::Services(services)) => {
                        let mut heard = fake.heard.lock().expect("held");
                        let rows: Vec<ServiceRegistration> = tarpan_rpc::unpack(&services.upsert).expect("readable");
                        heard.services.extend(rows.into_iter().map(|r| (r.id.to_string(), r)));
                        services.delete.iter().for_each(|id| drop(heard.services.remove(id)));
                        Some(from_server::Body::Ack(Ack { seq: services.seq }))
                    }
                    Some(from_agent::Body::Inventory(inventory)) => {
                        fake.heard.lock().expect("held").inventory = inventory.have;
                        None
                    }
                    _ => None,
                };
                if let Some(body) = answer {
                    let _ = down.send(Ok(FromServer { body: Some(body) })).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn bulk(&self, request: Request<Streaming<BulkUp>>) -> Result<Response<Self::BulkStream>, Status> {
        let (fake, mut up) = (self.clone(), request.into_inner());
        let (done, ended) = mpsc::channel::<Result<BulkDown, Status>>(1);
        tokio::spawn(async move {
            let _done = done;
            while let Ok(Some(message)) = up.message().await {
                let mut heard = fake.heard.lock().expect("held");
                match message.body {
                    Some(bulk_up::Body::Head(head)) => heard.status = head.status,
                    Some(bulk_up::Body::Data(data)) => heard.bulk.extend_from_slice(&data),
                    _ => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(ended))))
    }

    async fn watch_service(
        &self,
        _: Request<WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let sets = WatchStream::new(self.instances.subscribe());
        Ok(Response::new(Box::pin(sets.map(|rows| Ok(ServiceSet { services: tarpan_rpc::pack(&rows).into() })))))
    }

    /// Who asks for what, as the token.
    async fn sign_identities(
        &self,
        request: Request<SignIdentitiesRequest>,
    ) -> Result<Response<SignedIdentities>, Status> {
        let asked = request.into_inner();
        let tokens = asked.names.iter().map(|name| format!("token of {} as {name}", asked.task)).collect();
        Ok(Response::new(SignedIdentities { tokens }))
    }

    async fn disk(&self, _: Request<DiskRequest>) -> Result<Response<Self::DiskStream>, Status> {
        Err(Status::not_found("the allocation that it replaces is not known any more"))
    }

    async fn claim_volume(&self, _: Request<ClaimVolumeRequest>) -> Result<Response<ClaimedVolume>, Status> {
        Err(Status::failed_precondition("there are no volumes"))
    }

    /// One look later it is drained.
    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainState>, Status> {
        if self.serving.lock().expect("held").is_none() {
            return Err(Status::unavailable("it has vanished"));
        }
        let mut drains = self.drains.lock().expect("held");
        drains.push(request.into_inner().wish);
        let draining = drains.len() < 3;
        Ok(Response::new(DrainState { draining, left: u32::from(draining) }))
    }

    async fn http(&self, _: Request<HttpRequest>) -> Result<Response<Self::HttpStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

fn have(hello: &tarpan_rpc::agent::Hello) -> Vec<(uuid::Uuid, u64)> {
    let id = |bytes: &[u8]| uuid::Uuid::from_slice(bytes).expect("16 bytes");
    hello.have.iter().map(|v| (id(&v.alloc_id), v.alloc_modify_index)).collect()
}

/// An agent's data directory. What still runs from it ends with it, also when a test fails halfway.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        Home(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// `pid.json` of every run that the directory knows.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let inside = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        inside(self.path().join("client/tasks")).flat_map(inside).map(|run| run.join("pid.json")).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let runs = self.runs().into_iter().filter_map(|path| std::fs::read(path).ok());
        for pids in runs.filter_map(|text| serde_json::from_slice::<Pids>(&text).ok()) {
            if supervisor::start_time(pids.task) == Some(pids.task_start) {
                // SAFETY: the group's id is the pid of the task, which was seen alive just now.
                unsafe { libc::kill(-(pids.task as i32), libc::SIGKILL) };
            }
        }
        // Secrets of tasks that nobody ended: the directory could not go.
        if let Ok(dir) =
            self.path().canonicalize().map_err(drop).and_then(|p| crate::ground::Dir::trusted(&p).map_err(drop))
        {
            dir.unmount_below();
        }
    }
}

pub(crate) fn options(fake: &Fake, dir: &Path) -> Options {
    Options {
        servers: vec![fake.address.clone()],
        data_dir: dir.to_owned(),
        network_interface: Some("lo".to_owned()),
        raw_exec_enabled: true,
        mock_driver: true,
        options: BTreeMap::from([("driver.denylist".to_owned(), "docker".to_owned())]),
        ..Options::default()
    }
}

pub(crate) fn script(name: &str, text: &str) -> tarpan_model::Task {
    task(name, "raw_exec", json!({"command": "/bin/sh", "args": ["-c", text]}))
}

pub(crate) fn alloc_of(job: Job) -> Allocation {
    place(&Arc::new(job), 0)
}

pub(crate) async fn get(agent: &Agent, path: &str) -> (u16, String) {
    send(agent, http::Request::get(path).body(Body::empty()).expect("a request")).await
}

/// Without any header.
async fn post(agent: &Agent, path: &str, body: &'static str) -> (u16, String) {
    send(agent, http::Request::post(path).body(Body::from(body)).expect("a request")).await
}

async fn send(agent: &Agent, request: http::Request<Body>) -> (u16, String) {
    let response = agent.router().oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

pub(crate) async fn stdout(agent: &Agent, alloc: &Allocation, task: &str) -> String {
    get(agent, &format!("/v1/client/fs/logs/{}?task={task}&type=stdout&plain=true", alloc.id)).await.1
}

pub(crate) fn stopped(alloc: &Allocation) -> Allocation {
    Allocation {
        desired_status: DesiredStatus::Stop,
        alloc_modify_index: alloc.alloc_modify_index + 1,
        ..alloc.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_answers_and_stops() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let mut web = script("web", "echo up $NOMAD_JOB_NAME $NOMAD_ALLOC_INDEX; exec sleep 60");
    web.services = Some(vec![Service {
        name: Some("web-svc".to_owned()),
        provider: Some("nomad".to_owned()),
        port_label: Some("8080".to_owned()),
        ..Service::default()
    }]);
    let alloc = alloc_of(job("web", "service", vec![web]));
    fake.until("the node", |h| h.node.clone()).await;
    let ordered = Instant::now();
    fake.order(&alloc).await;
    let update = fake.status(&alloc, ClientStatus::Running).await;
    let took = ordered.elapsed();
    assert!(took < Duration::from_secs(20), "running after {took:?}");
    let kinds: Vec<&str> = update.task_states["web"].events.iter().map(|e| &*e.kind).collect();
    assert_eq!(kinds, ["Received", "Task Setup", "Started"]);
    fake.until("the service", |h| h.services.values().find(|s| &*s.service_name == "web-svc").cloned()).await;

    let begun = Instant::now();
    while stdout(&agent, &alloc, "web").await != "up web 0\n" {
        assert!(begun.elapsed() < PATIENCE, "the log never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let allocs = agent.allocs();
    // Two looks make a rate.
    allocs.look_at_usage(1000.0).await;
    allocs.look_at_usage(1000.0).await;
    for (path, status, part) in [
        (format!("/v1/client/fs/ls/{}?path=/", alloc.id), 200, "\"Name\":\"alloc\""),
        (format!("/v1/client/fs/stat/{}", alloc.id), 400, "must provide a file name"),
        (format!("/v1/client/fs/cat/{}?path=alloc/logs/web.stdout.0", alloc.id), 200, "up web 0"),
        (
            format!("/v1/client/fs/cat/{}?path=web/secrets/x", alloc.id),
            403,
            "Reading secret file prohibited: web/secrets/x",
        ),
        (format!("/v1/client/fs/cat/{}?path=../../x", alloc.id), 200, "Path escapes the alloc directory"),
        (format!("/v1/client/fs/readat/{}?path=../../x&offset=0", alloc.id), 200, "Path escapes the alloc directory"),
        (format!("/v1/client/fs/readat/{}?path=alloc/logs/web.stdout.0", alloc.id), 200, "error parsing offset: "),
        (format!("/v1/client/fs/ls/{}?path=../..", alloc.id), 400, "Path escapes the alloc directory"),
        (format!("/v1/client/fs/logs/{}?task=nope&type=stdout", alloc.id), 400, "unknown task name \"nope\""),
        (format!("/v1/client/allocation/{}/checks", alloc.id), 200, "null"),
        (format!("/v1/client/fs/logs/{}?type=stdout", alloc.id), 400, "must provide task name"),
        (format!("/v1/client/fs/logs/{}?task=web", alloc.id), 400, "must provide log type (stdout/stderr)"),
        (format!("/v1/client/fs/logs/{}?task=x&type=stdout", uuid::Uuid::nil()), 404, "Unknown allocation"),
        (format!("/v1/client/allocation/{}/stats", alloc.id), 200, "\"Tasks\":{\"web\""),
        ("/v1/client/stats".to_owned(), 200, "\"Memory\""),
        (format!("/v1/client/allocation/{}/history?span=day", alloc.id), 200, "\"Tasks\":{\"web\":{\"CPU\":["),
        (format!("/v1/client/allocation/{}/history?span=week", alloc.id), 400, "neither \"hour\" nor \"day\""),
        ("/v1/client/history".to_owned(), 200, "\"Step\":10000000000,"),
    ] {
        let (got, body) = get(&agent, &path).await;
        assert!(got == status && body.contains(part), "{path}: {got} {body}");
    }

    let listed = get(&agent, &format!("/v1/client/fs/ls/{}?path=/alloc/logs", alloc.id)).await.1;
    assert!(listed.contains("web.stdout.0") && !listed.contains("ContentType"), "{listed}");
    // So the field's own command line sends it: without a Content-Type.
    let meta = post(&agent, "/v1/client/metadata", r#"{"Meta":{"rack":"7"}}"#).await;
    assert!(meta.0 == 200 && meta.1.contains(r#""rack":"7""#), "{meta:?}");
    let nothing = post(&agent, "/v1/client/metadata", "").await;
    assert_eq!(nothing, (400, "Request body is empty".to_owned()));

    // The same request through the session.
    let request = HttpRequest {
        method: "GET".to_owned(),
        path: format!("/v1/client/fs/logs/{}?task=web&type=stdout&plain=true", alloc.id),
        ..HttpRequest::default()
    };
    fake.tell(from_server::Body::Open(OpenStream { stream_id: 1, request: Some(request) })).await;
    fake.until("the log over the session", |h| (h.bulk == b"up web 0\n" && h.status == 200).then_some(())).await;

    fake.order(&stopped(&alloc)).await;
    let update = fake.status(&alloc, ClientStatus::Complete).await;
    let texts: Vec<&str> = update.task_states["web"].events.iter().map(|e| &*e.message).collect();
    assert_eq!(
        texts[3..],
        ["Sent interrupt. Waiting 5s before force killing", "Exit Code: 130, Signal: 2", "Task successfully killed"]
    );
    fake.until("the service to go", |h| h.services.is_empty().then_some(())).await;

    let forget = Orders { forget: vec![alloc.id.0.as_bytes().to_vec().into()], ..Orders::default() };
    fake.tell(from_server::Body::Orders(forget)).await;
    let root = dir.path().join("alloc").join(alloc.id.to_string());
    let begun = Instant::now();
    while root.exists() {
        assert!(begun.elapsed() < PATIENCE, "the directory stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.shutdown().await;
}

/// An agent without the server role answers for its node itself: it asks who wants to know, as servers do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nodes_own_routes_ask_who_calls() {
    use tarpan_api::routes::Access;
    use tarpan_api::routes::caller::{Caller, Grant, Token};
    fn identify(token: Option<&Token>) -> Caller {
        match token.map(Token::text) {
            Some("node") => Caller::Granted(vec![Grant::Node(Access::Read)]),
            Some(namespace) => {
                let (namespace, capability) = (namespace.to_owned(), "read-logs".to_owned());
                Caller::Granted(vec![Grant::Namespace { namespace, capability }])
            }
            None => Caller::anonymous(),
        }
    }
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let alloc = alloc_of(job("web", "service", vec![script("t", "sleep 60")]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    let logs = format!("/v1/client/fs/logs/{}?task=t&type=stdout&plain=true", alloc.id);
    let stats = format!("/v1/client/allocation/{}/stats", alloc.id);
    for (path, token, status) in [
        (logs.as_str(), "", 403),
        (&logs, "node", 403),
        (&logs, "other", 403),
        (&logs, "default", 200),
        (&stats, "default", 403),
        ("/v1/client/stats", "", 403),
        ("/v1/client/stats", "default", 403),
        ("/v1/client/stats", "node", 200),
    ] {
        let request = http::Request::get(path).header("x-nomad-token", token).body(Body::empty()).expect("a request");
        let answer = agent.forward_router_for(identify).oneshot(request).await.expect("infallible");
        assert_eq!(answer.status().as_u16(), status, "{path} as {token:?}");
    }
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_told_who_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let mut task =
        script("t", "echo \"$NOMAD_TOKEN\" \"$NOMAD_TOKEN_quiet\"; cat $NOMAD_SECRETS_DIR/nomad_api.jwt; sleep 60");
    let identity = |name: &str| WorkloadIdentity { name: Some(name.to_owned()), ..WorkloadIdentity::default() };
    task.identity = Some(WorkloadIdentity { env: Some(true), ..identity("default") });
    task.identities = Some(vec![identity("quiet"), WorkloadIdentity { file: Some(true), ..identity("api") }]);
    let alloc = alloc_of(job("who", "service", vec![task]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    let begun = Instant::now();
    while stdout(&agent, &alloc, "t").await != "token of t as default \ntoken of t as api" {
        assert!(begun.elapsed() < PATIENCE, "{}", stdout(&agent, &alloc, "t").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let file = dir.path().join("alloc").join(alloc.id.to_string()).join("t/secrets/nomad_api.jwt");
    let mode = std::fs::metadata(file).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_outlive_the_agent_and_their_logs_have_no_gap() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let alloc = alloc_of(job(
        "count",
        "service",
        vec![script("count", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")],
    ));
    let first = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let id = first.node_id();
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    first.shutdown().await;
    drop(first);
    assert_eq!(dir.runs().len(), 1);
    fake.heard.lock().expect("held").updates.clear();

    let begun = Instant::now();
    let second = loop {
        match Agent::start(options(&fake, dir.path())).await {
            Ok(agent) => break agent,
            // The first one's last tasks may still hold the store.
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(second.node_id(), id, "the node is the same");
    let update = fake.status(&alloc, ClientStatus::Running).await;
    assert_eq!(update.task_states["count"].restarts, 0);
    assert_eq!(dir.runs().len(), 1, "no second start");
    let before = stdout(&second, &alloc, "count").await.lines().count();
    let begun = Instant::now();
    let lines = loop {
        let log = stdout(&second, &alloc, "count").await;
        let lines: Vec<usize> = log.lines().filter_map(|l| l.parse().ok()).collect();
        if lines.len() > before + 10 {
            break lines;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the log does not go on: {lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(lines.iter().enumerate().all(|(i, n)| i == *n), "{lines:?}");
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_task_restarts_by_its_policy_and_says_why_it_stops() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let mut flaky = script("flaky", "exit 4");
    flaky.restart_policy = Some(tarpan_model::job::RestartPolicy {
        attempts: Some(1),
        delay: Some(tarpan_model::Dur::from_millis(50)),
        interval: Some(tarpan_model::Dur::from_secs(60)),
        mode: Some("fail".to_owned()),
        ..Default::default()
    });
    let alloc = alloc_of(job("flaky", "batch", vec![flaky]));
    fake.order(&alloc).await;
    let update = fake.status(&alloc, ClientStatus::Failed).await;
    let state = &update.task_states["flaky"];
    assert_eq!((state.restarts, state.failed), (1, true));
    let last = &state.events.last().expect("events").message;
    assert_eq!(&**last, "Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"");

    let bad = alloc_of(job("bad", "batch", vec![task("bad", "raw_exec", json!({"command": "/not/there"}))]));
    fake.order(&bad).await;
    let update = fake.status(&bad, ClientStatus::Failed).await;
    let events = &update.task_states["bad"].events;
    let told = events.iter().find(|e| &*e.kind == "Driver Failure").expect("told");
    assert!(
        told.message.starts_with("failed to start command /not/there: no such file or directory: it has to be"),
        "{told:?}"
    );

    let nobody = alloc_of(job("nobody", "batch", vec![task("x", "nodriver", Value::Object(Default::default()))]));
    fake.order(&nobody).await;
    let id = nobody.id;
    fake.until("the missing driver to be told", |h| {
        let events = h.updates.iter().filter(|(_, u)| u.id == id).flat_map(|(_, u)| u.task_states["x"].events.clone());
        events.into_iter().find(|e| e.message.contains("\"nodriver\" not found"))
    })
    .await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_wait_for_services_and_follow_them() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let alloc = {
        let mut reader = script("reader", "echo redis at $REDIS; exec sleep 60");
        reader.templates = Some(vec![Template {
            embedded_tmpl: Some(
                "{{ range nomadService \"redis-svc\" }}REDIS={{ .Address }}:{{ .Port }}\n{{ end }}".to_owned(),
            ),
            dest_path: Some("local/env.txt".to_owned()),
            envvars: Some(true),
            splay: Some(tarpan_model::Dur::ZERO),
            ..Template::default()
        }]);
        alloc_of(job("reader", "service", vec![reader]))
    };
    let instance = |port: u16| ServiceRegistration {
        id: Arc::from("r"),
        service_name: Arc::from("redis-svc"),
        namespace: "default".into(),
        node_id: alloc.node_id,
        datacenter: Arc::from("dc1"),
        job_id: "redis".into(),
        alloc_id: alloc.id,
        tags: Vec::new(),
        address: Arc::from("10.0.0.1"),
        port,
        create_index: 0,
        modify_index: 0,
    };
    fake.instances.send_replace(vec![instance(1)]);
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    fake.instances.send_replace(vec![instance(2)]);
    let id = alloc.id;
    fake.until("the restart", |h| {
        let state = h.updates.iter().rev().find(|(_, u)| u.id == id)?.1.task_states["reader"].clone();
        (state.restarts == 1 && state.state.as_str() == "running").then_some(())
    })
    .await;
    let begun = Instant::now();
    while stdout(&agent, &alloc, "reader").await != "redis at 10.0.0.1:1\nredis at 10.0.0.1:2\n" {
        assert!(begun.elapsed() < PATIENCE, "{}", stdout(&agent, &alloc, "reader").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fake.order(&stopped(&alloc)).await;
    fake.status(&alloc, ClientStatus::Complete).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_is_told_the_next_session() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let agent = Agent::start(Options { dev: true, ..options(&fake, dir.path()) }).await.expect("starts");
    fake.until("a session", |h| h.down.clone()).await;
    fake.acknowledge.store(false, std::sync::atomic::Ordering::SeqCst);
    let alloc = alloc_of(job("pretend", "service", vec![task("t", "mock_driver", json!({}))]));
    fake.order(&alloc).await;
    fake.status(&alloc, ClientStatus::Running).await;
    let down = {
        let mut heard = fake.heard.lock().expect("held");
        heard.updates.clear();
        heard.down.take().expect("open")
    };
    fake.acknowledge.store(true, std::sync::atomic::Ordering::SeqCst);
    let _ = down.send(Err(Status::unavailable("the test breaks it"))).await;
    fake.status(&alloc, ClientStatus::Running).await;
    assert_eq!(fake.heard.lock().expect("held").sessions, 2);
    // A dev agent takes its tasks with it.
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_an_older_state_are_told_what_they_do_not_know_and_nothing_ends() {
    let (fake, dir) = (Fake::start().await, Home::new());
    let epoch = |id: u8, start| Epoch { id: vec![id; 16].into(), start };
    let told = |index, epochs, forked_at| Welcome { index, epochs, forked_at, ..Welcome::default() };
    *fake.history.lock().expect("held") = told(10, vec![epoch(1, 1)], None);
    let agent = Agent::start(options(&fake, dir.path())).await.expect("starts");
    let at = |index, alloc: Allocation| Allocation { create_index: index, alloc_modify_index: index, ..alloc };
    let older = at(11, alloc_of(job("older", "service", vec![script("older", "exec sleep 60")])));
    let newer = at(40, alloc_of(job("newer", "service", vec![script("newer", "exec sleep 60")])));
    for alloc in [&older, &newer] {
        fake.order(alloc).await;
        fake.status(alloc, ClientStatus::Running).await;
    }

    *fake.history.lock().expect("held") = told(22, vec![epoch(1, 1), epoch(2, 20)], Some(20));
    fake.heard.lock().expect("held").updates.clear();
    let down = fake.until("a session", |h| h.down.clone()).await;
    let _ = down.send(Err(Status::unavailable("the server starts again"))).await;
    drop(down);
    let have = fake.until("an inventory", |h| (!h.inventory.is_empty()).then(|| h.inventory.clone())).await;
    let of = |alloc: &Allocation| have.iter().find(|v| v.alloc_id == alloc.id.0.as_bytes()[..]).expect("held").clone();
    assert_eq!((of(&older).alloc_modify_index, of(&older).astray), (11, None));
    let astray = of(&newer).astray.expect("it is astray");
    assert_eq!((astray.since, astray.create_index, astray.job_id.as_str()), (20, 40, "newer"));
    assert_eq!(of(&newer).alloc_modify_index, 0, "an index of the other history says nothing");

    // What was reported into the other history is reported again, where there is somebody to know it.
    fake.status(&older, ClientStatus::Running).await;
    let silent = |h: &Heard| !h.updates.iter().any(|(_, u)| u.id == newer.id);
    assert!(silent(&fake.heard.lock().expect("held")), "a report that nobody can place is kept");
    fake.order(&at(21, newer.clone())).await;
    let update = fake.status(&newer, ClientStatus::Running).await;
    assert_eq!(update.task_states["newer"].restarts, 0, "it ran all the while");
    agent.shutdown().await;
}
