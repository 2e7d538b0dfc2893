//! Values to fields: the conversions of the language, a sentence where there is none.

use std::collections::BTreeMap;

use tarpan_model::Dur;
use tarpan_model::schema::{ListMap, SlotMut, TextMap};

use super::{Decoder, View};
use crate::eval::Scope;
use crate::syntax::{Item, Span};
use crate::value::{Type, Value, convert};

impl Decoder<'_> {
    /// Puts a value in its place. `null` leaves the place as it is; so does a mistake.
    pub(super) fn store(&mut self, slot: SlotMut<'_>, value: Value, span: Span) {
        if value == Value::Null && !matches!(slot, SlotMut::Duration(_)) || !value.is_wholly_known() {
            return;
        }
        if !self.eval.hold(value.size(), span) {
            return;
        }
        let result = match slot {
            SlotMut::Str(place) => text(&value).map(|v| *place = Some(v)),
            SlotMut::Int(place) => whole(&value).map(|v| *place = Some(v)),
            SlotMut::Uint(place) => whole(&value)
                .and_then(|v| u64::try_from(v).map_err(|_| "a number of 0 or more is required".to_owned()))
                .map(|v| *place = Some(v)),
            SlotMut::Bool(place) => {
                value.to_bool().ok_or_else(|| "a bool is required".to_owned()).map(|v| *place = Some(v))
            }
            SlotMut::Duration(place) => {
                return match duration(&value) {
                    Ok(v) => *place = Some(v),
                    Err(reason) => {
                        self.eval.error(span, "Unsuitable value type", format!("Unsuitable duration value: {reason}"));
                    }
                };
            }
            SlotMut::Strs(place) => list(&value, text).map(|v| *place = Some(v)),
            SlotMut::Ints(place) => list(&value, whole).map(|v| *place = Some(v)),
            SlotMut::Map(place) => map(&value, text).map(|v| *place = Some(v)),
            SlotMut::Lists(place) => map(&value, one_or_many).map(|v| *place = Some(v)),
            SlotMut::Free(_) | SlotMut::Block(_) | SlotMut::Blocks(_) | SlotMut::Named(_) => Ok(()),
        };
        if let Err(reason) = result {
            self.eval.error(span, "Unsuitable value type", format!("Unsuitable value: {reason}"));
        }
    }

    /// A block whose arguments are the entries of a map of texts.
    pub(super) fn text_map(&mut self, view: &View<'_>, scope: &Scope<'_>, path: &str) -> Option<TextMap> {
        self.map_block(view, scope, path, text)
    }

    pub(super) fn list_map(&mut self, view: &View<'_>, scope: &Scope<'_>, path: &str) -> Option<ListMap> {
        self.map_block(view, scope, path, one_or_many)
    }

    fn map_block<T>(
        &mut self,
        view: &View<'_>,
        scope: &Scope<'_>,
        path: &str,
        read: fn(&Value) -> Result<T, String>,
    ) -> Option<BTreeMap<String, T>> {
        self.check_doubles(view.body);
        let mut entries = BTreeMap::new();
        for item in &view.body.items {
            let attribute = match item {
                Item::Attribute(attribute) => attribute,
                Item::Block(block) => {
                    let detail = format!("Blocks are not allowed in {:?}: it holds names and values.", view.kind.text);
                    self.eval.error(block.kind.span, "Unexpected block", detail);
                    continue;
                }
            };
            let value = self.eval.eval(&attribute.expr, scope);
            self.at(format!("{path}{}", attribute.name.text), attribute.expr.span);
            if !value.is_wholly_known() || !self.eval.hold(value.size(), attribute.expr.span) {
                continue;
            }
            match read(&value) {
                Ok(value) => {
                    entries.insert(attribute.name.text.clone(), value);
                }
                Err(reason) => {
                    self.eval.error(
                        attribute.expr.span,
                        "Unsuitable value type",
                        format!("Unsuitable value: {reason}"),
                    );
                }
            }
        }
        Some(entries)
    }
}

fn text(value: &Value) -> Result<String, String> {
    match convert(value, &Type::Str)? {
        Value::Str(text) => Ok(text.to_string()),
        _ => Err("string required, not null".to_owned()),
    }
}

fn whole(value: &Value) -> Result<i64, String> {
    let number = value.to_number().ok_or("a number is required")?;
    match number.to_i64() {
        Some(whole) => Ok(whole),
        None if number.is_whole() => Err("a smaller number is required".to_owned()),
        None => Err("a whole number is required".to_owned()),
    }
}

fn duration(value: &Value) -> Result<Dur, String> {
    match value {
        Value::Str(text) => text.parse().map_err(|e: tarpan_model::duration::ParseDurError| e.to_string()),
        Value::Number(_) => whole(value).map(Dur),
        Value::Null => Err("a text such as \"30s\" or a number of nanoseconds is required, not null".to_owned()),
        _ => Err("a text such as \"30s\" or a number of nanoseconds is required".to_owned()),
    }
}

fn list<T>(value: &Value, read: fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::Seq(_, items) = value else {
        return Err("a list is required".to_owned());
    };
    items.iter().enumerate().map(|(i, item)| read(item).map_err(|e| format!("element {i}: {e}"))).collect()
}

fn one_or_many(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Seq(..) => list(value, text),
        single => text(single).map(|t| vec![t]),
    }
}

fn map<T>(value: &Value, read: fn(&Value) -> Result<T, String>) -> Result<BTreeMap<String, T>, String> {
    let Value::Map(_, entries) = value else {
        return Err("a map is required".to_owned());
    };
    let entry = |(key, value): (&String, &Value)| match read(value) {
        Ok(value) => Ok((key.clone(), value)),
        Err(reason) => Err(format!("element {key:?}: {reason}")),
    };
    entries.iter().map(entry).collect()
}
