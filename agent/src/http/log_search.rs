//! Lines of a task's output that hold a text: of a bounded piece of it, with where to go on.
//!
//! Ours: the field's clients ask for no `search`, and get what they know.

use serde::Deserialize;
use tarpan_api::wire::{LogMatch, LogMatches};

use super::error::Error;
use super::log_reader::{Reader, Step};

/// Bytes that are looked through for one answer.
const SCAN: u64 = 16 << 20;
/// Lines of one answer where the caller names no number, and at most.
const LINES: (usize, usize) = (100, 1000);
/// A longer line is looked through in pieces of this size.
const LINE: usize = 64 << 10;
/// So much of a line is told.
const TOLD: usize = 4 << 10;
/// How long a text may be.
const TEXT: usize = 1000;

/// What is looked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    search: String,
    ignore_case: Option<String>,
    per_page: Option<usize>,
    /// `FILE:OFFSET`, as an earlier answer gave it.
    next_token: String,
}

/// A place in the output: number of the file, bytes in it.
type Place = (u64, u64);

pub struct Search {
    text: String,
    ignore_case: bool,
    lines: usize,
    from: Option<Place>,
}

impl Wish {
    /// `None`: nothing is looked for.
    pub fn search(&self) -> Result<Option<Search>, Error> {
        if self.search.is_empty() {
            return Ok(None);
        }
        if self.search.len() > TEXT {
            return Err(Error::bad(format!("search: the text may have {TEXT} bytes")));
        }
        let ignore_case = super::flag::flag(self.ignore_case.as_deref(), false)?;
        let place = |token: &str| {
            let (file, offset) = token.split_once(':')?;
            Some((file.parse().ok()?, offset.parse().ok()?))
        };
        let from = match self.next_token.as_str() {
            "" => None,
            token => Some(place(token).ok_or_else(|| Error::bad(format!("next_token {token:?} is not one of ours")))?),
        };
        let text = if ignore_case { self.search.to_lowercase() } else { self.search.clone() };
        let lines = self.per_page.unwrap_or(LINES.0).clamp(1, LINES.1);
        Ok(Some(Search { text, ignore_case, lines, from }))
    }
}

impl Search {
    /// Looks through what is kept, from where it was told to, as far as one answer goes.
    pub fn run(&self, reader: &mut Reader) -> LogMatches {
        if let Some((index, offset)) = self.from {
            reader.go_to(index, offset);
        }
        let mut scan = Scan { search: self, found: LogMatches::default(), line: Vec::new(), begun: (0, 0) };
        loop {
            match reader.read(LINE) {
                Step::Data { bytes, offset, .. } => {
                    let index = reader.index();
                    if let Some(stopped) = scan.take(&bytes, index, offset - bytes.len() as u64) {
                        return scan.found.going_on(stopped);
                    }
                }
                Step::Moved => {}
                Step::End => {
                    scan.line_ends();
                    return scan.found;
                }
            }
        }
    }

    fn holds(&self, line: &str) -> bool {
        match self.ignore_case {
            true => line.to_lowercase().contains(&self.text),
            false => line.contains(&self.text),
        }
    }
}

struct Scan<'a> {
    search: &'a Search,
    found: LogMatches,
    /// Of the line that is not whole yet, and where it begins. It may go on in the next file.
    line: Vec<u8>,
    begun: Place,
}

