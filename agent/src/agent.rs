//! The agent of one node: a cheap handle on everything it runs.

#![allow(clippy::disallowed_methods, reason = "the agent's own data_dir")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_model::{Node, NodeId};
use tokio::sync::watch;

use crate::abandoned;
use crate::allocs::Allocs;
use crate::context::{Context, apply_meta};
use crate::cores::Cores;
use crate::csi::Plugins;
use crate::devices::{self, Devices, Nvidia, Source, nvidia};
use crate::drain::{SelfDrain, Unfinished};
use crate::driver::{
    Driver, docker, exec::Exec, external::External, java::Java, mock::Mock, qemu::Qemu, raw_exec::RawExec,
};
use crate::history::History;
use crate::host::NodeHost;
use crate::kept_logs::KeptLogs;
use crate::network::Networks;
use crate::options::Options;
use crate::plugin::{self, Plugin};
use crate::runner::setup::Hooks;
use crate::session::outbox::Batching;
use crate::session::{self, Outbox, Session};
use crate::store::{Identity, Opened, Store};
use crate::volumes::HostVolumes;

/// Drivers that an agent has itself, whatever its configuration allows.
const OWN_DRIVERS: [&str; 6] = ["docker", "exec", "java", "mock_driver", "qemu", "raw_exec"];
/// How long an ending agent waits for its drivers.
const PARTING: Duration = Duration::from_secs(15);
/// How often drivers are looked at again.
const DRIVER_CHECK: Duration = Duration::from_secs(10);
/// How often drivers look after what nobody asks for, and how long one may take over it.
const UPKEEP: Duration = Duration::from_secs(20);
const UPKEEP_PATIENCE: Duration = Duration::from_secs(300);
/// How long the first look at all drivers may take before the node registers without the slow ones.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How often it is looked whether the rules of bridge networks are still there.
const RULES_CHECK: Duration = Duration::from_secs(10);
/// How long an ending agent waits for its disk.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// Artifacts fetched at the same time by one agent.
const DOWNLOADS: usize = 8;

