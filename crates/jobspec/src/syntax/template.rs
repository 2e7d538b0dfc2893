//! Reading quoted strings and heredocs: literal text, `${…}` and `%{…}`.
//!
//! A template is first a flat list of tokens, on which `~` and the indentation of `<<-` work; then directives nest.

use super::parser::{Parser, Read};
use super::{Expr, ExprKind, Ident, Part, Span, Template};

enum Token {
    Literal(String),
    Hole(Expr),
    If(Expr, Span),
    Else(Span),
    EndIf(Span),
    For(Option<Ident>, Ident, Expr, Span),
    EndFor(Span),
}

/// A `~` before the closing brace: the next literal loses its leading blanks.
struct Tokens {
    list: Vec<Token>,
    trim_next: bool,
}

impl Tokens {
    fn literal(&mut self, mut text: String) {
        if std::mem::take(&mut self.trim_next) {
            text = text.trim_start().to_owned();
        }
        self.list.push(Token::Literal(text));
    }

    fn trim_last(&mut self) {
        if let Some(Token::Literal(text)) = self.list.last_mut() {
            text.truncate(text.trim_end().len());
        }
    }
}

impl Parser<'_> {
    /// A quoted template.
    pub(super) fn quoted(&mut self) -> Read<Expr> {
        let start = self.pos;
        self.pos += 1;
        let mut tokens = Tokens { list: Vec::new(), trim_next: false };
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some(b'\n') => return Err(self.unterminated(start)),
                Some(b'"') => {
                    self.pos += 1;
                    break;
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(b'$' | b'%') if self.hole_or_literal(&mut text) => {
                    if !text.is_empty() {
                        tokens.literal(std::mem::take(&mut text));
                    }
                    self.sequence(&mut tokens)?;
                }
                Some(b'$' | b'%') => {}
                Some(_) => self.plain(&mut text, |b| matches!(b, b'"' | b'\\' | b'$' | b'%' | b'\n')),
            }
        }
        if !text.is_empty() {
            tokens.literal(text);
        }
        self.hold(self.pos - start);
        let template = Template { parts: self.nest(tokens.list)? };
        Ok(self.finish(start, ExprKind::Template(template)))
    }

    /// A quoted label: text without holes.
    pub(super) fn quoted_label(&mut self) -> Read<Ident> {
        let label = self.quoted()?;
        let ExprKind::Template(template) = &label.kind else { unreachable!("quoted gives templates") };
        match template.literal() {
            Some(text) => Ok(Ident { text: text.to_owned(), span: label.span }),
            None => Err(self.error(
                label.span,
                "Invalid block label",
                "A label is plain text: \"${\" and \"%{\" are not allowed in it.",
            )),
        }
    }

    fn unterminated(&mut self, start: usize) -> super::parser::Broken {
        let end = self.pos;
        self.error(
            Span::new(start, end),
            "Invalid multi-line string",
            "This string has no closing quote on its line. Write \\n for a line break, or a heredoc for text of several lines.",
        )
    }

    /// Takes bytes up to one that means something.
    fn plain(&mut self, text: &mut String, stop: fn(u8) -> bool) {
        let rest = &self.bytes[self.pos..];
        let length = rest.iter().position(|&b| stop(b)).unwrap_or(rest.len()).max(1);
        text.push_str(&self.text[self.pos..self.pos + length]);
        self.pos += length;
    }

    /// At `$` or `%`: true before a sequence; otherwise takes the literal text, `$${` giving `${`.
    fn hole_or_literal(&mut self, text: &mut String) -> bool {
        let mark = self.bytes[self.pos];
        if self.peek_at(1) == Some(b'{') {
            return true;
        }
        text.push(char::from(mark));
        if self.peek_at(1) == Some(mark) && self.peek_at(2) == Some(b'{') {
            text.push('{');
            self.pos += 3;
        } else {
            self.pos += 1;
        }
        false
    }

    fn escape(&mut self, text: &mut String) -> Read<()> {
        let start = self.pos;
        let Some(kind) = self.text[start + 1..].chars().next() else {
            return Err(self.unterminated(start));
        };
        self.pos += 1 + kind.len_utf8();
        match kind {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            '"' => text.push('"'),
            '\\' => text.push('\\'),
            // JSON's own, met when the text is HCL in JSON form.
            '/' => text.push('/'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'u' => return self.unicode(start, 4, text),
            'U' => return self.unicode(start, 8, text),
            _ => {
                return Err(self.error(
                    Span::new(start, self.pos),
                    "Invalid escape sequence",
                    "After a backslash only n, r, t, \\, \", uNNNN and UNNNNNNNN are known.",
                ));
            }
        }
        Ok(())
    }

    fn unicode(&mut self, start: usize, digits: usize, text: &mut String) -> Read<()> {
        let hex = |at: usize, n: usize| self.text.get(at..at + n).and_then(|t| u32::from_str_radix(t, 16).ok());
        let mut code = hex(self.pos, digits);
        let mut taken = digits;
        if let Some(high @ 0xd800..=0xdbff) = code
            && self.text.get(self.pos + 4..self.pos + 6) == Some("\\u")
            && let Some(low @ 0xdc00..=0xdfff) = hex(self.pos + 6, 4)
        {
            code = Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            taken = 10;
        }
        match code.and_then(char::from_u32) {
            Some(c) => {
                text.push(c);
                self.pos += taken;
                Ok(())
            }
            None => Err(self.error(
                Span::new(start, start + 2),
                "Invalid escape sequence",
                format!(
                    "\\{} needs {digits} hexadecimal digits of a Unicode character.",
                    if digits == 4 { 'u' } else { 'U' }
                ),
            )),
        }
    }

    /// A heredoc, from `<<` to its marker.
    pub(super) fn heredoc(&mut self) -> Read<Expr> {
        let start = self.pos;
        self.pos += 2;
        let flush = self.peek() == Some(b'-');
        self.pos += usize::from(flush);
        let marker = self.ident();
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.pos += 1;
        }
        let (Some(marker), Some(b'\n')) = (marker, self.peek()) else {
            return Err(self.error(
                Span::new(start, start + 2),
                "Invalid heredoc",
                "\"<<\" is followed by a marker name and a newline.",
            ));
        };
        self.pos += 1;
        let mut tokens = Tokens { list: Vec::new(), trim_next: false };
        loop {
            if self.at_end() {
                let detail = format!("No line holds the marker {} that ends this text.", marker.text);
                return Err(self.error(
                    Span::new(start, marker.span.end as usize),
                    "Unterminated template string",
                    detail,
                ));
            }
            if self.heredoc_end(&marker.text) {
                break;
            }
            self.heredoc_line(&mut tokens)?;
        }
        if flush {
            strip_indent(&mut tokens.list);
        }
        let template = Template { parts: self.nest(tokens.list)? };
        Ok(self.finish(start, ExprKind::Template(template)))
    }

    /// At the start of a line: whether it is the marker, which is then read.
    fn heredoc_end(&mut self, marker: &str) -> bool {
        let rest = &self.text[self.pos..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        if line.trim() != marker {
            return false;
        }
        self.pos += line.trim_end().len();
        true
    }

    /// Text up to and with the newline; sequences may span lines.
    fn heredoc_line(&mut self, tokens: &mut Tokens) -> Read<()> {
        let start = self.pos;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => break,
                Some(b'\n') => {
                    text.push('\n');
                    self.pos += 1;
                    break;
                }
                Some(b'$' | b'%') if self.hole_or_literal(&mut text) => {
                    if !text.is_empty() {
                        tokens.literal(std::mem::take(&mut text));
                    }
                    self.sequence(tokens)?;
                }
                Some(b'$' | b'%') => {}
                Some(_) => self.plain(&mut text, |b| matches!(b, b'$' | b'%' | b'\n')),
            }
        }
        if !text.is_empty() {
            tokens.literal(text);
        }
        self.hold(self.pos - start + size_of::<Token>());
        Ok(())
    }

    /// `${…}` or `%{…}`.
    fn sequence(&mut self, tokens: &mut Tokens) -> Read<()> {
        let start = self.pos;
        let directive = self.bytes[start] == b'%';
        self.pos += 2;
        if self.peek() == Some(b'~') {
            self.pos += 1;
            tokens.trim_last();
        }
        tokens.trim_next = false;
        let token = self.within(|p| {
            let token = if directive { p.directive(start)? } else { Token::Hole(p.expr()?) };
            p.blanks();
            Ok(token)
        })?;
        tokens.list.push(token);
        self.hold(2 * size_of::<Token>());
        if self.peek() == Some(b'~') {
            self.pos += 1;
            tokens.trim_next = true;
        }
        if self.peek() != Some(b'}') {
            let here = self.here();
            return Err(self.error(
                if self.at_end() { Span::new(start, start + 2) } else { here },
                "Extra characters after interpolation expression",
                "Expected a closing brace to end the template sequence.",
            ));
        }
        self.pos += 1;
        Ok(())
    }

    fn directive(&mut self, start: usize) -> Read<Token> {
        self.blanks();
        let word = self.ident();
        let span = Span::new(start, self.pos);
        Ok(match word.as_ref().map(|w| w.text.as_str()) {
            Some("if") => Token::If(self.expr()?, span),
            Some("else") => Token::Else(span),
            Some("endif") => Token::EndIf(span),
            Some("for") => {
                let (key, value, source) = self.for_intro()?;
                Token::For(key, value, source, span)
            }
            Some("endfor") => Token::EndFor(span),
            _ => {
                return Err(self.error(
                    span,
                    "Invalid template directive",
                    "A \"%{\" is followed by if, else, endif, for or endfor.",
                ));
            }
        })
    }

    fn nest(&mut self, tokens: Vec<Token>) -> Read<Vec<Part>> {
        let mut tokens = tokens.into_iter();
        let (parts, ended) = self.nest_until(&mut tokens)?;
        match ended {
            None => Ok(parts),
            Some(Token::Else(span) | Token::EndIf(span) | Token::EndFor(span)) => Err(self.error(
                span,
                "Unexpected template directive",
                "This directive belongs to no if or for before it.",
            )),
            Some(_) => unreachable!("only closing directives end a sequence"),
        }
    }

    /// Parts up to a closing directive, which is returned.
    fn nest_until(&mut self, tokens: &mut std::vec::IntoIter<Token>) -> Read<(Vec<Part>, Option<Token>)> {
        let mut parts: Vec<Part> = Vec::new();
        while let Some(token) = tokens.next() {
            match token {
                Token::Literal(text) if text.is_empty() => {}
                Token::Literal(text) => match parts.last_mut() {
                    Some(Part::Literal(before)) => before.push_str(&text),
                    _ => parts.push(Part::Literal(text)),
                },
                Token::Hole(expr) => parts.push(Part::Hole(expr)),
                Token::If(test, span) => {
                    let part = self.deeper(span, |p| p.nest_if(test, span, tokens))?;
                    parts.push(part);
                }
                Token::For(key_name, value_name, source, span) => {
                    let body = self.deeper(span, |p| match p.nest_until(tokens)? {
                        (body, Some(Token::EndFor(_))) => Ok(body),
                        _ => Err(p.unclosed(span, "for", "endfor")),
                    })?;
                    parts.push(Part::For { key_name, value_name, source, body });
                }
                closing => return Ok((parts, Some(closing))),
            }
        }
        Ok((parts, None))
    }

    fn nest_if(&mut self, test: Expr, span: Span, tokens: &mut std::vec::IntoIter<Token>) -> Read<Part> {
        let (then, ended) = self.nest_until(tokens)?;
        let otherwise = match ended {
            Some(Token::EndIf(_)) => Vec::new(),
            Some(Token::Else(_)) => match self.nest_until(tokens)? {
                (otherwise, Some(Token::EndIf(_))) => otherwise,
                _ => return Err(self.unclosed(span, "if", "endif")),
            },
            _ => return Err(self.unclosed(span, "if", "endif")),
        };
        Ok(Part::If { test, then, otherwise })
    }

    fn unclosed(&mut self, span: Span, word: &str, end: &str) -> super::parser::Broken {
        self.error(span, "Unclosed template directive", format!("This {word} has no %{{ {end} }} after it."))
    }
}

/// Takes from every line the blanks that all lines begin with. Lines of blanks alone don't count.
fn strip_indent(tokens: &mut [Token]) {
    let mut least = usize::MAX;
    let mut line_starts = Vec::new();
    let mut at_line_start = true;
    for (index, token) in tokens.iter().enumerate() {
        let literal = match token {
            Token::Literal(text) => Some(text.as_str()),
            _ => None,
        };
        if at_line_start {
            at_line_start = false;
            match literal {
                Some(text) if text.trim_start().is_empty() && text.ends_with('\n') => {}
                Some(text) => {
                    let blanks = text.len() - text.trim_start().len();
                    least = least.min(text[..blanks].chars().count());
                    line_starts.push(index);
                }
                None => least = 0,
            }
        }
        if literal.is_some_and(|text| text.ends_with('\n')) {
            at_line_start = true;
        }
    }
    for index in line_starts {
        if let Token::Literal(text) = &mut tokens[index] {
            *text = text.chars().skip(least).collect();
        }
    }
}
