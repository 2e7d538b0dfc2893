//! A running container.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::models::{ContainerInspectResponse, EndpointSettings};
use bollard::query_parameters::{InspectContainerOptions, KillContainerOptions, StatsOptions, WaitContainerOptions};
use futures::StreamExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{logs::Copier, text};
use crate::driver::mark::remove_run_dir;
use crate::driver::{DriverError, DriverNetwork, ExecRequest, Execution, Exit, Handle, LogTarget, TaskUsage};

/// After the container's end: when a follower that brings nothing is asked no more, and how long the rest of the output may take.
const LAST_WORDS: Duration = Duration::from_secs(5);
const LAST_FLOOD: Duration = Duration::from_secs(120);

/// What finds the container again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub container: String,
    pub task: String,
    pub run_dir: PathBuf,
    pub logs: Option<LogTarget>,
    pub tty: bool,
    /// Its address in the engine's network; empty where it has none of its own.
    pub ip: String,
    /// That network is one that the job chose: services are advertised at this address.
    #[serde(default)]
    pub advertise: bool,
    /// Label of a port to its number at this address.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    #[serde(default)]
    pub user: String,
}

pub(super) struct Container {
    engine: Docker,
    saved: Saved,
    logs: Mutex<Option<Copying>>,
    /// It is removed when it has ended.
    removed: bool,
}

/// The copying of the output into files.
struct Copying {
    task: JoinHandle<()>,
    /// Grows as long as something is copied.
    reached: Arc<AtomicI64>,
    /// Nothing more is to be waited for than what the engine has.
    over: watch::Sender<bool>,
}

impl Copying {
    /// Waits for the rest of it, as long as there is some.
    async fn finish(mut self) {
        let over = tokio::time::Instant::now() + LAST_FLOOD;
        loop {
            let before = self.reached.load(Ordering::Relaxed);
            if tokio::time::timeout(LAST_WORDS, &mut self.task).await.is_ok() {
                return;
            }
            if tokio::time::Instant::now() >= over {
                return self.task.abort();
            }
            if self.reached.load(Ordering::Relaxed) == before {
                self.over.send_replace(true);
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(logs) = self.logs.lock().expect("no panic while held").take() {
            logs.task.abort();
        }
    }
}

impl Container {
    /// `removed`: nothing is left of it when it is destroyed.
    pub fn new(engine: Docker, saved: Saved, resume: bool, removed: bool) -> Container {
        let copier = saved.logs.as_ref().map(|target| Copier::open(target, &saved.task, &saved.run_dir, resume));
        let logs = match copier {
            Some(Ok(copier)) => {
                let reached = copier.reached();
                let (over, seen) = watch::channel(false);
                let task = tokio::spawn(copier.run(engine.clone(), saved.container.clone(), saved.tty, seen));
                Some(Copying { task, reached, over })
            }
            Some(Err(error)) => {
                tracing::error!(task = saved.task, "opening the log files: {error}");
                None
            }
            None => None,
        };
        Container { engine, saved, logs: Mutex::new(logs), removed }
    }

    async fn inspect(&self) -> Result<ContainerInspectResponse, ApiError> {
        self.engine.inspect_container(&self.saved.container, None::<InspectContainerOptions>).await
    }

    /// Waits over restarts of the engine, too: only the container's own end counts.
    async fn ended(&self) -> Exit {
        loop {
            let options = WaitContainerOptions { condition: "not-running".to_owned() };
            let mut answers = std::pin::pin!(self.engine.wait_container(&self.saved.container, Some(options)));
            let _ = answers.next().await;
            match self.inspect().await {
                Ok(found) => {
                    if let Some(exit) = exit_of(found) {
                        return exit;
                    }
                }
                Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => {
                    let error = Some("the container was removed by somebody else".to_owned());
                    return Exit { code: -1, error, ..Exit::default() };
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn kill(&self, signal: &str) -> Result<(), DriverError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.engine.kill_container(&self.saved.container, Some(options)).await {
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(DriverError::Other(format!("sending {signal} to the container: {}", text(&error)))),
        }
    }

    /// The image's own signal of a stop, else SIGTERM.
    async fn stop_signal(&self) -> String {
        let found = self.inspect().await.ok().and_then(|c| c.config?.stop_signal).filter(|s| !s.is_empty());
        found.unwrap_or_else(|| "SIGTERM".to_owned())
    }
}

impl Handle for Container {
    fn save(&self) -> Value {
        serde_json::to_value(&self.saved).expect("texts serialise")
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(async {
            let exit = self.ended().await;
            let logs = self.logs.lock().expect("no panic while held").take();
            if let Some(logs) = logs {
                logs.finish().await;
            }
            exit
        })
    }

    fn stop<'a>(&'a self, signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let own;
            let signal = match signal {
                "" => {
                    own = self.stop_signal().await;
                    own.as_str()
                }
                signal => signal,
            };
            self.kill(signal).await?;
            if tokio::time::timeout(grace, self.ended()).await.is_err() {
                self.kill("SIGKILL").await?;
            }
            Ok(())
        })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            crate::driver::signal_number(signal)?;
            self.kill(signal).await
        })
    }

