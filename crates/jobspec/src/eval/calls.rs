//! Calls of functions; `try` and `convert`, which see expressions and not values.

use super::{Evaluator, Found, Scope};
use crate::functions::{self, Call, ProblemKind};
use crate::syntax::{Expr, Ident, Span};
use crate::value::{Value, convert};

impl Evaluator<'_> {
    pub(super) fn call(&mut self, name: &Ident, args: &[Expr], spread: bool, span: Span, scope: &Scope<'_>) -> Value {
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
