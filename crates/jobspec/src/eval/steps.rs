//! Names, and the steps behind them: attributes, indexes, splats.

use std::collections::BTreeMap;

use super::{Evaluator, Local, Scope};
use crate::functions;
use crate::syntax::{Expr, Ident, Span, SplatStep, Step, StepKey};
use crate::value::{MapKind, SeqKind, Value};

impl Evaluator<'_> {
    pub(super) fn traversal(&mut self, root: &Ident, steps: &[Step], span: Span, scope: &Scope<'_>) -> Value {
        if let Some(value) = scope.get(&root.text) {
            return self.steps(value.clone(), steps);
        }
        if !self.allow_names {
            return self.error(
                span,
                "Variables not allowed",
                "Variables may not be used here. Text has to stand in quotes.",
            );
        }
        match (root.text.as_str(), steps.split_first()) {
            ("var", None) => {
                let entries: u64 = self.variables.iter().map(|(k, v)| 100 + k.len() as u64 + v.own() / 8).sum();
                if self.hold(entries, span) { Value::object(self.variables.clone()) } else { Value::Unknown }
            }
            ("var", Some((first, rest))) => match step_name(first).and_then(|n| self.variables.get(n)) {
                Some(value) => self.steps(value.clone(), rest),
                None => {
                    if !self.spend(self.variables.len() as u64, span) {
                        return Value::Unknown;
                    }
                    self.no_name(first, "variable", self.variables.keys().cloned().collect())
                }
            },
            ("local", Some((first, rest))) => match step_name(first).and_then(|n| self.locals.get(n)) {
                Some(Local::Ready(value)) => self.steps(value.clone(), rest),
                Some(Local::Waiting) => {
                    self.waits_for = step_name(first).map(str::to_owned);
                    Value::Unknown
                }
                None => {
                    if !self.spend(self.locals.len() as u64, span) {
                        return Value::Unknown;
                    }
                    self.no_name(first, "local value", self.locals.keys().cloned().collect())
                }
            },
            ("local", None) if !self.hold(100 * self.locals.len() as u64, span) => Value::Unknown,
            ("local", None) => self.all_locals(),
            _ => Value::str(format!("${{{}}}", &self.text[span.range()])),
        }
    }

    fn all_locals(&mut self) -> Value {
        let mut all = BTreeMap::new();
        for (name, local) in &self.locals {
            match local {
                Local::Ready(value) => all.insert(name.clone(), value.clone()),
                Local::Waiting => {
                    self.waits_for = Some(name.clone());
                    return Value::Unknown;
                }
            };
        }
        Value::object(all)
    }

    fn no_name(&mut self, step: &Step, what: &str, known: Vec<String>) -> Value {
        let name = step_name(step).unwrap_or_default();
        let hint = functions::suggestion(name, known.iter().map(String::as_str));
        self.error(
            step.span,
            "Unsupported attribute",
            format!("This object does not have an attribute named {name:?}: no {what} of that name is declared.{hint}"),
        )
    }

    pub fn steps(&mut self, mut value: Value, steps: &[Step]) -> Value {
        for step in steps {
            value = self.step(value, step);
        }
        value
    }

    pub(super) fn step(&mut self, value: Value, step: &Step) -> Value {
        let name = match &step.key {
            StepKey::Number(number) => return self.index(value, &Value::Number(number.clone()), step.span),
            StepKey::Name(name) if !matches!(value, Value::Map(MapKind::Object, _)) => {
                return self.index(value, &Value::str(name.as_str()), step.span);
            }
            StepKey::Name(name) | StepKey::Attr(name) => name,
        };
        match &value {
            Value::Unknown => Value::Unknown,
            Value::Null => {
                let detail = "This value is null, so it does not have any attributes.";
                self.error(step.span, "Attempt to get attribute from null value", detail)
            }
            Value::Map(kind, entries) => match entries.get(name) {
                Some(value) => value.clone(),
                None if !self.spend(entries.len() as u64, step.span) => Value::Unknown,
                None => {
                    let hint = functions::suggestion(name, entries.keys().map(String::as_str));
                    let (summary, what) = match kind {
                        MapKind::Object => ("Unsupported attribute", "object does not have an attribute"),
                        MapKind::Map => ("Missing map element", "map does not have an element"),
                    };
                    self.error(step.span, summary, format!("This {what} named {name:?}.{hint}"))
                }
            },
            Value::Seq(kind, _) => {
                let list = if *kind == SeqKind::Set { "set" } else { "list" };
                let detail = format!(
                    "A {list} has no attribute {name:?}. Did you mean the attribute of each of its elements? Then write [*].{name}."
                );
                self.error(step.span, "Unsupported attribute", detail)
            }
            other => {
                let detail = format!("Can't access attributes on a primitive-typed value ({}).", other.type_name());
                self.error(step.span, "Unsupported attribute", detail)
            }
        }
    }

    pub(super) fn index(&mut self, value: Value, key: &Value, span: Span) -> Value {
        match (&value, key) {
            (Value::Unknown, _) | (_, Value::Unknown) => Value::Unknown,
            (Value::Null, _) => {
                self.error(span, "Attempt to index null value", "This value is null, so it does not have any indices.")
            }
            (Value::Seq(SeqKind::Set, _), _) => {
                let detail = "Elements of a set have no index. Make it a list first, as with sort().";
                self.error(span, "Invalid index", detail)
            }
            (Value::Seq(_, items), _) => {
                let found = key
                    .to_number()
                    .and_then(|n| n.to_i64())
                    .and_then(|i| usize::try_from(i).ok())
                    .and_then(|i| items.get(i));
                match found {
                    Some(item) => item.clone(),
                    None if key.to_number().is_none() => {
                        self.error(span, "Invalid index", "The index of a list has to be a whole number.")
                    }
                    None => {
                        let detail = format!(
                            "The given key does not identify an element in this collection value: it has {} elements, counted from 0.",
                            items.len()
                        );
                        self.error(span, "Invalid index", detail)
                    }
                }
            }
            (Value::Map(_, entries), _) => match key.to_text() {
                Some(name) => match entries.get(&*name) {
                    Some(item) => item.clone(),
                    None if !self.spend(entries.len() as u64, span) => Value::Unknown,
                    None => {
                        let hint = functions::suggestion(&name, entries.keys().map(String::as_str));
                        let detail = format!(
                            "The given key does not identify an element in this collection value: {name:?} is not among its keys.{hint}"
                        );
                        self.error(span, "Invalid index", detail)
                    }
                },
                None => self.error(span, "Invalid index", "The key of a map has to be text."),
            },
            (other, _) => {
                let detail = format!("A {} has no elements.", other.type_name());
                self.error(span, "Invalid index", detail)
            }
        }
    }

    pub(super) fn splat(&mut self, source: &Expr, each: &[SplatStep], scope: &Scope<'_>) -> Value {
        let items = match self.eval(source, scope) {
            Value::Unknown => return Value::Unknown,
            Value::Null => return Value::tuple(Vec::new()),
            Value::Seq(_, items) => items,
            single => vec![single].into(),
        };
        let mut results = Vec::new();
        for value in items.iter() {
            let mut value = value.clone();
            if !self.spend(1 + each.len() as u64, source.span) {
                return Value::Unknown;
            }
            for step in each {
                value = match step {
                    SplatStep::Static(step) => self.step(value, step),
                    SplatStep::Index(key) => {
                        let at = self.eval(key, scope);
                        self.index(value, &at, key.span)
                    }
                };
            }
            results.push(value);
        }
        Value::tuple(results)
    }
}

fn step_name(step: &Step) -> Option<&str> {
    match &step.key {
        StepKey::Attr(name) | StepKey::Name(name) => Some(name),
        StepKey::Number(_) => None,
    }
}
