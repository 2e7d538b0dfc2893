//! What a jobspec's author may write at a place, and what a word there means: from the schema of the Job tree.
//!
//! Works on text that does not parse, because that is what a text is while it is written: the blocks around a place are found by
//! their braces.

use serde_json::{Value, json};
use tarpan_model::Job;
use tarpan_model::schema::{Field, Kind, Schema, StaticBlock};

/// UTF-16 units before byte `byte`.
pub fn utf16_of(text: &str, byte: usize) -> usize {
    let end = (0..=byte.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text[..end].encode_utf16().count()
}

/// The byte after `units` UTF-16 units.
pub fn byte_of(text: &str, units: usize) -> usize {
    let mut seen = 0;
    for (byte, c) in text.char_indices() {
        if seen >= units {
            return byte;
        }
        seen += c.len_utf16();
    }
    text.len()
}

/// The names of the blocks around byte `at`, outermost first.
pub fn blocks_around(text: &str, at: usize) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut rest = text[..at.min(text.len())].chars().peekable();
    let mut heredoc: Option<String> = None;
    let mut line = String::new();
    while let Some(c) = rest.next() {
        if let Some(end) = &heredoc {
            if c == '\n' {
                if line.trim() == end {
                    heredoc = None;
                }
                line.clear();
            } else {
                line.push(c);
            }
            continue;
        }
        match c {
            '#' => skip_line(&mut rest),
            '/' if rest.peek() == Some(&'/') => skip_line(&mut rest),
            '"' => words.push(string(&mut rest)),
            '<' if rest.peek() == Some(&'<') => {
                rest.next();
                let word: String = std::iter::from_fn(|| rest.next_if(|c| *c != '\n')).collect();
                heredoc = Some(word.trim_start_matches('-').trim().to_owned());
                line.clear();
                rest.next();
            }
            '{' => open.push(words.first().cloned().unwrap_or_default()),
            '}' => drop(open.pop()),
            '\n' | '=' | ',' | ';' => {}
            c if c.is_alphanumeric() || c == '_' || c == '-' => {
                let mut word = c.to_string();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '-' || *c == '.') {
                    word.push(c);
                }
                words.push(word);
                continue;
            }
            _ => continue,
        }
        if matches!(c, '\n' | '{' | '}') {
            words.clear();
        }
    }
    open
}

fn skip_line(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next_if(|c| *c != '\n').is_some() {}
}

/// The rest of a quoted text, without its end.
fn string(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut out = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            '"' | '\n' => break,
            c => out.push(c),
        }
    }
    out
}

/// The schema of the innermost block around a place; `None` outside of a job or in a block without a schema.
fn schema_at(path: &[String]) -> Option<&'static Schema> {
    let (first, rest) = path.split_first()?;
    if first != "job" {
        return None;
    }
    let mut schema = Job::SCHEMA;
    for name in rest {
        schema = schema.by_hcl(name)?.1.child?;
    }
    Some(schema)
}

/// The attributes, blocks or values that fit at byte `at`.
pub fn complete(text: &str, at: usize) -> Vec<Value> {
    let path = blocks_around(text, at);
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let before = &text[line_start..at];
    if path.is_empty() {
        let tops = ["job", "variable", "locals"];
        return tops
            .iter()
            .map(|name| json!({ "label": name, "type": "keyword", "apply": format!("{name} ") }))
            .collect();
    }
    let Some(schema) = schema_at(&path) else { return Vec::new() };
    if let Some((name, _)) = before.split_once('=') {
        return schema.by_hcl(name.trim()).map(|(_, field)| values(field)).unwrap_or_default();
    }
    schema.fields.iter().filter_map(|field| Some(option(field, field.hcl?))).collect()
}

fn values(field: &Field) -> Vec<Value> {
    let listed =
        field.values.split_whitespace().map(|v| json!({ "label": v, "type": "enum", "apply": quoted(field, v) }));
    let truth = ["true", "false"]
        .into_iter()
        .filter(|_| field.kind == Kind::Bool)
        .map(|v| json!({ "label": v, "type": "constant" }));
    listed.chain(truth).collect()
}

