//! Runs allocations: [`core`] and [`task`] decide, [`shell`] does.

pub mod core;
pub mod event;
pub mod health;
mod prepare;
pub mod restart;
mod shell;
pub mod task;

pub use shell::Runner;
