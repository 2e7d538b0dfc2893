//! Task drivers: one trait, a file a driver.
//!
//! A driver starts a task from a [`TaskRequest`] and gives a [`Handle`] on it; the handle's `save` text is kept by the
//! agent, and [`Driver::recover`] finds the same task again after the agent was restarted.

pub mod docker;
pub mod exec;
pub mod external;
pub mod java;
pub mod mark;
pub mod mock;
mod probe;
mod process_exec;
pub mod qemu;
pub mod raw_exec;
mod session;
mod supervised;
mod walled;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::node::DriverInfo;
use tarpan_model::resources::{PortMapping, TaskResources};
use tarpan_model::{AllocId, SortedMap};

pub use self::mark::{Mark, Place, Trace};
pub(crate) use self::walled::chroot;
use crate::alloc_dir::TaskDirs;
pub use crate::supervisor::Exit;

/// How much a driver keeps its task apart from the node's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The task sees the node's paths.
    None,
    /// The task has a root of its own; its directories are `/alloc`, `/local` and `/secrets`.
    Chroot,
    Image,
}

/// A driver as it is asked to start a task. Everything is interpolated already.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    pub alloc_id: AllocId,
    pub task: String,
    /// `<alloc id>/<task>/<8 hex>`: one start of the task.
    pub id: String,
    pub config: BTreeMap<String, Value>,
    pub env: BTreeMap<String, String>,
    pub user: String,
    pub resources: TaskResources,
    /// Cores of those who have none for themselves, such as `0-1,3`; empty: all that there are.
    pub shared_cores: String,
    /// Everything the node can give, in MHz: the base of relative shares.
    pub node_cpu_mhz: i64,
    pub ports: Vec<PortMapping>,
    /// `host`, `bridge`, `none`, … of the group; empty: it has no network.
    pub network_mode: String,
    /// The network namespace of the group, where it has one.
    pub netns: Option<PathBuf>,
    /// Address of the allocation in its own network; empty where it has none.
    pub address: String,
    pub hostname: String,
    pub dns: Option<Dns>,
    pub dirs: TaskDirs,
    pub mounts: Vec<Mount>,
    /// A task that sees the node's paths has them already.
    pub devices: Vec<DeviceNode>,
    pub logs: Option<LogTarget>,
    /// The node's own directory for this start: pid and exit files.
    pub run_dir: PathBuf,
    pub cgroup_parent: String,
    /// Names that go into labels: `job_name`, `job_id`, `task_group_name` …
    pub labels: BTreeMap<String, String>,
    pub kill_signal: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// A directory of the node that the task sees at `target`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The node's volume of that name.
    pub volume: String,
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
    /// private, host-to-task or bidirectional.
    pub propagation: String,
    /// `z` (shared) or `Z` (the task's alone) has the files labelled for SELinux; empty: they stay as they are.
    pub selinux_label: String,
}

/// A device file that the task is given, of a device that the servers gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Below `/dev` of the node.
    pub source: PathBuf,
    /// Below `/dev` of the task.
    pub target: PathBuf,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// Where a driver that writes logs itself puts them: [`crate::alloc_dir::LOGS`] below the allocation's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    pub alloc: PathBuf,
    pub max_files: u64,
    pub max_bytes: u64,
}

/// Why a driver did not do what was asked; the text is shown in the task's events.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DriverError {
    /// The configuration can't be used: trying again is no use.
    #[error("{0}")]
    Config(String),
    /// The start failed; `recoverable`: another try may work.
    #[error("{message}")]
    Start { message: String, recoverable: bool },
    #[error("{0}")]
    Other(String),
}

impl DriverError {
    pub fn start(message: impl Into<String>, recoverable: bool) -> DriverError {
        DriverError::Start { message: message.into(), recoverable }
    }
}

/// Figures of one task now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskUsage {
    /// Total CPU time in nanoseconds; the reader makes rates from two of these.
    pub cpu_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
    /// Bytes.
    pub memory: u64,
    pub memory_max: u64,
    pub rss: u64,
    pub cache: u64,
    pub swap: u64,
}

impl From<crate::cgroup::Usage> for TaskUsage {
    fn from(u: crate::cgroup::Usage) -> TaskUsage {
        TaskUsage {
            cpu_ns: u.cpu_ns,
            user_ns: u.user_ns,
            system_ns: u.system_ns,
            throttled_periods: u.throttled_periods,
            throttled_ns: u.throttled_ns,
            memory: u.memory,
            memory_max: u.memory_max,
            rss: u.rss,
            cache: u.cache,
            swap: u.swap,
        }
    }
}

