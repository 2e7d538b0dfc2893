//! Rotated log files: `<base>.0`, `<base>.1`, … each at most so big, only the newest kept.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tarpan_model::UnixNanos;

use crate::alloc_dir::{LOGS, logs_dir};
use crate::ground::{Dir, Error, Meta};
use crate::log_times;

/// How far back from the end of a full file a newline is looked for, so that a line is not split between files.
const NEWLINE_WINDOW: usize = 32 * 1024;
/// How often it is looked whether the file still has its name: the task may have removed or replaced it.
const LOOK: Duration = Duration::from_secs(1);
/// The highest number that is believed: beyond it a name was made up by the task, and counting on would overflow.
const MOST_INDEX: u64 = u32::MAX as u64;
/// Numbers that are tried for a new file when directories stand in its place.
const TRIES: u64 = 64;

/// Appends to the newest of a row of files and starts the next one when it is full.
///
/// The number keeps growing; a reader follows by opening the next number. Sizes in bytes. The directory is the task's: what
/// it puts in place of a file is neither followed nor waited for; it goes away, and a line in the fresh file says so.
pub struct Rotator {
    alloc: Dir,
    base: String,
    max_files: u64,
    max_bytes: u64,
    index: u64,
    written: u64,
    file: File,
    /// Device and inode of the file.
    identity: (u64, u64),
    looked: Instant,
    /// `None`: they could not be opened, and what is written has no times.
    times: Option<log_times::Writer>,
}

/// A file of the row, opened.
struct Opened {
    index: u64,
    written: u64,
    file: File,
    identity: (u64, u64),
}

impl Rotator {
    /// Continues the newest file `<base>.N` of an allocation's logs, or starts number 0.
    pub fn open(alloc: Dir, base: &str, max_files: u64, max_bytes: u64) -> io::Result<Rotator> {
        let index = indexes(&logs_dir(&alloc)?, base)?.last().copied().unwrap_or(0);
        let Opened { index, written, file, identity } = append(&alloc, base, index)?;
        let times = log_times::Writer::open(&alloc, base, index, written).ok();
        Ok(Rotator {
            times,
            alloc,
            base: base.to_owned(),
            max_files: max_files.max(1),
            max_bytes: max_bytes.max(1),
            index,
            written,
            file,
            identity,
            looked: Instant::now(),
        })
    }

    /// Takes away what comes after a position, as [`Rotator::position`] gave it.
    pub fn cut_back(alloc: &Dir, base: &str, index: u64, size: u64) -> io::Result<()> {
        let dir = logs_dir(alloc)?;
        for newer in indexes(&dir, base)?.into_iter().filter(|i| *i > index) {
            remove(&dir, base, newer);
            log_times::remove(alloc, base, newer);
        }
        match dir.change(&file_name(base, index)) {
            Ok(file) if file.metadata()?.len() > size => file.set_len(size),
            Ok(_) => Ok(()),
            // What the task put there is not ours to cut: it goes away when the file is opened.
            Err(error) if error.not_found() || error.is_odd() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Number of the newest file and its size.
    pub fn position(&self) -> (u64, u64) {
        (self.index, self.written)
    }

    /// Writes everything; on an error (a full disk) what is left of `bytes` is lost, and the next call tries again.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_of(bytes, crate::wall())
    }

    /// The same for what was written at another time of day.
    pub fn write_of(&mut self, mut bytes: &[u8], time: UnixNanos) -> io::Result<()> {
        if self.looked.elapsed() >= LOOK {
            self.look()?;
        }
        while !bytes.is_empty() {
            let room = self.max_bytes.saturating_sub(self.written);
            if room == 0 {
                self.next_file()?;
                continue;
            }
            let (now, full) = cut(bytes, usize::try_from(room).unwrap_or(usize::MAX));
            if let Some(times) = &mut self.times {
                times.note(self.written, time);
            }
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            bytes = &bytes[now.len()..];
            if full {
                self.next_file()?;
            }
        }
        Ok(())
    }

    /// Opens the file anew when its name leads elsewhere now.
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let there = self.alloc.find_plain(&Path::new(LOGS).join(file_name(&self.base, self.index)));
        if there.is_ok_and(|found| found.meta().identity() == self.identity) {
            return Ok(());
        }
        self.take(append(&self.alloc, &self.base, self.index)?);
        Ok(())
    }

    fn take(&mut self, opened: Opened) {
        self.times = log_times::Writer::open(&self.alloc, &self.base, opened.index, opened.written).ok();
        (self.index, self.written) = (opened.index, opened.written);
        (self.file, self.identity) = (opened.file, opened.identity);
    }

