//! Bytes of a text to lines and columns.

use crate::diagnostic::{Place, Range};
use crate::syntax::Span;

/// Where the lines of a text begin.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Lines<'a> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Lines { text, starts }
    }

    /// Line and column of a byte, from 1; columns count characters.
    pub fn place(&self, byte: usize) -> Place {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let line = self.starts.partition_point(|&s| s <= byte) - 1;
        let column = self.text[self.starts[line]..byte].chars().count() + 1;
        Place { line: line as u32 + 1, column: column as u32, byte: byte as u32 }
    }

    pub fn range(&self, file: &str, span: Span) -> Range {
        Range { file: file.to_owned(), start: self.place(span.start as usize), end: self.place(span.end as usize) }
    }
}