/// The address a driver gave its task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverNetwork {
    pub ip: String,
    /// Services should be advertised at this address rather than the node's.
    pub advertise: bool,
    /// Port label to port at that address.
    pub ports: BTreeMap<String, u16>,
}

/// Told while a task starts: sentences for its events, such as `Downloading image`.
pub type Notices = Arc<dyn Fn(String) + Send + Sync>;

/// One running (or ended) task.
pub trait Handle: Send + Sync {
    /// What [`Driver::recover`] needs to find the task again.
    fn save(&self) -> Value;
    /// Waits for its end. May be called many times.
    fn wait(&self) -> BoxFuture<'_, Exit>;
    /// Asks it to end by `signal` (empty: the driver's own), waits up to `grace`, then forces it.
    fn stop<'a>(&'a self, signal: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), DriverError>>;
    fn signal<'a>(&'a self, signal: &'a str) -> BoxFuture<'a, Result<(), DriverError>>;
    /// Ends it if need be and removes what is left of it.
    fn destroy(&self) -> BoxFuture<'_, ()>;
    fn usage(&self) -> BoxFuture<'_, Option<TaskUsage>>;
    fn network(&self) -> Option<DriverNetwork> {
        None
    }
    /// Runs a further command in the task.
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Box<dyn Execution>, DriverError>> {
        let _ = request;
        Box::pin(async { Err(DriverError::Other("exec is not supported by this task driver".to_owned())) })
    }
}

/// A command to run in a task.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    pub command: Vec<String>,
    pub tty: bool,
}

/// What comes out of an executed command.
#[derive(Clone, Debug)]
pub enum ExecOutput {
    Stdout(bytes::Bytes),
    Stderr(bytes::Bytes),
    Exited(i32),
}

/// What goes into an executed command.
#[derive(Clone, Debug)]
pub enum ExecInput {
    Stdin(bytes::Bytes),
    CloseStdin,
    Resize { height: u16, width: u16 },
}

/// A command that runs in a task. When it is dropped, the command and everything in its session ends.
pub trait Execution: Send {
    /// The next output; `None` after [`ExecOutput::Exited`].
    fn output(&mut self) -> BoxFuture<'_, Option<ExecOutput>>;
    fn input(&self) -> tokio::sync::mpsc::Sender<ExecInput>;
}

pub trait Driver: Send + Sync {
    fn name(&self) -> &str;
    /// Whether there is such a driver at all: a plugin may turn out to be something else.
    fn is_there(&self) -> bool {
        true
    }
    fn isolation(&self) -> Isolation;
    /// Signal of a stop where the job names none.
    fn default_signal(&self) -> &'static str {
        "SIGINT"
    }
    /// Who runs a task whose job names no user; empty: whoever runs the agent, or what the image says.
    fn default_user(&self) -> &'static str {
        ""
    }
    fn supports_mounts(&self) -> bool {
        self.isolation() != Isolation::None
    }
    /// Whether it is there and well. Called at the start and then now and again.
    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo>;
    fn start(&self, request: TaskRequest, notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>>;
    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>>;
    /// The task that this start has brought about, also when nobody heard of it; `None`: it runs not, and will not run.
    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        let _ = mark;
        Box::pin(async { Ok(None) })
    }
    /// Every start of this agent that the machine shows traces of, whatever the agent remembers. Never somebody else's.
    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        let _ = place;
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Whether its tasks can be in the network namespace of their allocation.
    fn joins_networks(&self) -> bool {
        true
    }
    /// Namespaces in this directory, by their files, for which the driver has made something beside its tasks.
    fn joined<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Vec<PathBuf>> {
        let _ = dir;
        Box::pin(async { Vec::new() })
    }
    /// A namespace goes: what was made for it goes before.
    fn leave<'a>(&'a self, id: AllocId, netns: &'a Path) -> BoxFuture<'a, ()> {
        let _ = (id, netns);
        Box::pin(async {})
    }
    /// Tasks without cores of their own run on these from now on, such as `0-1,3`. Of drivers whose tasks are in groups of somebody else's.
    fn share_cores<'a>(&'a self, shared: &'a str) -> BoxFuture<'a, ()> {
        let _ = shared;
        Box::pin(async {})
    }
    /// What nobody asks for, such as removing what is not used any more. Called now and then, never twice at a time.
    fn upkeep(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    /// How runs are dealt with that are nobody's; `None`: they stay.
    fn strays(&self) -> Option<Strays> {
        None
    }
    /// The agent ends. `for_good`: its tasks have ended as well.
    fn part<'a>(&'a self, for_good: bool) -> BoxFuture<'a, ()> {
        let _ = for_good;
        Box::pin(async {})
    }
    /// Removes what a start that was given up may have left.
    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        let _ = request;
        Box::pin(async {})
    }
}

