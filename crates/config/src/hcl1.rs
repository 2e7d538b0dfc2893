//! A small tolerant parser for HCL1 and JSON, which keeps the place of every key and value.
//!
//! Reads both at once: `key = value`, `key: value`, `block "label" { … }`, several on one line with or without commas,
//! `#`, `//` and `/* */` comments, heredocs (`<<EOF`, `<<-EOF`), a whole file in braces.

use std::fmt;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What does not parse, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct SyntaxError {
    pub at: Position,
    pub message: String,
}

/// Keys in the order of the file; a key may come more than once.
pub type Body = Vec<Item>;

/// `key = value`, or `key "label" … { body }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub key: String,
    pub at: Position,
    pub labels: Vec<String>,
    pub value: Value,
    pub value_at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it was written: the reader decides whether it is an integer.
    Number(String),
    Text(String),
    List(Vec<(Position, Value)>),
    Object(Body),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "a block",
        }
    }
}

/// Reads a whole file.
pub fn parse(text: &str) -> Result<Body, SyntaxError> {
    let mut parser = Parser { text: text.strip_prefix('\u{feff}').unwrap_or(text), offset: 0, depth: 0 };
    parser.blanks()?;
    let braced = parser.peek() == Some('{');
    let body = if braced { parser.object()? } else { parser.body(None)? };
    parser.blanks()?;
    match parser.peek() {
        None => Ok(body),
        Some(c) => Err(parser.error(format!("unexpected {c:?} after the end of the configuration"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
    /// Open braces and brackets around `offset`.
    depth: usize,
}

/// Nesting that no configuration reaches; deeper input is refused before it fills the stack.
const MAX_DEPTH: usize = 64;

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        Some(c)
    }

    fn at(&self, offset: usize) -> Position {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    fn here(&self) -> Position {
        self.at(self.offset)
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { at: self.here(), message: message.into() }
    }

    /// Skips blanks, line breaks and comments.
    fn blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.offset += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else { return Err(self.error("this comment has no end")) };
                self.offset += end + 2;
            } else if rest.starts_with(char::is_whitespace) {
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    /// Items until `}` (which is left there) or the end of the text; `open` is where the braces began.
    fn body(&mut self, open: Option<usize>) -> Result<Body, SyntaxError> {
        let mut items = Body::new();
        loop {
            self.blanks()?;
            match self.peek() {
                None if open.is_none() => return Ok(items),
                None => {
                    let at = self.at(open.unwrap_or(0));
                    return Err(SyntaxError { at, message: "this block is never closed".to_owned() });
                }
                Some('}') if open.is_some() => return Ok(items),
                Some(',' | ';') => {
                    self.bump();
                }
                Some(_) => items.push(self.item()?),
            }
        }
    }

    fn object(&mut self) -> Result<Body, SyntaxError> {
        let open = self.offset;
        self.enter()?;
        let body = self.body(Some(open))?;
        self.leave();
        Ok(body)
    }

    /// Past an opening brace or bracket.
    fn enter(&mut self) -> Result<(), SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("blocks are nested too deeply"));
        }
        self.depth += 1;
        self.bump();
        Ok(())
    }

    /// Past the closing brace or bracket.
    fn leave(&mut self) {
        self.depth -= 1;
        self.bump();
    }

    fn item(&mut self) -> Result<Item, SyntaxError> {
        let at = self.here();
        let key = self.word("a key")?;
        let mut labels = Vec::new();
        loop {
            self.blanks()?;
            match self.peek() {
                Some('=' | ':') => {
                    self.bump();
                    self.blanks()?;
                    let value_at = self.here();
                    return Ok(Item { key, at, labels, value: self.value()?, value_at });
                }
                Some('{') => {
                    let value_at = self.here();
                    return Ok(Item { key, at, labels, value: Value::Object(self.object()?), value_at });
                }
                Some('"') => labels.push(self.quoted()?),
                Some(c) if is_word(c) => labels.push(self.word("a label")?),
                _ => return Err(self.error(format!("expected \"=\" or \"{{\" after {key:?}"))),
            }
        }
    }

    /// A bare or quoted word.
    fn word(&mut self, what: &str) -> Result<String, SyntaxError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let length = self.rest().find(|c: char| !is_word(c)).unwrap_or(self.rest().len());
        if length == 0 {
            let found = self.peek().map_or("the end of the file".to_owned(), |c| format!("{c:?}"));
            return Err(self.error(format!("expected {what}, found {found}")));
        }
        let word = self.rest()[..length].to_owned();
        self.offset += length;
        Ok(word)
    }

    fn value(&mut self) -> Result<Value, SyntaxError> {
        match self.peek() {
            Some('"') => Ok(Value::Text(self.quoted()?)),
            Some('{') => Ok(Value::Object(self.object()?)),
            Some('[') => self.list(),
            Some('<') if self.rest().starts_with("<<") => self.heredoc(),
            Some(c) if c == '-' || c == '+' || c.is_ascii_digit() => self.number(),
            _ => {
                let at = self.here();
                let word = self.word("a value")?;
                match word.as_str() {
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    "null" => Ok(Value::Null),
                    _ => Err(SyntaxError { at, message: format!("texts need quotes: \"{word}\"") }),
                }
            }
        }
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        let open = self.here();
        self.enter()?;
        let mut items = Vec::new();
        loop {
            self.blanks()?;
            match self.peek() {
                Some(']') => {
                    self.leave();
                    return Ok(Value::List(items));
                }
                Some(',') => {
                    self.bump();
                }
                None => return Err(SyntaxError { at: open, message: "this list is never closed".to_owned() }),
                Some(_) => {
                    let at = self.here();
                    items.push((at, self.value()?));
                }
            }
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let length = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '+' | '_'));
        let text = self.rest()[..length.unwrap_or(self.rest().len())].to_owned();
        let plain =
            text.parse::<f64>().is_ok() || text.strip_prefix("0x").is_some_and(|h| i64::from_str_radix(h, 16).is_ok());
        if !plain {
            return Err(self.error(format!("{text:?} is not a number; texts need quotes")));
        }
        self.offset += text.len();
        Ok(Value::Number(text))
    }

    /// A text in quotes. Inside `${…}` and `{{…}}` quotes may stand without a backslash.
    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let open = self.here();
        let unclosed = || SyntaxError { at: open, message: "this text has no closing quote".to_owned() };
        self.bump();
        let mut text = String::new();
        let mut depth = 0_usize;
        loop {
            if self.rest().starts_with("${") {
                depth += 1;
                text.push_str("${");
                self.offset += 2;
                continue;
            }
            let c = self.bump().ok_or_else(unclosed)?;
            match c {
                '"' if depth == 0 => return Ok(text),
                '\n' if depth == 0 => return Err(unclosed()),
                '}' if depth > 0 => {
                    depth -= 1;
                    text.push(c);
                }
                '\\' => self.escape(&mut text, unclosed)?,
                _ => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String, unclosed: impl Fn() -> SyntaxError) -> Result<(), SyntaxError> {
        let at = self.here();
        let c = self.bump().ok_or_else(unclosed)?;
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            '"' | '\\' | '/' => text.push(c),
            'u' | 'U' => {
                let digits = if c == 'u' { 4 } else { 8 };
                let code = self.rest().get(..digits).and_then(|h| u32::from_str_radix(h, 16).ok());
                let Some(code) = code else {
                    return Err(SyntaxError { at, message: format!("\\{c} needs {digits} hexadecimal digits") });
                };
                self.offset += digits;
                text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            _ => return Err(SyntaxError { at, message: format!("unknown escape \\{c}") }),
        }
        Ok(())
    }

    /// `<<EOF` until a line with `EOF` alone; with `<<-` the common indentation goes.
    fn heredoc(&mut self) -> Result<Value, SyntaxError> {
        let open = self.here();
        self.offset += 2;
        let indented = self.peek() == Some('-');
        if indented {
            self.bump();
        }
        let line_end = self.rest().find('\n').unwrap_or(self.rest().len());
        let marker = self.rest()[..line_end].trim().to_owned();
        if marker.is_empty() {
            return Err(SyntaxError { at: open, message: "a heredoc needs a marker: <<EOF".to_owned() });
        }
        self.offset = (self.offset + line_end + 1).min(self.text.len());
        let mut lines = Vec::new();
        loop {
            if self.rest().is_empty() {
                return Err(SyntaxError { at: open, message: format!("this heredoc has no closing {marker}") });
            }
            let end = self.rest().find('\n').unwrap_or(self.rest().len());
            let line = self.rest()[..end].trim_end_matches('\r').to_owned();
            // The line break after the marker stays: it ends the item.
            if line.trim() == marker {
                self.offset += end;
                break;
            }
            self.offset = (self.offset + end + 1).min(self.text.len());
            lines.push(line);
        }
        let common = lines.iter().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min();
        let cut = if indented { common.unwrap_or(0) } else { 0 };
        let text = lines.iter().map(|l| format!("{}\n", l.get(cut..).unwrap_or(""))).collect();
        Ok(Value::Text(text))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body on one line: `key["label"]=value`.
    fn show(body: &Body) -> String {
        let items = body.iter().map(|item| {
            let labels: String = item.labels.iter().map(|l| format!("[{l}]")).collect();
            format!("{}{labels}={}", item.key, show_value(&item.value))
        });
        items.collect::<Vec<_>>().join(" ")
    }

    fn show_value(value: &Value) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.clone(),
            Value::Text(t) => format!("{t:?}"),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|(_, v)| show_value(v)).collect::<Vec<_>>().join(" "))
            }
            Value::Object(body) => format!("{{{}}}", show(body)),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match parse(text) {
            Ok(body) => show(&body),
            Err(error) => format!("error {error}"),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn the_forms_of_a_file() {
        check("a = 1\nb = \"x\" # end\n// c = 2\n/* d\n */ e = true", "a=1 b=\"x\" e=true");
        check("server { enabled = true bootstrap_expect = 1 }", "server={enabled=true bootstrap_expect=1}");
        check("server { enabled = true, bootstrap_expect = 1, }", "server={enabled=true bootstrap_expect=1}");
        check(
            "host_volume \"mysql\" { path = \"/a\" read_only = false }",
            "host_volume[mysql]={path=\"/a\" read_only=false}",
        );
        check("plugin docker { config { a = [1, \"b\",] } }", "plugin[docker]={config={a=[1 \"b\"]}}");
        check("options = { \"driver.allowlist\" = \"a\" }", "options={driver.allowlist=\"a\"}");
        check("{\"client\": {\"enabled\": true, \"n\": -1.5}}", "client={enabled=true n=-1.5}");
        check("a = \"{{ GetInterfaceIP \\\"eth0\\\" }}\"", "a=\"{{ GetInterfaceIP \\\"eth0\\\" }}\"");
        check("a = \"${meta \"x\"}\"", "a=\"${meta \\\"x\\\"}\"");
        check("a = <<EOF\n x\ny\nEOF\nb = 1", "a=\" x\\ny\\n\" b=1");
        check("a = <<-EOF\n  x\n   y\n  EOF\n", "a=\"x\\n y\\n\"");
        check("", "");
        check("{}", "");
    }

    #[test]
    fn mistakes_have_a_place() {
        check("a = 1\nserver {\n  x = 2\n", "error 2:8: this block is never closed");
        check("a = b", "error 1:5: texts need quotes: \"b\"");
        check("a = \"b\nc", "error 1:5: this text has no closing quote");
        check("a\n  }", "error 2:3: expected \"=\" or \"{\" after \"a\"");
        check("a = [1, 2", "error 1:5: this list is never closed");
        check("a = 10s", "error 1:5: \"10s\" is not a number; texts need quotes");
        check("}", "error 1:1: expected a key, found '}'");
        check("{} x", "error 1:4: unexpected 'x' after the end of the configuration");
        check("a = <<EOF\nx", "error 1:5: this heredoc has no closing EOF");
        check("a = \"\\q\"", "error 1:7: unknown escape \\q");
        check(&"a {".repeat(100), "error 1:195: blocks are nested too deeply");
    }
}
