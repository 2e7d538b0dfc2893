//! Long builds in a line each: what is built, how far it is, how long it takes. What the tools say goes into a file, and is shown
//! when they fail.
//!
//! Depends on nothing, so that `cargo xtask` has something to say after a second. Start at [`build`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A build with its name and what it usually takes from nothing, on two cores.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What is built: `the program`.
    pub what: &'a str,
    /// How many minutes; shown before anything is known.
    pub minutes: u32,
    /// How many crates there are at most; `None` where the tool is not cargo.
    pub crates: Option<usize>,
}

/// How often a terminal's line is written anew, and how often there is a new line elsewhere.
const TICK: Duration = Duration::from_secs(1);
const LINE: Duration = Duration::from_secs(30);
/// A build with nothing to do is passed over in silence.
const SILENCE: Duration = Duration::from_secs(2);
/// Lines of a failed build that are shown.
const SHOWN: usize = 60;

/// The environment in which cargo has Clippy compile our own crates, every warning an error: what `cargo clippy -- -D warnings` hands on.
/// As a command of its own it would want metadata of every dependency.
pub const LINTED: [(&str, &str); 2] =
    [("RUSTC_WORKSPACE_WRAPPER", CLIPPY), ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")];
const CLIPPY: &str = "clippy-driver";

/// Is there a Clippy?
pub fn has_clippy() -> bool {
    let mut version = Command::new(CLIPPY);
    version.arg("--version").current_dir(root()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// The repository's root.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("xtask/start lies in the root").to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = named.unwrap_or_else(|| PathBuf::from("target"));
    if target.is_absolute() { target } else { root().join(target) }
}

/// A command in the repository's root without the variables that cargo sets for this program: they would make a build start over.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a build with its progress told. Errors: the last lines of what it said, with the file that has all of it.
pub fn build(step: &Step<'_>, command: &mut Command) -> Result<(), String> {
    let path = target().join("xtask").join(format!("{}.log", step.what.replace(' ', "-")));
    let log = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create(&path));
    let mut log = log.map_err(|e| format!("making {}: {e}", path.display()))?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("starting {}: {e}", command.get_program().display()))?;
    let (sender, lines) = mpsc::channel();
    let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>),
    ];
    for pipe in outputs.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
    }
    drop(sender);
    let mut progress = Progress::new(step, std::io::stdout().is_terminal());
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                let _ = writeln!(log, "{line}");
                progress.heard(&line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        say(progress.tell(progress.start.elapsed()));
    }
    let status = child.wait().map_err(|e| format!("waiting for {}: {e}", step.what))?;
    say(progress.end(progress.start.elapsed(), status.success()));
    if status.success() { Ok(()) } else { Err(progress.failure(&path)) }
}

fn say(text: Option<String>) {
    if let Some(text) = text {
        print!("{text}");
        let _ = std::io::stdout().flush();
    }
}

/// What has been heard and told of a build. Times come from outside.
struct Progress<'a> {
    step: Step<'a>,
    terminal: bool,
    start: Instant,
    crates: usize,
    downloads: bool,
    /// When the last line was told; `None`: nothing was told yet.
    told: Option<Duration>,
    /// Lines that are no progress, the last of them.
    kept: VecDeque<String>,
}

