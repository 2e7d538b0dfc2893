//! Runs allocations: [`core`] and [`task`] decide, [`shell`] does.

pub mod core;
pub mod event;
pub mod health;
pub mod restart;
pub mod task;