/// What was wrong with the agent's own state at its start; not there when nothing was.
const STATE_ATTRIBUTE: &str = "unique.agent.state_damage";

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("creating {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the state of this agent can't be used")]
    State(#[from] crate::store::OpenError),
    #[error("this node can't be told from others")]
    Identity(#[from] crate::identity::IdentityError),
    #[error(transparent)]
    NoInterface(#[from] crate::fingerprint::NoInterface),
    #[error("the configuration of plugin {name:?} is not understood")]
    Plugin {
        name: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

/// A running agent.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    id: NodeId,
    allocs: Arc<Allocs>,
    session: Session,
    stop: watch::Sender<bool>,
    /// What tells others that this dev agent lives.
    _living: Option<abandoned::Lock>,
}

impl Agent {
    /// Fingerprints the node, takes up again what an earlier agent ran, and opens the session in the background.
    ///
    /// A box, so that all of it is compiled here and not by who awaits it.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Agent, StartError>> {
        Box::pin(Agent::start_with(options, Hooks::default()))
    }

    /// `hooks`: what allocations and tasks are set up by.
    pub(crate) async fn start_with(options: Options, hooks: Hooks) -> Result<Agent, StartError> {
        let (state_dir, alloc_root) = (options.state_dir(), options.alloc_dir());
        for dir in [&state_dir, &alloc_root] {
            std::fs::create_dir_all(dir).map_err(|source| StartError::Directory { path: dir.clone(), source })?;
        }
        let state_dir = state_dir.canonicalize().unwrap_or(state_dir);
        let alloc_root = alloc_root.canonicalize().unwrap_or(alloc_root);
        let swept = alloc_root.clone();
        crate::blocking(move || crate::artifact::sweep(&swept)).await;
        let Opened { store, mut records, mut damage } = match options.dev {
            true => Opened { store: Store::none(), records: Vec::new(), damage: Vec::new() },
            false => Store::open(&state_dir.join("state"))?,
        };
        if !options.dev && damage.is_empty() && store.identity().is_none() && state_dir.join("client-id").exists() {
            damage.push(format!(
                "the state of this agent in {} is empty although this node ran before: what runs is found by looking at the machine",
                state_dir.display()
            ));
        }
        let Identity { id, secret } = crate::identity::of_node(&state_dir, options.dev, &store, &mut damage)?;
        let id = NodeId(id);
        crate::fingerprint::wait_for_interface(&options).await;
        let mut node = crate::fingerprint::node(&options, id, secret)?;
        let dynamic_meta = store.node_meta();
        apply_meta(&mut node, &dynamic_meta);
        for sentence in &damage {
            tracing::error!("{sentence}");
        }
        if !damage.is_empty() {
            node.attributes.insert(Arc::from(STATE_ATTRIBUTE), Arc::from(damage.join("; ")));
        }
        let (bridge, cni, dir) = (options.bridge.clone(), options.cni.clone(), state_dir.clone());
        let networks = Arc::new(crate::blocking(move || Networks::look(bridge, cni, &dir)).await);
        let mut node = described(&networks, node).await.0;
        let volumes = HostVolumes::open(&options, store.clone());
        let volumes = volumes.map_err(|source| StartError::Directory { path: options.host_volumes_dir(), source })?;
        let volumes = Arc::new(volumes);
        let mut drivers = drivers(&options, &state_dir)?;
        let plugins = plugins(&options, &drivers, &state_dir, id).await;
        let devices = devices(&options, &plugins)?;
        let external = |plugin: Arc<Plugin>| (plugin.name.clone(), Arc::new(External::new(plugin)) as Arc<dyn Driver>);
        drivers.extend(plugins.into_iter().map(external));
        tokio::join!(look_at(&drivers, &mut node, FIRST_LOOK), volumes.first_look());
        volumes.describe(&mut node);
        devices.look(&mut node, FIRST_LOOK).await;
        let csi_root = state_dir.join("csi");
        std::fs::create_dir_all(&csi_root)
            .map_err(|source| StartError::Directory { path: csi_root.clone(), source })?;
        let (dir, keep) = (state_dir.clone(), options.gc.keep_logs);
        let kept_logs = crate::blocking(move || KeptLogs::open(&dir, keep)).await;
        let outbox = Arc::new(Outbox::new(Batching::default()));
        let (stop, stopped) = watch::channel(false);
        let cgroup_parent = crate::fingerprint::cgroup_parent(&options);
        let cores = Cores::new(&cgroup_parent, crate::fingerprint::own_cores(), &options.reserved.cores);
        let context = Arc::new(Context {
            cgroup_parent,
            cores,
            outbox: outbox.clone(),
            csi: Arc::new(Plugins::new(csi_root, store.clone())),
            store,
            drivers,
            neighbours: Default::default(),
            networks,
            volumes,
            devices,
            resolvers: OnceLock::new(),
            contacted: watch::Sender::new(false),
            session: tokio::sync::SetOnce::new(),
            alloc_root,
            state_dir,
            node: RwLock::new(Arc::new(node)),
            dynamic_meta: Mutex::new(dynamic_meta),
            kept_logs,
            events: Mutex::default(),
            crowd: tokio::sync::Notify::new(),
            downloads: tokio::sync::Semaphore::new(DOWNLOADS),
            options,
        });
        let living = clean_after_dev_agents(&context).await;
        let found = match context.options.dev {
            true => Default::default(),
            false => crate::found::look(&context, &mut records).await,
        };
        records.iter().filter(|record| !record.alloc.terminal()).for_each(|record| context.cores.take(&record.alloc));
        crate::blocking({
            let context = context.clone();
            move || context.cores.divide()
        })
        .await;
        let ids: Vec<_> = records.iter().map(|r| r.alloc.id).chain(found.keys().copied()).collect();
        crate::found::clean_networks(&context, || ids.iter().copied().collect()).await;
        let history = History::open(&context.store);
        let allocs = Arc::new(Allocs::new(context.clone(), hooks, history, found));
        answer_names(&allocs, &stopped);
        records.into_iter().for_each(|record| drop(allocs.restore(record)));
        outbox.hold_back(allocs.history.seen().astray.into_keys());
        let config = session::Config {
            servers: context.options.servers.clone(),
            version: context.options.version.clone(),
            tls: context.options.rpc_tls.clone().map(|tls| (tls, context.options.region.clone())),
            max_backoff: Duration::from_secs(if context.options.dev { 1 } else { 5 }),
            join: context.options.join,
        };
        let host = Arc::new(NodeHost::new(allocs.clone()));
        let session = Session::start(config, host, outbox, stopped.clone());
        let _ = context.session.set(session.clone());
        for driver in context.drivers.values() {
            tokio::spawn(look_after(driver.clone(), stopped.clone()));
            tokio::spawn(crate::found::end_strays(allocs.clone(), driver.clone(), stopped.clone()));
        }
        let told = context.clone();
        tokio::spawn(context.volumes.clone().watch(move || told.volumes_changed(), stopped.clone()));
        tokio::spawn(watch_rules(context.clone(), stopped.clone()));
        tokio::spawn(watch_drivers(context, stopped.clone()));
        tokio::spawn(crate::gc::run(allocs.clone(), stopped.clone()));
        tokio::spawn(allocs.clone().watch_usage(stopped.clone()));
        tokio::spawn(crate::found::sweep(allocs.clone(), stopped));
        Ok(Agent { inner: Arc::new(Inner { id, allocs, session, stop, _living: living }) })
    }

    pub fn node_id(&self) -> NodeId {
        self.inner.id
    }

    #[cfg(test)]
    pub(crate) fn allocs(&self) -> &Arc<Allocs> {
        &self.inner.allocs
    }

    /// The node as last fingerprinted.
    pub fn node(&self) -> Arc<Node> {
        self.inner.allocs.context.node()
    }

    /// The node's own `/v1/client/…` routes: what its HTTP listener and its session answer with.
    pub fn router(&self) -> axum::Router {
        crate::http::router(self.inner.allocs.clone())
    }

    /// For an agent without the server role: its own routes here, everything else by a server.
    pub fn forward_router(&self) -> axum::Router {
        crate::http::forwarding(self.inner.allocs.clone(), self.inner.session.clone())
    }

    /// The same for callers that `identify` knows.
    #[cfg(test)]
    pub(crate) fn forward_router_for(&self, identify: tarpan_api::routes::caller::Identify) -> axum::Router {
        crate::http::forwarding_for(self.inner.allocs.clone(), self.inner.session.clone(), identify)
    }

    /// Servers that the session knows, the current list.
    pub fn servers(&self) -> Vec<String> {
        self.inner.session.servers()
    }

    /// Has the servers move what runs here, and waits for it; `say` is told how far it is.
    pub fn drain<'a>(
        &'a self,
        how: SelfDrain,
        say: &'a (dyn Fn(String) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), Unfinished>> {
        Box::pin(crate::drain::drain(&self.inner.allocs, &self.inner.session, how, say))
    }

    /// Comes back when the servers could not be reached as often as the configuration says: a sentence.
    pub fn gave_up(&self) -> BoxFuture<'static, String> {
        Box::pin(self.inner.session.gave_up())
    }

    /// Ends the session. Tasks go on, except in dev mode, where they are stopped.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.end())
    }

    async fn end(&self) {
        let context = &self.inner.allocs.context;
        let runners = self.inner.allocs.all();
        if context.options.dev {
            runners.iter().for_each(|r| r.stop());
            let all = futures::future::join_all(runners.iter().map(|r| r.wait_finished()));
            let longest = context.options.max_kill_timeout + Duration::from_secs(5);
            let _ = tokio::time::timeout(longest, all).await;
        }
        runners.iter().for_each(|r| r.leave());
        let parting =
            futures::future::join_all(context.drivers.values().map(|driver| driver.part(context.options.dev)));
        let _ = tokio::time::timeout(PARTING, parting).await;
        let networks = context.networks.clone();
        if let Err(error) = crate::blocking(move || networks.leave()).await {
            tracing::warn!("removing the bridge that nothing is on any more: {error}");
        }
        self.inner.stop.send_replace(true);
        // What a disk that hangs does not take now, the next agent finds out as after a crash.
        if tokio::time::timeout(LAST_FLUSH, context.store.flush()).await.is_err() {
            tracing::warn!("the disk did not take this agent's state in time: the next agent looks at what runs");
        }
    }
}

