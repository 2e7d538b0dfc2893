//! Texts with `${…}` and `%{…}` in them.

use std::sync::Arc;

use super::{Evaluator, Scope, bind, entries};
use crate::syntax::{Part, Span, Template};
use crate::value::Value;

impl Evaluator<'_> {
    pub(super) fn template(&mut self, template: &Template, span: Span, scope: &Scope<'_>) -> Value {
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
    pub(super) fn text(&mut self, value: &Value, span: Span) -> Option<Option<Arc<str>>> {
        if let Value::Number(number) = value
            && !self.spend(number.text_steps(), span)
        {
            return None;
        }
        Some(value.to_text())
    }
}
