//! Scaling events.

use tarpan_model::ScalingEvent;

use crate::wire;

pub fn scaling_event(row: &ScalingEvent) -> wire::ScalingEvent {
    wire::ScalingEvent {
        time: row.time.0,
        count: row.count,
        previous_count: row.previous_count,
        message: row.message.clone(),
        error: row.error,
        meta: row.meta.as_ref().map(|meta| meta.0.clone()),
        eval_id: row.eval_id.map(|id| id.to_string()),
        create_index: row.create_index,
    }
}
