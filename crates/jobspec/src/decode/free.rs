//! Blocks without a schema, as a driver's `config`: nested blocks become lists of maps, labels one level each.
//! Whoever knows the driver's schema takes a list of one map where it wants a map.

use serde_json::{Map, Value as Json};
use tarpan_model::schema::Free;

use super::{Decoder, View};
use crate::eval::Scope;
use crate::number::Number;
use crate::syntax::{Body, Item};
use crate::value::{MapKind, Value};

impl Decoder<'_> {
    pub(super) fn free(&mut self, body: &Body, scope: &Scope<'_>) -> Free {
        Free(self.free_map(body, scope).into_iter().collect())
    }

    fn free_map(&mut self, body: &Body, scope: &Scope<'_>) -> Map<String, Json> {
        self.check_doubles(body);
        let mut map = Map::new();
        for item in &body.items {
            let Item::Attribute(attribute) = item else { continue };
            let value = self.eval.eval(&attribute.expr, scope);
            // JSON shares nothing: here all of it is written out.
            let size = value.size().saturating_add(attribute.name.text.len() as u64);
            if !value.is_wholly_known() || !self.eval.hold(size, attribute.expr.span) {
                continue;
            }
            let json = match value {
                // An object as written in braces counts as a block; a map that a variable's type made does not.
                Value::Map(MapKind::Object, _) => Json::Array(vec![to_json(&value)]),
                other => to_json(&other),
            };
            map.insert(attribute.name.text.clone(), json);
        }
        self.each_block(body, scope, &mut |d, view, scope| {
            /// A list, a map and its first place.
            const BLOCK: u64 = 200;
            let labels = view.labels.iter().map(|l| BLOCK + l.text.len() as u64).sum::<u64>();
            if !d.eval.hold(BLOCK + labels, view.kind.span) {
                return;
            }
            let nested = d.free_block(view, scope);
            match map.entry(view.kind.text.clone()).or_insert_with(|| Json::Array(Vec::new())) {
                Json::Array(list) => list.push(nested),
                other => *other = Json::Array(vec![nested]),
            }
        });
        map
    }

    fn free_block(&mut self, view: &View<'_>, scope: &Scope<'_>) -> Json {
        let inner = Json::Object(self.free_map(view.body, scope));
        view.labels.iter().rev().fold(inner, |inner, label| {
            let mut outer = Map::new();
            outer.insert(label.text.clone(), Json::Array(vec![inner]));
            Json::Object(outer)
        })
    }
}

/// JSON of a known value. Whole numbers stay whole, others become the nearest double.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Number(number) => number_json(number),
        Value::Str(text) => Json::String(text.to_string()),
        Value::Seq(_, items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(_, entries) => Json::Object(entries.iter().map(|(k, v)| (k.clone(), to_json(v))).collect()),
    }
}

fn number_json(number: &Number) -> Json {
    match number.to_i64() {
        Some(whole) => Json::from(whole),
        None => serde_json::Number::from_f64(number.to_f64()).map_or(Json::Null, Json::Number),
    }
}
