//! Type constraints as they are written: `string`, `list(number)`, `object({ a = bool })`.

use crate::syntax::{Expr, ExprKind, Key, Span};
use crate::value::Type;

/// Reads a type; the error is a place and a sentence.
pub(crate) fn read(expr: &Expr) -> Result<Type, (Span, String)> {
    match &expr.kind {
        ExprKind::Traversal { root, steps } if steps.is_empty() => keyword(&root.text, expr.span),
        // Older files write the type in quotes.
        ExprKind::Template(template) => match template.literal() {
            Some(word) => keyword(word, expr.span),
            None => Err((expr.span, "A type is not a template.".to_owned())),
        },
        ExprKind::Call { name, args, .. } => {
            let [arg] = args.as_slice() else {
                return Err((expr.span, format!("The type {} takes one argument.", name.text)));
            };
            constructor(&name.text, name.span, arg)
        }
        ExprKind::Paren(inner) => read(inner),
        _ => Err((
            expr.span,
            "A type constraint is a keyword such as string, or a constructor such as list(string).".to_owned(),
        )),
    }
}

fn keyword(word: &str, span: Span) -> Result<Type, (Span, String)> {
    Ok(match word {
        "string" => Type::Str,
        "number" => Type::Number,
        "bool" => Type::Bool,
        "any" => Type::Any,
        "list" | "set" | "map" | "object" | "tuple" => {
            return Err((span, format!("The type {word} needs an argument that says what it holds.")));
        }
        _ => return Err((span, format!("The keyword {word:?} is not a type."))),
    })
}

fn constructor(name: &str, span: Span, arg: &Expr) -> Result<Type, (Span, String)> {
    Ok(match name {
        "list" => Type::List(Box::new(read(arg)?)),
        "set" => Type::Set(Box::new(read(arg)?)),
        "map" => Type::Map(Box::new(read(arg)?)),
        "tuple" => match &arg.kind {
            ExprKind::Tuple(items) => Type::Tuple(items.iter().map(read).collect::<Result<_, _>>()?),
            _ => return Err((arg.span, "A tuple type takes a list of types.".to_owned())),
        },
        "object" => match &arg.kind {
            ExprKind::Object(items) => {
                let attribute = |(key, expr): &(Key, Expr)| {
                    let name = match key {
                        Key::Name(name) => name.text.clone(),
                        Key::Expr(Expr { kind: ExprKind::Template(t), .. }) if t.literal().is_some() => {
                            t.literal().unwrap_or_default().to_owned()
                        }
                        Key::Expr(expr) => return Err((expr.span, "Attribute names are plain names.".to_owned())),
                    };
                    Ok((name, optional(expr)?))
                };
                Type::Object(items.iter().map(attribute).collect::<Result<_, _>>()?)
            }
            _ => return Err((arg.span, "An object type takes a map from attribute name to type.".to_owned())),
        },
        _ => return Err((span, format!("The keyword {name:?} is not a type constructor."))),
    })
}

/// `optional(type)` marks an attribute that may be left out.
fn optional(expr: &Expr) -> Result<(Type, bool), (Span, String)> {
    match &expr.kind {
        ExprKind::Call { name, args, .. } if name.text == "optional" && !args.is_empty() => Ok((read(&args[0])?, true)),
        _ => Ok((read(expr)?, false)),
    }
}
