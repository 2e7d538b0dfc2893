//! A task that a plugin runs. It outlives the plugin: with each new process or connection the plugin is asked to know it again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_rpc::plugin::driver_client::DriverClient;
use tarpan_rpc::plugin::{RecoverRequest, SignalRequest, StopRequest, TaskRequest};
use tokio::sync::Mutex;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cgroup::Cgroup;
use crate::driver::mark::remove_run_dir;
use crate::driver::{DriverError, ExecRequest, Execution, Exit, Handle, LogTarget, TaskUsage};
use crate::plugin::{Plugin, Up, answer, said};
use crate::supervisor::{Logs, collector};

const RECOVER: Duration = Duration::from_secs(30);
const SIGNAL: Duration = Duration::from_secs(10);
const STATS: Duration = Duration::from_secs(5);
const DESTROY: Duration = Duration::from_secs(60);
/// Beside the grace of a stop.
const STOP: Duration = Duration::from_secs(30);
/// How long a stop or a signal waits for a plugin that is being started.
const RETURN: Duration = Duration::from_secs(15);
/// How soon a plugin is asked again that did not answer as it should.
const AGAIN: Duration = Duration::from_secs(1);

/// What is kept of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub id: String,
    pub run_dir: PathBuf,
    pub task: String,
    #[serde(default)]
    pub logs: Option<LogTarget>,
    #[serde(default)]
    pub cgroup: Option<Cgroup>,
    /// What the plugin wants to be told when it is asked for the task again.
    #[serde(default)]
    pub state: Vec<u8>,
}

pub(super) struct External {
    plugin: Arc<Plugin>,
    saved: Saved,
    /// The connection over which the plugin knows the task; 0: none.
    known: AtomicU64,
    knowing: Mutex<()>,
}

/// What a plugin said of a task.
pub(super) enum Known {
    Yes,
    /// It does not run, and never will.
    No,
}

pub(super) fn client(up: &Up) -> DriverClient<Channel> {
    let most = crate::plugin::MESSAGE;
    DriverClient::new(up.channel.clone()).max_decoding_message_size(most).max_encoding_message_size(most)
}

/// The error of a call. A connection that is broken is made anew.
pub(super) fn failed(plugin: &Plugin, up: &Up, call: &str, status: &Status) -> DriverError {
    if broken(status) {
        plugin.broke(up);
    }
    let text = format!("plugin {:?}: {}", plugin.name, said(call, status));
    match status.code() {
        Code::InvalidArgument => DriverError::Config(status_text(status)),
        _ => DriverError::Other(text),
    }
}

fn status_text(status: &Status) -> String {
    crate::plugin::short(status.message())
}

/// Nothing was heard of the plugin, rather than from it.
pub(super) fn broken(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
        && std::error::Error::source(status).is_some()
}

impl External {
    /// `known`: the number of the connection over which it was started or found.
    pub(super) fn new(plugin: Arc<Plugin>, saved: Saved, known: u64) -> External {
        External { plugin, saved, known: AtomicU64::new(known), knowing: Mutex::new(()) }
    }

    fn task(&self) -> TaskRequest {
        TaskRequest { id: self.saved.id.clone() }
    }

    /// Has the plugin know the task, once a connection.
    pub(super) async fn known(&self, up: &Up) -> Result<Known, DriverError> {
        let _turn = self.knowing.lock().await;
        if self.known.load(Ordering::SeqCst) == up.number {
            return Ok(Known::Yes);
        }
        if let Some(logs) = &self.saved.logs
            && let Err(why) = collector::ensure(&self.saved.run_dir, &of(logs, &self.saved.task)).await
        {
            tracing::warn!(task = self.saved.task, "{why}");
        }
        let request = RecoverRequest { id: self.saved.id.clone(), state: self.saved.state.clone().into() };
        let mut client = client(up);
        let recovered = answer(RECOVER, client.recover(request)).await;
        match recovered.map_err(|status| failed(&self.plugin, up, "Recover", &status))?.found {
            true => {
                self.known.store(up.number, Ordering::SeqCst);
                Ok(Known::Yes)
            }
            false => Ok(Known::No),
        }
    }

    /// A client of a plugin that knows the task.
    async fn ready(&self) -> Result<(Up, DriverClient<Channel>), DriverError> {
        let up = self.plugin.up_within(RETURN).await;
        let up = up.map_err(|why| DriverError::Other(format!("plugin {:?}: {why}", self.plugin.name)))?;
        match self.known(&up).await? {
            Known::Yes => Ok((up.clone(), client(&up))),
            Known::No => {
                Err(DriverError::Other(format!("plugin {:?} does not know this task any more", self.plugin.name)))
            }
        }
    }

