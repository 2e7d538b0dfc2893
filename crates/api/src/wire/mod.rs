//! The shapes of `/v1` besides the Job tree: list stubs, objects, requests and responses, with the wire's names.
//!
//! One module a subject; all names are also here. Source: `reference/http-api.md`, "JSON shapes". Unknown fields are
//! ignored, `null` reads as the default. How the servers' rows become these is in [`crate::convert`].

mod access;
mod agent;
mod allocs;
mod csi;
mod deployments;
mod evals;
mod events;
mod jobs;
mod keyring;
mod namespaces;
mod node_resources;
mod nodes;
mod overview;
mod plan;
mod resources;
mod scaling;
mod search;
mod services;
mod stats;
mod volumes;

pub use access::*;
pub use agent::*;
pub use allocs::*;
pub use csi::*;
pub use deployments::*;
pub use evals::*;
pub use events::*;
pub use jobs::*;
pub use keyring::*;
pub use namespaces::*;
pub use node_resources::*;
pub use nodes::*;
pub use overview::*;
pub use plan::*;
pub use resources::*;
pub use scaling::*;
pub use search::*;
pub use services::*;
pub use stats::*;
pub use volumes::*;
