//! The node daemon: fingerprints, allocations, tasks, drivers.
//!
//! Start at [`Agent`]: one handle a process, started from [`Options`]. It keeps one session to a server ([`session`]), turns
//! its orders into runners ([`runner`]), and answers the node's own `/v1/client` routes ([`http`]).
//! What a runner decides is in pure cores (`step(event, now) -> effects`); what it does is in the actors around them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make and look at their own directories"))]

mod abandoned;
pub mod agent;
#[cfg(test)]
mod agent_tests;
pub mod alloc_dir;
mod allocs;
pub mod artifact;
pub mod cgroup;
pub mod checks;
mod clock;
#[cfg(test)]
mod clock_tests;
mod context;
mod cores;
mod crash;
#[cfg(test)]
mod crash_tests;
mod csi;
pub mod descriptors;
mod devices;
mod disk;
mod drain;
pub mod driver;
pub mod env;
mod execs;
mod fingerprint;
mod forward;
mod found;
mod gc;
pub mod ground;
mod history;
mod host;
mod http;
mod identity;
mod kept_logs;
mod log_times;
mod names;
mod neighbours;
mod network;
pub mod options;
mod plugin;
mod proc_stat;
mod relay;
pub mod runner;
mod services;
pub mod session;
pub mod simulate;
pub mod store;
pub mod supervisor;
mod template;
#[cfg(test)]
pub(crate) mod test_support;
mod usage;
mod volumes;

pub use abandoned::PREFIX as DEV_PREFIX;
pub use agent::{Agent, StartError};
pub use drain::{SelfDrain, Unfinished};
pub use kept_logs::KeepOptions;
pub use options::{
    ArtifactLimits, BridgeOptions, CniOptions, ExtraPath, GcOptions, Options, Retry, TemplateOptions, TemplateWait,
};
pub use session::Join;
pub use simulate::{SimulateOptions, simulate};

pub(crate) use clock::now;
pub use clock::wall;

/// Becomes a helper of an agent when the process was started as one, and then never returns: a task's supervisor, or what
/// fetches an artifact.
///
/// Call it first in `main`: before arguments are parsed and before any thread exists.
pub fn run_if_supervisor() {
    supervisor::run_if_supervisor();
    artifact::run_if_fetcher();
}

/// An error with its causes, as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Errors of transports say what they hold, and then hold it.
        if said != last {
            text.push_str(": ");
            text.push_str(&said);
        }
        last = said;
        source = cause.source();
    }
    text
}

/// Runs a call that may wait for a disk, or for whoever knows the machine's users, on a thread where nothing else waits for it.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(given) => given,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The agent ends, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}

/// Ranges of a text such as `1-10,22`; parts that are not numbers are left out.
pub(crate) fn ranges(text: &str) -> Vec<std::ops::RangeInclusive<u64>> {
    let part = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse().ok()?..=to.trim().parse().ok()?)
    };
    text.split(',').filter_map(part).collect()
}
