//! A snapshot of state that is to take the place of this one, as far as it came.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// Of the restore.
    pub id: u128,
    pub parts: Vec<Arc<ByteBuf>>,
}
