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
/// The version 1 hierarchy that says which cores a task runs on. Its groups lie two levels below the parent: those of tasks with
/// cores of their own in `reserve`, and one for all others, `share`.
const CPUSET: &str = "cpuset";

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
    /// A group of many tasks, which this one joins. It is not this one's to empty or to remove.
    #[serde(default)]
    pub shared: Option<PathBuf>,
}

impl Cgroup {
    /// Makes the groups of a task below `parent` and sets its limits. What can't be set is left out: a limit that the
    /// kernel lacks must not keep a task from running. `None` where there are no control groups.
    ///
    /// `cores`: those that are the task's alone, such as `0-1,3`; empty: it runs on what is shared.
    pub fn create(parent: &str, name: &str, limits: &Limits, cores: &str) -> Option<Cgroup> {
        let cgroup = match version() {
            Version::Off => return None,
            Version::V1 => with_cores(Cgroup { dirs: create_v1(parent, name), shared: None }, parent, name, cores),
            Version::V2 => Cgroup { dirs: create_v2(parent, name, cores).into_iter().collect(), shared: None },
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
                dirs.extend(cpuset(parent).map(|dir| dir.join("reserve").join(name)));
                dirs
            }
            Version::V2 => {
                let parent = Path::new(ROOT).join(parent.trim_matches('/'));
                ["share.slice", "reserve.slice"].map(|slice| parent.join(slice).join(format!("{name}.scope"))).into()
            }
        };
        let dirs: Vec<PathBuf> = dirs.into_iter().filter(|dir| dir.is_dir()).collect();
        let own = dirs.iter().any(|dir| dir.parent().is_some_and(|above| above.ends_with("reserve")));
        let shared = cpuset(parent).map(|dir| dir.join("share")).filter(|dir| !own && dir.is_dir());
        (!dirs.is_empty()).then_some(Cgroup { dirs, shared })
    }

    /// All that a process of the task is in.
    pub fn joined(&self) -> Vec<PathBuf> {
        self.dirs.iter().chain(&self.shared).cloned().collect()
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

fn create_v2(parent: &str, name: &str, cores: &str) -> Option<PathBuf> {
    let slice = slice_v2(parent, if cores.is_empty() { "share.slice" } else { "reserve.slice" })?;
    let dir = slice.join(format!("{name}.scope"));
    std::fs::create_dir_all(&dir).ok()?;
    if !cores.is_empty() {
        let _ = std::fs::write(dir.join("cpuset.cpus"), cores);
    }
    Some(dir)
}

/// Makes one of the two groups that tasks are in, with its controllers.
fn slice_v2(parent: &str, name: &str) -> Option<PathBuf> {
    let root = Path::new(ROOT);
    let parent = root.join(parent.trim_matches('/'));
    let slice = parent.join(name);
    std::fs::create_dir_all(&slice).ok()?;
    for dir in [root, &parent, &slice] {
        for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
            let _ = std::fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Some(slice)
}

/// Where the parent is in the version 1 hierarchy of cores; `None` where there is no such hierarchy.
fn cpuset(parent: &str) -> Option<PathBuf> {
    (version() == Version::V1).then_some(())?;
    let hierarchy = Path::new(ROOT).join(CPUSET).canonicalize().ok()?;
    Some(hierarchy.join(parent.trim_matches('/')))
}

/// Version 1: the task's own group of cores, or that of all who have none.
fn with_cores(mut cgroup: Cgroup, parent: &str, name: &str, cores: &str) -> Cgroup {
    let Some(parent) = cpuset(parent) else { return cgroup };
    match cores {
        "" => cgroup.shared = Some(parent.join("share")).filter(|dir| dir.is_dir()),
        cores => cgroup.dirs.extend(set_v1(&parent.join("reserve").join(name), cores)),
    }
    cgroup
}

/// Makes a version 1 group of cores, and those above it: one without cores and memory takes no processes. `cores` empty: a new one has
/// what the one above has.
fn set_v1(dir: &Path, cores: &str) -> Option<PathBuf> {
    let read = |dir: &Path, file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default().trim().to_owned();
    let above = dir.parent()?;
    if read(above, "cpuset.cpus").is_empty() {
        set_v1(above, "")?;
    }
    std::fs::create_dir_all(dir).ok()?;
    if read(dir, "cpuset.mems").is_empty() {
        std::fs::write(dir.join("cpuset.mems"), read(above, "cpuset.mems")).ok()?;
    }
    let now = read(dir, "cpuset.cpus");
    let wanted = match (cores, now.as_str()) {
        ("", "") => read(above, "cpuset.cpus"),
        ("", _) => now.clone(),
        (cores, _) => cores.to_owned(),
    };
    if now != wanted {
        std::fs::write(dir.join("cpuset.cpus"), wanted).ok()?;
    }
    Some(dir.to_owned())
}

/// Divides the cores that tasks may have: what is shared, and what is kept for some; ranges such as `0-1,3`. Nothing where there are no
/// control groups.
pub fn divide(parent: &str, share: &str, reserve: &str) {
    match version() {
        Version::Off => {}
        Version::V1 => {
            let made = cpuset(parent).and_then(|dir| set_v1(&dir.join("share"), share));
            if made.is_none() && cpuset(parent).is_some() {
                tracing::debug!(share, "the group of shared cores was not set");
            }
        }
        Version::V2 => {
            for (slice, cores) in [("share.slice", share), ("reserve.slice", reserve)] {
                if let Some(dir) = slice_v2(parent, slice) {
                    let _ = std::fs::write(dir.join("cpuset.cpus"), cores);
                }
            }
        }
    }
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
    let inside: Vec<PathBuf> = match version() {
        Version::Off => return Vec::new(),
        Version::V1 => {
            let hierarchies = V1.iter().filter_map(|c| Path::new(ROOT).join(c).canonicalize().ok());
            let all = hierarchies.map(|h| h.join(parent.trim_matches('/')));
            all.chain(cpuset(parent).map(|dir| dir.join("reserve"))).collect()
        }
        Version::V2 => {
            let parent = Path::new(ROOT).join(parent.trim_matches('/'));
            ["share.slice", "reserve.slice"].map(|slice| parent.join(slice)).into()
        }
    };
    let entries = inside.iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    let own = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.starts_with(&format!("{alloc}."))));
    own.map(|entry| Cgroup { dirs: vec![entry.path()], shared: None }).collect()
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

    /// What a process may run on, as the kernel says of it.
    fn allowed(pid: u32) -> String {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim().to_owned()
    }

    #[tokio::test]
    async fn a_tasks_cores_are_its_own_and_others_run_on_the_rest() {
        let has = cpuset("x").is_some() || version() == Version::V2;
        if !has || allowed(std::process::id()) == "0" {
            assert!(std::env::var_os("CI").is_none() || allowed(std::process::id()) == "0", "no groups of cores");
            return eprintln!("skipped: there are no groups of cores here, or there is one core");
        }
        let parent = format!("tarpan-test-cores-{}", std::process::id());
        divide(&parent, "0", "1");
        let mut groups = Vec::new();
        let mut children = Vec::new();
        for (name, cores) in [("own", "1"), ("other", "")] {
            let cgroup = Cgroup::create(&parent, name, &Limits::default(), cores).expect("made");
            let child = std::process::Command::new("sleep").arg("600").spawn().expect("starts");
            for dir in cgroup.joined() {
                std::fs::write(dir.join("cgroup.procs"), child.id().to_string()).expect("joined");
            }
            children.push(child);
            groups.push(cgroup);
        }
        assert_eq!(children.iter().map(|child| allowed(child.id())).collect::<Vec<_>>(), ["1", "0"]);
        assert_eq!(Cgroup::existing(&parent, "own").map(|c| c.dirs.len()), Some(groups[0].dirs.len()));
        assert_eq!(Cgroup::existing(&parent, "other"), Some(groups[1].clone()));
        // The cores are given back.
        groups[0].kill().await;
        divide(&parent, "0-1", "");
        assert_eq!(allowed(children[1].id()), "0-1");
        for child in &mut children {
            child.kill().expect("ended");
            child.wait().expect("ours");
        }
        for cgroup in &groups {
            cgroup.remove().await;
            assert!(cgroup.dirs.iter().all(|dir| !dir.exists()), "{:?}", cgroup.dirs);
        }
        let hierarchies = V1.iter().chain(&[CPUSET]).map(|c| Path::new(ROOT).join(c)).chain([PathBuf::from(ROOT)]);
        for dir in hierarchies.map(|h| h.join(&parent)) {
            for below in ["share", "reserve", "share.slice", "reserve.slice"] {
                let _ = std::fs::remove_dir(dir.join(below));
            }
            let _ = std::fs::remove_dir(&dir);
            assert!(!dir.exists(), "{}", dir.display());
        }
    }

    #[test]
    fn weights_meet_the_ends_of_the_curve() {
        for (shares, expected) in [(0, None), (2, Some(1)), (1024, Some(100)), (262_144, Some(10_000))] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
