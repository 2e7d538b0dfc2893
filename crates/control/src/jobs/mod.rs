//! What is asked for a job, as commands: taking it in, ending it, looking at it again, an earlier version, another count.
//!
//! Reads: state, the request, `now`. Gives: a [`Command`] guarded by what was looked at, so that it is decided anew when
//! others were faster. Periodic and parameterized jobs get no evaluations; their children do.
//! Start at [`register`]; [`admission`] has the rules that every job goes through. Texts of refusals are the wire's.

pub mod admission;
mod change;
mod error;
mod eval;
mod register;
mod scale;

pub use admission::registration_on;
pub use change::{Deregister, Reevaluated, Revert, deregister, evaluate, revert};
pub use error::JobError;
pub use register::{Accepted, Registration, register};
pub use scale::{Scale, scale};

#[cfg(test)]
mod tests;
