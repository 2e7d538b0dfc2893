//! The server role: the shell around the pure control plane.
//!
//! Start at [`Server`]: a cheap handle that HTTP handlers, the UI and tests share. Inside it: `raft` (the log, its store
//! and the state machine that holds `tarpan_state::State`), `publish` (snapshots, recent events, watchers), `sessions`
//! (agents over gRPC) and `control` (the leader's loops that drive `tarpan_control`).

mod clock;
mod control;
mod guests;
mod keyring;
mod meter;
mod options;
mod publish;
mod raft;
mod server;
mod sessions;
mod trouble;

pub mod descriptors;
pub mod doors;
pub mod events;
pub mod http;
pub mod node_request;
pub mod ui;
pub mod watch;

pub use events::{EventFeed, FeedError};
pub use node_request::{ByteStream, NodeRequestError, NodeResponse};
pub use options::{MemberInfo, Options, RaftStats};
pub use server::{ProposeError, Server, StartError};
pub use watch::Watch;

/// Everything this server answers over HTTP: `/v1` and the UI.
pub fn router(server: Server) -> axum::Router {
    let v1 = http::router(server);
    ui::router(v1.clone()).fallback_service(v1)
}