    fn next_file(&mut self) -> io::Result<()> {
        let before = self.index;
        self.take(append(&self.alloc, &self.base, self.index + 1)?);
        self.looked = Instant::now();
        let dir = logs_dir(&self.alloc)?;
        let gone = |index: u64| (index + 1).checked_sub(self.max_files);
        // Without a list of the directory: the task may have put a million names there.
        for old in gone(before).unwrap_or(0)..gone(self.index).unwrap_or(0) {
            remove(&dir, &self.base, old);
            log_times::remove(&self.alloc, &self.base, old);
        }
        Ok(())
    }
}

/// The part of `bytes` that goes into a file with `room` left, and whether that file is then finished.
fn cut(bytes: &[u8], room: usize) -> (&[u8], bool) {
    if bytes.len() <= room {
        return (bytes, false);
    }
    let head = &bytes[..room];
    let from = head.len().saturating_sub(NEWLINE_WINDOW);
    match head[from..].iter().rposition(|b| *b == b'\n') {
        Some(at) => (&head[..from + at + 1], true),
        None => (head, true),
    }
}

/// Name of a file of the row.
pub fn file_name(base: &str, index: u64) -> PathBuf {
    PathBuf::from(format!("{base}.{index}"))
}

/// Opens number `index`, or the next one where that can't be. What is neither a file nor a directory makes room.
fn append(alloc: &Dir, base: &str, index: u64) -> io::Result<Opened> {
    let dir = logs_dir(alloc)?;
    let (mut last, mut odd) = (None, None);
    for index in index..index.saturating_add(TRIES) {
        let name = file_name(base, index);
        let opened = match dir.append(&name, 0o644) {
            Err(error) if error.is_odd() => {
                let opened = dir.create(&name, 0o644);
                odd.get_or_insert(error);
                opened
            }
            done => done,
        };
        match opened {
            Ok(mut file) => {
                if let Some(odd) = &odd {
                    note(&mut file, odd)?;
                }
                let meta = Meta::of_file(&file)?;
                return Ok(Opened { index, written: meta.len(), identity: meta.identity(), file });
            }
            Err(error @ Error::IsADirectory { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(|| io::ErrorKind::AlreadyExists.into(), io::Error::from))
}

/// Says in the fresh file why the log has a gap: whoever reads it should not look for the lines elsewhere.
fn note(file: &mut File, odd: &Error) -> io::Result<()> {
    writeln!(file, "[the log could not be continued: {odd}; it goes on here]")
}

fn remove(dir: &Dir, base: &str, index: u64) {
    let _ = dir.remove_file(&file_name(base, index));
}

/// The numbers there are of `<base>.N`, ascending.
pub fn indexes(dir: &Dir, base: &str) -> Result<Vec<u64>, Error> {
    let mut found: Vec<u64> = dir.names()?.iter().filter_map(|name| number(name.to_str()?, base)).collect();
    found.sort_unstable();
    Ok(found)
}

/// N of `<base>.N`, where it is written as [`file_name`] writes it: `+7` and `007` are names of the task's own.
fn number(name: &str, base: &str) -> Option<u64> {
    let digits = name.strip_prefix(base)?.strip_prefix('.')?;
    let number: u64 = digits.parse().ok().filter(|n| *n <= MOST_INDEX)?;
    (digits.len() == number.to_string().len() && !digits.starts_with('+')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(dir: &Path) -> Vec<(u64, String)> {
        let at = |i: &u64| dir.join(LOGS).join(format!("t.stdout.{i}"));
        let read = |i| std::fs::read_to_string(at(&i)).expect("listed");
        let logs = logs_dir(&open(dir)).expect("a directory");
        indexes(&logs, "t.stdout")
            .expect("listed")
            .into_iter()
            .filter(|i| at(i).is_file())
            .map(|i| (i, read(i)))
            .collect()
    }

    fn open(dir: &Path) -> Dir {
        Dir::trusted(dir).expect("a directory")
    }

    type Put = Box<dyn Fn(&Path)>;

    /// What a task may put in place of its log, `at` there; the host's file is beside it.
    fn oddities(host: &Path) -> Vec<(&'static str, Put)> {
        let (to, new) = (host.join("victim"), host.join("planted"));
        let of_host = to.clone();
        vec![
            ("a symbolic link", Box::new(move |at| std::os::unix::fs::symlink(&to, at).expect("linked"))),
            ("a symbolic link", Box::new(move |at| std::os::unix::fs::symlink(&new, at).expect("linked"))),
            ("a named pipe", Box::new(|at| nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).expect("made"))),
            ("several names", Box::new(move |at| std::fs::hard_link(&of_host, at).expect("linked"))),
            ("a directory", Box::new(|at| std::fs::create_dir(at).expect("made"))),
        ]
    }

    fn check_host(host: &Path) {
        let names: Vec<_> = std::fs::read_dir(host).expect("there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["victim"]);
        assert_eq!(std::fs::read_to_string(host.join("victim")).expect("there"), "the host's");
    }

    #[test]
    fn what_a_task_puts_in_place_of_its_log_is_not_written_to() {
        let host = tempfile::tempdir().expect("a directory");
        std::fs::write(host.path().join("victim"), "the host's").expect("written");
        for (kind, put) in oddities(host.path()) {
            let dir = tempfile::tempdir().expect("a directory");
            let at = |i: u64| dir.path().join(LOGS).join(format!("t.stdout.{i}"));
            let mut log = Rotator::open(open(dir.path()), "t.stdout", 3, 1000).expect("writable");
            log.write(b"before\n").expect("written");
            std::fs::remove_file(at(0)).expect("removed");
            put(&at(0));
            // Time passes, and it is looked at again; then a later agent opens it; then the next file is in the way.
            log.look().expect("mended");
            log.write(b"after\n").expect("written");
            let text = contents(dir.path()).pop().expect("a file").1;
            assert!(text.contains(kind) && text.ends_with("]\nafter\n"), "{kind}: {text}");
            let newest = log.position().0;
            drop(log);
            std::fs::remove_file(at(newest)).expect("removed");
            put(&at(newest));
            let mut log = Rotator::open(open(dir.path()), "t.stdout", 3, 100).expect("writable");
            let index = log.position().0;
            put(&at(index + 1));
            log.write("a line\n".repeat(20).as_bytes()).expect("written");
            assert!(log.position().0 > index, "{kind}");
            check_host(host.path());
        }
    }

    #[test]
    fn a_directory_of_logs_that_was_swapped_is_made_anew() {
        let (dir, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::write(host.path().join("victim"), "the host's").expect("written");
        let logs = dir.path().join(LOGS);
        let mut log = Rotator::open(open(dir.path()), "t.stdout", 3, 1000).expect("writable");
        std::fs::rename(&logs, dir.path().join("alloc/away")).expect("moved");
        std::os::unix::fs::symlink(host.path(), &logs).expect("linked");
        log.look().expect("mended");
        log.write(b"after\n").expect("written");
        assert_eq!(contents(dir.path()), [(0, "after\n".into())]);
        Rotator::cut_back(&open(dir.path()), "victim", 0, 0).expect("nothing to cut");
        check_host(host.path());
    }

    #[test]
    fn a_log_that_the_task_removed_is_written_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(open(dir.path()), "t.stdout", 3, 1000).expect("writable");
        log.write(b"before\n").expect("written");
        std::fs::remove_file(dir.path().join(LOGS).join("t.stdout.0")).expect("removed");
        log.look().expect("mended");
        log.write(b"after\n").expect("written");
        assert_eq!(contents(dir.path()), [(0, "after\n".into())]);
    }

    #[test]
    fn names_beyond_counting_are_not_believed() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join(LOGS)).expect("made");
        std::fs::write(dir.path().join(LOGS).join(format!("t.stdout.{}", u64::MAX)), "").expect("written");
        let mut log = Rotator::open(open(dir.path()), "t.stdout", 2, 10).expect("writable");
        log.write(b"one\ntwo\nthree\n").expect("written");
        assert_eq!(log.position().0, 1);
    }

    #[test]
    fn lines_stay_whole_and_old_files_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(open(dir.path()), "t.stdout", 2, 10).expect("writable");
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            log.write(line.as_bytes()).expect("written");
        }
        assert_eq!(contents(dir.path()), [(0, "one\ntwo\nth".into()), (1, "ree\nfour\n".into())]);
        log.write(b"five\nsix\n").expect("written");
        assert_eq!(contents(dir.path()), [(1, "ree\nfour\nf".into()), (2, "ive\nsix\n".into())]);
    }

    #[test]
    fn a_big_write_is_cut_at_newlines() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(open(dir.path()), "t.stdout", 9, 10).expect("writable");
        log.write(b"aaaa\nbbbb\ncc\ndddddddddddd\n").expect("written");
        let files: Vec<String> = contents(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(files.concat(), "aaaa\nbbbb\ncc\ndddddddddddd\n");
        assert_eq!(files[0], "aaaa\nbbbb\n");
    }

    #[test]
    fn it_continues_the_newest_file() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in ["a\n", "b\n"] {
            let mut log = Rotator::open(open(dir.path()), "t.stdout", 2, 10).expect("writable");
            log.write(text.as_bytes()).expect("written");
        }
        assert_eq!(contents(dir.path()), [(0, "a\nb\n".into())]);
    }

    #[test]
    fn fuzz_numbers_are_those_of_our_own_names() {
        let seeds =
            ["t.stdout.7", "t.stdout.+7", "t.stdout.007", "t.stdout.", "t.stdout.18446744073709551615", "t.stdout.7.8"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "logs");
        fuzz.words(&["t.stdout", ".", "+", "0", "9223372036854775807"]).seeds(seeds).texts(|name| {
            let found = number(name, "t.stdout");
            assert!(found.is_none_or(|n| n <= MOST_INDEX && file_name("t.stdout", n).as_os_str() == name), "{name:?}");
            format!("{}", found.is_some())
        });
    }
}
