//! Values of the language, their types, and the conversions between them.

mod measure;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use self::measure::{Measured, leaf};
use crate::number::Number;

/// A value. Collections are shared, so copying is cheap.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    /// Stands where an expression failed; whatever meets it fails silently, so a mistake is reported once.
    Unknown,
    Bool(bool),
    Number(Number),
    Str(Arc<str>),
    Seq(SeqKind, Measured<Vec<Value>>),
    Map(MapKind, Measured<BTreeMap<String, Value>>),
}

/// What kind of row of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqKind {
    /// As written in brackets: each element of its own type.
    Tuple,
    List,
    /// Each element once, in sorted order.
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// As written in braces: each attribute of its own type.
    Object,
    Map,
}

/// A type constraint, as in `type = list(string)`.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Any,
    Bool,
    Number,
    Str,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    Tuple(Vec<Type>),
    /// The flag marks attributes that may be left out.
    Object(BTreeMap<String, (Type, bool)>),
}

impl Value {
    pub fn str(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into())
    }
    pub fn int(v: i64) -> Value {
        Value::Number(Number::from(v))
    }
    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Seq(SeqKind::Tuple, items.into())
    }
    pub fn list(items: Vec<Value>) -> Value {
        Value::Seq(SeqKind::List, items.into())
    }
    /// Sorted, without repetitions.
    pub fn set(mut items: Vec<Value>) -> Value {
        items.sort_by(order);
        items.dedup();
        Value::Seq(SeqKind::Set, items.into())
    }
    pub fn object(entries: BTreeMap<String, Value>) -> Value {
        Value::Map(MapKind::Object, entries.into())
    }

    pub fn is_known(&self) -> bool {
        *self != Value::Unknown
    }

    /// Whether an unknown is anywhere inside.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Value::Unknown => false,
            Value::Seq(_, items) => items.measure().known,
            Value::Map(_, entries) => entries.measure().known,
            _ => true,
        }
    }

    /// The name of its type, for sentences.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Unknown => "dynamic",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::Str(_) => "string",
            Value::Seq(SeqKind::Tuple, _) => "tuple",
            Value::Seq(SeqKind::List, _) => "list",
            Value::Seq(SeqKind::Set, _) => "set",
            Value::Map(MapKind::Object, _) => "object",
            Value::Map(MapKind::Map, _) => "map",
        }
    }

    /// Text of a string, number or bool.
    pub fn to_text(&self) -> Option<Arc<str>> {
        match self {
            Value::Str(text) => Some(text.clone()),
            Value::Number(n) => Some(n.to_string().into()),
            Value::Bool(b) => Some(if *b { "true" } else { "false" }.into()),
            _ => None,
        }
    }

    /// A number, or text that is one.
    pub fn to_number(&self) -> Option<Number> {
        match self {
            Value::Number(n) => Some(n.clone()),
            Value::Str(text) => Number::parse(text),
            _ => None,
        }
    }

    /// A bool, or the text `true` or `false`.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            Value::Str(text) => match &**text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Bytes of what it holds itself: for collections their elements with their texts, but not what is inside those.
    pub fn own(&self) -> u64 {
        match self {
            Value::Seq(_, items) => items.measure().own,
            Value::Map(_, entries) => entries.measure().own,
            scalar => leaf(scalar),
        }
    }

    /// Bytes it would take if nothing in it were shared: what writing it out or walking it costs.
    pub fn size(&self) -> u64 {
        match self {
            Value::Seq(_, items) => items.measure().size,
            Value::Map(_, entries) => entries.measure().size,
            scalar => leaf(scalar),
        }
    }

    /// How many collections are inside one another.
    pub fn depth(&self) -> u32 {
        match self {
            Value::Seq(_, items) => items.measure().depth,
            Value::Map(_, entries) => entries.measure().depth,
            _ => 0,
        }
    }

    /// A collection that nobody else has: it has just been made.
    pub fn is_fresh(&self) -> bool {
        match self {
            Value::Seq(_, items) => items.is_fresh(),
            Value::Map(_, entries) => entries.is_fresh(),
            _ => false,
        }
    }
}

