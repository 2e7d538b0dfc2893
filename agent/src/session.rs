//! The agent's session: one stream to one server, for as long as both live.
//!
//! Down come orders; up go heartbeats, numbered reports that are kept until they are acknowledged, service registrations
//! and changes of the node. When it breaks, the next server of the list is tried. What is to be sent waits in the
//! [`outbox`]; who carries orders out is a [`Host`]. Bulk bytes go over a second connection ([`bulk`]).

pub mod bulk;
pub mod outbox;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use tarpan_model::{AllocId, Allocation, Job, Node};
use tarpan_rpc::agent::agents_client::AgentsClient;
use tarpan_rpc::agent::{self as rpc, from_agent, from_server};
use tarpan_tls::{Dialer, Tls};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

pub use outbox::Outbox;

/// How long a server has to answer a connection or the greeting.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent connection is tried, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Waits between tries grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A whole node's orders at once: a thousand allocations with large jobs stay below it.
const MESSAGE_BYTES: usize = 64 << 20;
/// Messages on their way up: the stream itself pushes back, so few are enough.
const UP: usize = 64;

pub type Client = AgentsClient<InterceptedService<Channel, Credentials>>;

/// Says with each call which node asks.
#[derive(Clone)]
pub struct Credentials {
    node: MetadataValue<Ascii>,
    secret: MetadataValue<Ascii>,
}

impl Credentials {
    fn of(node: &Node) -> Credentials {
        let text = |id: String| id.parse().expect("ids are plain text");
        Credentials { node: text(node.id.to_string()), secret: text(node.secret_id.to_string()) }
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert(tarpan_rpc::NODE_HEADER, self.node.clone());
        request.metadata_mut().insert(tarpan_rpc::SECRET_HEADER, self.secret.clone());
        Ok(request)
    }
}

/// New and changed allocations, each with its job linked.
#[derive(Debug, Default)]
pub struct Orders {
    pub allocs: Vec<Allocation>,
    pub forget: Vec<AllocId>,
    /// The servers have told everything there is for this node.
    pub complete: bool,
    /// The newest epochs of the servers' state, when there is one since the last time.
    pub epochs: Vec<rpc::Epoch>,
}

/// What an agent was told by the servers so far: see [`crate::history`].
#[derive(Debug, Default)]
pub struct Seen {
    pub index: u64,
    pub epochs: Vec<rpc::Epoch>,
    pub astray: std::collections::BTreeMap<AllocId, rpc::Astray>,
}

/// Who is behind a session: a real agent, or a simulated node.
pub trait Host: Send + Sync + 'static {
    fn node(&self) -> Arc<Node>;
    /// Allocations held, with the index each was last told at.
    fn have(&self) -> Vec<(AllocId, u64)>;
    /// Up to where the servers' state was told, over the host's own death. What keeps nothing has seen nothing.
    fn seen(&self) -> Seen {
        Seen::default()
    }
    /// The servers go on from this state. `forked_at`: it is not the one that was seen.
    fn told(&self, index: u64, epochs: &[rpc::Epoch], forked_at: Option<u64>) {
        let _ = (index, epochs, forked_at);
    }
    /// Must not block: it starts what takes long.
    fn orders(&self, orders: Orders);
    /// The session is up.
    fn welcomed(&self) {}
    /// A heartbeat was answered.
    fn alive(&self) {}
    /// The node's own routes; `None`: it has none.
    fn router(&self) -> Option<axum::Router> {
        None
    }
    /// Jobs already known, so that rows of an earlier session can be linked.
    fn known_job(&self, alloc: &Allocation) -> Option<Arc<Job>> {
        let _ = alloc;
        None
    }
}

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct Config {
    pub servers: Vec<String>,
    pub version: String,
    /// What the servers speak, and their region; `None`: they speak plainly.
    pub tls: Option<(Arc<Tls>, String)>,
    /// The longest wait between tries; in dev mode the server is in the same process and soon there.
    pub max_backoff: Duration,
    pub join: Join,
}

