//! Reads a task's rotated output: `<base>.N`, N ascending, from any place on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path as FilePath, PathBuf};

use tarpan_model::UnixNanos;

use crate::alloc_dir::LOGS;
use crate::ground::{Dir, Found, Meta};
use crate::log_times::Times;
use crate::supervisor::{log_file_name, log_indexes};

pub enum Step {
    Data {
        bytes: Vec<u8>,
        file: String,
        offset: u64,
    },
    /// On to the next file.
    Moved,
    /// Nothing more for now.
    End,
}

/// Reads `<base>.N` of an allocation's logs, N ascending. The directory is the task's: what is no regular file there is
/// passed over.
pub struct Reader {
    /// The allocation's directory.
    root: PathBuf,
    base: String,
    index: u64,
    offset: u64,
    file: Option<File>,
    /// Reading ends there: number of the file, bytes in it.
    end: Option<(u64, u64)>,
}

impl Reader {
    pub fn new(root: PathBuf, base: String) -> Reader {
        Reader { root, base, index: 0, offset: 0, file: None, end: None }
    }

    pub fn indexes(&self) -> Vec<u64> {
        let dir = Dir::trusted(&self.root).and_then(|root| root.dir(FilePath::new(LOGS)));
        dir.and_then(|dir| log_indexes(&dir, &self.base)).unwrap_or_default()
    }

    /// Number of the file that is read.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Goes to a place of a file; where it is gone, to the oldest that is kept after it.
    pub fn go_to(&mut self, index: u64, offset: u64) {
        (self.index, self.offset, self.file) = (index, offset, None);
    }

    fn find(&self, index: u64) -> Option<Found> {
        let path = FilePath::new(LOGS).join(log_file_name(&self.base, index));
        Dir::trusted(&self.root).ok()?.find_plain(&path).ok().filter(|found| found.meta().is_file())
    }

    /// Goes to `offset` bytes after the oldest byte that is kept, or before the newest.
    pub fn seek(&mut self, offset: u64, from_end: bool) {
        let size = |i: &u64| self.find(*i).map_or(0, |found| found.meta().len());
        let files: Vec<(u64, u64)> = self.indexes().iter().map(|i| (*i, size(i))).collect();
        let total = files.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        let mut left = if from_end { total.saturating_sub(offset) } else { offset.min(total) };
        self.index = files.first().map_or(0, |(i, _)| *i);
        for (index, size) in files {
            self.index = index;
            self.offset = left.min(size);
            if left <= size {
                break;
            }
            left -= size;
        }
    }

    fn times(&self, index: u64) -> Times {
        Dir::trusted(&self.root).map(|root| Times::read(&root, &self.base, index)).unwrap_or_default()
    }

    /// Goes to what was written at `time` or later, as exactly as it was noted: usually to a second.
    pub fn since(&mut self, time: UnixNanos) {
        let indexes = self.indexes();
        for index in &indexes {
            let Some(meta) = self.find(*index).map(|found| *found.meta()) else { continue };
            let last = indexes.last() == Some(index);
            // The last byte of a file is as old as the file says.
            if meta.modified_ns() < time.0 && !last {
                continue;
            }
            let times = self.times(*index);
            let begins = match times.since(time) {
                _ if meta.modified_ns() < time.0 => meta.len(),
                Some(offset) => offset.min(meta.len()),
                None if times.is_empty() => 0,
                None if !last => continue,
                None => meta.len(),
            };
            return self.go_to(*index, begins);
        }
    }

    /// Reading ends where what was written after `time` begins.
    pub fn until(&mut self, time: UnixNanos) {
        let ends = |index: &u64| self.times(*index).after(time).map(|offset| (*index, offset));
        self.end = self.indexes().iter().find_map(ends);
    }

    /// So many bytes of the current file may be read.
    fn room(&self) -> usize {
        match self.end {
            Some((index, _)) if index > self.index => usize::MAX,
            Some((index, offset)) if index == self.index => {
                usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX)
            }
            Some(_) => 0,
            None => usize::MAX,
        }
    }

    /// The next bytes, at most `most`.
    pub fn read(&mut self, most: usize) -> Step {
        let most = most.min(self.room());
        if most == 0 {
            return Step::End;
        }
        // Whether there is a later file must be known before the read: what the writer added to this one before it
        // moved on is then surely in the read that follows.
        let next = self.next();
        if self.file.is_none() {
            self.file = self.open();
        }
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            let _ = file.take(most as u64).read_to_end(&mut bytes);
        }
        if !bytes.is_empty() {
            self.offset += bytes.len() as u64;
            let file = format!("{LOGS}/{}.{}", self.base, self.index);
            return Step::Data { bytes, file, offset: self.offset };
        }
        match next {
            Some(next) => {
                (self.index, self.offset, self.file) = (next, 0, None);
                Step::Moved
            }
            None if self.replaced() => {
                (self.offset, self.file) = (0, None);
                Step::Moved
            }
            None => Step::End,
        }
    }

    /// The number after this one. A list of the directory is only needed when this one has gone away.
    fn next(&self) -> Option<u64> {
        let direct = self.index.checked_add(1)?;
        if self.find(direct).is_some() {
            return Some(direct);
        }
        match self.file.as_ref().is_some_and(has_a_name) {
            true => None,
            false => self.indexes().into_iter().find(|i| *i > self.index && self.find(*i).is_some()),
        }
    }

    /// The file was removed, and there is another one under its name.
    fn replaced(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !has_a_name(file)) && self.find(self.index).is_some()
    }

    fn open(&self) -> Option<File> {
        let mut file = self.find(self.index)?.file().ok()?;
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        Some(file)
    }
}

