//! Reads answers field by field, without a type: where only a few fields of a large answer are wanted, and in what the first page
//! needs, whose code a browser loads before anything else. What is missing or of another kind reads as empty. Pure.

use serde_json::Value;

/// A text; empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

pub fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_default()
}

/// A number that is never below zero.
pub fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

pub fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool().unwrap_or_default()
}

/// The items of a list.
pub fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// The names and values of an object, in order of the names.
pub fn fields(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_empty() {
        let value = json!({ "A": "x", "N": -3, "F": true, "L": [1], "O": { "b": 1, "a": 2 } });
        assert_eq!((text(&value, "A"), text(&value, "B"), text(&value, "N")), ("x", "", ""));
        assert_eq!(
            (number(&value, "N"), count(&value, "N"), flag(&value, "F"), flag(&value, "A")),
            (-3, 0, true, false)
        );
        assert_eq!((items(&value["L"]).len(), items(&value["A"]).len(), items(&Value::Null).len()), (1, 0, 0));
        assert_eq!(fields(&value["O"]).map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
