//! The canonical layout of HCL text: two blanks a level, one blank between words, equals signs of neighbours in one column.
//!
//! Works on tokens, so that what is inside of strings, heredocs and comments stays as it is. Formatting twice gives the
//! same as formatting once.

/// Lays out `text` anew.
pub fn format(text: &str) -> String {
    let mut lines: Vec<Line> = split_lines(&tokens(text));
    indent(&mut lines);
    align(&mut lines);
    let mut out = String::new();
    for line in &lines {
        out.push_str(&line.render());
        out.push('\n');
    }
    let end = out.trim_end().len();
    out.truncate(end);
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    /// A string or heredoc, quotes and all.
    Text,
    Operator,
    Comment,
    NewLine,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    text: String,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (kind, length) = match c {
            '\n' => (Kind::NewLine, 1),
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            '#' => (Kind::Comment, line_length(rest)),
            '/' if rest.starts_with("//") => (Kind::Comment, line_length(rest)),
            '/' if rest.starts_with("/*") => (Kind::Comment, rest.find("*/").map_or(rest.len(), |n| n + 2)),
            '"' => (Kind::Text, string_length(rest)),
            '<' if is_heredoc(rest) => (Kind::Text, heredoc_length(rest)),
            c if is_word(c) => (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            _ => (Kind::Operator, operator_length(rest)),
        };
        out.push(Token { kind, text: rest[..length].to_owned() });
        rest = &rest[length..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

fn operator_length(text: &str) -> usize {
    for operator in ["...", "==", "!=", "<=", ">=", "&&", "||", "=>"] {
        if text.starts_with(operator) {
            return operator.len();
        }
    }
    text.chars().next().map_or(0, char::len_utf8)
}

/// A string with its quotes; templates inside of it may hold strings of their own.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (1, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if depth == 0 => at += 1,
            b'$' | b'%' if bytes.get(at + 1) == Some(&b'{') && bytes[at - 1] != bytes[at] => {
                depth += 1;
                at += 1;
            }
            b'{' if depth > 0 => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'"' if depth > 0 => at += string_length(&text[at..]) - 1,
            b'"' => return at + 1,
            b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

fn is_heredoc(text: &str) -> bool {
    let rest = text.strip_prefix("<<-").or_else(|| text.strip_prefix("<<"));
    rest.and_then(|r| r.chars().next()).is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Up to the end of the line with the closing marker, without the line break.
fn heredoc_length(text: &str) -> usize {
    let first = line_length(text);
    let marker = text[..first].trim_start_matches(['<', '-']).trim();
    let mut at = first;
    while at < text.len() {
        let line = &text[at + 1..];
        let length = line_length(line);
        at += 1 + length;
        if line[..length].trim() == marker {
            return at;
        }
    }
    text.len()
}

/// One line: what stands before the equals sign, the rest, and the comment at its end.
#[derive(Debug, Default)]
struct Line {
    indent: usize,
    tokens: Vec<Token>,
    comment: Option<String>,
    /// Column widths that neighbours agreed on: before the sign, before the comment.
    assign_at: Option<usize>,
    comment_at: Option<usize>,
}

impl Line {
    /// `name = …` whose brackets are closed on the same line.
    fn is_assignment(&self) -> bool {
        self.tokens.len() > 1 && self.tokens[1].text == "=" && self.net() == 0
    }

    /// Opened minus closed brackets.
    fn net(&self) -> i64 {
        let operators = self.tokens.iter().filter(|t| t.kind == Kind::Operator);
        operators.map(|t| i64::from(is_open(&t.text)) - i64::from(is_close(&t.text))).sum()
    }

    fn body(&self) -> String {
        let mut out = String::new();
        for (i, token) in self.tokens.iter().enumerate() {
            if i == 1
                && let Some(width) = self.assign_at
            {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(out.chars().count())));
            }
            if i > 0 && spaced(&self.tokens, i) {
                out.push(' ');
            }
            out.push_str(&token.text);
        }
        out
    }

    fn render(&self) -> String {
        let mut out = " ".repeat(self.indent * 2) + &self.body();
        if let Some(comment) = &self.comment {
            if !self.tokens.is_empty() {
                let width = self.comment_at.map_or(0, |w| w + self.indent * 2);
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(out.chars().count())));
                out.push(' ');
            }
            out.push_str(comment);
        }
        out.trim_end().to_owned()
    }
}

fn is_open(text: &str) -> bool {
    matches!(text, "{" | "[" | "(")
}

fn is_close(text: &str) -> bool {
    matches!(text, "}" | "]" | ")")
}

