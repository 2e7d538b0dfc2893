//! Objects, their keys, and `for`.

use std::collections::BTreeMap;

use super::{Evaluator, Scope, bind, entries};
use crate::syntax::{Expr, ForExpr, Key, Span};
use crate::value::Value;

impl Evaluator<'_> {
    pub(super) fn object(&mut self, items: &[(Key, Expr)], scope: &Scope<'_>) -> Value {
        let mut entries = BTreeMap::new();
        let mut known = true;
        for (key, expr) in items {
            let name = self.key(key, scope);
            let value = self.eval(expr, scope);
            match name {
                Some(name) => {
                    entries.insert(name, value);
                }
                None => known = false,
            }
        }
        if known { Value::object(entries) } else { Value::Unknown }
    }

    /// The text of an object's key; `None` after a mistake.
    pub fn key(&mut self, key: &Key, scope: &Scope<'_>) -> Option<String> {
        match key {
            Key::Name(name) => Some(name.text.clone()),
            Key::Expr(expr) => self.key_text(expr, scope),
        }
    }

    fn key_text(&mut self, expr: &Expr, scope: &Scope<'_>) -> Option<String> {
        match self.eval(expr, scope) {
            Value::Unknown => None,
            Value::Null => {
                self.error(expr.span, "Null value as key", "Can't use a null value as a key.");
                None
            }
            value => match self.text(&value, expr.span)? {
                Some(text) => Some(text.to_string()),
                None => {
                    self.error(expr.span, "Incorrect key type", "Can't use this value as a key: string required.");
                    None
                }
            },
        }
    }

    /// A value that has [`entries`].
    pub fn collection(&mut self, source: &Expr, what: &str, scope: &Scope<'_>) -> Option<Value> {
        match self.eval(source, scope) {
            Value::Unknown => None,
            value @ (Value::Seq(..) | Value::Map(..)) => Some(value),
            Value::Null => {
                let detail = format!("A null value cannot be used as the collection in {what}.");
                self.error(source.span, "Iteration over null value", detail);
                None
            }
            other => {
                let detail =
                    format!("A value of type {} cannot be used as the collection in {what}.", other.type_name());
                self.error(source.span, "Iteration over non-iterable value", detail);
                None
            }
        }
    }

    pub(super) fn for_expr(&mut self, parts: &ForExpr, span: Span, scope: &Scope<'_>) -> Value {
        let Some(source) = self.collection(&parts.source, "a 'for' expression", scope) else {
            return Value::Unknown;
        };
        let mut list = Vec::new();
        let mut map: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, value) in entries(&source) {
            if !self.spend(1, span) {
                return Value::Unknown;
            }
            let inner = bind(parts.key_name.as_ref(), &parts.value_name, key, value, scope);
            if let Some(test) = &parts.test {
                match self.test(test, "'for' expression", &inner) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => return Value::Unknown,
                }
            }
            let name = match &parts.key {
                Some(key) => match self.key_text(key, &inner) {
                    Some(name) => Some((name, key.span)),
                    None => return Value::Unknown,
                },
                None => None,
            };
            let result = self.eval(&parts.value, &inner);
            if !self.hold(size_of::<Value>() as u64, span) {
                return Value::Unknown;
            }
            match name {
                None => list.push(result),
                Some((name, span)) => {
                    let values = map.entry(name).or_default();
                    values.push(result);
                    if values.len() > 1 && !parts.group {
                        let detail = "Two items of this 'for' expression have the same key. Write ... after the value to gather them in lists.";
                        return self.error(span, "Duplicate object key", detail);
                    }
                }
            }
        }
        match &parts.key {
            None => Value::tuple(list),
            Some(_) if parts.group => Value::object(map.into_iter().map(|(k, v)| (k, Value::tuple(v))).collect()),
            Some(_) => Value::object(map.into_iter().filter_map(|(k, mut v)| Some((k, v.pop()?))).collect()),
        }
    }
}
