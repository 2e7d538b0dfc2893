//! The nouns of Tarpan and the rules that belong to them alone.
//!
//! Pure: no IO, no clock, no random source. Ids and times are handed in. Compiles to wasm32.
//! The Job tree ([`job`]) is what users write; [`Node`], [`Allocation`], [`Evaluation`] and [`Deployment`] are the compact
//! rows that state keeps and raft and gRPC carry (their `/v1` forms are in `tarpan-api`).

// The derive writes `::tarpan_model::…`, also inside this crate.
extern crate self as tarpan_model;

pub mod alike;
pub mod alloc;
pub mod csi;
pub mod deployment;
pub mod diff;
pub mod duration;
pub mod eval;
pub mod glob;
pub mod go;
pub mod ids;
pub mod job;
pub mod measure;
pub mod metric;
pub mod name;
pub mod node;
pub mod plan;
pub mod resources;
pub mod root_key;
pub mod scaling;
pub mod schema;
pub mod service;
pub mod sorted;
pub mod steady;
pub mod subnet;
mod text_enum;
pub mod time;
pub mod volume;
pub mod wire;

pub use alloc::{Allocation, ClientStatus, DesiredStatus, TaskEvent, TaskState};
pub use deployment::{Deployment, DeploymentStatus};
pub use duration::Dur;
pub use eval::{EvalStatus, Evaluation, Trigger};
pub use ids::{AllocId, ClaimId, DeploymentId, EvalId, JobId, Namespace, NamespacedId, NodeId, VolumeId};
pub use job::{Job, JobType, Task, TaskGroup};
pub use metric::AllocMetric;
pub use node::{Eligibility, Node, NodeStatus};
pub use plan::{Plan, PlanResult};
pub use root_key::RootKey;
pub use scaling::{ScalingEvent, ScalingEvents};
pub use sorted::SortedMap;
pub use time::UnixNanos;

/// The release of the field's surface that Tarpan speaks: what nodes call `nomad.version`, so that constraints on it hold.
pub const COMPATIBLE_VERSION: &str = "2.0.6";