/// Answers names of services where tasks of bridge networks can ask for them.
fn answer_names(allocs: &Arc<Allocs>, stopped: &watch::Receiver<bool>) {
    let context = &allocs.context;
    let Some(port) = context.options.names else { return };
    let at = crate::names::serve(allocs, &context.networks.gateways(), port, stopped);
    // Libraries ask at this port and at no other.
    let told = if port == 53 { at } else { Vec::new() };
    let _ = context.resolvers.set(told);
}

/// The `plugin` block of one of our own.
fn plugin_config<T: serde::de::DeserializeOwned + Default>(
    options: &Options,
    name: &'static str,
) -> Result<T, StartError> {
    match options.drivers.get(name) {
        None | Some(serde_json::Value::Null) => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone()).map_err(|source| StartError::Plugin { name, source }),
    }
}

fn drivers(options: &Options, state_dir: &Path) -> Result<BTreeMap<String, Arc<dyn Driver>>, StartError> {
    let legacy = options.legacy_flag("driver.raw_exec.enable").unwrap_or(false);
    let raw_exec = RawExec::new(plugin_config(options, "raw_exec")?, options.raw_exec_enabled || legacy);
    let mut docker: docker::PluginConfig = plugin_config(options, "docker")?;
    if let Some(enabled) = options.legacy_flag("docker.volumes.enabled") {
        docker.volumes.enabled = enabled;
    }
    if let Some(enabled) = options.legacy_flag("docker.privileged.enabled") {
        docker.allow_privileged = enabled;
    }
    if options.dev && !options.drivers.contains_key("docker") {
        docker.volumes.enabled = true;
    }
    let docker = docker::DockerDriver::new(docker).remembering(state_dir);
    let chroot = crate::driver::chroot(&options.chroot_env);
    let mut all: Vec<Arc<dyn Driver>> = vec![
        Arc::new(raw_exec),
        Arc::new(Exec::new(plugin_config(options, "exec")?, chroot.clone())),
        Arc::new(Java::new(plugin_config(options, "java")?, chroot)),
        Arc::new(Qemu::new(plugin_config(options, "qemu")?)),
        Arc::new(docker),
    ];
    if options.mock_driver {
        all.push(Arc::new(Mock));
    }
    Ok(all.into_iter().filter(|d| options.keeps_driver(d.name())).map(|d| (d.name().to_owned(), d)).collect())
}

