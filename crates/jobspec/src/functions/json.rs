//! Values as text in JSON.

use std::fmt::Write;

use crate::budget::{Budget, Over};
use crate::value::Value;

/// Appends JSON with keys in order; `<`, `>` and `&` are escaped, as the field does.
pub(super) fn json(value: &Value, text: &mut String, budget: &mut Budget) -> Result<(), Over> {
    budget.hold(16)?;
    match value {
        Value::Null | Value::Unknown => text.push_str("null"),
        Value::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            budget.spend(n.text_steps())?;
            let _ = write!(text, "{n}");
        }
        Value::Str(s) => json_str(s, text, budget)?,
        Value::Seq(_, items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                json(item, text, budget)?;
            }
            text.push(']');
        }
        Value::Map(_, entries) => {
            text.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                json_str(key, text, budget)?;
                text.push(':');
                json(item, text, budget)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

pub(super) fn json_str(value: &str, text: &mut String, budget: &mut Budget) -> Result<(), Over> {
    let escaped = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || (c as u32) < 0x20;
    // Six characters for one, two for a quote.
    let longer = value.chars().map(|c| if escaped(c) { 5 } else { u64::from(matches!(c, '"' | '\\')) }).sum::<u64>();
    budget.hold(value.len() as u64 + longer)?;
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if escaped(c) => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
    Ok(())
}
