//! A place for one journey: a temporary directory, the binaries, free ports, and patience with a limit.

#![allow(clippy::disallowed_methods, reason = "nothing here is async")]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long something that will come is waited for: on a machine that is busy with other things, too. Nothing is proven by it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary directory and the binaries under test.
pub struct Lab {
    dir: tempfile::TempDir,
    pub bin: PathBuf,
    pub ptc: PathBuf,
}

impl Lab {
    /// Errors when the binaries are not built, with the command that builds them.
    pub fn new() -> Result<Lab> {
        Lab::of(&built()?)
    }

    /// The same with the programs in another folder: those of a release.
    pub fn of(programs: &Path) -> Result<Lab> {
        let dir = tempfile::Builder::new().prefix("tarpan-").tempdir().context("making a temporary directory")?;
        Ok(Lab { dir, bin: binary(programs, "tarpan")?, ptc: binary(programs, "ptc")? })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the lab and gives its path.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// A client that is no dev agent leaves its tasks running when it ends: that is its promise. What still runs on this lab's directories
/// ends with the lab, so that a failed test leaves nothing behind.
impl Drop for Lab {
    fn drop(&mut self) {
        kill_all_of(self.path());
        unmount_all_of(self.path());
    }
}

/// Takes away what is mounted below `folder`: secrets of tasks that nobody ended.
fn unmount_all_of(folder: &Path) {
    for point in mounts_below(folder) {
        let _ = std::process::Command::new("umount").arg("-l").arg(point).status();
    }
}

/// Mount points below `folder`, the deepest first.
pub fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(&folder)).collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// Ends what runs on `folder`; not this process.
pub fn kill_all_of(folder: &Path) {
    kill_all_but(folder, &[]);
}

/// The same but for some; gives how many there were.
pub fn kill_all_but(folder: &Path, kept: &[u32]) -> usize {
    let mut all = processes_of(folder);
    all.retain(|pid| !kept.contains(&pid.as_raw().cast_unsigned()));
    for pid in &all {
        let _ = nix::sys::signal::kill(*pid, nix::sys::signal::Signal::SIGKILL);
    }
    all.len()
}

/// Processes with a path below `folder` in their command line or environment; not this one.
pub fn processes_of(folder: &Path) -> Vec<nix::unistd::Pid> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let names = |path: PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != std::process::id().cast_signed())
        .filter(|pid| ["cmdline", "environ"].iter().any(|file| names(PathBuf::from(format!("/proc/{pid}/{file}")))))
        .map(nix::unistd::Pid::from_raw)
        .collect()
}

/// Where the programs of this build are: `TARPAN_BIN_DIR`, else the folder this program was built into.
fn built() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TARPAN_BIN_DIR") {
        return Ok(folder.into());
    }
    let me = std::env::current_exe().context("finding this program")?;
    let folder = me.parent().context("this program has a folder")?;
    let above = if folder.ends_with("deps") { folder.parent().context("deps has a folder")? } else { folder };
    Ok(above.to_owned())
}

fn binary(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if !path.exists() {
        bail!("{} is not built: cargo build -p tarpan-cli -p ptc", path.display());
    }
    Ok(path)
}

/// The processes whose command lines hold `pattern`.
pub fn pids(pattern: &str) -> Vec<String> {
    let out = std::process::Command::new("pgrep").args(["-f", pattern]).output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("end2end lies in the root").to_owned()
}

/// `count` TCP ports that are free now.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("binding port 0")?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}

/// Holds the demo's fixed ports: one journey at a time on a machine.
pub struct FixedPorts(
    #[expect(dead_code, reason = "the lock lives as long as the file is open")] nix::fcntl::Flock<File>,
);

impl FixedPorts {
    fn file() -> Result<File> {
        let path = std::env::temp_dir().join("tarpan-fixed-ports.lock");
        File::create(&path).with_context(|| format!("opening {}", path.display()))
    }

    /// Does another journey have them?
    pub fn are_held() -> bool {
        FixedPorts::file()
            .is_ok_and(|file| nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Waits for other journeys to end, then errors with the port that somebody else has.
    pub fn take(ports: &[u16]) -> Result<FixedPorts> {
        let lock = nix::fcntl::Flock::lock(FixedPorts::file()?, nix::fcntl::FlockArg::LockExclusive)
            .map_err(|(_, e)| anyhow::anyhow!("locking the fixed ports: {e}"))?;
        for port in ports {
            // A port of an earlier journey may still be closing.
            eventually(&format!("port {port} to be free (something else listens on it)"), PATIENCE, || {
                Ok(TcpListener::bind(("0.0.0.0", *port)).ok().map(|_| ()))
            })?;
        }
        Ok(FixedPorts(lock))
    }
}

/// Asks again every 50 ms until there is a value. Errors when `limit` has passed, with what was waited for and the last error.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut last = None;
    loop {
        match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if start.elapsed() > limit {
            return match last {
                Some(error) => Err(error.context(format!("waited {limit:?} for {what}"))),
                None => bail!("waited {limit:?} for {what}"),
            };
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
