//! A driver that is a program of its own: tasks are run by a plugin, and asked for over its protocol.
//!
//! What a plugin says is bounded and looked at before it is believed; a call that hangs is given up. The agent keeps what a plugin
//! need not do: the task's control groups, the reading of its output, the check of its `config`.

mod exec;
mod handle;
mod request;
mod schema;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tarpan_model::node::DriverInfo;
use tarpan_rpc::plugin::driver_description::Isolation as Described;
use tarpan_rpc::plugin::{DriverDescription, FingerprintReply, FingerprintRequest, ListRequest};

use self::handle::{External as Task, Known, Saved, client, failed, of};
use super::{Driver, DriverError, Handle, Isolation, Mark, Notices, Place, Strays, TaskRequest, Trace, supervised};
use crate::cgroup::Cgroup;
use crate::plugin::{Plugin, Up, answer, patience, short};
use crate::supervisor::collector;

/// How long a plugin has to say how it is, or to list its tasks.
const LOOK: Duration = patience(5);
/// How long a start may take.
const START: Duration = Duration::from_secs(600);
/// How long a plugin that was just started is waited for.
const RETURN: Duration = Duration::from_secs(20);
/// Attributes of one driver, and the bytes of each.
const MOST_ATTRIBUTES: usize = 128;
const LONGEST: usize = 256;

pub struct External {
    plugin: Arc<Plugin>,
    /// What the plugin said of itself last: it counts on while the plugin is away.
    described: Mutex<Option<DriverDescription>>,
}

impl External {
    pub(crate) fn new(plugin: Arc<Plugin>) -> External {
        External { plugin, described: Mutex::new(None) }
    }

    /// The plugin's connection, if it is one that runs tasks. The error is a sentence.
    async fn up(&self, patience: Duration) -> Result<(Up, DriverDescription), String> {
        let up = self.plugin.up_within(patience).await?;
        let Some(driver) = up.description.driver.clone() else { return Err("it runs no tasks".to_owned()) };
        schema::examine(&driver.config)?;
        *self.described.lock().expect("no panic while held") = Some(driver.clone());
        Ok((up, driver))
    }

    fn told(&self, why: String) -> DriverError {
        DriverError::Other(format!("plugin {:?}: {why}", self.plugin.name))
    }

    fn described(&self) -> DriverDescription {
        self.described.lock().expect("no panic while held").clone().unwrap_or_default()
    }

    async fn look(&self) -> DriverInfo {
        let (up, _) = match self.up(Duration::ZERO).await {
            Ok(up) => up,
            Err(why) => return self.unwell(why),
        };
        let mut client = client(&up);
        match answer(LOOK, client.fingerprint(FingerprintRequest {})).await {
            Ok(reply) => self.info(&up, reply),
            Err(status) => {
                let error = failed(&self.plugin, &up, "Fingerprint", &status);
                self.unwell(error.to_string())
            }
        }
    }

    /// A plugin that is known to run tasks is there, and not well; of another nothing is known.
    fn unwell(&self, why: String) -> DriverInfo {
        let detected = self.described.lock().expect("no panic while held").is_some();
        let attributes = if detected { self.attributes(None, FingerprintReply::default()) } else { Default::default() };
        DriverInfo { attributes, detected, healthy: false, health_description: why, update_time: crate::wall() }
    }

    fn info(&self, up: &Up, reply: FingerprintReply) -> DriverInfo {
        let health_description = match (reply.healthy, reply.description.as_str()) {
            (true, "") => "Healthy".to_owned(),
            (false, "") => "the plugin does not say why".to_owned(),
            (_, said) => short(said),
        };
        let (detected, healthy) = (reply.detected, reply.detected && reply.healthy);
        let attributes = if detected { self.attributes(Some(up), reply) } else { Default::default() };
        DriverInfo { attributes, detected, healthy, health_description, update_time: crate::wall() }
    }

    fn attributes(&self, up: Option<&Up>, reply: FingerprintReply) -> tarpan_model::SortedMap<Arc<str>, Arc<str>> {
        let name = &self.plugin.name;
        let mut said: Vec<(String, String)> = reply.attributes.into_iter().collect();
        said.sort();
        let version =
            up.map(|up| ("version".to_owned(), up.description.version.clone())).filter(|(_, v)| !v.is_empty());
        said.truncate(MOST_ATTRIBUTES);
        let plain = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let fits = |key: &str, value: &str| plain(key) && key.len().max(value.len()) <= LONGEST;
        let own = version.into_iter().chain(said).filter(|(key, value)| fits(key, value));
        let own = own.map(|(key, value)| (Arc::from(format!("driver.{name}.{key}")), Arc::from(value)));
        std::iter::once((Arc::from(format!("driver.{name}")), Arc::from("1"))).chain(own).collect()
    }

    async fn launch(&self, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
        let (up, driver) = self.up(RETURN).await.map_err(|why| {
            DriverError::start(format!("plugin {:?} can't start a task: {why}", self.plugin.name), true)
        })?;
        let config = schema::check(&request.config, &driver.config).map_err(DriverError::Config)?;
        let cgroup = supervised::cgroup(&request);
        let started = self.ask(&up, &request, config, &cgroup.as_ref().map(Cgroup::joined).unwrap_or_default()).await;
        let saved = Saved {
            id: request.id.clone(),
            run_dir: request.run_dir.clone(),
            task: request.task.clone(),
            logs: request.logs.clone(),
            cgroup,
            state: Vec::new(),
        };
        match started {
            Ok(state) => Ok(Arc::new(Task::new(self.plugin.clone(), Saved { state, ..saved }, up.number))),
            Err(error) => {
                // Whatever it has begun is not wanted.
                Task::new(self.plugin.clone(), saved, up.number).destroy().await;
                Err(error)
            }
        }
    }

