//! Rotated log files: `<base>.0`, `<base>.1`, … each at most so big, only the newest kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How far back from the end of a full file a newline is looked for, so that a line is not split between files.
const NEWLINE_WINDOW: usize = 32 * 1024;

/// Appends to the newest of a row of files and starts the next one when it is full.
///
/// The number keeps growing; a reader follows by opening the next number. Sizes in bytes.
pub struct Rotator {
    dir: PathBuf,
    base: String,
    max_files: u64,
    max_bytes: u64,
    index: u64,
    written: u64,
    file: File,
}

impl Rotator {
    /// Continues the newest file of `<dir>/<base>.N`, or starts number 0.
    pub fn open(dir: &Path, base: &str, max_files: u64, max_bytes: u64) -> io::Result<Rotator> {
        let index = indexes(dir, base)?.last().copied().unwrap_or(0);
        let file = append(dir, base, index)?;
        let written = file.metadata()?.len();
        Ok(Rotator {
            dir: dir.to_owned(),
            base: base.to_owned(),
            max_files: max_files.max(1),
            max_bytes: max_bytes.max(1),
            index,
            written,
            file,
        })
    }

    /// Takes away what comes after a position, as [`Rotator::position`] gave it.
    pub fn cut_back(dir: &Path, base: &str, index: u64, size: u64) -> io::Result<()> {
        for newer in indexes(dir, base)?.into_iter().filter(|i| *i > index) {
            std::fs::remove_file(dir.join(format!("{base}.{newer}")))?;
        }
        let path = dir.join(format!("{base}.{index}"));
        if path.metadata().is_ok_and(|m| m.len() > size) {
            OpenOptions::new().write(true).open(path)?.set_len(size)?;
        }
        Ok(())
    }

    /// Number of the newest file and its size.
    pub fn position(&self) -> (u64, u64) {
        (self.index, self.written)
    }

    /// Writes everything; on an error (a full disk) what is left of `bytes` is lost, and the next call tries again.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.max_bytes.saturating_sub(self.written);
            if room == 0 {
                self.next_file()?;
                continue;
            }
            let (now, full) = cut(bytes, usize::try_from(room).unwrap_or(usize::MAX));
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            bytes = &bytes[now.len()..];
            if full {
                self.next_file()?;
            }
        }
        Ok(())
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.file = append(&self.dir, &self.base, self.index + 1)?;
        self.index += 1;
        self.written = self.file.metadata()?.len();
        for old in indexes(&self.dir, &self.base)? {
            if old + self.max_files <= self.index {
                let _ = std::fs::remove_file(self.dir.join(format!("{}.{old}", self.base)));
            }
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

fn append(dir: &Path, base: &str, index: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(dir.join(format!("{base}.{index}")))
}

/// The numbers there are of `<dir>/<base>.N`, ascending.
pub fn indexes(dir: &Path, base: &str) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix(base)).and_then(|n| n.strip_prefix('.'));
        if let Some(number) = number.and_then(|n| n.parse().ok()) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(dir: &Path) -> Vec<(u64, String)> {
        let read = |i| std::fs::read_to_string(dir.join(format!("t.stdout.{i}"))).expect("listed");
        indexes(dir, "t.stdout").expect("a directory").into_iter().map(|i| (i, read(i))).collect()
    }

    #[test]
    fn lines_stay_whole_and_old_files_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(dir.path(), "t.stdout", 2, 10).expect("writable");
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
        let mut log = Rotator::open(dir.path(), "t.stdout", 9, 10).expect("writable");
        log.write(b"aaaa\nbbbb\ncc\ndddddddddddd\n").expect("written");
        let files: Vec<String> = contents(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(files.concat(), "aaaa\nbbbb\ncc\ndddddddddddd\n");
        assert_eq!(files[0], "aaaa\nbbbb\n");
    }

    #[test]
    fn it_continues_the_newest_file() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in ["a\n", "b\n"] {
            let mut log = Rotator::open(dir.path(), "t.stdout", 2, 10).expect("writable");
            log.write(text.as_bytes()).expect("written");
        }
        assert_eq!(contents(dir.path()), [(0, "a\nb\n".into())]);
    }
}
