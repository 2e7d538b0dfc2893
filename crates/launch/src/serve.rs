//! The running agent: listeners first, then the roles, then signals until the end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use futures::future::BoxFuture;
use tarpan_agent::Agent;
use tarpan_config::AgentConfig;
use tarpan_config::sockaddr::Interfaces;
use tarpan_front::doors::Doors;
use tarpan_front::listen::{Front, Greeting, listen};
use tarpan_front::names::Names;
use tarpan_tls::Tls;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::Program;
use super::plan::{self, Addresses, Connections};
use crate::names;

/// How long an ending agent may tidy up before it is ended all the same.
const GRACE: Duration = Duration::from_secs(5);
/// How often the open file descriptors are counted.
const DESCRIPTORS_LOOK: Duration = Duration::from_secs(5);

/// Reads the configuration again; `None`: it can't be used, which was said.
type Reload = Arc<dyn Fn() -> Option<AgentConfig> + Send + Sync>;

/// How a program takes the server role.
pub trait ServerRole: Send + Sync {
    /// Errors are sentences.
    fn start<'a>(
        &'a self,
        config: &'a AgentConfig,
        addresses: &'a Addresses,
        connections: Connections,
        tls: &'a Arc<Tls>,
    ) -> BoxFuture<'a, Result<Arc<dyn RunningServer>, String>>;
}

/// A server in this process.
pub trait RunningServer: Send + Sync {
    fn rpc_addr(&self) -> SocketAddr;
    /// What it answers, with or without pages.
    fn router(&self, pages: bool) -> Router;
    /// Looks for the servers that its configuration names, until it has given up on them, which is a sentence.
    fn join(&self) -> BoxFuture<'static, Result<(), String>>;
    /// It goes for good.
    fn leave(&self) -> BoxFuture<'_, ()>;
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// Runs until a signal says otherwise. `reload` is called for each SIGHUP.
pub(crate) async fn run(config: AgentConfig, program: Program, reload: Reload) -> Result<(), String> {
    let mut signals = Signals::new()?;
    let mut running = start(config.clone(), &program).await.map_err(|text| format!("Error starting agent: {text}"))?;
    running.listeners.spawn(watch_descriptors());
    println!("==> Agent started! Log data will stream in below:\n");
    let mut joining = running.join();
    let leaves = loop {
        tokio::select! {
            event = signals.next() => match event {
                Event::Reload => {
                    if let Some(config) = reload() {
                        running.reload(&config);
                    }
                }
                Event::Interrupt => break config.leave_on_interrupt,
                Event::Terminate => break config.leave_on_terminate,
            },
            Some(failed) = joining.join_next() => {
                if let Ok(Err(why)) = failed {
                    running.stop(false).await;
                    return Err(format!("Error joining servers: {why}"));
                }
            }
        }
    };
    println!("==> Caught a signal: the agent ends");
    if leaves && !running.drained(&config, &mut signals).await {
        println!("==> Second signal: the agent ends at once");
        return Ok(());
    }
    tokio::select! {
        () = running.stop(leaves) => {}
        () = tokio::time::sleep(GRACE) => println!("==> The agent took too long to tidy up"),
        () = signals.end() => println!("==> Second signal: the agent ends at once"),
    }
    Ok(())
}

/// What one process runs.
struct Running {
    server: Option<Arc<dyn RunningServer>>,
    agent: Option<Agent>,
    tls: Arc<Tls>,
    listeners: JoinSet<()>,
    /// The data of a dev agent; it goes with the agent.
    scratch: Option<tempfile::TempDir>,
}

impl Running {
    /// Looks for the servers that the configuration names.
    fn join(&self) -> JoinSet<Result<(), String>> {
        let mut joining = JoinSet::new();
        if let Some(server) = &self.server {
            joining.spawn(server.join());
        }
        if let Some(agent) = &self.agent {
            let gave_up = agent.gave_up();
            joining.spawn(async move { Err(gave_up.await) });
        }
        joining
    }

    /// Drains the node where the configuration says so; `false`: a further signal came.
    async fn drained(&self, config: &AgentConfig, signals: &mut Signals) -> bool {
        let (Some(agent), Some(how)) = (&self.agent, plan::self_drain(config)) else { return true };
        let say = |sentence: String| println!("==> {sentence}");
        tokio::select! {
            done = agent.drain(how, &say) => match done {
                Ok(()) => println!("==> The node is drained"),
                Err(error) => println!("==> {error}"),
            },
            () = signals.end() => return false,
        }
        true
    }

