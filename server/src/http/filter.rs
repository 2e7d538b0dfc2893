//! Filter expressions of lists, such as `Status == "running" and Meta.team is not empty`.
//!
//! Grammar and meaning follow go-bexpr. An expression is read once and then asked of each row in its wire form.
//! Start at [`Filter::parse`] and [`Filter::matches`].

mod expr;
mod parse;

use serde_json::Value;

use self::expr::{Expr, Test};
pub use self::parse::ParseError;

/// A filter, read.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Expr,
}

/// Why a row can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("error finding value in datum: /{path} at part {part}: couldn't find key: struct field with name {name:?}")]
    UnknownField { path: String, part: usize, name: String },
    #[error("Cannot perform in/contains operations on type {kind} for selector: {selector:?}")]
    NoContents { kind: &'static str, selector: String },
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter, ParseError> {
        Ok(Filter { root: parse::expression(text)? })
    }

    /// Is `row` wanted? `fields` are the names that rows of this kind can have: one that is empty may be left out of `row`.
    pub fn matches(&self, row: &Value, fields: &[&str]) -> Result<bool, AskError> {
        ask(&self.root, row, fields)
    }
}

fn ask(expr: &Expr, row: &Value, fields: &[&str]) -> Result<bool, AskError> {
    match expr {
        Expr::And(a, b) => Ok(ask(a, row, fields)? && ask(b, row, fields)?),
        Expr::Or(a, b) => Ok(ask(a, row, fields)? || ask(b, row, fields)?),
        Expr::Not(inner) => Ok(!ask(inner, row, fields)?),
        Expr::Match { selector, test } => {
            let found = find(row, selector, fields)?;
            holds(found, test, selector)
        }
    }
}

/// The value at `selector`; `None` for the missing key of a map and for what was left out because it is empty.
fn find<'a>(row: &'a Value, selector: &[String], fields: &[&str]) -> Result<Option<&'a Value>, AskError> {
    let mut value = row;
    for (part, name) in selector.iter().enumerate() {
        let next = match value {
            Value::Object(map) => map.get(name),
            Value::Array(list) => name.parse::<usize>().ok().and_then(|i| list.get(i)),
            _ => None,
        };
        let Some(next) = next else {
            if part == 0 && !fields.contains(&name.as_str()) {
                return Err(AskError::UnknownField { path: selector.join("/"), part, name: name.clone() });
            }
            return Ok(None);
        };
        value = next;
    }
    Ok(Some(value))
}

fn holds(found: Option<&Value>, test: &Test, selector: &[String]) -> Result<bool, AskError> {
    let found = found.unwrap_or(&Value::Null);
    Ok(match test {
        Test::Equal(wanted) => equal(found, wanted),
        Test::Empty => match found {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        },
        Test::Matches(regex) => match found {
            Value::String(s) => regex.is_match(s),
            _ => false,
        },
        Test::Contains(wanted) => match found {
            Value::Null => false,
            Value::String(s) => s.contains(wanted.as_str()),
            Value::Array(list) => list.iter().any(|v| equal(v, wanted)),
            Value::Object(map) => map.contains_key(wanted),
            Value::Bool(_) | Value::Number(_) => {
                let kind = if found.is_boolean() { "bool" } else { "int" };
                return Err(AskError::NoContents { kind, selector: selector.join(".") });
            }
        },
    })
}

