//! Ids as callers write them, and what is said of bad ones.

use std::str::FromStr;

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
