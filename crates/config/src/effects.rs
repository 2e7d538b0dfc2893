//! What a file asks for and does not get: keys that would protect and are refused, keys that are warned of.
//!
//! Reads: a parsed file and the schema. Gives: for each such key a [`Note`] or, where its value asks for nothing, its absence; both
//! by path, so that a later file which takes a wish back takes the note back, too. Start at [`notes`].

use std::collections::BTreeMap;

use crate::hcl1::{Body, Item, Position, Value};
use crate::schema::{Block, Effect, Kind, OWN_PLUGIN, plugin_config};

/// One key that does not do what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub at: Position,
    /// It would protect: no agent starts with it.
    pub refused: bool,
    pub message: String,
}

/// By path (`acl.enabled`); `None`: the key is there, and its value asks for nothing.
pub type Notes = BTreeMap<String, Option<Note>>;

/// Walks a file. Keys that the schema does not know are passed over: [`crate::tree::check`] tells of those.
pub fn notes(body: &Body, schema: &'static Block) -> Notes {
    let mut notes = Notes::new();
    walk(body, schema, "", &mut notes);
    notes
}

fn walk(body: &Body, schema: &'static Block, path: &str, notes: &mut Notes) {
    for item in body {
        let full = if path.is_empty() { item.key.clone() } else { format!("{path}.{}", item.key) };
        let Some((kind, effect)) = schema.entry(&item.key) else { continue };
        match (kind, effect) {
            (Kind::Block(inner), Effect::Read) => {
                bodies(&item.value).into_iter().for_each(|body| walk(body, inner, &full, notes));
            }
            (Kind::Options(known), _) => {
                bodies(&item.value).into_iter().for_each(|body| options(body, known, &full, notes));
            }
            (Kind::Labelled(inner), Effect::Read) => {
                for (label, body) in labelled(item) {
                    let path = format!("{full}.{label}");
                    match (item.key.as_str(), plugin_config(label)) {
                        ("fingerprint", _) if label != "network" => no_fingerprint(item.at, label, path, notes),
                        ("plugin", Some(config)) => plugin(body, &OWN_PLUGIN, config, &path, notes),
                        _ => walk(body, inner, &path, notes),
                    }
                }
            }
            (_, effect) => {
                let note = note(item, effect, &full);
                notes.insert(full, note);
            }
        }
    }
}

/// The note of one key by its effect and value.
fn note(item: &Item, effect: Effect, path: &str) -> Option<Note> {
    let (harmless, refused, message) = match effect {
        Effect::Read => return None,
        Effect::Guard { off, would } => {
            let message = format!(
                "{path:?} would {would}; this version can't do that. Take it out if the agent may run without such protection"
            );
            (off, true, message)
        }
        Effect::Idle { given } => (given, false, format!("{path:?} has no effect in this version")),
    };
    (!asks_for_nothing(&item.value, harmless)).then_some(Note { at: item.at, refused, message })
}

/// Empty, switched off, or a value that holds in any case. Durations are compared by their length.
fn asks_for_nothing(value: &Value, harmless: &[&str]) -> bool {
    let same = |text: &str| {
        let length = |t: &str| t.parse::<tarpan_model::duration::Dur>().ok();
        harmless.iter().any(|h| text.eq_ignore_ascii_case(h) || length(h).is_some_and(|l| Some(l) == length(text)))
    };
    match value {
        Value::Null => true,
        Value::Bool(b) => same(if *b { "true" } else { "false" }),
        Value::Number(text) => same(text) || (text == "0" && same("false")) || (text == "1" && same("true")),
        Value::Text(text) => text.is_empty() || same(text),
        Value::List(items) => items.iter().all(|(_, item)| asks_for_nothing(item, harmless)),
        Value::Object(body) => body.is_empty() || switched_off(body),
    }
}

/// `audit { enabled = false … }`.
fn switched_off(body: &Body) -> bool {
    body.iter().any(|item| item.key == "enabled" && asks_for_nothing(&item.value, &["false"]))
}

/// The older options of a client, which may be named at will.
fn options(body: &Body, known: &'static Block, path: &str, notes: &mut Notes) {
    for item in body {
        let full = format!("{path}.{}", item.key);
        let effect = known.entry(&item.key).map_or(Effect::Idle { given: &[] }, |(_, effect)| effect);
        let note = note(item, effect, &full);
        notes.insert(full, note);
    }
}

fn no_fingerprint(at: Position, label: &str, path: String, notes: &mut Notes) {
    let message = format!("{path:?} has no effect: no fingerprint {label:?} of this version can fail");
    notes.insert(path, Some(Note { at, refused: false, message }));
}

fn plugin(body: &Body, schema: &'static Block, config: &'static Block, path: &str, notes: &mut Notes) {
    walk(body, schema, path, notes);
    let inner = body.iter().filter(|item| item.key == "config");
    inner.flat_map(|item| bodies(&item.value)).for_each(|body| walk(body, config, &format!("{path}.config"), notes));
}

/// The bodies of a block; JSON writes several as a list.
fn bodies(value: &Value) -> Vec<&Body> {
    match value {
        Value::Object(body) => vec![body],
        Value::List(items) => items.iter().flat_map(|(_, value)| bodies(value)).collect(),
        _ => Vec::new(),
    }
}

/// Blocks by their labels, as HCL or JSON writes them.
fn labelled(item: &Item) -> Vec<(&str, &Body)> {
    match item.labels.as_slice() {
        [] => bodies(&item.value)
            .into_iter()
            .flatten()
            .flat_map(|inner| bodies(&inner.value).into_iter().map(|body| (inner.key.as_str(), body)))
            .collect(),
        [label, ..] => bodies(&item.value).into_iter().map(|body| (label.as_str(), body)).collect(),
    }
}

#[cfg(test)]
mod tests;
