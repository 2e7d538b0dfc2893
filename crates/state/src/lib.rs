//! The state of the control plane: tables of shared rows, changed by commands only.
//!
//! Pure: ids and times come inside the commands, so every server that applies the same commands in the same order holds
//! the same state. A [`State`] is a handful of persistent maps: cloning it is a pointer copy, and the clone is a snapshot
//! that readers keep as long as they like. Start at [`State`] and [`Command`]; what tables there are is declared in [`tables`].

mod apply;
pub mod command;
mod csi;
pub mod event;
pub mod guard;
pub mod lineage;
pub mod query;
mod reply;
mod rows;
mod share;
mod snapshot;
mod staged;
mod state;
pub mod tables;
pub mod usage;

pub use apply::same_spec;
pub use command::{Command, Envelope};
pub use csi::PluginHealth;
pub use event::{Change, Event, Topic};
pub use guard::Guard;
pub use lineage::{Epoch, Lineage, Seen, Standing};
pub use reply::{CommandId, Rejection, Reply};
pub use rows::{ChildrenSummary, GroupSummary, JobSubmission, JobSummary, PeriodicLaunch, SchedulerConfig};
pub use snapshot::{RestoreError, TableSize};
pub use state::{JobLive, NodeUsage, State};
pub use tables::{Table, Watch};
