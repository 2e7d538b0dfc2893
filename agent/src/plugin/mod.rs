//! Plugins: programs beside the agent that run tasks, or that know devices. The protocol is `rpc/proto/plugin.proto`, docs/plugins.md
//! tells how one is written.
//!
//! A [`Plugin`] is a program of `plugin_dir` that is kept running: it is started, found again by a later agent, and started anew after
//! its end. [`Plugin::up`] is the connection to it while there is one. What is asked over it is the driver's affair
//! (`driver/external`).

mod process;
mod program;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::Value;
use tarpan_rpc::plugin::plugin_client::PluginClient;
use tarpan_rpc::plugin::{ConfigureRequest, DescribeRequest, Description};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use self::process::{Home, Process, Run};

/// The number of the protocol.
pub(crate) const PROTOCOL: u32 = 1;
/// The largest message, in bytes.
pub(crate) const MESSAGE: usize = 1 << 20;
/// How long a plugin has to say who it is, and to take its configuration.
const INTRODUCTION: Duration = patience(10);
/// How soon a plugin that ended is started again: the first time, and at last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// One that ran for so long has not failed in a row.
const WELL: Duration = Duration::from_secs(60);

/// How long an answer is waited for, in seconds; in this crate's tests a fifth of it.
pub(crate) const fn patience(seconds: u64) -> Duration {
    Duration::from_millis(seconds * if cfg!(test) { 200 } else { 1000 })
}

/// A connection to a plugin that has said who it is.
#[derive(Clone)]
pub(crate) struct Up {
    pub channel: Channel,
    pub description: Arc<Description>,
    /// Counts processes and connections: what was known over another one has to be asked for again.
    pub number: u64,
}

/// How it stands with a plugin.
#[derive(Clone)]
pub(crate) enum Standing {
    /// It was not asked yet.
    Starting,
    Up(Up),
    /// Why it is not there: a sentence.
    Down(String),
}

/// A plugin of this agent.
pub(crate) struct Plugin {
    pub name: String,
    dir: PathBuf,
    args: Vec<String>,
    config: Value,
    node_id: String,
    home: Home,
    standing: watch::Sender<Standing>,
    /// The process while there is one.
    process: Mutex<Option<Arc<Process>>>,
    /// The agent ends it, and does not want it again.
    over: watch::Sender<bool>,
    /// The connection is of no use any more.
    broken: tokio::sync::Notify,
}

/// What an agent's configuration says of plugins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// `plugin_dir`.
    pub dir: PathBuf,
    /// Where plugins have their places in the agent's state.
    pub homes: PathBuf,
    pub node_id: String,
}

/// Names of the plugins: programs in `plugin_dir`, and blocks that name one which is not there. Without those of `own`, which are
/// this agent's drivers.
pub(crate) fn names<'a>(dir: &Path, blocks: impl Iterator<Item = &'a String>, own: &[&str]) -> Vec<String> {
    let mut names = program::names(dir);
    names.extend(blocks.cloned());
    names.sort();
    names.dedup();
    let (taken, free) = names.into_iter().partition::<Vec<_>, _>(|name| own.contains(&name.as_str()));
    for name in taken.iter().filter(|name| program::names(dir).contains(name)) {
        tracing::warn!("the program {name} in plugin_dir is not run: this agent has a driver of that name itself");
    }
    free
}

impl Plugin {
    pub fn new(setup: &Setup, name: &str, args: Vec<String>, config: Value) -> Arc<Plugin> {
        Arc::new(Plugin {
            name: name.to_owned(),
            dir: setup.dir.clone(),
            args,
            config,
            node_id: setup.node_id.clone(),
            home: Home::new(&setup.homes, name),
            standing: watch::Sender::new(Standing::Starting),
            process: Mutex::new(None),
            over: watch::Sender::new(false),
            broken: tokio::sync::Notify::new(),
        })
    }

    /// Keeps the plugin running until [`Plugin::leave`] or [`Plugin::end`].
    pub async fn keep(self: Arc<Self>) {
        let (mut number, mut wait) = (0, AGAIN.0);
        let mut over = self.over.subscribe();
        loop {
            number += 1;
            let begun = std::time::Instant::now();
            let turn = async {
                match self.bring_up(number).await {
                    Ok(process) => tokio::select! {
                        () = process.ended() => "it ended, and is started again".to_owned(),
                        () = self.broken.notified() => "the connection to it broke, and is made anew".to_owned(),
                    },
                    Err(why) => why,
                }
            };
            let why = tokio::select! {
                why = turn => why,
                _ = over.wait_for(|over| *over) => return,
            };
            tracing::warn!(plugin = self.name, "{why}");
            self.standing.send_replace(Standing::Down(why));
            let pause = if begun.elapsed() > WELL { AGAIN.0 } else { wait };
            wait = (pause * 2).min(AGAIN.1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = over.wait_for(|over| *over) => return,
            }
        }
    }

