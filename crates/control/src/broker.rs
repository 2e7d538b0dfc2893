//! Hands pending evaluations to workers: one of a job at a time, the most important first.

use std::sync::Arc;

use tarpan_model::duration::SECOND;
use tarpan_model::ids::EvalId;
use tarpan_model::job::JobType;
use tarpan_model::{Dur, Evaluation, UnixNanos};

/// The broker's times and limits.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    pub nack_timeout: Dur,
    pub delivery_limit: u32,
    pub initial_nack_delay: Dur,
    pub subsequent_nack_delay: Dur,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            nack_timeout: Dur(60 * SECOND),
            delivery_limit: 3,
            initial_nack_delay: Dur(SECOND),
            subsequent_nack_delay: Dur(20 * SECOND),
        }
    }
}

/// An evaluation in the hands of a worker, until it is acked or nacked with `token`.
#[derive(Clone, Debug)]
pub struct Dequeued {
    pub eval: Arc<Evaluation>,
    pub token: u64,
    /// How often it was handed out, this time included.
    pub attempts: u32,
}

/// Why an answer of a worker was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("Evaluation ID not found")]
    NotFound,
    #[error("Token does not match for Evaluation ID")]
    TokenMismatch,
    #[error("Evaluation ID Ack'd after Nack timer expiration")]
    TooLate,
}

/// Counts for metrics and pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    pub ready: usize,
    pub unacked: usize,
    pub pending: usize,
    pub waiting: usize,
    pub cancelable: usize,
    pub failed: usize,
}

/// Pending evaluations on their way to workers.
#[derive(Debug, Default)]
pub struct Broker {}

impl Broker {
    pub fn new(_options: BrokerOptions) -> Broker {
        Broker::default()
    }
    pub fn enabled(&self) -> bool {
        false
    }
    /// Off forgets everything.
    pub fn set_enabled(&mut self, _enabled: bool) {}
    /// Takes a pending evaluation in. `token`: held by the worker that gives it back while it still holds it.
    pub fn enqueue(&mut self, _eval: Arc<Evaluation>, _token: Option<u64>, _now: UnixNanos) {}
    /// Forgets an evaluation that ended elsewhere, unless a worker holds it.
    pub fn remove(&mut self, _id: EvalId) {}
    /// The best ready evaluation of these types, from now on held under `token`.
    pub fn dequeue(&mut self, _types: &[JobType], _token: u64, _now: UnixNanos) -> Option<Dequeued> {
        None
    }
    /// One that was handed out too often: to be written as failed, then acked.
    pub fn dequeue_failed(&mut self, _token: u64, _now: UnixNanos) -> Option<Dequeued> {
        None
    }
    pub fn ack(&mut self, _id: EvalId, _token: u64, _now: UnixNanos) -> Result<(), BrokerError> {
        Ok(())
    }
    pub fn nack(&mut self, _id: EvalId, _token: u64, _now: UnixNanos) -> Result<(), BrokerError> {
        Ok(())
    }
    /// The token under which a worker holds `id`.
    pub fn outstanding(&self, _id: EvalId) -> Option<u64> {
        None
    }
    /// The worker is alive: its time starts again.
    pub fn reset(&mut self, _id: EvalId, _token: u64, _now: UnixNanos) -> Result<(), BrokerError> {
        Ok(())
    }
    /// Stops the worker's time while its plan waits to be committed; [`Broker::reset`] starts it again.
    pub fn pause(&mut self, _id: EvalId, _token: u64) -> Result<(), BrokerError> {
        Ok(())
    }
    /// Carries out what is due: delays that end, workers that were silent too long.
    pub fn step(&mut self, _now: UnixNanos) {}
    /// When [`Broker::step`] has something to do.
    pub fn next_wake(&self) -> Option<UnixNanos> {
        None
    }
    /// Evaluations that a newer one of their job made needless: to be written as canceled.
    pub fn take_cancelable(&mut self, _max: usize) -> Vec<Arc<Evaluation>> {
        Vec::new()
    }
    pub fn stats(&self) -> BrokerStats {
        BrokerStats::default()
    }
}
