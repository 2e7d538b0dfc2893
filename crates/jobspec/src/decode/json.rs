//! HCL in its JSON form: an object becomes the same body that the native syntax gives.
//!
//! Which members are arguments and which are blocks only the schema knows, so the conversion walks it too.

use tarpan_model::schema::{Kind, Schema};

use super::key_name;
use crate::syntax::{Attribute, Block, Body, Expr, ExprKind, Ident, Item, Key, SyntaxError};

/// What the members of an object may be.
#[derive(Clone, Copy)]
enum Shape {
    /// The whole file.
    File,
    Variable,
    Block(&'static Schema),
    /// Arguments only.
    Free,
}

/// The body of a file that is one JSON object. Mistakes of shape go to `errors`.
pub(crate) fn file(expr: &Expr, errors: &mut Vec<SyntaxError>) -> Body {
    body(expr, Shape::File, errors)
}

fn body(expr: &Expr, shape: Shape, errors: &mut Vec<SyntaxError>) -> Body {
    let mut items = Vec::new();
    let ExprKind::Object(members) = &expr.kind else {
        errors.push(SyntaxError {
            span: expr.span,
            summary: "Incorrect JSON value type",
            detail: "A JSON object is required here.".to_owned(),
        });
        return Body { items, span: expr.span, unclosed: false };
    };
    for (key, value) in members {
        let Some(name) = key_name(key).filter(|n| n != "//") else { continue };
        let kind = Ident { text: name, span: key.span() };
        match block_shape(shape, &kind.text) {
            Some((labels, inner)) => blocks(&kind, Vec::new(), labels, value, inner, &mut items, errors),
            None => items.push(Item::Attribute(Attribute { name: kind, expr: value.clone() })),
        }
    }
    Body { items, span: expr.span, unclosed: false }
}

/// How many labels a block of this name has here and what it holds; `None` for an argument.
fn block_shape(shape: Shape, name: &str) -> Option<(usize, Shape)> {
    use tarpan_model::job;
    use tarpan_model::schema::StaticBlock;
    match (shape, name) {
        (Shape::File, "job") => Some((1, Shape::Block(job::Job::SCHEMA))),
        (Shape::File, "variable") => Some((1, Shape::Variable)),
        (Shape::File, "variables" | "locals") => Some((0, Shape::Free)),
        (Shape::Variable, "validation") => Some((0, Shape::Free)),
        (Shape::File | Shape::Variable | Shape::Free, _) => None,
        (Shape::Block(schema), _) => match (schema.name, name) {
            ("Job", "task") => Some((1, Shape::Block(job::Task::SCHEMA))),
            ("Job" | "TaskGroup", "vault") => Some((0, Shape::Block(job::Vault::SCHEMA))),
            ("Job" | "TaskGroup", "secret") => Some((1, Shape::Block(job::Secret::SCHEMA))),
            ("Task", "scaling") => Some((1, Shape::Block(job::ScalingPolicy::SCHEMA))),
            _ => {
                let (_, field) = schema.by_hcl(name)?;
                match (field.kind, field.child) {
                    (Kind::Free, _) => Some((0, Shape::Free)),
                    (_, Some(child)) => Some((usize::from(child.label().is_some()), Shape::Block(child))),
                    _ => None,
                }
            }
        },
    }
}

/// A block for each value: lists repeat, one level of objects is a label.
fn blocks(
    kind: &Ident,
    labels: Vec<Ident>,
    missing: usize,
    value: &Expr,
    shape: Shape,
    items: &mut Vec<Item>,
    errors: &mut Vec<SyntaxError>,
) {
    match &value.kind {
        ExprKind::Null => {}
        ExprKind::Tuple(list) => {
            for one in list {
                blocks(kind, labels.clone(), missing, one, shape, items, errors);
            }
        }
        ExprKind::Object(members) if missing > 0 => {
            for (key, inner) in members {
                let Some(text) = label(key) else { continue };
                let mut labels = labels.clone();
                labels.push(Ident { text, span: key.span() });
                blocks(kind, labels, missing - 1, inner, shape, items, errors);
            }
        }
        _ => {
            let body = body(value, shape, errors);
            items.push(Item::Block(Block { kind: kind.clone(), labels, body }));
        }
    }
}

fn label(key: &Key) -> Option<String> {
    key_name(key).filter(|n| n != "//")
}
