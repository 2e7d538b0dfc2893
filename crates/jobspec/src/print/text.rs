//! Texts as HCL: quoted or as heredocs, so that every character reads back as it was.
//!
//! `${…}` that is meant for the node stays as it is written, because it reads back as the same text; any other `${` or
//! `%{` is escaped. What would hide or turn around the text beside it (control characters, directions of writing) is
//! written by its number.

use hcl::expr::{Expression, Heredoc, TemplateExpr, Variable};
use hcl::structure::BlockLabel;
use hcl::{Identifier, expr::ObjectKey};

use crate::budget::Budget;
use crate::eval::{Evaluator, Scope};
use crate::input::Limits;
use crate::syntax::parse_expression;
use crate::value::Value;

/// A value of an argument: a heredoc where the text has lines, else in quotes.
pub(super) fn value(text: &str) -> Expression {
    heredoc(text).unwrap_or_else(|| quoted(text))
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> Expression {
    TemplateExpr::QuotedString(escaped(text, Form::Quoted).unwrap_or_default()).into()
}

/// A label in quotes. `${` is always escaped: labels have no holes.
pub(super) fn label(text: &str) -> BlockLabel {
    // The formatter takes `$${` in a label for escaped already, so the quotes are written here.
    let inner = escaped(text, Form::Label).unwrap_or_default();
    BlockLabel::Identifier(Identifier::unchecked(format!("\"{inner}\"")))
}

/// The key of an object: bare where that is a name.
pub(super) fn key(text: &str) -> ObjectKey {
    match name(text) {
        Some(name) => ObjectKey::Identifier(name),
        None => ObjectKey::Expression(quoted(text)),
    }
}

/// `text` as the name of an argument, where it can be one.
pub(super) fn name(text: &str) -> Option<Identifier> {
    let begins = text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    let plain = begins && text.chars().all(|c| matches!(c, '_' | '-') || c.is_ascii_alphanumeric());
    let free = !matches!(text, "true" | "false" | "null" | "for" | "if" | "in" | "dynamic");
    (plain && free).then(|| Identifier::unchecked(text))
}

/// An expression in a layout that the formatter has no word for.
pub(super) fn raw(text: String) -> Expression {
    Expression::Variable(Variable::unchecked(text))
}

/// Several lines as a heredoc. `None` for a single line, and for what a heredoc cannot say.
fn heredoc(text: &str) -> Option<Expression> {
    let ended = text.ends_with('\n');
    if text.lines().count() < 2 {
        return None;
    }
    let template = escaped(text, Form::Heredoc)?;
    let marker = marker(text);
    if ended {
        return Some(TemplateExpr::Heredoc(Heredoc::new(Identifier::unchecked(marker), template)).into());
    }
    // The last line of a heredoc always ends. The closing marker has to be alone on its line, also inside of a call.
    Some(raw(format!("chomp(<<{marker}\n{template}\n{marker}\n)")))
}

/// A word that no line of the text begins with: some readers take that for the end.
fn marker(text: &str) -> String {
    let taken = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    let numbered = (1..).map(|n| format!("EOF{n}"));
    let mut words = ["EOF", "EOT"].into_iter().map(str::to_owned).chain(numbered);
    words.find(|word| !taken(word)).expect("a text has finitely many lines")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Quoted,
    Label,
    Heredoc,
}

/// `text` between its marks. `None` where a heredoc would need an escape that only quotes have.
fn escaped(text: &str, form: Form) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mark = matches!(c, '$' | '%');
        if mark && after.starts_with('{') {
            let hole = hole(rest).filter(|hole| c == '$' && form != Form::Label && stays(hole));
            match hole {
                Some(hole) => {
                    out.push_str(hole);
                    rest = &rest[hole.len()..];
                    continue;
                }
                None => out.extend([c, c]),
            }
        } else if mark && after.starts_with(c) && after[1..].starts_with('{') {
            // Beside the mark that follows this one would read as an escape.
            out.push_str(&numbered(c, form)?);
        } else if hidden(c) || (form != Form::Heredoc && matches!(c, '"' | '\\' | '\n' | '\t')) {
            out.push_str(&numbered(c, form)?);
        } else {
            out.push(c);
        }
        rest = after;
    }
    Some(out)
}

/// A character by its escape; heredocs have none.
fn numbered(c: char, form: Form) -> Option<String> {
    if form == Form::Heredoc {
        return None;
    }
    let code = u32::from(c);
    Some(match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ if code > 0xffff => format!("\\U{code:08x}"),
        _ => format!("\\u{code:04x}"),
    })
}

/// Characters that are not seen, or that change how their neighbours are seen. Line breaks and tabs are not among them.
fn hidden(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\n' | '\t');
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    control || format
}

/// The `${…}` that `text` begins with, where it holds nothing but names, steps and indexes.
fn hole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']' | '"');
    inner[..end].chars().all(known).then(|| &text[..end + 3])
}

/// Whether a hole reads back as itself.
fn stays(hole: &str) -> bool {
    let text = format!("\"{hole}\"");
    let mut budget = Budget::new(Limits::DEFAULT, None);
    let Ok(expr) = parse_expression(&text, &mut budget) else { return false };
    let mut eval = Evaluator::new(&text, None, budget, 0);
    let value = eval.eval(&expr, &Scope::EMPTY);
    eval.found.is_empty() && matches!(value, Value::Str(text) if &*text == hole)
}
