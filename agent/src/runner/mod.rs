//! Runs allocations: [`core`] and [`task`] decide, [`actor`] does.

mod actor;
mod birth;
pub mod core;
pub mod event;
mod handle;
pub mod health;
mod operator;
mod persist;
mod plan;
mod prepare;
mod registrations;
pub mod restart;
mod restore;
mod start;
pub mod task;

pub use birth::Birth;
pub use handle::Runner;
