//! What reading one text may cost: steps (time) and bytes (memory).
//!
//! One [`Budget`] goes through parser, evaluator, functions and decoder. Whoever is about to do or to make more than a
//! fixed amount asks first; after a refusal everything ends quickly, and the reader reports it once, with its place.
//! Nothing is given back: bytes count what was ever made, so that memory in use stays below them whatever lives on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::input::Limits;

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Steps,
    Bytes,
    /// Nobody waits for the result any more.
    Stopped,
}

#[derive(Clone)]
pub(crate) struct Budget {
    limits: Limits,
    steps: u64,
    bytes: u64,
    stop: Option<Arc<AtomicBool>>,
    over: Option<Over>,
}

impl Budget {
    pub fn new(limits: Limits, stop: Option<Arc<AtomicBool>>) -> Budget {
        Budget { limits, steps: limits.steps, bytes: limits.bytes, stop, over: None }
    }

    /// Pays for `steps` of work, one at least.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), Over> {
        let steps = steps.max(1);
        if steps > self.steps || self.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
            return Err(self.unpaid(Over::Steps));
        }
        self.steps -= steps;
        Ok(())
    }

    /// Pays for `bytes` that are about to be made, and for the work of making them.
    #[inline]
    pub fn hold(&mut self, bytes: u64) -> Result<(), Over> {
        if bytes > self.bytes {
            return Err(self.unpaid(Over::Bytes));
        }
        self.bytes -= bytes;
        self.spend(bytes / BYTES_PER_STEP)
    }

    #[cold]
    fn unpaid(&mut self, over: Over) -> Over {
        let stopped = self.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed));
        self.refuse(if stopped { Over::Stopped } else { over })
    }

    /// Ends all further work. Gives what was met first.
    pub fn refuse(&mut self, over: Over) -> Over {
        (self.steps, self.bytes) = (0, 0);
        *self.over.get_or_insert(over)
    }

    pub fn over(&self) -> Option<Over> {
        self.over
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many bytes were ever made.
    pub fn held(&self) -> u64 {
        self.limits.bytes - self.bytes
    }

    /// Summary and detail of the finding about what was met.
    pub fn sentence(&self, over: Over) -> (&'static str, String) {
        match over {
            Over::Steps => {
                let most = self.limits.steps;
                (TOO_MUCH_WORK, format!("Reading this text takes more than {most} steps, the most that one may take."))
            }
            Over::Bytes => {
                let most = self.limits.bytes >> 20;
                (
                    TOO_MUCH_MEMORY,
                    format!("Reading this text takes more than {most} MiB of memory, the most that one may take."),
                )
            }
            Over::Stopped => ("Reading was stopped", "Whoever asked for it left before it was done.".to_owned()),
        }
    }
}

/// Copying this many bytes takes about as long as a step.
const BYTES_PER_STEP: u64 = 64;

const TOO_MUCH_WORK: &str = "Too much work";
pub(crate) const TOO_MUCH_MEMORY: &str = "Too much memory";
