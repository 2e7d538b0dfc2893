//! Removes what nobody needs any more: old evaluations with their allocations, jobs, deployments, nodes.

use tarpan_model::duration::{HOUR, MINUTE};
use tarpan_model::ids::IdSource;
use tarpan_model::{Dur, UnixNanos};
use tarpan_state::{Command, State};

/// How old things must be.
#[derive(Clone, Debug)]
pub struct GcOptions {
    pub interval: Dur,
    pub eval: Dur,
    pub batch_eval: Dur,
    pub job: Dur,
    pub deployment: Dur,
    pub node: Dur,
}

impl Default for GcOptions {
    fn default() -> Self {
        GcOptions {
            interval: Dur(5 * MINUTE),
            eval: Dur(HOUR),
            batch_eval: Dur(24 * HOUR),
            job: Dur(4 * HOUR),
            deployment: Dur(HOUR),
            node: Dur(24 * HOUR),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gc {
    pub options: GcOptions,
}

impl Gc {
    /// What may go at `now`; `force`: whatever its age.
    pub fn collect(&self, _state: &State, _now: UnixNanos, _force: bool, _ids: &mut dyn IdSource) -> Vec<Command> {
        Vec::new()
    }
}
