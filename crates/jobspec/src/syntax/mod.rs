//! HCL2's native syntax: text to a tree with a span on every node.
//!
//! Reads: text. Gives: a [`Body`] of what could be read, and every [`SyntaxError`]; after a mistake reading goes on at the
//! next argument or block. Nothing is looked up or computed here. Start at [`parse`]; `parse_expression` reads one
//! expression, as in the value of `-var`.

mod ast;
mod expr;
mod parser;
mod template;

pub use ast::*;

use parser::Parser;

use crate::budget::Budget;
use crate::input::Limits;

/// A mistake of syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub span: Span,
    pub summary: &'static str,
    pub detail: String,
}

/// Reads a whole file.
pub fn parse(text: &str) -> (Body, Vec<SyntaxError>) {
    parse_within(text, &mut Budget::new(Limits::DEFAULT, None))
}

/// Reads a whole file; the tree is paid for.
pub(crate) fn parse_within(text: &str, budget: &mut Budget) -> (Body, Vec<SyntaxError>) {
    let mut parser = Parser::new(text, budget.clone());
    let body = parser.file();
    *budget = parser.budget.clone();
    (body, parser.errors)
}

/// Reads a text that is one expression; newlines count as blanks.
pub(crate) fn parse_expression(text: &str, budget: &mut Budget) -> Result<Expr, SyntaxError> {
    let mut parser = Parser::new(text, budget.clone());
    parser.skip_newlines = true;
    let parsed = parser.expr();
    parser.blanks();
    *budget = parser.budget.clone();
    match parsed {
        Ok(expr) if parser.errors.is_empty() && parser.at_end() => Ok(expr),
        _ => Err(parser.errors.into_iter().next().unwrap_or_else(|| SyntaxError {
            span: Span::new(parser.pos, text.len()),
            summary: "Extra characters after expression",
            detail: "An expression was read, but the text goes on after it.".to_owned(),
        })),
    }
}