fn equal(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(s) => s == wanted,
        Value::Bool(b) => wanted.parse() == Ok(*b),
        Value::Number(n) => {
            n.to_string() == wanted || matches!((n.as_f64(), wanted.parse::<f64>()), (Some(a), Ok(b)) if a == b)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The names that a wire type has, in the order of its fields.
pub fn fields_of<T: serde::de::DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(Probe(&mut fields));
    fields
}

/// A deserializer that only listens for the names of a struct.
struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> serde::Deserializer<'de> for Probe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only listening"))
    }

    fn deserialize_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        newtype_struct tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({"ID": "web", "Status": "running", "Priority": 50, "Stop": false, "Meta": {"team": "red"},
            "Datacenters": ["dc1", "dc2"], "TaskGroups": null, "Periodic": {"Enabled": true}})
    }

    fn ask(text: &str) -> Result<bool, String> {
        let filter = Filter::parse(text).map_err(|e| e.to_string())?;
        filter.matches(&row(), &["ParentID"]).map_err(|e| e.to_string())
    }

    #[test]
    fn meaning() {
        for (text, expected) in [
            (r#"Status == "running""#, true),
            (r#"Status != "running""#, false),
            ("Status == running and Priority == 50", true),
            ("Priority == 50.0", true),
            ("Stop == false or Status == dead", true),
            ("not Stop == true", true),
            (r#"ID matches "^w.b$""#, true),
            (r#"ID not matches `^x`"#, true),
            (r#""dc1" in Datacenters"#, true),
            (r#""dc9" not in Datacenters"#, true),
            (r#"Datacenters contains "dc2""#, true),
            (r#"Datacenters not contains "dc2""#, false),
            (r#""team" in Meta and "re" in Meta.team"#, true),
            (r#"Meta.absent == "x""#, false),
            (r#"Meta["team"] == "red""#, true),
            ("TaskGroups is empty", true),
            ("Meta is not empty", true),
            (r#"(Status == "dead" or ID == "web") and not (Priority == 1)"#, true),
            (r#"Periodic.Enabled == true"#, true),
            (r#""/Meta/team" == "red""#, true),
            (r#"ParentID == """#, false),
            ("ParentID is empty", true),
        ] {
            assert_eq!(ask(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(
            ask("Bogus == 1").expect_err("unknown"),
            "error finding value in datum: /Bogus at part 0: couldn't find key: struct field with name \"Bogus\""
        );
        assert_eq!(
            ask("Status =").expect_err("half"),
            "1:8 (7): no match found, expected: \"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\", \"not\" or [ \\t\\r\\n]"
        );
        for text in ["", "Status ==", "(Status == a", "Status == a b", "ID matches \"(\"", "\"open == 3", "a.b."] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
        assert!(Filter::parse(&format!("{}a == b{}", "(".repeat(5000), ")".repeat(5000))).is_err());
    }

    /// A few bytes of pattern ask for gigabytes of program, and for seconds.
    #[test]
    fn what_a_filter_compiles_to_is_bounded() {
        for pattern in ["(a{1000}){1000}", r"\w{10000}", r"(\pL{50}){50}", "((((x{9}){9}){9}){9}){9}"] {
            let begin = std::time::Instant::now();
            let why = ask(&format!("ID matches `{pattern}`")).expect_err("too large");
            assert!(why.contains("failed to compile regular expression") && why.contains("size limit"), "{why}");
            assert!(begin.elapsed().as_secs() < 5, "{pattern} took {:?}", begin.elapsed());
        }
        // What people write has room: words of any language, alternatives, counted runs.
        let hosts: Vec<String> = (0..200).map(|n| format!("host-{n:04}")).collect();
        for pattern in [r"^\w+-\d{1,4}$", r"\p{Greek}{2,20}", "^(a|b|web)$", &hosts.join("|")] {
            assert!(ask(&format!("ID matches `{pattern}`")).is_ok(), "{pattern}");
        }
        let many = |n: usize| vec!["ID matches `x`"; n].join(" or ");
        assert_eq!(ask(&many(32)), Ok(false));
        assert!(ask(&many(33)).expect_err("too many").contains("a filter may have 32 patterns"));
        let long = format!("ID == `{}`", "x".repeat(17_000));
        assert!(ask(&long).expect_err("too long").contains("a filter may have 16384 bytes; this one has 17008"));
    }

    #[test]
    fn names_of_a_type() {
        assert!(fields_of::<tarpan_api::wire::Evaluation>().contains(&"TriggeredBy"));
    }
}