/// How servers are looked for until one has answered for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Between two tries; `None`: a short while at first, then longer.
    pub interval: Option<Duration>,
    /// After so many further rounds over all servers it is given up; 0: never.
    pub retries: u32,
}

/// A cheap handle on the session of one node.
#[derive(Clone)]
pub struct Session {
    pub outbox: Arc<Outbox>,
    channel: watch::Receiver<Option<Channel>>,
    credentials: Credentials,
    servers: Arc<Mutex<Vec<String>>>,
    gave_up: watch::Receiver<Option<String>>,
}

impl Session {
    /// Opens the session in the background and keeps it open until `stop` says otherwise.
    pub fn start(config: Config, host: Arc<dyn Host>, outbox: Arc<Outbox>, stop: watch::Receiver<bool>) -> Session {
        let (sender, channel) = watch::channel(None);
        let servers = Arc::new(Mutex::new(config.servers.clone()));
        let credentials = Credentials::of(&host.node());
        let (hopeless, gave_up) = watch::channel(None);
        let session = Session { outbox: outbox.clone(), channel, credentials, servers: servers.clone(), gave_up };
        let runner =
            Runner { config, host, outbox, servers, channel: sender, jobs: Jobs::default(), server: 0, hopeless };
        tokio::spawn(async move {
            let mut stop = stop;
            let stopped = async { stop.wait_for(|stop| *stop).await.map(drop) };
            tokio::select! {
                _ = stopped => {}
                () = runner.run() => {}
            }
        });
        session
    }

