//! Blocks without a schema, as a driver's `config`, and any JSON as an expression.

use hcl::expr::{Expression, Object};
use hcl::structure::{Attribute, Block, Body, Structure};
use serde_json::{Map, Value as Json};
use tarpan_model::schema::Free;

use super::text;

/// The arguments and blocks that read as `entries`, arguments first. A name that HCL cannot write goes to `lost`.
pub(super) fn body<'j>(
    entries: impl Iterator<Item = (&'j String, &'j Json)>,
    path: &str,
    lost: &mut Vec<String>,
) -> Body {
    let (mut arguments, mut blocks) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        let Some(name) = text::name(key) else {
            lost.push(format!("{path}[{key:?}]"));
            continue;
        };
        match as_blocks(value) {
            Some(list) => blocks.extend(list.into_iter().map(|inner| {
                let body = body(inner.iter(), path, lost);
                Structure::Block(Block { identifier: name.clone(), labels: Vec::new(), body })
            })),
            None => arguments.push(Structure::Attribute(Attribute::new(name, argument(value)))),
        }
    }
    arguments.into_iter().chain(blocks).collect()
}

/// The objects of a list that reads back the same when each is written as a block.
fn as_blocks(value: &Json) -> Option<Vec<&Map<String, Json>>> {
    let Json::Array(list) = value else { return None };
    if list.is_empty() {
        return None;
    }
    list.iter().map(|one| one.as_object().filter(|o| o.iter().all(|(k, v)| is_plain(k, v)))).collect()
}

/// Whether an entry may stand in a block: an object there would become a list of one.
fn is_plain(key: &str, value: &Json) -> bool {
    !value.is_object() && text::name(key).is_some()
}

/// The value of an argument of a free block: an object in braces reads as a list of it.
fn argument(value: &Json) -> Expression {
    match value {
        Json::Array(list) if matches!(list.as_slice(), [Json::Object(_)]) => expression(&list[0]),
        other => expression(other),
    }
}

/// JSON as an expression.
pub(super) fn expression(value: &Json) -> Expression {
    match value {
        Json::Null => Expression::Null,
        Json::Bool(on) => Expression::Bool(*on),
        Json::Number(number) => number_of(number),
        Json::String(text) => text::value(text),
        Json::Array(list) => super::list(list.iter().map(expression).collect()),
        Json::Object(map) => {
            let object: Object<_, _> = map.iter().map(|(k, v)| (text::key(k), expression(v))).collect();
            Expression::Object(object)
        }
    }
}

fn number_of(number: &serde_json::Number) -> Expression {
    match number.as_i64() {
        Some(whole) => Expression::from(whole),
        None => number.as_f64().and_then(hcl::Number::from_f64).map_or(Expression::Null, Expression::Number),
    }
}

/// Whether two blocks read as the same: an object is a list of it, a whole number has no decimals, nothing is empty.
pub(super) fn same(a: Option<&Free>, b: Option<&Free>) -> bool {
    let entries = |free: Option<&Free>| -> Vec<(String, Json)> {
        free.into_iter().flat_map(|f| &f.0).map(|(k, v)| (k.clone(), as_read(v))).collect()
    };
    entries(a) == entries(b)
}

fn as_read(value: &Json) -> Json {
    match value {
        Json::Object(_) => Json::Array(vec![whole(value)]),
        other => whole(other),
    }
}

fn whole(value: &Json) -> Json {
    match value {
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Json::from(n as i64),
            _ => value.clone(),
        },
        Json::Array(list) => list.iter().map(whole).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), whole(v))).collect()),
        other => other.clone(),
    }
}
