//! The walk over two blocks of one type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::shape;
use super::types::{FieldDiff, ObjectDiff};
use crate::schema::{Block, Field, Kind, Slot};

/// What differs between two blocks.
#[derive(Default)]
pub(super) struct Changes {
    pub fields: Vec<FieldDiff>,
    pub objects: Vec<ObjectDiff>,
}

/// The kind of a change from what sides there are.
pub(super) fn kind(old: bool, new: bool, changed: bool) -> &'static str {
    match (old, new) {
        (false, true) => "Added",
        (true, false) => "Deleted",
        _ if changed => "Edited",
        _ => "None",
    }
}

/// Items of two lists side by side, in the order of the new one, then those that went.
pub(super) fn matched<'a, T>(old: &'a [T], new: &'a [T], name: fn(&T) -> &str) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let mut pairs: Vec<_> = new.iter().map(|n| (old.iter().find(|o| name(o) == name(n)), Some(n))).collect();
    pairs.extend(old.iter().filter(|o| !new.iter().any(|n| name(n) == name(o))).map(|o| (Some(o), None)));
    pairs
}

/// Fields that changed and nested blocks that changed. `contextual` keeps the unchanged fields of the nested blocks.
pub(super) fn changes(old: Option<&dyn Block>, new: Option<&dyn Block>, contextual: bool) -> Changes {
    let Some(some) = new.or(old) else {
        return Changes::default();
    };
    let schema = some.schema();
    let mut fields: Vec<usize> =
        (0..schema.fields.len()).filter(|i| !shape::hidden(schema, &schema.fields[*i])).collect();
    fields.sort_by_key(|i| shape::rank(schema, &schema.fields[*i]));
    let mut changes = Changes::default();
    for index in fields {
        let field = &schema.fields[index];
        match field.kind {
            Kind::Block | Kind::Blocks | Kind::Named | Kind::Free | Kind::Strs | Kind::Ints | Kind::Lists => {
                if (old.is_none() || new.is_none()) && shape::only_when_edited(schema, field) {
                    continue;
                }
                nested(old, new, index, field, contextual, &mut changes.objects);
            }
            _ => scalars(old, new, index, false, &mut changes.fields),
        }
    }
    changes.fields.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

/// A block inside another, `None` when nothing differs.
fn object(
    name: &str,
    owner: &Field,
    old: Option<&dyn Block>,
    new: Option<&dyn Block>,
    contextual: bool,
) -> Option<ObjectDiff> {
    let some = new.or(old)?;
    let mut inner = changes(old, new, contextual);
    let hidden = |f: &FieldDiff| {
        let found = some.schema().by_json(&f.name);
        found.is_some_and(|(index, field)| shape::hidden_in(owner, field, some, index))
    };
    inner.fields.retain(|f| !hidden(f));
    if old.is_some() && new.is_some() && inner.fields.is_empty() && inner.objects.is_empty() {
        return None;
    }
    if contextual {
        inner.fields.clear();
        for (index, field) in some.schema().fields.iter().enumerate() {
            let shown = !shape::hidden(some.schema(), field) && !shape::hidden_in(owner, field, some, index);
            if shown && is_scalar(field.kind) {
                scalars(old, new, index, true, &mut inner.fields);
            }
        }
        inner.fields.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let type_ = kind(old.is_some(), new.is_some(), true).to_owned();
    Some(ObjectDiff { type_, name: name.to_owned(), fields: inner.fields, objects: inner.objects })
}

fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Str | Kind::Int | Kind::Uint | Kind::Bool | Kind::Duration | Kind::Map)
}

/// A field, or each entry of a map of texts.
fn scalars(old: Option<&dyn Block>, new: Option<&dyn Block>, index: usize, keep: bool, into: &mut Vec<FieldDiff>) {
    let (before, after) = (texts(old, index), texts(new, index));
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        into.extend(field(name, before.get(name), after.get(name), keep));
    }
}

