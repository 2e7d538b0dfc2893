//! The agent's log: to standard output or a rotated file, at a level that can be changed while it runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tarpan_config::AgentConfig;
use tarpan_config::agent::{LogRotation, log_level};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level of the running log.
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Takes the level of `config`; an unknown one changes nothing.
    pub fn set(&self, config: &AgentConfig) {
        let _ = self.0.reload(filter(&config.log_level));
    }
}

/// Starts the log as the configuration says. Errors: the log file can't be opened.
pub fn start(config: &AgentConfig) -> io::Result<LogHandle> {
    let (filter, handle) = reload::Layer::new(filter(&config.log_level));
    let registry = tracing_subscriber::registry().with(filter);
    let location = config.log_include_location;
    let writer: Box<dyn Fn() -> Box<dyn Write> + Send + Sync> = match &config.log_file {
        Some(path) => {
            let file: &'static Rotated = Box::leak(Box::new(Rotated::open(path, config.log_rotation())?));
            Box::new(move || Box::new(file))
        }
        None => Box::new(|| Box::new(io::stdout())),
    };
    let layer = fmt::layer().with_ansi(false).with_file(location).with_line_number(location).with_writer(writer);
    // A second start in one process (tests) keeps the first log.
    let _ = if config.log_json { registry.with(layer.json()).try_init() } else { registry.with(layer).try_init() };
    Ok(LogHandle(handle))
}

/// Our own crates at the asked level; the libraries below them only when something is wrong.
///
/// By target and level alone: filters with fields and spans bring an engine of regular expressions.
fn filter(level: &str) -> Targets {
    let named = |level: &str| level.parse::<LevelFilter>().unwrap_or(LevelFilter::INFO);
    let level = log_level(level).unwrap_or("info");
    let libraries = if matches!(level, "error" | "off") { level } else { "warn" };
    // The raft library tells of every message that did not get through, twice a second; the leader says of each server how it is.
    let raft = if matches!(level, "debug" | "trace") { "warn" } else { "off" };
    // A target stands for all that begin with it.
    let targets = [("openraft", raft), ("tarpan", level)];
    Targets::new().with_default(named(libraries)).with_targets(targets.map(|(name, level)| (name, named(level))))
}

/// A log file that is set aside when it is too large or too old.
struct Rotated {
    path: PathBuf,
    rotation: LogRotation,
    current: Mutex<Current>,
}

struct Current {
    file: File,
    bytes: u64,
    opened: Instant,
}

impl Rotated {
    /// A path that ends in `/` or is a directory means `nomad.log` in it.
    fn open(path: &str, rotation: LogRotation) -> io::Result<Rotated> {
        let mut full = PathBuf::from(path);
        if path.ends_with('/') || full.is_dir() {
            full.push("nomad.log");
        }
        if let Some(parent) = full.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent)?;
        }
        let current = Mutex::new(open(&full)?);
        Ok(Rotated { path: full, rotation, current })
    }

    fn is_due(&self, current: &Current) -> bool {
        let too_large = self.rotation.bytes > 0 && current.bytes >= self.rotation.bytes;
        let too_old = self.rotation.every > Duration::ZERO && current.opened.elapsed() >= self.rotation.every;
        current.bytes > 0 && (too_large || too_old)
    }

    /// Renames the file to `name-<unix nanoseconds>.log`, opens a new one and removes the oldest.
    fn rotate(&self, current: &mut Current) -> io::Result<()> {
        let (stem, extension) = split_name(&self.path);
        let stamp = tarpan_agent::wall().0;
        std::fs::rename(&self.path, self.path.with_file_name(format!("{stem}-{stamp}{extension}")))?;
        *current = open(&self.path)?;
        if self.rotation.max_files > 0 {
            let mut old = old_files(&self.path)?;
            let keep = usize::try_from(self.rotation.max_files).unwrap_or(usize::MAX);
            old.sort();
            for path in old.iter().take(old.len().saturating_sub(keep)) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Current> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Current { file, bytes, opened: Instant::now() })
}

fn split_name(path: &Path) -> (String, String) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    (stem, extension)
}

/// Files that were set aside; their names sort by age.
fn old_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, extension) = split_name(path);
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_old = |name: &str| {
        let stamp = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(extension.as_str()));
        stamp.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = std::fs::read_dir(dir)?.filter_map(Result::ok).map(|e| e.path());
    Ok(entries.filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(is_old)).collect())
}

impl Write for &Rotated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.is_due(&current) {
            // A log that can't rotate goes on in its old file.
            let _ = self.rotate(&mut current);
        }
        current.file.write_all(bytes)?;
        current.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).file.flush()
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn our_crates_say_what_is_asked_and_libraries_what_is_wrong() {
        let says = |level: &str, target: &str, of: Level| filter(level).would_enable(target, &of);
        assert!(says("DEBUG", "tarpan_server::raft::links", Level::DEBUG), "every crate of ours");
        assert!(says("debug", "tarpan", Level::DEBUG) && !says("debug", "tarpan_agent", Level::TRACE));
        assert!(says("info", "hyper::proto", Level::WARN) && !says("trace", "hyper::proto", Level::INFO));
        assert!(!says("error", "hyper::proto", Level::WARN) && !says("off", "tarpan", Level::ERROR));
        assert!(!says("info", "openraft::core", Level::ERROR) && says("trace", "openraft::core", Level::WARN));
        assert!(says("no level", "tarpan_config", Level::INFO), "what it is where nothing was said");
    }

    #[test]
    fn files_rotate_by_size_and_the_oldest_go() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rotation = LogRotation { every: Duration::from_secs(3600), bytes: 10, max_files: 2 };
        let log = Rotated::open(&format!("{}/", dir.path().display()), rotation).expect("opened");
        for _ in 0..5 {
            (&log).write_all(b"twelve bytes").expect("written");
        }
        let path = dir.path().join("nomad.log");
        assert_eq!(std::fs::read(&path).expect("the newest file"), b"twelve bytes");
        assert_eq!(old_files(&path).expect("listed").len(), 2);
    }
}
