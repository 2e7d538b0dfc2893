//! Runs containers by the Docker engine, over its socket.
//!
//! [`config`] reads a task's block, [`connect`] finds the engine, [`image`] gets the image ([`pull`] from a registry, to which
//! [`auth`] has the keys; [`kept`] removes what nobody uses), [`create`] turns a request into a container, [`logs`] copies its
//! output into our rotated files, [`handle`] is the running container. After a restart of the agent a container is found by
//! its id and label again, and its log is followed from the last line that was copied.

mod allow;
mod auth;
mod config;
mod connect;
mod cores;
mod create;
mod exec;
mod found;
mod handle;
mod image;
mod kept;
mod logs;
mod pause;
mod pull;
mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::query_parameters::{CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions};
use futures::future::BoxFuture;
use serde_json::Value;
use tarpan_model::node::DriverInfo;
use tarpan_model::{AllocId, SortedMap};
use tokio::sync::Mutex;

use super::{Driver, DriverError, Handle, Isolation, Mark, Notices, Place, Strays, TaskRequest, Trace};
pub use config::PluginConfig;
use config::TaskConfig;
use handle::{Container, Saved};

/// Label that every container of ours carries.
const ALLOC_LABEL: &str = "com.hashicorp.nomad.alloc_id";
/// Label that says which start of its task made a container.
const RUN_LABEL: &str = "tarpan.run";
/// How long the engine has to answer one question of the fingerprint; all of them have twice as long, which must be less
/// than [`crate::agent`] gives a driver: else nobody learns that an engine seen before is ill.
const PATIENCE: Duration = Duration::from_secs(4);

/// How often a container is created at most while its name is taken.
const ATTEMPTS: u64 = 100;

pub struct DockerDriver {
    plugin: PluginConfig,
    engine: Mutex<Option<Docker>>,
    pulls: pull::Pulls,
    kept: kept::Kept,
    /// It has answered once: from then on its absence is an illness.
    seen: std::sync::atomic::AtomicBool,
    patience: Duration,
    /// Held by who makes or removes what containers join: tasks of a group start at the same time.
    joining: Mutex<()>,
}

impl DockerDriver {
    pub fn new(plugin: PluginConfig) -> DockerDriver {
        DockerDriver {
            plugin,
            engine: Mutex::default(),
            pulls: pull::Pulls::default(),
            kept: kept::Kept::default(),
            seen: false.into(),
            patience: PATIENCE,
            joining: Mutex::default(),
        }
    }

    /// Remembers below `state_dir` which images it brought to the node.
    pub fn remembering(self, state_dir: &Path) -> DockerDriver {
        DockerDriver { kept: kept::Kept::open(state_dir.join("docker-images.json")), ..self }
    }

    /// The engine, connected where it was not; the API version is negotiated.
    async fn engine(&self) -> Result<Docker, DriverError> {
        let mut engine = self.engine.lock().await;
        if let Some(engine) = &*engine {
            return Ok(engine.clone());
        }
        let client = connect::client(&self.plugin).map_err(|why| DriverError::start(why, true))?;
        let connected = tokio::time::timeout(self.patience, client.negotiate_version()).await;
        let connected = connected
            .map_err(|_| DriverError::start("the Docker daemon does not answer", true))?
            .map_err(|e| DriverError::start(format!("failed to connect to the Docker daemon: {}", text(&e)), true))?;
        *engine = Some(connected.clone());
        Ok(connected)
    }