impl<'a> Progress<'a> {
    fn new(step: &Step<'a>, terminal: bool) -> Progress<'a> {
        let (start, kept) = (Instant::now(), VecDeque::new());
        Progress { step: *step, terminal, start, crates: 0, downloads: false, told: None, kept }
    }

    fn heard(&mut self, line: &str) {
        match line.split_whitespace().next().unwrap_or_default() {
            "Compiling" => self.crates += 1,
            "Downloading" | "Downloaded" | "Updating" | "Locking" => self.downloads = true,
            "" | "Finished" | "Checking" => {}
            _ => {
                self.kept.push_back(line.to_owned());
                if self.kept.len() > SHOWN {
                    self.kept.pop_front();
                }
            }
        }
    }

    /// What is to be printed after `elapsed`, if anything.
    fn tell(&mut self, elapsed: Duration) -> Option<String> {
        if self.told.is_none() && self.crates == 0 && !self.downloads && elapsed < SILENCE {
            return None;
        }
        let first = self.told.is_none();
        let pause = if self.terminal { TICK } else { LINE };
        if self.told.is_some_and(|told| elapsed < told + pause) {
            return None;
        }
        self.told = Some(elapsed);
        let Step { what, minutes, .. } = self.step;
        let usual = format!("from nothing about {minutes} min on two cores");
        Some(match (self.terminal, first) {
            (true, _) => format!("\r\x1b[K==> Building {what}: {} ({usual})", self.state(elapsed)),
            (false, true) => format!("==> Building {what} ({usual})\n"),
            (false, false) => format!("    {}\n", self.state(elapsed)),
        })
    }

    /// The last word on the build, where there was one before.
    fn end(&self, elapsed: Duration, well: bool) -> Option<String> {
        self.told?;
        let (what, time) = (self.step.what, time(elapsed));
        let word = if well { "built" } else { "failed" };
        Some(match self.terminal {
            true => format!("\r\x1b[K==> Building {what}: {word} after {time}\n"),
            false => format!("    {word} after {time}\n"),
        })
    }

    fn state(&self, elapsed: Duration) -> String {
        let time = time(elapsed);
        match (self.crates, self.step.crates) {
            (0, _) if self.downloads => format!("downloading, {time}"),
            (n, Some(all)) if n > 0 => format!("{n} of at most {} crates, {time}", all.max(n)),
            _ => time,
        }
    }

    fn failure(&self, log: &Path) -> String {
        let lines: Vec<&str> = self.kept.iter().map(String::as_str).collect();
        format!(
            "building {} failed; its last lines (all of them are in {}):\n{}",
            self.step.what,
            log.display(),
            lines.join("\n")
        )
    }
}

/// `3 min 07 s`.
fn time(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step<'_> = Step { what: "the program", minutes: 12, crates: Some(450) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_long_build_is_told_from_its_first_line() {
        let mut progress = Progress::new(&STEP, false);
        assert_eq!(progress.tell(at(0)), None);
        progress.heard("   Compiling serde v1.0.0");
        let first = "==> Building the program (from nothing about 12 min on two cores)\n";
        assert_eq!(progress.tell(at(1)).as_deref(), Some(first));
        assert_eq!(progress.tell(at(2)), None);
        progress.heard("   Compiling tokio v1.0.0");
        assert_eq!(progress.tell(at(31)).as_deref(), Some("    2 of at most 450 crates, 0 min 31 s\n"));
        assert_eq!(progress.end(at(187), true).as_deref(), Some("    built after 3 min 07 s\n"));
    }

    #[test]
    fn a_terminal_has_one_line() {
        let mut progress = Progress::new(&STEP, true);
        progress.heard(" Downloading crates ...");
        let line = progress.tell(at(1)).expect("a line");
        assert!(line.starts_with("\r\x1b[K==> Building the program: downloading, 0 min 01 s"), "{line:?}");
        progress.heard("   Compiling serde v1.0.0");
        assert!(progress.tell(at(2)).is_some_and(|line| line.contains(": 1 of at most 450 crates, 0 min 02 s")));
        assert!(progress.end(at(3), true).is_some_and(|line| line.ends_with("built after 0 min 03 s\n")));
    }

    #[test]
    fn what_is_built_already_says_nothing() {
        let mut progress = Progress::new(&STEP, true);
        progress.heard("    Finished dev profile in 0.4s");
        assert_eq!((progress.tell(at(1)), progress.end(at(1), true)), (None, None));
    }

    #[test]
    fn a_failure_shows_its_last_lines() {
        let mut progress = Progress::new(&STEP, false);
        progress.heard("   Compiling tarpan-cli v0.1.0");
        for n in 0..100 {
            progress.heard(&format!("error {n}"));
        }
        let text = progress.failure(Path::new("/t/xtask/the-program.log"));
        assert!(text.contains("error 99") && text.contains("error 40") && !text.contains("error 39"), "{text}");
        assert!(text.contains("/t/xtask/the-program.log") && !text.contains("Compiling"), "{text}");
    }

    #[test]
    fn tools_are_run_and_heard() {
        let step = Step { what: "a test of steps", minutes: 1, crates: None };
        assert_eq!(build(&step, command("sh").args(["-c", "echo out; echo err >&2"])), Ok(()));
        let log = std::fs::read_to_string(target().join("xtask/a-test-of-steps.log")).expect("a log");
        assert!(log.contains("out") && log.contains("err"), "{log}");
        let step = Step { what: "a failing test of steps", ..step };
        let failed = build(&step, command("sh").args(["-c", "echo why; exit 3"]));
        assert!(failed.is_err_and(|text| text.ends_with("why")));
    }
}