/// An order over all values: the one in which sets are kept.
pub fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    fn rank(v: &Value) -> u8 {
        match v {
            Value::Null => 0,
            Value::Unknown => 1,
            Value::Bool(_) => 2,
            Value::Number(_) => 3,
            Value::Str(_) => 4,
            Value::Seq(..) => 5,
            Value::Map(..) => 6,
        }
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        (Value::Seq(_, a), Value::Seq(_, b)) => {
            let first = a.iter().zip(b.iter()).map(|(a, b)| order(a, b)).find(|o| o.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Map(_, a), Value::Map(_, b)) => {
            let first = a
                .iter()
                .zip(b.iter())
                .map(|((ka, a), (kb, b))| ka.cmp(kb).then_with(|| order(a, b)))
                .find(|o| o.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Equality as `==` has it: kinds of collections with the same content may differ in name only.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Seq(ka, a), Value::Seq(kb, b)) => {
            let comparable = (*ka == SeqKind::Set) == (*kb == SeqKind::Set);
            comparable && a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Value::Map(_, a), Value::Map(_, b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && equal(a, b))
        }
        _ => a == b,
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("any"),
            Type::Bool => f.write_str("bool"),
            Type::Number => f.write_str("number"),
            Type::Str => f.write_str("string"),
            Type::List(of) => write!(f, "list of {of}"),
            Type::Set(of) => write!(f, "set of {of}"),
            Type::Map(of) => write!(f, "map of {of}"),
            Type::Tuple(_) => f.write_str("tuple"),
            Type::Object(_) => f.write_str("object"),
        }
    }
}

/// Changes `value` to `wanted` where the language allows it; the error completes a sentence, as `a number is required`.
pub fn convert(value: &Value, wanted: &Type) -> Result<Value, String> {
    let required = || match wanted {
        Type::Any => "any value is allowed".to_owned(),
        Type::Bool => "a bool is required".to_owned(),
        Type::Number => "a number is required".to_owned(),
        Type::Str => "string required".to_owned(),
        other => format!("{other} required"),
    };
    if matches!(value, Value::Null | Value::Unknown) {
        return Ok(value.clone());
    }
    match (wanted, value) {
        (Type::Any, _) => Ok(value.clone()),
        (Type::Bool, _) => value.to_bool().map(Value::Bool).ok_or_else(required),
        (Type::Number, _) => value.to_number().map(Value::Number).ok_or_else(required),
        (Type::Str, _) => value.to_text().map(Value::Str).ok_or_else(required),
        (Type::List(of), Value::Seq(_, items)) => Ok(Value::list(unified(elements(items, of)?, of))),
        (Type::Set(of), Value::Seq(_, items)) => Ok(Value::set(unified(elements(items, of)?, of))),
        (Type::Map(of), Value::Map(_, entries)) => {
            let mut converted = BTreeMap::new();
            for (key, value) in entries.iter() {
                let value = convert(value, of).map_err(|e| format!("element {key:?}: {e}"))?;
                converted.insert(key.clone(), value);
            }
            Ok(Value::Map(MapKind::Map, converted.into()))
        }
        (Type::Tuple(types), Value::Seq(kind, items)) if *kind != SeqKind::Set && types.len() == items.len() => {
            let mut converted = Vec::with_capacity(items.len());
            for (index, (item, of)) in items.iter().zip(types).enumerate() {
                converted.push(convert(item, of).map_err(|e| format!("element {index}: {e}"))?);
            }
            Ok(Value::tuple(converted))
        }
        (Type::Object(attributes), Value::Map(_, entries)) => {
            let mut converted = BTreeMap::new();
            for (name, (of, optional)) in attributes {
                match entries.get(name) {
                    Some(value) => {
                        let value = convert(value, of).map_err(|e| format!("attribute {name:?}: {e}"))?;
                        converted.insert(name.clone(), value);
                    }
                    None if *optional => {
                        converted.insert(name.clone(), Value::Null);
                    }
                    None => return Err(format!("attribute {name:?} is required")),
                }
            }
            Ok(Value::object(converted))
        }
        _ => Err(required()),
    }
}

fn elements(items: &[Value], of: &Type) -> Result<Vec<Value>, String> {
    let convert_one = |(index, item)| convert(item, of).map_err(|e| format!("element {index}: {e}"));
    items.iter().enumerate().map(convert_one).collect()
}

/// Elements of `list(any)` get one common type where there is one: text when texts, numbers and bools are mixed.
fn unified(items: Vec<Value>, of: &Type) -> Vec<Value> {
    let scalar = |v: &Value| matches!(v, Value::Str(_) | Value::Number(_) | Value::Bool(_));
    if *of != Type::Any || !items.iter().all(scalar) || items.windows(2).all(|w| w[0].type_name() == w[1].type_name()) {
        return items;
    }
    items.iter().filter_map(Value::to_text).map(Value::Str).collect()
}
