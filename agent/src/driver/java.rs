//! Runs a Java program, a jar or a class, behind the same walls as `exec`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tarpan_model::node::DriverInfo;

use super::walled::{self, Ask, Node, PluginConfig};
use super::{
    Driver, DriverError, Handle, Isolation, Mark, Notices, Place, TaskRequest, Trace, lenient, probe, supervised,
};

const NAME: &str = "java";

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    #[serde(deserialize_with = "lenient::text")]
    class: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    class_path: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    jar_path: Option<String>,
    #[serde(deserialize_with = "lenient::texts")]
    jvm_options: Vec<String>,
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

impl Config {
    /// What `java` is called with.
    fn arguments(self) -> Result<Vec<String>, DriverError> {
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        let mut all = self.jvm_options;
        if let Some(path) = given(self.class_path) {
            all.extend(["-cp".to_owned(), path]);
        }
        match (given(self.jar_path), given(self.class)) {
            (Some(jar), _) => all.extend(["-jar".to_owned(), jar]),
            (None, Some(class)) => all.push(class),
            (None, None) => {
                let text = "failed to parse config: jar_path or class must be specified";
                return Err(DriverError::Config(text.to_owned()));
            }
        }
        all.extend(self.args);
        Ok(all)
    }
}

/// What `java -version` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Version {
    version: String,
    runtime: String,
    vm: String,
}

impl Version {
    /// From its three lines: `openjdk version "17.0.9" …`, the runtime, the machine. Lines before them are the options' that
    /// the environment adds.
    fn parse(text: &str) -> Option<Version> {
        let mut lines = text.lines().map(str::trim).skip_while(|line| !line.contains(" version \""));
        let version = lines.next()?.split('"').nth(1)?.to_owned();
        let mut next = || lines.next().unwrap_or_default().to_owned();
        Some(Version { version, runtime: next(), vm: next() })
    }
}

pub struct Java {
    node: Node,
    /// What was found the last time: starting Java takes a while, and its place on the disk says whether it is another one.
    found: Mutex<Option<(probe::Identity, Version)>>,
}

impl Java {
    /// `chroot`: the node's directories that tasks see, by where they see them.
    pub fn new(plugin: PluginConfig, chroot: Vec<(PathBuf, PathBuf)>) -> Java {
        Java { node: Node { driver: NAME, plugin, chroot }, found: Mutex::default() }
    }

    async fn launch(&self, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
        let config: Config = super::decode(&request.config)?;
        let ask = Ask {
            command: "java".to_owned(),
            work_dir: config.work_dir.clone(),
            pid_mode: config.pid_mode.clone(),
            ipc_mode: config.ipc_mode.clone(),
            cap_add: config.cap_add.clone(),
            cap_drop: config.cap_drop.clone(),
            args: config.arguments()?,
        };
        walled::launch(&self.node, ask, request).await
    }

    async fn look(&self) -> Result<Version, String> {
        let identity = probe::identity("java").ok_or("java was not found in the agent's PATH")?;
        if let Some((known, version)) = &*self.found.lock().expect("no panic while held")
            && *known == identity
        {
            return Ok(version.clone());
        }
        let said = probe::run("java", &["-version"]).await?;
        let version = Version::parse(&said).ok_or("java -version says nothing that is understood")?;
        *self.found.lock().expect("no panic while held") = Some((identity, version.clone()));
        Ok(version)
    }
}

impl Driver for Java {
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
            if let Some(why) = walled::obstacle() {
                return super::undetected(&why);
            }
            match self.look().await {
                Ok(v) => super::healthy(NAME, &[("version", v.version), ("runtime", v.runtime), ("vm", v.vm)]),
                Err(why) => super::undetected(&why),
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
mod tests;
