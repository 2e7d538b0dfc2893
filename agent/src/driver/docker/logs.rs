//! Copies a container's output into the rotated files, and knows after a crash how far it got.
//!
//! The engine keeps the output with a time for every line. After each batch a mark is written: the time of the last line
//! copied, how many lines had that time (Podman tells whole seconds), and where both files ended. A later agent cuts the files
//! back to the mark and goes on after that line, so that nothing is missing and nothing comes twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tarpan_model::UnixNanos;
use tokio::sync::watch;

use super::text;
use crate::driver::LogTarget;
use crate::ground::Dir;
use crate::supervisor::Rotator;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    last: i64,
    /// Lines of that time.
    #[serde(default = "one")]
    seen: u64,
    stdout: (u64, u64),
    stderr: (u64, u64),
}

/// Marks of older agents tell one time from another.
fn one() -> u64 {
    1
}

pub(super) struct Copier {
    stdout: Rotator,
    stderr: Rotator,
    mark: Mark,
    path: PathBuf,
    /// When the mark was written.
    marked: Instant,
    /// Lines copied, for whoever waits.
    reached: Arc<AtomicI64>,
    copied: i64,
    /// A connection is new: what it brings up to the mark is there, and so many lines of the mark's own time.
    known: Option<u64>,
}

/// How often the mark is written while output comes: lines behind it are copied once more after a crash.
const MARK_EVERY: Duration = Duration::from_millis(200);

/// How long lines are gathered, and how many at most, before they are written.
const MOMENT: Duration = Duration::from_millis(5);
const BATCH: usize = 4096;

impl Copier {
    /// `resume`: go on where an earlier agent was.
    #[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
    pub fn open(target: &LogTarget, task: &str, run_dir: &Path, resume: bool) -> std::io::Result<Copier> {
        std::fs::create_dir_all(run_dir)?;
        let path = run_dir.join("log-mark.json");
        let mark: Mark = match resume {
            true => std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default(),
            false => Mark::default(),
        };
        let open = |kind: &str, at: (u64, u64)| {
            let (alloc, base) = (Dir::trusted(&target.alloc)?, format!("{task}.{kind}"));
            if resume && mark.last > 0 {
                Rotator::cut_back(&alloc, &base, at.0, at.1)?;
            }
            Rotator::open(alloc, &base, target.max_files, target.max_bytes)
        };
        let (stdout, stderr) = (open("stdout", mark.stdout)?, open("stderr", mark.stderr)?);
        let (marked, reached, known) = (Instant::now(), Arc::default(), Some(mark.seen));
        Ok(Copier { stdout, stderr, mark, path, marked, reached, copied: 0, known })
    }

    /// Grows as long as something is copied.
    pub fn reached(&self) -> Arc<AtomicI64> {
        self.reached.clone()
    }