/// Starts the plugins, each a driver until it says that it is none. Waits a while until they have said so.
async fn plugins(
    options: &Options,
    own: &BTreeMap<String, Arc<dyn Driver>>,
    state_dir: &Path,
    id: NodeId,
) -> Vec<Arc<Plugin>> {
    let Some(dir) = options.plugin_dir.clone() else { return Vec::new() };
    let setup = plugin::Setup { dir, homes: state_dir.join("plugins"), node_id: id.to_string() };
    let builtin = OWN_DRIVERS.into_iter().chain(own.keys().map(String::as_str)).collect::<Vec<_>>();
    // A program that knows the same devices is used instead of the agent's own.
    let blocks = options.drivers.keys().filter(|name| *name != nvidia::NAME);
    let mut names = plugin::names(&setup.dir, blocks, &builtin);
    names.retain(|name| options.keeps_driver(name));
    plugin::end_others(&setup.homes, &names).await;
    let one = |name: String| {
        let args = options.plugin_args.get(&name).cloned().unwrap_or_default();
        let config = options.drivers.get(&name).cloned().unwrap_or_default();
        let plugin = Plugin::new(&setup, &name, args, config);
        tokio::spawn(plugin.clone().keep());
        plugin
    };
    let plugins: Vec<Arc<Plugin>> = names.into_iter().map(one).collect();
    futures::future::join_all(plugins.iter().map(|plugin| plugin.settled(FIRST_LOOK))).await;
    plugins
}

