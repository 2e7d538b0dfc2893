//! A task's `config` by what its plugin says that may be in it.
//!
//! Reads: the values and the plugin's fields. Gives: the values as the plugin is told them (numbers and flags that were written as text
//! are none any more), or a sentence that names the key and what would be right. Touches nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tarpan_rpc::plugin::Field;
use tarpan_rpc::plugin::field::Type;

/// Keys that a plugin may describe, and blocks inside each other: more is a mistake of the plugin's.
const MOST_FIELDS: usize = 512;
const DEEPEST: usize = 8;

/// Whether the fields themselves make sense. The error is a sentence about the plugin.
pub(super) fn examine(fields: &[Field]) -> Result<(), String> {
    fn count(fields: &[Field], depth: usize) -> Result<usize, String> {
        if depth > DEEPEST {
            return Err(format!("it describes blocks that are more than {DEEPEST} deep"));
        }
        let mut all = fields.len();
        for field in fields {
            if field.name.is_empty() || field.name.len() > 128 {
                return Err("it describes a key without a name, or with one of more than 128 bytes".to_owned());
            }
            all += count(&field.fields, depth + 1)?;
        }
        Ok(all)
    }
    match count(fields, 1)? {
        all if all > MOST_FIELDS => Err(format!("it describes {all} keys; there may be {MOST_FIELDS}")),
        _ => Ok(()),
    }
}

/// The values as the plugin gets them. The error is a sentence for the task's events.
pub(super) fn check(config: &BTreeMap<String, Value>, fields: &[Field]) -> Result<Map<String, Value>, String> {
    let values = config.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    block("config", &values, fields)
}

fn block(path: &str, values: &Map<String, Value>, fields: &[Field]) -> Result<Map<String, Value>, String> {
    let mut read = Map::new();
    for (key, value) in values {
        let Some(field) = fields.iter().find(|field| field.name == *key) else {
            return Err(unknown(path, key, fields));
        };
        if !value.is_null() {
            read.insert(key.clone(), one(&format!("{path}.{key}"), value, field)?);
        }
    }
    match fields.iter().find(|field| field.required && !read.contains_key(&field.name)) {
        Some(field) => Err(format!("{path}.{} is missing: this driver needs it", field.name)),
        None => Ok(read),
    }
}

fn unknown(path: &str, key: &str, fields: &[Field]) -> String {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    match names.as_slice() {
        [] => format!("{path} has a key {key:?}, and this driver takes none"),
        names => format!("{path} has a key {key:?} that this driver does not know; it knows {}", names.join(", ")),
    }
}

fn one(path: &str, value: &Value, field: &Field) -> Result<Value, String> {
    let wrong = |wanted: &str| format!("{path} must be {wanted}, not {}", shown(value));
    let read = match field.r#type() {
        Type::Any => Some(value.clone()),
        Type::String => scalar(value).map(Value::from),
        Type::Int => integer(value).map(Value::from),
        Type::Float => value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).map(Value::from),
        Type::Bool => flag(value).map(Value::from),
        Type::Strings => {
            value.as_array().and_then(|items| items.iter().map(scalar).collect::<Option<Vec<_>>>()).map(Value::from)
        }
        Type::Map => objects(value).and_then(|all| merged(&all)),
        Type::Block => match objects(value).as_deref() {
            Some([only]) => Some(Value::Object(block(path, only, &field.fields)?)),
            _ => None,
        },
        Type::Blocks => match objects(value) {
            Some(all) => {
                let read = all.into_iter().map(|one| block(path, one, &field.fields).map(Value::Object));
                Some(Value::Array(read.collect::<Result<_, _>>()?))
            }
            None => None,
        },
    };
    read.ok_or_else(|| {
        wrong(match field.r#type() {
            Type::Any => "a value",
            Type::String => "a text",
            Type::Int => "a whole number",
            Type::Float => "a number",
            Type::Bool => "true or false",
            Type::Strings => "a list of texts",
            Type::Map => "a map of texts",
            Type::Block => "one block",
            Type::Blocks => "a block, or several",
        })
    })
}

/// A text; numbers and flags are written out.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole)).or_else(|| value.as_str()?.trim().parse().ok())
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match text.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A block as it may be written: one object, or a list of them.
fn objects(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    match value {
        Value::Object(object) => Some(vec![object]),
        Value::Array(items) => items.iter().map(Value::as_object).collect(),
        _ => None,
    }
}

