//! Drives the real `tarpan` binary as a user does: starts agents, types commands, asks `/v1`, kills processes.
//!
//! Used by the tests in `tests/` and by `cargo xtask demo`. Everything a [`Lab`] starts ends with it.
//! Start at [`Lab`] and [`Agent`].

pub mod agent;
pub mod browser;
pub mod chance;
pub mod cluster;
pub mod counting;
pub mod demo;
pub mod disk;
pub mod docker;
pub mod files;
pub mod grounds;
pub mod history;
pub mod http;
pub mod lab;
pub mod net;
pub mod pair;
pub mod proxy;
pub mod simulated;
pub mod traces;
pub mod wall;

pub use agent::{Agent, Output};
pub use lab::{Lab, eventually};
