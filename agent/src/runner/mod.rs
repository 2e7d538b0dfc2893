//! Runs allocations: [`core`] and [`task`] decide, [`shell`] does.

pub mod core;
pub mod event;
pub mod health;
mod prepare;
pub mod restart;
mod restore;
mod shell;
mod start;
pub mod task;

pub use shell::Runner;
