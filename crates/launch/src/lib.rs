//! From flags and configuration files to a running agent, whatever roles the program has.
//!
//! Start at [`run`]. A program that can be a server brings a [`ServerRole`]; one that brings none is a client, and says so to who
//! asks for more. [`spelling`] reads flags as the field writes them.

mod flags;
mod logging;
mod names;
mod plan;
mod serve;
pub mod spelling;

use std::sync::Arc;

use tarpan_config::load::{Loaded, problems, warnings};
use tarpan_config::{AgentConfig, LoadError};

pub use self::flags::AgentFlags;
pub use self::plan::{Addresses, Connections, handshake, name, tls};
pub use self::serve::{RunningServer, ServerRole, chain};

/// What runs an agent.
pub struct Program {
    /// What it is called in what it prints: `Tarpan`.
    pub called: &'static str,
    pub version: String,
    /// `None`: it has the client role only.
    pub server: Option<Arc<dyn ServerRole>>,
}

/// With fewer it is said at the start: a connection, a task's logs and a file that is read take one or more each.
const FEW_DESCRIPTORS: u64 = 1024;

/// Runs an agent, or simulated nodes, until a signal ends it. Errors are sentences.
pub async fn run(flags: AgentFlags, program: Program) -> Result<(), String> {
    if let Some(count) = flags.simulate {
        return simulate(&flags, count).await;
    }
    let loaded = read(&flags)?;
    match loaded.files.as_slice() {
        [] => println!("==> No configuration files loaded"),
        files => {
            let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
            println!("==> Loaded configuration from {}", names.join(", "));
        }
    }
    for warning in idle(&flags, &loaded).chain(warnings(&loaded.config)) {
        println!("==> WARNING: {warning}");
    }
    println!("==> Starting {} agent...", program.called);
    let log = logging::start(&loaded.config).map_err(|e| format!("Error opening the log file: {e}"))?;
    let limit = tarpan_agent::descriptors::raise();
    tracing::info!(from = limit.from, to = limit.to, "limit of file descriptors; tasks get the first");
    if limit.to < FEW_DESCRIPTORS {
        tracing::warn!(
            "{} file descriptors are few for an agent: raise the hard limit (LimitNOFILE, ulimit -Hn)",
            limit.to
        );
    }
    serve::run(loaded.config, program, Arc::new(move || reload(&flags, &log))).await
}

/// The merged configuration, judged.
fn read(flags: &AgentFlags) -> Result<Loaded, String> {
    let sources = flags.sources()?;
    let loaded = tarpan_config::load(&sources).map_err(load_error)?;
    let wrong = [problems(&loaded.config), loaded.refused.clone(), flags.refused()].concat();
    if wrong.is_empty() { Ok(loaded) } else { Err(wrong.join("\n")) }
}

/// What was set and does nothing.
fn idle(flags: &AgentFlags, loaded: &Loaded) -> impl Iterator<Item = String> {
    loaded.idle.clone().into_iter().chain(flags.without_effect())
}

/// The error with its causes.
pub fn load_error(error: LoadError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("Error loading configuration: {error}: {cause}"),
        None => format!("Error loading configuration:\n{error}"),
    }
}

/// SIGHUP: reads the configuration again and takes the log level from it, and then the certificates. The rest needs a restart.
fn reload(flags: &AgentFlags, log: &logging::LogHandle) -> Option<AgentConfig> {
    match read(flags) {
        Ok(loaded) => {
            log.set(&loaded.config);
            idle(flags, &loaded).for_each(|warning| tracing::warn!("{warning}"));
            tracing::info!(log_level = %loaded.config.log_level, "configuration reloaded");
            Some(loaded.config)
        }
        Err(text) => {
            tracing::error!("configuration not reloaded: {text}");
            None
        }
    }
}

async fn simulate(flags: &AgentFlags, count: usize) -> Result<(), String> {
    let mut options = tarpan_agent::SimulateOptions { count, ..tarpan_agent::SimulateOptions::default() };
    let servers = flags.server_list();
    if !servers.is_empty() {
        options.servers = servers;
    }
    if let Some(dc) = &flags.dc {
        options.datacenter.clone_from(dc);
    }
    if let Some(pool) = &flags.node_pool {
        options.node_pool.clone_from(pool);
    }
    tarpan_agent::simulate(options).await.map_err(|e| format!("{e:#}"))
}
