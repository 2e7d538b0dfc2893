//! Choices of a test that is played differently every time, and can be played again.

#![allow(clippy::disallowed_methods, reason = "where a random number begins is a time of day")]

use std::time::SystemTime;

/// A small generator (xorshift): choices of a test, nothing more.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From `TARPAN_SEED`, or else from the time; says which.
    pub fn seeded() -> Random {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        let seed = std::env::var("TARPAN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
        println!("TARPAN_SEED={seed}");
        Random(seed | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Another generator, whose choices follow from this one's.
    pub fn fork(&mut self) -> Random {
        Random(self.below(u64::MAX) | 1)
    }

    /// In another order.
    pub fn shuffled<T>(&mut self, mut things: Vec<T>) -> Vec<T> {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at as u64 + 1) as usize);
        }
        things
    }
}
