//! Control groups of tasks, versions 1 and 2: limits, usage, and killing everything in them.
//!
//! Without root or without a hierarchy there are none; tasks then run unlimited and without usage figures.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /sys and /proc")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tarpan_model::resources::TaskResources;

const ROOT: &str = "/sys/fs/cgroup";
/// The version 1 hierarchies that a task joins.
const V1: [&str; 6] = ["cpu", "cpuacct", "memory", "freezer", "pids", "blkio"];

/// Which control groups this machine lets us make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
    Off,
}

impl Version {
    /// Value of the attribute `os.cgroups.version`.
    pub fn attribute(self) -> Option<&'static str> {
        match self {
            Version::V1 => Some("1"),
            Version::V2 => Some("2"),
            Version::Off => None,
        }
    }

    /// The field's parent group where the configuration names none.
    pub fn default_parent(self) -> &'static str {
        match self {
            Version::V1 => "/nomad",
            Version::V2 | Version::Off => "nomad.slice",
        }
    }
}

/// Looks at the mounts and at whether we may write there.
pub fn version() -> Version {
    static FOUND: std::sync::OnceLock<Version> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        if !nix::unistd::geteuid().is_root() {
            return Version::Off;
        }
        if Path::new(ROOT).join("cgroup.controllers").exists() {
            return Version::V2;
        }
        let writable =
            |name: &&str| nix::unistd::access(&Path::new(ROOT).join(name), nix::unistd::AccessFlags::W_OK).is_ok();
        if ["cpu", "memory"].iter().all(writable) { Version::V1 } else { Version::Off }
    })
}

