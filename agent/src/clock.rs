//! The agent's two clocks.
//!
//! [`now`] measures: it goes on evenly whatever is done to the machine's time of day, and it stands still while this process
//! does not run (stopped by a signal, a suspended machine). All waiting, deadlines and ages go by it, so that neither a
//! jump of the clock nor a pause of the agent kills or restarts a healthy task. [`wall`] is the time of day, for what people
//! and other machines read. Both begin equal.

#![allow(clippy::disallowed_methods, reason = "the clock module, and a thread of its own that reads it")]

use std::sync::{Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use tarpan_model::steady::{BEAT, GAP, Steady};
use tarpan_model::{Dur, UnixNanos};

struct Clock {
    begun: Instant,
    steady: Mutex<Steady>,
}

impl Clock {
    fn get() -> &'static Clock {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        static TICKING: OnceLock<()> = OnceLock::new();
        let clock =
            CLOCK.get_or_init(|| Clock { begun: Instant::now(), steady: Mutex::new(Steady::new(wall(), Dur::ZERO)) });
        TICKING.get_or_init(|| {
            // A thread of its own: the runtime's timers may be late for reasons that are no pause.
            let ticking = std::thread::Builder::new().name("clock".to_owned()).spawn(move || {
                loop {
                    std::thread::sleep(BEAT.to_std());
                    clock.now();
                }
            });
            if let Err(error) = ticking {
                tracing::error!("pauses of this agent will not be noticed: {error}");
            }
        });
        clock
    }

    fn now(&self) -> UnixNanos {
        let mut steady = self.steady.lock().expect("no panic while held");
        steady.read(wall(), Dur::from(self.begun.elapsed()))
    }
}

/// For everything that is measured.
pub(crate) fn now() -> UnixNanos {
    Clock::get().now()
}

/// The time of day.
pub fn wall() -> UnixNanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wall = UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    #[cfg(test)]
    let wall = wall + crate::clock_tests::ahead();
    wall
}

/// By the count that the machine keeps from its start: the same for every process, and nobody sets it.
pub(crate) fn since_boot() -> Dur {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Dur(time.tv_sec.saturating_mul(tarpan_model::duration::SECOND).saturating_add(time.tv_nsec))
}

/// Which start of the machine this is. Builds for tests may be told another: the machine of a test is not started anew.
pub(crate) fn boot() -> String {
    #[cfg(debug_assertions)]
    if let Ok(told) = std::env::var("TARPAN_BOOT_ID") {
        return told;
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// What has to be added to a measured time to write it down; 0 until somebody sets the machine's clock or the agent pauses.
pub(crate) fn offset() -> Dur {
    let offset = wall().0 - now().0;
    // Clocks that are kept right by small steps: readers compare these times with each other.
    if offset.abs() < GAP.0 { Dur::ZERO } else { Dur(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_begin_equal() {
        assert_eq!(offset(), Dur::ZERO);
    }
}
