//! Computes expressions: values by the language's rules, a finding with its place for every mistake, no panic,
//! and a bound on the work.
//!
//! Reads: a tree of [`crate::syntax`], the values of `var` and `local`, names bound by `for` and `dynamic`.
//! A name that is none of these is meant for the node: it stays in the text as written, `${attr.cpu.arch}`.
//! After a mistake the value is [`Value::Unknown`], which passes silently through everything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::{Budget, Over, TOO_MUCH_MEMORY};
use crate::diagnostic::Severity;
use crate::functions::{self, Call, ProblemKind, Regexes};
use crate::input::Files;
use crate::number::Number;
use crate::syntax::{
    BinaryOp, Expr, ExprKind, ForExpr, Ident, Key, Part, Span, SplatStep, Step, StepKey, Template, UnaryOp,
};
use crate::value::{MapKind, SeqKind, Value, convert, equal};

/// Expressions nest no deeper than this while they are computed.
const MAX_DEPTH: usize = 400;
/// Lists and maps are no deeper inside one another than this: whoever walks them recurses. Twice what a JSON text may nest.
const MAX_VALUE_DEPTH: u32 = 256;
/// More findings than this help nobody; a mistake in a loop makes one each time.
const MAX_FOUND: usize = 200;
/// A finding may quote a value; more than this of it helps nobody.
const MAX_DETAIL: usize = 4096;

/// A mistake, its place still in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub severity: Severity,
    pub summary: String,
    pub detail: String,
    pub span: Option<Span>,
    /// Another place that matters, and why.
    pub related: Option<(Span, String)>,
}

/// Names bound by `for` expressions and `dynamic` blocks, innermost first.
pub(crate) struct Scope<'s> {
    pub names: Vec<(&'s str, Value)>,
    pub parent: Option<&'s Scope<'s>>,
}

impl Scope<'_> {
    pub const EMPTY: Scope<'static> = Scope { names: Vec::new(), parent: None };

    fn get(&self, name: &str) -> Option<&Value> {
        let own = self.names.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
        own.or_else(|| self.parent.and_then(|p| p.get(name)))
    }
}

/// The value of one `local`, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) enum Local {
    /// Not computed yet; asking for it makes the asker wait.
    Waiting,
    Ready(Value),
}

pub(crate) struct Evaluator<'a> {
    /// The text that spans point into.
    pub text: &'a str,
    pub files: Option<&'a dyn Files>,
    pub budget: Budget,
    /// Where the budget was found to be spent.
    spent_at: Option<Span>,
    regexes: Regexes,
    pub seed: u64,
    pub found: Vec<Found>,
    pub variables: BTreeMap<String, Value>,
    pub locals: BTreeMap<String, Local>,
    /// Whether names other than bound ones may be used at all: not in a default or a value from outside.
    pub allow_names: bool,
    /// A `local` that has to be computed before this expression.
    pub waits_for: Option<String>,
    depth: usize,
}