    /// For requests beside the session (watching services, forwarding HTTP): waits until there is a connection.
    pub async fn client(&self) -> Client {
        let mut channel = self.channel.clone();
        loop {
            if let Some(channel) = channel.borrow_and_update().clone() {
                return client(channel, self.credentials.clone());
            }
            if channel.changed().await.is_err() {
                // The session ended for good: nobody waits any more but those who end as well.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Like [`Session::client`], but `None` where there is no connection now.
    pub fn connected_client(&self) -> Option<Client> {
        self.channel.borrow().clone().map(|channel| client(channel, self.credentials.clone()))
    }

    /// Comes back, with a sentence, when the servers could not be reached as often as [`Join`] allows.
    pub fn gave_up(&self) -> impl Future<Output = String> + Send + use<> {
        let mut gave_up = self.gave_up.clone();
        async move {
            loop {
                if let Some(sentence) = gave_up.borrow_and_update().clone() {
                    return sentence;
                }
                if gave_up.changed().await.is_err() {
                    // The session ended otherwise.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    pub fn servers(&self) -> Vec<String> {
        self.servers.lock().expect("no panic while held").clone()
    }
}

fn client(channel: Channel, credentials: Credentials) -> Client {
    let client = AgentsClient::with_interceptor(channel, credentials);
    client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES)
}

/// Job versions that a session has sent: rows refer to them.
#[derive(Default)]
struct Jobs(std::collections::BTreeMap<(String, String, u64, u64), Arc<Job>>);

impl Jobs {
    fn key(job: &Job) -> (String, String, u64, u64) {
        (job.namespace().to_owned(), job.id().to_owned(), job.version(), job.create_index.unwrap_or(0))
    }

    /// The newest job of that id and version, whenever it was registered: rows of older servers do not say.
    fn any_incarnation(&self, key: &(String, String, u64, u64)) -> Option<Arc<Job>> {
        let at = |create_index| (key.0.clone(), key.1.clone(), key.2, create_index);
        self.0.range(at(0)..=at(u64::MAX)).next_back().map(|(_, job)| job.clone())
    }

    /// Links rows to their jobs. A version that is neither in this message nor known leaves its row out: the agent asks
    /// for the difference again by its inventory.
    fn link(&mut self, orders: &rpc::Orders, host: &dyn Host) -> Result<Orders, tarpan_rpc::UnpackError> {
        let sent: Vec<Job> = if orders.jobs.is_empty() { Vec::new() } else { tarpan_rpc::unpack(&orders.jobs)? };
        let fresh: Vec<Arc<Job>> = sent.into_iter().map(Arc::new).collect();
        for job in &fresh {
            self.0.insert(Jobs::key(job), job.clone());
        }
        let rows: Vec<Allocation> =
            if orders.allocs.is_empty() { Vec::new() } else { tarpan_rpc::unpack(&orders.allocs)? };
        let mut allocs = Vec::with_capacity(rows.len());
        for mut row in rows {
            let key = (
                row.namespace.as_str().to_owned(),
                row.job_id.as_str().to_owned(),
                row.job_version,
                row.job_create_index,
            );
            match self.0.get(&key).cloned().or_else(|| host.known_job(&row)).or_else(|| self.any_incarnation(&key)) {
                Some(job) => {
                    row.job = job;
                    allocs.push(row);
                }
                None => {
                    tracing::error!(alloc_id = %row.id, job_id = %row.job_id, version = row.job_version, "an allocation came without its job")
                }
            }
        }
        // Both sides forget together which versions were sent: children of periodic jobs would pile up otherwise. What
        // allocations still use is found by the host.
        if !orders.forget.is_empty() {
            self.0.clear();
        }
        let forget = orders.forget.iter().filter_map(|id| Some(AllocId(uuid::Uuid::from_slice(id).ok()?))).collect();
        Ok(Orders { allocs, forget, complete: orders.complete, epochs: orders.epochs.clone() })
    }
}

/// Why one connection is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("connecting")]
    Connect(#[source] tonic::transport::Error),
    #[error("the server refused or ended the session: {0}")]
    Status(String),
    #[error("the server refuses this agent: {0}")]
    Refused(String),
    #[error("the server closed the session")]
    Closed,
    #[error("the server did not answer in time")]
    Silent,
    #[error("a message of the server is not readable")]
    Unreadable(#[source] tarpan_rpc::UnpackError),
}

struct Runner {
    config: Config,
    host: Arc<dyn Host>,
    outbox: Arc<Outbox>,
    servers: Arc<Mutex<Vec<String>>>,
    channel: watch::Sender<Option<Channel>>,
    jobs: Jobs,
    server: usize,
    hopeless: watch::Sender<Option<String>>,
}

impl Runner {
    async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        let mut failures = 0u32;
        let mut met = false;
        loop {
            let Some(address) = self.next_server() else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let mut welcomed = false;
            let ended = self.connect(&address, &mut welcomed).await;
            self.channel.send_replace(None);
            if welcomed {
                backoff = BACKOFF.0;
                (failures, met) = (0, true);
            }
            failures += 1;
            if !met && self.enough(failures) {
                let sentence =
                    format!("no server answered in {failures} tries; the last was {address}: {}", crate::chain(&ended));
                self.hopeless.send_replace(Some(sentence));
                return;
            }
            // The first misses are the ordinary start of things: servers and agents come up together. A refusal is none of these.
            let first = if matches!(ended, Ended::Refused(_)) { 1 } else { 4 };
            if failures % 20 == first {
                tracing::warn!(server = address, "session: {}", crate::chain(&ended));
            } else if failures < 4 {
                tracing::debug!(server = address, "session: {}", crate::chain(&ended));
            }
            self.server = self.server.wrapping_add(1);
            let spread = rand::rng().random_range(0.75..1.25);
            let wait =
                self.config.join.interval.filter(|_| !met && self.round(failures)).unwrap_or(backoff.mul_f64(spread));
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF.1).min(self.config.max_backoff);
        }
    }

    /// Whether every server of the list was tried once more.
    fn round(&self, tries: u32) -> bool {
        let servers = self.servers.lock().expect("no panic while held").len().max(1);
        (tries as usize).is_multiple_of(servers)
    }

    /// One round, and as many again as are allowed.
    fn enough(&self, tries: u32) -> bool {
        let servers = self.servers.lock().expect("no panic while held").len().max(1);
        let rounds = tries as usize / servers;
        self.config.join.retries > 0 && rounds > self.config.join.retries as usize
    }

    fn next_server(&self) -> Option<String> {
        let servers = self.servers.lock().expect("no panic while held");
        (!servers.is_empty()).then(|| servers[self.server % servers.len()].clone())
    }

    async fn connect(&mut self, address: &str, welcomed: &mut bool) -> Ended {
        let dialer = self.config.tls.as_ref().map(|(tls, region)| Dialer::new(tls.clone(), region));
        let way = match endpoint(address) {
            Ok(endpoint) => Way { endpoint, dialer },
            Err(error) => return Ended::Connect(error),
        };
        let channel = match way.connect().await {
            Ok(channel) => channel,
            Err(error) => return Ended::Connect(error),
        };
        match self.talk(channel, way, welcomed).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn talk(
        &mut self,
        channel: Channel,
        way: Way,
        welcomed: &mut bool,
    ) -> Result<std::convert::Infallible, Ended> {
        let (up, stream) = mpsc::channel(UP);
        // The new session sends every job version again that it needs.
        self.jobs = Jobs::default();
        let node = self.host.node();
        let seen = self.host.seen();
        let have = versions(&*self.host, &seen);
        let told = have.iter().map(|have| have.alloc_modify_index).max().unwrap_or(0);
        let hello = rpc::Hello {
            node: tarpan_rpc::pack(&*node).into(),
            have,
            version: self.config.version.clone(),
            seen_index: seen.index.max(told),
            seen_epochs: seen.epochs,
        };
        let _ = up.send(message(from_agent::Body::Hello(hello))).await;
        let mut caller = client(channel.clone(), Credentials::of(&node));
        let mut down = match tokio::time::timeout(CONNECT, caller.session(ReceiverStream::new(stream))).await {
            Err(_) => return Err(Ended::Silent),
            Ok(Err(status)) => return Err(ended(&status)),
            Ok(Ok(response)) => response.into_inner(),
        };
        let mut line = Line {
            up,
            bulk: bulk::Bulk::new(&way, &node),
            ttl: Duration::from_secs(10),
            next_heartbeat: Instant::now() + CONNECT,
            unanswered: 0,
            heartbeat: 0,
        };
        self.outbox.reconnected();
        loop {
            let flush_at = self.outbox.flush_at();
            tokio::select! {
                biased;
                received = down.message() => {
                    let body = match received {
                        Err(status) => return Err(ended(&status)),
                        Ok(None) => return Err(Ended::Closed),
                        Ok(Some(message)) => message.body,
                    };
                    if let Some(from_server::Body::Welcome(_)) = &body {
                        *welcomed = true;
                        self.channel.send_replace(Some(channel.clone()));
                    }
                    self.receive(body, &mut line)?;
                }
                () = tokio::time::sleep_until(line.next_heartbeat) => line.beat(*welcomed).await?,
                () = async { tokio::time::sleep_until(flush_at.unwrap_or_else(Instant::now)).await }, if flush_at.is_some() && *welcomed => {
                    for body in self.outbox.take() {
                        line.send(body).await?;
                    }
                }
                () = self.outbox.changed() => {}
            }
        }
    }

    fn receive(&mut self, body: Option<from_server::Body>, line: &mut Line) -> Result<(), Ended> {
        match body {
            Some(from_server::Body::Welcome(welcome)) => {
                tracing::info!(servers = ?welcome.servers, "the session is open");
                line.answered(welcome.heartbeat_ttl_ms);
                self.learn(welcome.servers);
                if !welcome.epochs.is_empty() {
                    self.host.told(welcome.index, &welcome.epochs, welcome.forked_at);
                }
                if welcome.forked_at.is_some() {
                    let have = versions(&*self.host, &self.host.seen());
                    let inventory = from_agent::Body::Inventory(rpc::Inventory { have });
                    line.up.try_send(message(inventory)).map_err(|_| Ended::Closed)?;
                }
                self.host.welcomed();
                self.host.alive();
            }
            Some(from_server::Body::Heartbeat(ack)) => {
                line.answered(ack.heartbeat_ttl_ms);
                self.learn(ack.servers);
                self.host.alive();
            }
            Some(from_server::Body::Orders(orders)) => {
                let orders = self.jobs.link(&orders, &*self.host).map_err(Ended::Unreadable)?;
                self.host.orders(orders);
            }
            Some(from_server::Body::Ack(ack)) => self.outbox.acknowledged(ack.seq),
            Some(from_server::Body::Open(open)) => {
                line.bulk.answer(open, self.host.router(), line.up.clone());
            }
            None => {}
        }
        Ok(())
    }

    /// The server's list replaces ours: it knows who is there.
    fn learn(&mut self, servers: Vec<String>) {
        if !servers.is_empty() {
            let mut known = self.servers.lock().expect("no panic while held");
            if *known != servers {
                *known = servers;
                self.server = 0;
            }
        }
    }
}

fn ended(status: &tonic::Status) -> Ended {
    let text = match std::error::Error::source(status) {
        // The connection came to an end, and only the cause says why.
        Some(cause) => crate::chain(cause),
        None => status.message().to_owned(),
    };
    if status.code() == tonic::Code::PermissionDenied { Ended::Refused(text) } else { Ended::Status(text) }
}

/// How a server is reached.
struct Way {
    endpoint: Endpoint,
    /// Where it speaks TLS.
    dialer: Option<Dialer>,
}

impl Way {
    async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match &self.dialer {
            Some(dialer) => self.endpoint.connect_with_connector(dialer.clone()).await,
            None => self.endpoint.connect().await,
        }
    }

    /// Connects when it is first used.
    fn connect_lazy(&self) -> Channel {
        match &self.dialer {
            Some(dialer) => self.endpoint.connect_with_connector_lazy(dialer.clone()),
            None => self.endpoint.connect_lazy(),
        }
    }
}

fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        // A server whose machine is gone says nothing: who reads a log or types into a task must not wait for it for ever.
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_keepalive(Some(Duration::from_secs(30))))
}

/// What the host holds. An index of another history would be taken for one of the servers': it is left out.
fn versions(host: &dyn Host, seen: &Seen) -> Vec<rpc::AllocVersion> {
    let version = |(id, index): (AllocId, u64)| {
        let astray = seen.astray.get(&id).cloned();
        let alloc_modify_index = if astray.is_some() { 0 } else { index };
        rpc::AllocVersion { alloc_id: id.0.as_bytes().to_vec().into(), alloc_modify_index, astray }
    };
    host.have().into_iter().map(version).collect()
}

fn message(body: from_agent::Body) -> rpc::FromAgent {
    rpc::FromAgent { body: Some(body) }
}

/// The upper half of an open session, with its heartbeat.
struct Line {
    up: mpsc::Sender<rpc::FromAgent>,
    bulk: bulk::Bulk,
    ttl: Duration,
    next_heartbeat: Instant,
    unanswered: u32,
    heartbeat: u64,
}

impl Line {
    async fn send(&self, body: from_agent::Body) -> Result<(), Ended> {
        self.up.send(message(body)).await.map_err(|_| Ended::Closed)
    }

    async fn beat(&mut self, welcomed: bool) -> Result<(), Ended> {
        if !welcomed || self.unanswered >= 2 {
            return Err(Ended::Silent);
        }
        self.unanswered += 1;
        self.heartbeat += 1;
        self.schedule();
        self.send(from_agent::Body::Heartbeat(rpc::Heartbeat { seq: self.heartbeat })).await
    }

    fn answered(&mut self, ttl_ms: u64) {
        self.unanswered = 0;
        if ttl_ms > 0 {
            self.ttl = Duration::from_millis(ttl_ms);
        }
        self.schedule();
    }

    /// A little before the time to live is over, so that a late packet does not cost the node its health.
    fn schedule(&mut self) {
        self.next_heartbeat = Instant::now() + self.ttl.mul_f64(0.8);
    }
}
