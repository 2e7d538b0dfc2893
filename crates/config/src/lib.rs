//! Agent configuration: HCL1 and JSON files, merged in order, under the flags of `tarpan agent`.
//!
//! Reads: file texts and flags as a tree of values. Gives: a typed [`AgentConfig`], or every mistake with file and line.
//! Start at [`load`]; [`hcl1`] parses, [`schema`] knows the keys, [`tree`] checks and merges, [`effects`] tells
//! what a file asks for and does not get, [`agent`] is the typed form,
//! [`sockaddr`] fills address templates.
//! Source: `reference/agent-config.md`; a key without effect is refused or warned of, never passed over.

pub mod agent;
pub mod effects;
pub mod hcl1;
pub mod load;
pub mod schema;
pub mod sockaddr;
pub mod tree;

pub use agent::AgentConfig;
pub use load::{LoadError, Sources, load};