fn texts(block: Option<&dyn Block>, index: usize) -> BTreeMap<String, String> {
    let Some(block) = block else {
        return BTreeMap::new();
    };
    let field = &block.schema().fields[index];
    let text = match block.slot(index) {
        Slot::Map(map) => {
            let entries = map.into_iter().flatten();
            return entries.map(|(key, value)| (format!("{}[{key}]", field.json), value.clone())).collect();
        }
        Slot::Str(Some(v)) => v.to_owned(),
        Slot::Int(Some(v)) => v.to_string(),
        Slot::Uint(Some(v)) => v.to_string(),
        Slot::Bool(Some(v)) => v.to_string(),
        Slot::Duration(Some(v)) => v.nanos().to_string(),
        _ => shape::unset(block.schema(), field).to_owned(),
    };
    [(field.json.to_owned(), text)].into()
}

fn field(name: &str, old: Option<&String>, new: Option<&String>, keep: bool) -> Option<FieldDiff> {
    let (old, new) = (old.cloned().unwrap_or_default(), new.cloned().unwrap_or_default());
    let type_ = match (old.as_str(), new.as_str()) {
        (a, b) if a == b && !keep => return None,
        (a, b) if a == b => "None",
        ("", _) => "Added",
        (_, "") => "Deleted",
        _ => "Edited",
    };
    Some(FieldDiff { type_: type_.to_owned(), name: name.to_owned(), old, new, annotations: Vec::new() })
}

fn nested(
    old: Option<&dyn Block>,
    new: Option<&dyn Block>,
    index: usize,
    owner: &Field,
    contextual: bool,
    into: &mut Vec<ObjectDiff>,
) {
    let name = shape::name(owner);
    match owner.kind {
        Kind::Block => into.extend(object(name, owner, single(old, index), single(new, index), contextual)),
        Kind::Blocks => lists(&list(old, index), &list(new, index), owner, contextual, into),
        Kind::Named => {
            let (before, after) = (labelled(old, index), labelled(new, index));
            for label in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                into.extend(object(name, owner, before.get(label).copied(), after.get(label).copied(), contextual));
            }
        }
        Kind::Free => into.extend(flat(name, &free(old, index), &free(new, index), contextual)),
        Kind::Lists => into.extend(flat(name, &list_map(old, index), &list_map(new, index), contextual)),
        _ => into.extend(words(owner.json, &strings(old, index), &strings(new, index), contextual)),
    }
}

fn single(block: Option<&dyn Block>, index: usize) -> Option<&dyn Block> {
    match block?.slot(index) {
        Slot::Block(inner) => inner,
        _ => None,
    }
}

fn list(block: Option<&dyn Block>, index: usize) -> Vec<&dyn Block> {
    match block.map(|b| b.slot(index)) {
        Some(Slot::Blocks(Some(list))) => (0..list.len()).map(|i| list.get(i)).collect(),
        _ => Vec::new(),
    }
}

fn labelled(block: Option<&dyn Block>, index: usize) -> BTreeMap<&str, &dyn Block> {
    match block.map(|b| b.slot(index)) {
        Some(Slot::Named(Some(map))) => map.entries().into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

fn strings(block: Option<&dyn Block>, index: usize) -> Vec<String> {
    match block.map(|b| b.slot(index)) {
        Some(Slot::Strs(Some(list))) => list.to_vec(),
        Some(Slot::Ints(Some(list))) => list.iter().map(i64::to_string).collect(),
        _ => Vec::new(),
    }
}

fn free(block: Option<&dyn Block>, index: usize) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    if let Some(Slot::Free(Some(free))) = block.map(|b| b.slot(index)) {
        for (key, value) in &free.0 {
            flatten(key.clone(), value, &mut entries);
        }
    }
    entries
}

fn list_map(block: Option<&dyn Block>, index: usize) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    if let Some(Slot::Lists(Some(lists))) = block.map(|b| b.slot(index)) {
        for (key, values) in lists {
            entries.extend(values.iter().enumerate().map(|(i, v)| (format!("{key}[{i}]"), v.clone())));
        }
    }
    entries
}

