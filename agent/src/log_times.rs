//! When what stands in a log file was written: marks beside each file, whose bytes stay the task's own.
//!
//! `<allocation>/.log-times/<base>.N`, where no task behind walls sees it, has records of 16 bytes, two little-endian numbers
//! each. The first is the grain: how far (nanoseconds) marks are apart at least. The others are a place in the file and the time of
//! day (Unix nanoseconds) at which writing began there; a write that comes a grain after the last mark makes one. A full row
//! gets a coarser grain, and loses the marks that are nearer to each other (docs/decisions/0039-times-of-output.md).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tarpan_model::UnixNanos;

use crate::ground::{Attr, Dir, Error};

/// Below the allocation's directory.
pub const DIR: &str = ".log-times";

const RECORD: usize = 16;
/// Nanoseconds.
const FIRST_GRAIN: i64 = 1_000_000_000;
/// Marks of one file: 32 KiB beside a log of, usually, ten million bytes.
const MOST: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    offset: u64,
    at: i64,
}

/// The marks of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    grain: i64,
    marks: Vec<Mark>,
}

impl Default for Times {
    fn default() -> Times {
        Times { grain: FIRST_GRAIN, marks: Vec::new() }
    }
}

impl Times {
    /// Those of `<base>.<index>`; none where there is no such file. It is believed as far as its numbers go: it decides what of a
    /// log is shown, and nothing else.
    pub fn read(alloc: &Dir, base: &str, index: u64) -> Times {
        let read = || -> Result<Vec<u8>, Error> {
            let found = alloc.find_plain(&Path::new(DIR).join(format!("{base}.{index}")))?;
            found.bytes(((MOST + 1) * RECORD) as u64)
        };
        read().map(|bytes| Times::of(&bytes)).unwrap_or_default()
    }

    fn of(bytes: &[u8]) -> Times {
        let number = |at: usize, record: &[u8]| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
        let mut records = bytes.chunks_exact(RECORD).map(|r| (number(0, r), number(8, r).cast_signed()));
        let grain = records.next().map_or(FIRST_GRAIN, |(_, grain)| grain.max(FIRST_GRAIN));
        let mut marks: Vec<Mark> = records.map(|(offset, at)| Mark { offset, at }).collect();
        marks.sort_by_key(|mark| mark.offset);
        Times { grain, marks }
    }

    fn bytes(&self) -> Vec<u8> {
        let head = Mark { offset: u64::MAX, at: self.grain };
        std::iter::once(&head).chain(&self.marks).flat_map(Mark::bytes).collect()
    }

    /// Where what was written at `time` or later begins; `None`: all of the file's marks are older by more than a grain.
    pub fn since(&self, time: UnixNanos) -> Option<u64> {
        let Some(first) = self.marks.iter().position(|mark| mark.at > time.0) else {
            let last = self.marks.last()?;
            return self.reaches(*last, time).then_some(last.offset);
        };
        let before = first.checked_sub(1).map(|i| self.marks[i]);
        match before {
            None => Some(0),
            Some(mark) if self.reaches(mark, time) => Some(mark.offset),
            Some(_) => Some(self.marks[first].offset),
        }
    }

    /// Whether some of what stands between this mark and the next may have been written at `time`. What stands behind a mark that
    /// a coarser grain took away was written within the older one.
    fn reaches(&self, mark: Mark, time: UnixNanos) -> bool {
        let reach = if self.grain > FIRST_GRAIN { self.grain.saturating_mul(2) } else { self.grain };
        time.0 < mark.at.saturating_add(reach)
    }

    /// Where what was written after `time` begins; `None`: nowhere in this file.
    pub fn after(&self, time: UnixNanos) -> Option<u64> {
        self.marks.iter().find(|mark| mark.at > time.0).map(|mark| mark.offset)
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether a write at `time` makes a mark. A clock that was set back makes one, too.
    fn wants(&self, time: UnixNanos) -> bool {
        self.marks.last().is_none_or(|last| !(last.at..last.at.saturating_add(self.grain)).contains(&time.0))
    }

    /// Takes away marks that are nearer to the one before than a coarser grain allows, and half of them at least.
    fn thin(&mut self) {
        while self.marks.len() > MOST / 2 && self.grain < i64::MAX / 4 {
            self.grain *= 2;
            let (grain, mut last) = (self.grain, None::<i64>);
            self.marks.retain(|mark| {
                let near = last.is_some_and(|last| (last..last.saturating_add(grain)).contains(&mark.at));
                if !near {
                    last = Some(mark.at);
                }
                !near
            });
        }
        // A clock that is set back again and again keeps every mark away from the one before.
        self.marks.drain(..self.marks.len().saturating_sub(MOST / 2));
    }
}

impl Mark {
    fn bytes(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&self.offset.to_le_bytes());
        record[8..].copy_from_slice(&self.at.to_le_bytes());
        record
    }
}

fn path(base: &str, index: u64) -> PathBuf {
    PathBuf::from(format!("{base}.{index}"))
}

/// Who writes a log writes its marks.
pub struct Writer {
    file: File,
    times: Times,
}