    /// Follows until the container's output ends. A connection that broke, or that the engine ended while it rotated what it keeps, is
    /// opened again after the last line, until one brings nothing and nothing runs.
    ///
    /// `over`: the container has ended and the engine says nothing more, without an end. What it has is then asked for as it is:
    /// such an answer has one.
    pub async fn run(mut self, engine: Docker, container: String, tty: bool, mut over: watch::Receiver<bool>) {
        loop {
            let before = self.copied;
            self.known = Some(self.mark.seen);
            let follow = !*over.borrow_and_update();
            let options = LogsOptions {
                follow,
                stdout: true,
                stderr: true,
                timestamps: true,
                since: i32::try_from(UnixNanos(self.mark.last).secs()).unwrap_or(0),
                ..Default::default()
            };
            let stream = engine.logs(&container, Some(options)).ready_chunks(256).fuse();
            let mut stream = std::pin::pin!(stream);
            loop {
                let batch = tokio::select! {
                    biased;
                    batch = stream.next() => batch,
                    Ok(()) = over.changed() => None,
                };
                let Some(mut batch) = batch else { break };
                follows(stream.as_mut(), &mut batch).await;
                if let Some(error) = batch.iter().find_map(|piece| piece.as_ref().err()).filter(|e| unreadable(e)) {
                    let sentence = format!("the output of this task is not kept here: {}\n", text(error));
                    tracing::warn!(container, "{}", sentence.trim_end());
                    self.beside(move |copier| drop(copier.stderr.write(sentence.as_bytes()))).await;
                    return;
                }
                self = self
                    .beside(move |copier| {
                        batch.into_iter().flatten().for_each(|output| copier.take(output, tty));
                        if copier.marked.elapsed() >= MARK_EVERY {
                            copier.write_mark();
                        }
                    })
                    .await;
                self.reached.store(self.copied, Ordering::Relaxed);
            }
            self = self.beside(Copier::write_mark).await;
            if self.copied > before || follow && *over.borrow() {
                continue;
            }
            let running = engine.inspect_container(&container, None).await.ok().and_then(|c| c.state?.running);
            if running != Some(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Writes on a thread where nothing else waits for the disk.
    async fn beside(mut self, write: impl FnOnce(&mut Copier) + Send + 'static) -> Copier {
        let writing = move || {
            write(&mut self);
            self
        };
        crate::blocking(writing).await
    }

    fn take(&mut self, output: LogOutput, tty: bool) {
        let (is_err, message) = match output {
            LogOutput::StdErr { message } => (true, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => (false, message),
            LogOutput::StdIn { .. } => return,
        };
        // With a terminal several lines may come in one piece, each with its time.
        let pieces: Vec<Bytes> = match tty {
            true => message.split_inclusive(|b| *b == b'\n').map(Bytes::copy_from_slice).collect(),
            false => vec![message],
        };
        for piece in pieces {
            let (time, line) = stamped(&piece);
            if time.is_some_and(|time| self.is_known(time)) {
                continue;
            }
            self.copied += 1;
            // A full disk must not end the copying: later lines may find room.
            let to = if is_err { &mut self.stderr } else { &mut self.stdout };
            let _ = to.write_of(line, time.map_or_else(crate::wall, UnixNanos));
        }
    }

    /// Whether a line of this time was copied before; the mark goes on with one that was not.
    fn is_known(&mut self, time: i64) -> bool {
        match self.known {
            Some(_) if time < self.mark.last => return true,
            Some(left) if time == self.mark.last && left > 0 => {
                self.known = Some(left - 1);
                return true;
            }
            _ => self.known = None,
        }
        match time.cmp(&self.mark.last) {
            std::cmp::Ordering::Greater => (self.mark.last, self.mark.seen) = (time, 1),
            std::cmp::Ordering::Equal => self.mark.seen += 1,
            // The node's clock was set back.
            std::cmp::Ordering::Less => {}
        }
        false
    }

    #[allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]
    fn write_mark(&mut self) {
        (self.mark.stdout, self.mark.stderr) = (self.stdout.position(), self.stderr.position());
        let bytes = serde_json::to_vec(&self.mark).expect("numbers serialise");
        let tmp = self.path.with_extension("tmp");
        let _ = std::fs::write(&tmp, bytes).and_then(|()| std::fs::rename(&tmp, &self.path));
        self.marked = Instant::now();
    }
}

/// Adds what comes within a moment. The engine sends line by line, and to change threads for each costs more than to write it.
async fn follows<T>(mut stream: impl Stream<Item = Vec<T>> + Unpin, batch: &mut Vec<T>) {
    let mut over = std::pin::pin!(tokio::time::sleep(MOMENT));
    while batch.len() < BATCH {
        tokio::select! {
            biased;
            () = &mut over => return,
            more = stream.next() => match more {
                Some(more) => batch.extend(more),
                None => return,
            },
        }
    }
}

/// The log driver that the job chose, or the operator, takes the output elsewhere, and it can't be read back.
fn unreadable(error: &bollard::errors::Error) -> bool {
    text(error).contains("does not support reading")
}

/// The time in front of a line, and the line.
fn stamped(piece: &[u8]) -> (Option<i64>, &[u8]) {
    let Some(blank) = piece.iter().take(40).position(|b| *b == b' ') else { return (None, piece) };
    let time = std::str::from_utf8(&piece[..blank]).ok().and_then(tarpan_api::timestamp::parse);
    match time {
        Some(time) => (Some(time.0), &piece[blank + 1..]),
        None => (None, piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that comes back used to cut whatever a link in place of the log led to.
    #[test]
    fn a_restart_cuts_no_file_of_the_host() {
        let (dir, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let victim = host.path().join("victim");
        std::fs::write(&victim, "x".repeat(100)).expect("written");
        let target = LogTarget { alloc: dir.path().to_owned(), max_files: 3, max_bytes: 1 << 20 };
        let run = dir.path().join("run");
        let mut first = Copier::open(&target, "t", &run, false).expect("opens");
        first.take(out("2026-11-21T10:00:00.000000001Z a\n"), false);
        first.write_mark();
        drop(first);
        let log = dir.path().join("alloc/logs/t.stdout.0");
        std::fs::remove_file(&log).expect("removed");
        std::os::unix::fs::symlink(&victim, &log).expect("linked");
        let mut second = Copier::open(&target, "t", &run, true).expect("opens");
        second.take(out("2026-11-21T10:00:00.000000002Z b\n"), false);
        assert_eq!(std::fs::read(&victim).expect("there").len(), 100);
        assert!(std::fs::read_to_string(&log).expect("a file again").ends_with("\nb\n"));
    }

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    /// Podman tells the times of lines in whole seconds, and a node's clock may be set back.
    #[test]
    fn lines_of_one_time_come_once_and_all_of_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = LogTarget { alloc: dir.path().to_owned(), max_files: 3, max_bytes: 1 << 20 };
        let run = dir.path().join("run");
        let lines: Vec<String> =
            ["01Z a", "02Z b", "02Z c", "02Z d", "03Z e"].map(|l| format!("2026-11-21T10:00:{l}\n")).to_vec();
        let mut first = Copier::open(&target, "t", &run, false).expect("opens");
        lines[..3].iter().for_each(|line| first.take(out(line), false));
        first.write_mark();
        drop(first);
        let mut second = Copier::open(&target, "t", &run, true).expect("opens");
        // The connection breaks, and the next one begins with the second of the last line.
        lines[..4].iter().for_each(|line| second.take(out(line), false));
        second.known = Some(second.mark.seen);
        lines[1..].iter().for_each(|line| second.take(out(line), false));
        second.take(out("2026-11-21T09:00:00Z set back\n"), false);
        let text = std::fs::read_to_string(dir.path().join("alloc/logs/t.stdout.0")).expect("there");
        assert_eq!(text, "a\nb\nc\nd\ne\nset back\n");
    }

    #[test]
    fn after_a_crash_lines_come_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = LogTarget { alloc: dir.path().to_owned(), max_files: 3, max_bytes: 1 << 20 };
        let run = dir.path().join("run");
        let lines =
            ["2026-11-21T10:00:00.000000001Z a\n", "2026-11-21T10:00:00.000000002Z b\n", "2026-11-21T10:00:01Z c\n"];
        let mut first = Copier::open(&target, "t", &run, false).expect("opens");
        first.take(out(lines[0]), false);
        first.write_mark();
        // Copied, but the agent dies before the mark.
        first.take(out(lines[1]), false);
        drop(first);
        let mut second = Copier::open(&target, "t", &run, true).expect("opens");
        for line in lines {
            second.take(out(line), false);
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("alloc/logs/t.stdout.0")).expect("there"), "a\nb\nc\n");
    }
}
