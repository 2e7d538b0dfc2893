//! What the whole node uses, by the kernel's counts.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::collections::BTreeMap;

use tarpan_api::wire::HostMemoryStats;

/// Ticks of `/proc/stat` by core: user, system, idle, total.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticks(pub(crate) BTreeMap<String, [f64; 4]>);

pub(crate) fn ticks() -> Ticks {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.next().filter(|n| n.starts_with("cpu") && n.len() > 3)?.to_owned();
        let n: Vec<f64> = fields.filter_map(|f| f.parse().ok()).collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0.0);
        Some((name, [at(0) + at(1), at(2) + at(5) + at(6), at(3) + at(4), n.iter().take(8).sum()]))
    };
    Ticks(text.lines().filter_map(line).collect())
}

/// How busy the node was since the last look.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    /// Idle and total ticks.
    last: (f64, f64),
}

impl Cpu {
    /// The part of all cores that worked since the call before, or since the machine began: 0 to 1.
    pub(crate) fn busy(&mut self) -> f64 {
        let ticks = ticks();
        let now = ticks.0.values().fold((0.0, 0.0), |(idle, total), n| (idle + n[2], total + n[3]));
        let (idle, total) = (now.0 - self.last.0, now.1 - self.last.1);
        self.last = now;
        if total > 0.0 { (1.0 - idle / total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

pub(crate) fn memory() -> HostMemoryStats {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line =
            text.lines().find_map(|l| l.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        line.unwrap_or(0) * 1024
    };
    let (total, available, free) = (of("MemTotal:"), of("MemAvailable:"), of("MemFree:"));
    HostMemoryStats { total, available, free, used: total.saturating_sub(available) }
}
