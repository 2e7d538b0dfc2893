//! What happened, as lines: the last of them for who reads a failure, all of them as a digest for who compares runs.

use std::collections::VecDeque;

use tarpan_model::UnixNanos;

/// Lines that a failure prints.
const KEPT: usize = 40;

#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    digest: u64,
    keep_all: bool,
}

impl Trace {
    /// `keep_all`: for scenarios and for who reads a whole run.
    pub fn new(keep_all: bool) -> Trace {
        Trace { lines: VecDeque::new(), digest: 0xcbf2_9ce4_8422_2325, keep_all }
    }

    pub fn line(&mut self, at: UnixNanos, text: &str) {
        let millis = at.0 / 1_000_000;
        let line = format!("{:>5}.{:03} {text}", millis / 1_000, millis % 1_000);
        self.mix(line.as_bytes());
        if !self.keep_all && self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// FNV-1a.
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Equal for runs that went alike.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