fn quoted(field: &Field, value: &str) -> String {
    if matches!(field.kind, Kind::Int | Kind::Uint) { value.to_owned() } else { format!("\"{value}\"") }
}

fn option(field: &Field, name: &str) -> Value {
    let is_block =
        matches!(field.kind, Kind::Block | Kind::Blocks | Kind::Named | Kind::Free) || (field.kind == Kind::Map);
    let apply = if is_block { format!("{name} {{\n}}") } else { format!("{name} = ") };
    json!({
        "label": name, "type": if is_block { "class" } else { "property" }, "detail": kind_word(field),
        "info": field.doc, "apply": apply,
    })
}

fn kind_word(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Str => "text",
        Kind::Int | Kind::Uint => "number",
        Kind::Bool => "true or false",
        Kind::Duration => "duration",
        Kind::Strs | Kind::Ints | Kind::Lists => "list",
        Kind::Map => "map",
        Kind::Free | Kind::Block | Kind::Blocks | Kind::Named => "block",
    };
    if field.unit.is_empty() { kind.to_owned() } else { format!("{kind}, {}", field.unit) }
}

/// The meaning of the word at byte `at`.
pub fn hover(text: &str, at: usize) -> Option<Value> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let at = at.min(text.len());
    let start = text[..at].rfind(|c| !is_word(c)).map_or(0, |i| i + 1);
    let end = text[at..].find(|c| !is_word(c)).map_or(text.len(), |i| at + i);
    let word = text.get(start..end).filter(|w| !w.is_empty())?;
    // Only the name that begins a line is an attribute or a block; the rest is a value or a label.
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    if !text[line_start..start].chars().all(|c| c.is_whitespace() || c == '{')
        && !text[line_start..start].trim_end().ends_with('{')
    {
        return None;
    }
    let schema = schema_at(&blocks_around(text, start))?;
    let (_, field) = schema.by_hcl(word)?;
    let mut lines = vec![field.doc.to_owned()];
    if !field.default.is_empty() {
        lines.push(format!("Default: {}", field.default));
    }
    if !field.values.is_empty() {
        lines.push(format!("One of: {}", field.values.split_whitespace().collect::<Vec<_>>().join(", ")));
    }
    let title = format!("{word} · {}", kind_word(field));
    Some(json!({ "from": utf16_of(text, start), "to": utf16_of(text, end), "title": title, "text": lines.join("\n") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "job \"web\" {\n  # a { comment\n  group \"g\" {\n    network { port \"http\" {\n } }\n    task \"t\" {\n      driver = \"docker\"\n      template {\n        data = <<EOH\n{{ range x }} }\nEOH\n        \n      }\n";

    #[test]
    fn blocks_are_found_in_unfinished_text() {
        let at = |mark: &str| TEXT.find(mark).expect(mark);
        assert_eq!(blocks_around(TEXT, at("driver")), ["job", "group", "task"]);
        assert_eq!(blocks_around(TEXT, at("port")), ["job", "group", "network"]);
        assert_eq!(blocks_around(TEXT, at("EOH\n        \n") + 10), ["job", "group", "task", "template"]);
        assert_eq!(blocks_around(TEXT, TEXT.len()), ["job", "group", "task"]);
    }

    #[test]
    fn names_and_meanings() {
        let at = TEXT.find("driver").expect("driver");
        let names: Vec<String> =
            complete(TEXT, at).iter().map(|v| v["label"].as_str().unwrap_or("").to_owned()).collect();
        assert!(names.contains(&"resources".to_owned()) && names.contains(&"driver".to_owned()), "{names:?}");
        assert!(hover(TEXT, at + 2).is_some_and(|h| h["title"].as_str().is_some_and(|t| t.starts_with("driver"))));
        assert!(hover(TEXT, TEXT.find("docker").expect("docker")).is_none());
    }

    #[test]
    fn offsets_count_as_javascript_does() {
        let text = "a😀b";
        assert_eq!((utf16_of(text, 5), byte_of(text, 3)), (3, 5));
    }
}
