//! Access control.

use serde::{Deserialize, Serialize};

use crate::null_default;

/// `JobACL` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobACL {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "JobID", deserialize_with = "null_default")]
    pub job_id: String,
    #[serde(rename = "Group", deserialize_with = "null_default")]
    pub group: String,
    #[serde(rename = "Task", deserialize_with = "null_default")]
    pub task: String,
}