    /// Takes what the files of the `tls` block hold now, for connections from here on.
    fn reload(&self, config: &AgentConfig) {
        match self.tls.reload(&plan::tls(config)) {
            Ok(()) if self.tls.rpc() || self.tls.http() => {
                tracing::info!("the certificates were read again: new connections use them");
                self.tls.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            Ok(()) => {}
            Err(error) => tracing::error!("{error}; the certificates that were read before stay in use"),
        }
    }

    /// `leaves`: the server goes for good.
    async fn stop(&mut self, leaves: bool) {
        if let Some(agent) = &self.agent {
            agent.shutdown().await;
        }
        if let Some(server) = &self.server {
            if leaves {
                server.leave().await;
            }
            server.shutdown().await;
        }
        self.listeners.abort_all();
        if let Some(scratch) = self.scratch.take() {
            let _ = scratch.close();
        }
    }
}

async fn start(mut config: AgentConfig, program: &Program) -> Result<Running, String> {
    let machine = Interfaces::of_this_machine();
    let mut addresses = plan::addresses(&config, &machine)?;
    let tls = Tls::load(&plan::tls(&config), plan::tls_roles(&config)).map_err(|e| e.to_string())?;
    tls.warnings().iter().for_each(|warning| println!("==> WARNING: {warning}"));
    if config.client.drain_on_shutdown.is_some() && !(config.leave_on_interrupt || config.leave_on_terminate) {
        println!(
            "==> WARNING: \"client.drain_on_shutdown\" is for an agent that leaves, and neither \"leave_on_interrupt\" nor \
             \"leave_on_terminate\" is set: a signal ends the agent, and its tasks go on"
        );
    }
    let connections = Connections::of(open_files());
    let mut sockets = Vec::new();
    for address in &mut addresses.http {
        let socket = TcpListener::bind(*address).await.map_err(|e| taken(*address, &e))?;
        *address = socket.local_addr().map_err(|e| e.to_string())?;
        sockets.push(socket);
    }
    if config.ports.http == 0 {
        // The port was the kernel's choice: tell others the one that it chose.
        config.ports.http = addresses.http.first().map_or(0, SocketAddr::port);
        addresses.http_advertise = plan::addresses(&config, &machine)?.http_advertise;
    }
    let server = match (config.server.enabled, &program.server) {
        (true, Some(role)) => Some(role.start(&config, &addresses, connections, &tls).await?),
        (true, None) => {
            return Err("this program runs the client role alone, and \"server.enabled\" (as -server and -dev set it) asks for the \
                server role: \"tarpan agent\" has both"
                .to_owned());
        }
        (false, _) => None,
    };
    if let Some(server) = &server {
        if addresses.rpc.port() == 0 {
            config.ports.rpc = server.rpc_addr().port();
            addresses.rpc_advertise = plan::addresses(&config, &machine)?.rpc_advertise;
        }
        addresses.rpc = server.rpc_addr();
    }
    let names = names::of_agent(&config, &addresses, &machine)?;
    let doors = Doors::new(config.limits.http_max_conns_per_client, connections.http);
    let patience = plan::handshake(config.limits.https_handshake_timeout);
    let greeting = tls.http().then(|| Greeting { tls: tls.clone(), patience });
    let mut listeners = JoinSet::new();
    let mut sockets = Some(sockets);
    if let Some(server) = &server {
        let app = front(server.router(config.ui.enabled), names.clone(), &config)?;
        listen(&mut listeners, sockets.take().unwrap_or_default(), &app, &doors, greeting.as_ref());
    }
    let (data_dir, scratch) = data_dir(&config)?;
    let agent = match config.client.enabled {
        true => {
            let rpc = server.as_ref().map(|server| server.rpc_addr());
            let options = plan::agent_options(&config, &addresses, &machine, rpc, data_dir, &tls)?;
            Some(Agent::start(options).await.map_err(|e| chain(&e))?)
        }
        false => None,
    };
    if let (Some(agent), Some(sockets)) = (&agent, sockets.take()) {
        let app = front(agent.forward_router(), names, &config)?;
        listen(&mut listeners, sockets, &app, &doors, greeting.as_ref());
    }
    let node_id = agent.as_ref().map(|a| a.node_id().to_string());
    println!("==> Agent configuration:\n");
    println!("{}\n", plan::banner(&config, &addresses, node_id.as_deref(), &program.version));
    Ok(Running { server, agent, tls, listeners, scratch })
}

/// Says when file descriptors run out, and when there are some again.
async fn watch_descriptors() {
    let mut before = None;
    loop {
        let trouble = tarpan_front::descriptors::trouble();
        match (&before, &trouble) {
            (None, Some(trouble)) => tracing::error!("{trouble}"),
            (Some(_), None) => tracing::warn!("there are enough file descriptors again"),
            _ => {}
        }
        before = trouble;
        tokio::time::sleep(DESCRIPTORS_LOOK).await;
    }
}

fn taken(address: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("{address} is in use: does another agent run on this machine?"),
        _ => format!("listening on {address}: {error}"),
    }
}

/// The configured directory; for a dev agent without one a directory that goes with it.
fn data_dir(config: &AgentConfig) -> Result<(PathBuf, Option<tempfile::TempDir>), String> {
    if let Some(dir) = &config.data_dir {
        std::fs::create_dir_all(dir).map_err(|e| format!("creating the data directory {}: {e}", dir.display()))?;
        return Ok((dir.clone(), None));
    }
    let scratch = tempfile::Builder::new().prefix(tarpan_agent::DEV_PREFIX).tempdir();
    let scratch = scratch.map_err(|e| format!("creating a temporary data directory: {e}"))?;
    // Tasks of any user have to get through to their directories.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o711)).map_err(|e| e.to_string())?;
    Ok((scratch.path().to_owned(), Some(scratch)))
}

/// `router` as a listener shows it, with the headers of `http_api_response_headers`.
fn front(router: Router, names: Names, config: &AgentConfig) -> Result<Arc<Front>, String> {
    let mut headers = Vec::new();
    for (name, value) in &config.http_api_response_headers {
        let bad = |_| format!("\"http_api_response_headers\": {name:?} is not a header");
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("\"http_api_response_headers\": {name:?} has a value that no header may have"))?;
        headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(bad)?, value));
    }
    Ok(Arc::new(Front::new(router, names, headers)))
}

/// How many files this process may have open.
fn open_files() -> u64 {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// An error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

enum Event {
    Reload,
    Interrupt,
    Terminate,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("Error starting agent: signals: {e}"));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Interrupt,
            _ = self.terminate.recv() => Event::Terminate,
            _ = self.hangup.recv() => Event::Reload,
        }
    }

    /// The next signal to end.
    async fn end(&mut self) {
        while let Event::Reload = self.next().await {}
    }
}
