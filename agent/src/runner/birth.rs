//! When an allocation's life on this node began: what `max_run_duration` counts from, also in a later agent.
//!
//! It is kept by the count that the machine keeps from its start, which every process reads alike and nobody sets. The time
//! of day is asked only where there is no such count: after the machine was started anew, and where the record was lost.

use serde::{Deserialize, Serialize};
use tarpan_model::{Allocation, Dur, UnixNanos};

/// A moment of this machine. Kept in the allocation's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Which start of the machine.
    boot: String,
    /// Nanoseconds since then; negative for what is older.
    at: i64,
}

/// The machine's count, now.
struct Count {
    boot: String,
    at: i64,
}

impl Count {
    fn read() -> Count {
        Count { boot: crate::clock::boot(), at: crate::clock::since_boot().0 }
    }
}

impl Birth {
    pub fn now() -> Birth {
        let count = Count::read();
        Birth { boot: count.boot, at: count.at }
    }

    /// Of an allocation that an earlier agent took in.
    pub fn taken_up(recorded: Option<Birth>, alloc: &Allocation) -> Birth {
        Birth::known(recorded, alloc, &Count::read(), crate::wall())
    }

    fn known(recorded: Option<Birth>, alloc: &Allocation, count: &Count, wall: UnixNanos) -> Birth {
        recorded.filter(|birth| birth.boot == count.boot).unwrap_or_else(|| {
            let age = if alloc.create_time.is_zero() { Dur::ZERO } else { wall.since(alloc.create_time) };
            Birth { boot: count.boot.clone(), at: count.at.saturating_sub(age.0.max(0)) }
        })
    }

    /// The same moment in measured time.
    pub fn measured(&self) -> UnixNanos {
        crate::now() - Dur(crate::clock::since_boot().0.saturating_sub(self.at).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_shortens_no_life() {
        let second = tarpan_model::duration::SECOND;
        let made = UnixNanos::from_secs(1_000_000);
        let alloc = Allocation { create_time: made, ..crate::test_support::alloc("web") };
        let born = Birth { boot: "a".to_owned(), at: 500 * second };
        let (this, next) =
            (Count { boot: "a".to_owned(), at: 560 * second }, Count { boot: "b".to_owned(), at: 60 * second });
        let hour = Dur::from_secs(3600);
        for wall in [made + hour, made - hour] {
            assert_eq!(Birth::known(Some(born.clone()), &alloc, &this, wall), born);
        }
        // After a start of the machine there is nothing but the time of day.
        let age = |wall| 60 * second - Birth::known(Some(born.clone()), &alloc, &next, wall).at;
        assert_eq!((age(made + hour), age(made - hour)), (hour.0, 0));
        let age = |wall| 560 * second - Birth::known(None, &alloc, &this, wall).at;
        assert_eq!(age(made + hour), hour.0);
    }

    #[test]
    fn what_is_born_now_is_no_age_old() {
        assert!(crate::now().since(Birth::now().measured()).0 < tarpan_model::duration::SECOND);
    }
}
