//! Text to expression: a recursive descent over a handful of tokens.

use regex::RegexBuilder;

use super::expr::{Expr, Test};

/// What is wrong with an expression, with line, column and offset of the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column} ({offset}): {what}")]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub offset: usize,
    pub what: String,
}

/// Brackets and `not`s inside each other.
const MAX_DEPTH: usize = 64;
/// Bytes that one compiled pattern may take: some milliseconds of compiling.
const PATTERN_SIZE: usize = 256 << 10;
/// Patterns of one filter. With the bound of each, reading a filter takes no longer than a tenth of a second.
const MAX_PATTERNS: usize = 32;
/// A filter comes in a query; more than this of it nobody writes.
const MAX_LENGTH: usize = 16 << 10;

pub(super) fn expression(text: &str) -> Result<Expr, ParseError> {
    let mut reader = Reader { text, at: 0, depth: 0, patterns: 0 };
    if text.len() > MAX_LENGTH {
        return Err(reader.error(format!("a filter may have {MAX_LENGTH} bytes; this one has {}", text.len())));
    }
    let expr = reader.or()?;
    reader.blanks();
    if reader.at < text.len() {
        return Err(reader.expected("\"and\", \"or\" or EOF"));
    }
    Ok(expr)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    patterns: usize,
}

/// A word or a quoted text.
struct Operand {
    text: String,
    /// Path parts, when it can be read as a selector.
    parts: Vec<String>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn error(&self, what: String) -> ParseError {
        let before = &self.text[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ParseError { line, column, offset: self.at, what }
    }

    fn expected(&self, list: &str) -> ParseError {
        self.error(format!("no match found, expected: {list}"))
    }

    /// Takes `word` if it stands here as a word of its own.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        if after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | '/')) {
            return false;
        }
        self.at += word.len();
        true
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.blanks();
        let here = self.rest().starts_with(symbol);
        if here {
            self.at += symbol.len();
        }
        here
    }

    fn or(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.not()?;
        while self.word("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the expression is nested too deeply".to_owned()));
        }
        let expr = if self.word("not") {
            Expr::Not(Box::new(self.not()?))
        } else if self.symbol("(") {
            let inner = self.or()?;
            if !self.symbol(")") {
                return Err(self.expected("\")\" or [ \\t\\r\\n]"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn comparison(&mut self) -> Result<Expr, ParseError> {
        let left = self.operand()?;
        self.blanks();
        let here = self.at;
        let negated = |yes: bool, expr: Expr| if yes { Expr::Not(Box::new(expr)) } else { expr };
        if self.symbol("==") || self.symbol("!=") {
            let unequal = self.text[..self.at].ends_with("!=");
            let value = self.operand()?.text;
            return Ok(negated(unequal, Expr::Match { selector: left.parts, test: Test::Equal(value) }));
        }
        if self.word("is") {
            let not = self.word("not");
            if !self.word("empty") {
                return Err(self.expected("\"empty\" or \"not\""));
            }
            return Ok(negated(not, Expr::Match { selector: left.parts, test: Test::Empty }));
        }
        let not = self.word("not");
        if self.word("in") {
            let selector = self.operand()?.parts;
            return Ok(negated(not, Expr::Match { selector, test: Test::Contains(left.text) }));
        }
        if self.word("contains") {
            let value = self.operand()?.text;
            return Ok(negated(not, Expr::Match { selector: left.parts, test: Test::Contains(value) }));
        }
        if self.word("matches") {
            let pattern = self.operand()?.text;
            self.patterns += 1;
            if self.patterns > MAX_PATTERNS {
                return Err(self.error(format!("a filter may have {MAX_PATTERNS} patterns to match with")));
            }
            let regex = RegexBuilder::new(&pattern)
                .size_limit(PATTERN_SIZE)
                .dfa_size_limit(PATTERN_SIZE)
                .build()
                .map_err(|e| self.error(format!("failed to compile regular expression {pattern:?}: {e}")))?;
            return Ok(negated(not, Expr::Match { selector: left.parts, test: Test::Matches(regex) }));
        }
        self.at = here;
        let operators = "\"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\", \"not\" or [ \\t\\r\\n]";
        Err(self.expected(operators))
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        self.blanks();
        match self.rest().chars().next() {
            Some(quote @ ('"' | '`')) => {
                let text = self.quoted(quote)?;
                let parts = match text.strip_prefix('/') {
                    Some(pointer) => pointer.split('/').map(|p| p.replace("~1", "/").replace("~0", "~")).collect(),
                    None => vec![text.clone()],
                };
                Ok(Operand { text, parts })
            }
            Some(c) if c.is_alphanumeric() || matches!(c, '_' | '-' | '/') => self.bare(),
            _ => Err(self.expected("\"(\", \"`\", \"not\", \"\\\"\", [a-zA-Z/_0-9-] or [ \\t\\r\\n]")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        self.at += 1;
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(out);
                }
                '\\' if quote == '"' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c @ ('"' | '\\'))) => out.push(c),
                    // Regular expressions are written with single backslashes often enough.
                    Some((_, c)) => out.extend(['\\', c]),
                    None => break,
                },
                c => out.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.error("Unterminated string literal".to_owned()))
    }

    /// A number or a selector: `Meta.team`, `Meta["team"]`, `TaskGroups.0.Name`.
    fn bare(&mut self) -> Result<Operand, ParseError> {
        let start = self.at;
        let mut parts = vec![self.name()];
        loop {
            if self.rest().starts_with('.') {
                self.at += 1;
                let part = self.name();
                if part.is_empty() {
                    return Err(self.expected("[a-zA-Z0-9_]"));
                }
                parts.push(part);
            } else if self.rest().starts_with("[\"") {
                self.at += 1;
                parts.push(self.quoted('"')?);
                if !self.symbol("]") {
                    return Err(self.expected("\"]\""));
                }
            } else {
                break;
            }
        }
        Ok(Operand { text: self.text[start..self.at].to_owned(), parts })
    }

    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '/'))).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands() {
        let read = |text: &str| Reader { text, at: 0, depth: 0, patterns: 0 }.operand().expect("readable");
        assert_eq!(read(r#""a \"b\" \d""#).text, r#"a "b" \d"#);
        assert_eq!(read("a.b[\"c d\"].3").parts, ["a", "b", "c d", "3"]);
        assert_eq!(read("-1.5").text, "-1.5");
    }
}
