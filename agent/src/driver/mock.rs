//! Pretends to run tasks, as its configuration says: for tests and simulated nodes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tarpan_model::node::DriverInfo;
use tarpan_model::{Dur, UnixNanos};
use tokio::sync::watch;

use super::{Driver, DriverError, Exit, Handle, Isolation, Notices, TaskRequest, TaskUsage, lenient};
use crate::alloc_dir::LOGS;
use crate::ground::{Attr, Dir};

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    /// Ends by itself after this long; empty: never.
    #[serde(deserialize_with = "lenient::text")]
    run_for: Option<String>,
    #[serde(deserialize_with = "lenient::int")]
    exit_code: Option<i64>,
    #[serde(deserialize_with = "lenient::int")]
    exit_signal: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    exit_err_msg: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    start_error: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    start_error_recoverable: Option<bool>,
    #[serde(deserialize_with = "lenient::text")]
    start_block_for: Option<String>,
    /// Takes this long to end after a signal.
    #[serde(deserialize_with = "lenient::text")]
    kill_after: Option<String>,
    /// Written to its stdout at the start.
    #[serde(deserialize_with = "lenient::text")]
    stdout_string: Option<String>,
}

fn duration(text: Option<&str>) -> Result<Option<Duration>, DriverError> {
    match text.filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(text) => {
            let dur: Dur = text.parse().map_err(|e| DriverError::Config(format!("failed to parse config: {e}")))?;
            Ok(Some(dur.to_std()))
        }
    }
}

pub struct Mock;

impl Driver for Mock {
    fn name(&self) -> &'static str {
        "mock_driver"
    }

    fn isolation(&self) -> Isolation {
        Isolation::None
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async { super::healthy("mock_driver", &[]) })
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(async move {
            let config: Config = super::decode(&request.config)?;
            if let Some(wait) = duration(config.start_block_for.as_deref())? {
                tokio::time::sleep(wait).await;
            }
            if let Some(error) = &config.start_error {
                return Err(DriverError::start(error.clone(), config.start_error_recoverable == Some(true)));
            }
            let run_for = duration(config.run_for.as_deref())?;
            if let (Some(text), Some(logs)) = (&config.stdout_string, &request.logs) {
                let written = Dir::trusted(&logs.alloc).and_then(|alloc| {
                    let path = Path::new(LOGS).join(format!("{}.stdout.0", request.task));
                    alloc.replace(&path, text.as_bytes(), Attr::mode(0o644))
                });
                written.map_err(|e| DriverError::Other(crate::chain(&e)))?;
            }
            Ok(Arc::new(MockTask::new(config, run_for)?) as Arc<dyn Handle>)
        })
    }

    fn recover<'a>(&'a self, _saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(async { Err(DriverError::Other("a pretended task ends with its agent".to_owned())) })
    }
}

struct MockTask {
    config: Config,
    kill_after: Duration,
    ends_at: Option<UnixNanos>,
    ended: watch::Sender<Option<Exit>>,
}

impl MockTask {
    fn new(config: Config, run_for: Option<Duration>) -> Result<MockTask, DriverError> {
        let kill_after = duration(config.kill_after.as_deref())?.unwrap_or(Duration::ZERO);
        let ends_at = run_for.map(|d| crate::now() + d.into());
        Ok(MockTask { config, kill_after, ends_at, ended: watch::Sender::new(None) })
    }

    fn own_exit(&self) -> Exit {
        Exit {
            code: self.config.exit_code.unwrap_or(0) as i32,
            signal: self.config.exit_signal.unwrap_or(0) as i32,
            oom_killed: false,
            error: self.config.exit_err_msg.clone(),
        }
    }
}

impl Handle for MockTask {
    fn save(&self) -> Value {
        Value::Null
    }

    fn wait(&self) -> BoxFuture<'_, Exit> {
        Box::pin(async {
            let mut ended = self.ended.subscribe();
            let told = async { ended.wait_for(Option::is_some).await.ok().and_then(|e| e.clone()).unwrap_or_default() };
            match self.ends_at {
                None => told.await,
                Some(at) => {
                    let left = at.since(crate::now()).to_std();
                    match tokio::time::timeout(left, told).await {
                        Ok(exit) => exit,
                        Err(_) => self.own_exit(),
                    }
                }
            }
        })
    }

    fn stop<'a>(&'a self, _signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let (wait, exit) = match self.kill_after <= grace {
                true => (self.kill_after, self.own_exit()),
                false => (grace, Exit { code: 137, signal: 9, ..Exit::default() }),
            };
            tokio::time::sleep(wait).await;
            self.ended.send_if_modified(|e| e.replace(exit).is_none());
            Ok(())
        })
    }

    fn signal<'a>(&'a self, signal: &'a str) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move { super::signal_number(signal).map(drop) })
    }

    fn destroy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.ended.send_if_modified(|e| {
                e.is_none() && e.insert(Exit { code: 137, signal: 9, ..Exit::default() }).code > 0
            });
        })
    }

    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>> {
        Box::pin(async { Some(TaskUsage::default()) })
    }
}