impl Scan<'_> {
    /// Takes what stands at `offset` of a file; where to go on, when this answer is full.
    fn take(&mut self, bytes: &[u8], index: u64, offset: u64) -> Option<Place> {
        let mut at = 0;
        while at < bytes.len() {
            if self.line.is_empty() {
                self.begun = (index, offset + at as u64);
            }
            let end = bytes[at..].iter().position(|b| *b == b'\n').map(|n| at + n + 1);
            let upto = end.unwrap_or(bytes.len());
            self.line.extend_from_slice(&bytes[at..upto]);
            at = upto;
            if end.is_some() || self.line.len() >= LINE {
                self.line_ends();
                if self.found.lines.len() >= self.search.lines {
                    self.found.scanned += at as u64;
                    return Some((index, offset + at as u64));
                }
            }
        }
        self.found.scanned += bytes.len() as u64;
        let here = (index, offset + bytes.len() as u64);
        (self.found.scanned >= SCAN).then_some(if self.line.is_empty() { here } else { self.begun })
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        let plain = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = String::from_utf8_lossy(plain);
        if line.is_empty() || !self.search.holds(&text) {
            return;
        }
        let cut = plain.len() > TOLD;
        let text = if cut { String::from_utf8_lossy(&plain[..TOLD]) } else { text };
        self.found.lines.push(LogMatch { file: self.begun.0, offset: self.begun.1, text: text.into_owned(), cut });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Dir;
    use crate::supervisor::Rotator;

    fn written(text: &[u8], file_bytes: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc = Dir::trusted(dir.path()).expect("there");
        let mut log = Rotator::open(alloc, "t.stdout", 1000, file_bytes).expect("writable");
        log.write(text).expect("written");
        dir
    }

    /// All answers after one another, and how many there were.
    fn all(dir: &tempfile::TempDir, text: &str, ignore_case: bool, per_page: usize) -> (Vec<String>, usize) {
        let (mut lines, mut answers, mut token) = (Vec::new(), 0, String::new());
        loop {
            let ignore_case = Some(ignore_case.to_string());
            let wish = Wish { search: text.to_owned(), ignore_case, per_page: Some(per_page), next_token: token };
            let search = wish.search().expect("good").expect("something is looked for");
            let found = search.run(&mut Reader::new(dir.path().to_owned(), "t.stdout".to_owned()));
            lines.extend(found.lines.into_iter().map(|line| line.text));
            answers += 1;
            if found.next_token.is_empty() {
                return (lines, answers);
            }
            token = found.next_token;
        }
    }

    #[test]
    fn lines_are_found_over_rotations_and_page_by_page() {
        let text: String = (0..300).map(|n| format!("line {n} {}\n", if n % 7 == 0 { "Seven" } else { "" })).collect();
        let expected: Vec<String> = (0..300).filter(|n| n % 7 == 0).map(|n| format!("line {n} Seven")).collect();
        // Files so small that lines are split between them, and one that holds all.
        for file_bytes in [9, 100, 1 << 20] {
            let dir = written(text.as_bytes(), file_bytes);
            for per_page in [1, 10, 1000] {
                let (lines, answers) = all(&dir, "Seven", false, per_page);
                assert_eq!(lines, expected, "{file_bytes} {per_page}");
                assert!(answers >= expected.len().div_ceil(per_page));
            }
            assert_eq!(all(&dir, "seven", true, 1000).0, expected);
            assert!(all(&dir, "seven", false, 1000).0.is_empty());
        }
    }

    #[test]
    fn one_answer_is_bounded_and_says_where_it_stopped() {
        let mut text = vec![b'x'; 20 << 20];
        text.extend_from_slice(b"\nneedle\n\xff\xfe no text, needle");
        let dir = written(&text, 7 << 20);
        let wish = Wish { search: "needle".to_owned(), ..Wish::default() };
        let search = wish.search().expect("good").expect("something is looked for");
        let first = search.run(&mut Reader::new(dir.path().to_owned(), "t.stdout".to_owned()));
        assert!(first.lines.is_empty() && !first.next_token.is_empty());
        assert!(first.scanned >= SCAN && first.scanned < SCAN + (1 << 20), "{}", first.scanned);
        assert_eq!(
            all(&dir, "needle", false, 10),
            (vec!["needle".to_owned(), "\u{fffd}\u{fffd} no text, needle".to_owned()], 2)
        );
        let (long, _) = all(&dir, "xx", false, 1000);
        assert!(long.iter().all(|line| line.len() <= TOLD), "a line is told as far as {TOLD} bytes");
    }

    #[test]
    fn what_is_no_search_is_refused() {
        let refused = |wish: Wish| wish.search().err().expect("refused").text;
        let text = "a".to_owned();
        assert_eq!(
            refused(Wish { search: text.clone(), next_token: "7".to_owned(), ..Wish::default() }),
            "next_token \"7\" is not one of ours"
        );
        assert!(refused(Wish { search: "a".repeat(TEXT + 1), ..Wish::default() }).starts_with("search: "));
        assert!(
            refused(Wish { search: text, ignore_case: Some("x".to_owned()), ..Wish::default() }).contains("boolean")
        );
        assert!(Wish::default().search().expect("good").is_none());
    }
}
