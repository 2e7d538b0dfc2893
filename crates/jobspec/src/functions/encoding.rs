//! Text forms of values: base64, JSON, YAML, CSV, URLs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::json::json;
use super::{Call, Outcome, bad, failed, functions, str_at, yaml};
use crate::number::Number;
use crate::value::Value;

functions! {
    base64decode(str: Str) "The text that was written in base64." = |a, _| {
        let bytes = STANDARD.decode(str_at(a, 0)).map_err(|_| bad(0, "the text is not base64"))?;
        String::from_utf8(bytes).map(Value::str).map_err(|_| bad(0, "the decoded bytes are not UTF-8 text"))
    };
    base64encode(str: Str) "The text in base64." = |a, _| Ok(Value::str(STANDARD.encode(str_at(a, 0))));
    csvdecode(str: Str) "A list of maps from text in CSV, whose first line names the columns." = csvdecode;
    jsondecode(str: Str) "The value that a text in JSON holds." = |a, c| {
        // Each value is there twice for a while: as serde has it, and as we do.
        let values = str_at(a, 0).bytes().filter(|b| matches!(b, b',' | b'[' | b'{')).count() as u64;
        c.budget.hold(values * 160 + str_at(a, 0).len() as u64)?;
        let json: serde_json::Value = serde_json::from_str(str_at(a, 0)).map_err(|e| bad(0, format!("invalid JSON: {e}")))?;
        Ok(from_json(&json))
    };
    jsonencode(val: Nullable) "The value as text in JSON." = |a, c| {
        let mut text = String::new();
        json(&a[0], &mut text, c.budget)?;
        Ok(Value::str(text))
    };
    urlencode(str: Str) "The text as it may stand in a URL's query." = |a, _| {
        let mut text = String::new();
        for byte in str_at(a, 0).bytes() {
            match byte {
                b' ' => text.push('+'),
                b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
                b if b.is_ascii_alphanumeric() => text.push(char::from(b)),
                b => {
                    let _ = write!(text, "%{b:02X}");
                }
            }
        }
        Ok(Value::str(text))
    };
    yamldecode(src: Str) "The value that a text in YAML holds." = |a, c| yaml::decode(str_at(a, 0), c.budget);
    yamlencode(value: Nullable) "The value as text in YAML." = |a, c| Ok(Value::str(yaml::encode(&a[0], c.budget)?));
}

fn csvdecode(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let mut reader = csv::ReaderBuilder::new().from_reader(str_at(args, 0).as_bytes());
    let headers = reader.headers().map_err(|e| bad(0, format!("invalid CSV: {e}")))?.clone();
    if headers.is_empty() {
        return Err(failed("missing header line"));
    }
    let mut names = BTreeSet::new();
    for name in &headers {
        if !names.insert(name) {
            return Err(failed(format!("duplicate column name {name:?}")));
        }
    }
    // Every row writes all names anew.
    let row = headers.iter().map(|name| name.len() as u64 + 120).sum::<u64>();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| bad(0, format!("invalid CSV: {e}")))?;
        call.budget.hold(row + record.as_slice().len() as u64)?;
        let cells = headers.iter().zip(record.iter()).map(|(name, cell)| (name.to_owned(), Value::str(cell)));
        rows.push(Value::object(cells.collect()));
    }
    Ok(Value::list(rows))
}

fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Number::parse(&n.to_string()).map_or(Value::Null, Value::Number),
        serde_json::Value::String(s) => Value::str(s.as_str()),
        serde_json::Value::Array(items) => Value::tuple(items.iter().map(from_json).collect()),
        serde_json::Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map.iter().map(|(k, v)| (k.clone(), from_json(v))).collect();
            Value::object(entries)
        }
    }
}
