//! Runs a command behind walls of our own: namespaces, a root made of the node's directories, few rights.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tarpan_model::node::DriverInfo;

use super::walled::{self, Ask, Node, PluginConfig};
use super::{Driver, DriverError, Handle, Isolation, Mark, Notices, Place, TaskRequest, Trace, lenient, supervised};

const NAME: &str = "exec";

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    #[serde(deserialize_with = "lenient::text")]
    command: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    args: Vec<String>,
    #[serde(deserialize_with = "lenient::text")]
    work_dir: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pid_mode: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    ipc_mode: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    cap_add: Vec<String>,
    #[serde(deserialize_with = "lenient::texts")]
    cap_drop: Vec<String>,
}

pub struct Exec {
    node: Node,
}

impl Exec {
    /// `chroot`: the node's directories that tasks see, by where they see them.
    pub fn new(plugin: PluginConfig, chroot: Vec<(PathBuf, PathBuf)>) -> Exec {
        Exec { node: Node { driver: NAME, plugin, chroot } }
    }

    async fn launch(&self, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
        let config: Config = super::decode(&request.config)?;
        let command = config.command.filter(|c| !c.is_empty());
        let command =
            command.ok_or_else(|| DriverError::Config("failed to parse config: command is required".to_owned()))?;
        let ask = Ask {
            command,
            args: config.args,
            work_dir: config.work_dir,
            pid_mode: config.pid_mode,
            ipc_mode: config.ipc_mode,
            cap_add: config.cap_add,
            cap_drop: config.cap_drop,
        };
        walled::launch(&self.node, ask, request).await
    }
}

impl Driver for Exec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn isolation(&self) -> Isolation {
        Isolation::Chroot
    }

    fn default_user(&self) -> &'static str {
        walled::USER
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async {
            match walled::obstacle() {
                None => super::healthy(NAME, &[]),
                Some(why) => super::undetected(&why),
            }
        })
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request))
    }

    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(std::future::ready(supervised::recover(saved)))
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(supervised::find(mark))
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(supervised::survey(NAME, place))
    }

    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        Box::pin(supervised::clean_up(&request.run_dir))
    }
}

#[cfg(test)]
pub(super) mod tests;
