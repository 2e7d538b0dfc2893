//! How large a run is and how long, drawn from its seed or written in a scenario.

use tarpan_control::gc::GcOptions;
use tarpan_model::Dur;
use tarpan_model::duration::MINUTE;

use crate::chance::Chance;

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub servers: usize,
    pub nodes: usize,
    /// Jobs that there are at a time, about.
    pub jobs: usize,
    /// Of the leader.
    pub workers: usize,
    /// Nodes have hardly room for what is asked for.
    pub tight: bool,
    /// Jobs of every type may preempt.
    pub preempts: bool,
    /// How long users and faults are at work.
    pub busy: Dur,
    pub faults: bool,
    /// New allocations that one look at a job places, and that one entry of the log has.
    pub most: usize,
    pub part: usize,
}

impl Setup {
    pub fn draw(chance: &mut Chance) -> Setup {
        Setup {
            servers: *chance.pick(&[1, 3, 3, 3, 5]).unwrap_or(&3),
            nodes: chance.between(4, 8) as usize,
            jobs: chance.between(4, 7) as usize,
            workers: chance.between(1, 3) as usize,
            tight: chance.one_in(4),
            preempts: chance.one_in(3),
            busy: chance.secs(90, 200),
            faults: !chance.one_in(12),
            most: *chance.pick(&[1, 2, 5, usize::MAX]).unwrap_or(&usize::MAX),
            part: *chance.pick(&[1, 2, usize::MAX]).unwrap_or(&usize::MAX),
        }
    }

    /// A run is minutes long: things grow old early.
    pub fn gc(&self) -> GcOptions {
        GcOptions {
            interval: Dur(MINUTE),
            eval: Dur(2 * MINUTE),
            batch_eval: Dur(4 * MINUTE),
            job: Dur(3 * MINUTE),
            deployment: Dur(2 * MINUTE),
            node: Dur(10 * MINUTE),
            csi_plugin: Dur(10 * MINUTE),
        }
    }
}