/// `{"a": [{"b": 1}]}` becomes `a[0][b] = 1`.
fn flatten(key: String, value: &Json, into: &mut BTreeMap<String, String>) {
    match value {
        Json::Array(items) => items.iter().enumerate().for_each(|(i, v)| flatten(format!("{key}[{i}]"), v, into)),
        Json::Object(map) => map.iter().for_each(|(k, v)| flatten(format!("{key}[{k}]"), v, into)),
        Json::String(text) => drop(into.insert(key, text.clone())),
        Json::Null => drop(into.insert(key, String::new())),
        other => drop(into.insert(key, other.to_string())),
    }
}

fn flat(
    name: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    contextual: bool,
) -> Option<ObjectDiff> {
    if old == new {
        return None;
    }
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let fields = keys.into_iter().filter_map(|key| field(key, old.get(key), new.get(key), contextual)).collect();
    let type_ = kind(!old.is_empty(), !new.is_empty(), true).to_owned();
    Some(ObjectDiff { type_, name: name.to_owned(), fields, objects: Vec::new() })
}

/// Texts that came and went; their order does not matter.
fn words(name: &str, old: &[String], new: &[String], contextual: bool) -> Option<ObjectDiff> {
    let (before, after): (BTreeSet<&String>, BTreeSet<&String>) = (old.iter().collect(), new.iter().collect());
    if before == after {
        return None;
    }
    let side = |word, there: bool| there.then_some(word);
    let all: BTreeSet<&String> = before.union(&after).copied().collect();
    let mut fields: Vec<FieldDiff> = all
        .into_iter()
        .filter_map(|w| field(name, side(w, before.contains(w)), side(w, after.contains(w)), contextual))
        .collect();
    fields.sort_by_key(|f| ["Added", "Deleted", "None"].iter().position(|t| *t == f.type_));
    let type_ = kind(!before.is_empty(), !after.is_empty(), true).to_owned();
    Some(ObjectDiff { type_, name: name.to_owned(), fields, objects: Vec::new() })
}

fn lists(old: &[&dyn Block], new: &[&dyn Block], owner: &Field, contextual: bool, into: &mut Vec<ObjectDiff>) {
    let Some(schema) = owner.child else { return };
    let name = shape::name(owner);
    if shape::by_place(schema) {
        for i in 0..old.len().max(new.len()) {
            into.extend(object(name, owner, old.get(i).copied(), new.get(i).copied(), contextual));
        }
        return;
    }
    let key = |block: &dyn Block| match shape::identity(schema).and_then(|id| schema.by_json(id)) {
        Some((index, _)) => match block.slot(index) {
            Slot::Str(text) => text.unwrap_or_default().to_owned(),
            _ => String::new(),
        },
        None => fingerprint(block),
    };
    // Blocks with one key are matched in their order.
    let mut groups: BTreeMap<String, Matched<'_>> = BTreeMap::new();
    old.iter().for_each(|b| groups.entry(key(*b)).or_default().before.push(*b));
    new.iter().for_each(|b| groups.entry(key(*b)).or_default().after.push(*b));
    let mut found = Vec::new();
    for Matched { before, after } in groups.values() {
        for i in 0..before.len().max(after.len()) {
            found.extend(object(name, owner, before.get(i).copied(), after.get(i).copied(), contextual));
        }
    }
    found.sort_by_key(|o| ["Edited", "Added", "Deleted"].iter().position(|t| *t == o.type_));
    into.append(&mut found);
}

/// Blocks of one key, on both sides.
#[derive(Default)]
struct Matched<'a> {
    before: Vec<&'a dyn Block>,
    after: Vec<&'a dyn Block>,
}

/// The whole content of a block as text.
fn fingerprint(block: &dyn Block) -> String {
    struct Whole<'a>(&'a dyn Block);
    impl serde::Serialize for Whole<'_> {
        fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            crate::schema::serialize(self.0, s)
        }
    }
    serde_json::to_string(&Whole(block)).unwrap_or_default()
}