    /// Waits for the end of the task over one connection; `None`: that connection says nothing.
    async fn wait_over(&self, up: &Up) -> Option<Exit> {
        match self.known(up).await {
            Ok(Known::Yes) => {}
            Ok(Known::No) => return Some(lost(&self.plugin.name)),
            Err(error) => {
                tracing::debug!(task = self.saved.task, "{error}");
                return None;
            }
        }
        match client(up).wait(self.task()).await {
            Ok(exit) => {
                let exit = exit.into_inner();
                let cgroups = self.saved.cgroup.as_ref().map(|c| c.dirs.as_slice()).unwrap_or_default();
                Some(Exit {
                    code: exit.code,
                    signal: exit.signal,
                    oom_killed: crate::cgroup::oom_killed(cgroups),
                    error: Some(crate::plugin::short(&exit.error)).filter(|text| !text.is_empty()),
                })
            }
            Err(status) if status.code() == Code::NotFound => Some(lost(&self.plugin.name)),
            Err(status) => {
                tracing::debug!(task = self.saved.task, "{}", failed(&self.plugin, up, "Wait", &status));
                None
            }
        }
    }
}

fn lost(plugin: &str) -> Exit {
    let error = format!("plugin {plugin:?} does not know this task any more: its exit code is unknown");
    Exit { code: -1, error: Some(error), ..Exit::default() }
}

pub(super) fn of(logs: &LogTarget, task: &str) -> Logs {
    Logs { alloc: logs.alloc.clone(), task: task.to_owned(), max_files: logs.max_files, max_bytes: logs.max_bytes }
}

impl Handle for External {
    fn save(&self) -> Value {
        serde_json::to_value(&self.saved).expect("paths serialise")
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(async {
            let mut standing = self.plugin.standing();
            loop {
                let up = self.plugin.up().ok();
                standing.mark_unchanged();
                let exit = match &up {
                    Some(up) => self.wait_over(up).await,
                    None => None,
                };
                if let Some(exit) = exit {
                    return exit;
                }
                // A plugin that is away is waited for: its task may run.
                tokio::select! {
                    _ = standing.changed() => {}
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        })
    }

    fn stop<'a>(&'a self, signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let (up, mut client) = self.ready().await?;
            let signal = match (signal, up.description.driver.as_ref().map(|driver| driver.default_signal.as_str())) {
                ("", None | Some("")) => "SIGINT",
                ("", Some(own)) => own,
                (asked, _) => asked,
            };
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            let request = StopRequest { id: self.saved.id.clone(), signal: signal.to_owned(), grace_ms };
            let stopped = answer(grace + STOP, client.stop(request)).await;
            if let Err(status) = stopped {
                // It is to end, whatever its plugin does.
                if let Some(cgroup) = &self.saved.cgroup {
                    cgroup.kill().await;
                }
                return Err(failed(&self.plugin, &up, "Stop", &status));
            }
            Ok(())
        })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            crate::driver::signal_number(signal)?;
            let (up, mut client) = self.ready().await?;
            let request = SignalRequest { id: self.saved.id.clone(), signal: signal.to_owned() };
            let sent = answer(SIGNAL, client.signal(request)).await;
            sent.map(drop).map_err(|status| failed(&self.plugin, &up, "Signal", &status))
        })
    }

    fn destroy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let destroyed = match self.plugin.up_within(RETURN).await {
                Ok(up) => match answer(DESTROY, client(&up).destroy(self.task())).await {
                    Ok(_) => Ok(()),
                    Err(status) => Err(failed(&self.plugin, &up, "Destroy", &status).to_string()),
                },
                Err(why) => Err(why),
            };
            if let Err(why) = destroyed {
                tracing::warn!(task = self.saved.task, plugin = self.plugin.name, "removing a task: {why}");
            }
            if let Some(cgroup) = &self.saved.cgroup {
                cgroup.remove().await;
            }
            collector::finish(&self.saved.run_dir).await;
            remove_run_dir(&self.saved.run_dir).await;
        })
    }

    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>> {
        Box::pin(async {
            if let Ok(up) = self.plugin.up()
                && let Ok(stats) = answer(STATS, client(&up).stats(self.task())).await
            {
                return Some(TaskUsage {
                    cpu_ns: stats.cpu_ns,
                    user_ns: stats.user_ns,
                    system_ns: stats.system_ns,
                    memory: stats.memory,
                    memory_max: stats.memory_max,
                    ..TaskUsage::default()
                });
            }
            self.saved.cgroup.as_ref().and_then(Cgroup::usage).map(TaskUsage::from)
        })
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Box<dyn Execution>, DriverError>> {
        Box::pin(async move {
            let (_, client) = self.ready().await?;
            super::exec::begin(client, &self.saved.id, request).await
        })
    }
}
