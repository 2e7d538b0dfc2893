//! Runs allocations: [`core`] and [`task`] decide, [`actor`] does.

mod actor;
mod advice;
mod birth;
pub mod core;
pub mod event;
mod handle;
pub mod health;
mod inbox;
mod operator;
mod persist;
mod plan;
#[cfg(test)]
mod races_tests;
mod refusal;
mod registrations;
mod request;
pub mod restart;
mod restore;
mod setting_up;
pub(crate) mod setup;
mod start;
pub mod task;
pub mod turn;

pub use birth::Birth;
pub use handle::Runner;
pub use refusal::Refusal;