fn merged(all: &[&Map<String, Value>]) -> Option<Value> {
    let pairs = all.iter().flat_map(|object| object.iter());
    let texts = pairs.map(|(key, value)| Some((key.clone(), Value::from(scalar(value)?))));
    texts.collect::<Option<Map<_, _>>>().map(Value::Object)
}

/// A value in a sentence, and not much of it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a block".to_owned(),
        Value::String(text) if text.chars().count() > 40 => {
            format!("{:?}", text.chars().take(40).chain(['…']).collect::<String>())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str, type_: Type) -> Field {
        Field { name: name.to_owned(), r#type: type_.into(), ..Field::default() }
    }

    fn fields() -> Vec<Field> {
        let within = vec![field("soft", Type::Int), Field { required: true, ..field("hard", Type::Int) }];
        vec![
            Field { required: true, ..field("command", Type::String) },
            field("args", Type::Strings),
            field("nice", Type::Int),
            field("share", Type::Float),
            field("quiet", Type::Bool),
            field("labels", Type::Map),
            Field { fields: within.clone(), ..field("limit", Type::Block) },
            Field { fields: within, ..field("mount", Type::Blocks) },
            field("free", Type::Any),
        ]
    }

    fn checked(config: Value) -> Result<Value, String> {
        let config = config.as_object().expect("an object").clone().into_iter().collect();
        check(&config, &fields()).map(Value::Object)
    }

    #[test]
    fn what_fits_is_passed_on_with_its_types() {
        let config = json!({
            "command": "run", "args": ["a", 1, true], "nice": "5", "share": 2, "quiet": "true",
            "labels": [{"a": 1}, {"b": "x"}], "limit": [{"hard": 3}], "mount": {"hard": "7", "soft": null}, "free": [1, {}],
        });
        assert_eq!(
            checked(config),
            Ok(json!({
                "command": "run", "args": ["a", "1", "true"], "nice": 5, "share": 2.0, "quiet": true,
                "labels": {"a": "1", "b": "x"}, "limit": {"hard": 3}, "mount": [{"hard": 7}], "free": [1, {}],
            }))
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would() {
        for (config, expected) in [
            (
                json!({"comand": "x"}),
                "config has a key \"comand\" that this driver does not know; it knows args, command, free, labels, limit, mount, nice, quiet, share",
            ),
            (json!({}), "config.command is missing: this driver needs it"),
            (json!({"command": ["x"]}), "config.command must be a text, not a list"),
            (json!({"command": "x", "args": "a"}), "config.args must be a list of texts, not \"a\""),
            (json!({"command": "x", "nice": 1.5}), "config.nice must be a whole number, not 1.5"),
            (json!({"command": "x", "share": "much"}), "config.share must be a number, not \"much\""),
            (json!({"command": "x", "quiet": 3}), "config.quiet must be true or false, not 3"),
            (json!({"command": "x", "labels": {"a": [1]}}), "config.labels must be a map of texts, not a block"),
            (
                json!({"command": "x", "limit": [{"hard": 1}, {"hard": 2}]}),
                "config.limit must be one block, not a list",
            ),
            (json!({"command": "x", "limit": {"soft": 1}}), "config.limit.hard is missing: this driver needs it"),
            (
                json!({"command": "x", "mount": [{"hard": 1, "to": 1}]}),
                "config.mount has a key \"to\" that this driver does not know; it knows hard, soft",
            ),
            (
                json!({"command": "x", "nice": "y".repeat(99)}),
                &format!("config.nice must be a whole number, not \"{}…\"", "y".repeat(40)),
            ),
        ] {
            assert_eq!(checked(config), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_description_has_bounds() {
        let mut deep = field("x", Type::Block);
        for _ in 0..DEEPEST {
            deep = Field { fields: vec![deep], ..field("x", Type::Block) };
        }
        assert!(examine(&[deep]).is_err_and(|why| why.contains("8 deep")));
        let many: Vec<Field> = (0..=MOST_FIELDS).map(|n| field(&format!("k{n}"), Type::Any)).collect();
        assert!(examine(&many).is_err_and(|why| why.contains("513 keys")));
        assert!(examine(&[field("", Type::Any)]).is_err());
        assert_eq!(examine(&fields()), Ok(()));
    }
}