    async fn bring_up(&self, number: u64) -> Result<Arc<Process>, String> {
        let (dir, name) = (self.dir.clone(), self.name.clone());
        let program = crate::blocking(move || program::trusted(&dir, &name)).await?;
        let run = Run { program, args: self.args.clone(), config: self.config.clone() };
        let (process, stream) = Process::get(&self.home, &run).await?;
        let process = Arc::new(process);
        *self.process.lock().expect("no panic while held") = Some(process.clone());
        match self.introduce(stream, number).await {
            Ok(up) => {
                self.standing.send_replace(Standing::Up(up));
                Ok(process)
            }
            Err(why) => {
                // Whatever it is, it is of no use; the next one may be.
                process.end().await;
                Err(why)
            }
        }
    }

    async fn introduce(&self, stream: UnixStream, number: u64) -> Result<Up, String> {
        let channel =
            connect(stream).await.map_err(|error| format!("speaking gRPC with it: {}", crate::chain(&error)))?;
        let mut client = PluginClient::new(channel.clone()).max_decoding_message_size(MESSAGE);
        let described = answer(INTRODUCTION, client.describe(DescribeRequest {})).await;
        let description = described.map_err(|status| said("Describe", &status))?;
        if description.protocol != PROTOCOL {
            return Err(format!("it speaks protocol {}; this agent speaks {PROTOCOL}", description.protocol));
        }
        let config_json = match &self.config {
            Value::Null => "{}".to_owned(),
            config => config.to_string(),
        };
        let request = ConfigureRequest { config_json, node_id: self.node_id.clone() };
        answer(INTRODUCTION, client.configure(request)).await.map_err(|status| said("Configure", &status))?;
        Ok(Up { channel, description: Arc::new(description), number })
    }

    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The connection; the error says why there is none.
    pub fn up(&self) -> Result<Up, String> {
        match &*self.standing.borrow() {
            Standing::Up(up) => Ok(up.clone()),
            Standing::Down(why) => Err(why.clone()),
            Standing::Starting => Err("it has not started yet".to_owned()),
        }
    }

    /// The connection, once there is one: waited for so long.
    pub async fn up_within(&self, patience: Duration) -> Result<Up, String> {
        let mut standing = self.standing.subscribe();
        let waited = standing.wait_for(|standing| matches!(standing, Standing::Up(_)));
        let _ = tokio::time::timeout(patience, waited).await;
        self.up()
    }

    /// Waits, at most so long, until the first start has succeeded or failed.
    pub async fn settled(&self, patience: Duration) {
        let mut standing = self.standing.subscribe();
        let waited = standing.wait_for(|standing| !matches!(standing, Standing::Starting));
        let _ = tokio::time::timeout(patience, waited).await;
    }

    /// Has the process end, for this agent does. One that is left alone lives on, and is found by the next agent.
    pub async fn end(&self) {
        self.over.send_replace(true);
        let process = self.process.lock().expect("no panic while held").take();
        if let Some(process) = process {
            process.end().await;
        }
    }

    /// The agent ends, and the process goes on.
    pub fn leave(&self) {
        self.over.send_replace(true);
    }

    /// A call over this connection found that it is broken: another one is made.
    pub fn broke(&self, up: &Up) {
        if self.up().is_ok_and(|now| now.number == up.number) {
            self.broken.notify_one();
        }
    }

    pub fn look_after_log(&self) {
        self.home.trim_log();
    }
}

/// Ends plugins of earlier agents that this one does not have: their program is gone from `plugin_dir`.
#[allow(clippy::disallowed_methods, reason = "the agent's own state")]
pub(crate) async fn end_others(homes: &Path, names: &[String]) {
    let entries = std::fs::read_dir(homes).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !names.contains(name)) {
        if let Some((process, stream)) = Process::listening(&Home::new(homes, &name)).await {
            tracing::warn!(
                "the plugin {name} is not in plugin_dir any more: it is ended, and its tasks are left to themselves"
            );
            drop(stream);
            process.end().await;
        }
    }
}

/// A channel over this very connection: when it breaks, it is not another one.
async fn connect(stream: UnixStream) -> Result<Channel, tonic::transport::Error> {
    let stream = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let taken = stream.lock().expect("no panic while held").take();
        async move { taken.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the plugin has gone")) }
    });
    Endpoint::from_static("http://plugin").connect_with_connector(connector).await
}

/// The answer to a question, which is given up after this long, wherever it hangs.
pub(crate) async fn answer<T>(
    patience: Duration,
    asked: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answered) => answered.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// A status as a sentence: what was asked, and what was answered.
pub(crate) fn said(call: &str, status: &Status) -> String {
    match status.code() {
        Code::DeadlineExceeded => format!("it does not answer {call}"),
        Code::Unimplemented => format!("it does not know {call}"),
        _ => format!("{call}: {}", short(status.message())),
    }
}

/// Words of a plugin, and not too many.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 1024;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
impl Plugin {
    /// One whose process is the test's affair: this connection leads to it.
    pub(crate) async fn at(name: &str, stream: UnixStream) -> Result<Arc<Plugin>, String> {
        let plugin = Plugin::new(&Setup::default(), name, Vec::new(), Value::Null);
        let up = plugin.introduce(stream, 1).await?;
        plugin.standing.send_replace(Standing::Up(up));
        Ok(plugin)
    }
}