/// Everybody who knows devices of the node.
fn devices(options: &Options, plugins: &[Arc<Plugin>]) -> Result<Devices, StartError> {
    let external = plugins.iter().map(|plugin| Arc::new(devices::External::new(plugin.clone())) as Arc<dyn Source>);
    let mut sources: Vec<Arc<dyn Source>> = external.collect();
    if !plugins.iter().any(|plugin| plugin.name == nvidia::NAME) {
        sources.push(Arc::new(Nvidia::new(plugin_config(options, nvidia::NAME)?, Path::new("/"))));
    }
    Ok(Devices::new(sources))
}

/// Asks every driver how it is; whether the node changed by it.
pub(crate) async fn look_at(drivers: &BTreeMap<String, Arc<dyn Driver>>, node: &mut Node, patience: Duration) -> bool {
    let one = |driver: Arc<dyn Driver>| async move {
        let found = tokio::time::timeout(patience, driver.fingerprint()).await;
        (driver, found.unwrap_or_else(|_| crate::driver::undetected("it does not answer")))
    };
    let all = futures::future::join_all(drivers.values().cloned().map(one)).await;
    let mut changed = false;
    for (driver, mut info) in all {
        let name = driver.name();
        if !driver.is_there() {
            changed |= node.drivers.remove(name).is_some();
            continue;
        }
        let same = node.drivers.get(name).is_some_and(|old| {
            info.update_time = if (old.detected, old.healthy) == (info.detected, info.healthy) {
                old.update_time
            } else {
                info.update_time
            };
            *old == info
        });
        if same {
            continue;
        }
        changed = true;
        let prefix = format!("driver.{name}");
        node.attributes.retain(|key, _| **key != *prefix && !key.starts_with(&format!("{prefix}.")));
        if info.detected {
            node.attributes.extend(info.attributes.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        node.drivers.insert(Arc::from(name), info);
    }
    changed
}

async fn look_after(driver: Arc<dyn Driver>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(UPKEEP) => {}
        }
        if tokio::time::timeout(UPKEEP_PATIENCE, driver.upkeep()).await.is_err() {
            tracing::warn!(driver = driver.name(), "it does not get done with what it removes");
        }
    }
}

/// A dev agent remembers nothing, and nobody remembers what one that was killed ran: the next one ends it. Gives what says
/// that this one lives.
async fn clean_after_dev_agents(context: &Context) -> Option<abandoned::Lock> {
    if !context.options.dev {
        return None;
    }
    let temp = std::env::temp_dir();
    for dir in abandoned::clean(&temp, &context.drivers, &context.networks, &context.cgroup_parent).await {
        let dir = dir.display();
        context.tell(
            "Strays",
            format!(
                "a dev agent that was killed had left tasks, networks or files in {dir}: they were ended and removed"
            ),
        );
    }
    let held = abandoned::hold(&context.state_dir);
    held.inspect_err(|error| tracing::warn!("saying that this dev agent lives: {error}")).ok()
}

/// Puts the rules of bridge networks back where others take them away: a firewall that is loaded anew knows nothing of them.
async fn watch_rules(context: Arc<Context>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(RULES_CHECK) => {}
        }
        let networks = context.networks.clone();
        match crate::blocking(move || networks.mend()).await {
            Ok(0) => {}
            Ok(count) => context.tell(
                "Networks",
                format!(
                    "rules of bridge networks were gone from the machine's packet filter, as after its firewall was loaded anew: \
                     those of {count} (allocations, and the bridge itself) were put back"
                ),
            ),
            Err(error) => tracing::warn!("looking after the rules of bridge networks: {error}"),
        }
    }
}

async fn watch_drivers(context: Arc<Context>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            () = tokio::time::sleep(DRIVER_CHECK) => {}
        }
        let (mut node, changed) = described(&context.networks, (*context.node()).clone()).await;
        let changed = context.devices.look(&mut node, DRIVER_CHECK).await || changed;
        if look_at(&context.drivers, &mut node, DRIVER_CHECK).await || changed {
            context.set_node(node);
        }
    }
}

/// The node with the networks that it has now; whether they are others than before.
async fn described(networks: &Arc<Networks>, mut node: Node) -> (Node, bool) {
    let networks = networks.clone();
    let describe = move || {
        let changed = networks.describe(&mut node);
        (node, changed)
    };
    crate::blocking(describe).await
}
