//! Conditions and operators.

use super::{Evaluator, Scope};
use crate::number::Number;
use crate::syntax::{BinaryOp, Expr, Span, UnaryOp};
use crate::value::{Value, equal};

impl Evaluator<'_> {
    pub(super) fn test(&mut self, expr: &Expr, what: &str, scope: &Scope<'_>) -> Option<bool> {
        match self.eval(expr, scope) {
            Value::Unknown => None,
            value => value.to_bool().or_else(|| {
                let detail = format!("The condition of a {what} has to be a bool; this is a {}.", value.type_name());
                self.error(expr.span, "Incorrect condition type", detail);
                None
            }),
        }
    }

    pub(super) fn unary(&mut self, op: UnaryOp, operand: &Expr, scope: &Scope<'_>) -> Value {
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

    pub(super) fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, scope: &Scope<'_>) -> Value {
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
}