/// The groups of one task: one directory (version 2) or one in each hierarchy (version 1).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cgroup {
    pub dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes the groups of a task below `parent` and sets its limits. What can't be set is left out: a limit that the
    /// kernel lacks must not keep a task from running. `None` where there are no control groups.
    pub fn create(parent: &str, name: &str, limits: &Limits) -> Option<Cgroup> {
        let cgroup = match version() {
            Version::Off => return None,
            Version::V1 => Cgroup { dirs: create_v1(parent, name) },
            Version::V2 => Cgroup { dirs: create_v2(parent, name).into_iter().collect() },
        };
        for dir in &cgroup.dirs {
            limits.write(dir);
        }
        (!cgroup.dirs.is_empty()).then_some(cgroup)
    }

    /// The groups that [`Cgroup::create`] made before under this name, as far as they are still there.
    pub fn existing(parent: &str, name: &str) -> Option<Cgroup> {
        let dirs: Vec<PathBuf> = match version() {
            Version::Off => return None,
            Version::V1 => {
                let hierarchies = V1.iter().filter_map(|c| Path::new(ROOT).join(c).canonicalize().ok());
                let mut dirs: Vec<PathBuf> = hierarchies.map(|h| h.join(parent.trim_matches('/')).join(name)).collect();
                dirs.dedup();
                dirs
            }
            Version::V2 => {
                let share = Path::new(ROOT).join(parent.trim_matches('/')).join("share.slice");
                vec![share.join(format!("{name}.scope"))]
            }
        };
        let dirs: Vec<PathBuf> = dirs.into_iter().filter(|dir| dir.is_dir()).collect();
        (!dirs.is_empty()).then_some(Cgroup { dirs })
    }

    fn file(&self, name: &str) -> Option<String> {
        self.dirs.iter().find_map(|dir| std::fs::read_to_string(dir.join(name)).ok())
    }

    /// Processes that are in the group now.
    pub fn pids(&self) -> Vec<i32> {
        self.file("cgroup.procs").map(|text| text.lines().filter_map(|l| l.parse().ok()).collect()).unwrap_or_default()
    }

    /// SIGKILL to everything in the group, until nothing is left or a second has passed.
    pub async fn kill(&self) {
        for _ in 0..100 {
            if let [dir] = self.dirs.as_slice()
                && std::fs::write(dir.join("cgroup.kill"), "1").is_ok()
            {
                return;
            }
            let pids = self.pids();
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                // SAFETY: a pid read from our own group a moment ago.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills what is left and removes the directories.
    pub async fn remove(&self) {
        self.kill().await;
        for _ in 0..50 {
            let left = self.dirs.iter().filter(|dir| std::fs::remove_dir(dir).is_err() && dir.exists()).count();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the group uses now; `None` when it is gone.
    pub fn usage(&self) -> Option<Usage> {
        let number = |name: &str| self.file(name).and_then(|t| t.trim().parse::<u64>().ok());
        let stat = |text: &str, key: &str| -> u64 {
            text.lines().find_map(|l| l.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
        };
        if let Some(cpu) = self.file("cpu.stat").filter(|t| t.contains("usage_usec")) {
            let memory = self.file("memory.stat").unwrap_or_default();
            return Some(Usage {
                cpu_ns: stat(&cpu, "usage_usec ") * 1000,
                user_ns: stat(&cpu, "user_usec ") * 1000,
                system_ns: stat(&cpu, "system_usec ") * 1000,
                throttled_periods: stat(&cpu, "nr_throttled "),
                throttled_ns: stat(&cpu, "throttled_usec ") * 1000,
                memory: number("memory.current").unwrap_or(0),
                memory_max: number("memory.peak").unwrap_or(0),
                rss: stat(&memory, "anon "),
                cache: stat(&memory, "file "),
                swap: number("memory.swap.current").unwrap_or(0),
            });
        }
        let memory = self.file("memory.stat").unwrap_or_default();
        let cpu = self.file("cpu.stat").unwrap_or_default();
        let ticks = self.file("cpuacct.stat").unwrap_or_default();
        Some(Usage {
            cpu_ns: number("cpuacct.usage")?,
            user_ns: stat(&ticks, "user ") * 10_000_000,
            system_ns: stat(&ticks, "system ") * 10_000_000,
            throttled_periods: stat(&cpu, "nr_throttled "),
            throttled_ns: stat(&cpu, "throttled_time "),
            memory: number("memory.usage_in_bytes").unwrap_or(0),
            memory_max: number("memory.max_usage_in_bytes").unwrap_or(0),
            rss: stat(&memory, "rss "),
            cache: stat(&memory, "cache "),
            swap: stat(&memory, "swap "),
        })
    }
}

/// Figures of a group: nanoseconds and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
    pub memory: u64,
    pub memory_max: u64,
    pub rss: u64,
    pub cache: u64,
    pub swap: u64,
}

/// What a task may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// MHz, as a relative weight.
    pub cpu_mhz: i64,
    /// Bytes; `None`: no limit.
    pub memory_hard: Option<i64>,
    /// Bytes kept for the task when memory is short; `None`: nothing kept.
    pub memory_soft: Option<i64>,
}

impl Limits {
    /// Source: `reference/semantics.md` 19.5.
    pub fn of(resources: &TaskResources) -> Limits {
        let (memory, max) = (resources.memory_mb << 20, resources.memory_mb_max);
        Limits {
            cpu_mhz: resources.cpu_mhz,
            memory_hard: match max {
                -1 => None,
                0 => (memory > 0).then_some(memory),
                max => Some(max << 20),
            },
            memory_soft: (max != 0 && memory > 0).then_some(memory),
        }
    }

    fn write(&self, dir: &Path) {
        let put = |name: &str, value: String| {
            let path = dir.join(name);
            if path.exists() {
                let _ = std::fs::write(path, value);
            }
        };
        if self.cpu_mhz > 0 {
            put("cpu.shares", self.cpu_mhz.max(2).to_string());
            if let Some(weight) = weight(self.cpu_mhz) {
                put("cpu.weight", weight.to_string());
            }
        }
        if let Some(bytes) = self.memory_hard {
            put("memory.limit_in_bytes", bytes.to_string());
            put("memory.swappiness", "0".to_owned());
            put("memory.max", bytes.to_string());
            put("memory.swap.max", "0".to_owned());
        }
        if let Some(bytes) = self.memory_soft {
            put("memory.soft_limit_in_bytes", bytes.to_string());
            put("memory.low", bytes.to_string());
        }
    }
}

/// CPU weight of version 2 for shares of version 1; `None`: leave the kernel's.
///
/// Source: `reference/semantics.md` 19.5, the curve that container engines agreed on.
fn weight(shares: i64) -> Option<u64> {
    match shares {
        ..=0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            let l = (shares as f64).log2();
            Some(10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64)
        }
    }
}

fn create_v1(parent: &str, name: &str) -> Vec<PathBuf> {
    let parent = parent.trim_matches('/');
    let mut made: Vec<PathBuf> = Vec::new();
    for controller in V1 {
        let Ok(hierarchy) = Path::new(ROOT).join(controller).canonicalize() else { continue };
        let dir = hierarchy.join(parent).join(name);
        // `cpu` and `cpuacct` are often one hierarchy under two names.
        if !made.contains(&dir) && std::fs::create_dir_all(&dir).is_ok() {
            made.push(dir);
        }
    }
    made
}

fn create_v2(parent: &str, name: &str) -> Option<PathBuf> {
    let root = Path::new(ROOT);
    let parent = root.join(parent.trim_matches('/'));
    let share = parent.join("share.slice");
    std::fs::create_dir_all(&share).ok()?;
    for dir in [root, &parent, &share] {
        for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
            let _ = std::fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    let dir = share.join(format!("{name}.scope"));
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir)
}

/// Whether the kernel killed something in these groups for want of memory. Read before they are removed.
pub fn oom_killed(dirs: &[PathBuf]) -> bool {
    let count = |file: &str, key: &str| {
        dirs.iter().any(|dir| {
            let text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
            text.lines().any(|l| l.strip_prefix(key).is_some_and(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 0)))
        })
    };
    count("memory.oom_control", "oom_kill ") || count("memory.events", "oom_kill ")
}

