//! Bodies of requests: JSON whatever their `Content-Type` says, because callers of the field's API name none.

use serde::de::DeserializeOwned;

use super::error::Error;

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::bad("Request body is empty"));
    }
    serde_json::from_slice(bytes).map_err(|e| Error::bad(format!("Failed to decode body: {e}")))
}

/// The same, and the default where there is no body.
pub fn decode_optional<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { decode(bytes) }
}