    fn destroy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match self.removed {
                true => super::remove(&self.engine, &self.saved.container).await,
                false => drop(self.kill("SIGKILL").await),
            }
            remove_run_dir(&self.saved.run_dir).await;
        })
    }

    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>> {
        Box::pin(async {
            let options = StatsOptions { stream: false, one_shot: true };
            let mut answers = std::pin::pin!(self.engine.stats(&self.saved.container, Some(options)));
            let stats = answers.next().await?.ok()?;
            let cpu = stats.cpu_stats.unwrap_or_default();
            let used = cpu.cpu_usage.unwrap_or_default();
            let throttled = cpu.throttling_data.unwrap_or_default();
            let memory = stats.memory_stats.unwrap_or_default();
            let of = |keys: &[&str]| keys.iter().find_map(|k| memory.stats.as_ref()?.get(*k).copied()).unwrap_or(0);
            Some(TaskUsage {
                cpu_ns: used.total_usage.unwrap_or(0),
                user_ns: used.usage_in_usermode.unwrap_or(0),
                system_ns: used.usage_in_kernelmode.unwrap_or(0),
                throttled_periods: throttled.throttled_periods.unwrap_or(0),
                throttled_ns: throttled.throttled_time.unwrap_or(0),
                memory: memory.usage.unwrap_or(0),
                memory_max: memory.max_usage.unwrap_or(0),
                rss: of(&["rss", "anon"]),
                cache: of(&["cache", "file"]),
                swap: of(&["swap"]),
            })
        })
    }

    fn network(&self) -> Option<DriverNetwork> {
        let ip = self.saved.ip.clone();
        (!ip.is_empty()).then(|| DriverNetwork { ip, advertise: self.saved.advertise, ports: self.saved.ports.clone() })
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Box<dyn Execution>, DriverError>> {
        Box::pin(super::exec::begin(&self.engine, &self.saved.container, &self.saved.user, request))
    }
}

/// How it ended; `None`: it runs.
fn exit_of(found: ContainerInspectResponse) -> Option<Exit> {
    let state = found.state.unwrap_or_default();
    if state.running == Some(true) {
        return None;
    }
    let oom_killed = state.oom_killed == Some(true);
    let limit = found.host_config.and_then(|h| h.memory).filter(|bytes| *bytes > 0);
    let memory = limit.map(|bytes| format!("OOM Killed: its memory is limited to {} MiB", bytes >> 20));
    let error = state.error.filter(|e| !e.is_empty()).or(memory.filter(|_| oom_killed));
    Some(Exit { code: state.exit_code.unwrap_or(0) as i32, signal: 0, oom_killed, error })
}

/// The container's address in the engine's network, and whether services are advertised at it; empty where it has none.
pub(super) async fn address(engine: &Docker, id: &str, ipv6: bool) -> (String, bool) {
    let found = engine.inspect_container(id, None::<InspectContainerOptions>).await;
    found.map(|found| address_of(found, ipv6)).unwrap_or_default()
}

/// In the engine's own bridge a container is reached by the node's ports; a network that the job chose, or the job's wish for an
/// address of the sixth version, is a reason to advertise the container's.
pub(super) fn address_of(found: ContainerInspectResponse, ipv6: bool) -> (String, bool) {
    let networks = found.network_settings.and_then(|s| s.networks).unwrap_or_default();
    let address = |n: EndpointSettings| if ipv6 { n.global_ipv6_address } else { n.ip_address };
    let found = networks.into_iter().find_map(|(name, n)| Some((name, address(n).filter(|ip| !ip.is_empty())?)));
    found.map(|(name, ip)| (ip, ipv6 || !matches!(&*name, "bridge" | "podman" | "nat"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bollard::models::NetworkSettings;

    use super::*;

    #[test]
    fn the_address_is_of_the_family_that_the_job_wants() {
        let endpoint = EndpointSettings {
            ip_address: Some("172.17.0.2".to_owned()),
            global_ipv6_address: Some("fd00::2".to_owned()),
            ..EndpointSettings::default()
        };
        let found = |network: &str| ContainerInspectResponse {
            network_settings: Some(NetworkSettings {
                networks: Some([(network.to_owned(), endpoint.clone())].into()),
                ..NetworkSettings::default()
            }),
            ..ContainerInspectResponse::default()
        };
        assert_eq!(address_of(found("bridge"), false), ("172.17.0.2".to_owned(), false));
        assert_eq!(address_of(found("bridge"), true), ("fd00::2".to_owned(), true));
        assert_eq!(address_of(found("mine"), false), ("172.17.0.2".to_owned(), true));
        assert_eq!(address_of(ContainerInspectResponse::default(), false), (String::new(), false));
    }
}
