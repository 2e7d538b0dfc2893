//! What a look at a job starts from.

use tarpan_model::UnixNanos;
use tarpan_model::ids::IdSource;
use tarpan_state::State;

use crate::columns::Nodes;
use crate::compile::Jobs;

/// What a scheduler may look at besides the evaluation.
pub struct Inputs<'a> {
    pub state: &'a State,
    pub now: UnixNanos,
    /// Seed of the order in which nodes are looked at.
    pub seed: u64,
    pub ids: &'a mut dyn IdSource,
    /// New allocations that one plan places at most; what is left comes with the next look ([`crate::Outcome::more`]). All at once, and on
    /// every node, is not divided.
    pub most: usize,
    /// Kept by the caller between evaluations; a fresh one gives the same answers, slower.
    pub cache: &'a mut Cache,
}

/// What was derived from rows and is still good for the next evaluation. Not shared between threads: one a worker.
#[derive(Default)]
pub struct Cache {
    pub nodes: Nodes,
    pub jobs: Jobs,
}
