//! The event stream: one line of JSON for the changes of one raft index.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::wire::Wire;

use crate::{is_default, null_default};

/// A line of the stream. A heartbeat is an empty object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct Events {
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    #[serde(rename = "Events", deserialize_with = "null_default")]
    pub events: Vec<Event>,
    /// Changes before this line are no longer kept and were left out: who follows the state reads it again. Ours; absent otherwise.
    #[serde(rename = "Lost", skip_serializing_if = "is_default")]
    pub lost: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct Event {
    /// `Job`, `Allocation`, `Evaluation`, `Deployment`, `Node`, `Service`.
    #[serde(rename = "Topic", deserialize_with = "null_default")]
    pub topic: String,
    /// Such as `JobRegistered`.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub type_: String,
    /// Id of the changed object.
    #[serde(rename = "Key", deserialize_with = "null_default")]
    pub key: String,
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    /// Ids of related objects, which topics may name as well.
    #[serde(rename = "FilterKeys", deserialize_with = "null_default")]
    pub filter_keys: Vec<String>,
    #[serde(rename = "Index", deserialize_with = "null_default")]
    pub index: u64,
    /// The object, under its topic's name.
    #[serde(rename = "Payload")]
    pub payload: Value,
}