    async fn look(&self) -> Result<DriverInfo, DriverError> {
        let engine = self.engine().await?;
        let failed = |e: ApiError| DriverError::Other(format!("the Docker daemon does not answer: {}", text(&e)));
        let answered = tokio::time::timeout(self.patience, engine.version()).await;
        let version = answered
            .map_err(|_| DriverError::Other("the Docker daemon does not answer".to_owned()))?
            .map_err(failed)?;
        let info = engine.info().await.map_err(failed)?;
        let bridge = engine.inspect_network("bridge", None).await.ok();
        let bridge_ip = bridge.and_then(|b| b.ipam?.config?.into_iter().find_map(|c| c.gateway)).unwrap_or_default();
        let mut runtimes: Vec<String> = info.runtimes.into_iter().flatten().map(|(name, _)| name).collect();
        runtimes.sort();
        let flag = |on: bool| on.then(|| "1".to_owned());
        let attributes: Vec<(&str, String)> = [
            ("version", version.version),
            ("os_type", info.os_type),
            ("bridge_ip", Some(bridge_ip)),
            ("runtimes", Some(runtimes.join(","))),
            ("privileged.enabled", flag(self.plugin.allow_privileged)),
            ("volumes.enabled", flag(self.plugin.volumes.enabled)),
            ("pids.limit", (self.plugin.pids_limit > 0).then(|| self.plugin.pids_limit.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_empty())?)))
        .collect();
        Ok(super::healthy("docker", &attributes))
    }

    async fn launch(&self, request: TaskRequest, notices: Notices) -> Result<Arc<dyn Handle>, DriverError> {
        let config: TaskConfig = super::decode(&request.config)?;
        let engine = self.engine().await?;
        let reference = image::wanted(&config)?;
        // Before anything is fetched: what the operator does not allow is not waited for.
        create::body(&self.plugin, &config, &request, "")?;
        let lease = self.kept.lease(&reference.full()).await;
        let source = image::Source { engine: &engine, plugin: &self.plugin, pulls: &self.pulls, kept: &self.kept };
        let image = source.ensure(&config, &reference, &request, &notices).await?;
        let body = create::body(&self.plugin, &config, &request, &image)?;
        if let Some(netns) = request.netns.as_deref().filter(|_| create::joins(&config, &request)) {
            let _joining = self.joining.lock().await;
            pause::ensure(&engine, request.alloc_id, netns, &request.hostname).await?;
        }
        create::without_effect(&config, &request).into_iter().for_each(|sentence| notices(sentence));
        let id = self.create(&engine, &config, body, &request).await?;
        drop(lease);
        crate::crash::point("container-created");
        let started = tokio::time::Instant::now();
        if let Err(error) = engine.start_container(&id, None).await {
            remove(&engine, &id).await;
            let message = text(&error);
            // A taken port may be free again at the next try; a command that is not in the image never is.
            let hopeless = ["executable file not found", "no such file or directory", "is not a directory"];
            let recoverable = !hopeless.iter().any(|h| message.contains(h));
            return Err(DriverError::start(
                format!("Failed to start container {}: {message}", &id[..id.len().min(12)]),
                recoverable,
            ));
        }
        tracing::debug!(alloc_id = %request.alloc_id, task = request.task, took = ?started.elapsed(), "container started");
        let ipv6 = config.advertise_ipv6_address == Some(true);
        let (address, advertise) = handle::address(&engine, &id, ipv6).await;
        let saved = Saved {
            container: id,
            task: request.task.clone(),
            run_dir: request.run_dir.clone(),
            logs: request.logs.clone().filter(|_| !self.plugin.disable_log_collection),
            tty: config.tty.unwrap_or(false),
            ip: address,
            advertise,
            ports: create::inside(&config, &request),
            user: request.user.clone(),
        };
        Ok(Arc::new(Container::new(engine, saved, false, self.plugin.gc.container)))
    }

    /// Creates the container; one of the same name that an earlier start of this allocation left is removed first.
    async fn create(
        &self,
        engine: &Docker,
        config: &TaskConfig,
        body: bollard::models::ContainerCreateBody,
        request: &TaskRequest,
    ) -> Result<String, DriverError> {
        let name = &create::name(request);
        let own = config.container_exists_attempts.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let attempts = own.unwrap_or(self.plugin.container_exists_attempts).clamp(1, ATTEMPTS);
        for attempt in 1..=attempts {
            let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
            match engine.create_container(Some(options), body.clone()).await {
                Ok(created) => return Ok(created.id),
                Err(error) if attempt < attempts && is_taken(&error) => {
                    self.remove_stale(engine, name, request).await?;
                }
                Err(error) => {
                    let recoverable =
                        !matches!(&error, ApiError::DockerResponseServerError { status_code: 400 | 404, .. });
                    return Err(DriverError::start(
                        format!("failed to create container: {}", text(&error)),
                        recoverable,
                    ));
                }
            }
        }
        Err(DriverError::start(format!("failed to create container: the name {name:?} stays taken"), true))
    }

    async fn remove_stale(&self, engine: &Docker, name: &str, request: &TaskRequest) -> Result<(), DriverError> {
        if let Ok(found) = engine.inspect_container(name, None::<InspectContainerOptions>).await {
            let label = found.config.and_then(|c| c.labels).and_then(|l| l.get(ALLOC_LABEL).cloned());
            if label.as_deref() != Some(&*request.alloc_id.to_string()) {
                return Err(DriverError::start(format!("the container name {name:?} is taken by somebody else"), true));
            }
        }
        remove(engine, name).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

/// The name of a new container is another one's. Podman calls it an error of its own.
fn is_taken(error: &ApiError) -> bool {
    match error {
        ApiError::DockerResponseServerError { status_code: 409, .. } => true,
        ApiError::DockerResponseServerError { status_code: 500, message } => message.contains("already in use"),
        _ => false,
    }
}

async fn remove(engine: &Docker, id: &str) {
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    let _ = engine.remove_container(id, Some(options)).await;
}

/// What the engine said, without the client library's words around it.
fn text(error: &ApiError) -> String {
    match error {
        ApiError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        ApiError::DockerStreamError { error } => error.clone(),
        other => crate::chain(other),
    }
}

impl Driver for DockerDriver {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn isolation(&self) -> Isolation {
        Isolation::Image
    }

    fn default_signal(&self) -> &'static str {
        "SIGTERM"
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async {
            // One limit for all that is asked: a daemon that hangs in the middle is as ill as one that is gone.
            let silent = |_| Err(DriverError::Other("the Docker daemon does not answer".to_owned()));
            match tokio::time::timeout(self.patience * 2, self.look()).await.unwrap_or_else(silent) {
                Ok(info) => {
                    self.seen.store(true, std::sync::atomic::Ordering::Relaxed);
                    info
                }
                Err(error) => {
                    // Connect anew next time: the daemon may have been replaced by another version.
                    self.engine.lock().await.take();
                    let mut info = super::undetected(&error.to_string());
                    if self.seen.load(std::sync::atomic::Ordering::Relaxed) {
                        info.detected = true;
                        info.attributes = SortedMap::from([(Arc::from("driver.docker"), Arc::from("1"))]);
                    }
                    info
                }
            }
        })
    }

    fn start(&self, request: TaskRequest, notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request, notices))
    }

    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(async {
            let saved: Saved = serde_json::from_value(saved.clone())
                .map_err(|e| DriverError::Other(format!("what was kept of the container is not readable: {e}")))?;
            let engine = self.engine().await?;
            let found = engine.inspect_container(&saved.container, None::<InspectContainerOptions>).await;
            found.map_err(|e| DriverError::Other(format!("the container is gone: {}", text(&e))))?;
            Ok(Arc::new(Container::new(engine, saved, true, self.plugin.gc.container)) as Arc<dyn Handle>)
        })
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(self.container_of(mark))
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(self.containers_of(place))
    }

    fn joined<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Vec<PathBuf>> {
        Box::pin(async {
            let Ok(engine) = self.engine().await else { return Vec::new() };
            pause::all(&engine, dir).await.unwrap_or_else(|error| {
                tracing::debug!("looking for networks of containers: {}", text(&error));
                Vec::new()
            })
        })
    }

    fn leave<'a>(&'a self, id: AllocId, netns: &'a Path) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let _joining = self.joining.lock().await;
            // Without an engine there is nothing of it now, and what comes back with it is found later.
            if let Ok(engine) = self.engine().await {
                pause::leave(&engine, id, netns).await;
            }
        })
    }

    fn upkeep(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.plugin.gc.image
                && let Ok(engine) = self.engine().await
            {
                self.kept.collect(&engine, self.plugin.gc.image_delay.to_std()).await;
            }
        })
    }

    fn share_cores<'a>(&'a self, shared: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Ok(engine) = self.engine().await {
                cores::share(&engine, shared).await;
            }
        })
    }

    fn strays(&self) -> Option<Strays> {
        let rules = &self.plugin.gc.dangling_containers;
        rules.enabled.then(|| Strays {
            period: rules.period.to_std(),
            grace: rules.creation_grace.to_std(),
            dry_run: rules.dry_run,
        })
    }

    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        Box::pin(async {
            if let Ok(engine) = self.engine().await {
                let name = create::name(request);
                if self.remove_stale(&engine, &name, request).await.is_err() {
                    tracing::debug!(name, "nothing of a given-up start to remove");
                }
            }
        })
    }
}

#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod tests;
