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
use crate::functions::Regexes;
use crate::input::Files;
use crate::syntax::{Expr, ExprKind, Ident, Span};
use crate::value::{SeqKind, Value};

mod calls;
mod collections;
mod operators;
mod steps;
mod templates;

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