/// Whether a blank stands before token `i`.
fn spaced(tokens: &[Token], i: usize) -> bool {
    let (before, token) = (&tokens[i - 1], &tokens[i]);
    let (a, b) = (before.text.as_str(), token.text.as_str());
    let value = matches!(before.kind, Kind::Word | Kind::Text) || is_close(a);
    match (a, b) {
        (_, "," | "." | "...") | (".", _) => false,
        ("(" | "[", _) | (_, ")" | "]") => false,
        ("{", "}") => false,
        (_, "(") if before.kind == Kind::Word => false,
        (_, "[") if value => false,
        ("!", _) => false,
        // A sign rather than a subtraction.
        ("-", _)
            if i < 2 || !(matches!(tokens[i - 2].kind, Kind::Word | Kind::Text) || is_close(&tokens[i - 2].text)) =>
        {
            false
        }
        _ => true,
    }
}

fn split_lines(tokens: &[Token]) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    for token in tokens {
        let line = lines.last_mut().expect("there is always a line");
        match token.kind {
            Kind::NewLine => lines.push(Line::default()),
            Kind::Comment => {
                let text = token.text.trim_end().to_owned();
                line.comment = Some(line.comment.take().map_or(text.clone(), |c| format!("{c} {text}")));
            }
            _ => line.tokens.push(token.clone()),
        }
    }
    lines
}

/// One level for every line that leaves brackets open.
fn indent(lines: &mut [Line]) {
    let mut levels: Vec<i64> = Vec::new();
    for line in lines {
        let leading = line.tokens.iter().take_while(|t| is_close(&t.text)).count();
        let net = line.net();
        let mut closing = i64::try_from(leading).unwrap_or(0);
        let opening = net + closing;
        while closing > 0 {
            let Some(level) = levels.last_mut() else { break };
            let taken = closing.min(*level);
            *level -= taken;
            closing -= taken;
            if *level == 0 {
                levels.pop();
            }
        }
        line.indent = levels.len();
        if opening > 0 {
            levels.push(opening);
        }
        let mut late = -opening;
        while late > 0 {
            let Some(level) = levels.last_mut() else { break };
            let taken = late.min(*level);
            *level -= taken;
            late -= taken;
            if *level == 0 {
                levels.pop();
            }
        }
    }
}

/// Equals signs, then comments, of lines that follow each other.
fn align(lines: &mut [Line]) {
    for group in lines.chunk_by_mut(|a, b| a.is_assignment() && b.is_assignment()) {
        if group.len() > 1 || group[0].is_assignment() {
            let width = group.iter().map(|l| l.tokens[0].text.chars().count()).max();
            for line in group {
                line.assign_at = width;
            }
        }
    }
    let both = |a: &Line, b: &Line| {
        let has = |l: &Line| l.comment.is_some() && !l.tokens.is_empty();
        has(a) && has(b) && a.indent == b.indent
    };
    for group in lines.chunk_by_mut(|a, b| both(a, b)) {
        let width = group.iter().map(|l| l.body().chars().count()).max();
        for line in group {
            line.comment_at = width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let once = format(text);
        assert_eq!(once, expected);
        assert_eq!(format(&once), once, "twice is as once");
    }

    #[test]
    fn a_job_is_laid_out() {
        check(
            "job   \"x\"   {\ndatacenters=[\"a\",   \"b\"]\n   group \"g\" {\ncount=1\n      task \"t\" {\n  driver   = \"exec\"\n user=\"u\"\n        config   {\n command=\"y\"\n        }\n }\n }\n}\n",
            "job \"x\" {\n  datacenters = [\"a\", \"b\"]\n  group \"g\" {\n    count = 1\n    task \"t\" {\n      driver = \"exec\"\n      user   = \"u\"\n      config {\n        command = \"y\"\n      }\n    }\n  }\n}\n",
        );
    }

    #[test]
    fn strings_heredocs_and_comments_stay() {
        check(
            "a=\"x  =  ${ b == \"c\" ? 1:2 }\"   # one\nbbb  = 2 // two\n\ndata = <<EOF\n  keep   this\nEOF\n",
            "a   = \"x  =  ${ b == \"c\" ? 1:2 }\" # one\nbbb = 2                           // two\n\ndata = <<EOF\n  keep   this\nEOF\n",
        );
    }

    #[test]
    fn lists_calls_and_signs() {
        check(
            "args = [\n\"-c\",\nfoo( 1,-2 ),\n]\nn = a [ 0 ] . b - -3\n",
            "args = [\n  \"-c\",\n  foo(1, -2),\n]\nn = a[0].b - -3\n",
        );
    }
}