impl Writer {
    /// Goes on with the marks of a file of `written` bytes. Marks of bytes that are not there any more go.
    pub fn open(alloc: &Dir, base: &str, index: u64, written: u64) -> io::Result<Writer> {
        let dir = alloc.make_dir(Path::new(DIR), Attr::mode(0o700))?;
        let name = path(base, index);
        let mut times = Times::read(alloc, base, index);
        times.marks.retain(|mark| mark.offset < written);
        let mut file = match dir.append(&name, 0o600) {
            Err(error) if error.is_odd() => dir.create(&name, 0o600)?,
            opened => opened?,
        };
        file.set_len(0)?;
        file.write_all(&times.bytes())?;
        Ok(Writer { file, times })
    }

    /// Bytes are about to be written at `offset`. A disk without room costs marks, and nothing else.
    pub fn note(&mut self, offset: u64, time: UnixNanos) {
        if !self.times.wants(time) {
            return;
        }
        let mark = Mark { offset, at: time.0 };
        self.times.marks.push(mark);
        if self.times.marks.len() < MOST {
            let _ = self.file.write_all(&mark.bytes());
            return;
        }
        self.times.thin();
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all(&self.times.bytes()));
    }
}

/// A file of the row goes, and its marks with it.
pub fn remove(alloc: &Dir, base: &str, index: u64) {
    let _ = alloc.remove_file(&Path::new(DIR).join(path(base, index)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> UnixNanos {
        UnixNanos(second * FIRST_GRAIN)
    }

    fn open(dir: &tempfile::TempDir) -> Dir {
        Dir::trusted(dir.path()).expect("there")
    }

    #[test]
    fn a_moment_is_a_place_in_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Writer::open(&open(&dir), "t.stdout", 0, 0).expect("writable");
        // A second of output, a pause, and more.
        for (offset, second) in [(0, 100), (10, 100), (20, 101), (30, 500), (40, 501)] {
            writer.note(offset, at(second));
        }
        let times = Times::read(&open(&dir), "t.stdout", 0);
        assert_eq!(times.marks.iter().map(|m| m.offset).collect::<Vec<_>>(), [0, 20, 30, 40]);
        for (second, since, after) in [
            (99, Some(0), Some(0)),
            (100, Some(0), Some(20)),
            (101, Some(20), Some(30)),
            // Nothing was written in the pause: what comes then begins after it.
            (102, Some(30), Some(30)),
            (499, Some(30), Some(30)),
            (501, Some(40), None),
            (503, None, None),
        ] {
            assert_eq!((times.since(at(second)), times.after(at(second))), (since, after), "{second}");
        }
        // A later writer goes on; what was cut off has no marks.
        let mut writer = Writer::open(&open(&dir), "t.stdout", 0, 35).expect("writable");
        writer.note(35, at(600));
        let offsets: Vec<u64> = Times::read(&open(&dir), "t.stdout", 0).marks.iter().map(|m| m.offset).collect();
        assert_eq!(offsets, [0, 20, 30, 35]);
        remove(&open(&dir), "t.stdout", 0);
        assert!(Times::read(&open(&dir), "t.stdout", 0).is_empty());
    }

    #[test]
    fn a_file_that_is_written_for_long_has_coarser_marks_and_not_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Writer::open(&open(&dir), "t.stdout", 0, 0).expect("writable");
        let seconds = 3 * MOST as u64;
        (0..seconds).for_each(|second| writer.note(second, at(second.cast_signed())));
        let times = Times::read(&open(&dir), "t.stdout", 0);
        assert!(times.marks.len() < MOST && times.grain == 4 * FIRST_GRAIN, "{} {}", times.marks.len(), times.grain);
        assert_eq!(times, writer.times);
        // Never later than asked, and no more than two grains earlier.
        for second in (1..seconds).step_by(97) {
            let found = times.since(at(second.cast_signed())).expect("in the file");
            assert!(found <= second && found + 8 >= second, "{second}: {found}");
        }
    }

    #[test]
    fn a_line_between_two_pauses_keeps_its_place() {
        let mut times = Times::default();
        let rows = (0..MOST as u64).map(|n| Mark { offset: n * 10, at: at(1000 * n.cast_signed()).0 });
        times.marks.extend(rows);
        times.thin();
        assert!(times.marks.len() <= MOST / 2);
        for n in (0..MOST as i64).step_by(13) {
            let found = times.since(at(1000 * n)).expect("in the file");
            assert!(found <= n.cast_unsigned() * 10, "{n}: {found}");
        }
    }

    #[test]
    fn fuzz_any_bytes_are_marks_of_some_kind() {
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "log-times");
        let good = Times { grain: FIRST_GRAIN, marks: vec![Mark { offset: 7, at: 9 }] }.bytes();
        fuzz.seeds([good]).bytes(|bytes| {
            let times = Times::of(bytes);
            for time in [i64::MIN, 0, i64::MAX] {
                let time = UnixNanos(time);
                let _ = (times.since(time), times.after(time), times.wants(time));
            }
            String::new()
        });
    }
}