    async fn ask(
        &self,
        up: &Up,
        request: &TaskRequest,
        config: serde_json::Map<String, Value>,
        cgroups: &[std::path::PathBuf],
    ) -> Result<Vec<u8>, DriverError> {
        if let Some(logs) = &request.logs {
            let read = collector::ensure(&request.run_dir, &of(logs, &request.task)).await;
            read.map_err(|why| DriverError::start(why, true))?;
        }
        let asked = request::start(request, config, cgroups);
        let reply = answer(START, client(up).start(asked)).await.map_err(|status| {
            match failed(&self.plugin, up, "Start", &status) {
                DriverError::Other(message) => DriverError::start(message, true),
                config => config,
            }
        })?;
        match reply.state.len() {
            0..=65_536 => Ok(reply.state.into()),
            size => Err(DriverError::start(
                format!("plugin {:?} wants {size} bytes kept of a task; 65536 are", self.plugin.name),
                false,
            )),
        }
    }

    async fn known(&self, saved: Saved) -> Result<Option<Arc<dyn Handle>>, DriverError> {
        let task = Task::new(self.plugin.clone(), saved, 0);
        let (up, _) = self.up(RETURN).await.map_err(|why| self.told(why))?;
        match task.known(&up).await? {
            Known::Yes => Ok(Some(Arc::new(task))),
            Known::No => Ok(None),
        }
    }

    fn mark_saved(&self, mark: &Mark) -> Saved {
        Saved {
            id: mark.id.clone(),
            run_dir: mark.run_dir.clone(),
            task: mark.task.clone(),
            logs: mark.logs.clone(),
            cgroup: supervised::existing_cgroup(mark),
            state: Vec::new(),
        }
    }

    async fn traces(&self, place: &Place) -> Result<Vec<Trace>, DriverError> {
        let (up, _) = self.up(Duration::ZERO).await.map_err(|why| self.told(why))?;
        let listed = answer(LOOK, client(&up).list(ListRequest {})).await;
        let listed = listed.map_err(|status| failed(&self.plugin, &up, "List", &status))?;
        let trace = |id: &str, running| {
            let mut parts = id.split('/');
            let (alloc, task, suffix) = (parts.next()?, parts.next()?, parts.next()?);
            let alloc = tarpan_model::AllocId(uuid::Uuid::parse_str(alloc).ok()?);
            let mark = place.mark(&self.plugin.name, &place.run_dir(alloc, task, suffix))?;
            // A name that leads elsewhere, or another way to write an id, is not one of ours.
            (mark.id == id && tarpan_model::name::part(task).is_ok()).then_some(Trace { mark, running })
        };
        Ok(listed.tasks.iter().filter_map(|task| trace(&task.id, task.running)).collect())
    }
}

impl Driver for External {
    fn name(&self) -> &str {
        &self.plugin.name
    }

    fn is_there(&self) -> bool {
        !self.plugin.up().is_ok_and(|up| up.description.driver.is_none())
    }

    fn isolation(&self) -> Isolation {
        match self.described().isolation() {
            Described::None => Isolation::None,
            Described::Chroot => Isolation::Chroot,
            Described::Image => Isolation::Image,
        }
    }

    fn joins_networks(&self) -> bool {
        self.described().joins_networks
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(self.look())
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request))
    }

    /// Of a plugin that is away nothing is known: its task counts as running until it has been asked.
    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(async move {
            let kept = serde_json::from_value::<Saved>(saved.clone());
            let kept =
                kept.map_err(|e| DriverError::Other(format!("what was kept of the task is not readable: {e}")))?;
            match self.known(kept.clone()).await {
                Ok(Some(task)) => Ok(task),
                Ok(None) => Err(self.told("it does not know this task any more".to_owned())),
                Err(error) => {
                    tracing::warn!(task = kept.task, "{error}; its task is taken for running until it can be asked");
                    Ok(Arc::new(Task::new(self.plugin.clone(), kept, 0)) as Arc<dyn Handle>)
                }
            }
        })
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(self.known(self.mark_saved(mark)))
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(self.traces(place))
    }

    fn strays(&self) -> Option<Strays> {
        Some(Strays { period: Duration::from_secs(30), grace: Duration::from_secs(60), dry_run: false })
    }

    fn upkeep(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let plugin = self.plugin.clone();
            crate::blocking(move || plugin.look_after_log()).await;
        })
    }

    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        let mark = Mark::of(&self.plugin.name, request);
        Box::pin(async move { Task::new(self.plugin.clone(), self.mark_saved(&mark), 0).destroy().await })
    }

    /// A plugin that runs nothing ends with its agent, one that knows devices alone as well; so does one whose tasks do.
    fn part<'a>(&'a self, for_good: bool) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let idle = async {
                let Ok(up) = self.plugin.up() else { return true };
                let mut client = client(&up);
                let listed = answer(LOOK, client.list(ListRequest {}));
                up.description.driver.is_none() || listed.await.is_ok_and(|listed| listed.tasks.is_empty())
            };
            match for_good || idle.await {
                true => self.plugin.end().await,
                false => self.plugin.leave(),
            }
        })
    }
}

#[cfg(test)]
mod tests;
