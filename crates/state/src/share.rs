//! Equal parts of many rows kept once: texts, resources, task events.

use std::sync::Arc;

use tarpan_model::alloc::TaskStates;
use tarpan_model::resources::AllocatedResources;
use tarpan_model::{AllocMetric, Allocation};

use crate::state::State;

/// Texts kept for sharing; more than a cluster has kinds of. Full, the table starts again.
const TEXTS: usize = 16_384;

/// What the last allocation of one group and job version had: the next one's are mostly equal.
pub(crate) struct GroupParts {
    resources: Arc<AllocatedResources>,
    metrics: Option<Arc<AllocMetric>>,
}

impl GroupParts {
    pub(crate) fn of(row: &Allocation) -> GroupParts {
        GroupParts { resources: row.resources.clone(), metrics: row.metrics.clone() }
    }

    /// Points the row to what is equal here, and keeps what is not for the next one.
    pub(crate) fn share_with(&mut self, row: &mut Allocation) {
        if self.resources == row.resources {
            row.resources = self.resources.clone();
        } else if self.resources.tasks == row.resources.tasks {
            Arc::make_mut(&mut row.resources).tasks = self.resources.tasks.clone();
        } else {
            self.resources = row.resources.clone();
        }
        if self.metrics == row.metrics {
            row.metrics.clone_from(&self.metrics);
        } else {
            self.metrics.clone_from(&row.metrics);
        }
    }
}

impl State {
    /// The shared copy of a text that many rows carry.
    pub(crate) fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(shared) = self.texts.get(&**text) {
            return shared.clone();
        }
        if self.texts.len() >= TEXTS {
            self.texts.clear();
        }
        self.texts.insert(text.clone());
        text.clone()
    }

    /// The states of a report with their texts shared, or the old ones when nothing changed.
    pub(crate) fn task_states(&mut self, old: &Arc<TaskStates>, new: &Arc<TaskStates>) -> Arc<TaskStates> {
        if old == new {
            return old.clone();
        }
        let shared = new.iter().map(|(name, state)| {
            let mut state = state.clone();
            for event in &mut state.events {
                event.kind = self.text(&event.kind);
                // Messages and details repeat between instances, unless they carry ids.
                event.message = self.text(&event.message);
                if !event.details.is_empty() {
                    let details = std::mem::take(&mut event.details);
                    event.details = details.into_iter().map(|(k, v)| (self.text(&k), self.text(&v))).collect();
                }
            }
            state.events.shrink_to_fit();
            (self.text(name), state)
        });
        Arc::new(shared.collect())
    }
}