fn has_a_name(file: &File) -> bool {
    Meta::of_file(file).is_ok_and(|meta| meta.links() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Rotator;

    fn read_all(reader: &mut Reader) -> String {
        let mut all = Vec::new();
        loop {
            match reader.read(7) {
                Step::Data { bytes, .. } => all.extend_from_slice(&bytes),
                Step::Moved => {}
                Step::End => return String::from_utf8(all).expect("text"),
            }
        }
    }

    #[test]
    fn following_over_rotations_loses_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(Dir::trusted(dir.path()).expect("there"), "t.stdout", 100, 16).expect("writable");
        let mut reader = Reader::new(dir.path().to_owned(), "t.stdout".to_owned());
        let (mut written, mut read) = (String::new(), String::new());
        for i in 0..200 {
            let line = format!("line {i}\n");
            log.write(line.as_bytes()).expect("written");
            written.push_str(&line);
            if i % 3 == 0 {
                read.push_str(&read_all(&mut reader));
            }
        }
        read.push_str(&read_all(&mut reader));
        assert_eq!(read, written);
    }

    #[test]
    fn offsets_count_over_files_from_both_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(Dir::trusted(dir.path()).expect("there"), "t.stdout", 100, 5).expect("writable");
        log.write(b"aaaa\nbbbb\ncccc\n").expect("written");
        for (offset, from_end, expected) in [
            (0, false, "aaaa\nbbbb\ncccc\n"),
            (7, false, "bb\ncccc\n"),
            (3, true, "cc\n"),
            (99, true, "aaaa\nbbbb\ncccc\n"),
            (99, false, ""),
        ] {
            let mut reader = Reader::new(dir.path().to_owned(), "t.stdout".to_owned());
            reader.seek(offset, from_end);
            assert_eq!(read_all(&mut reader), expected, "{offset} {from_end}");
        }
    }

    #[test]
    fn a_stretch_of_time_is_a_stretch_of_the_output() {
        let dir = tempfile::tempdir().expect("a directory");
        let hour_ago = crate::wall().0 - 3_600_000_000_000;
        let minute = |n: i64| UnixNanos(hour_ago + n * 60_000_000_000);
        // Files of two lines, and one that holds all.
        for file_bytes in [16, 1 << 20] {
            let base = format!("t{file_bytes}.stdout");
            let mut log =
                Rotator::open(Dir::trusted(dir.path()).expect("there"), &base, 100, file_bytes).expect("there");
            for n in 0..9 {
                log.write_of(format!("line {n}\n").as_bytes(), minute(n)).expect("written");
            }
            let lines = |since: Option<i64>, until: Option<i64>| {
                let mut reader = Reader::new(dir.path().to_owned(), base.clone());
                let half = |n: i64| UnixNanos(minute(n).0 - 30_000_000_000);
                if let Some(n) = since {
                    reader.since(half(n));
                }
                if let Some(n) = until {
                    reader.until(half(n));
                }
                read_all(&mut reader).replace("line ", "").replace('\n', "")
            };
            assert_eq!(lines(None, None), "012345678", "{file_bytes}");
            assert_eq!(lines(Some(3), None), "345678", "{file_bytes}");
            assert_eq!(lines(None, Some(3)), "012", "{file_bytes}");
            assert_eq!(lines(Some(2), Some(5)), "234", "{file_bytes}");
            assert_eq!(lines(Some(20), None), "", "{file_bytes}: nothing is so young");
            assert_eq!(lines(None, Some(0)), "", "{file_bytes}: nothing is so old");
            assert_eq!(lines(Some(5), Some(2)), "", "{file_bytes}: the wrong way about");
        }
    }

    /// Pipes, links and removed files under the names of logs: nothing is waited for, nothing of the host is read, and the
    /// reader goes on where the writer does.
    #[test]
    fn what_a_task_puts_in_place_of_its_log_is_not_read() {
        let (dir, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::write(host.path().join("secret"), "the host's").expect("written");
        let at = |i: u64| dir.path().join(LOGS).join(format!("t.stdout.{i}"));
        std::fs::create_dir_all(dir.path().join(LOGS)).expect("made");
        let mut reader = Reader::new(dir.path().to_owned(), "t.stdout".to_owned());
        nix::unistd::mkfifo(&at(0), nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert_eq!(read_all(&mut reader), "");
        std::fs::write(at(1), "one\n").expect("written");
        assert_eq!(read_all(&mut reader), "one\n");
        std::fs::remove_file(at(1)).expect("removed");
        std::os::unix::fs::symlink(host.path().join("secret"), at(1)).expect("linked");
        std::os::unix::fs::symlink(host.path().join("secret"), at(2)).expect("linked");
        assert_eq!(read_all(&mut reader), "");
        std::fs::remove_file(at(1)).expect("removed");
        std::fs::write(at(1), "anew\n").expect("written");
        assert_eq!(read_all(&mut reader), "anew\n");
    }
}