/// The limit of memory that stands for these groups, in bytes; `None`: there is none.
pub fn memory_limit(dirs: &[PathBuf]) -> Option<u64> {
    let files = dirs.iter().flat_map(|dir| ["memory.max", "memory.limit_in_bytes"].map(|name| dir.join(name)));
    let limit = |file: PathBuf| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    // Version 1 says "none" by a number near the largest.
    files.filter_map(limit).find(|bytes| *bytes < 1 << 60)
}

/// Names of groups that belong to an allocation, below `parent`, whichever task they are of: those that nobody knows of any more.
pub fn of_alloc(parent: &str, alloc: &str) -> Vec<Cgroup> {
    let parent = parent.trim_matches('/');
    let inside: Vec<PathBuf> = match version() {
        Version::Off => return Vec::new(),
        Version::V1 => {
            V1.iter().filter_map(|c| Path::new(ROOT).join(c).canonicalize().ok()).map(|h| h.join(parent)).collect()
        }
        Version::V2 => vec![Path::new(ROOT).join(parent).join("share.slice")],
    };
    let entries = inside.iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    let own = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.starts_with(&format!("{alloc}."))));
    own.map(|entry| Cgroup { dirs: vec![entry.path()] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_memory_rules() {
        let limits = |memory_mb, memory_mb_max| {
            let l = Limits::of(&TaskResources { memory_mb, memory_mb_max, ..TaskResources::default() });
            (l.memory_hard.map(|b| b >> 20), l.memory_soft.map(|b| b >> 20))
        };
        assert_eq!(limits(64, 0), (Some(64), None));
        assert_eq!(limits(64, 128), (Some(128), Some(64)));
        assert_eq!(limits(64, -1), (None, Some(64)));
    }

    #[test]
    fn weights_meet_the_ends_of_the_curve() {
        for (shares, expected) in [(0, None), (2, Some(1)), (1024, Some(100)), (262_144, Some(10_000))] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
