//! `agent`: one process in the server role, the client role or both, until a signal ends it.

mod flags;
mod logging;
mod names;
mod plan;
mod serve;

use std::sync::Arc;

use tarpan_config::load::{Loaded, problems, warnings};
use tarpan_config::{AgentConfig, LoadError};

use crate::command::{Command, Fail, Outcome};
use crate::output;
pub use flags::AgentFlags;
pub use plan::tls;

#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(flatten)]
    flags: AgentFlags,
    args: Vec<String>,
}

impl Command for Agent {
    const PATH: &'static str = "agent";
    const ABOUT: &'static str = "Runs an agent: a server, a client or both.";
    const DETAILS: &'static str = "The agent runs until it is interrupted. Configuration comes from -config files and \
        directories in their order; flags stand above them. \"agent -dev\" needs no configuration at all.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        if let Some(count) = self.flags.simulate {
            return simulate(&self.flags, count).await;
        }
        let loaded = read(&self.flags)?;
        match loaded.files.as_slice() {
            [] => println!("==> No configuration files loaded"),
            files => {
                let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
                println!("==> Loaded configuration from {}", names.join(", "));
            }
        }
        for warning in idle(&self.flags, &loaded).chain(warnings(&loaded.config)) {
            println!("==> WARNING: {warning}");
        }
        println!("==> Starting {} agent...", if output::program() == "nomad" { "Nomad" } else { "Tarpan" });
        let log = logging::start(&loaded.config).map_err(|e| Fail::new(format!("Error opening the log file: {e}")))?;
        let limit = tarpan_agent::descriptors::raise();
        tracing::info!(from = limit.from, to = limit.to, "limit of file descriptors; tasks get the first");
        if limit.to < FEW_DESCRIPTORS {
            tracing::warn!(
                "{} file descriptors are few for an agent: raise the hard limit (LimitNOFILE, ulimit -Hn)",
                limit.to
            );
        }
        serve::run(loaded.config, Arc::new(move || reload(&self.flags, &log))).await
    }

    fn execute(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| Fail::new(format!("Error starting the runtime: {e}")))?;
        let outcome = runtime.block_on(self.run());
        // What still runs in the background has had its chance.
        runtime.shutdown_timeout(std::time::Duration::from_millis(500));
        outcome
    }
}

/// With fewer it is said at the start: a connection, a task's logs and a file that is read take one or more each.
const FEW_DESCRIPTORS: u64 = 1024;

/// Of each worker thread. The addresses of pages are listed on one, which nests as deeply as their views do: more than tokio's 2 MiB.
/// Address space only; what is not touched costs nothing.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// The merged configuration, judged.
fn read(flags: &AgentFlags) -> Result<Loaded, Fail> {
    let sources = flags.sources().map_err(Fail::new)?;
    let loaded = tarpan_config::load(&sources).map_err(load_error)?;
    let wrong = [problems(&loaded.config), loaded.refused.clone(), flags.refused()].concat();
    if wrong.is_empty() { Ok(loaded) } else { Err(Fail::new(wrong.join("\n"))) }
}

/// What was set and does nothing.
fn idle(flags: &AgentFlags, loaded: &Loaded) -> impl Iterator<Item = String> {
    loaded.idle.clone().into_iter().chain(flags.without_effect())
}

/// The error with its causes.
pub fn load_error(error: LoadError) -> Fail {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => Fail::new(format!("Error loading configuration: {error}: {cause}")),
        None => Fail::new(format!("Error loading configuration:\n{error}")),
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
        Err(Fail::Message { text, .. } | Fail::Usage(text)) => {
            tracing::error!("configuration not reloaded: {text}");
            None
        }
    }
}

async fn simulate(flags: &AgentFlags, count: usize) -> Outcome {
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
    tarpan_agent::simulate(options).await.map_err(|e| Fail::new(format!("{e:#}")))?;
    Ok(0)
}
