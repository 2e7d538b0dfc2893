//! Another state in place of this one: it comes in parts, because a raft entry is bounded, and counts once all of it is there.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use crate::reply::{Rejection, Reply};
use crate::staged::Staged;
use crate::state::State;
use crate::tables::Table;

/// An index beyond it was made up, and would leave no room for those to come.
const LAST_INDEX: u64 = 1 << 60;

/// Takes the next part.
pub(super) fn stage(state: &mut State, id: u128, number: u32, part: &[u8]) -> Result<Reply, Rejection> {
    let mut staged = match state.staged.take() {
        _ if number == 0 => Staged { id, parts: Vec::new() },
        Some(staged) if staged.id == id && staged.parts.len() == number as usize => Arc::unwrap_or_clone(staged),
        other => {
            state.staged = other;
            return Err(Rejection::Other(
                "the snapshot was given up before all of it was there: restore it again".into(),
            ));
        }
    };
    staged.parts.push(Arc::new(ByteBuf::from(part)));
    state.staged = Some(Arc::new(staged));
    Ok(Reply::Done { index: state.index })
}

/// Puts what came in place of the state, or drops it.
///
/// History goes on: the index grows, the lineage and what was answered lately stay. Every table counts as changed.
pub(super) fn finish(state: &mut State, id: u128, length: Option<u64>) -> Result<Reply, Rejection> {
    let Some(staged) = state.staged.take_if(|staged| staged.id == id) else {
        return Err(Rejection::Other("there is no such snapshot to restore".into()));
    };
    let Some(length) = length else { return Ok(Reply::Done { index: state.index }) };
    let bytes = staged.parts.iter().fold(Vec::new(), |mut all, part| {
        all.extend_from_slice(part);
        all
    });
    if bytes.len() as u64 != length {
        return Err(Rejection::Other(format!("{} bytes of a snapshot came, {length} were said", bytes.len())));
    }
    let mut restored = State::restore_after(&bytes, state.index).map_err(|e| Rejection::Other(e.to_string()))?;
    if restored.index > LAST_INDEX {
        return Err(Rejection::Other(format!(
            "the snapshot's index {} is none that a cluster reaches",
            restored.index
        )));
    }
    let log_index = state.index - state.ahead;
    restored.restored = restored.index;
    restored.ahead = restored.index - log_index;
    restored.changed = [restored.index; Table::ALL.len()];
    restored.lineage = state.lineage.clone();
    (restored.recent, restored.recent_order) = (state.recent.clone(), state.recent_order.clone());
    (restored.staged, restored.replaced) = (None, true);
    *state = restored;
    Ok(Reply::Done { index: state.index })
}
