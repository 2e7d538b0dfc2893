//! What was asked of the counts of a job's groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::EvalId;
use crate::schema::Free;
use crate::time::UnixNanos;

/// Another count of a group, or a note on why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingEvent {
    pub time: UnixNanos,
    /// `None`: only a note.
    pub count: Option<i64>,
    /// What the group had before.
    pub previous_count: i64,
    pub message: String,
    /// The note is of something that failed.
    pub error: bool,
    /// Whatever the asker wants kept with it.
    pub meta: Option<Free>,
    /// The evaluation of the new count.
    pub eval_id: Option<EvalId>,
    pub create_index: u64,
}

/// The scaling events of a job, as many as are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingEvents {
    /// By group, newest first.
    pub groups: BTreeMap<Arc<str>, Vec<Arc<ScalingEvent>>>,
    pub modify_index: u64,
}
