//! A clock for deadlines: the wall's time when it began, and from then on the time that went by while its process ran.
//!
//! Deadlines stand in rows as points in time, and whoever watches them must not be told a wrong time: when somebody sets the
//! wall clock an hour ahead, no hour has passed; when the process was stopped or the machine slept, nobody could have been
//! heard of meanwhile. So this clock follows a monotonic one, leaves out gaps in which nobody read it, and comes back to the
//! wall's time slowly, or at once when its owner says that no deadline is outstanding ([`Steady::adopt`]).
//!
//! Pure: readings are handed in. The owner reads at least every [`BEAT`], and so knows a gap when it sees one.

use crate::{Dur, UnixNanos};

/// How often it has to be read.
pub const BEAT: Dur = Dur(crate::duration::SECOND / 4);
/// A longer time without a reading did not count: the process did not run.
pub const GAP: Dur = Dur(2 * crate::duration::SECOND);
/// It comes back to the wall's time by this part of what goes by: a deadline is off by no more than that.
const SLEW: i64 = 50;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    time: UnixNanos,
    /// The last reading of the monotonic clock.
    read: Dur,
    lost: Dur,
}

impl Steady {
    /// Begins at the wall's time. `monotonic`: since whenever.
    pub fn new(wall: UnixNanos, monotonic: Dur) -> Steady {
        Steady { time: wall, read: monotonic, lost: Dur::ZERO }
    }

    /// The time now. Never goes back.
    pub fn read(&mut self, wall: UnixNanos, monotonic: Dur) -> UnixNanos {
        let passed = Dur((monotonic.0 - self.read.0).max(0));
        self.read = Dur(self.read.0.max(monotonic.0));
        if passed > GAP {
            self.lost = Dur(self.lost.0.saturating_add(passed.0));
            return self.time;
        }
        self.time = self.time + passed;
        let most = passed.0 / SLEW;
        self.time = self.time + Dur(wall.since(self.time).0.clamp(-most, most));
        self.time
    }

    /// How long, in all, its process did not run.
    pub fn lost(&self) -> Dur {
        self.lost
    }

    /// Takes the wall's time at once, forward or back: for when nothing is measured. Gives the step.
    pub fn adopt(&mut self, wall: UnixNanos) -> Dur {
        let step = wall.since(self.time);
        self.time = wall;
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixNanos = UnixNanos::from_secs(1_000_000);
    const HOUR: i64 = 3600;

    /// Reads it every quarter of a second for `seconds`, beside a wall that is `ahead` of the monotonic clock.
    fn run(clock: &mut Steady, from: i64, seconds: i64, ahead: i64) -> i64 {
        let mut time = UnixNanos::ZERO;
        for beat in 0..=seconds * 4 {
            let at = Dur(Dur::from_secs(from).0 + beat * BEAT.0);
            time = clock.read(START + at + Dur::from_secs(ahead), at);
        }
        time.since(START).0 / crate::duration::SECOND
    }

    #[test]
    fn it_goes_with_the_wall_while_that_is_right() {
        let mut clock = Steady::new(START, Dur::ZERO);
        assert_eq!(run(&mut clock, 0, 2 * HOUR, 0), 2 * HOUR);
        assert_eq!(clock.lost(), Dur::ZERO);
    }

    #[test]
    fn a_wall_that_is_set_moves_no_deadline_by_more_than_a_fiftieth() {
        for ahead in [HOUR, -HOUR, 10 * 365 * 24 * HOUR, -50 * 365 * 24 * HOUR] {
            let mut clock = Steady::new(START, Dur::ZERO);
            run(&mut clock, 0, 10, 0);
            let after = run(&mut clock, 10, 100, ahead);
            assert!((108..=112).contains(&after), "{ahead}: {after}");
        }
    }

    #[test]
    fn it_comes_back_to_the_wall_slowly_and_stays_there() {
        let mut clock = Steady::new(START, Dur::ZERO);
        let late = run(&mut clock, 0, 40 * 60, 60);
        assert!((40 * 60 + 40..40 * 60 + 60).contains(&late), "{late}");
        assert_eq!(run(&mut clock, 40 * 60, 40 * 60, 60), 80 * 60 + 60);
    }

    #[test]
    fn time_in_which_nobody_read_it_did_not_pass() {
        let mut clock = Steady::new(START, Dur::ZERO);
        run(&mut clock, 0, 10, 0);
        let stopped = Dur::from_secs(70);
        assert_eq!(clock.read(START + stopped, stopped), START + Dur::from_secs(10));
        assert_eq!(clock.lost(), Dur::from_secs(60));
        let after = run(&mut clock, 70, 100, 0);
        assert!((110..=112).contains(&after), "{after}");
    }

    #[test]
    fn it_never_goes_back_unless_told() {
        let mut clock = Steady::new(START, Dur::ZERO);
        let mut last = START;
        for (at, wall) in [(1, 5), (2, -100), (2, 3), (1, 1), (9, 500), (10, -7)] {
            let time = clock.read(START + Dur::from_secs(wall), Dur::from_secs(at));
            assert!(time >= last, "{at} {wall}");
            last = time;
        }
        assert!(clock.adopt(START).0 < 0);
        assert_eq!(clock.read(START, Dur::from_secs(10)), START);
    }
}
