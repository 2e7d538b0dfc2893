//! The node daemon: fingerprints, allocations, tasks, drivers.
//!
//! Start at [`Agent`]: one handle a process, started from [`Options`]. It keeps one session to a server ([`session`]), turns
//! its orders into runners ([`runner`]), and answers the node's own `/v1/client` routes ([`http`]).
//! What a runner decides is in pure cores (`step(event, now) -> effects`); what it does is in the shells around them.

pub mod agent;
pub mod cgroup;
pub mod options;
pub mod simulate;
pub mod supervisor;

pub use agent::{Agent, StartError};
pub use options::{ArtifactLimits, GcOptions, Options, TemplateOptions};
pub use simulate::{SimulateOptions, simulate};
pub use supervisor::run_if_supervisor;
