//! Help while typing: what may stand at a place, and what the thing at a place means.
//!
//! Reads: the text as it is, however broken, and the schema of the Job tree. The parser's recovery finds the block around
//! the place; what is half typed there does not matter. Start at [`complete`] and [`hover`].

use serde::Serialize;
use tarpan_model::job::{Job, ScalingPolicy, Secret, Task, Vault};
use tarpan_model::schema::{Field, Kind, Schema, StaticBlock};

use crate::diagnostic::Range;
use crate::functions;
use crate::lines::Lines;
use crate::syntax::{self, Block, Body, Item, Span};

/// What a completion puts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompletionKind {
    Argument,
    Block,
    Value,
    Function,
    Variable,
}

/// Something that may be typed at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    pub label: String,
    pub kind: CompletionKind,
    /// A few words: the type, the default.
    pub detail: String,
    /// Sentences.
    pub documentation: String,
    /// The text to put in; `$0` marks where the cursor goes.
    pub insert: String,
}

/// What the thing at a place means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hover {
    pub range: Range,
    /// The name with its type, as in `count (number)`.
    pub title: String,
    pub text: String,
}

/// What a block may hold.
#[derive(Clone, Copy)]
enum Around {
    File,
    Known(&'static Schema),
    Words(&'static [(&'static str, &'static str)]),
    /// A driver's configuration and the like: nothing is known of it.
    Free,
}

const VARIABLE: &[(&str, &str)] = &[
    ("type", "Type of the value: string, number, bool, list(…), set(…), map(…), object({…}), tuple([…])."),
    ("default", "Value when none is given."),
    ("description", "What the variable is for."),
];
const VALIDATION: &[(&str, &str)] =
    &[("condition", "What has to hold for the value."), ("error_message", "The sentence to show when it does not.")];
const DYNAMIC: &[(&str, &str)] = &[
    ("for_each", "The list or map with an element for each block."),
    ("iterator", "Name for the element, instead of the block's own."),
    ("labels", "Labels of the blocks."),
];
const TOP: &[(&str, &str)] = &[
    ("job", "The job: one to a file."),
    ("variable", "A value that is given when the file is read."),
    ("locals", "Values computed in the file, used as local.name."),
];

/// What may stand at byte `offset` of `text`: arguments and blocks where a name is expected, else values, functions and variables.
pub fn complete(text: &str, offset: usize) -> Vec<Completion> {
    let offset = floor(text, offset);
    let (body, _) = syntax::parse(text);
    let line_start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
    let before = &text[line_start..offset];
    let chain = chain(&body, offset);
    if let Some((name, value)) = before.split_once('=') {
        return values(&chain, name.trim().rsplit(['{', ' ']).next().unwrap_or_default(), value, &body);
    }
    if before.matches('"').count() % 2 == 1 {
        return Vec::new();
    }
    names(&chain)
}

/// What the name at byte `offset` of `text` means; `None` where there is nothing to say.
pub fn hover(name: &str, text: &str, offset: usize) -> Option<Hover> {
    let offset = floor(text, offset);
    let (body, _) = syntax::parse(text);
    let range = |span: Span| Lines::new(text).range(name, span);
    let chain = chain(&body, offset);
    let (around, inner) = chain.last().map_or((Around::File, &body), |(a, b)| (*a, &b.body));
    for item in &inner.items {
        let named = match item {
            Item::Attribute(attribute) => &attribute.name,
            Item::Block(block) => &block.kind,
        };
        if named.span.contains(offset) {
            let (title, text) = meaning(around, &named.text)?;
            return Some(Hover { range: range(named.span), title, text });
        }
    }
    let span = word(text, offset);
    let function = &text[span.range()];
    let called = text[span.end as usize..].trim_start().starts_with('(');
    let (title, text) = functions::find(function)
        .map(|f| (f.signature(), f.doc.to_owned()))
        .or_else(|| functions::LAZY.iter().find(|l| l.0 == function).map(|l| (l.1.to_owned(), l.2.to_owned())))
        .filter(|_| called)?;
    Some(Hover { range: range(span), title, text })
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The blocks around a place, outermost first, each with what it may hold.
fn chain(body: &Body, offset: usize) -> Vec<(Around, &Block)> {
    let mut chain = Vec::new();
    let mut around = Around::File;
    let mut inside = body;
    loop {
        let found = inside.items.iter().find_map(|item| match item {
            Item::Block(block)
                if (block.body.span.start as usize) < offset && offset < block.body.span.end as usize =>
            {
                Some(block)
            }
            // The text ends in it.
            Item::Block(block) if block.body.unclosed && block.body.span.end as usize == offset => Some(block),
            _ => None,
        });
        let Some(block) = found else { return chain };
        around = held(around, block);
        if block.kind.text == "content" {
            // What a dynamic block makes stands in its content.
            let made =
                chain.iter().rev().find(|(_, b): &&(Around, &Block)| b.kind.text == "dynamic").map(|(a, b)| (*a, *b));
            if let Some((_, dynamic)) = made {
                let label = dynamic.labels.first().map_or("", |l| l.text.as_str());
                let owner =
                    chain.iter().rev().find(|(_, b)| b.kind.text != "dynamic").map_or(Around::File, |(a, _)| *a);
                around = nested(owner, label);
            }
        }
        chain.push((around, block));
        inside = &block.body;
    }
}

fn held(around: Around, block: &Block) -> Around {
    match (around, block.kind.text.as_str()) {
        (_, "dynamic") => Around::Words(DYNAMIC),
        (Around::Words(_), "validation") => Around::Words(VALIDATION),
        (_, kind) => nested(around, kind),
    }
}

fn nested(around: Around, kind: &str) -> Around {
    match (around, kind) {
        (Around::File, "job") => Around::Known(Job::SCHEMA),
        (Around::File, "variable") => Around::Words(VARIABLE),
        (Around::Known(schema), _) => match (schema.name, kind) {
            ("Job", "task") => Around::Known(Task::SCHEMA),
            ("Job" | "TaskGroup", "vault") => Around::Known(Vault::SCHEMA),
            ("Job" | "TaskGroup", "secret") => Around::Known(Secret::SCHEMA),
            ("Task", "scaling") => Around::Known(ScalingPolicy::SCHEMA),
            _ => schema.by_hcl(kind).and_then(|(_, f)| f.child).map_or(Around::Free, Around::Known),
        },
        _ => Around::Free,
    }
}

fn names(chain: &[(Around, &Block)]) -> Vec<Completion> {
    let around = chain.last().map_or(Around::File, |(a, _)| *a);
    let there = |name: &str| {
        chain.last().is_some_and(|(_, block)| {
            block.body.items.iter().any(|item| match item {
                Item::Attribute(attribute) => attribute.name.text == name,
                Item::Block(block) => block.kind.text == name,
            })
        })
    };
    match around {
        Around::Free => Vec::new(),
        Around::File => TOP.iter().map(|(name, doc)| plain_block(name, doc, *name != "locals")).collect(),
        Around::Words(words) => {
            let argument = |(name, doc): &(&str, &str)| Completion {
                label: (*name).to_owned(),
                kind: CompletionKind::Argument,
                detail: String::new(),
                documentation: (*doc).to_owned(),
                insert: format!("{name} = $0"),
            };
            let mut all: Vec<Completion> = words.iter().filter(|(n, _)| !there(n)).map(argument).collect();
            if words.as_ptr() == DYNAMIC.as_ptr() && !there("content") {
                all.push(plain_block("content", "What each block holds.", false));
            }
            if words.as_ptr() == VARIABLE.as_ptr() {
                all.push(plain_block("validation", "A rule that the value has to keep.", false));
            }
            all
        }
        Around::Known(schema) => {
            let repeats = |f: &Field| matches!(f.kind, Kind::Blocks | Kind::Named);
            let known = schema.fields.iter().filter_map(|f| Some((f.hcl?, f)));
            let mut all: Vec<Completion> =
                known.filter(|(name, f)| repeats(f) || !there(name)).map(|(name, f)| of_field(name, f)).collect();
            if schema.name == "Job" {
                all.push(plain_block("task", "A task in a group of its own.", true));
            }
            all.push(plain_block("dynamic", "Blocks made from the elements of a list or map.", true));
            all
        }
    }
}

fn plain_block(name: &str, doc: &str, label: bool) -> Completion {
    let insert = if label { format!("{name} \"$0\" {{\n}}") } else { format!("{name} {{\n  $0\n}}") };
    Completion {
        label: name.to_owned(),
        kind: CompletionKind::Block,
        detail: "block".to_owned(),
        documentation: doc.to_owned(),
        insert,
    }
}

fn of_field(name: &str, field: &Field) -> Completion {
    let documentation = field_text(field);
    if is_block(field) {
        let label = field.child.is_some_and(|c| c.label().is_some());
        return Completion { documentation, detail: kind_name(field).to_owned(), ..plain_block(name, "", label) };
    }
    let insert = match field.kind {
        Kind::Str | Kind::Duration => format!("{name} = \"$0\""),
        Kind::Strs => format!("{name} = [\"$0\"]"),
        _ => format!("{name} = $0"),
    };
    let kind = CompletionKind::Argument;
    Completion { label: name.to_owned(), kind, detail: kind_name(field).to_owned(), documentation, insert }
}

fn is_block(field: &Field) -> bool {
    matches!(field.kind, Kind::Block | Kind::Blocks | Kind::Named | Kind::Free | Kind::Map | Kind::Lists)
}

fn kind_name(field: &Field) -> &'static str {
    match field.kind {
        Kind::Str => "text",
        Kind::Int | Kind::Uint => "number",
        Kind::Bool => "bool",
        Kind::Duration => "duration",
        Kind::Strs => "list of texts",
        Kind::Ints => "list of numbers",
        Kind::Map => "map of texts",
        Kind::Lists => "map of lists",
        Kind::Free | Kind::Block => "block",
        Kind::Blocks | Kind::Named => "block, repeatable",
    }
}

/// The documentation with default, unit and permitted values.
fn field_text(field: &Field) -> String {
    let mut text = field.doc.to_owned();
    if !field.default.is_empty() {
        text.push_str(&format!(" Default: {}.", field.default));
    }
    if !field.unit.is_empty() {
        text.push_str(&format!(" Unit: {}.", field.unit));
    }
    if !field.values.is_empty() {
        text.push_str(&format!(" One of: {}.", field.values.split(' ').collect::<Vec<_>>().join(", ")));
    }
    if field.interpolated {
        text.push_str(" ${…} in it is replaced on the node.");
    }
    text.trim().to_owned()
}

fn meaning(around: Around, name: &str) -> Option<(String, String)> {
    match around {
        Around::File => TOP.iter().find(|(n, _)| *n == name).map(|(n, doc)| ((*n).to_owned(), (*doc).to_owned())),
        Around::Words(words) => {
            words.iter().find(|(n, _)| *n == name).map(|(n, doc)| ((*n).to_owned(), (*doc).to_owned()))
        }
        Around::Free => None,
        Around::Known(schema) => {
            let (_, field) = schema.by_hcl(name)?;
            let mut text = field_text(field);
            if let Some(child) = field.child {
                text = format!("{text} {}", child.doc).trim().to_owned();
            }
            Some((format!("{name} ({})", kind_name(field)), text))
        }
    }
}

fn values(chain: &[(Around, &Block)], name: &str, typed: &str, body: &Body) -> Vec<Completion> {
    let quoted = typed.matches('"').count() % 2 == 1;
    let in_hole = typed.rfind("${").is_some_and(|at| !typed[at..].contains('}'));
    let mut all = Vec::new();
    if let Some((Around::Known(schema), _)) = chain.last()
        && let Some((_, field)) = schema.by_hcl(name)
        && !in_hole
    {
        let choice = |value: &str, bare: bool| Completion {
            label: value.to_owned(),
            kind: CompletionKind::Value,
            detail: if field.default == value { "default".to_owned() } else { String::new() },
            documentation: String::new(),
            insert: if quoted || bare { value.to_owned() } else { format!("\"{value}\"") },
        };
        all.extend(field.values.split_whitespace().map(|v| choice(v, false)));
        if field.kind == Kind::Bool {
            all.extend(["true", "false"].map(|v| choice(v, true)));
        }
    }
    if quoted && !in_hole {
        return all;
    }
    all.extend(declared(body).into_iter().map(|(name, doc)| Completion {
        insert: name.clone(),
        label: name,
        kind: CompletionKind::Variable,
        detail: String::new(),
        documentation: doc,
    }));
    let function = |name: &str, signature: String, doc: &str| Completion {
        label: name.to_owned(),
        kind: CompletionKind::Function,
        detail: signature,
        documentation: doc.to_owned(),
        insert: format!("{name}($0)"),
    };
    all.extend(functions::all().map(|f| function(f.name, f.signature(), f.doc)));
    all.extend(functions::LAZY.iter().map(|(name, signature, doc)| function(name, (*signature).to_owned(), doc)));
    all
}

/// `var.…` and `local.…` of the file.
fn declared(body: &Body) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for item in &body.items {
        let Item::Block(block) = item else { continue };
        let arguments = || {
            block.body.items.iter().filter_map(|i| match i {
                Item::Attribute(a) => Some(a),
                Item::Block(_) => None,
            })
        };
        match (block.kind.text.as_str(), block.labels.first()) {
            ("variable", Some(label)) => {
                let described = arguments().find(|a| a.name.text == "description");
                let doc = described.and_then(|a| crate::decode::name_of(&a.expr)).unwrap_or_default();
                names.push((format!("var.{}", label.text), doc));
            }
            ("variables", _) => names.extend(arguments().map(|a| (format!("var.{}", a.name.text), String::new()))),
            ("locals", _) => names.extend(arguments().map(|a| (format!("local.{}", a.name.text), String::new()))),
            _ => {}
        }
    }
    names
}

/// The name around a place.
fn word(text: &str, offset: usize) -> Span {
    let part = |c: char| c == '_' || c.is_alphanumeric();
    let start =
        text[..offset].rfind(|c| !part(c)).map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
    let end = text[offset..].find(|c| !part(c)).map_or(text.len(), |i| offset + i);
    Span::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels offered at the mark `|`.
    fn offered(marked: &str) -> Vec<String> {
        let offset = marked.find('|').expect("a mark");
        complete(&marked.replacen('|', "", 1), offset).into_iter().map(|c| c.label).collect()
    }

    fn check(marked: &str, wanted: &[&str], unwanted: &[&str]) {
        let labels = offered(marked);
        for name in wanted {
            assert!(labels.iter().any(|l| l == name), "{name} is not offered at {marked:?}: {labels:?}");
        }
        for name in unwanted {
            assert!(!labels.iter().any(|l| l == name), "{name} is offered at {marked:?}");
        }
    }

    #[test]
    fn names_depend_on_the_block_around() {
        check("|", &["job", "variable", "locals"], &["group"]);
        check("job \"a\" {\n  |\n}", &["group", "datacenters", "task", "dynamic"], &["driver"]);
        check("job \"a\" {\n  type = \"batch\"\n  pri|\n}", &["priority", "group"], &["type"]);
        check(
            "job \"a\" {\n  group \"g\" {\n    task \"t\" {\n      dr|\n    }\n  }\n}",
            &["driver", "resources", "config"],
            &["count"],
        );
        check(
            "job \"a\" {\n  group \"g\" {\n    task \"t\" {\n      config {\n  |\n }\n    }\n  }\n}",
            &[],
            &["driver"],
        );
        check("job \"a\" {\n  group \"g\" {\n    net|", &["network", "count"], &["driver"]);
        check("job \"a\" {\n dynamic \"group\" {\n  content {\n   |\n  }\n }\n}", &["count", "task"], &["for_each"]);
    }

    #[test]
    fn values_come_from_the_schema_and_the_file() {
        check("job \"a\" {\n  type = \"|\"\n}", &["service", "batch", "system", "sysbatch"], &["upper"]);
        check("job \"a\" {\n  all_at_once = |\n}", &["true", "false", "upper"], &[]);
        check(
            "variable \"x\" {}\nlocals {\n  y = 1\n}\njob \"a\" {\n  priority = |\n}",
            &["var.x", "local.y", "max", "try"],
            &[],
        );
        check("variable \"x\" {}\njob \"a\" {\n  name = \"n-${|}\"\n}", &["var.x", "upper"], &[]);
    }

    #[test]
    fn hovering_says_what_a_name_means() {
        let text = "job \"a\" {\n  priority = max(1, 2)\n  group \"g\" {\n    count = 2\n  }\n}";
        let at = |word: &str| hover("x.hcl", text, text.find(word).expect(word) + 1);
        assert_eq!(at("priority").expect("priority").title, "priority (number)");
        assert_eq!(at("count").expect("count").range.start.line, 4);
        assert_eq!(at("max").expect("max").title, "max(numbers...)");
        assert_eq!(at("\"g\""), None);
    }
}
