//! Ids as callers write them, and what is said of bad ones.

use std::ops::RangeInclusive;
use std::str::FromStr;

use uuid::Uuid;

use super::error::ApiError;

/// A full id of a `kind` (`alloc`, `eval`, `deployment`, `node`). 500 in the field's words when the text is not a UUID.
pub fn id<T: FromStr>(kind: &str, text: &str) -> Result<T, ApiError> {
    let shaped = |why: String| {
        let around = if kind == "eval" { "failed to lookup eval: " } else { "" };
        ApiError::internal(format!("{around}{kind} lookup failed: index error: {why}"))
    };
    if text.len() != 36 {
        return Err(shaped("UUID must be 36 characters".to_owned()));
    }
    text.parse().map_err(|_| shaped(not_hex(text)))
}

/// A prefix of ids: lower-case hex digits and hyphens, its odd last digit not allowed.
pub fn prefix(kind: &str, text: &str) -> Result<String, ApiError> {
    let bad = |why: String| ApiError::internal(format!("{kind} lookup failed: index error: {why}"));
    let text = text.to_ascii_lowercase();
    if text.replace('-', "").len() % 2 == 1 {
        return Err(bad("Input (without hyphens) must be even length".to_owned()));
    }
    if text.chars().any(|c| !c.is_ascii_hexdigit() && c != '-') {
        return Err(bad(not_hex(&text)));
    }
    Ok(text)
}

/// The ids that may begin with `prefix`: all for an empty one, none that there is for one that no id begins with.
pub fn span(prefix: &str) -> RangeInclusive<Uuid> {
    let digits: String = prefix.chars().filter(|c| *c != '-').take(32).collect();
    let filled = |with: &str| {
        let text = format!("{digits}{}", with.repeat(32 - digits.len().min(32)));
        u128::from_str_radix(&text, 16).map(Uuid::from_u128).unwrap_or(Uuid::nil())
    };
    filled("0")..=filled("f")
}

fn not_hex(text: &str) -> String {
    match text.chars().find(|c| !c.is_ascii_hexdigit() && *c != '-') {
        Some(c) => format!("Invalid UUID: encoding/hex: invalid byte: U+{:04X} '{c}'", u32::from(c)),
        None => "Invalid UUID".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::EvalId;

    use super::*;

    #[test]
    fn spans_hold_what_begins_alike() {
        let ids: Vec<Uuid> = (0..2_000_u128)
            .map(|n| Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)))
            .collect();
        for prefix in ["", "0", "9e", "9e3", "9e3779b9-7f", "f", "ffffffff-ffff-ffff-ffff-ffffffffffff", "zz", "-", "é"]
        {
            let span = span(prefix);
            let begins = |id: &&Uuid| id.to_string().starts_with(prefix);
            assert!(ids.iter().filter(begins).all(|id| span.contains(id)), "{prefix}");
        }
        assert_eq!(
            ids.iter().filter(|id| span("9e").contains(*id)).count(),
            ids.iter().filter(|id| id.to_string().starts_with("9e")).count()
        );
    }

    #[test]
    fn words() {
        let refused = |kind, text| id::<EvalId>(kind, text).expect_err("no id").message;
        assert_eq!(
            refused("eval", "not-a-uuid"),
            "failed to lookup eval: eval lookup failed: index error: UUID must be 36 characters"
        );
        assert_eq!(refused("alloc", "xyz"), "alloc lookup failed: index error: UUID must be 36 characters");
        assert!(id::<EvalId>("eval", "12345678-1234-1234-1234-123456789abc").is_ok());
        let refused = |text| prefix("alloc", text).expect_err("no prefix").message;
        assert_eq!(
            refused("zz"),
            "alloc lookup failed: index error: Invalid UUID: encoding/hex: invalid byte: U+007A 'z'"
        );
        assert_eq!(refused("xyz"), "alloc lookup failed: index error: Input (without hyphens) must be even length");
        assert_eq!(prefix("alloc", "AB-12").expect("fine"), "ab-12");
    }
}
