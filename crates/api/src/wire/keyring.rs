//! Root keys, as others may know them.

use serde::{Deserialize, Serialize};

use crate::null_default;

/// A root key without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootKeyMeta {
    #[serde(rename = "KeyID", deserialize_with = "null_default")]
    pub key_id: String,
    /// `aes256-gcm`.
    #[serde(rename = "Algorithm", deserialize_with = "null_default")]
    pub algorithm: String,
    /// Unix nanoseconds.
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    /// `active` or `inactive`.
    #[serde(rename = "State", deserialize_with = "null_default")]
    pub state: String,
    /// Unix nanoseconds; 0: it was active from the start.
    #[serde(rename = "PublishTime", deserialize_with = "null_default")]
    pub publish_time: i64,
}
