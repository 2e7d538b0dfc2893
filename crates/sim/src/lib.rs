//! The inner ring of simulation: the pure parts of servers and agents in one thread, on virtual time, with seeded faults.
//!
//! What runs is what servers run: `tarpan_state` applied from a log, and the parts of `tarpan_control` and `tarpan_scheduler` driven in
//! the order of `server/src/control`. Raft, disks, network, agents and users are models. [`run`] takes a seed and gives a [`Report`];
//! equal seeds give equal reports. A run has users and faults for some minutes, then faults end and all has to heal.
//! Start at `world`; what has to hold is in `checks`.

mod agenda;
mod agents;
mod chance;
mod checks;
mod faults;
mod healing;
mod jobs;
mod lead;
mod plans;
mod proposals;
mod raft;
mod says;
mod scenario;
mod server;
mod sessions;
mod setup;
mod trace;
mod users;
mod workers;
mod world;

use std::fmt;

use tarpan_model::{Dur, UnixNanos};

use self::chance::Chance;
pub use self::checks::Counts;
use self::faults::Fault;
pub use self::scenario::{ScenarioError, play};
use self::setup::Setup;
pub use self::world::Broken;
use self::world::{Event, World};

/// How a run went.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub seed: u64,
    /// Of everything that happened, in its order.
    pub digest: u64,
    /// Virtual time that went by.
    pub took: Dur,
    pub counts: Counts,
    /// `None`: every promise was kept.
    pub failure: Option<Failure>,
}

/// A promise that was broken, with what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub promise: String,
    pub setup: String,
    pub faults: Vec<String>,
    /// The last of what happened.
    pub trace: Vec<String>,
}

/// Runs one seed; `broken` breaks the model on purpose, for tests of the checks.
pub fn run(seed: u64, broken: Option<Broken>) -> Report {
    run_with(seed, broken, false)
}

/// The same; `keep_all`: a failure tells everything that happened.
pub fn run_with(seed: u64, broken: Option<Broken>, keep_all: bool) -> Report {
    let mut chance = Chance::new(seed);
    let setup = Setup::draw(&mut chance);
    let (busy, faults) = (setup.busy, setup.faults);
    let mut world = World::new(setup, chance, broken, keep_all);
    world.users.until = UnixNanos::ZERO + busy;
    world.agenda.at(UnixNanos::from_secs(3), Event::User);
    if faults {
        world.fault_in(Dur::from_secs(10), Fault::Draw);
    }
    world.run_until(UnixNanos::ZERO + busy);
    world.end_well();
    report(seed, &world)
}

fn report(seed: u64, world: &World) -> Report {
    let failure = world.checks.broken().map(|promise| Failure {
        promise: promise.to_owned(),
        setup: format!("{:?}", world.setup),
        faults: world.checks.faults.clone(),
        trace: world.trace.lines().map(str::to_owned).collect(),
    });
    let took = Dur(world.now.0);
    Report { seed, digest: world.trace.digest(), took, counts: world.checks.counts, failure }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(failure) = &self.failure else { return write!(f, "seed {}: kept every promise", self.seed) };
        writeln!(f, "seed {}: {}", self.seed, failure.promise)?;
        writeln!(f, "  {}", failure.setup)?;
        failure.faults.iter().try_for_each(|fault| writeln!(f, "  fault {fault}"))?;
        failure.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "replay: cargo xtask sim -from {} -seeds 1", self.seed)
    }
}
