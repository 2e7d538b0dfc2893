//! Reading bodies, arguments and blocks; moving over blanks; going on after a mistake.

use super::{Attribute, Block, Body, Ident, Item, Span, SyntaxError};
use crate::budget::Budget;

/// Deeper nesting is refused: the reader recurses, and a browser's stack is small.
const MAX_DEPTH: usize = 96;
/// More mistakes than this help nobody.
const MAX_ERRORS: usize = 20;

/// The mistake has been recorded; the caller gives up this item.
pub(super) struct Broken;
pub(super) type Read<T> = Result<T, Broken>;

pub(super) struct Parser<'a> {
    pub text: &'a str,
    pub bytes: &'a [u8],
    pub pos: usize,
    /// Newlines count as blanks, as between parentheses.
    pub skip_newlines: bool,
    pub depth: usize,
    pub errors: Vec<SyntaxError>,
    pub budget: Budget,
    /// A bound was met: the rest is not read, and what is missing because of that is no mistake.
    given_up: bool,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, budget: Budget) -> Parser<'a> {
        let pos = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Parser {
            text,
            bytes: text.as_bytes(),
            pos,
            skip_newlines: false,
            depth: 0,
            errors: Vec::new(),
            budget,
            given_up: false,
        }
    }

    pub fn file(&mut self) -> Body {
        let mut body = Body { items: Vec::new(), span: Span::new(0, self.text.len()), unclosed: false };
        loop {
            self.items(&mut body.items);
            if self.at_end() {
                return body;
            }
            let at = self.pos;
            self.error(
                Span::new(at, at + 1),
                "Argument or block definition required",
                "This closing brace has no opening brace before it. An argument or block definition is required here.",
            );
            self.pos += 1;
        }
    }

    /// Items up to the end of the text or a closing brace, which is left there.
    fn items(&mut self, items: &mut Vec<Item>) {
        loop {
            self.blank_lines();
            if self.at_end() || self.peek() == Some(b'}') {
                return;
            }
            let start = self.pos;
            match self.item() {
                Ok(item) => {
                    self.hold(size_of::<Item>());
                    items.push(item);
                }
                Err(Broken) => self.recover(start),
            }
        }
    }

    fn item(&mut self) -> Read<Item> {
        let Some(name) = self.ident() else {
            return Err(self.no_item());
        };
        self.blanks();
        match self.peek() {
            Some(b'=') if self.peek_at(1) != Some(b'=') => {
                self.pos += 1;
                let item = self.argument(name)?;
                self.end_of_item("argument")?;
                Ok(item)
            }
            Some(b'{' | b'"') => self.block(name),
            Some(c) if c == b'_' || c.is_ascii_alphabetic() || c >= 0x80 => self.block(name),
            Some(b':') => Err(self.error(
                name.span,
                "Argument or block definition required",
                "An argument or block definition is required here. To set an argument, write an equals sign \"=\" between its name and its value.",
            )),
            _ => Err(self.error(
                Span::new(self.pos, self.pos + 1),
                "Invalid block definition",
                "Either a quoted label or an opening brace \"{\" is expected here.",
            )),
        }
    }

    fn no_item(&mut self) -> Broken {
        let at = self.pos;
        if self.peek() == Some(b'"') {
            return self.error(Span::new(at, at + 1), "Invalid argument name", "Argument names must not be quoted.");
        }
        let width = self.text[at..].chars().next().map_or(1, char::len_utf8);
        self.error(
            Span::new(at, at + width),
            "Argument or block definition required",
            "An argument or block definition is required here.",
        )
    }

    fn argument(&mut self, name: Ident) -> Read<Item> {
        let expr = self.expr()?;
        Ok(Item::Attribute(Attribute { name, expr }))
    }

    fn block(&mut self, kind: Ident) -> Read<Item> {
        let mut labels = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(b'"') => {
                    labels.push(self.quoted_label()?);
                    self.hold(size_of::<Ident>());
                }
                Some(b'{') => break,
                _ => match self.ident() {
                    Some(label) => {
                        labels.push(label);
                        self.hold(size_of::<Ident>());
                    }
                    None => {
                        return Err(self.error(
                            Span::new(self.pos, self.pos + 1),
                            "Invalid block definition",
                            "Either a quoted label or an opening brace \"{\" is expected here.",
                        ));
                    }
                },
            }
        }
        let open = self.pos;
        self.pos += 1;
        let (items, unclosed) = self.deeper(Span::new(open, open + 1), |p| p.braces(open))?;
        let body = Body { items, span: Span::new(open, self.pos), unclosed };
        self.end_of_item("block")?;
        Ok(Item::Block(Block { kind, labels, body }))
    }

    /// What follows an opening brace, up to and with its closing one; true when that is missing.
    fn braces(&mut self, open: usize) -> Read<(Vec<Item>, bool)> {
        let mut items = Vec::new();
        self.blanks();
        match self.peek() {
            Some(b'\n') | None => {}
            Some(b'}') => {
                self.pos += 1;
                return Ok((items, false));
            }
            Some(_) => return Ok((self.one_line(open)?, false)),
        }
        self.items(&mut items);
        let unclosed = self.at_end();
        if unclosed {
            self.error(
                Span::new(open, open + 1),
                "Unclosed configuration block",
                "There is no closing brace for this block before the end of the file. A brace may be missing further down.",
            );
        } else {
            self.pos += 1;
        }
        Ok((items, unclosed))
    }

    fn one_line(&mut self, open: usize) -> Read<Vec<Item>> {
        let start = self.pos;
        let Some(name) = self.ident() else {
            return Err(self.no_item());
        };
        self.blanks();
        if self.peek() != Some(b'=') || self.peek_at(1) == Some(b'=') {
            return Err(self.error(
                Span::new(start, self.pos.max(start + 1)),
                "Invalid single-argument block definition",
                "A block on one line holds one argument and no other block. Put each argument and block on a line of its own.",
            ));
        }
        self.pos += 1;
        let item = self.argument(name)?;
        self.blanks();
        match self.peek() {
            Some(b'}') => {
                self.pos += 1;
                Ok(vec![item])
            }
            None => Err(self.error(
                Span::new(open, open + 1),
                "Unclosed configuration block",
                "There is no closing brace for this block before the end of the file.",
            )),
            Some(_) => Err(self.error(
                Span::new(self.pos, self.pos + 1),
                "Invalid single-argument block definition",
                "A block on one line holds one argument and ends on the same line. Put each argument on a line of its own.",
            )),
        }
    }

    fn end_of_item(&mut self, what: &str) -> Read<()> {
        self.blanks();
        match self.peek() {
            None | Some(b'\n' | b'}') => Ok(()),
            Some(_) => {
                let span = Span::new(self.pos, self.pos + self.char_width());
                let detail = format!("A newline has to end this {what} definition.");
                Err(self.error(
                    span,
                    if what == "block" {
                        "Missing newline after block definition"
                    } else {
                        "Missing newline after argument"
                    },
                    detail,
                ))
            }
        }
    }

    /// Moves to the end of the item that began at `start`: a newline outside of brackets, past the mistake.
    fn recover(&mut self, start: usize) {
        self.skip_newlines = false;
        let mistake = self.pos.max(start + 1).min(self.bytes.len());
        let mut depth = 0_i32;
        let mut at = start;
        let mut quoted = false;
        let mut line_end = None;
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'\n' => {
                    quoted = false;
                    if at >= mistake {
                        line_end.get_or_insert(at);
                        if depth <= 0 {
                            self.pos = at;
                            return;
                        }
                    }
                }
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' | b'(' => depth += 1,
                b'}' if depth <= 0 && at >= mistake => {
                    self.pos = at;
                    return;
                }
                b'}' | b']' | b')' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        self.pos = line_end.unwrap_or(self.bytes.len());
    }

    /// Records a mistake.
    pub fn error(&mut self, span: Span, summary: &'static str, detail: impl Into<String>) -> Broken {
        let end = (span.end as usize).min(self.text.len());
        let span = Span::new((span.start as usize).min(end), end);
        if self.given_up {
            self.pos = self.bytes.len();
        } else if self.errors.len() < MAX_ERRORS {
            self.errors.push(SyntaxError { span, summary, detail: detail.into() });
        } else {
            self.pos = self.bytes.len();
        }
        Broken
    }

    /// Records a mistake after which nothing more is read.
    pub fn give_up(&mut self, span: Span, summary: &'static str, detail: String) -> Broken {
        let broken = self.error(span, summary, detail);
        self.given_up = true;
        self.pos = self.bytes.len();
        broken
    }

    /// Pays for `bytes` of the tree.
    pub fn hold(&mut self, bytes: usize) {
        if self.given_up {
            return;
        }
        if let Err(over) = self.budget.hold(bytes as u64) {
            let (summary, detail) = self.budget.sentence(over);
            let here = self.here();
            self.give_up(here, summary, detail);
        }
    }

    /// Runs `read` one level deeper.
    pub fn deeper<T>(&mut self, at: Span, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.give_up(at, "Too deeply nested", format!("Nesting stops at {MAX_DEPTH} levels.")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }
    pub fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.pos + ahead).copied()
    }
    pub fn starts_with(&self, text: &str) -> bool {
        self.bytes[self.pos.min(self.bytes.len())..].starts_with(text.as_bytes())
    }
    pub fn char_width(&self) -> usize {
        self.text[self.pos..].chars().next().map_or(1, char::len_utf8)
    }

    /// Skips blanks and comments, and newlines where they mean nothing. Stays before the newline of a line comment.
    pub fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'\n') if self.skip_newlines => self.pos += 1,
                Some(b'#') => self.line_comment(),
                Some(b'/') if self.peek_at(1) == Some(b'/') => self.line_comment(),
                Some(b'/') if self.peek_at(1) == Some(b'*') => match self.text[self.pos + 2..].find("*/") {
                    Some(length) => self.pos += 2 + length + 2,
                    None => {
                        let start = self.pos;
                        self.error(
                            Span::new(start, start + 2),
                            "Unterminated comment",
                            "This comment has no \"*/\" before the end of the file.",
                        );
                        self.pos = self.bytes.len();
                    }
                },
                _ => return,
            }
        }
    }

    pub fn blank_lines(&mut self) {
        let before = std::mem::replace(&mut self.skip_newlines, true);
        self.blanks();
        self.skip_newlines = before;
    }

    fn line_comment(&mut self) {
        let rest = &self.bytes[self.pos..];
        self.pos += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    }

    /// A name: a letter or `_`, then letters, digits, `_` and `-`.
    pub fn ident(&mut self) -> Option<Ident> {
        let rest = &self.text[self.pos.min(self.text.len())..];
        let first = rest.chars().next()?;
        if !(first == '_' || first.is_alphabetic()) {
            return None;
        }
        let plain = |b: &u8| *b == b'_' || *b == b'-' || b.is_ascii_alphanumeric();
        let length = match rest.bytes().position(|b| !plain(&b)) {
            Some(at) if rest.as_bytes()[at].is_ascii() => at,
            None => rest.len(),
            Some(_) => rest.find(|c: char| !(c == '_' || c == '-' || c.is_alphanumeric())).unwrap_or(rest.len()),
        };
        let span = Span::new(self.pos, self.pos + length);
        self.pos += length;
        let text = rest[..length].to_owned();
        self.hold(length);
        Some(Ident { text, span })
    }
}