/// Runs of this agent that are no task's: looked for every `period`, ended when they were nobody's for `grace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strays {
    pub period: Duration,
    pub grace: Duration,
    /// They are told of in the log, and go on.
    pub dry_run: bool,
}

/// Reads a driver's configuration block into its type. Unknown keys are mistakes.
pub fn decode<T: serde::de::DeserializeOwned>(config: &BTreeMap<String, Value>) -> Result<T, DriverError> {
    let object = Value::Object(config.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    serde_json::from_value(object).map_err(|error| DriverError::Config(format!("failed to parse config: {error}")))
}

/// Accepts a text where a list or number is meant to be: HCL and interpolation give numbers and flags as text.
pub mod lenient {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde_json::Value;

    pub fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
        match Value::deserialize(d)? {
            Value::Null => Ok(None),
            Value::Bool(b) => Ok(Some(b)),
            Value::String(s) if matches!(s.as_str(), "true" | "1") => Ok(Some(true)),
            Value::String(s) if matches!(s.as_str(), "false" | "0") => Ok(Some(false)),
            other => Err(D::Error::custom(format!("expected true or false, found {other}"))),
        }
    }

    pub fn int<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
        match Value::deserialize(d)? {
            Value::Null => Ok(None),
            Value::Number(n) => Ok(n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))),
            Value::String(s) => {
                s.trim().parse().map(Some).map_err(|_| D::Error::custom(format!("expected a number, found {s:?}")))
            }
            other => Err(D::Error::custom(format!("expected a number, found {other}"))),
        }
    }

    /// A text; numbers and flags are written out.
    pub fn text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
        Ok(scalar(Value::deserialize(d)?))
    }

    /// A list of texts.
    pub fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
        match Value::deserialize(d)? {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok(items.into_iter().filter_map(scalar).collect()),
            other => Err(D::Error::custom(format!("expected a list of texts, found {other}"))),
        }
    }

    /// A map to texts, written as a block (a list of maps) or an attribute.
    pub fn text_map<'de, D: Deserializer<'de>>(d: D) -> Result<std::collections::BTreeMap<String, String>, D::Error> {
        let mut merged = std::collections::BTreeMap::new();
        let mut add = |value: Value| {
            if let Value::Object(map) = value {
                merged.extend(map.into_iter().filter_map(|(k, v)| Some((k, scalar(v)?))));
            }
        };
        match Value::deserialize(d)? {
            Value::Array(items) => items.into_iter().for_each(add),
            value => add(value),
        }
        Ok(merged)
    }

    /// A repeatable block: one object, a list of objects, or nothing.
    pub fn blocks<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
        match Value::deserialize(d)? {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => {
                items.into_iter().map(|v| serde_json::from_value(v).map_err(D::Error::custom)).collect()
            }
            value => Ok(vec![serde_json::from_value(value).map_err(D::Error::custom)?]),
        }
    }

    fn scalar(value: Value) -> Option<String> {
        match value {
            Value::Null => None,
            Value::String(s) => Some(s),
            other => Some(other.to_string()),
        }
    }
}

/// The number of a signal's name, with or without `SIG`, in any case.
pub fn signal_number(name: &str) -> Result<i32, DriverError> {
    let upper = name.trim().to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<nix::sys::signal::Signal>()
        .map(|s| s as i32)
        .map_err(|_| DriverError::Other(format!("unknown signal {name:?}")))
}

/// Healthy and found, with these attributes beside `driver.<name>`.
pub fn healthy(name: &str, attributes: &[(&str, String)]) -> DriverInfo {
    let mut all: SortedMap<Arc<str>, Arc<str>> =
        SortedMap::from([(Arc::from(format!("driver.{name}")), Arc::from("1"))]);
    all.extend(attributes.iter().map(|(k, v)| (Arc::from(format!("driver.{name}.{k}")), Arc::from(v.as_str()))));
    DriverInfo {
        attributes: all,
        detected: true,
        healthy: true,
        health_description: "Healthy".to_owned(),
        update_time: crate::wall(),
    }
}

/// Not there: why, in a sentence.
pub fn undetected(reason: &str) -> DriverInfo {
    DriverInfo { health_description: reason.to_owned(), update_time: crate::wall(), ..DriverInfo::default() }
}
