//! The server role: the shell around the pure control plane.
//!
//! Start at [`Server`]: a cheap handle that HTTP handlers, the UI and tests share. Inside it: `raft` (the log, its store
//! and the state machine that holds `tarpan_state::State`), `publish` (snapshots, recent events, watchers), `sessions`
//! (agents over gRPC) `control` (the leader's loops that drive `tarpan_control`) and `csi`
//! (plugins' controllers, asked over the sessions of their nodes).

pub mod archive;
mod chance;
mod clock;
mod control;
mod csi;
mod errors;
mod forwarded;
mod gossip;
mod guests;
mod keyring;
mod members;
mod meter;
mod options;
mod peers;
mod publish;
mod raft;
mod server;
mod sessions;
mod start;
mod trouble;
mod web;

pub mod events;
pub mod http;
pub mod node_request;
pub mod ui;
pub mod watch;

pub use http::dump;
pub use raft::offline;
pub use tarpan_state::State;

pub use errors::{ProposeError, StartError};
pub use events::{EventFeed, FeedError};
pub use node_request::{ByteStream, NodeRequestError, NodeResponse};
pub use options::{AutopilotConfig, Joins, Key, KeyError, MemberInfo, MemberStatus, Options, RaftStats, join_address};
pub use server::Server;
pub use watch::Watch;
pub use web::router;
