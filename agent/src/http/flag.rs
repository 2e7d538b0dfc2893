//! Flags of a query.

use tarpan_model::go;

use super::error::Error;

/// A flag as Go's parser reads it; empty or absent is `default`.
pub fn flag(text: Option<&str>, default: bool) -> Result<bool, Error> {
    match text.unwrap_or_default() {
        "" => Ok(default),
        word => go::boolean(word).ok_or_else(|| Error::bad(format!("failed to parse boolean {word:?}"))),
    }
}
