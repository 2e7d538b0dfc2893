//! Search by prefix and by parts of names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarpan_model::wire::Wire;

use crate::is_default;
use crate::null_default;

/// `SearchRequest` and `FuzzySearchRequest` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchRequest {
    #[serde(rename = "Prefix")]
    pub prefix: String,
    #[serde(rename = "Text")]
    pub text: String,
    #[serde(rename = "Context")]
    pub context: String,
}

/// `SearchResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResponse {
    #[serde(rename = "Matches", deserialize_with = "null_default")]
    pub matches: BTreeMap<String, Vec<String>>,
    #[serde(rename = "Truncations", deserialize_with = "null_default")]
    pub truncations: BTreeMap<String, bool>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `FuzzySearchResponse` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct FuzzySearchResponse {
    #[serde(rename = "Matches", deserialize_with = "null_default")]
    pub matches: BTreeMap<String, Vec<FuzzyMatch>>,
    #[serde(rename = "Truncations", deserialize_with = "null_default")]
    pub truncations: BTreeMap<String, bool>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "LastContact", deserialize_with = "null_default")]
    pub last_contact: i64,
    #[serde(rename = "KnownLeader", deserialize_with = "null_default")]
    pub known_leader: bool,
    #[serde(rename = "NextToken", deserialize_with = "null_default")]
    pub next_token: String,
}

/// `FuzzyMatch` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct FuzzyMatch {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "Scope", deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub scope: Vec<String>,
}