impl<'a> Evaluator<'a> {
    pub fn new(text: &'a str, files: Option<&'a dyn Files>, budget: Budget, seed: u64) -> Evaluator<'a> {
        Evaluator {
            text,
            files,
            budget,
            spent_at: None,
            regexes: Regexes::default(),
            seed,
            found: Vec::new(),
            variables: BTreeMap::new(),
            locals: BTreeMap::new(),
            allow_names: true,
            waits_for: None,
            depth: 0,
        }
    }

    pub fn error(&mut self, span: Span, summary: impl Into<String>, detail: impl Into<String>) -> Value {
        self.report(Found {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            span: Some(span),
            related: None,
        });
        Value::Unknown
    }

    /// Adds a finding, shortened where it quotes too much. Beyond the first few hundred they are dropped.
    pub fn report(&mut self, mut found: Found) {
        if self.found.len() >= MAX_FOUND {
            return;
        }
        if found.detail.len() > MAX_DETAIL {
            found.detail.truncate(found.detail.floor_char_boundary(MAX_DETAIL));
            found.detail.push('…');
        }
        self.found.push(found);
    }

    /// Takes `steps` of work from the budget. False when there are none left.
    pub fn spend(&mut self, steps: u64, span: Span) -> bool {
        let paid = self.budget.spend(steps);
        self.paid(paid, span)
    }

    /// Takes `bytes` that are about to be made from the budget. False when there are none left.
    pub fn hold(&mut self, bytes: u64, span: Span) -> bool {
        let paid = self.budget.hold(bytes);
        self.paid(paid, span)
    }

    fn paid(&mut self, paid: Result<(), Over>, span: Span) -> bool {
        if paid.is_err() {
            self.spent_at.get_or_insert(span);
        }
        paid.is_ok()
    }

    /// Says that the budget was spent, once and last, whatever has become of other findings.
    pub fn report_bound(&mut self) {
        let Some(over) = self.budget.over() else { return };
        let (summary, detail) = self.budget.sentence(over);
        let summary = summary.to_owned();
        self.found.push(Found { severity: Severity::Error, summary, detail, span: self.spent_at, related: None });
    }

    pub fn eval(&mut self, expr: &Expr, scope: &Scope<'_>) -> Value {
        if self.depth >= MAX_DEPTH {
            return self.error(expr.span, "Too deeply nested", "This expression nests too deeply to be computed.");
        }
        if !self.spend(1, expr.span) {
            return Value::Unknown;
        }
        self.depth += 1;
        let value = self.eval_kind(expr, scope);
        self.depth -= 1;
        match expr.kind {
            // Passed on as it was paid for.
            ExprKind::Paren(_) | ExprKind::Conditional { .. } | ExprKind::Index { .. } | ExprKind::Relative { .. } => {
                value
            }
            _ => self.admit(value, expr),
        }
    }

    /// Pays for a value that has just been made, and refuses one that stands for more than any text may make.
    fn admit(&mut self, value: Value, expr: &Expr) -> Value {
        let measure = match &value {
            Value::Str(text) => {
                let paid = Arc::strong_count(text) > 1 || self.hold(value.own(), expr.span);
                return if paid { value } else { Value::Unknown };
            }
            Value::Seq(_, items) => items.measure(),
            Value::Map(_, entries) => entries.measure(),
            _ => return value,
        };
        if value.is_fresh() && !self.hold(measure.own, expr.span) {
            return Value::Unknown;
        }
        let most = self.budget.limits().bytes;
        if measure.size > most {
            let most = most >> 20;
            let detail =
                format!("This value would take more than {most} MiB when written out, the most that one may take.");
            return self.error(expr.span, TOO_MUCH_MEMORY, detail);
        }
        if measure.depth > MAX_VALUE_DEPTH {
            let detail = format!("Lists and maps may be {MAX_VALUE_DEPTH} levels deep inside one another.");
            return self.error(expr.span, "Too deeply nested", detail);
        }
        value
    }

    fn eval_kind(&mut self, expr: &Expr, scope: &Scope<'_>) -> Value {
        match &expr.kind {
            ExprKind::Null => Value::Null,
            ExprKind::Bool(b) => Value::Bool(*b),
            ExprKind::Number(n) => Value::Number(n.clone()),
            ExprKind::Template(template) => self.template(template, expr.span, scope),
            ExprKind::Traversal { root, steps } => self.traversal(root, steps, expr.span, scope),
            ExprKind::Call { name, args, spread } => self.call(name, args, *spread, expr.span, scope),
            ExprKind::Unary { op, operand } => self.unary(*op, operand, scope),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, expr.span, scope),
            ExprKind::Conditional { test, then, otherwise } => match self.test(test, "conditional", scope) {
                Some(true) => self.eval(then, scope),
                Some(false) => self.eval(otherwise, scope),
                None => Value::Unknown,
            },
            ExprKind::Tuple(items) => Value::tuple(items.iter().map(|item| self.eval(item, scope)).collect()),
            ExprKind::Object(items) => self.object(items, scope),
            ExprKind::For(parts) => self.for_expr(parts, expr.span, scope),
            ExprKind::Relative { source, step } => {
                let value = self.eval(source, scope);
                self.step(value, step)
            }
            ExprKind::Index { source, key } => {
                let value = self.eval(source, scope);
                let at = self.eval(key, scope);
                self.index(value, &at, key.span)
            }
            ExprKind::Splat { source, each } => self.splat(source, each, scope),
            ExprKind::Paren(inner) => self.eval(inner, scope),
        }
    }

    // Names and steps

    fn traversal(&mut self, root: &Ident, steps: &[Step], span: Span, scope: &Scope<'_>) -> Value {
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

    fn step(&mut self, value: Value, step: &Step) -> Value {
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

    fn index(&mut self, value: Value, key: &Value, span: Span) -> Value {
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

    fn splat(&mut self, source: &Expr, each: &[SplatStep], scope: &Scope<'_>) -> Value {
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

    // Operators

    fn test(&mut self, expr: &Expr, what: &str, scope: &Scope<'_>) -> Option<bool> {
        match self.eval(expr, scope) {
            Value::Unknown => None,
            value => value.to_bool().or_else(|| {
                let detail = format!("The condition of a {what} has to be a bool; this is a {}.", value.type_name());
                self.error(expr.span, "Incorrect condition type", detail);
                None
            }),
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr, scope: &Scope<'_>) -> Value {
        let value = self.eval(operand, scope);
        if !value.is_known() {
            return Value::Unknown;
        }
        let result = match op {
            UnaryOp::Negate => value.to_number().map(|n| Value::Number(n.negate())),
            UnaryOp::Not => value.to_bool().map(|b| Value::Bool(!b)),
        };
        result.unwrap_or_else(|| {
            let needed = if op == UnaryOp::Not { "a bool" } else { "a number" };
            let detail = format!("Unsuitable value for unary operand: {needed} is required.");
            self.error(operand.span, "Invalid operand", detail)
        })
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, scope: &Scope<'_>) -> Value {
        let (a, b) = (self.eval(left, scope), self.eval(right, scope));
        if !a.is_wholly_known() || !b.is_wholly_known() {
            return Value::Unknown;
        }
        // Comparing walks what both have; numbers in text are read.
        if !self.spend(a.size().min(b.size()) / 32, span) {
            return Value::Unknown;
        }
        match op {
            BinaryOp::Equal => Value::Bool(equal(&a, &b)),
            BinaryOp::NotEqual => Value::Bool(!equal(&a, &b)),
            BinaryOp::And | BinaryOp::Or => {
                let (Some(a), Some(b)) =
                    (self.operand(left, a.to_bool(), "a bool"), self.operand(right, b.to_bool(), "a bool"))
                else {
                    return Value::Unknown;
                };
                Value::Bool(if op == BinaryOp::And { a && b } else { a || b })
            }
            _ => {
                let a = self.operand(left, a.to_number(), "a number");
                let b = self.operand(right, b.to_number(), "a number");
                match (a, b) {
                    (Some(a), Some(b)) => self.arithmetic(op, &a, &b, right, span),
                    _ => Value::Unknown,
                }
            }
        }
    }

    fn operand<T>(&mut self, expr: &Expr, value: Option<T>, needed: &str) -> Option<T> {
        if value.is_none() {
            let detail = format!("Unsuitable value for operand: {needed} is required.");
            self.error(expr.span, "Invalid operand", detail);
        }
        value
    }

    fn arithmetic(&mut self, op: BinaryOp, a: &Number, b: &Number, right: &Expr, span: Span) -> Value {
        if matches!(op, BinaryOp::Divide | BinaryOp::Modulo) && b.is_zero() {
            return self.error(right.span, "Division by zero", "Cannot divide by zero.");
        }
        let number = match op {
            BinaryOp::Add => a.add(b),
            BinaryOp::Subtract => a.subtract(b),
            BinaryOp::Multiply => a.multiply(b),
            BinaryOp::Divide => a.divide(b),
            BinaryOp::Modulo => a.modulo(b),
            BinaryOp::Less => return Value::Bool(a < b),
            BinaryOp::LessEqual => return Value::Bool(a <= b),
            BinaryOp::Greater => return Value::Bool(a > b),
            BinaryOp::GreaterEqual => return Value::Bool(a >= b),
            BinaryOp::Or | BinaryOp::And | BinaryOp::Equal | BinaryOp::NotEqual => unreachable!("not arithmetic"),
        };
        match number {
            Some(number) => Value::Number(number),
            None => self.error(span, "Operation failed", "The result is too large or too small a number."),
        }
    }

    // Collections

    fn object(&mut self, items: &[(Key, Expr)], scope: &Scope<'_>) -> Value {
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

    fn for_expr(&mut self, parts: &ForExpr, span: Span, scope: &Scope<'_>) -> Value {
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

    // Templates

    fn template(&mut self, template: &Template, span: Span, scope: &Scope<'_>) -> Value {
        match template.parts.as_slice() {
            [] => Value::str(""),
            [Part::Literal(text)] => Value::str(text.as_str()),
            [Part::Hole(expr)] => self.eval(expr, scope),
            parts => {
                let mut text = String::new();
                if self.parts(parts, span, scope, &mut text) { Value::str(text) } else { Value::Unknown }
            }
        }
    }

    /// Appends parts to `text`; false after a mistake.
    fn parts(&mut self, parts: &[Part], span: Span, scope: &Scope<'_>, text: &mut String) -> bool {
        let mut known = true;
        for part in parts {
            known &= self.part(part, span, scope, text);
        }
        known
    }

    fn part(&mut self, part: &Part, span: Span, scope: &Scope<'_>, text: &mut String) -> bool {
        match part {
            Part::Literal(literal) => {
                // The text grows by doubling and is copied when it is done; the value pays once more.
                if !self.hold(literal.len() as u64, span) {
                    return false;
                }
                text.push_str(literal);
                true
            }
            Part::Hole(expr) => match self.eval(expr, scope) {
                Value::Unknown => false,
                Value::Null => {
                    let detail = "The expression result is null. Cannot include a null value in a string template.";
                    self.error(expr.span, "Invalid template interpolation value", detail);
                    false
                }
                value => match self.text(&value, expr.span) {
                    None => false,
                    Some(Some(shown)) => {
                        if !self.hold(shown.len() as u64, span) {
                            return false;
                        }
                        text.push_str(&shown);
                        true
                    }
                    Some(None) => {
                        let detail = format!(
                            "Cannot include the given value in a string template: string required, not {}.",
                            value.type_name()
                        );
                        self.error(expr.span, "Invalid template interpolation value", detail);
                        false
                    }
                },
            },
            Part::If { test, then, otherwise } => match self.test(test, "template's if", scope) {
                Some(true) => self.parts(then, span, scope, text),
                Some(false) => self.parts(otherwise, span, scope, text),
                None => false,
            },
            Part::For { key_name, value_name, source, body } => {
                let Some(collection) = self.collection(source, "a 'for' directive", scope) else {
                    return false;
                };
                let mut known = true;
                for (key, value) in entries(&collection) {
                    if !self.spend(1, source.span) {
                        return false;
                    }
                    let inner = bind(key_name.as_ref(), value_name, key, value, scope);
                    known &= self.parts(body, span, &inner, text);
                }
                known
            }
        }
    }

    /// Text of a string, number or bool; the outer `None` after the budget was spent.
    fn text(&mut self, value: &Value, span: Span) -> Option<Option<Arc<str>>> {
        if let Value::Number(number) = value
            && !self.spend(number.text_steps(), span)
        {
            return None;
        }
        Some(value.to_text())
    }

    // Calls

    fn call(&mut self, name: &Ident, args: &[Expr], spread: bool, span: Span, scope: &Scope<'_>) -> Value {
        match name.text.as_str() {
            "try" => return self.try_call(args, name.span, scope),
            "can" => {
                let [arg] = args else {
                    return self.error(
                        name.span,
                        "Wrong number of function arguments",
                        "Function \"can\" expects 1 argument.",
                    );
                };
                return match self.quietly(arg, scope) {
                    Ok(_) => Value::Bool(true),
                    Err(_) if self.waits_for.is_some() || self.budget.over().is_some() => Value::Unknown,
                    Err(_) => Value::Bool(false),
                };
            }
            "convert" => return self.convert_call(args, name.span, scope),
            _ => {}
        }
        let Some(function) = functions::find(&name.text) else {
            let hint = functions::suggestion(&name.text, functions::names());
            let detail = format!("There is no function named {:?}.{hint}", name.text);
            return self.error(name.span, "Call to unknown function", detail);
        };
        let Some((values, spans)) = self.arguments(args, spread, scope) else {
            return Value::Unknown;
        };
        let cost = values.iter().map(|v| 1 + v.own() / 32).sum();
        if !self.spend(cost, span) || !values.iter().all(Value::is_wholly_known) {
            return Value::Unknown;
        }
        let mut context =
            Call { files: self.files, seed: &mut self.seed, budget: &mut self.budget, regexes: &mut self.regexes };
        match function.call(&values, &mut context) {
            Ok(value) => value,
            Err(problem) if problem.kind == ProblemKind::Over => {
                self.spent_at.get_or_insert(span);
                Value::Unknown
            }
            Err(problem) => {
                let at = problem.argument.and_then(|i| spans.get(i).copied()).unwrap_or(name.span);
                let (summary, detail) = problem.sentence(function);
                self.error(at, summary, detail)
            }
        }
    }

    fn arguments(&mut self, args: &[Expr], spread: bool, scope: &Scope<'_>) -> Option<(Vec<Value>, Vec<Span>)> {
        let mut values = Vec::with_capacity(args.len());
        let mut spans = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            let value = self.eval(arg, scope);
            if !(spread && index + 1 == args.len()) {
                values.push(value);
                spans.push(arg.span);
                continue;
            }
            match value {
                Value::Seq(_, items) if !self.hold(60 * items.len() as u64, arg.span) => return None,
                Value::Seq(_, items) => {
                    spans.extend(items.iter().map(|_| arg.span));
                    values.extend(items.iter().cloned());
                }
                Value::Unknown => return None,
                _ => {
                    self.error(arg.span, "Invalid expanding argument value", "Only a list can be spread with \"...\".");
                    return None;
                }
            }
        }
        Some((values, spans))
    }

    /// The value of `expr`, or its mistakes, which are not reported.
    fn quietly(&mut self, expr: &Expr, scope: &Scope<'_>) -> Result<Value, Vec<Found>> {
        let outer = std::mem::take(&mut self.found);
        let value = self.eval(expr, scope);
        let inner = std::mem::replace(&mut self.found, outer);
        if inner.is_empty() && value.is_wholly_known() { Ok(value) } else { Err(inner) }
    }

    fn try_call(&mut self, args: &[Expr], span: Span, scope: &Scope<'_>) -> Value {
        let mut reasons = Vec::new();
        for arg in args {
            match self.quietly(arg, scope) {
                Ok(value) => return value,
                Err(_) if self.waits_for.is_some() || self.budget.over().is_some() => return Value::Unknown,
                Err(found) => reasons.extend(found.into_iter().map(|f| f.detail)),
            }
        }
        if args.is_empty() {
            return self.error(span, "Not enough function arguments", "Function \"try\" expects at least 1 argument.");
        }
        let detail = format!("Call to function \"try\" failed: no expression succeeded: {}", reasons.join(" "));
        self.error(span, "Error in function call", detail)
    }

    fn convert_call(&mut self, args: &[Expr], span: Span, scope: &Scope<'_>) -> Value {
        let [arg, wanted] = args else {
            return self.error(
                span,
                "Wrong number of function arguments",
                "Function \"convert\" expects a value and a type.",
            );
        };
        let value = self.eval(arg, scope);
        if !self.hold(value.size(), arg.span) {
            return Value::Unknown;
        }
        match crate::types::read(wanted) {
            Ok(wanted) => match convert(&value, &wanted) {
                Ok(value) => value,
                Err(reason) => {
                    let detail = format!("Invalid value for \"value\" parameter: {reason}.");
                    self.error(arg.span, "Invalid function argument", detail)
                }
            },
            Err((at, detail)) => self.error(at, "Invalid type specification", detail),
        }
    }
}

/// Keys and values of a collection; for a set the values twice.
pub(crate) fn entries(collection: &Value) -> Box<dyn Iterator<Item = (Value, Value)> + '_> {
    match collection {
        Value::Seq(SeqKind::Set, items) => Box::new(items.iter().map(|v| (v.clone(), v.clone()))),
        Value::Seq(_, items) => Box::new(items.iter().enumerate().map(|(i, v)| (Value::int(i as i64), v.clone()))),
        Value::Map(_, entries) => Box::new(entries.iter().map(|(k, v)| (Value::str(k.as_str()), v.clone()))),
        _ => Box::new(std::iter::empty()),
    }
}

fn step_name(step: &Step) -> Option<&str> {
    match &step.key {
        StepKey::Attr(name) | StepKey::Name(name) => Some(name),
        StepKey::Number(_) => None,
    }
}

fn bind<'s>(
    key_name: Option<&'s Ident>,
    value_name: &'s Ident,
    key: Value,
    value: Value,
    parent: &'s Scope<'s>,
) -> Scope<'s> {
    let mut names = vec![(value_name.text.as_str(), value)];
    if let Some(key_name) = key_name {
        names.push((key_name.text.as_str(), key));
    }
    Scope { names, parent: Some(parent) }
}
