//! The server's two clocks: [`now`] for whatever is measured and written, [`wall`] for what follows the time of day.
//!
//! `now` is a [`Steady`]: it counts the time that went by while this process ran, whatever is done to the wall clock.

#![allow(clippy::disallowed_methods, reason = "the clock module, and a thread of its own that reads it")]

use std::sync::{LazyLock, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tarpan_model::steady::{BEAT, Steady};
use tarpan_model::{Dur, UnixNanos};

struct Clock {
    began: Instant,
    steady: Mutex<Steady>,
}

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    // Reads it as often as it has to be read; whoever reads first after a gap notices it.
    let beat = std::thread::Builder::new().name("clock".to_owned());
    let _ = beat.spawn(|| {
        loop {
            std::thread::sleep(BEAT.to_std());
            now();
        }
    });
    Clock { began: Instant::now(), steady: Mutex::new(Steady::new(wall(), Dur::ZERO)) }
});

impl Clock {
    fn with<T>(&self, use_it: impl FnOnce(&mut Steady, UnixNanos, Dur) -> T) -> T {
        let mut steady = self.steady.lock().expect("no panic while held");
        // Read under the lock: else an older reading could come after a newer one.
        let monotonic = Dur(i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX));
        use_it(&mut steady, wall(), monotonic)
    }
}

/// The time that deadlines are measured by.
pub(crate) fn now() -> UnixNanos {
    CLOCK.with(|steady, wall, monotonic| steady.read(wall, monotonic))
}

/// The time of day.
pub(crate) fn wall() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// How long this process, in all, did not run: it was stopped, or got no processor.
pub(crate) fn lost() -> Dur {
    CLOCK.with(|steady, wall, monotonic| {
        steady.read(wall, monotonic);
        steady.lost()
    })
}

/// [`now`] takes the wall's time at once; gives the step.
pub(crate) fn adopt() -> Dur {
    CLOCK.with(|steady, wall, _| steady.adopt(wall))
}
