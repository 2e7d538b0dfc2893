//! The control loops without their loops: what the leader decides, as values. Pure: no clock, no chance, no IO.
//!
//! [`Evals`] holds [`Broker`] and [`Blocked`] and is fed with the events of state; workers dequeue from it. [`Planner`] verifies
//! their plans. [`Heartbeats`], [`Periodic`], [`Deployments`], [`Drainer`] and [`Gc`] say which [`tarpan_state::Command`]s time asks
//! for. The functions of [`jobs`], [`allocs`], [`nodes`], [`csi`], [`follow_ups`], [`dispatch`], [`deployments`] and [`volumes`] turn
//! requests into commands.

pub mod allocs;
pub mod blocked;
pub mod broker;
pub mod cron;
pub mod csi;
pub mod deployments;
pub mod dispatch;
pub mod drainer;
pub mod evals;
pub mod follow_ups;
pub mod gc;
pub mod heartbeats;
pub mod jobs;
pub mod nodes;
pub mod periodic;
pub mod places;
pub mod planner;
pub mod servers;
pub mod steps;
pub mod volumes;

pub use blocked::{Blocked, Released};
pub use broker::{Broker, BrokerError, Dequeued};
pub use deployments::Deployments;
pub use drainer::Drainer;
pub use evals::Evals;
pub use gc::Gc;
pub use heartbeats::Heartbeats;
pub use periodic::Periodic;
pub use planner::{Planner, Verdict, Verified};
