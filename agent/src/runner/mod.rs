//! Runs allocations: [`core`] and [`task`] decide, [`shell`] does.

mod birth;
pub mod core;
pub mod event;
pub mod health;
mod prepare;
pub mod restart;
mod restore;
mod shell;
mod start;
pub mod task;

pub use birth::Birth;
pub use shell::Runner;
